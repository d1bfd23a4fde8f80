"""The CUDA backend: CuPy's arrays, and the fused kernels of ``kernels/``.

The module ``cupy`` is a parameter, so that the tests run all of this on the CPU with a stand-in for it. Nothing here waits for
the device unless the host asks for a value.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends import _cuda_bfloat16, _cuda_elementwise, _cuda_implementations, _cuda_scatter
from tensorlite.backends._base import OWN_REFERENCES, Backend
from tensorlite.backends._cuda_namespace import Namespace, number
from tensorlite.errors import BackendUnavailable, DeviceError, DTypeError, OutOfRangeError
from tensorlite.kernels._cuda import Runtime

INSTALL = ("install CuPy for your driver's CUDA version: pip install \"tensorlite[cuda12]\" for CUDA 12, "
           "\"tensorlite[cuda13]\" for CUDA 13 (nvidia-smi shows the version)")


def load() -> CupyBackend:
    """The backend on the CuPy that is installed; ``BackendUnavailable`` says what is missing."""
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        raise BackendUnavailable(f"CUDA needs CuPy, which is {'not installed' if missing else f'broken ({error})'}: {INSTALL}; "
                                 "device='cpu' works without") from error
    return CupyBackend(cupy)


class CupyBackend(Backend):
    """Arrays in the memory of NVIDIA GPUs.

    ``cupy``: the module CuPy, 13 or later.
    """

    name = "cupy"
    devices = ("cuda",)
    asynchronous = True

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.array_type: Any = cupy.ndarray
        self.scalar_types = ()
        self.capabilities = frozenset({"inplace", "strides", "float16"} | ({"bfloat16"} if _has_bfloat16(cupy) else set()))
        self.xp = Namespace(cupy, None, self.checked)
        self.runtime = Runtime(cupy, self.xp)
        self._namespaces: dict[int, Namespace] = {}
        self._names: dict[int, str] = {}
        self._units: dict[Any, Any] = {}
        self._in_flight: list[tuple[Any, Any]] = []   # (event, host memory that a copy still reads)

    def is_available(self) -> tuple[bool, str]:
        try:
            found = self.cupy.cuda.runtime.getDeviceCount()
            why = "it finds no CUDA device"
        except Exception as error:   # the driver is missing or too old
            found, why = 0, f"it cannot use a CUDA device ({error})"
        if found:
            return True, ""
        return False, (f"CuPy {self.cupy.__version__} is installed, but {why}: is there an NVIDIA GPU, and is its driver "
                       "installed and recent enough (nvidia-smi)? device='cpu' works without")

    @cached_property
    def count(self) -> int:
        """How many CUDA devices there are."""
        return int(self.cupy.cuda.runtime.getDeviceCount())

    # ---- what runs an operation -------------------------------------------------------------------------------------------

    @cached_property
    def implementations(self) -> dict[str, Callable[..., Any]]:   # type: ignore[override]
        return _cuda_implementations.table(self)

    def implementation(self, name: str, reference: Any) -> Callable[..., Any]:
        run = super().implementation(name, reference)
        if name in _cuda_elementwise.FORMULAS:
            run = _cuda_elementwise.fused(self, name, run)
        elif name in _cuda_elementwise.ACTIVATIONS:
            run = _cuda_elementwise.activation(self, name, run)
        if name in _cuda_bfloat16.ROUNDED_ONCE and "bfloat16" in self.capabilities:
            run = _cuda_bfloat16.rounded_once(run, self.array_type)
        return run if self.count == 1 else self._where_the_arrays_are(name, run)

    def _where_the_arrays_are(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """``run`` with the arguments' device as the current one: CUDA launches where the thread is, not where the data are."""
        array_type, current, on = self.array_type, self.cupy.cuda.runtime.getDevice, self.cupy.cuda.Device

        def there(*args: Any, **options: Any) -> Any:
            found = {a.data.device_id for a in args if isinstance(a, array_type)}
            if len(found) > 1:
                where = ", ".join(f"cuda:{d}" for d in sorted(found))
                raise DeviceError(f"{name}: the arguments live on different devices: {where}; move them to one with .to(device)")
            device = found.pop() if found else current()
            if device == current():
                return run(*args, **options)
            with on(device):
                return run(*args, **options)
        return there

    @cached_property
    def _check(self) -> Callable[..., Any]:
        found = kernels.load("check_indices").cuda
        assert found is not None
        return found

    def checked(self, indices: Any, axis: int, shape: tuple[int, ...], op: str) -> Any:
        """Integer indices into an axis of that shape; CuPy would wrap those out of range, here they are reported."""
        n = shape[axis]
        return self._check(self.runtime, indices, low=-n, high=n, what=op, axis=axis % len(shape), shape=shape)

    # ---- devices ----------------------------------------------------------------------------------------------------------

    def canonical(self, device: str) -> str:
        index = number(device)
        if index is None:
            index = self.cupy.cuda.runtime.getDevice()
        elif not 0 <= index < self.count:
            raise DeviceError(f"device {device!r} does not exist; there {'is' if self.count == 1 else 'are'} {self.count} CUDA "
                              f"device{'' if self.count == 1 else 's'}: cuda:0" + (f" to cuda:{self.count - 1}" if self.count > 1
                                                                                   else ""))
        return self._named(index)

    def _named(self, index: int) -> str:
        name = self._names.get(index)
        if name is None:
            name = self._names[index] = f"cuda:{index}"
        return name

    def device_of(self, array: Any) -> str:
        return self._named(array.data.device_id)

    def namespace(self, device: str) -> Any:
        if self.count == 1:
            return self.xp
        index = int(self.canonical(device).partition(":")[2])
        if index not in self._namespaces:
            self._namespaces[index] = Namespace(self.cupy, index, self.checked)
        return self._namespaces[index]

    def on(self, device: str) -> AbstractContextManager[Any]:
        if self.count == 1:
            self.canonical(device)
            return nullcontext()
        found: AbstractContextManager[Any] = self.cupy.cuda.Device(number(self.canonical(device)))
        return found

    # ---- arrays in and out ------------------------------------------------------------------------------------------------

    def asarray(self, value: Any, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Any:
        with self.on(device or (self.device_of(value) if isinstance(value, self.array_type) else "cuda")):
            if isinstance(value, self.array_type):
                here = value.data.device_id == self.cupy.cuda.runtime.getDevice()
                if dtype is not None and value.dtype != dtype:
                    with self.cupy.cuda.Device(value.data.device_id):
                        value, copy = value.astype(dtype), False if here else copy
                return value.copy() if copy or not here else value   # copies to the current device
            return self.cupy.asarray(self._fitting(np.asarray(value, dtype=dtype)))

    def _fitting(self, host: Any) -> Any:
        """The NumPy array, if its elements can live on a device."""
        if host.dtype.kind in "OUSMm":
            raise DTypeError(f"asarray: dtype {host.dtype} cannot live on a CUDA device; expected numbers or booleans")
        if host.dtype.kind == "V" and "bfloat16" not in self.capabilities:
            raise DTypeError(f"asarray: {host.dtype} needs CuPy 14 or later on CUDA, and this is {self.cupy.__version__}; use "
                             "float16 or float32")
        return host

    def upload(self, host: Any, device: str) -> Any:
        host = np.asarray(self._fitting(host), order="C")
        with self.on(device):
            out = self.cupy.empty(host.shape, host.dtype)
            self._copying(lambda stream: out.set(host, stream=stream), host)
        return out

    def download(self, array: Any) -> Any:
        host = self.pinned(array.shape, array.dtype)
        with self.on(self.device_of(array)):
            array = self.runtime.contiguous(array)
            self._copying(lambda stream: array.get(stream=stream, out=host, blocking=False), (array, host))
        return host

    def _copying(self, copy: Callable[[Any], Any], kept: Any) -> None:
        """Start a copy on the current stream, and keep the memory it works on until it is done."""
        stream = self.cupy.cuda.get_current_stream()
        copy(stream)
        event = self.mark()
        self._in_flight = [(e, k) for e, k in self._in_flight if not e.done]
        self._in_flight.append((event, kept))

    def mark(self) -> Any:
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.cupy.cuda.get_current_stream())
        return event

    def to_numpy(self, array: Any) -> Any:
        if array.data.device_id != self.cupy.cuda.runtime.getDevice():
            with self.cupy.cuda.Device(array.data.device_id):
                return self.to_numpy(array)
        host = array.get()
        self.raise_faults()
        return host

    def raise_faults(self) -> None:
        """Raise what kernels reported since the last time."""
        try:
            self.runtime.check()
        except IndexError as error:
            raise OutOfRangeError(*error.args) from None

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An uninitialised NumPy array in page-locked memory, from and to which copies need not block."""
        dtype = np.dtype(dtype)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        memory = self.cupy.cuda.alloc_pinned_memory(max(size, 1))
        return np.frombuffer(memory, np.uint8, size).view(dtype).reshape(shape)

    def is_pinned(self, host: Any) -> bool:
        """Whether a NumPy array lies in memory of :meth:`pinned`."""
        while isinstance(host, np.ndarray):
            host = host.base
        held = host.obj if isinstance(host, memoryview) else host
        return isinstance(held, self.cupy.cuda.PinnedMemoryPointer)

    def owner(self, array: Any) -> Any:
        while array.base is not None:
            array = array.base
        return array

    def exclusive(self, array: Any, held: int) -> bool:
        return array.base is None and sys.getrefcount(array) - OWN_REFERENCES <= held

    def writable(self, array: Any) -> bool:
        return not array.size or all(n <= 1 or step for n, step in zip(array.shape, array.strides))

    def assign(self, target: Any, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value = self.asarray(value, device=self.device_of(target))
        elif isinstance(value, self.array_type) and value.data.device_id != target.data.device_id:
            raise DeviceError(f"a value on {self.device_of(value)} cannot be written into a tensor on {self.device_of(target)}; "
                              "move it there with .to(device) first")
        with self.on(self.device_of(target)):
            _cuda_scatter.write(self, target, index, value)

    # ---- the device -------------------------------------------------------------------------------------------------------

    def unit(self, array: Any) -> Any:
        if array.ndim:
            with self.on(self.device_of(array)):
                return self.cupy.ones_like(array)
        key = array.data.device_id, array.dtype
        found = self._units.get(key)
        if found is None:   # a view, so that it counts as shared wherever that is asked
            with self.on(self.device_of(array)):
                found = self._units[key] = self.cupy.ones(1, array.dtype).reshape(())
        return found

    def is_unit(self, array: Any) -> bool:
        """Whether the array is one of :meth:`unit`'s, known without a look at its value."""
        return array is self._units.get((array.data.device_id, array.dtype))

    def synchronize(self, device: str = "") -> None:
        with self.on(device or "cuda"):
            self.cupy.cuda.Device().synchronize()
        self.raise_faults()

    def memory_stats(self, device: str = "") -> dict[str, int]:
        """Bytes: ``allocated`` by arrays, ``reserved`` by the pool (the arrays' among them), ``free`` and ``total`` on the
        device, ``limit`` of the pool (0: none)."""
        with self.on(device or "cuda"):
            pool = self.cupy.get_default_memory_pool()
            free, total = self.cupy.cuda.runtime.memGetInfo()
            return {"allocated": pool.used_bytes(), "reserved": pool.total_bytes(), "limit": pool.get_limit(), "free": free,
                    "total": total}

    def empty_cache(self, device: str = "") -> None:
        """Give memory that the pools keep for later, and nothing uses, back to the device and to the host."""
        with self.on(device or "cuda"):
            self.cupy.get_default_memory_pool().free_all_blocks()
            self.cupy.get_default_pinned_memory_pool().free_all_blocks()

    def out_of_memory(self, error: MemoryError, arrays: list[Any]) -> str:
        stats = self.memory_stats(self.device_of(arrays[0]) if arrays else "cuda")
        words = str(error).replace(",", "").split()
        asked = next((int(w) for before, w in pairwise(words) if before == "allocating" and w.isdigit()), None)
        limit = f", limited to {amount(stats['limit'])}" if stats["limit"] else ""
        return (("" if asked is None else f"{amount(asked)} were asked for; ")
                + f"arrays hold {amount(stats['allocated'])}, the pool keeps {amount(stats['reserved'])} in all{limit}; of the "
                f"device's {amount(stats['total'])}, {amount(stats['free'])} are free")


def amount(count: int) -> str:
    """``1.5 GiB``."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _has_bfloat16(cupy: Any) -> bool:
    if int(cupy.__version__.partition(".")[0]) < 14:
        return False
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True
