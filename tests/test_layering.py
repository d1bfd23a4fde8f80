"""Imports go one way, as ARCHITECTURE.md says, and importing tensorlite loads nothing heavy."""
from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module may import what stands to its left, and what stands with it.
LAYERS = [
    "errors _state _site _files",
    "kernels",
    "backends",
    "_dtypes _tree _philox engine",
    "ops",
    "autograd _autocast _function _interop _levels _namespace _shown _signature _tensor",
    "fft func random linalg testing nn optim",
    "amp cuda data models io debug _kernel _kernel_check _kernel_rules",
    "train",
    "demos",
    "cli __main__",
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names.split()}
SOURCES = [*ROOT.glob("tensorlite/**/*.py"), *ROOT.glob("backends/**/*.py"), *ROOT.glob("kernels/**/*.py")]
pytestmark = pytest.mark.skipif(not (ROOT / "backends").is_dir(), reason="runs on the source tree only")


def module_of(path: Path) -> str:
    """``tensorlite.ops.elementwise`` of the file's path."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] != "tensorlite":
        parts = ["tensorlite", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, *, inside_functions: bool) -> Iterator[tuple[str, int]]:
    """(module, line) of what is imported when the module is, or only when its functions run."""
    todo: list[tuple[ast.AST, bool]] = [(node, False) for node in tree.body]
    while todo:
        node, inside = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if inside == inside_functions:
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        todo += [(child, inside) for child in ast.iter_child_nodes(node)]


def layer(module: str) -> str | None:
    """The part of tensorlite a module belongs to, None for the package itself and for others' modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tensorlite" and len(parts) > 1 and parts[1] in LEVEL else None


def upward(*, inside_functions: bool) -> list[str]:
    found = []
    for path in SOURCES:
        mine = layer(module_of(path))
        if mine is None:
            continue
        for module, line in imports(ast.parse(path.read_text()), inside_functions=inside_functions):
            other = layer(module)
            if other is not None and LEVEL[other] > LEVEL[mine]:
                found.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    return sorted(found)


def test_every_module_has_a_layer() -> None:
    parts = {module_of(path).split(".")[1] for path in SOURCES if module_of(path) != "tensorlite"}
    assert sorted(parts - set(LEVEL)) == []


def test_imports_go_one_way() -> None:
    assert upward(inside_functions=False) == []


def test_imports_inside_functions_go_one_way_too() -> None:
    """But for the public namespace (``import tensorlite``), which functions may use."""
    assert upward(inside_functions=True) == []


def test_no_package_level_import_of_the_whole() -> None:
    """``import tensorlite`` at the head of a module is for the layers that use the public namespace."""
    allowed = LEVEL["data"]
    for path in SOURCES:
        mine = layer(module_of(path))
        if mine is not None and LEVEL[mine] < allowed:
            heads = {module for module, _ in imports(ast.parse(path.read_text()), inside_functions=False)}
            assert "tensorlite" not in heads, path


@pytest.mark.parametrize("only", ["engine", "ops"])
def test_these_name_no_array_library(only: str) -> None:
    """The engine and the operations are written over ``xp``; NumPy is for dtypes and host-side work inside functions."""
    for path in (ROOT / "tensorlite" / only).glob("*.py"):
        names = {m.split(".")[0] for m, _ in imports(ast.parse(path.read_text()), inside_functions=False)}
        assert not names & {"cupy", "numba", "torch", "jax"}, path
        if only == "engine":
            assert "numpy" not in names, path


def loaded_by(code: str) -> set[str]:
    """The top-level packages in ``sys.modules`` after ``code`` ran in a fresh interpreter."""
    code += "; import sys, json; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout))


HEAVY = {"numba", "cupy", "rich", "matplotlib", "safetensors", "torch", "jax", "sklearn", "scipy", "ml_dtypes",
         "array_api_strict", "inspect", "dataclasses", "argparse"}
LATER = ("nn", "optim", "data", "train", "cli", "debug")


def test_importing_tensorlite_loads_nothing_heavy() -> None:
    before = loaded_by("import numpy")
    loaded = loaded_by("import tensorlite") - before
    assert not HEAVY & loaded
    assert not {m for m in loaded if m.startswith("tensorlite.") and m.split(".")[1] in LATER}


def test_using_the_basics_loads_nothing_heavy() -> None:
    code = ("import tensorlite as tl; x = tl.tensor([1.0, 2.0], requires_grad=True); "
            "tl.sigmoid(x * x).sum().backward(); tl.grad(tl.sin)(tl.tensor(1.0)); repr(x.grad)")
    assert not (HEAVY - {"inspect", "dataclasses"}) & (loaded_by(code) - loaded_by("import numpy"))
