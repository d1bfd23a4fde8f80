"""Softmax cross-entropy in CUDA C++, run on the CPU: every variant against the reference in float64, and against PyTorch."""
from __future__ import annotations

import zlib

import numpy as np
import pytest

from tensorlite.kernels import load
from tensorlite.kernels.softmax_cross_entropy.cuda import TILE, VARIANTS, launch

ml_dtypes = pytest.importorskip("ml_dtypes")
KERNEL = load("softmax_cross_entropy")
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13, "float16": 2e-3, "bfloat16": 1.5e-2}
SHAPES = [(1, 1), (3, 10), (64, 10), (700, 7), (33, 1000), (9, 257), (5, 2057)]
OPTIONS = [
    {}, {"reduction": "none"}, {"reduction": "sum"}, {"label_smoothing": 0.1}, {"weight": True}, {"want_grad": False},
    {"weight": True, "label_smoothing": 0.3, "reduction": "none"}, {"ignore_index": 0, "weight": True, "label_smoothing": 1.0},
]  # fmt: skip
HOPPER = (132, 227 << 10)


def case(shape, dtype, options, labels="int64"):
    seed = zlib.crc32(repr((shape, dtype, options)).encode())
    print(f"seed {seed}")
    rng, options = np.random.default_rng(seed), dict(options)
    if options.get("weight"):
        options["weight"] = rng.uniform(0.2, 2, shape[1]).astype(DTYPES[dtype])
    x = (3 * rng.normal(size=shape)).astype(DTYPES[dtype])
    t = rng.integers(0, shape[1], shape[0]).astype(labels)
    if "ignore_index" not in options and labels[0] == "i":
        t[::5] = -100
    return x, t, options


def expected_of(x, t, options):
    wide = {} if options.get("weight") is None else {"weight": options["weight"].astype(np.float64)}
    return KERNEL.reference(np, x.astype(np.float64), t, **options | wide)


def compare(got, expected, tolerance):
    for value, true in zip(got, expected):
        if true is None:
            assert value is None
            continue
        assert value.shape == true.shape
        largest = np.max(np.abs(true), initial=1e-2, where=np.isfinite(true))
        np.testing.assert_allclose(value.astype(np.float64), true, rtol=tolerance, atol=tolerance * largest)


def takes(variant, dtype, classes):
    try:
        launch(np.dtype(DTYPES[dtype]).itemsize, 1, classes, variant, *HOPPER)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_variant_against_the_reference(cuda, shape, options, dtype):
    x, t, options = case(shape, dtype, options)
    expected = expected_of(x, t, options)
    for variant in (None, *VARIANTS):
        if takes(variant, dtype, shape[1]):
            got = KERNEL.cuda(cuda, x, t, variant=variant, **options)
            assert got[0].dtype == x.dtype
            compare(got, expected, TOLERANCE[dtype])
    cuda.check()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_a_language_model(cuda, dtype):
    """50257 classes: rows of every alignment, and for float64 beyond the shared memory."""
    x, t, options = case((5, 50257), dtype, {"label_smoothing": 0.05})
    for variant in (None, "two_pass"):
        compare(KERNEL.cuda(cuda, x, t, variant=variant, **options), expected_of(x, t, options), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_fill_the_shared_memory_every_block_has(cuda, dtype):
    """With what a kernel has beside the row, 48 KB do not do: more must be asked for."""
    for bytes_ in (46 << 10, 48 << 10):
        x, t, options = case((3, bytes_ // np.dtype(dtype).itemsize), dtype, {})
        compare(KERNEL.cuda(cuda, x, t, variant="shared", **options), expected_of(x, t, options), TOLERANCE[dtype])


@pytest.mark.parametrize("labels", ["int64", "int32", "uint8", "int16", "uint32"])
def test_label_dtypes(cuda, labels):
    x, t, options = case((40, 13), "float32", {}, labels)
    compare(KERNEL.cuda(cuda, x, t), expected_of(x, t, options), 2e-6)


def test_labels_must_be_integers(cuda):
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="expected integers"):
        KERNEL.cuda(cuda, x, np.zeros(2, bool))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_alignment(cuda, variant, dtype):
    for classes in (10, 61):
        for offset in (1, 3, 5):
            x, t, _ = case((21, classes), dtype, {"variant": variant, "offset": offset})
            room = np.zeros(x.size + offset, x.dtype)
            room[offset:] = x.reshape(-1)
            moved = room[offset:].reshape(x.shape)
            (loss, grad), before = KERNEL.cuda(cuda, moved, t, variant=variant), room.copy()
            compare((loss, grad), expected_of(x, t, {}), TOLERANCE[dtype])
            assert np.array_equal(room.astype("f4"), before.astype("f4")) and grad.flags.c_contiguous


def test_not_contiguous(cuda):
    x, t, options = case((12, 33), "float32", {"weight": True})
    expected = expected_of(x, t, options)
    stepped = options | {"weight": np.repeat(options["weight"], 2)[::2]}
    compare(KERNEL.cuda(cuda, np.asfortranarray(x), np.repeat(t, 2)[::2], **stepped), expected, 2e-6)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(0, 4), (0, 0), (3, 0)], ids=str)
def test_empty(cuda, shape, reduction):
    x, t = np.zeros(shape, np.float32), np.full(shape[0], -100)
    for variant in (None, "shared", "two_pass"):
        loss, grad = KERNEL.cuda(cuda, x, t, reduction=reduction, variant=variant)
        expected = KERNEL.reference(np, x, t, reduction=reduction)
        assert grad.shape == shape
        np.testing.assert_array_equal(loss, expected[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_infinities_and_nan(cuda, variant):
    inf, nan = np.inf, np.nan
    rows = np.array([[1, 2, 3, 4, 5], [-inf, 1, 2, -inf, 0], [inf, 1, 2, 3, 4], [nan, 1, 2, 3, 4], [-inf] * 5,
                     [-inf, nan, 0, 0, 0], [inf, nan, -inf, 0, 1], [-inf, 3, -inf, -inf, -inf]])
    t = np.array([0, 1, 0, 1, 2, -100, -100, 1])
    for dtype, smoothing in (("float32", 0.0), ("float32", 0.1), ("float64", 0.0), ("float16", 0.0)):
        x = np.repeat(rows, 13, axis=1).astype(dtype)   # long enough for several lanes and packs
        options = {"reduction": "none", "label_smoothing": smoothing}
        labels = np.where(t < 0, t, 13 * t)
        with np.errstate(all="ignore"):
            expected = expected_of(x, labels, options)
        got = KERNEL.cuda(cuda, x, labels, variant=variant, **options)
        for value, true in zip(got, expected):
            np.testing.assert_allclose(value, true, rtol=2e-3, atol=1e-3)   # infinities and NaN in the same places


@pytest.mark.parametrize("variant", VARIANTS)
def test_large_numbers_do_not_cancel(cuda, variant):
    """Logits near 10,000 with label smoothing, whose sum over the classes is of differences from the row's maximum."""
    x, t, options = case((6, 999), "float32", {"label_smoothing": 0.2})
    x += np.float32(1e4)
    compare(KERNEL.cuda(cuda, x, t, variant=variant, **options), expected_of(x, t, options), 3e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_label_out_of_range_is_reported(cuda, variant, reduction):
    x, t, _ = case((20, 10), "float32", {})
    for wrong in (10, -1, 2**40, -(2**40)):
        t[7] = wrong
        loss, grad = KERNEL.cuda(cuda, x, t, reduction=reduction, variant=variant)
        assert np.isnan(loss if reduction == "mean" else loss[7]) and np.isnan(grad[7]).all()
        assert reduction == "mean" or np.isfinite(np.delete(loss, 7)).all()
        with pytest.raises(IndexError, match=rf"target\[7\] is {wrong}, but there are 10 classes"):
            cuda.check()
        cuda.check()   # forgotten


def test_all_rows_ignored(cuda):
    x, _, _ = case((50, 20), "float32", {})
    loss, grad = KERNEL.cuda(cuda, x, np.full(50, 3), ignore_index=3)
    assert np.isnan(loss) and not grad.any()
    loss, grad = KERNEL.cuda(cuda, np.full_like(x, np.nan), np.full(50, 3), ignore_index=3, reduction="sum")
    assert loss == 0 and not grad.any()


@pytest.mark.parametrize("weight", [False, True])
def test_many_labels_are_counted_before(cuda, weight):
    x, t, options = case((20_000, 3), "float32", {"weight": weight})
    if not weight:
        options.pop("weight")
    for _ in range(2):   # the second finds the ticket as the first did
        compare(KERNEL.cuda(cuda, x, t, **options), expected_of(x, t, options), 3e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_bits_every_time_in_any_order(cuda, variant):
    from cuda_on_cpu import thread_order

    x, t, options = case((70, 130), "float32", {"weight": True, "label_smoothing": 0.1})
    first = KERNEL.cuda(cuda, x, t, variant=variant, **options)
    for order in (0, -1, 5, 6):
        with thread_order(order):
            again = KERNEL.cuda(cuda, x, t, variant=variant, **options)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again))


def test_against_pytorch(cuda):
    torch = pytest.importorskip("torch")
    for shape in ((30, 10), (4, 1500)):
        for options in ({}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"weight": True, "label_smoothing": 0.2}):
            x, t, options = case(shape, "float32", options)
            z = torch.tensor(x, dtype=torch.float64, requires_grad=True)
            weight = options.get("weight")
            theirs = torch.nn.functional.cross_entropy(
                z, torch.tensor(t), **options | {"weight": None if weight is None else torch.tensor(weight, dtype=torch.float64)})
            theirs.backward()
            compare(KERNEL.cuda(cuda, x, t, **options), (theirs.detach().numpy(), z.grad.numpy()), 2e-6)


def test_which_variant():
    found = {(item, c): launch(item, 8192, c, None, *HOPPER) for item in (2, 4, 8)
             for c in (0, 1, 10, 100, 255, 256, 1000, 1024, 2048, 5000, 50257, 113_000, 200_000)}
    names = {key: choice.variant for key, choice in found.items()}
    assert names[4, 10] == names[4, 255] == names[2, 256] == "tiles"
    assert names[4, 256] == names[4, 1024] == names[2, 1000] == "registers"
    assert names[4, 2048] == names[4, 50257] == names[2, 50257] == names[2, 113_000] == "shared"
    assert names[8, 50257] == names[4, 113_000] == names[2, 200_000] == "two_pass"
    assert found[4, 50257][1:4] == (132, 1024, 16 * 12564)     # one block a multiprocessor
    assert found[2, 50257][1:4] == (264, 512, 16 * 6282)       # two
    for (item, c), choice in found.items():
        blocks = -(-choice.grid // 132)
        assert choice.threads % 32 == 0 and 64 <= choice.threads <= 1024 and choice.grid >= 1
        assert blocks * (choice.shared + 4096) <= (228 << 10) + 4096 and blocks * choice.threads <= 2048, (item, c, choice)
        if choice.variant == "tiles":
            rows, lanes = choice.more
            assert 32 % lanes == 0 and rows >= 1 and rows * c * item <= TILE


def test_a_variant_that_cannot(cuda):
    x, t = np.zeros((2, 3000), np.float32), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="takes rows of up to 4111 bytes, these have 12000"):
        KERNEL.cuda(cuda, x, t, variant="registers")
    with pytest.raises(ValueError, match="expected one of 'tiles'"):
        KERNEL.cuda(cuda, x, t, variant="fast")
