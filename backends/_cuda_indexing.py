"""Indexing on CUDA. CuPy wraps integers that are out of range and leaves open which of several values for one place stays; here
the former are reported, and the last one stays, as on the CPU."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.backends._numpy_indexing import fill
from tensorlite.errors import OutOfRangeError


def table(backend: Any) -> dict[str, Callable[..., Any] | None]:
    """Operation -> function of raw arrays."""
    return {"getitem": getitem(backend)}


def getitem(backend: Any) -> Callable[..., Any]:
    """Reading: integer arrays are checked on the device, booleans have the host wait for their number."""
    def read(x: Any, *indices: Any, spec: tuple[Any, ...], op: str = "getitem") -> Any:
        return x[checked(backend, tuple(x.shape), spec, indices, op)] if indices else x[spec]
    return read


def checked(backend: Any, shape: tuple[int, ...], spec: tuple[Any, ...], indices: tuple[Any, ...], op: str) -> tuple[Any, ...]:
    """The index with its arrays in place, those of integers checked against the axes they index."""
    key = fill(spec, indices)
    taken = sum(_width(s) for s in key if s is not None and s is not Ellipsis)
    axis, out = 0, []
    for entry in key:
        if entry is Ellipsis:
            axis += len(shape) - taken
        elif entry is None:
            pass
        elif entry.__class__ is slice:
            axis += 1
        elif entry.__class__ is int:
            if axis < len(shape) and not -shape[axis] <= entry < shape[axis]:
                raise OutOfRangeError(f"{op}: index {entry} is out of range for axis {axis} of length {shape[axis]} "
                                      f"(shape {shape}); valid are {-shape[axis]} to {shape[axis] - 1}")
            axis += 1
        else:
            if entry.dtype.kind != "b" and axis < len(shape):
                entry = backend.checked(entry, axis, shape, op)
            axis += _width(entry)
        out.append(entry)
    return tuple(out)


def _width(entry: Any) -> int:
    """How many axes an entry takes."""
    return entry.ndim if getattr(getattr(entry, "dtype", None), "kind", "") == "b" else 1
