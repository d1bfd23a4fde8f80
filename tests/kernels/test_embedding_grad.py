"""The gradient of a look-up table: the compiled version against the reference, its order, its errors."""
from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from tensorlite import kernels

kernel = kernels.load("embedding_grad")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "width", "rows"), [((7,), (3,), 5), ((2, 3), (33,), 4), ((), (2,), 3), ((0,), (4,), 3),
                                                      ((5,), (0,), 3),
                                                      ((4,), (2, 3), 6), ((4000,), (130,), 50)])
@pytest.mark.parametrize("padding", [None, 1])
def test_against_numpys_add_at(shape, width, rows, dtype, padding):
    rng = np.random.default_rng(0)
    indices, g = rng.integers(0, rows, shape), rng.normal(size=(*shape, *width)).astype(dtype)
    expected = np.zeros((rows, *width))
    kept = np.ones(shape, bool) if padding is None else indices != padding
    np.add.at(expected, indices[kept], g[kept].astype(np.float64))
    tolerance = {"float16": 2e-3, "float32": 2e-5, "float64": 1e-12}[dtype]
    for found in (kernel.cpu(g, indices, rows=rows, padding_idx=padding),
                  kernel.reference(np, g, indices, rows=rows, padding_idx=padding)):
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_allclose(found.astype(np.float64), expected, rtol=tolerance, atol=tolerance)
    if dtype != "float16":
        strict = kernel.reference(array_api_strict, array_api_strict.asarray(g), array_api_strict.asarray(indices), rows=rows,
                                  padding_idx=padding)
        np.testing.assert_allclose(np.asarray(strict), expected, rtol=tolerance, atol=tolerance)
    assert kernel.cost(g, indices, rows=rows).bytes >= g.nbytes


def test_the_sum_is_in_the_order_of_the_indices():
    rng = np.random.default_rng(1)
    indices, g = rng.integers(0, 3, 5000), rng.normal(size=(5000, 200)).astype(np.float32)
    expected = np.zeros((3, 200), np.float32)
    for i, t in enumerate(indices):
        expected[t] += g[i]
    assert np.array_equal(kernel.cpu(g, indices.astype(np.int32), rows=3), expected)


def test_indices_out_of_range_raise():
    for bad in (-1, 3):
        with pytest.raises(IndexError, match="expected 0 <= index < 3"):
            kernel.cpu(np.ones((1, 2)), np.array([bad]), rows=3)
