"""Writes what the installed CuPy has (names, signatures, the types its ufuncs take) into ``names_<major version>.json``.

Run with an interpreter that has CuPy, which needs no GPU for this: ``python dump_names.py``. ``tests/test_cupy_stand_in.py``
compares the file with the CuPy it finds.
"""
from __future__ import annotations

import importlib
import inspect
import json
import re
import types
import warnings
from pathlib import Path
from typing import Any

MODULES = ("cupy", "cupy.linalg", "cupy.fft", "cupy.random", "cupy.cuda", "cupy.cuda.device", "cupy.cuda.memory", "cupy.cuda.runtime",
           "cupy.cuda.stream", "cupy.cuda.pinned_memory", "cupy.exceptions", "cupyx")
CLASSES = ("cupy.ndarray", "cupy.RawKernel", "cupy.RawModule", "cupy.cuda.Device", "cupy.cuda.Stream", "cupy.cuda.Event", "cupy.cuda.Graph",
           "cupy.cuda.MemoryPointer", "cupy.cuda.Memory", "cupy.cuda.UnownedMemory", "cupy.cuda.MemoryPool", "cupy.cuda.PinnedMemoryPool",
           "cupy.cuda.PinnedMemoryPointer")


def signature(found: Any) -> str | None:
    """``"(a, axis=None)"``: names, kinds and defaults; from the docstring where CuPy compiled the function."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        line = (getattr(found, "__doc__", None) or "").strip().partition("\n")[0]
        given = re.match(r"[\w.]*(\(.*\))", line)
        return None if given is None else given[1].replace("\\*", "*").replace("u'", "'")
    return str(inspect.Signature([p.replace(annotation=p.empty, default=p.default if _plain(p.default) else "...") for p in parameters]))


def _plain(default: Any) -> bool:
    return default is inspect.Parameter.empty or isinstance(default, (int, float, str, type(None), type, tuple))


def _describe(owner: Any, name: str) -> Any:
    found = getattr(owner, name)
    if isinstance(found, (int, float, str)) or found is None or isinstance(found, types.ModuleType):
        return None
    return signature(found) if callable(found) else None


def dump() -> dict[str, Any]:
    """Everything, of the CuPy that is installed."""
    import cupy
    out: dict[str, Any] = {"version": cupy.__version__, "names": {}, "ufuncs": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in MODULES:
            out["names"][path] = _public(importlib.import_module(path))
        for path in CLASSES:
            module, _, name = path.rpartition(".")
            out["names"][path] = _public(getattr(importlib.import_module(module), name))
        for name in out["names"]["cupy"]:
            found = getattr(cupy, name)
            if isinstance(found, cupy.ufunc):
                out["ufuncs"][name] = {"name": found.name, "nin": found.nin, "nout": found.nout, "types": found.types}
    return out


def _public(owner: Any) -> dict[str, Any]:
    skipped = ("annotations",)
    return {n: _describe(owner, n) for n in sorted(dir(owner)) if not n.startswith("_") and n not in skipped}


def text(found: dict[str, Any]) -> str:
    """JSON with one line a name."""
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    found = dump()
    Path(__file__).with_name(f"names_{found['version'].partition('.')[0]}.json").write_text(text(found))
