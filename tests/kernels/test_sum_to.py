"""Sums to a broadcast shape: every way the axes can lie, all versions against float64, bits that depend on the numbers alone."""
from __future__ import annotations

import zlib

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import torch

from tensorlite import backends, kernels
from tensorlite.kernels import _parallel
from tensorlite.kernels.sum_to.reference import steps

kernel = kernels.load("sum_to")
DTYPES = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}
CASES = [
    ((300, 10), (10,)), ((8192, 64), (64,)), ((1000, 1030), (1030,)), ((3, 5003), (5003,)), ((5, 1, 3), (1, 3)),   # columns
    ((40, 1024), (40, 1)), ((1500, 300), (1500, 1)), ((1100, 1030), (1100, 1)), ((1000, 3), (1000, 1)),   # rows
    ((2, 70_000), (2, 1)),
    ((100_003,), ()), ((70_000,), (1,)), ((3000, 1), (1,)), ((2, 3, 4), ()),   # all
    ((64, 8, 7, 7), (1, 8, 1, 1)), ((16, 8, 28, 28), (8, 1, 1)), ((2, 3, 200, 200), (3, 1, 1)),   # around the channels
    ((6, 128, 256), (6, 1, 256)), ((7, 5, 6, 4, 3), (5, 1, 4, 1)), ((7, 5, 6, 4, 3), (7, 1, 6, 1, 3)),
    ((7, 5, 6, 4, 3), (5, 1, 1, 3)),
    ((1, 5), (5,)), ((2, 3), (2, 3)), ((), ()), ((0, 3), (3,)), ((3, 0), (3, 1)), ((3, 0), (1, 0)),   # nothing to add, or nothing
]


def numbers(shape, dtype, *key):
    seed = zlib.crc32(repr((shape, dtype, *key)).encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed).normal(size=shape).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def close(found, x, shape, dtype, slack=1):
    assert found.shape == shape and found.dtype == x.dtype
    expected = kernel.reference(np, x.astype(np.float64), shape=shape)
    terms = x.size / max(expected.size, 1)
    bound = slack * DTYPES[dtype] * (np.abs(expected) + np.sqrt(terms) + 1)   # its own rounding, and that of the sums on the way
    assert (np.abs(found.astype(np.float64) - expected) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "to"), CASES, ids=str)
def test_every_version_against_float64(cuda, shape, to, dtype):
    x = numbers(shape, dtype)
    close(kernel.cuda(cuda, x, shape=to), x, to, dtype)
    close(kernel.cpu(x, shape=to), x, to, dtype)
    close(kernel.reference(np, x, shape=to), x, to, dtype, slack=8)   # NumPy adds the rows of a column one by one


@pytest.mark.parametrize(("shape", "to"), [((500, 36), (36,)), ((40, 1024), (40, 1)), ((64, 8, 7, 7), (8, 1, 1)),
                                           ((100_003,), ()), ((33, 515), (515,)), ((1500, 36), (1500, 1))], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_depend_on_neither_alignment_nor_the_order_of_threads(cuda, shape, to, dtype):
    from cuda_on_cpu import thread_order
    x = numbers(shape, dtype)
    expected = kernel.cuda(cuda, x, shape=to).tobytes()
    moved = np.empty(x.size + 1, x.dtype)[1:].reshape(shape)
    moved[...] = x
    assert kernel.cuda(cuda, moved, shape=to).tobytes() == expected
    with thread_order(-1):
        assert kernel.cuda(cuda, x, shape=to).tobytes() == expected
    assert kernel.cuda(cuda, np.asfortranarray(x), shape=to).tobytes() == expected


def test_the_tickets_are_left_as_they_were(cuda):
    from tensorlite.kernels.sum_to import cuda as host
    x = numbers((9000, 64), "float32")
    first = kernel.cuda(cuda, x, shape=(64,))
    kept = host._tickets[cuda]
    assert kept and not any(t.any() for t in kept.values())
    assert np.array_equal(kernel.cuda(cuda, x, shape=(64,)), first)


@pytest.mark.parametrize(("shape", "to"), [((3000, 700), (700,)), ((700, 3000), (700, 1)), ((64, 32, 28, 28), (32, 1, 1)),
                                           ((2_000_000,), ())], ids=str)
def test_the_cpu_gives_the_same_bits_for_any_number_of_threads(monkeypatch, shape, to):
    x = numbers(shape, "float32")
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(_parallel, "_THREADS", threads)
        found.append(kernel.cpu(x, shape=to).tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize(("shape", "to"), [((8192, 512), (512,)), ((64, 32, 28, 28), (1, 32, 1, 1)), ((16, 1 << 17), (16, 1)),
                                           ((4096, 257), (4096, 1)), ((20_000, 10), (10,))], ids=str)
def test_no_less_exact_than_numpy(cuda, shape, to):
    x = numbers(shape, "float32") + np.float32(1)
    exact = kernel.reference(np, x.astype(np.float64), shape=to)
    error = {name: np.sqrt(np.mean((found - exact) ** 2)) for name, found in (
        ("numpy", kernel.reference(np, x, shape=to)), ("cpu", kernel.cpu(x, shape=to)), ("cuda", kernel.cuda(cuda, x, shape=to)))}
    rounding = np.spacing(np.abs(exact).max().astype(np.float32)) / 2   # what the result's own float32 may cost a single number
    assert max(error["cpu"], error["cuda"]) <= max(error["numpy"], rounding), error


def test_against_torch(cuda):
    x = numbers((6, 7, 8, 9), "float32")
    for to, axes in (((7, 1, 9), (0, 2)), ((6, 1, 1, 1), (1, 2, 3)), ((1, 1, 8, 9), (0, 1))):
        expected = torch.from_numpy(x).sum(axes).numpy().reshape(to)
        np.testing.assert_allclose(kernel.cuda(cuda, x, shape=to), expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(kernel.cpu(x, shape=to), expected, rtol=2e-5, atol=2e-5)


def test_infinities_and_nans_pass(cuda):
    x = numbers((900, 40), "float32")
    x[3, 1], x[4, 2], x[5, 3], x[6, 3] = np.nan, np.inf, np.inf, -np.inf
    for found in (kernel.cuda(cuda, x, shape=(40,)), kernel.cpu(x, shape=(40,))):
        assert np.isnan(found[[1, 3]]).all() and found[2] == np.inf and np.isfinite(found[4:]).all()


def test_half_precision_does_not_stall(cuda):
    for dtype in (np.float16, ml_dtypes.bfloat16):
        ones = np.ones((20_000, 4), dtype)
        for found in (kernel.cuda(cuda, ones, shape=(4,)), kernel.cpu(ones, shape=(4,)), kernel.reference(np, ones, shape=(4,)),
                      backends.NumpyBackend().implementation("sum_to", None)(ones, shape=(4,))):
            assert found.dtype == dtype and (found == np.asarray(20_000, dtype)).all()


def test_other_dtypes_and_other_libraries(cuda):
    x = np.arange(12).reshape(3, 4)
    for found in (kernel.cuda(cuda, x, shape=(4,)), kernel.cpu(x, shape=(4,))):
        assert found.dtype == x.dtype and found.tolist() == [12, 15, 18, 21]
    strict = kernel.reference(array_api_strict, array_api_strict.asarray(x * 1.0), shape=(3, 1))
    assert np.asarray(strict).tolist() == [[6.0], [22.0], [38.0]]


def test_a_shape_that_does_not_broadcast_is_refused(cuda):
    for run in (lambda: kernel.cuda(cuda, np.ones((3, 4)), shape=(3,)), lambda: kernel.cpu(np.ones((3, 4)), shape=(3,))):
        with pytest.raises(ValueError, match=r"shape \(3,\) does not broadcast to x's shape, \(3, 4\)"):
            run()


@pytest.mark.parametrize(("shape", "to"), CASES, ids=str)
def test_the_steps_lead_to_the_shape(shape, to):
    """Taken literally, with NumPy, they are the sum."""
    x = numbers(shape, "float64")
    out, plan = x, steps(shape, to)
    for kind, *lengths in plan:
        out = out.reshape(lengths).sum(1 if kind == "columns" else (0, 2))
    np.testing.assert_allclose(out.reshape(to), kernel.reference(np, x, shape=to), rtol=1e-12, atol=1e-11)
    assert kernel.cost(x, shape=to).bytes >= x.nbytes
