"""The CPU backend: NumPy, with the fused kernels where Numba is installed."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tensorlite.backends import _numpy_contraction, _numpy_elementwise, _numpy_indexing, _numpy_nn, _numpy_reduction, _numpy_searching
from tensorlite.backends._base import Backend

# sys.getrefcount's answer for an array held by one local of the caller's caller, one of the caller, and the argument itself
_HELD_ONCE = 4


class NumpyBackend(Backend):
    """Arrays in host memory."""

    name = "numpy"
    xp = np
    array_type = np.ndarray
    scalar_types = (np.generic,)
    devices = ("cpu",)
    capabilities = frozenset({"inplace", "strides", "float16", "bfloat16", "numpy-functions"})

    implementations = {**_numpy_nn.IMPLEMENTATIONS, **_numpy_indexing.IMPLEMENTATIONS, **_numpy_elementwise.IMPLEMENTATIONS,
                       **_numpy_contraction.IMPLEMENTATIONS, **_numpy_reduction.IMPLEMENTATIONS, **_numpy_searching.IMPLEMENTATIONS}

    def asarray(self, value: Any, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Any:
        return np.asarray(value, dtype=dtype, copy=copy)

    def to_numpy(self, array: Any) -> Any:
        return array

    def owner(self, array: Any) -> Any:
        base = array.base
        while base.__class__ is np.ndarray:
            array, base = base, base.base
        return array

    def exclusive(self, array: Any) -> bool:
        return array.base is None and sys.getrefcount(array) <= _HELD_ONCE

    def quiet(self) -> Any:
        return np.errstate(all="ignore")

    def assign(self, target: Any, index: Any, value: Any) -> None:
        _numpy_indexing.assign(target, index, value)

    def memory_stats(self) -> dict[str, int]:
        import resource
        return {"peak_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
