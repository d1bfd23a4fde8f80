"""Keys: CuPy's, as NumPy takes them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._machine import machine


def broadcast(*shapes: Any) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError("operands could not be broadcast together with shapes " + " ".join(map(str, shapes))) from None


def index(shape: tuple[int, ...], key: Any, contents: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """The key for NumPy, and the arrays in it: integers out of range wrap in them, as they do silently in CuPy's kernels.

    ``contents``: the NumPy array of one of the device, else None.
    """
    keys = list(key) if type(key) is tuple else [key]
    arrays: list[Any] = []
    for i, k in enumerate(keys):
        if (found := contents(k)) is not None:
            keys[i] = found
        elif k is None or k is Ellipsis or isinstance(k, slice):
            continue
        elif np.isscalar(k) and not isinstance(k, bool | np.bool_):
            keys[i] = int(k)   # 1.5 is 1 here
            continue
        else:
            keys[i] = a = np.asarray(k)
            machine.record("copy of an index to the device")
            if not a.size and isinstance(k, list | tuple):
                keys[i] = a.astype(np.int32)
            elif a.dtype.kind not in "iufcb":
                raise IndexError("only integers, slices (`:`), ellipsis (`...`),numpy.newaxis (`None`) and integer or boolean "
                                 "arrays are valid indices")
        if keys[i].dtype.kind not in "iub":
            raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {keys[i].dtype.type})")
        arrays.append(keys[i])
    used = sum(_axes(k) for k in keys)
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    if not arrays:
        return _within(shape, keys, used, tuple(keys) if type(key) is tuple else keys[0]), arrays
    axis = 0
    for i, k in enumerate(keys):
        n = len(shape) - used if k is Ellipsis else _axes(k)
        if isinstance(k, np.ndarray):
            if k.dtype == bool:
                if any(m not in (0, s) for m, s in zip(k.shape, shape[axis:])):
                    raise IndexError(f"boolean index did not match indexed array along dimension {axis}")
                machine.wait("boolean index")
            elif shape[axis]:
                keys[i] = k.astype(np.int64) % shape[axis]
            elif k.size:
                raise IndexError("cannot do a non-empty take from an empty axes.")
        axis += n
    broadcast(*[k.shape for k in arrays if k.dtype != bool])
    return tuple(keys), arrays


def _axes(k: Any) -> int:
    return 0 if k is None or k is Ellipsis else k.ndim if isinstance(k, np.ndarray) and k.dtype == bool else 1


def _within(shape: Any, keys: Any, used: int, key: Any) -> Any:
    """``key``, whose integers must be in range."""
    axis = 0
    for k in keys:
        if type(k) is int and not -shape[axis] <= k < shape[axis]:
            raise IndexError(f"Index {k} is out of bounds for axis {axis} with size {shape[axis]}")
        axis += len(shape) - used if k is Ellipsis else k is not None
    return key


def put(target: np.ndarray[Any, Any], key: Any, value: np.ndarray[Any, Any]) -> None:
    """``target[key] = value`` for a key with arrays: where indices repeat, any of the values may be the one that stays."""
    places = np.arange(target.size).reshape(target.shape)[key]
    value = np.broadcast_to(value, places.shape)
    order = np.random.default_rng(places.size).permutation(places.size)
    target[np.unravel_index(places.reshape(-1)[order], target.shape)] = value.reshape(-1)[order]
