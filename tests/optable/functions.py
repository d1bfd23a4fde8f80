"""Functions of one argument (tensorlite/ops/functions.py)."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.elementwise import away, listed, normal

Rng = np.random.Generator
HALF = ("float16", "float32", "float64")


def within(low: float, high: float) -> Callable[[Rng], Iterator[Case]]:
    """Cases with arguments between two bounds."""
    def cases(rng: Rng) -> Iterator[Case]:
        for shape in ((2, 3), (), (0, 2), (4,)):
            yield Case((np.asarray(rng.uniform(low, high, shape)),))
    return cases


def _away(rng: Rng) -> Iterator[Case]:
    for shape in ((2, 3), (), (0, 2)):
        yield Case((away(rng, *shape),))


def _steps(rng: Rng) -> Iterator[Case]:
    """Away from integers and from halves of them."""
    for shape in ((2, 3), (), (0, 2)):
        yield Case((rng.integers(-4, 4, shape) + rng.choice([0.2, 0.7], shape),))


def unary(name: str, reference: Any = None, cases: Any = None, **options: Any) -> Row:
    """A row of a function of one argument."""
    options.setdefault("covers", (name,))
    return Row(name, getattr(tl, name), reference or getattr(np, name), cases or within(-2, 2), grad=(0,), **options)


def each(function: Any) -> Any:
    """A function of numbers as one of arrays."""
    return np.vectorize(function, otypes=[float])


def _erfinv(x: Any) -> Any:
    """By bisection."""
    low, high = np.full(np.shape(x), -6.0), np.full(np.shape(x), 6.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = each(math.erf)(middle) < x
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


POSITIVE, UNIT = within(0.3, 3), within(-0.9, 0.9)
TAILS = np.array([-28.0, -10.0, -6.0, -4.001, -3.999, -1.0, -0.469, -0.468, -1e-9, 0.0,
                  1e-9, 0.3, 0.468, 0.469, 2.0, 3.999, 4.001, 5.5, 9.0, 26.0])


def _tails(rng: Rng) -> Iterator[Case]:
    yield from within(-3, 3)(rng)
    yield Case((TAILS,))


def _logistic(x: Any) -> Any:
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1.0) / (1 + np.exp(-np.abs(x)))


def _special(rng: Rng) -> Iterator[Case]:
    yield Case((np.array([1.0, np.nan, np.inf, -np.inf, -2.0]),))
    yield Case((np.array([1.0, np.nan, np.inf, -np.inf, -2.0]),), {"nan": 3.0, "posinf": 7.0, "neginf": -8.0})
    yield Case((np.array(np.nan),))


def _complex(rng: Rng) -> Iterator[Case]:
    yield Case((normal(rng, 2) + 1j * normal(rng, 2),))
    yield Case((normal(rng, 2),))


ROWS = [
    unary("abs", cases=_away, dtypes=HALF),
    unary("sign", cases=_away),
    unary("positive"),
    unary("sqrt", cases=POSITIVE, covers=("sqrt", "chain_div"), dtypes=HALF),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE),
    unary("square", dtypes=HALF),
    unary("reciprocal", np.reciprocal, _away),
    unary("exp", dtypes=HALF),
    unary("exp2"),
    unary("expm1"),
    unary("log", cases=POSITIVE, dtypes=HALF),
    unary("log1p", cases=within(-0.5, 3)),
    unary("log2", cases=POSITIVE),
    unary("log10", cases=POSITIVE),
    unary("sin"),
    unary("cos"),
    unary("tan", cases=within(-1.2, 1.2)),
    unary("asin", np.arcsin, UNIT),
    unary("acos", np.arccos, UNIT),
    unary("atan", np.arctan),
    unary("sinh"),
    unary("cosh"),
    unary("tanh", covers=("tanh", "tanh_backward"), dtypes=HALF),
    unary("asinh", np.arcsinh),
    unary("acosh", np.arccosh, within(1.3, 4)),
    unary("atanh", np.arctanh, UNIT),
    unary("floor", cases=_steps),
    unary("ceil", cases=_steps),
    unary("trunc", cases=_steps),
    unary("round", cases=_steps),
    Row("round_decimals", tl.round, np.round, listed((np.array([1.234, -5.678]), 1)), grad=(0,)),
    unary("frac", lambda x: x - np.trunc(x), _steps, covers=()),
    unary("sigmoid", _logistic, lambda rng: [*within(-3, 3)(rng), Case((np.array([-700.0, -40.0, 40.0, 700.0]),))],
          covers=("sigmoid", "sigmoid_backward"), dtypes=HALF),
    unary("logit", lambda x: np.log(x / (1 - x)), within(0.1, 0.9), covers=()),
    Row("logit_eps", tl.logit, lambda x, eps: np.log(np.clip(x, eps, 1 - eps) / (1 - np.clip(x, eps, 1 - eps))),
        listed((np.array([0.0, 0.05, 0.5, 1.0]), 0.1)), grad=(0,)),
    unary("erf", each(math.erf), _tails, rtol=1e-15, dtypes=HALF),
    unary("erfc", each(math.erfc), _tails, rtol=1e-14),
    unary("erfinv", _erfinv, lambda rng: [*within(-0.99, 0.99)(rng), Case((np.array([0.0, 1e-8, -0.5, 0.9999]),))], rtol=1e-11),
    Row("nan_to_num", tl.nan_to_num, np.nan_to_num, _special, covers=("nan_to_num",), dtypes=("float64",)),
    Row("nan_to_num_finite", tl.nan_to_num, np.nan_to_num, within(-1, 1), grad=(0,)),
    unary("deg2rad", covers=()),
    unary("rad2deg", covers=()),
    *[Row(n, getattr(tl, n), getattr(np, n), _complex, covers=(n,)) for n in ("real", "imag", "conj")],
]
