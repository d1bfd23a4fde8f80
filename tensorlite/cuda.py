"""The CUDA devices: which there are, which is current, their memory, streams, settings. CuPy is imported when first asked."""
from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from tensorlite import backends
from tensorlite.errors import BackendUnavailable, DeviceError

__all__ = ["allow_tf32", "current_device", "current_stream", "device", "device_count", "empty_cache", "get_device_capability",
           "get_device_name", "is_available", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats",
           "set_memory_limit", "stream", "synchronize", "Event", "Stream"]


def _backend() -> Any:
    return backends.backend_for_device("cuda")


def _name(device: Any) -> str:
    return "cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else str(device)


def is_available() -> bool:
    """Whether there are a CUDA device and a CuPy to use it with; ``tl.backends()["cupy"]`` says what is missing.

    >>> import tensorlite as tl
    >>> tl.cuda.is_available() == (tl.backends()["cupy"] == "available")
    True
    """
    try:
        _backend()
    except BackendUnavailable:
        return False
    return True


def device_count() -> int:
    """How many CUDA devices there are; 0 where CUDA cannot be used."""
    return int(_backend().count) if is_available() else 0


def current_device() -> int:
    """The number of the device that ``"cuda"`` means."""
    return int(_backend().canonical("cuda").partition(":")[2])


def device(device: Any) -> AbstractContextManager[Any]:
    """A context in which ``"cuda"`` means this device: ``with tl.cuda.device(1): ...``."""
    found: AbstractContextManager[Any] = _backend().on(_name(device))
    return found


def get_device_name(device: Any = None) -> str:
    """What the device is called, such as ``NVIDIA H200``."""
    return str(_properties(device)["name"].decode())


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability: (9, 0) for Hopper."""
    found = _properties(device)
    return int(found["major"]), int(found["minor"])


def _properties(device: Any) -> dict[str, Any]:
    backend = _backend()
    number = int(backend.canonical(_name(device)).partition(":")[2])
    found: dict[str, Any] = backend.cupy.cuda.runtime.getDeviceProperties(number)
    return found


# ---- memory ----------------------------------------------------------------------------------------------------------

def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes: ``allocated`` by tensors, ``reserved`` by the pool (the tensors' among them), ``free`` and ``total`` on the device,
    ``limit`` of the pool (0: none)."""
    found: dict[str, int] = _backend().memory_stats(_name(device))
    return found


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold."""
    return memory_stats(device)["allocated"]


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool has from the device, in use or kept for later."""
    return memory_stats(device)["reserved"]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device, other programs counted."""
    found = memory_stats(device)
    return found["free"], found["total"]


def empty_cache(device: Any = None) -> None:
    """Give memory that the pool keeps, and no tensor uses, back to the device."""
    _backend().empty_cache(_name(device))


def set_memory_limit(size: int | None = None, *, fraction: float | None = None, device: Any = None) -> None:
    """Let the pool have at most ``size`` bytes, or a ``fraction`` of the device's memory; neither: no limit.

    An allocation beyond it raises ``tl.errors.OutOfMemoryError``.
    """
    backend = _backend()
    with backend.on(_name(device)):
        pool = backend.cupy.get_default_memory_pool()
        if fraction is not None:
            pool.set_limit(fraction=fraction)
        else:
            pool.set_limit(size=size or 0)


# ---- order -----------------------------------------------------------------------------------------------------------

def synchronize(device: Any = None) -> None:
    """Wait until the device has done all that was asked of it, and raise what kernels reported (an index out of range)."""
    _backend().synchronize(_name(device))


def Stream(*, non_blocking: bool = True) -> Any:
    """A new queue of work on the current device; see :func:`stream`. CuPy's: its ``synchronize()`` waits, and raises nothing that
    kernels reported (:func:`synchronize` does)."""
    return _backend().cupy.cuda.Stream(non_blocking=non_blocking)


def Event(*, enable_timing: bool = False) -> Any:
    """A mark in a stream: ``record(stream)``, ``synchronize()``, ``done``; a stream's ``wait_event(event)`` waits for it on the
    device."""
    return _backend().cupy.cuda.Event(disable_timing=not enable_timing)


def stream(stream: Any) -> AbstractContextManager[Any]:
    """A context whose operations are put into ``stream``. Memory that another stream still works on must be kept until that is
    done: have the one wait for the other with an event, or synchronise."""
    if not hasattr(stream, "__enter__"):
        raise DeviceError(f"stream: expected a Stream, not a {type(stream).__name__}")
    found: AbstractContextManager[Any] = stream
    return found


def current_stream() -> Any:
    """The stream that operations are put into."""
    return _backend().cupy.cuda.get_current_stream()


# ---- settings --------------------------------------------------------------------------------------------------------

def allow_tf32(allow: bool | None = None) -> bool:
    """Whether float32 matrix products may run in TF32 (10 bits of mantissa, several times faster); with ``allow``, set it. Off at
    first, as in PyTorch."""
    runtime = _backend().runtime
    if allow is not None:
        runtime.tf32 = bool(allow)
    return bool(runtime.tf32)
