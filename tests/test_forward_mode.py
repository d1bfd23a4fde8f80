"""Forward mode over the whole op table: against reverse mode by the dot test, linearize, and forward over reverse."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_optable import SEED, cases, differentiated, flat, host, with_gradient

import tensorlite as tl
from tensorlite.func import jvp, linearize, vjp

RTOL = 1e-6


def floats(tree: Any) -> list[Any]:
    return [t for t in flat(tree) if np.dtype(t.dtype).kind == "f"]


def normal(rng: np.random.Generator, like: Any) -> Any:
    return tl.tensor(rng.standard_normal(tuple(like.shape)), dtype=like.dtype)


def dot(xs: list[Any], ys: list[Any]) -> float:
    return float(sum(np.vdot(host(x), host(y)) for x, y in zip(xs, ys, strict=True)))


def size(xs: list[Any], ys: list[Any]) -> float:
    """What the dot product's terms add up to without their signs: what rounding is relative to."""
    return float(sum(np.abs(host(x) * host(y)).sum() for x, y in zip(xs, ys))) + 1e-6


@with_gradient
def test_jvp_against_vjp(row: Any) -> None:
    for number, case in cases(row):
        arrays, function = differentiated(row, case)
        if not arrays:
            continue
        rng = np.random.default_rng([SEED, number])
        xs = [tl.tensor(a) for a in arrays]
        ts = [normal(rng, x) for x in xs]
        result = lambda *given, f=function: tuple(floats(f(*given)))
        out, moved = jvp(result, tuple(xs), tuple(ts))
        plain = result(*xs)
        for o, p in zip(out, plain, strict=True):
            np.testing.assert_array_equal(host(o), host(p))
        gs = [normal(rng, o) for o in out]
        _, pullback = vjp(result, *xs)
        pulled = pullback(tuple(gs))
        a, b = dot(gs, moved), dot(list(pulled), ts)
        scale = max(size(gs, list(moved)), size(list(pulled), ts))
        assert abs(a - b) <= RTOL * scale, f"{row.name}, case {number}: <g, J t> = {a}, <J^T g, t> = {b}"
        _, push = linearize(result, *xs)
        for m, n in zip(moved, push(*ts), strict=True):
            np.testing.assert_allclose(host(n), host(m), rtol=1e-12, atol=1e-14)


@with_gradient
def test_forward_over_reverse(row: Any) -> None:
    """jvp of the pullback against vjp of the pullback: the second derivative's dot test."""
    if row.second is not True:
        pytest.skip(str(row.second))
    for number, case in cases(row):
        arrays, function = differentiated(row, case)
        if not arrays:
            continue
        rng = np.random.default_rng([SEED, number])
        xs = [tl.tensor(a) for a in arrays]
        result = lambda *given, f=function: tuple(floats(f(*given)))
        gs = [normal(rng, o) for o in result(*xs)]

        def gradient(*given: Any, result: Any = result, gs: Any = gs) -> Any:
            return vjp(result, *given)[1](tuple(gs))
        ts = [normal(rng, x) for x in xs]
        hs = [normal(rng, x) for x in xs]
        _, moved = jvp(gradient, tuple(xs), tuple(ts))
        pulled = vjp(gradient, *xs)[1](tuple(hs))
        a, b = dot(hs, list(moved)), dot(list(pulled), ts)
        scale = max(size(hs, list(moved)), size(list(pulled), ts))
        assert abs(a - b) <= RTOL * scale, f"{row.name}, case {number}: forward over reverse {a}, reverse over reverse {b}"
