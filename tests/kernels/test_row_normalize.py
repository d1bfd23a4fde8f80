"""Layer norm's and batch norm's kernels for the CPU: against the references, in float64 and in the types they compute in."""
from __future__ import annotations

import zlib
from typing import Any

import array_api_strict
import numpy as np
import pytest

from tensorlite import kernels
from tensorlite.kernels import _normalization as normalization

TOLERANCE = {"float16": 4e-2, "float32": 2e-4, "float64": 1e-11}
SHAPES = {
    "row": [(1, 1), (5, 33), (0, 4), (100, 7), (700, 1000), (3, 4, 50), (9,)],
    "channel": [(2, 1), (5, 33), (100, 7), (3001, 300), (6, 5, 3), (4, 3, 16), (40, 3, 20, 15), (70, 6, 2, 2), (1, 4, 9)],
}
CASES = [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes]


def seeded(*key: object) -> np.random.Generator:
    seed = zlib.crc32(repr(key).encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def pair(kind: str) -> Any:
    return kernels.load(f"{kind}_normalize"), kernels.load(f"{kind}_normalize_grad")


def close(found: Any, expected: Any, tolerance: float) -> None:
    for a, e in zip(found, expected, strict=True):
        assert a.shape == e.shape
        np.testing.assert_allclose(a.astype(np.float64), e, rtol=tolerance, atol=tolerance * max(1, np.abs(e).max(initial=0)))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("kind", "shape"), CASES, ids=str)
@pytest.mark.parametrize("affine", [0, 1, 2])
@pytest.mark.parametrize("center", [True, False])
def test_against_the_reference_in_float64(kind, shape, affine, center, dtype):
    forward, backward = pair(kind)
    rng, columns = seeded(kind, shape), shape[-1 if kind == "row" else 1]
    x, g = (rng.normal(size=shape) + 3).astype(dtype), rng.normal(size=shape).astype(dtype)
    w, b = (rng.normal(size=columns).astype(dtype) if affine > i else None for i in range(2))
    wide = [None if a is None else a.astype(np.float64) for a in (x, g, w, b)]
    tolerance = TOLERANCE[dtype]
    true = forward.reference(np, wide[0], wide[2], wide[3], eps=1e-3, center=center)
    found = forward.cpu(x, w, b, eps=1e-3, center=center)
    assert found[0].dtype == dtype
    close(found, true, tolerance)
    expected = backward.reference(np, wide[1], wide[0], wide[2], *true[1:], eps=1e-3, center=center)
    close(backward.cpu(g, x, w, *found[1:], eps=1e-3, center=center), expected, tolerance)
    assert forward.cost(x, w, b, eps=0).bytes <= backward.cost(g, x, w, *found[1:], eps=0).bytes
    if dtype == "float64":
        strict = [None if a is None else array_api_strict.asarray(a) for a in (g, x, w, *true[1:])]
        plain = backward.reference(array_api_strict, *strict, eps=1e-3, center=center)
        close([np.asarray(a) for a in plain], expected, tolerance)


@pytest.mark.parametrize(("kind", "shape"), [("row", (300, 40)), ("channel", (300, 40)), ("channel", (8, 5, 30))])
def test_layouts_and_repeated_calls_agree(kind, shape):
    forward, backward = pair(kind)
    rng, columns = seeded(kind, shape), shape[-1 if kind == "row" else 1]
    x, g, w = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=columns)
    found = forward.cpu(x, w, w, eps=1e-5)
    expected = [*found, *backward.cpu(g, x, w, *found[1:], eps=1e-5)]
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    for other in (x, x.copy("F"), strided):
        again = forward.cpu(other, np.repeat(w, 2)[::2], w, eps=1e-5)
        again = [*again, *backward.cpu(np.asfortranarray(g), other, w, *again[1:], eps=1e-5)]
        assert all(np.array_equal(a, e) for a, e in zip(again, expected, strict=True))


@pytest.mark.parametrize(("kind", "shape"), [("row", (700, 1000)), ("channel", (3001, 300)), ("channel", (40, 30, 900))])
def test_the_number_of_threads_changes_nothing(kind, shape, monkeypatch):
    from tensorlite.kernels import _parallel
    forward, backward = pair(kind)
    rng, columns = seeded(kind, shape), shape[-1 if kind == "row" else 1]
    x, g = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    w = rng.normal(size=columns).astype(np.float32)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(_parallel, "_THREADS", threads)
        found = forward.cpu(x, w, w, eps=1e-5)
        results.append([*found, *backward.cpu(g, x, w, *found[1:], eps=1e-5)])
    assert all(np.array_equal(a, e) for other in results[1:] for a, e in zip(other, results[0], strict=True))


@pytest.mark.parametrize(("kind", "shape"), [
    ("row", (50, 64)), ("row", (4, 3001)), ("channel", (30000, 4)), ("channel", (4, 3, 5000)), ("channel", (2000, 3, 4))])
def test_a_small_variance_beside_a_large_mean(kind, shape):
    forward, _ = pair(kind)
    x = (1000 + 0.01 * seeded(kind, shape).standard_normal(shape)).astype(np.float32)
    _, mean, var = forward.cpu(x, None, None, eps=1e-8)
    true = forward.reference(np, x.astype(np.float64), None, None, eps=1e-8)
    np.testing.assert_allclose(mean, true[1], rtol=3e-7)
    np.testing.assert_allclose(var, true[2], rtol=2e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_moments(dtype, momentum):
    from tensorlite.backends._numpy_normalization import running_moments
    rng = seeded(dtype)
    mean, var = (rng.uniform(1, 2, (1, 7, 1)).astype("float32" if dtype == "float16" else dtype) for _ in range(2))
    held = [rng.uniform(1, 2, 7).astype(dtype) for _ in range(2)]
    true, counters = [a.astype(np.float64) for a in held], [np.array(4), np.array(4)]
    options: dict[str, Any] = {"momentum": momentum, "correction": 1.5}
    normalization.running_moments(np, mean.astype(np.float64), var.astype(np.float64), *true, counters[0], **options)
    running_moments(mean, var, *held, counters[1], **options)
    assert held[0].dtype == dtype and counters[0] == counters[1] == 5
    close(held, true, {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}[dtype])
