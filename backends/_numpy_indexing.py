"""Indexing on NumPy: its own indexing for reading and writing, and sums over repeated indices that do not go one by one."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels

_FULL = slice(None)


def fill(spec: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index itself: the spec with the arrays in the places that no basic entry takes."""
    given = iter(arrays)
    return tuple([s if s is None or s is Ellipsis or s.__class__ is slice or s.__class__ is int else next(given) for s in spec])


def assign(target: Any, index: Any, value: Any) -> None:
    """``target[index] = value``, where of the values for a place named twice the last one stays.

    NumPy promises that, but walks through operands with negative or exchanged strides in another order (2.4).
    """
    if index.__class__ is tuple and value.__class__ is np.ndarray and value.ndim:
        index = tuple([np.asarray(i, order="C") if i.__class__ is np.ndarray and i.dtype.kind != "b" else i for i in index])
        if any(i.__class__ is np.ndarray for i in index):
            value = np.asarray(value, order="C")
    target[index] = value


def _getitem(x: Any, *indices: Any, spec: tuple[Any, ...], op: str = "") -> Any:
    if not indices:
        return x[spec]
    if len(spec) == 2 and spec[1] is Ellipsis and indices[0].dtype.kind == "i":   # rows: take is faster than indexing
        return x.take(indices[0], axis=0) if x.ndim else x[fill(spec, indices)]
    return x[fill(spec, indices)]


def _put(x: Any, v: Any, *indices: Any, spec: tuple[Any, ...], op: str = "") -> Any:
    out = x.copy()
    assign(out, fill(spec, indices), v)
    return out


def _put_add(v: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "") -> Any:
    out = np.zeros(shape, v.dtype)
    key = fill(spec, indices)
    if all(i.dtype.kind == "b" for i in indices):   # nothing is named twice
        out[key] = v
        return out
    axis = next(a for a, s in enumerate(key) if s.__class__ is np.ndarray)
    if len(indices) == 1 and all(s.__class__ is slice and s == _FULL for s in key[:axis]) and key[axis + 1:] in ((), (Ellipsis,)):
        return _add_along(out, v, indices[0], axis)
    if len(indices) == len(shape) == len(key) - 1 and key[-1] is Ellipsis and all(i.dtype.kind != "b" for i in indices):
        flat = _flat(indices, shape)
        v = np.broadcast_to(v, flat.shape)
        if v.dtype.kind == "f":
            return np.bincount(flat.reshape(-1), v.reshape(-1), out.size).astype(v.dtype, copy=False).reshape(shape)
        np.add.at(out.reshape(-1), flat.reshape(-1), v.reshape(-1))
        return out
    np.add.at(out, key, v)
    return out


def _flat(indices: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Index arrays, one for each axis, as one into the flattened array; IndexError where one is out of range."""
    flat = None
    for index, n in zip(indices, shape):
        if index.size and (int(index.min()) < -n or int(index.max()) >= n):
            raise IndexError("index out of bounds")
        index = np.where(index < 0, index + n, index)
        flat = index if flat is None else flat * n + index
    return flat


def _add_along(out: Any, v: Any, index: Any, axis: int) -> Any:
    """``out[..., index, ...] += v`` with repeated indices adding up: sorted, summed run by run, written once."""
    n = out.shape[axis]
    index = _flat((index,), (n,))
    shape = out.shape[:axis] + index.shape + out.shape[axis + 1:]
    v = v if v.shape == shape else np.broadcast_to(v, shape)
    if not v.size:
        return out
    v = v.reshape((*out.shape[:axis], index.size, *out.shape[axis + 1:]))
    index = index.reshape(-1)
    if out.ndim == 1 and v.dtype.kind == "f":
        return np.bincount(index, v, n).astype(v.dtype, copy=False)
    order = np.argsort(index, kind="stable")
    sorted_index = index[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_index[1:] != sorted_index[:-1])))
    where = (_FULL,) * axis
    if starts.size == index.size:
        out[(*where, index)] = v
    else:
        out[(*where, sorted_index[starts])] = np.add.reduceat(v.take(order, axis=axis), starts, axis=axis)
    return out


def _winners(x: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "") -> Any:
    key = fill(spec, indices)
    last = np.empty(shape, np.intp)
    numbers = np.arange(x.size).reshape(x.shape)
    assign(last, key, numbers)
    return last[key] == numbers


def _write_view(x: Any, v: Any, *, replay: Any) -> Any:
    out = x.copy(order="K")
    part = replay(out)
    if np.may_share_memory(part, out) and part.flags.writeable:
        part[...] = v
        return out
    out = x.copy(order="C")
    out.reshape(-1)[replay(np.arange(x.size).reshape(x.shape))] = v
    return out


def _zeros_of(x: Any, *, shape: tuple[int, ...]) -> Any:
    return np.zeros(shape, x.dtype)


def _diagonal(x: Any, *, offset: int, axis1: int, axis2: int) -> Any:
    out = np.diagonal(x, offset, axis1, axis2)
    if x.flags.writeable:   # a view like any other; NumPy hands it out read-only for the sake of old code
        out.flags.writeable = True
    return out


def _pad(x: Any, *, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    shape = tuple([n + a + b for n, (a, b) in zip(x.shape, widths)])
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    out[tuple([slice(a, a + n) for n, (a, _) in zip(x.shape, widths)])] = x
    return out


def _fused(name: str) -> Any:
    def run(*arrays: Any, **constants: Any) -> Any:
        kernel = kernels.load(name)
        return kernel.reference(np, *arrays, **constants) if kernel.cpu is None else kernel.cpu(*arrays, **constants)
    return run


def _copy(x: Any) -> Any:
    return x.copy(order="K")


IMPLEMENTATIONS: dict[str, Any] = {
    "getitem": _getitem, "put": _put, "put_add": _put_add, "winners": _winners, "write_view": _write_view,
    "zeros_of": _zeros_of, "diagonal": _diagonal, "pad": _pad, "clone": _copy,
    "gather_batch": _fused("gather_batch"), "augment_batch": _fused("augment_batch"),
}
