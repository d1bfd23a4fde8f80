"""Layer norm's kernels: the compiled versions against the references, in float64 and in the types they compute in."""
from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from tensorlite import kernels

moments, forward, backward = (kernels.load(f"row_{name}") for name in ("moments", "normalize", "normalize_grad"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 33), (0, 4), (100, 7), (700, 1000)], ids=str)
@pytest.mark.parametrize("affine", [0, 1, 2])
@pytest.mark.parametrize("center", [True, False])
def test_against_the_reference_in_float64(shape, affine, center, dtype):
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape) + 3).astype(dtype), rng.normal(size=shape).astype(dtype)
    w, b = (rng.normal(size=shape[1]).astype(dtype) if affine > i else None for i in range(2))
    wide = [None if a is None else a.astype(np.float64) for a in (x, g, w, b)]
    tolerance = {"float16": 4e-2, "float32": 2e-4, "float64": 1e-11}[dtype]

    def close(found, expected):
        for a, e in zip(found, expected, strict=True):
            assert a.shape == e.shape
            np.testing.assert_allclose(a.astype(np.float64), e, rtol=tolerance, atol=tolerance * max(1, np.abs(e).max(initial=0)))
    true = moments.reference(np, wide[0], center=center)
    found = moments.cpu(x, center=center)
    close(found, true)
    close([forward.cpu(x, w, b, *found, eps=1e-5)], [forward.reference(np, wide[0], wide[2], wide[3], *true, eps=1e-5)])
    expected = backward.reference(np, wide[1], wide[0], wide[2], *true, eps=1e-5, center=center)
    close(backward.cpu(g, x, w, *found, eps=1e-5, center=center), expected)
    assert moments.cost(x).bytes <= forward.cost(x, w, b, *found, eps=0).bytes <= backward.cost(g, x, w, *found, eps=0).bytes
    if dtype == "float64":
        strict = [None if a is None else array_api_strict.asarray(a) for a in (g, x, w, *true)]
        close([np.asarray(a) for a in backward.reference(array_api_strict, *strict, eps=1e-5, center=center)], expected)


def test_layouts_and_repeated_calls_agree():
    rng = np.random.default_rng(1)
    x, g, w = rng.normal(size=(300, 40)), rng.normal(size=(300, 40)), rng.normal(size=40)
    found = moments.cpu(x)
    expected = backward.cpu(g, x, w, *found, eps=1e-5)
    for again in (backward.cpu(g, x, w, *found, eps=1e-5), backward.cpu(np.asfortranarray(g), x.T.copy().T, w, *found, eps=1e-5)):
        assert all(np.array_equal(a, e) for a, e in zip(again, expected))
