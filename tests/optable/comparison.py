"""Comparisons, logic and bits (tensorlite/ops/comparison.py)."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.elementwise import SHAPES

Rng = np.random.Generator


def _ordered(rng: Rng) -> Iterator[Case]:
    for a, b in SHAPES:
        yield Case((np.asarray(rng.integers(-2, 3, a)).astype(float), np.asarray(rng.integers(-2, 3, b)).astype(float)))
    yield Case((np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 2.0])))
    yield Case((rng.integers(-2, 3, 4), 1))


def _bools(rng: Rng) -> Iterator[Case]:
    for a, b in SHAPES:
        yield Case((np.asarray(rng.integers(0, 2, a)) > 0, np.asarray(rng.integers(0, 2, b)) > 0))


def _bits(rng: Rng) -> Iterator[Case]:
    for a, b in SHAPES:
        yield Case((np.asarray(rng.integers(-9, 9, a)), np.asarray(rng.integers(0, 6, b))))
    yield Case((rng.integers(-9, 9, 4), 3))


def _close(rng: Rng) -> Iterator[Case]:
    x = np.array([1.0, 1.0, np.nan, np.inf, -np.inf, 0.0])
    y = np.array([1.0 + 1e-9, 1.1, np.nan, np.inf, np.inf, 1e-9])
    yield Case((x, y))
    yield Case((x, y), {"equal_nan": True})
    yield Case((x, y), {"rtol": 0.2})
    yield Case((x, 1.0), {"atol": 0.5})
    yield Case((x[:, None], y[:2]))


def _numbers(rng: Rng) -> Iterator[Case]:
    yield Case((np.array([[1.0, np.nan, np.inf], [-np.inf, -0.0, -2.0]]),))
    yield Case((np.array(1.5),))
    yield Case((np.zeros((0, 2)),))


def row(name: str, cases: Any, reference: str = "") -> Row:
    return Row(name, getattr(tl, name), getattr(np, reference or name), cases, covers=(name,))


ROWS = [
    *[row(n, _ordered) for n in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")],
    *[row(n, _bools) for n in ("logical_and", "logical_or", "logical_xor")],
    row("logical_not", lambda rng: [Case((np.array([True, False]),)), Case((np.array(True),))]),
    *[row(n, _bits) for n in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift")],
    row("bitwise_invert", lambda rng: [Case((rng.integers(-9, 9, 4),)), Case((np.array([True, False]),))]),
    *[row(n, _numbers) for n in ("isfinite", "isnan", "isinf", "signbit")],
    row("isclose", _close),
    Row("allclose", tl.allclose, np.allclose, _close),
]
