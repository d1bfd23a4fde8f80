"""CuPy's functions under the array API standard's names, with NumPy's meaning where the two differ.

CuPy 13 has few of the standard's names, CuPy 14 most; the table below serves both. Arrays are made on the namespace's device.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# the standard's names -> those that every CuPy has
_RENAMED = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "bitwise_invert": "invert", "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
    "concat": "concatenate", "permute_dims": "transpose", "pow": "power",
}
# made by CuPy on the current device, by the namespace on its own
_CREATION = ("arange", "empty", "eye", "full", "linspace", "ones", "tri", "zeros")
# what is asked of dtypes; CuPy's are NumPy's
_OF_DTYPES = ("can_cast", "finfo", "iinfo", "isdtype", "promote_types")
_DTYPES = {"bool": np.bool_, **{name: getattr(np, name) for name in (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64",
    "complex128")}}


class Namespace:
    """The namespace of one device, or (``device`` None) of whichever is current.

    ``cupy``: the module. ``checked``: ``checked(indices, axis, shape, op)`` returns integer indices into an axis of that shape,
    and has those that are out of range reported; CuPy itself wraps them silently.
    """

    def __init__(self, cupy: Any, device: int | None, checked: Callable[..., Any]) -> None:
        self._cupy, self._device, self._checked = cupy, device, checked
        self.__dict__.update(_DTYPES)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_DTYPES:
            found = getattr(np, name)
        elif name in _CREATION:
            found = self._there(getattr(self._cupy, name))
        else:
            found = getattr(self._cupy, _RENAMED.get(name, name))
        self.__dict__[name] = found   # asked once
        return found

    def __repr__(self) -> str:
        return f"Namespace(device={self._device})"

    def _there(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` that makes its array on the namespace's device, or on the one it is told."""
        mine, on = self._device, self._cupy.cuda.Device

        def make(*args: Any, device: Any = None, **options: Any) -> Any:
            where = mine if device is None else number(device)
            if where is None:
                return function(*args, **options)
            with on(where):
                return function(*args, **options)
        return make

    # ---- functions whose arguments differ ---------------------------------------------------------------------------------

    def asarray(self, value: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        return self._there(self._asarray)(value, dtype, copy, device=device)

    def _asarray(self, value: Any, dtype: Any, copy: bool | None) -> Any:
        if not isinstance(value, self._cupy.ndarray):
            value = np.asarray(value, dtype=dtype)   # lists, numbers: NumPy knows their dtype
        return self._cupy.array(value, dtype=dtype, copy=True) if copy else self._cupy.asarray(value, dtype=dtype)

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        return x.astype(dtype, copy=copy)

    def matrix_transpose(self, x: Any, /) -> Any:
        return x.swapaxes(-1, -2)

    def result_type(self, *given: Any) -> Any:
        return np.result_type(*[g.dtype if hasattr(g, "dtype") else g for g in given])

    def vecdot(self, x: Any, y: Any, /, *, axis: int = -1) -> Any:
        x, y = self._cupy.moveaxis(x, axis, -1), self._cupy.moveaxis(y, axis, -1)
        dtype = self.result_type(x, y)
        return self._cupy.sum(self._cupy.conj(x) * y, axis=-1, dtype=dtype)

    def reshape(self, x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
        return x.copy().reshape(shape) if copy else x.reshape(shape)

    def var(self, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
        return self._cupy.var(x, axis=axis, ddof=correction, keepdims=keepdims)

    def std(self, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
        return self._cupy.std(x, axis=axis, ddof=correction, keepdims=keepdims)

    def take(self, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
        at, shape = (0, (x.size,)) if axis is None else (axis, x.shape)
        return self._cupy.take(x, self._checked(indices, at, shape, "take"), axis=axis)

    def take_along_axis(self, x: Any, indices: Any, /, *, axis: int = -1) -> Any:
        return self._cupy.take_along_axis(x, self._checked(indices, axis, x.shape, "take_along_axis"), axis)

    def cumulative_sum(self, x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        return self._scan("cumsum", 0, x, axis, dtype, include_initial)

    def cumulative_prod(self, x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        return self._scan("cumprod", 1, x, axis, dtype, include_initial)

    def _scan(self, name: str, first: int, x: Any, axis: int | None, dtype: Any, include_initial: bool) -> Any:
        axis = 0 if axis is None else axis
        out = getattr(self._cupy, name)(x, axis=axis, dtype=dtype)
        if not include_initial:
            return out
        shape = list(out.shape)
        shape[axis] = 1
        return self._cupy.concatenate([self._cupy.full(shape, first, dtype=out.dtype), out], axis=axis)

    def argsort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        if not descending:
            return self._cupy.argsort(x, axis=axis)   # CuPy's sort is stable
        last = x.shape[axis] - 1   # equal elements stay in order: sorted backwards, and that read backwards
        return self._cupy.flip(last - self._cupy.argsort(self._cupy.flip(x, axis), axis=axis), axis)

    def sort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        out = self._cupy.sort(x, axis=axis) if x.ndim else x.copy()
        return self._cupy.flip(out, axis) if descending else out

    def unique_values(self, x: Any, /) -> Any:
        return self._cupy.unique(x)

    def unique_counts(self, x: Any, /) -> Any:
        return self._cupy.unique(x, return_counts=True)

    def unique_inverse(self, x: Any, /) -> Any:
        values, inverse = self._cupy.unique(x, return_inverse=True)
        return values, inverse.reshape(x.shape)

    def unique_all(self, x: Any, /) -> Any:
        values, first, inverse, counts = self._cupy.unique(x, return_index=True, return_inverse=True, return_counts=True)
        return values, first, inverse.reshape(x.shape), counts

    def unstack(self, x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
        return tuple([x[(slice(None),) * (axis % x.ndim) + (i,)] for i in range(x.shape[axis])])


def number(device: Any) -> int | None:
    """``"cuda:1"`` -> 1, ``"cuda"`` -> None (the current one)."""
    _, _, index = str(device).partition(":")
    return int(index) if index else None
