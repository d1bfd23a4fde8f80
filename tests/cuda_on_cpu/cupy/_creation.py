"""CuPy's functions that make arrays, and what its functions take for one."""
from __future__ import annotations

from typing import Any

import numpy as np

from . import _machine
from ._array import IMPLICIT, cast, here, hidden, ndarray, new, supported
from ._machine import machine
from ._names import VERSION


def an_array(a: Any) -> Any:
    """CuPy calls a method of the argument: lists have none. It lets NumPy's arrays slip through unseen; here they are refused."""
    if type(a) is ndarray:
        return a
    if isinstance(a, np.ndarray | np.generic):
        raise TypeError(f"Unsupported type {type(a)}")
    raise AttributeError(f"{type(a).__name__!r} object is not an array")


def only_an_array(a: Any) -> Any:
    if type(a) is not ndarray:
        raise TypeError(f"'a' must be a cupy.ndarray object, not {type(a)}")
    return a


# ---- making arrays -----------------------------------------------------------------------------------------------------------

def array(obj: Any, dtype: Any = None, copy: bool = True, order: Any = "K", subok: bool = False, ndmin: int = 0, *,
          blocking: bool = False) -> ndarray:
    if subok:
        raise NotImplementedError
    dtype = None if dtype is None else supported(np.dtype(dtype))
    order = order or "K"
    if type(obj) is ndarray:
        found = obj.astype(obj.dtype if dtype is None else dtype, order, copy=copy)
        return found if found.ndim >= ndmin else new(found._a.reshape((1,) * (ndmin - found.ndim) + found.shape).copy())
    if isinstance(obj, list | tuple) and (leaves := list(_leaves(obj))) and any(type(x) is ndarray for x in leaves):
        if not all(type(x) is ndarray for x in leaves):
            raise TypeError(IMPLICIT)
        machine.record("concatenate")
        found = hidden(np.array(_hosts(obj)))
        return found if dtype is None else found.astype(dtype)
    host = np.array(obj, dtype=dtype, order=order, ndmin=ndmin)   # type: ignore[call-overload]
    host = host if host.dtype.isnative else host.astype(host.dtype.newbyteorder("="))
    supported(host.dtype)
    if blocking:
        machine.wait("copy of a host array")
    machine.record("copy of a host array")
    return new(host)


def _leaves(obj: Any) -> Any:
    for x in obj:
        if isinstance(x, list | tuple):
            yield from _leaves(x)
        else:
            yield x


def _hosts(obj: Any) -> Any:
    return [_hosts(x) if isinstance(x, list | tuple) else here(x) for x in obj]


if VERSION >= 14:
    def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
        if copy is False and type(a) is ndarray and dtype is not None and np.dtype(dtype) != a.dtype:
            raise ValueError("Unable to avoid copy while creating an array as requested.")
        return array(a, dtype, bool(copy), order, blocking=blocking)
else:
    def asarray(a: Any, dtype: Any = None, order: Any = None, *, blocking: bool = False) -> ndarray:   # type: ignore[misc]
        return array(a, dtype, False, order, blocking=blocking)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return _laid_out(a, dtype, "C")


def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return _laid_out(a, dtype, "F")


def _laid_out(a: Any, dtype: Any, order: str) -> ndarray:
    if type(a) is not ndarray:
        raise TypeError(f"Argument 'a' has incorrect type (expected cupy._core.core._ndarray_base, got {type(a).__name__})")
    a = a.reshape(1) if a.ndim == 0 else a
    return a.astype(a.dtype if dtype is None else dtype, order, copy=False)   # type: ignore[no-any-return]


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    if type(a) is ndarray:
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    found = np.asarray(a, order=order)   # type: ignore[call-overload]
    if out is None:
        return found
    out[...] = found
    return out


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    if type(order) is not tuple:
        return ndarray(shape, dtype, order=order)
    size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))   # strides, from the functions for arrays like another
    return ndarray(shape, dtype, _machine.get_allocator()(size), order)


def zeros(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    return _filled(shape, dtype, order, 0)


def ones(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    return _filled(shape, dtype, order, 1)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C") -> ndarray:
    if dtype is None:
        dtype = fill_value.dtype if hasattr(fill_value, "dtype") else np.array(fill_value).dtype
    return _filled(shape, dtype, order, fill_value)


def _filled(shape: Any, dtype: Any, order: Any, value: Any) -> ndarray:
    made = empty(shape, dtype, order)
    if type(value) is ndarray and value.ndim:
        made[...] = value
    else:
        made.fill(np.array(value, made.dtype) if isinstance(value, int) and made.dtype.kind in "iu" else value)
    return made


def _like(a: Any, dtype: Any, order: Any, shape: Any) -> tuple[Any, Any, Any]:
    a = an_array(a)
    order = order or "K"
    if order == "K" and shape is None and not a.flags.forc:
        order = tuple(np.empty_like(a._a).strides[i] // a.itemsize * np.dtype(dtype or a.dtype).itemsize for i in range(a.ndim))
    elif order in "AK":
        order = "F" if a.flags.fnc else "C"
    return a.shape if shape is None else shape, a.dtype if dtype is None else dtype, order


def empty_like(prototype: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(prototype, dtype, order, shape)
    return empty(shape, dtype, order)


def zeros_like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return _filled(shape, dtype, order, 0)


def ones_like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(array(a) if isinstance(a, np.ndarray) else a, dtype, order, shape)
    return _filled(shape, dtype, order, 1)


def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return _filled(shape, dtype, order, fill_value)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    values = [v.item() if type(v) is ndarray else v for v in (start, stop, step)]
    start, stop = (0, values[0]) if stop is None else values[:2]
    machine.record("arange")
    if dtype is not None and np.dtype(dtype).kind in "fVb":
        wide = np.arange(start, stop, values[2])
        if np.dtype(dtype).kind == "b" and wide.size > 2:
            raise TypeError("no fill-function for data-type.")
        return new(cast(wide, dtype))
    return new(np.arange(start, stop, values[2], dtype=dtype))


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0) -> Any:
    values = [here(v) if type(v) is ndarray else v for v in (start, stop)]
    machine.record("linspace")
    found = np.linspace(values[0], values[1], num, endpoint, True, dtype, axis)
    return (new(found[0]), float(found[1])) if retstep else new(found[0])


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: Any = "C") -> ndarray:
    machine.record("eye")
    return new(np.eye(N, M, k, supported(np.dtype(dtype)), order))


def identity(n: int, dtype: Any = float) -> ndarray:
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> ndarray:
    machine.record("tri")
    return new(np.tri(N, M, k, dtype))
