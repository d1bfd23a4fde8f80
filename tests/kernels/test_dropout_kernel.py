"""Dropout's kernel: every variant the reference's equal, bit for bit, and the mask that of a bernoulli draw."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorlite import kernels
from tensorlite.kernels.philox.reference import reference as draw
from tensorlite.ops.dropout import _dropout

kernel = kernels.load("dropout")
PLACE = ((1 << 63) + 7, 3, (1 << 32) - 5)
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def numbers(n: int, dtype: Any) -> np.ndarray:
    return (np.random.default_rng(n).normal(size=n) + 3).astype(dtype)   # far from 0: a zero was dropped


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 8, 9, 1003])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 - 2.0**-30, 1.0])
def test_variants_are_the_reference_bit_for_bit(cuda: Any, dtype: Any, n: int, p: float) -> None:
    x = numbers(n, dtype)
    expected = kernel.reference(np, x, p=p, place=PLACE)
    kept = draw(np, kind="bernoulli", shape=(n,), dtype="bool", p=1 - p, seed=PLACE[0], stream=PLACE[1], offset=PLACE[2])
    np.testing.assert_array_equal(expected != 0, kept)
    for out in (kernel.cpu(x, p=p, place=PLACE), kernel.cuda(cuda, x, p=p, place=PLACE)):
        assert out.dtype == x.dtype and out.tobytes() == expected.tobytes()
    if dtype in (np.float32, np.float64):
        assert _dropout(np, x, p=p, place=PLACE).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_any_layout(cuda: Any, dtype: Any) -> None:
    x = numbers(6 * 35, dtype).reshape(6, 35)
    expected = kernel.reference(np, x, p=0.3, place=PLACE).tobytes()
    stepped = np.zeros((6, 70), dtype)[:, ::2]
    stepped[...] = x
    misaligned = np.frombuffer(b"\0" * x.itemsize + x.tobytes(), dtype)[1:].reshape(x.shape)
    for version in (x, np.asfortranarray(x), stepped, misaligned):
        assert kernel.cpu(version, p=0.3, place=PLACE).tobytes() == expected
        assert kernel.cuda(cuda, version, p=0.3, place=PLACE).tobytes() == expected


def test_threads_take_their_own_blocks() -> None:
    x = numbers(1_000_003, np.float32)
    assert kernel.cpu(x, p=0.25, place=PLACE).tobytes() == kernel.reference(np, x, p=0.25, place=PLACE).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_expectation_is_kept(dtype: Any) -> None:
    """In 16 bits too, whose 1 / 0.9 alone would be off by 0.2%."""
    out = kernel.cpu(np.ones(1 << 20, dtype), p=0.1, place=PLACE).astype(np.float64)
    assert abs(out.mean() - 1) < (5e-3 if dtype is ml_dtypes.bfloat16 else 2e-3)


def test_other_dtypes_are_left_to_the_reference(cuda: Any) -> None:
    x = np.arange(8)
    assert kernel.cpu(x, p=0.5, place=PLACE).dtype == kernel.cuda(cuda, x, p=0.5, place=PLACE).dtype == np.float64
    assert kernel.cost(np.ones((10, 10), np.float32), p=0.5, place=PLACE) == (800, 100)
