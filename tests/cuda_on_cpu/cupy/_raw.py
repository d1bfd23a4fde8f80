"""``RawModule``: the kernels' sources, compiled for the CPU and run on arrays of the current device alone."""
from __future__ import annotations

from typing import Any

from .. import raw_module
from ._array import here, ndarray
from ._machine import machine

__all__ = ["RawKernel", "RawModule"]


class RawKernel:
    """An entry point, launched as CuPy's is."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return int(self._found.max_dynamic_shared_size_bytes)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self._found.max_dynamic_shared_size_bytes = size

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        for a in args:
            if type(a) is ndarray:
                here(a)
        machine.record(f"launch {self._found.name}")
        self._found(grid, block, args, shared_mem=shared_mem)


class RawModule(raw_module.RawModule):
    host_arrays = False

    def get_function(self, name: str) -> Any:
        return RawKernel(super().get_function(name))
