"""Layer norm's and batch norm's CUDA kernels, run on the CPU: against float64, PyTorch and themselves."""
from __future__ import annotations

import zlib
from itertools import product
from typing import Any

import numpy as np
import pytest

from tensorlite.kernels import _normalization as normalization
from tensorlite.kernels import load

TYPES = ["float32", "float16", "bfloat16", "float64"]
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-5, "float64": 1e-12}


def numpy_type(name: str) -> Any:
    return pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)


def seeded(*key: object) -> np.random.Generator:
    seed = zlib.crc32(repr(key).encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def wide(a: Any) -> Any:
    return None if a is None else np.asarray(a).astype(np.float64)


def misaligned(a: Any) -> Any:
    """The same numbers, one element beyond a 16-byte boundary."""
    room = np.zeros(a.size + 16, a.dtype)
    start = -room.ctypes.data % 16 // a.itemsize + 1
    out = room[start:start + a.size].reshape(a.shape)
    out[...] = a
    return out


def close(found: Any, expected: Any, tolerance: float) -> None:
    assert len(found) == len(expected)
    for a, e in zip(found, expected):
        assert a.shape == e.shape
        size = float(np.abs(e).max(initial=0))
        np.testing.assert_allclose(wide(a), e, rtol=tolerance, atol=tolerance * max(size, 1.0))


def compare(cuda: Any, kind: str, x: Any, g: Any, w: Any, b: Any, *, eps: float = 1e-5, center: bool = True) -> list[Any]:
    """Run forward and backward of the kernels ``kind``, compare with float64, and return all results."""
    forward, backward = load(f"{kind}_normalize"), load(f"{kind}_normalize_grad")
    tolerance = TOLERANCE[x.dtype.name]
    out, mean, var = forward.cuda(cuda, x, w, b, eps=eps, center=center)
    kept = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    assert (out.dtype, mean.dtype, var.dtype) == (x.dtype, kept, kept)
    true = forward.reference(np, wide(x), wide(w), wide(b), eps=eps, center=center)
    close((out,), true[:1], tolerance)
    close((mean, var), true[1:], TOLERANCE[kept.name])
    grads = backward.cuda(cuda, g, x, w, mean, var, eps=eps, center=center)
    assert [a.dtype for a in grads] == [x.dtype, kept, kept][:len(grads)]
    close(grads, backward.reference(np, wide(g), wide(x), wide(w), *true[1:], eps=eps, center=center), tolerance)
    return [out, mean, var, *grads]


def arrays(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, columns: int, affine: int = 2) -> Any:
    """x, g, w, b; ``affine`` of the last two are there."""
    kind = numpy_type(dtype)
    x, g = (rng.standard_normal(shape) + 1).astype(kind), rng.standard_normal(shape).astype(kind)
    w, b = ((rng.standard_normal(columns) + 1).astype(kind) if affine > i else None for i in range(2))
    return x, g, w, b


ROWS = [(1, 1), (7, 3), (300, 4), (33, 8), (5, 127), (40, 128), (9, 513), (6, 1024), (3, 2, 1500), (2, 4097), (700, 33)]


@pytest.mark.parametrize("shape", ROWS, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_rows(cuda, shape, dtype):
    rng = seeded("rows", shape, dtype)
    for affine, center in ((2, True), (1, False), (0, True)):
        compare(cuda, "row", *arrays(rng, shape, dtype, shape[-1], affine), center=center, eps=1e-3)


@pytest.mark.parametrize(("dtype", "m"), [
    ("float32", 8192), ("float32", 16390), ("float32", 24576), ("float16", 10248), ("float16", 33001), ("bfloat16", 40000),
    ("float64", 9000)])
def test_rows_longer_than_a_block_holds(cuda, dtype, m):
    rng = seeded("long", dtype, m)
    compare(cuda, "row", *arrays(rng, (3, m), dtype, m))
    compare(cuda, "row", *arrays(rng, (1, m), dtype, m, 0), center=False)


CHANNELS = [(1, 1, 2), (5, 3), (128, 20), (65, 64), (4, 3, 2), (6, 5, 4, 2), (2, 3, 33), (3, 4, 8, 8), (2, 2, 7, 7), (2, 1, 3000)]


@pytest.mark.parametrize("shape", CHANNELS, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_channels(cuda, shape, dtype):
    rng = seeded("channels", shape, dtype)
    for affine, center in ((2, True), (1, False), (0, True)):
        compare(cuda, "channel", *arrays(rng, shape, dtype, shape[1], affine), center=center, eps=1e-3)


@pytest.mark.parametrize(("dtype", "shape"), [
    ("float32", (5000, 6)), ("float32", (9000, 40)), ("float16", (5001, 3, 2)), ("float32", (9, 3, 64, 64)),
    ("float64", (4100, 2)), ("bfloat16", (40, 2, 1801)), ("float32", (8, 2, 4097))])
def test_channels_of_several_parts(cuda, dtype, shape):
    from tensorlite.kernels.channel_normalize.cuda import arranged
    x, g, w, b = arrays(seeded("parts", dtype, shape), shape, dtype, shape[1])
    assert arranged(cuda, shape[0], shape[1], x[0, 0].size, x.itemsize).parts > 1
    compare(cuda, "channel", x, g, w, b)
    compare(cuda, "channel", x, g, None, None, center=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (9, 64)), ("row", (5, 77)), ("row", (2, 17000)), ("channel", (20, 9)), ("channel", (20, 64)),
    ("channel", (3, 4, 64))])
def test_float32_weights_of_16_bit_elements(cuda, kind, shape, dtype):
    rng = seeded("mixed", kind, shape, dtype)
    columns = shape[-1 if kind == "row" else 1]
    x, g, *_ = arrays(rng, shape, dtype, columns)
    w, b = (rng.standard_normal(columns).astype(np.float32) for _ in range(2))
    compare(cuda, kind, x, g, w, b)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (9, 64)), ("row", (4, 1536)), ("row", (2, 20000)), ("channel", (20, 64)), ("channel", (3, 4, 64)),
    ("channel", (5000, 8)), ("channel", (9, 2, 4096))])
def test_misaligned_arrays_and_other_layouts(cuda, kind, shape, dtype):
    given = arrays(seeded("misaligned", kind, shape, dtype), shape, dtype, shape[-1 if kind == "row" else 1])
    for off in ({0}, {1}, {2}, {0, 1, 2, 3}):
        compare(cuda, kind, *(misaligned(a) if i in off else a for i, a in enumerate(given)))
    x, g, w, b = given
    twice = np.repeat(x, 2, axis=-1)[..., ::2]
    compare(cuda, kind, twice, np.asfortranarray(g), np.repeat(w, 2)[::2], b)


@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (64, 48)), ("row", (64, 700)), ("row", (3, 20000)), ("channel", (100, 12)), ("channel", (5000, 12)),
    ("channel", (4, 3, 50)), ("channel", (9, 2, 4096))])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_run_and_every_order_of_threads_gives_the_same_bits(cuda, kind, shape, dtype):
    from cuda_on_cpu import thread_order
    given = arrays(seeded("bits", kind, shape, dtype), shape, dtype, shape[-1 if kind == "row" else 1])
    first = compare(cuda, kind, *given)
    for order in (0, -1, 3):
        with thread_order(order):
            again = compare(cuda, kind, *given)
        assert all(np.array_equal(a.view(np.uint8), e.view(np.uint8)) for a, e in zip(again, first))


@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (50, 64)), ("row", (4, 3001)), ("row", (2, 20000)), ("channel", (3000, 4)), ("channel", (5000, 4)),
    ("channel", (4, 3, 500)), ("channel", (9, 2, 4096))])
def test_a_small_variance_beside_a_large_mean(cuda, kind, shape):
    """Squares of numbers of size 1000 and spread 0.01, subtracted in float32, would leave nothing of the variance 1e-4."""
    rng = seeded("mean", kind, shape)
    x = (1000 + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    forward = load(f"{kind}_normalize")
    _, mean, var = forward.cuda(cuda, x, None, None, eps=1e-8)
    true = forward.reference(np, wide(x), None, None, eps=1e-8)
    np.testing.assert_allclose(mean, true[1], rtol=3e-7)
    np.testing.assert_allclose(var, true[2], rtol=2e-2)   # the mean itself has an error of up to 6e-5: (6e-5)^2 beside 1e-4
    _, mean, var = forward.cuda(cuda, np.full(shape, 3e19, np.float32), None, None, eps=1e-5)   # whose square is no float32
    np.testing.assert_allclose(mean, np.float32(3e19), rtol=1e-6)
    assert np.isfinite(var).all()


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (0, 5)), ("row", (3, 0)), ("channel", (0, 3, 2)), ("channel", (2, 0)), ("channel", (2, 3, 0))])
def test_empty_arrays(cuda, kind, shape):
    x, g, w, b = arrays(seeded(shape), shape, "float32", shape[-1 if kind == "row" else 1])
    out, mean, var = load(f"{kind}_normalize").cuda(cuda, x, w, b, eps=1e-5)
    gx, gw, gb = load(f"{kind}_normalize_grad").cuda(cuda, g, x, w, mean, var, eps=1e-5)
    assert out.shape == gx.shape == shape and gw.shape == gb.shape == w.shape and not gw.any() and not gb.any()


def test_infinities_and_nans_stay_in_their_rows(cuda):
    x = seeded("nan").standard_normal((6, 100)).astype(np.float32)
    x[1, 3], x[4, 99] = np.nan, np.inf
    out, mean, var = load("row_normalize").cuda(cuda, x, None, None, eps=1e-5)
    (gx,) = load("row_normalize_grad").cuda(cuda, np.ones_like(x), x, None, mean, var, eps=1e-5)
    for a in (out, gx):
        assert np.isnan(a[[1, 4]]).all() and np.isfinite(a[[0, 2, 3, 5]]).all()


def test_other_dtypes_go_to_the_reference(cuda):
    rng = seeded("other")
    x, w = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal(6)
    out, *_ = load("row_normalize").cuda(cuda, x, w, None, eps=1e-5)
    assert out.dtype == np.float64
    _, *m = load("channel_normalize").cuda(cuda, x, None, None, eps=0.0)
    grads = load("channel_normalize_grad").cuda(cuda, wide(x), x, None, *m, eps=0.0)
    assert grads[0].dtype == np.float64
    close((out,), load("row_normalize").reference(np, wide(x), w, None, eps=1e-5)[:1], 1e-5)


@pytest.mark.parametrize(("axes", "shape", "affine", "kernel"), [
    ((1,), (6, 8), (8,), "row"), ((1, 2), (4, 3, 5), (3, 5), "row"), ((0,), (7,), (7,), "row"), ((0,), (6, 8), (8,), "channel"),
    ((0, 2), (3, 4, 5), (4, 1), "channel"), ((0, 2, 3), (3, 4, 5, 2), (4, 1, 1), "channel"), ((0, 1), (3, 4, 5), (5,), "channel"),
    ((0, 1, 2), (3, 4, 5, 6), (6,), "channel"), ((1,), (3, 4, 5), (4, 1), ""), ((0,), (6, 8), (1, 8), "")],
    ids=str)
def test_which_kernel_runs(cuda, axes, shape, affine, kernel):
    """The operations as a backend has them: by axes, and the reference for what is left."""
    rng, used = seeded(axes, shape), []

    def variant(name: str) -> Any:
        used.append(name)
        return lambda *arrays, **options: load(name).cuda(cuda, *arrays, **options)
    table = normalization.by_kernels(np, variant)
    x, g = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    w, b = (rng.standard_normal(affine).astype(np.float32) for _ in range(2))
    options: dict[str, Any] = {"axes": axes, "eps": 1e-5, "center": True}
    out = table["normalize"](x, w, b, **options)
    grads = table["normalize_grad"](g, x, w, *out[1:], **options, shape=affine)
    assert used == ([f"{kernel}_normalize", f"{kernel}_normalize_grad"] if kernel else [])
    true = normalization.normalize(np, wide(x), wide(w), wide(b), **options)
    close(out, true, 2e-5)
    close(grads, normalization.normalize_grad(np, wide(g), wide(x), wide(w), *true[1:], **options, shape=affine), 2e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_running_moments(cuda, dtype):
    from tensorlite.kernels.channel_normalize.cuda import running_moments
    rng, kind = seeded("running", dtype), numpy_type(dtype)
    kept = np.float64 if dtype == "float64" else np.float32
    for c, momentum, tracked in product((1, 5, 700), (0.1, None), (True, False)):
        mean, var = (rng.uniform(1, 2, (1, c, 1)).astype(kept) for _ in range(2))
        held = [rng.uniform(1, 2, c).astype(kind) for _ in range(2)]
        counter = np.array(4)
        if not tracked and momentum is not None:
            held[1], counter = None, None
        true = [None if a is None else wide(a) for a in held]
        expected = None if counter is None else counter.copy()
        normalization.running_moments(np, wide(mean), wide(var), *true, expected, momentum=momentum, correction=1.5)
        running_moments(cuda, mean, var, *held, counter, momentum=momentum, correction=1.5)
        close([a for a in held if a is not None], [a for a in true if a is not None], TOLERANCE[dtype])
        assert counter is None or counter == expected == 5


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_against_pytorch(cuda, dtype):
    torch = pytest.importorskip("torch")
    rng = seeded("torch", dtype)
    F = torch.nn.functional
    tolerance = {"float32": 3e-5, "float64": 1e-12, "bfloat16": 3e-2}[dtype]
    for kind, shape in (("row", (50, 96)), ("channel", (50, 24)), ("channel", (4, 6, 9, 8))):
        x, g, w, b = arrays(rng, shape, dtype, shape[-1 if kind == "row" else 1])
        leaves = [torch.tensor(wide(a), dtype=getattr(torch, dtype), requires_grad=True) for a in (x, w, b)]
        tx, tw, tb = leaves
        out = F.layer_norm(tx, shape[-1:], tw, tb) if kind == "row" else F.batch_norm(tx, None, None, tw, tb, training=True)
        out.backward(torch.tensor(wide(g), dtype=out.dtype))
        found, *m = load(f"{kind}_normalize").cuda(cuda, x, w, b, eps=1e-5)
        grads = load(f"{kind}_normalize_grad").cuda(cuda, g, x, w, *m, eps=1e-5)
        close((found, *grads), [a.detach().double().numpy() for a in (out, *(leaf.grad for leaf in leaves))], tolerance)
