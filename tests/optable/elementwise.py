"""Arithmetic and functions of two arguments (tensorlite/ops/elementwise.py and binary.py)."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row

Rng = np.random.Generator
Draw = Callable[..., Any]


def normal(rng: Rng, *shape: int) -> Any:
    return np.asarray(rng.standard_normal(shape))


def positive(rng: Rng, *shape: int) -> Any:
    return np.asarray(rng.uniform(0.5, 2.0, shape))


def away(rng: Rng, *shape: int) -> Any:
    """Numbers of both signs, none near 0."""
    return np.asarray(rng.uniform(0.4, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((), ()), ((0, 2), (2,)), ((2, 1, 2), (3, 1)))


def pairs(x: Draw = normal, y: Draw = normal, *, scalars: tuple[float, ...] = (2.5,), left: tuple[float, ...] = (1.5,),
          ) -> Callable[[Rng], Iterator[Case]]:
    """Cases of two arguments: every way of broadcasting, a number on either side."""
    def cases(rng: Rng) -> Iterator[Case]:
        for a, b in SHAPES:
            yield Case((x(rng, *a), y(rng, *b)))
        for s in scalars:
            yield Case((x(rng, 2, 2), s))
        for s in left:
            yield Case((s, y(rng, 2, 2)))
    return cases


def listed(*cases: tuple[Any, ...], **kwargs: Any) -> Callable[[Rng], Iterator[Case]]:
    def made(rng: Rng) -> Iterator[Case]:
        for args in cases:
            yield Case(tuple(a(rng) if callable(a) else a for a in args), kwargs)
    return made


def _apart(rng: Rng) -> Iterator[Case]:
    """Pairs that differ by more than the step of the finite differences."""
    for a, b in SHAPES:
        y = normal(rng, *b)
        x = np.broadcast_to(y, np.broadcast_shapes(a, b)) + away(rng, *np.broadcast_shapes(a, b))
        yield Case((x, y))
    yield Case((away(rng, 3), 0.0))
    yield Case((0.0, away(rng, 3)))


def _quotients(rng: Rng) -> Iterator[Case]:
    """x and y with x / y away from integers."""
    for a, b in SHAPES:
        y = away(rng, *b)
        shape = np.broadcast_shapes(a, b)
        yield Case(((rng.integers(-3, 4, shape) + rng.uniform(0.2, 0.8, shape)) * y, y))
    yield Case((np.array([-2.3, -0.7, 0.4, 5.1]), 2.0))


def _clips(rng: Rng) -> Iterator[Case]:
    x = np.array([[-2.0, -0.3, 0.2], [0.7, 1.6, 3.0]])
    for low, high in ((-1.0, 1.0), (None, 0.5), (0.5, None), (None, None), (1.0, -1.0)):
        yield Case((x, low, high))
    yield Case((x,), {"min": -0.5})
    yield Case((x, np.array([-1.0, 0.0, 0.5]), np.array([[1.0], [2.0]])))
    yield Case((x, np.array(-1.5), None))
    yield Case((x, 0.0, np.array([0.1, 1.0, 2.0])))
    yield Case((np.array(0.3), -1.0, 1.0))
    yield Case((np.zeros((0, 2)), -1.0, 1.0))


def _clip(x: Any, low: Any = None, high: Any = None, min: Any = None) -> Any:
    low = min if low is None else low
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _wheres(rng: Rng) -> Iterator[Case]:
    yield Case((rng.random((2, 3)) > 0.5, normal(rng, 2, 3), normal(rng, 2, 3)))
    yield Case((rng.random((2, 1)) > 0.5, normal(rng, 3), normal(rng, 1, 1)))
    yield Case((np.array(True), normal(rng, 3), normal(rng)))
    yield Case((rng.random(4) > 0.5, normal(rng, 4), 0.0))
    yield Case((rng.random(4) > 0.5, 1.5, normal(rng, 4)))
    yield Case((rng.random((0, 3)) > 0.5, normal(rng, 0, 3), normal(rng, 3)))


def _powers(rng: Rng) -> Iterator[Case]:
    for exponent in (2, 3, 4, 5, 1, 0, -1, -2, 2.0):
        yield Case((away(rng, 2, 3), exponent))
    for exponent in (0.5, -0.5, 1.5, 2.5, 0.0, 1.0):
        yield Case((positive(rng, 3), exponent))
    yield Case((positive(rng), 2))
    yield Case((np.zeros((0,)), 3))


def _lerps(rng: Rng) -> Iterator[Case]:
    yield Case((normal(rng, 2, 3), normal(rng, 3), normal(rng, 2, 1)))
    yield Case((normal(rng, 2), normal(rng, 2), 0.3))


def _integers(rng: Rng) -> Iterator[Case]:
    x, y = rng.integers(-9, 9, (2, 3)), rng.integers(1, 5, (3,))
    yield Case((x, y))
    yield Case((x.astype(np.int8), 3))


BOTH = (0, 1)
INTEGERS = {"strict": "the standard leaves out integers here"}


def binary(name: str, reference: Any = None, x: Draw = normal, y: Draw = normal, **options: Any) -> Row:
    """A row of a function of two arguments."""
    cases = options.pop("cases", None) or pairs(x, y)
    options.setdefault("covers", ())
    return Row(name, getattr(tl, name), reference or getattr(np, name), cases, grad=options.pop("grad", BOTH), **options)


HALF = ("float16", "float32", "float64")
ROWS = [
    binary("add", covers=("add",), dtypes=(*HALF, "bfloat16")),
    binary("subtract", covers=("sub",), dtypes=(*HALF, "bfloat16")),
    binary("multiply", covers=("mul", "chain"), dtypes=(*HALF, "bfloat16")),
    binary("divide", y=away, covers=("div", "chain_div"), dtypes=HALF),
    Row("add_alpha", tl.add, lambda x, y, alpha: x + alpha * y,
        lambda rng: [Case((normal(rng, 2), normal(rng, 3, 1)), {"alpha": 0.5})], grad=BOTH),
    Row("subtract_alpha", tl.subtract, lambda x, y, alpha: x - alpha * y,
        lambda rng: [Case((normal(rng, 2), normal(rng, 2)), {"alpha": 3})], grad=BOTH),
    Row("divide_integers", tl.divide, np.divide, _integers, skip=INTEGERS),
    Row("divide_floor", lambda x, y: tl.divide(x, y, rounding_mode="floor"), np.floor_divide, _quotients, grad=BOTH),
    Row("divide_trunc", lambda x, y: tl.divide(x, y, rounding_mode="trunc"), lambda x, y: np.trunc(x / y), _quotients, grad=BOTH),
    Row("negative", tl.negative, np.negative, lambda rng: [Case((normal(rng, *s),)) for s in ((2, 3), (), (0,))], grad=(0,),
        covers=("neg",)),
    binary("floor_divide", cases=_quotients, covers=("floor_divide",)),
    binary("remainder", cases=_quotients, covers=("remainder",)),
    binary("fmod", cases=_quotients, covers=("fmod",)),
    Row("remainder_integers", tl.remainder, np.remainder, _integers),
    binary("maximum", cases=_apart, covers=("maximum",), dtypes=HALF),
    binary("minimum", cases=_apart, covers=("minimum",), dtypes=HALF),
    Row("clip", tl.clip, _clip, _clips, grad=(0, 1, 2), covers=("clip", "clip_low", "clip_high", "positive")),
    Row("clamp_min", tl.clamp_min, np.maximum, listed((np.array([-1.0, 2.0]), 0.5)), grad=(0,)),
    Row("clamp_max", tl.clamp_max, np.minimum, listed((np.array([-1.0, 2.0]), 0.5)), grad=(0,)),
    Row("where", tl.where, np.where, _wheres, grad=(1, 2), covers=("where",), dtypes=HALF),
    Row("sum_to", lambda x: tl.ops.elementwise.sum_to(x, shape=(1, 3)), lambda x: x.sum((0, 1), keepdims=True)[0],
        lambda rng: [Case((normal(rng, 2, 4, 3),))], grad=(0,), covers=("sum_to", "expand")),
    Row("expand", lambda x: tl.ops.elementwise.expand(x, shape=(4, 2, 3)), lambda x: np.broadcast_to(x, (4, 2, 3)),
        lambda rng: [Case((normal(rng, 2, 1),)), Case((normal(rng, 3),)), Case((normal(rng),))], grad=(0,),
        covers=("expand", "sum_to")),
    binary("power", x=positive, covers=("pow", "exp_base", "pow_scalar")),
    Row("power_scalar", tl.power, np.power, _powers, grad=(0,), covers=("pow_scalar", "square", "sqrt", "rsqrt", "reciprocal")),
    Row("power_negative_base", tl.power, np.power, listed((np.array([-2.0, -1.5, 3.0]), np.array([3.0, 2.0, -1.0]))),
        grad=(0,)),
    Row("power_integers", tl.power, np.power, lambda rng: [Case((rng.integers(-4, 5, 5), 2)), Case((rng.integers(-4, 5, 5), 3)),
        Case((rng.integers(1, 5, 3), np.array([0, 1, 2]))), Case((2, np.array([0, 3, 5])))]),
    binary("atan2", np.arctan2, x=away, y=away, covers=("atan2",)),
    binary("hypot", x=away, y=away, covers=("hypot",)),
    binary("logaddexp", covers=("logaddexp",)),
    binary("logaddexp2", rtol=1e-11),
    binary("xlogy", lambda x, y: x * np.log(y), y=positive),
    binary("copysign", x=away, y=away, covers=("copysign",)),
    Row("nextafter", tl.nextafter, np.nextafter, pairs(), covers=("nextafter",), dtypes=("float64",)),
    Row("lerp", tl.lerp, lambda a, b, w: a + w * (b - a), _lerps, grad=(0, 1, 2)),
]
