"""Every example in a docstring runs. They are found in the source, so that no decorator hides one."""
from __future__ import annotations

import ast
import doctest
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import backends, kernels

PACKAGES = {"tensorlite": tl, "tensorlite.backends": backends, "tensorlite.kernels": kernels}
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def sources() -> Iterator[tuple[str, Path]]:
    """(module, file) of everything installed."""
    for name, package in PACKAGES.items():
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if path.name != "__main__.py":
                yield ".".join([name, *(p for p in parts if p != "__init__")]), path


def examples() -> Iterator[Any]:
    """One parameter for each docstring with a prompt in it: (module, object, docstring, file, line)."""
    for module, path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                doc = ast.get_docstring(node)
                if doc and ">>> " in doc:
                    what = getattr(node, "name", "")
                    yield pytest.param(module, what, doc, path, node.body[0].lineno, id=f"{module}:{what}")


@pytest.mark.parametrize(("module", "what", "doc", "path", "line"), list(examples()))
def test_example(module: str, what: str, doc: str, path: Path, line: int, tmp_path: Path,
                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = dict(vars(importlib.import_module(module)))
    test = doctest.DocTestParser().get_doctest(doc, names, f"{module}.{what}", str(path), line)
    said: list[str] = []
    with np.errstate(all="ignore"):
        failures, _ = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not failures, "".join(said)


def test_there_are_many() -> None:
    assert len(list(examples())) > 100


@pytest.mark.parametrize("module", ["", "func", "autograd", "debug", "testing", "nn", "nn.functional", "optim", "linalg"])
def test_public_functions_are_documented(module: str) -> None:
    names = tl if not module else importlib.import_module(f"tensorlite.{module}")
    public = getattr(names, "__all__", None) or [n for n in vars(names) if not n.startswith("_")]
    bare = [n for n in public if callable(thing := getattr(names, n)) and not (getattr(thing, "__doc__", "") or "").strip()]
    assert bare == [], os.linesep.join(bare)
