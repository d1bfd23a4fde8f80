"""The simulated machine: devices, their memory pools, streams and events, and a count of what makes the host wait.

Work is done at once, so streams order nothing; what they were asked to do is recorded in ``machine.log``.
"""
from __future__ import annotations

import collections
import ctypes
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._names import VERSION

DEVICES = 2
UNIT = 512                     # bytes; CuPy's pool rounds every allocation up to a multiple
TOTAL = 8 << 30                # bytes of each simulated device
RED_ZONE = 64                  # bytes behind an allocation that nothing may write
_CANARY = bytes(range(0xB0, 0xB0 + RED_ZONE))


class Machine(threading.local):
    """What tests read and reset. ``syncs``: why the host waited, in order; ``log``: (stream, operation), where it is a list;
    ``corrupted``: allocations behind whose end something wrote."""

    syncs: list[str] = []
    log: list[tuple[int, str]] | None = None
    corrupted: list[str] = []

    def __init__(self) -> None:
        self.device = 0
        self.streams: list[Any] = [None] * DEVICES

    def wait(self, why: str) -> None:
        """The host waits for the device."""
        self.syncs.append(why)

    def record(self, what: str) -> None:
        if self.log is not None:
            stream = self.streams[self.device]
            self.log.append((0 if stream is None else stream.ptr, what))


machine = Machine()


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OutOfMemoryError(MemoryError):
    """Raised as CuPy raises it, with its message."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))


# ---- devices ---------------------------------------------------------------------------------------------------------------

ATTRIBUTES = {   # of an H200
    "MaxThreadsPerBlock": 1024, "MaxBlockDimX": 1024, "MaxBlockDimY": 1024, "MaxBlockDimZ": 64, "MaxGridDimX": 2147483647,
    "MaxGridDimY": 65535, "MaxGridDimZ": 65535, "MaxSharedMemoryPerBlock": 49152, "TotalConstantMemory": 65536, "WarpSize": 32,
    "MaxRegistersPerBlock": 65536, "ClockRate": 1980000, "MultiProcessorCount": 132, "Integrated": 0, "CanMapHostMemory": 1,
    "ConcurrentKernels": 1, "EccEnabled": 1, "AsyncEngineCount": 3, "UnifiedAddressing": 1, "MemoryClockRate": 3201000,
    "GlobalMemoryBusWidth": 6144, "L2CacheSize": 62914560, "MaxThreadsPerMultiProcessor": 2048, "ComputeCapabilityMajor": 9,
    "ComputeCapabilityMinor": 0, "StreamPrioritiesSupported": 1, "MaxSharedMemoryPerMultiprocessor": 233472,
    "MaxRegistersPerMultiprocessor": 65536, "ManagedMemory": 1, "ConcurrentManagedAccess": 1, "CooperativeLaunch": 1,
    "MaxSharedMemoryPerBlockOptin": 232448, "HostRegisterSupported": 1, "PageableMemoryAccess": 0,
    "ReservedSharedMemoryPerBlock": 1024, "MaxBlocksPerMultiprocessor": 32,
}


def _valid(device: int) -> int:
    if not 0 <= device < DEVICES:
        raise CUDARuntimeError(101, "cudaErrorInvalidDevice: invalid device ordinal")
    return device


class Device:
    def __init__(self, device: Any = None) -> None:
        self.id: int = machine.device if device is None else int(device)
        self._entered: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._entered.append(machine.device)
        machine.device = _valid(self.id)
        return self

    def __exit__(self, *exception: Any) -> None:
        machine.device = self._entered.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> Device:
        machine.device = _valid(self.id)
        return self

    def synchronize(self) -> None:
        machine.wait("Device.synchronize")

    @property
    def attributes(self) -> dict[str, int]:
        return dict(ATTRIBUTES)

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def mem_info(self) -> tuple[int, int]:
        return TOTAL - sum(p._total[self.id] for p in _pools), TOTAL

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id + 1:02X}:00.0"


# ---- memory ----------------------------------------------------------------------------------------------------------------

class Memory:
    """A block of a device's memory: owned bytes of the host, given back to its pool when nothing refers to it."""

    __slots__ = ("__weakref__", "_asked", "_guard", "_held", "_pool", "device_id")

    def __init__(self, size: int, held: Any, pool: MemoryPool | None, guard: Any = None) -> None:
        self._asked, self._held, self._pool, self._guard = size, held, pool, guard
        self.device_id = machine.device

    @property
    def size(self) -> int:
        return -(-self._asked // UNIT) * UNIT

    @property
    def ptr(self) -> int:
        return int(self._held.ctypes.data) if self._asked else 0

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def __del__(self) -> None:
        if self._guard is not None and self._guard.tobytes() != _CANARY:
            Machine.corrupted.append(f"{self._asked} bytes on device {self.device_id}")
        if self._pool is not None:
            self._pool._released(self.size, self.device_id)


class UnownedMemory:
    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        self.ptr, self.size, self._held = ptr, size, owner
        self.device_id = machine.device if device_id < 0 else device_id

    @property
    def device(self) -> Device:
        return Device(self.device_id)


class MemoryPointer:
    """Where an array's first element is."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr = mem, mem.ptr + offset

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    @property
    def device_id(self) -> int:
        return int(self.mem.device_id)

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def _copy(self, target: int, source: int, size: int, what: str) -> None:
        machine.record(what)
        ctypes.memmove(target, source, size)

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        self._copy(self.ptr, src.ptr, size, "copy_from_device")

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
        self._copy(self.ptr, src.ptr, size, "copy_from_device_async")

    def copy_from_host(self, mem: Any, size: int) -> None:
        machine.wait("copy_from_host")
        self._copy(self.ptr, int(getattr(mem, "value", mem)), size, "copy_from_host")

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        self._copy(self.ptr, int(getattr(mem, "value", mem)), size, "copy_from_host_async")

    def copy_to_host(self, mem: Any, size: int) -> None:
        machine.wait("copy_to_host")
        self._copy(int(getattr(mem, "value", mem)), self.ptr, size, "copy_to_host")

    def copy_to_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        self._copy(int(getattr(mem, "value", mem)), self.ptr, size, "copy_to_host_async")

    def memset(self, value: int, size: int) -> None:
        machine.record("memset")
        ctypes.memset(self.ptr, value, size)

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        self.memset(value, size)


class MemoryPool:
    """Accounts for memory as CuPy's pool does: rounded up to 512 bytes, kept when freed, reused for what is as large."""

    def __init__(self, allocator: Any = None) -> None:
        self._used, self._total, self._limit = [0] * DEVICES, [0] * DEVICES, [0] * DEVICES
        self._free: list[collections.Counter[int]] = [collections.Counter() for _ in range(DEVICES)]
        _pools.append(self)

    def malloc(self, size: int) -> MemoryPointer:
        memory = allocate(size, self)
        return MemoryPointer(memory, 0)

    def _taken(self, size: int) -> None:
        device, size = machine.device, -(-size // UNIT) * UNIT
        free = self._free[device]
        if free[size]:
            free[size] -= 1
        else:
            limit = self._limit[device]
            if (limit and self._total[device] + size > limit) or sum(p._total[device] for p in _pools) + size > TOTAL:
                self.free_all_blocks()
            if (limit and self._total[device] + size > limit) or sum(p._total[device] for p in _pools) + size > TOTAL:
                raise OutOfMemoryError(size, self._total[device], limit)
            self._total[device] += size
        self._used[device] += size

    def _released(self, size: int, device: int) -> None:
        size = -(-size // UNIT) * UNIT
        self._used[device] -= size
        self._free[device][size] += 1

    def used_bytes(self) -> int:
        return self._used[machine.device]

    def total_bytes(self) -> int:
        return self._total[machine.device]

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def n_free_blocks(self) -> int:
        return self._free[machine.device].total()

    def free_all_blocks(self, stream: Any = None) -> None:
        device = machine.device
        self._total[device] -= sum(size * n for size, n in self._free[device].items())
        self._free[device].clear()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if (size is None) == (fraction is None):
            if size is None:
                raise ValueError("Specify either size or fraction.")
            raise ValueError("size and fraction cannot be specified at one time")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(TOTAL * fraction)
        assert size is not None
        if size < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._limit[machine.device] = size

    def get_limit(self) -> int:
        return self._limit[machine.device]


_pools: list[MemoryPool] = []
default_pool = MemoryPool()
_allocator: Callable[[int], MemoryPointer] | None = default_pool.malloc
_local = threading.local()


def get_allocator() -> Any:
    return getattr(_local, "allocator", None) or _allocator or _malloc


def set_allocator(allocator: Any = None) -> None:
    global _allocator
    if getattr(_local, "allocator", None) is not None:
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _allocator = _malloc if allocator is None else allocator


@contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    before, _local.allocator = getattr(_local, "allocator", None), _malloc if allocator is None else allocator
    try:
        yield
    finally:
        _local.allocator = before


def _malloc(size: int) -> MemoryPointer:
    """Memory from no pool."""
    return MemoryPointer(allocate(size, None), 0)


def allocate(size: int, pool: MemoryPool | None) -> Memory:
    """Bytes aligned as CUDA aligns them, poisoned, with a red zone behind them."""
    if pool is not None:
        pool._taken(size)
    bytes_ = np.empty(size + RED_ZONE + 255, np.uint8)
    start = -bytes_.ctypes.data % 256
    held, guard = bytes_[start:start + size], bytes_[start + size:start + size + RED_ZONE]
    held[:], guard[:] = 0xFF, np.frombuffer(_CANARY, np.uint8)
    return Memory(size, held, pool, guard)


def adopt(array: np.ndarray[Any, Any]) -> Any:
    """The memory of a NumPy array that has just been made, accounted for in the current pool."""
    allocator = get_allocator()
    pool = getattr(allocator, "__self__", None)
    if isinstance(pool, MemoryPool):
        pool._taken(array.nbytes)
        return Memory(array.nbytes, array, pool)
    return Memory(array.nbytes, array, None) if allocator is _malloc else None


# ---- pinned host memory ----------------------------------------------------------------------------------------------------

class PinnedMemory:
    def __init__(self, size: int, flags: int = 0) -> None:
        self.size, self.ptr = size, 0


class PinnedMemoryPointer(bytearray):
    """Host memory with an address and the buffer protocol."""

    mem: PinnedMemory

    @property
    def ptr(self) -> int:
        return ctypes.addressof((ctypes.c_char * len(self)).from_buffer(self)) if len(self) else 0

    def size(self) -> int:
        return len(self)


class PinnedMemoryPool:
    def __init__(self, allocator: Any = None) -> None:
        pass

    def malloc(self, size: int) -> PinnedMemoryPointer:
        pointer = PinnedMemoryPointer(max(-(-size // UNIT) * UNIT, UNIT))
        pointer[:] = b"\xff" * len(pointer)
        pointer.mem = PinnedMemory(len(pointer))
        pointer.mem.ptr = pointer.ptr
        return pointer

    def n_free_blocks(self) -> int:
        return 0

    def free_all_blocks(self) -> None:
        pass


default_pinned_pool = PinnedMemoryPool()
_pinned_allocator: Any = default_pinned_pool.malloc


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    pointer: PinnedMemoryPointer = _pinned_allocator(size)
    return pointer


def set_pinned_memory_allocator(allocator: Any = None) -> None:
    global _pinned_allocator
    _pinned_allocator = default_pinned_pool.malloc if allocator is None else allocator


# ---- streams ---------------------------------------------------------------------------------------------------------------

_handles = itertools.count(0x5000, 0x10)
_clock = itertools.count(1)


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr, self._timing, self._at = next(_handles), not disable_timing, 0

    @property
    def done(self) -> bool:
        return True

    def record(self, stream: Any = None) -> None:
        self._at = next(_clock)
        machine.record("event.record")

    def synchronize(self) -> None:
        machine.wait("Event.synchronize")


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    if not (start_event._timing and end_event._timing and start_event._at and end_event._at):
        raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: invalid resource handle")
    return (end_event._at - start_event._at) * 1e-3


class Graph:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("currently this class cannot be initiated by users; create a new stream and use stream capture")


class _Stream:
    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr, self.device_id = ptr, device_id
        self._entered: list[tuple[int, Any]] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def _here(self) -> int:
        if self.device_id not in (-1, machine.device):
            raise RuntimeError(f"This stream was not created for the current device {machine.device}")
        return machine.device

    def __enter__(self) -> _Stream:
        device = self._here()
        self._entered.append((device, machine.streams[device]))
        machine.streams[device] = self
        return self

    def __exit__(self, *exception: Any) -> None:
        device, before = self._entered.pop()
        machine.streams[device] = before

    def use(self) -> _Stream:
        machine.streams[self._here()] = self
        return self

    @property
    def done(self) -> bool:
        return True

    def synchronize(self) -> None:
        machine.wait("Stream.synchronize")

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        machine.record("stream.wait_event")

    def add_callback(self, callback: Any, arg: Any) -> None:
        callback(self, 0, arg)

    def launch_host_func(self, callback: Any, arg: Any) -> None:
        callback(arg)

    def is_capturing(self) -> bool:
        return False

    def begin_capture(self, mode: Any = None) -> None:
        raise NotImplementedError("the stand-in captures no graphs")

    def end_capture(self) -> None:
        raise CUDARuntimeError(401, "cudaErrorIllegalState: the operation cannot be performed in the present state")


class Stream(_Stream):
    null: Any
    ptds: Any

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, **more: Any) -> None:
        self._priority = more.pop("priority", None) if VERSION >= 14 else None
        if more:
            raise TypeError(f"__init__() got an unexpected keyword argument {next(iter(more))!r}")
        super().__init__(0 if null else 2 if ptds else next(_handles), -1 if null or ptds else machine.device)
        self._non_blocking = non_blocking

    if VERSION >= 14:
        @property
        def is_non_blocking(self) -> bool:
            return self._non_blocking

        @property
        def priority(self) -> int:
            return self._priority or 0


class ExternalStream(_Stream):
    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__(ptr, device_id)


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


def get_current_stream(device_id: int = -1) -> Any:
    found = machine.streams[machine.device if device_id < 0 else device_id]
    return Stream.null if found is None else found
