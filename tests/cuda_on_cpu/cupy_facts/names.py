"""Writes what the installed CuPy has (names, signatures, the types its ufuncs take) into ``names_<major version>.json``.

Run with an interpreter that has CuPy, which needs no GPU for this: ``python names.py``.
"""
from __future__ import annotations

import importlib
import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any

SIGNATURES = ("cupy", "cupy.ndarray", "cupy.linalg", "cupy.fft")
NAMES = ("cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.memory", "cupy.cuda.stream", "cupy.cuda.device", "cupy.cuda.pinned_memory",
         "cupy.RawKernel", "cupy.RawModule", "cupy.cuda.Device", "cupy.cuda.Stream", "cupy.cuda.ExternalStream",
         "cupy.cuda.Event", "cupy.cuda.Graph", "cupy.cuda.MemoryPointer", "cupy.cuda.UnownedMemory", "cupy.cuda.MemoryPool",
         "cupy.cuda.PinnedMemoryPool", "cupy.cuda.PinnedMemoryPointer")


def signature(found: Any) -> str | None:
    """``"(a, axis=None)"``: names, kinds and defaults, from the docstring of what is compiled; None without either."""
    if not callable(found):
        return None
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        line = (getattr(found, "__doc__", None) or "").strip().partition("\n")[0]
        given = re.match(r"[\w.]*(\(.*\))", line)
        return None if given is None else given[1].replace("\\*", "*").replace("u'", "'")
    return str(inspect.Signature([p.replace(annotation=p.empty, default=p.default if _plain(p.default) else "...")
                                  for p in parameters]))


def _plain(default: Any) -> bool:
    return default is inspect.Parameter.empty or isinstance(default, int | float | str | None | type | tuple)


def _found(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        owner, _, name = path.rpartition(".")
        return getattr(_found(owner), name)


_MODULES = ("annotations", "atexit", "collections", "contextlib", "gc", "os", "threading", "warnings", "weakref")   # imported


def _public(owner: Any) -> list[str]:
    return [n for n in sorted(dir(owner)) if not n.startswith("_") and n not in _MODULES]


def collect() -> dict[str, Any]:
    """Everything, of the CuPy that is installed."""
    import cupy
    out: dict[str, Any] = {"version": cupy.__version__, "signatures": {}, "names": {}, "ufuncs": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in SIGNATURES:
            owner = _found(path)
            out["signatures"][path] = {n: signature(getattr(owner, n)) for n in _public(owner)}
        for path in NAMES:
            out["names"][path] = " ".join(_public(_found(path)))
        for name in out["signatures"]["cupy"]:
            found = getattr(cupy, name)
            if isinstance(found, cupy.ufunc):
                out["ufuncs"][name] = f"{found.name} {' '.join(found.types)}"
    return out


def file(version: str) -> Path:
    return Path(__file__).with_name(f"names_{version.partition('.')[0]}.json")


if __name__ == "__main__":
    found = collect()
    file(found["version"]).write_text(json.dumps(found, indent=0) + "\n")
