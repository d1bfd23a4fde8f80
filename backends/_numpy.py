"""The CPU backend: NumPy, with the fused kernels where Numba is installed."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tensorlite.backends import (
    _numpy_bfloat16,
    _numpy_contraction,
    _numpy_convolution,
    _numpy_elementwise,
    _numpy_indexing,
    _numpy_linalg,
    _numpy_nn,
    _numpy_reduction,
    _numpy_searching,
)
from tensorlite.backends._base import OWN_REFERENCES, Backend
from tensorlite.backends._blas_waits import wait_shortly
from tensorlite.backends._host_memory import keep_freed

keep_freed()
wait_shortly()


_units: dict[Any, Any] = {}   # a one of each dtype


class NumpyBackend(Backend):
    """Arrays in host memory."""

    name = "numpy"
    xp = np
    array_type = np.ndarray
    scalar_types = (np.generic,)
    devices = ("cpu",)
    capabilities = frozenset({"inplace", "strides", "float16", "bfloat16", "numpy-functions", "watch"})

    implementations = {
        **_numpy_nn.IMPLEMENTATIONS, **_numpy_indexing.IMPLEMENTATIONS, **_numpy_elementwise.IMPLEMENTATIONS,
        **_numpy_contraction.IMPLEMENTATIONS, **_numpy_reduction.IMPLEMENTATIONS, **_numpy_searching.IMPLEMENTATIONS,
        **_numpy_linalg.IMPLEMENTATIONS, **_numpy_convolution.IMPLEMENTATIONS,
    }

    def implementation(self, name: str, reference: Any) -> Any:
        found = super().implementation(name, reference)
        if name == "activation_backward":
            found = _numpy_elementwise.activation_backward(found)
        if name in _numpy_linalg.WITH_REFERENCE:
            found = _numpy_linalg.WITH_REFERENCE[name](found)
        return _numpy_bfloat16.rounded_once(found) if name in _numpy_bfloat16.ROUNDED_ONCE else found

    def asarray(self, value: Any, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Any:
        return np.asarray(value, dtype=dtype, copy=copy)

    def to_numpy(self, array: Any) -> Any:
        return array

    def owner(self, array: Any) -> Any:
        base = array.base
        while base.__class__ is np.ndarray:
            array, base = base, base.base
        return array

    def exclusive(self, array: Any, held: int) -> bool:
        return array.base is None and sys.getrefcount(array) - OWN_REFERENCES <= held

    def unit(self, array: Any) -> Any:
        found = _units.get(array.dtype) if array.shape == () else None
        if found is None:
            found = np.ones_like(array)
            if array.shape == ():
                found.flags.writeable = False   # whoever gets it as a gradient is to copy it
                _units[array.dtype] = found
        return found

    def quiet(self) -> Any:
        return np.errstate(all="ignore")

    def assign(self, target: Any, index: Any, value: Any) -> None:
        _numpy_indexing.assign(target, index, value)

    def memory_stats(self, device: str = "") -> dict[str, int]:
        import resource
        return {"peak_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
