"""A second backend, on array-api-strict: what runs here uses the array API standard's names and nothing else."""
from __future__ import annotations

import functools
from typing import Any

import array_api_strict
import numpy as np

from tensorlite.backends import Backend, register_backend

array_api_strict.set_array_api_strict_flags(api_version="2024.12")


def _dtype(dtype: Any) -> Any:
    """array-api-strict's dtype object of NumPy's; it has no float16 and takes no other library's."""
    return getattr(array_api_strict, dtype.name) if isinstance(dtype, np.dtype) else dtype


class _Namespace:
    """array_api_strict, with NumPy's dtypes translated: they are what tensorlite's functions take."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(array_api_strict, name)
        if callable(found) and not isinstance(found, type):
            plain = found

            @functools.wraps(plain)
            def found(*args: Any, **options: Any) -> Any:
                options = {k: _dtype(v) for k, v in options.items()}
                return plain(*[_dtype(a) for a in args], **options)
        setattr(self, name, found)
        return found


class StrictBackend(Backend):
    """Runs the references alone: it has no implementations of its own."""

    name = "strict"
    xp = _Namespace()
    array_type = type(array_api_strict.zeros(1))
    devices = ("strict",)

    def asarray(self, value: Any, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Any:
        if isinstance(value, np.generic):
            value = np.asarray(value)
        return array_api_strict.asarray(value, dtype=_dtype(dtype), copy=copy)

    def owner(self, array: Any) -> Any:
        held = array._array
        return held if held.base is None else held.base   # NumPy's views name the array that owns the memory

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array._array)


backend = register_backend("strict", StrictBackend)
