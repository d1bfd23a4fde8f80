"""``cupy.cuda``."""
from __future__ import annotations

import ctypes
from types import SimpleNamespace as _SimpleNamespace
from typing import Any

from . import _machine
from ._machine import (
    Device,
    Event,
    ExternalStream,
    Graph,
    Memory,
    MemoryPointer,
    MemoryPool,
    PinnedMemory,
    PinnedMemoryPointer,
    PinnedMemoryPool,
    Stream,
    UnownedMemory,
    alloc_pinned_memory,
    get_allocator,
    get_current_stream,
    get_elapsed_time,
    set_allocator,
    set_pinned_memory_allocator,
    using_allocator,
)
from ._machine import machine as _state
from ._names import OTHER_NAMES, VERSION

__all__ = ["Device", "Event", "ExternalStream", "Graph", "Memory", "MemoryPointer", "MemoryPool",
           "PinnedMemory", "PinnedMemoryPointer", "PinnedMemoryPool", "Stream", "UnownedMemory", "alloc",
           "alloc_pinned_memory", "get_allocator", "get_current_stream", "get_device_id", "get_elapsed_time", "is_available",
           "set_allocator", "set_pinned_memory_allocator", "using_allocator"]


def is_available() -> bool:
    return True


def get_device_id() -> int:
    return _state.device


def alloc(size: int) -> MemoryPointer:
    pointer: MemoryPointer = get_allocator()(size)
    return pointer


def _set_device(device: int) -> None:
    _state.device = _machine._valid(device)


def _memcpy(dst: int, src: int, size: int, kind: int) -> None:
    if kind == 2:
        _state.wait("memcpy to the host")
    _state.record("memcpy")
    ctypes.memmove(dst, src, size)


def _memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    _state.record("memcpyAsync")
    ctypes.memmove(dst, src, size)


def _memset(ptr: int, value: int, size: int) -> None:
    _state.record("memset")
    ctypes.memset(ptr, value, size)


_host: dict[int, Any] = {}


def _host_alloc(size: int, flags: int = 0) -> int:
    memory = alloc_pinned_memory(size)
    _host[memory.ptr] = memory
    return memory.ptr


class _Namespace(_SimpleNamespace):
    """A module of CuPy's; what CuPy has in it and the stand-in does not raises ``NotImplementedError``."""

    def __init__(self, path: str, **names: Any) -> None:
        super().__init__(**names)
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return _missing(self._path, name)


def _missing(path: str, name: str) -> Any:
    if name in OTHER_NAMES[path]:
        raise NotImplementedError(f"{path} has {name}, the stand-in for it does not")
    raise AttributeError(f"module {path!r} has no attribute {name!r}")


def __getattr__(name: str) -> Any:
    return _missing("cupy.cuda", name)


runtime = _Namespace("cupy.cuda.runtime",
    CUDARuntimeError=_machine.CUDARuntimeError, getDeviceCount=lambda: _machine.DEVICES, getDevice=lambda: _state.device,
    setDevice=_set_device, deviceSynchronize=lambda: _state.wait("deviceSynchronize"),
    streamSynchronize=lambda stream: _state.wait("streamSynchronize"), memcpy=_memcpy, memcpyAsync=_memcpy_async,
    memset=_memset, memsetAsync=lambda ptr, value, size, stream: _memset(ptr, value, size),
    memGetInfo=lambda: Device().mem_info,
    runtimeGetVersion=lambda: 12090 if VERSION < 14 else 13000,
    driverGetVersion=lambda: 13000, hostAlloc=_host_alloc, freeHost=lambda ptr: _host.pop(ptr, None) and None,
    memcpyHostToHost=0, memcpyHostToDevice=1, memcpyDeviceToHost=2, memcpyDeviceToDevice=3, memcpyDefault=4, is_hip=False,
    getDeviceProperties=lambda device: {"name": b"NVIDIA H200", "major": 9, "minor": 0, "multiProcessorCount": 132,
                                        "totalGlobalMem": _machine.TOTAL, "warpSize": 32, "sharedMemPerBlock": 49152,
                                        "sharedMemPerBlockOptin": 232448, "maxThreadsPerBlock": 1024},
    deviceGetAttribute=lambda attribute, device: 0, streamQuery=lambda stream: True)
memory = _Namespace("cupy.cuda.memory", OutOfMemoryError=_machine.OutOfMemoryError, MemoryPool=MemoryPool, Memory=Memory,
                MemoryPointer=MemoryPointer,
                         UnownedMemory=UnownedMemory, alloc=alloc, get_allocator=get_allocator, set_allocator=set_allocator)
device = _Namespace("cupy.cuda.device", Device=Device, get_device_id=get_device_id, get_compute_capability=lambda: "90")
stream = _Namespace("cupy.cuda.stream", Stream=Stream, ExternalStream=ExternalStream, Event=Event,
                get_current_stream=get_current_stream,
                         get_elapsed_time=get_elapsed_time)
pinned_memory = _Namespace("cupy.cuda.memory", PinnedMemory=PinnedMemory, PinnedMemoryPointer=PinnedMemoryPointer,
                                PinnedMemoryPool=PinnedMemoryPool, alloc_pinned_memory=alloc_pinned_memory,
                                set_pinned_memory_allocator=set_pinned_memory_allocator)
