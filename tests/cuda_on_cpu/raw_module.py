"""``cupy.RawModule`` for the CPU: the same CUDA C++, launched the same way, on memory of the host."""
from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import build

__all__ = ["KernelError", "RawKernel", "RawModule", "thread_order"]

SHARED_MEMORY, SHARED_MEMORY_OPTIN, MOST_THREADS = 48 << 10, 227 << 10, 1024
GRID_LIMITS, BLOCK_LIMITS = (2**31 - 1, 65535, 65535), (1024, 1024, 64)

_lock = threading.Lock()   # one launch at a time
_seed = 0   # of the order in which a block's threads take turns


class KernelError(RuntimeError):
    """A kernel did what it must not: a barrier some threads never reach, an access out of bounds or misaligned, a trap."""


@contextlib.contextmanager
def thread_order(seed: int) -> Iterator[None]:
    """Within, threads take turns in another order: 0 as numbered, -1 backwards, above 0 at random (the same for one seed).

    A kernel that lacks a barrier gives different results for different orders.
    """
    global _seed
    before, _seed = _seed, seed
    try:
        yield
    finally:
        _seed = before


class _Parameter(ctypes.Structure):
    _fields_ = [("size", ctypes.c_int), ("kind", ctypes.c_char)]


class _Kernel(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("invoke", ctypes.c_void_p), ("parameters", ctypes.POINTER(_Parameter)),
                ("count", ctypes.c_int), ("max_threads", ctypes.c_int)]


class _Module(ctypes.Structure):
    _fields_ = [("kernels", ctypes.POINTER(_Kernel)), ("shared", ctypes.c_void_p), ("shared_end", ctypes.c_void_p)]


@functools.cache
def _launch() -> Any:
    launch = ctypes.CDLL(str(build.runtime(build.sanitizer()))).emulator_launch
    launch.restype = ctypes.c_char_p
    launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_longlong]
    return launch


_KINDS = {"p": "a pointer", "i": "a signed integer", "u": "an unsigned integer", "f": "a floating-point number",
          "s": "a structure"}


class RawKernel:
    """One entry point; called as ``kernel(grid, block, args, shared_mem=0)``."""

    def __init__(self, module: RawModule, entry: _Kernel) -> None:
        self._module, self._entry = module, entry
        self.name = entry.name.decode()
        self.parameters = [(p.size, p.kind.decode()) for p in entry.parameters[:entry.count]]
        self.max_threads_per_block = entry.max_threads or MOST_THREADS
        held = module.module.contents
        # of the whole module, as what each kernel has of it is not known; with AddressSanitizer none
        self._static = (held.shared_end or 0) - (held.shared or 0)
        self._dynamic = max(0, SHARED_MEMORY - self._static)

    def __repr__(self) -> str:
        return f"RawKernel({self.name!r})"

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Bytes of dynamic shared memory a launch may ask for; set it to have more than 48 KB with the static ones."""
        return self._dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if not 0 <= size <= SHARED_MEMORY_OPTIN - self._static:
            raise ValueError(f"{self.name}: max_dynamic_shared_size_bytes = {size}, the device has {SHARED_MEMORY_OPTIN}, of "
                             f"which the module's static shared memory takes {self._static}")
        self._dynamic = size

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0) -> None:
        dims = [*_dims("grid", self.name, grid, GRID_LIMITS), *_dims("block", self.name, block, BLOCK_LIMITS)]
        threads = dims[3] * dims[4] * dims[5]
        if threads > self.max_threads_per_block:
            raise ValueError(f"{self.name}: a block of {threads} threads, at most {self.max_threads_per_block} can be launched")
        if not 0 <= shared_mem <= self._dynamic:
            raise ValueError(f"{self.name}: shared_mem={shared_mem}, at most {self._dynamic} bytes can be had "
                             f"(more only after setting max_dynamic_shared_size_bytes)")
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(self.parameters)} parameters")
        words = [self._word(i, arg, *p) for i, (arg, p) in enumerate(zip(args, self.parameters))]
        pointers = (ctypes.c_void_p * (len(words) + 1))(*(ctypes.addressof(w) for w in words))
        with _lock:
            error = _launch()(self._module.module, ctypes.byref(self._entry), (ctypes.c_uint * 6)(*dims), shared_mem, pointers,
                              _seed)
        if error is not None:
            raise KernelError(error.decode())

    def _word(self, i: int, arg: Any, size: int, kind: str) -> Any:
        """The argument as the driver would copy it; the real launch would silently misread one of another size or kind."""
        if isinstance(arg, np.ndarray) and self._module.host_arrays:
            given, word = "p", ctypes.c_uint64(arg.ctypes.data)
        elif isinstance(arg, np.generic):
            given, word = arg.dtype.kind, ctypes.create_string_buffer(arg.tobytes(), arg.dtype.itemsize)
            if arg.dtype.itemsize != size or (given, kind) not in {("i", "i"), ("u", "u"), ("i", "u"), ("u", "i"), ("f", "f")}:
                given = "?"
        elif type(arg) is int:
            if not -2**63 <= arg < 2**64:
                raise OverflowError(f"{self.name}: argument {i} is {arg}, which 64 bits do not hold")
            given, word = kind if size == 8 and kind in "piu" else "?", ctypes.c_uint64(arg & (2**64 - 1))
        elif type(arg) is float:
            given, word = "f" if size == 8 else "?", ctypes.c_double(arg)
        elif hasattr(arg, "data") and hasattr(arg.data, "ptr"):
            given, word = "p", ctypes.c_uint64(arg.data.ptr)
        else:
            given = "?"
        if given != kind and not (isinstance(arg, np.generic) and given in "iu" and kind in "iu"):
            array = hasattr(arg, "dtype") and not isinstance(arg, np.generic)
            what = f"{arg.dtype} array" if array else f"{type(arg).__name__} {arg!r}"
            raise TypeError(f"{self.name}: argument {i} is a {what}, the parameter is {_KINDS[kind]} of {size} bytes")
        return word


def _dims(what: str, name: str, given: Sequence[int], limits: Sequence[int]) -> list[int]:
    if not isinstance(given, tuple) or not 1 <= len(given) <= 3:
        raise ValueError(f"{name}: {what} is {given!r}, expected a tuple of one to three integers")
    out = [*given, 1, 1][:3]
    for value, limit in zip(out, limits):
        if not isinstance(value, (int, np.integer)) or not 1 <= value <= limit:
            raise ValueError(f"{name}: {what} is {given}, expected integers from 1 to {', '.join(map(str, limits))}")
    return [int(v) for v in out]


class RawModule:
    """Compiled CUDA C++. The test that makes one is skipped where there is no C++ compiler.

    Arguments of kernels are objects with ``.data.ptr``, ints, floats and NumPy scalars; and NumPy arrays where ``host_arrays``.
    """

    host_arrays = True   # false where another array class stands for the device's

    def __init__(self, *, code: str | None = None, path: str | None = None, options: Sequence[str] = (), backend: str = "nvrtc",
                 name_expressions: Sequence[str] | None = None) -> None:
        if (code is None) == (path is None):
            raise TypeError("RawModule: give either code or path")
        if why := build.why_not():
            pytest.skip(why)
        self.code, self.options, self.backend = Path(path).read_text() if path else str(code), tuple(options), backend
        self.name_expressions = tuple(name_expressions or ())
        self._kernels: dict[str, RawKernel] | None = None

    def compile(self) -> None:
        """Compile and load, as the first ``get_function`` does. Raises ``CompileError`` with the compiler's message."""
        if self._kernels is not None:
            return
        loaded = ctypes.CDLL(str(build.library(self.code, self.options, names=self.name_expressions)))
        loaded.emulator_module.restype = ctypes.POINTER(_Module)
        self.module, self._kernels = loaded.emulator_module(), {}
        table = self.module.contents.kernels
        while table[len(self._kernels)].name is not None:
            kernel = RawKernel(self, table[len(self._kernels)])
            self._kernels[kernel.name] = kernel

    def get_function(self, name: str) -> RawKernel:
        """The entry point of that name (for a template, the expression given in ``name_expressions``)."""
        self.compile()
        assert self._kernels is not None
        if name not in self._kernels:
            raise KeyError(f"no kernel is called {name!r}; there are {', '.join(self._kernels)}")
        return self._kernels[name]
