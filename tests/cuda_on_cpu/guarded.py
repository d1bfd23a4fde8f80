"""Device memory of exact size between forbidden pages: whatever reads or writes outside it is caught at once."""
from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tensorlite.backends._cuda import CupyBackend
from tensorlite.kernels._cuda import Runtime

from . import cupy

__all__ = ["Guards", "exact", "guarded", "runtime"]

PAGE = mmap.PAGESIZE
CANARY, NOTHING = 0xC5, 0   # PROT_NONE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype, _libc.munmap.restype = ctypes.c_void_p, ctypes.c_int
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_kept: tuple[dict[Any, Any], dict[Any, Any]] = {}, {}   # compiled functions and modules, for every runtime made here


class _Region:
    """Pages with a forbidden one before and one behind, and ``size`` bytes in them; what is left over is canaries."""

    def __init__(self, size: int, offset: int, at_end: bool) -> None:
        self.size = max(PAGE, -(-(size + 16 + offset) // PAGE) * PAGE)
        start = _libc.mmap(None, self.size + 2 * PAGE, NOTHING, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if start in (None, ctypes.c_void_p(-1).value):
            raise MemoryError(f"mmap of {self.size} bytes: errno {ctypes.get_errno()}")
        self.start = start + PAGE
        _libc.mprotect(self.start, self.size, mmap.PROT_READ | mmap.PROT_WRITE)
        end = self.start + self.size
        self.ptr = end - size - (end - size - offset) % 16 if at_end else self.start + offset
        self.bytes = np.frombuffer((ctypes.c_ubyte * self.size).from_address(self.start), np.uint8)
        self.bytes[:] = CANARY
        low = self.ptr - self.start
        self.bytes[low:low + size] = 0xA5
        self.outside = self.bytes[:low], self.bytes[low + size:]

    def __del__(self) -> None:
        _libc.munmap(self.start - PAGE, self.size + 2 * PAGE)


class Guards:
    """Allocates for the stand-in for CuPy. Every array begins ``offset`` bytes past a multiple of 16.

    ``at_end``: whether arrays end where a forbidden page begins (but for what the offset leaves), so that reading on faults; else
    they begin where one ends (but for the offset).
    """

    def __init__(self, offset: int = 0, at_end: bool = True) -> None:
        self.offset, self.at_end = offset, at_end
        self.regions: list[_Region] = []

    def __call__(self, size: int) -> Any:
        region = _Region(size, self.offset, self.at_end)
        self.regions.append(region)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(region.ptr, size, region, 0), 0)

    def check(self) -> None:
        """Raise ``AssertionError`` if something was written just outside an array."""
        for region in self.regions:
            low, high = region.outside
            assert (low == CANARY).all() and (high == CANARY).all(), (
                f"written outside an array of {len(region.bytes) - len(low) - len(high)} bytes: before it at "
                f"{np.flatnonzero(low != CANARY)[-3:] - len(low)}, behind it at {np.flatnonzero(high != CANARY)[:3]}")


def exact(size: int) -> Any:
    """An allocator that takes exactly ``size`` bytes from the C library, where AddressSanitizer knows their ends."""
    held = np.full(size, 0xA5, np.uint8)
    return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(held.ctypes.data, size, held, 0), 0)


def runtime() -> Runtime:
    """A new runtime over the stand-in for CuPy; it keeps no memory from earlier ones. Its multiprocessors are few, so that blocks
    come round to more work in small cases too."""
    made: Runtime = CupyBackend(cupy).runtime
    made.multiprocessors = 4
    made._functions, made._modules = _kept
    return made


@contextmanager
def guarded(offset: int = 0, at_end: bool = True) -> Iterator[tuple[Runtime, Guards]]:
    """A runtime whose arrays are guarded as :class:`Guards` says; what was written outside them is found at the end."""
    guards = Guards(offset, at_end)
    with cupy.cuda.using_allocator(guards):
        yield runtime(), guards
    guards.check()
