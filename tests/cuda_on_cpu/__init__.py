"""CUDA C++ kernels on the CPU: their sources, compiled by g++ behind a header that stands for the device, run on host memory.

``runtime()`` is what host code of kernels takes; with it ``load("sigmoid_backward").cuda(runtime(), g, y)`` takes NumPy arrays.
"""
from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from tensorlite.kernels._cuda import Runtime

from .build import CompileError, why_not
from .raw_module import KernelError, RawKernel, RawModule, thread_order

__all__ = ["ATTRIBUTES", "CompileError", "KernelError", "RawKernel", "RawModule", "runtime", "thread_order", "why_not"]

# An H200's, but for the number of multiprocessors: with few, a kernel that strides over its elements strides in small tests too
ATTRIBUTES = {
    "MultiProcessorCount": 4, "MaxSharedMemoryPerBlock": 48 << 10, "MaxSharedMemoryPerBlockOptin": 227 << 10,
    "MaxSharedMemoryPerMultiprocessor": 228 << 10, "MaxThreadsPerBlock": 1024, "MaxThreadsPerMultiProcessor": 2048,
    "WarpSize": 32,
    "MaxGridDimX": 2**31 - 1, "MaxGridDimY": 65535, "MaxGridDimZ": 65535, "MaxRegistersPerBlock": 65536, "L2CacheSize": 60 << 20,
    "ComputeCapabilityMajor": 9, "ComputeCapabilityMinor": 0,
}


def _device(number: int = 0) -> Any:
    return SimpleNamespace(id=number, attributes=ATTRIBUTES, compute_capability="90")


def _pinned(size: int) -> Any:
    return np.full(size, 0xa5, np.uint8)


@functools.cache
def runtime() -> Runtime:
    """A runtime over NumPy: arrays of the host are its device's."""
    stream = SimpleNamespace(ptr=0, is_capturing=lambda: False)
    device = SimpleNamespace(Device=_device, alloc_pinned_memory=_pinned, get_current_stream=lambda: stream,
                             runtime=SimpleNamespace(getDevice=lambda: 0))
    same = ("array", "asarray", "asnumpy", "ascontiguousarray", "zeros", "zeros_like", "take", "ndarray",
            "bool", "float16", "float32", "float64", "int32", "int64", "uint8", "uint32", "uint64")
    same_as_numpy = {name: getattr(np, name, np.asarray) for name in same}   # asnumpy is CuPy's own
    return Runtime(SimpleNamespace(RawModule=RawModule, cuda=device, empty=_empty, empty_like=_empty_like, **same_as_numpy), np)


def _empty(shape: Any, dtype: Any = float) -> Any:
    """Garbage, never by chance the zeros that a kernel forgot to write."""
    out = np.empty(shape, dtype)
    out.reshape(-1).view(np.uint8)[:] = 0xa5
    return out


def _empty_like(array: Any, dtype: Any = None) -> Any:
    return _empty(array.shape, dtype or array.dtype)
