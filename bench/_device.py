"""The device that is measured: clocks, limits, arrays. One class for the CPU and one for CUDA, by the same names."""
from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tensorlite import backends
from tensorlite.kernels import Kernel, _parallel, load

__all__ = ["Candidate", "Cpu", "Cuda", "device"]

GIB = 1 << 30
HELD = 0.03   # seconds that the device is kept busy at the most
QUEUE = 400   # launches under way at a time; a device takes about a thousand before the host has to wait


class Candidate(NamedTuple):
    """What is timed. ``runs``: the same call on each of some sets of inputs. ``wait``: for a library that has its own streams."""

    runs: Sequence[Callable[[], Any]]
    wait: Callable[[Any], Any] | None = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without garbage collection; there is one between the cases."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _repeat(runs: Sequence[Callable[[], Any]], count: int) -> Any:
    """``count`` calls in turns; as many results are kept as there are runs, so that these write to different memory too."""
    if len(runs) == 1:
        run = runs[0]
        for _ in range(count):
            last = run()
        return last
    kept: list[Any] = [None] * len(runs)
    for i in range(count):
        kept[i % len(runs)] = runs[i % len(runs)]()
    return kept[(count - 1) % len(runs)]


class Cpu:
    """The processor: NumPy, and the CPU versions of kernels."""

    kind, composition = "cpu", "numpy"
    copied, product = GIB // 4, 2048   # bytes of the copy and side of the matrix product that are measured

    def __init__(self) -> None:
        self.xp: Any = np
        self.backend: Any = backends.backend_for_device("cpu")
        self.has_bfloat16 = False

    @property
    def name(self) -> str:
        with suppress(OSError, StopIteration), open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return "cpu"

    @property
    def cache(self) -> int:
        """Bytes of the last-level cache; 0 where the system does not say."""
        sizes = []
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
            with suppress(OSError, ValueError):
                sizes.append(int(path.read_text().strip().removesuffix("K")) << 10)
        return max(sizes, default=0)

    def versions(self) -> dict[str, Any]:
        return {"threads": _parallel.threads()}

    def put(self, host: Any) -> Any:
        return host

    def get(self, array: Any) -> Any:
        return np.asarray(array)

    def variants(self, kernel: Kernel) -> dict[str, Callable[[], Callable[..., Any]]]:
        """Label -> what gives the kernel's version to call, and raises where it cannot be had."""
        return {"cpu": lambda: _there(kernel.cpu, "Numba")} if "cpu" in kernel.variants else {}

    def synchronize(self) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def seconds(self, candidate: Candidate, count: int) -> float:
        """Time of one call, the mean of ``count``. Threads of whoever was timed before may spin: wait, and warm up."""
        time.sleep(0.01)
        if count > 1:
            _repeat(candidate.runs, min(3, count))
        with _quiet():
            start = time.perf_counter()
            _repeat(candidate.runs, count)
            return (time.perf_counter() - start) / count

    def host_seconds(self, candidate: Candidate, count: int) -> float | None:
        """What a call costs the host; None where that is the time itself."""
        return None

    def product_after_kernel(self, n: int) -> dict[str, float]:
        """Seconds of a small matrix product, alone and right after a kernel of several threads, which slow it if they spin."""
        a, b, x = np.ones((512, 512), np.float32), np.ones((512, 128), np.float32), np.ones(n, np.float32)
        kernel: Callable[[Any], Any] = load("sigmoid").cpu or np.exp
        times: dict[str, list[float]] = {"alone": [], "after a kernel": []}
        for _ in range(30):
            for label, found in times.items():
                if label != "alone":
                    kernel(x)
                start = time.perf_counter()
                a @ b
                found.append(time.perf_counter() - start)
        return {label: median(found) for label, found in times.items()}

    def copy_rate(self, size: int) -> float:
        """Bytes per second, read and written, of a copy by as many threads as kernels use."""
        a, b = np.ones(size // 8), np.empty(size // 8)
        run = partial(_parallel.run, lambda low, high, a, b: np.copyto(b[low:high], a[low:high]), a.size, 1 << 14, a, b)
        return 2 * size / min(self.seconds(Candidate([run]), 1) for _ in range(7))

    def product_rates(self, n: int) -> dict[str, float]:
        """Floating-point operations per second of n x n x n products, by dtype."""
        rng = np.random.default_rng(0)
        found = {}
        for dtype in ("float32", "float64"):
            a = rng.normal(size=(n, n)).astype(dtype)
            found[dtype] = 2 * n**3 / min(self.seconds(Candidate([partial(np.matmul, a, a)]), 1) for _ in range(5))
        return found


class Cuda:
    """The GPU: CuPy, and the CUDA versions of kernels. Time is the device's own, between two events in the stream."""

    kind, composition = "cuda", "cupy"
    copied, product = 4 * GIB, 8192

    def __init__(self) -> None:
        backend: Any = backends.backend_for_device("cuda")
        self.backend, self.cupy, self.runtime, self.xp = backend, backend.cupy, backend.runtime, backend.xp
        self.has_bfloat16 = "bfloat16" in self.backend.capabilities
        self._brake: tuple[Any, Any, float] | None = None

    @property
    def name(self) -> str:
        return str(self.cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())

    @property
    def cache(self) -> int:
        return int(self.runtime.attribute("L2CacheSize"))

    def versions(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        return {"cupy": self.cupy.__version__, "cuda": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion(),
                "multiprocessors": self.runtime.multiprocessors, "memory": runtime.memGetInfo()[1]}

    def put(self, host: Any) -> Any:
        return self.cupy.asarray(host)

    def get(self, array: Any) -> Any:
        return self.cupy.asnumpy(array)

    def variants(self, kernel: Kernel) -> dict[str, Callable[[], Callable[..., Any]]]:
        """See :meth:`Cpu.variants`; of kernels that choose among several ways, each way too."""
        found: dict[str, Callable[[], Callable[..., Any]]] = {}
        for label in ("cuda", "numba_cuda"):
            if label in kernel.variants:
                found[label] = partial(self._bound, kernel, label)
        if kernel.name == "softmax_cross_entropy":
            from tensorlite.kernels.softmax_cross_entropy.cuda import VARIANTS
            for way in VARIANTS:
                found[f"cuda:{way}"] = partial(self._bound, kernel, "cuda", variant=way)
        return found

    def _bound(self, kernel: Kernel, label: str, **options: Any) -> Callable[..., Any]:
        return partial(_there(getattr(kernel, label), label), self.runtime, **options)

    def synchronize(self) -> None:
        self.backend.synchronize()

    def empty_cache(self) -> None:
        self.backend.empty_cache()

    def seconds(self, candidate: Candidate, count: int) -> float:
        """Device time of one call, the mean of ``count``.

        Where the host takes longer to ask for a call than the device to do it, copies go ahead of the calls and keep the device
        busy until all are asked for: what is timed is the device, not the host. They also push everything out of its cache; a few
        calls that are not timed bring back what the candidate itself keeps there.
        """
        self.synchronize()
        if candidate.wait is not None:
            with _quiet():
                start = time.perf_counter()
                candidate.wait(_repeat(candidate.runs, count))
                return (time.perf_counter() - start) / count
        event, stream = self.cupy.cuda.Event, self.cupy.cuda.get_current_stream()
        begin, end = event(), event()
        with _quiet():
            start = time.perf_counter()
            _repeat(candidate.runs, min(len(candidate.runs), 3))
            host = (time.perf_counter() - start) / min(len(candidate.runs), 3)
            count = max(1, min(count, int(HELD / host)))
            self.synchronize()
            self._hold(min(1.5 * host * (count + 3), HELD))
            _repeat(candidate.runs, min(count, 3))
            begin.record(stream)
            _repeat(candidate.runs, count)
            end.record(stream)
            end.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(begin, end)) * 1e-3 / count

    def _hold(self, seconds: float) -> None:
        """Keep the device busy for about so long, without waiting for it."""
        if self._brake is None:
            size = min(GIB // 2, self.cupy.cuda.runtime.memGetInfo()[0] // 64)
            a, b = self.cupy.zeros(size, "uint8"), self.cupy.zeros(size, "uint8")
            b.data.copy_from_device_async(a.data, a.nbytes)
            self.synchronize()
            start = time.perf_counter()
            for _ in range(10):
                b.data.copy_from_device_async(a.data, a.nbytes)
            self.synchronize()
            self._brake = a, b, (time.perf_counter() - start) / 10
        a, b, each = self._brake
        for _ in range(min(100, int(seconds / each) + 1)):
            b.data.copy_from_device_async(a.data, a.nbytes)

    def host_seconds(self, candidate: Candidate, count: int) -> float | None:
        """What a call costs the host: the time to ask for it, the device being idle at first."""
        count = min(count, QUEUE)
        self.synchronize()
        with _quiet():
            start = time.perf_counter()
            _repeat(candidate.runs, count)
            found = (time.perf_counter() - start) / count
        self.synchronize()
        return found

    def copy_rate(self, size: int) -> float:
        """Bytes per second, read and written, of a copy from device memory to device memory."""
        size = int(min(size, self.cupy.cuda.runtime.memGetInfo()[0] // 8))
        a, b = self.cupy.zeros(size, "uint8"), self.cupy.zeros(size, "uint8")
        a[...] = 1
        copy = Candidate([lambda: b.data.copy_from_device_async(a.data, size)])
        return 2 * size / median(self.seconds(copy, 3) for _ in range(7))

    def _matmul(self, a: Any, b: Any, *, tf32: bool = False) -> Any:
        return None if tf32 else self.cupy.matmul(a, b)

    def product_rates(self, n: int) -> dict[str, float]:
        """Floating-point operations per second of n x n x n products by the fastest algorithm cuBLASLt proposes, by dtype."""
        from tensorlite.backends._cublaslt import CublasLt
        try:
            multiply: Callable[..., Any] = CublasLt(self.cupy, tries=8).matmul
        except (OSError, RuntimeError):
            multiply = self._matmul
        found = {}
        block = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)
        for dtype in ("float32", "tf32", "float16", *["bfloat16"] * self.has_bfloat16):
            k = n // 2 if dtype == "float32" else n
            a = self.put(block[:k, :k]).astype("float32" if dtype == "tf32" else _dtype(dtype))
            run = partial(multiply, a, a, tf32=dtype == "tf32")
            if run() is not None:
                found[dtype] = 2 * k**3 / median(self.seconds(Candidate([run]), 3) for _ in range(5))
        return found


def _there(found: Any, what: str) -> Any:
    if found is None:
        raise ImportError(f"{what} is not installed")
    return found


def _dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def device(kind: str) -> Cpu | Cuda:
    """``"cpu"`` or ``"cuda"``; ``BackendUnavailable`` says what is missing for CUDA."""
    return Cpu() if kind == "cpu" else Cuda()
