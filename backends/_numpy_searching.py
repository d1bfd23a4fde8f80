"""Sorting, searching and scattering along an axis, where NumPy's names or ways differ from the standard's."""
from __future__ import annotations

from typing import Any

import numpy as np


def _index(indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The index that picks ``indices`` along ``axis`` and everything along the others, which broadcast."""
    ndim = len(shape)
    axis %= ndim
    if ndim == 1:
        return (indices,)
    grid = []
    for a, n in enumerate(shape):
        if a == axis:
            grid.append(indices)
        else:
            grid.append(np.arange(n).reshape((n,) + (1,) * (ndim - a - 1)))
    return tuple(grid)


def _take_along_axis(x: Any, indices: Any, *, axis: int = -1, unique: bool = False) -> Any:
    if x.ndim != indices.ndim:
        raise ValueError("as many axes are needed")
    if indices.dtype.kind not in "iu":
        raise TypeError("integers are needed")
    return x[_index(indices, x.shape, axis)]


def _put_along_axis(g: Any, indices: Any, *, axis: int = -1, size: int, unique: bool = False) -> Any:
    axis %= g.ndim
    shape = [*g.shape[:axis], size, *g.shape[axis + 1:]]
    out = np.zeros(shape, g.dtype)
    index = _index(indices, tuple(shape), axis)
    if unique:
        out[index] = g
    elif g.ndim == 1:
        np.add.at(out, indices, g)
    else:   # np.add.at is fast (a few ns an element) only for one axis of integers
        flat = np.zeros(index[0].shape if axis == 0 else (), np.intp)
        for i, n in zip(index, shape):
            flat = flat * n + (np.where(i < 0, i + n, i))
        flat = np.broadcast_to(flat, g.shape).reshape(-1)
        np.add.at(out.reshape(-1), flat, np.ascontiguousarray(g).reshape(-1))
    return out


def _argmax(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return x.argmax(axis, keepdims=keepdims)


def _argmin(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return x.argmin(axis, keepdims=keepdims)


def _argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    kind: Any = "stable" if stable else None
    if not descending:
        return np.argsort(x, axis, kind)
    if not x.ndim:
        return np.argsort(x, axis)
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind), axis)   # equal elements keep their order


def _sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    out = x.copy()
    if out.ndim:
        out.sort(axis)   # of values alone nobody can tell a stable sort, and the other is vectorised
    else:
        np.add.reduce(x, axis)   # complains of an axis that is none
    return np.flip(out, axis) if descending and out.ndim else out


def _argtopk(x: Any, *, k: int, axis: int, largest: bool, sorted: bool) -> Any:
    axis %= x.ndim
    n = x.shape[axis]
    part: list[Any] = [slice(None)] * x.ndim
    part[axis] = slice(n - k, n) if largest else slice(0, k)
    if k in (0, n):
        places = np.broadcast_to(np.arange(n).reshape((n,) + (1,) * (x.ndim - axis - 1)), x.shape)[tuple(part)]
    else:
        places = np.argpartition(x, n - k if largest else k - 1, axis)[tuple(part)]
    if not sorted or not k:
        return np.ascontiguousarray(places)
    values = x[_index(places, x.shape, axis)]
    order = _argsort(values, axis=axis, descending=largest)
    return places[_index(order, places.shape, axis)]


def _isin(x1: Any, x2: Any, *, invert: bool = False) -> Any:
    return np.isin(x1, x2, invert=invert)


def _bincount(x: Any, *, size: int) -> Any:
    return np.bincount(x, minlength=size)


IMPLEMENTATIONS: dict[str, Any] = {
    "take_along_axis": _take_along_axis, "put_along_axis": _put_along_axis, "argmax": _argmax, "argmin": _argmin,
    "argsort": _argsort, "sort": _sort, "argtopk": _argtopk, "isin": _isin, "bincount": _bincount, "argwhere": np.argwhere,
    "nonzero": np.nonzero,
}
