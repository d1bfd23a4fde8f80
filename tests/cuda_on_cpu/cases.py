"""A small call of every kernel that has a CUDA version: what guarded memory, thread orders and sanitizers are tried on.

A case is a function ``case(run, rng, dtype, n)``: it makes NumPy arrays of a size that follows from ``n`` (which may be 0), has
``run.put`` bring them to the device, calls the kernel as ``run(*arrays, **options)``, and returns what is to be compared.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorlite.kernels import Kernel, load
from tensorlite.kernels._cuda import Runtime

__all__ = ["CASES", "DTYPES", "TOLERANCE", "CudaRun", "ReferenceRun", "agree", "flat"]

DTYPES = ("float32", "float16", "bfloat16", "float64")
TOLERANCE = {"float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2, "float64": 1e-10}
ACTIVATIONS = ("none", "relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh")


def dtype_of(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


class ReferenceRun:
    """Calls a kernel's reference."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __call__(self, *args: Any, variant: str | None = None, **options: Any) -> Any:   # whatever the way, the result is one
        return self.kernel.reference(np, *args, **options)

    def put(self, value: Any) -> Any:
        """NumPy arrays, also those in lists, where the kernel takes them."""
        return [self.put(v) for v in value] if isinstance(value, list) else value.copy()

    def get(self, value: Any) -> Any:
        return value


class CudaRun(ReferenceRun):
    """Calls a kernel's CUDA version. ``offset``: elements that inputs begin after a multiple of 256 bytes."""

    def __init__(self, kernel: Kernel, runtime: Runtime, offset: int = 0) -> None:
        super().__init__(kernel)
        self.runtime, self.offset = runtime, offset

    def __call__(self, *args: Any, **options: Any) -> Any:
        assert self.kernel.cuda is not None
        return self.kernel.cuda(self.runtime, *args, **options)

    def put(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.put(v) for v in value]
        cupy = self.runtime.cupy
        whole = cupy.empty(value.size + self.offset, value.dtype)
        out = whole[self.offset:].reshape(value.shape)
        out[...] = cupy.asarray(value)
        return out

    def get(self, value: Any) -> Any:
        self.runtime.check()
        if isinstance(value, tuple | list):
            return [self.get(v) for v in value]
        return self.runtime.cupy.asnumpy(value) if isinstance(value, self.runtime.cupy.ndarray) else value


def flat(values: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(values, tuple | list):
        for v in values:
            yield from flat(v)
    elif values is not None:
        yield np.asarray(values)


def agree(got: Any, expected: Any, tolerance: float, what: str) -> None:
    """Assert that results agree, to a tolerance relative to the largest number in an array; NaN and inf are as expected.

    Floating results may be of another floating dtype: what a kernel returns for 16-bit arguments its own tests say.
    """
    got, expected = list(flat(got)), list(flat(expected))
    assert len(got) == len(expected), what
    for i, (a, e) in enumerate(zip(got, expected)):
        exact = e.dtype.kind in "biu"
        fits = a.shape == e.shape and (a.dtype == e.dtype or not exact)
        assert fits, f"{what}, result {i}: {a.dtype}{a.shape}, expected {e.dtype}{e.shape}"
        if exact:
            np.testing.assert_array_equal(a, e, f"{what}, result {i}")
            continue
        a, e = a.astype(np.float64), e.astype(np.float64)
        finite = np.abs(e[np.isfinite(e)])
        size = max(1e-3, finite.max()) if finite.size else 1.0
        np.testing.assert_allclose(a, e, tolerance, tolerance * size, err_msg=f"{what}, result {i}")


CASES: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {}


def case(name: str, dtypes: tuple[str, ...] = DTYPES) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[name] = dtypes, function
        return function
    return enter


def normal(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    return np.asarray(rng.normal(size=shape)).astype(dtype_of(dtype))


# ---- elementwise ----------------------------------------------------------------------------------------------------------

@case("sigmoid")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    return run(run.put(normal(rng, dtype, n)))


@case("sigmoid_backward")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    return run(run.put(normal(rng, dtype, n)), run.put(rng.random(n).astype(dtype_of(dtype))))


@case("relu_backward")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    return run(run.put(normal(rng, dtype, n)), run.put(np.maximum(normal(rng, dtype, n), dtype_of(dtype).type(0))))


@case("erf")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    return run(run.put(normal(rng, dtype, n)))


@case("bias_activation")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    x, b = run.put(normal(rng, dtype, 5, n)), run.put(normal(rng, dtype, n))
    return [run(x, b, activation=a) for a in ACTIVATIONS] + [run(x, None, activation=ACTIVATIONS[n % 7])]


@case("bias_activation_backward")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    g, x, b = run.put([normal(rng, dtype, 5, n), rng.random((5, n)).astype(dtype_of(dtype)), normal(rng, dtype, n)])
    return [run(g, x, b, activation=a) for a in ACTIVATIONS] + [run(g, x, activation=ACTIVATIONS[n % 7], needs_db=False)]


@case("dropout")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    x = run.put(normal(rng, dtype, n))
    return [run(x, p=0.25, place=(1 << 63, 7, n)), run(x, p=0.0, place=(1, 2, 3)), run(x, p=1.0, place=(1, 2, 3))]


@case("philox", ("float32", "float64", "uint32", "uint64", "int64", "bool"))
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    kinds = {"float32": ("uniform", "normal"), "float64": ("uniform", "normal"), "int64": ("integers",), "bool": ("bernoulli",)}
    place = {"shape": (n,), "dtype": dtype, "seed": 5, "stream": 1 << 40, "offset": (1 << 32) - 3}
    return [run(kind=kind, **place, **({"low": -5, "high": high} if kind == "integers" else {}))
            for kind in kinds.get(dtype, ("bits",)) for high in (9, 1 << 40)]


@case("sum_to")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    x, tall = run.put(normal(rng, dtype, 3, n, 5)), run.put(normal(rng, dtype, 9 * n, 3))
    results = [run(x, shape=to) for to in ((5,), (n, 1), (3, 1, 5), (3, 1, 1), (1,), ())]
    return [results, run(tall, shape=(3,)), run(tall, shape=(9 * n, 1))]


# ---- rows, channels, losses -------------------------------------------------------------------------------------------------

@case("softmax_cross_entropy")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    c = max(n, 1)
    x, t = run.put(3 * normal(rng, dtype, 5, c)), rng.integers(0, c, 5)
    t[2] = -100
    w = run.put(rng.random(c).astype(dtype_of(dtype)))
    labels = run.put(t)
    return [run(x, labels), run(x, run.put(t.astype(np.int32)), reduction="none", label_smoothing=0.1), run(x, labels, weight=w),
            run(x, labels, reduction="sum", want_grad=False), _ignored_between(run, rng, dtype, c)]


def _ignored_between(run: Any, rng: Any, dtype: str, c: int) -> Any:
    """A block's rows that count, with ignored ones, which have no barriers, in between."""
    t = rng.integers(0, c, 13)
    t[4:8] = -100
    return run(run.put(normal(rng, dtype, 13, c)), run.put(t), variant="two_pass")


def moments(rng: Any, dtype: str, *shape: int) -> list[np.ndarray[Any, Any]]:
    wide = "float64" if dtype == "float64" else "float32"
    return [normal(rng, wide, *shape) * dtype_of(wide).type(0.1), rng.random(shape).astype(wide) + dtype_of(wide).type(0.5)]


@case("row_normalize")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    n = max(n, 1)
    x, w, b = run.put([normal(rng, dtype, 5, n), normal(rng, dtype, n), normal(rng, dtype, n)])
    return [run(x, w, b, eps=1e-3), run(x, None, None, eps=1e-3), run(x, w, None, eps=1e-3, center=False)]


@case("row_normalize_grad")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    n = max(n, 1)
    g, x, w = run.put([normal(rng, dtype, 5, n), normal(rng, dtype, 5, n), normal(rng, dtype, n)])
    mean, var = run.put(moments(rng, dtype, 5))
    return [run(g, x, w, mean, var, eps=1e-3), run(g, x, None, mean, var, eps=1e-3, center=False)]


@case("channel_normalize")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    n = max(n, 1)
    x, w, b = run.put([normal(rng, dtype, 3, 5, n), normal(rng, dtype, 5), normal(rng, dtype, 5)])
    flat_x = run.put(normal(rng, dtype, 4, n))
    return [run(x, w, b, eps=1e-3), run(flat_x, None, None, eps=1e-3), run(x, w, None, eps=1e-3, center=False)]


@case("channel_normalize_grad")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    n = max(n, 1)
    g, x, w = run.put([normal(rng, dtype, 3, 5, n), normal(rng, dtype, 3, 5, n), normal(rng, dtype, 5)])
    mean, var = run.put(moments(rng, dtype, 5))
    return [run(g, x, w, mean, var, eps=1e-3), run(g, x, None, mean, var, eps=1e-3, center=False)]


# ---- pooling ----------------------------------------------------------------------------------------------------------------

def _pools(n: int) -> list[tuple[Any, ...]]:
    from tensorlite.kernels import _windows as w
    return [(w.sliding(n + 2, 3, 2, 1, 1, True), w.sliding(5, 2, 2, 0, 2, False)), (w.adaptive(n + 2, 2), w.adaptive(5, 3))]


def _images(rng: Any, dtype: str, run: Any, *shape: int) -> Any:
    """Channels first, and channels last: the same numbers in another order of memory."""
    x = normal(rng, dtype, *shape)
    return run.put(x), run.put(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@case("max_pool")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    n = min(n, 40)
    return [run(x, windows=windows) for x in _images(rng, dtype, run, 2, 16, n + 2, 5) for windows in _pools(n)]


@case("max_pool_grad")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    from tensorlite.kernels.max_pool.reference import max_pool
    n, found = min(n, 40), []
    for windows in _pools(n):
        out, index = max_pool(np, normal(rng, dtype, 2, 16, n + 2, 5), windows=windows)
        for last in (False, True):
            g, at = ((run.put(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else run.put(a)) for a in (out, index))
            found.append(run(g, at, windows=windows))
    return found


@case("resample")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    from tensorlite.kernels import _windows as w
    n = min(n, 40)
    taps = [tuple([w.mean(one, True, None) for one in windows]) for windows in _pools(n)]
    found = [run(x, taps=t) for x in _images(rng, dtype, run, 2, 16, n + 2, 5) for t in (*taps, (taps[0][0], None))]
    x = run.put(normal(rng, dtype, 2, taps[0][0].count, taps[0][1].count))
    return [*found, run(x, taps=tuple([t.transposed for t in taps[0]]))]


# ---- rows at indices --------------------------------------------------------------------------------------------------------

@case("check_indices", ("int64", "int32"))
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    run(run.put(rng.integers(-3, 9, n).astype(dtype)), low=-3, high=9)


@case("take_rows")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    table, at = run.put(normal(rng, dtype, 7, n)), rng.integers(0, 7, min(n, 40))
    return [run(table, run.put(at)), run(table, run.put((at - 7).astype(np.int32)), wrap=True)]


@case("put_rows")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    x, v, at = run.put(normal(rng, dtype, 7, 5)), run.put(normal(rng, dtype, n, 5)), rng.integers(0, 7, n)
    return [run(x, v, run.put(at)), run(x, v, run.put((at - 7).astype(np.int32)), wrap=True)]


@case("embedding_grad")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    g, at = run.put(normal(rng, dtype, n, 9)), run.put(rng.integers(0, 7, n))
    return [run(g, at, rows=7), run(g, at, rows=7, padding_idx=2)]


@case("gather_batch", ("uint8", "float32"))
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    images, at = run.put(rng.integers(0, 255, (7, 3, n, 2)).astype(dtype)), run.put(rng.integers(-7, 7, 5))
    channels = rng.random((3, 1, 1)).astype(np.float32)
    return [run(images, at, factor=1 / 255), run(images, at, factor=channels, offset=-channels),
            run(images, at, factor=channels, offset=0.5, dtype="float16")]


@case("augment_batch", ("uint8", "float32"))
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    images, at = run.put(rng.integers(0, 255, (7, 3, 5, n)).astype(dtype)), run.put(rng.integers(-7, 7, 6))
    moves = run.put(np.stack([rng.integers(-2, 3, 6), rng.integers(-2, 3, 6), np.arange(6) % 2, rng.integers(-2, 5, 6),
                              rng.integers(-2, n, 6)], 1).astype(np.int32))
    channels = rng.random((3, 1, 1)).astype(np.float32)
    return [run(images, at, moves, factor=1 / 255), run(images, at, moves, cut=2, fill=(1, 2, 3), factor=channels,
                                                                offset=-channels),
            run(images, at, moves, size=(4, 8), factor=channels, offset=0.5, dtype="float16")]


# ---- lists of arrays ----------------------------------------------------------------------------------------------------------

def arrays(rng: Any, dtype: str, n: int) -> list[np.ndarray[Any, Any]]:
    return [normal(rng, dtype, n), normal(rng, dtype, 3, 5), normal(rng, dtype, 2 * n + 1)]


@case("grad_norm")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    grads = run.put(arrays(rng, dtype, n))
    return [run(grads), run(grads, max_norm=0.5)]


@case("unscale")
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    grads, scale = run.put(arrays(rng, dtype, n)), run.put(np.asarray(8.0, np.float32))
    return [run(grads, scale), run(grads, scale, write=False), grads]


@case("update_scale", ("float32",))
def _(run: Any, rng: Any, dtype: str, n: int) -> Any:
    state = run.put([np.asarray(1024.0, np.float32), np.asarray(n % 4, np.int32), np.asarray(n % 2, np.float32)])
    run(*state, growth=2.0, backoff=0.5, interval=4)
    return state


def zeros(given: list[np.ndarray[Any, Any]], dtype: str) -> list[np.ndarray[Any, Any]]:
    return [np.zeros_like(a, "float32" if dtype in ("float16", "bfloat16") else dtype) for a in given]


def optimizer(kinds: tuple[int, ...], options: dict[str, Any]) -> Callable[..., Any]:
    """Two steps with ``kinds`` lists of state, 16-bit parameters with masters."""
    def steps(run: Any, rng: Any, dtype: str, n: int) -> Any:
        host = arrays(rng, dtype, n)
        params, half = run.put(host), dtype in ("float16", "bfloat16")
        states = [run.put(zeros(host, dtype)) if kept else None for kept in kinds]
        masters = run.put([p.astype("float32") for p in host]) if half else None
        plan = run(*states, np.zeros(len(host), np.int64), *([masters] if half else []))
        for _ in range(2):
            grads = run.put(arrays(rng, dtype, n))
            plan(params, [grads[0], None, grads[2]], lr=0.1, weight_decay=0.01, **options)
        return [params, [s for s in states if s], np.asarray(plan.counts())]
    return steps


case("sgd")(optimizer((1,), {"momentum": 0.9, "nesterov": True}))
case("adam")(optimizer((1, 1, 1), {"decoupled": True}))
case("rmsprop")(optimizer((1, 1, 1), {"momentum": 0.9}))


def small(name: str, n: int, dtype: str, runs: list[Any]) -> list[Any]:
    """The case's results for each of the runs, on the same numbers."""
    out = []
    for run in runs:
        rng = np.random.default_rng([n, DTYPES.index(dtype) if dtype in DTYPES else 9])
        with np.errstate(all="ignore"):
            out.append(run.get(CASES[name][1](run, rng, dtype, n)))
    return out


def kernels() -> list[str]:
    """The library's kernels that have a CUDA version (and not those that programs registered)."""
    from tensorlite.kernels import _registered, names
    return [name for name in names() if name not in _registered and "cuda" in load(name).variants]
