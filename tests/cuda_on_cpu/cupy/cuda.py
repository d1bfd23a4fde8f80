"""``cupy.cuda``."""
from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

from . import _machine
from ._machine import (
    CUDARuntimeError,
    Device,
    Event,
    ExternalStream,
    Graph,
    Memory,
    MemoryPointer,
    MemoryPool,
    OutOfMemoryError,
    PinnedMemory,
    PinnedMemoryPointer,
    PinnedMemoryPool,
    Stream,
    UnownedMemory,
    alloc_pinned_memory,
    get_allocator,
    get_current_stream,
    get_elapsed_time,
    machine,
    set_allocator,
    set_pinned_memory_allocator,
    using_allocator,
)

__all__ = ["CUDARuntimeError", "Device", "Event", "ExternalStream", "Graph", "Memory", "MemoryPointer", "MemoryPool",
           "OutOfMemoryError", "PinnedMemory", "PinnedMemoryPointer", "PinnedMemoryPool", "Stream", "UnownedMemory", "alloc",
           "alloc_pinned_memory", "get_allocator", "get_current_stream", "get_device_id", "get_elapsed_time", "is_available",
           "set_allocator", "set_pinned_memory_allocator", "using_allocator"]


def is_available() -> bool:
    return True


def get_device_id() -> int:
    return machine.device


def alloc(size: int) -> MemoryPointer:
    pointer: MemoryPointer = get_allocator()(size)
    return pointer


def _set_device(device: int) -> None:
    machine.device = _machine._valid(device)


def _memcpy(dst: int, src: int, size: int, kind: int) -> None:
    if kind == 2:
        machine.wait("memcpy to the host")
    machine.record("memcpy")
    ctypes.memmove(dst, src, size)


def _memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    machine.record("memcpyAsync")
    ctypes.memmove(dst, src, size)


def _memset(ptr: int, value: int, size: int) -> None:
    machine.record("memset")
    ctypes.memset(ptr, value, size)


_host: dict[int, Any] = {}


def _host_alloc(size: int, flags: int = 0) -> int:
    memory = alloc_pinned_memory(size)
    _host[memory.ptr] = memory
    return memory.ptr


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: _machine.DEVICES, getDevice=lambda: machine.device,
    setDevice=_set_device, deviceSynchronize=lambda: machine.wait("deviceSynchronize"),
    streamSynchronize=lambda stream: machine.wait("streamSynchronize"), memcpy=_memcpy, memcpyAsync=_memcpy_async,
    memset=_memset, memsetAsync=lambda ptr, value, size, stream: _memset(ptr, value, size),
    memGetInfo=lambda: Device().mem_info,
    runtimeGetVersion=lambda: 12090 if _machine.__name__.split(".")[-2].endswith("13") else 13000,
    driverGetVersion=lambda: 13000, hostAlloc=_host_alloc, freeHost=lambda ptr: _host.pop(ptr, None) and None,
    memcpyHostToHost=0, memcpyHostToDevice=1, memcpyDeviceToHost=2, memcpyDeviceToDevice=3, memcpyDefault=4, is_hip=False,
    getDeviceProperties=lambda device: {"name": b"NVIDIA H200", "major": 9, "minor": 0, "multiProcessorCount": 132,
                                        "totalGlobalMem": _machine.TOTAL, "warpSize": 32, "sharedMemPerBlock": 49152,
                                        "sharedMemPerBlockOptin": 232448, "maxThreadsPerBlock": 1024},
    deviceGetAttribute=lambda attribute, device: 0, streamQuery=lambda stream: True)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool, Memory=Memory, MemoryPointer=MemoryPointer,
                         UnownedMemory=UnownedMemory, alloc=alloc, get_allocator=get_allocator, set_allocator=set_allocator)
device = SimpleNamespace(Device=Device, get_device_id=get_device_id, get_compute_capability=lambda: "90")
stream = SimpleNamespace(Stream=Stream, ExternalStream=ExternalStream, Event=Event, get_current_stream=get_current_stream,
                         get_elapsed_time=get_elapsed_time)
pinned_memory = SimpleNamespace(PinnedMemory=PinnedMemory, PinnedMemoryPointer=PinnedMemoryPointer,
                                PinnedMemoryPool=PinnedMemoryPool, alloc_pinned_memory=alloc_pinned_memory,
                                set_pinned_memory_allocator=set_pinned_memory_allocator)
