"""Outer products of rows: the compiled version against the reference, bit for bit, and against einsum."""
from __future__ import annotations

import numpy as np
import pytest

from tensorlite import kernels

SHAPES = [((), 3, 5), ((0,), 3, 5), ((4,), 0, 5), ((64,), 128, 784), ((3, 7), 65, 257), ((1,), 1, 100_000), ((70_000,), 1, 1)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(("front", "n", "m"), SHAPES)
def test_against_the_reference(front: tuple[int, ...], n: int, m: int, dtype: str) -> None:
    kernel = kernels.load("outer")
    rng = np.random.default_rng(0)
    x, y = (np.asarray(rng.normal(size=(*front, k)), dtype) for k in (n, m))
    expected = kernel.reference(np, x, y)
    np.testing.assert_array_equal(expected, np.einsum("...i,...j->...ij", x, y))
    if kernel.cpu is not None:
        np.testing.assert_array_equal(kernel.cpu(x, y), expected)


def test_views_and_wrong_shapes() -> None:
    kernel = kernels.load("outer")
    run = kernel.cpu or (lambda x, y: kernel.reference(np, x, y))
    x, y = np.random.default_rng(0).normal(size=(128, 64)).T, np.broadcast_to(np.arange(700.0), (64, 700))
    np.testing.assert_array_equal(run(x, y), kernel.reference(np, x, y))
    with pytest.raises(ValueError, match="expected the same axes before the last"):
        run(np.ones((2, 3)), np.ones((4, 5)))
