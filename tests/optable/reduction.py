"""Sums, means, products, extremes, variances, norms, running sums and products."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row

AXES: tuple[dict[str, Any], ...] = ({}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"axis": (-1, 1), "keepdims": True},
                                    {"keepdims": True}, {"axis": 1, "keepdims": True}, {"axis": ()})


def over_axes(make: Callable[[np.random.Generator, tuple[int, ...]], Any], *, empty: bool = True,
              **options: Any) -> Callable[[np.random.Generator], Iterator[Case]]:
    """Every way of naming axes, a 0-d array, one element, and (where that is defined) nothing."""
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for kwargs in AXES:
            yield Case((make(rng, (3, 2, 4)),), {**kwargs, **options})
        yield Case((make(rng, (5,)),), {"axis": 0, **options})
        yield Case((make(rng, ()),), options)
        yield Case((make(rng, (1, 1)),), options)
        yield Case((make(rng, (2, 0)),), {"axis": 0, **options})
        if empty:
            yield Case((make(rng, (2, 0)),), {"axis": 1, **options})
            yield Case((make(rng, (0,)),), options)
    return cases


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape)


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-2, 3, shape)


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """No ties, and far enough apart for finite differences."""
    return rng.permutation(np.arange(int(np.prod(shape))) * 0.37 - 1.1).reshape(shape)


def truths(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.random(shape) < 0.7


def with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.asarray(rng.standard_normal(shape) * (rng.random(shape) < 0.6))


def with_nan(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    x = np.asarray(rng.standard_normal(shape))
    x[rng.random(shape) < 0.3] = np.nan
    return x


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    x = rng.standard_normal(shape)
    return np.asarray(np.where(x < 0, x - 0.3, x + 0.3))


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    count = np.sum(np.ones(x.shape), axis=axis, keepdims=keepdims)
    with np.errstate(invalid="ignore"):
        return np.sum(x, axis=axis, keepdims=keepdims) / count


def _var(x: Any, axis: Any = None, keepdims: bool = False, correction: float = 0, unbiased: bool | None = None) -> Any:
    if unbiased is not None:
        correction = int(unbiased)
    count = np.sum(np.ones(x.shape), axis=axis, keepdims=keepdims) - correction
    squares = np.sum((x - _mean(x, axis, True)) ** 2, axis=axis, keepdims=keepdims)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, squares / count, np.nan)


def _std(x: Any, **options: Any) -> Any:
    return np.sqrt(_var(x, **options))


def _norm(x: Any, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    size = np.abs(x)
    if ord == 0:
        return np.sum(size != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    if np.isinf(ord):
        return (np.max(size, axis=axis, keepdims=keepdims, initial=0) if ord > 0 else np.min(size, axis=axis, keepdims=keepdims))
    return np.sum(size ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def _dtype_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((integers(rng, (3, 4)),), {"axis": 0, "dtype": "float64"})
    yield Case((normal(rng, (3, 4)).astype(np.float32),), {"axis": 1, "dtype": "float64"})


def _nothing(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((np.zeros((2, 0)),))
    yield Case((np.zeros((2, 0)),), {"axis": 1})


def _scan_cases(make: Callable[[np.random.Generator, tuple[int, ...]], Any],
                **options: Any) -> Callable[[np.random.Generator], Iterator[Case]]:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        yield Case((make(rng, (5,)),), options)
        for axis in (0, 1, -1):
            yield Case((make(rng, (3, 4, 2)),), {"axis": axis, **options})
        yield Case((make(rng, (2, 0)),), {"axis": 1, **options})
        yield Case((make(rng, (2, 1)),), {"axis": 1, **options})
        yield Case((make(rng, (0, 2)),), {"axis": 1, **options})
    return cases


def _cumulative(accumulate: Callable[..., Any], first: float) -> Callable[..., Any]:
    def reference(x: Any, axis: int = 0, include_initial: bool = False) -> Any:
        out = accumulate(x, axis=axis)
        if not include_initial:
            return out
        shape = list(x.shape)
        shape[axis] = 1
        return np.concatenate([np.full(shape, first), out], axis=axis)
    return reference


def _diff_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (5,)),))
    yield Case((normal(rng, (3, 4)),), {"axis": 0})
    yield Case((normal(rng, (3, 5)),), {"n": 3})
    yield Case((normal(rng, (3, 2)),), {"n": 0})
    yield Case((normal(rng, (2, 1)),), {"n": 1})
    yield Case((normal(rng, (0,)),))


REAL = ("float16", "float32", "float64")

ROWS = [
    Row("sum", tl.sum, np.sum, over_axes(normal), grad=(0,), dtypes=REAL, covers=("sum", "spread")),
    Row("sum of integers", tl.sum, np.sum, over_axes(integers), dtypes=()),
    Row("sum of booleans", tl.sum, np.sum, over_axes(truths), dtypes=()),
    Row("sum as dtype", tl.sum, np.sum, _dtype_cases, dtypes=()),
    Row("mean of nothing", tl.mean, _mean, _nothing, covers=("mean",)),
    Row("mean", tl.mean, _mean, over_axes(normal, empty=False), grad=(0,), dtypes=REAL, covers=("mean", "spread")),
    Row("mean of integers", tl.mean, _mean, over_axes(integers), dtypes=()),
    Row("prod", tl.prod, np.prod, over_axes(normal), grad=(0,), dtypes=REAL,
        covers=("prod", "cumprod", "slide", "flatten_axes", "restore_axes", "recur")),
    Row("prod with zeros", tl.prod, np.prod, over_axes(with_zeros), grad=(0,)),
    Row("prod of integers", tl.prod, np.prod, over_axes(integers), dtypes=()),
    Row("max", tl.max, np.max, over_axes(distinct, empty=False), grad=(0,), dtypes=REAL, covers=("max", "shares")),
    Row("min", tl.min, np.min, over_axes(distinct, empty=False), grad=(0,), dtypes=REAL, covers=("min", "shares")),
    Row("max of integers", tl.max, np.max, over_axes(integers, empty=False), dtypes=()),
    Row("all", tl.all, np.all, over_axes(truths), dtypes=(), covers=("all",)),
    Row("any", tl.any, np.any, over_axes(truths), dtypes=(), covers=("any",)),
    Row("count_nonzero", tl.count_nonzero, np.count_nonzero, over_axes(integers), dtypes=(), covers=("count_nonzero",)),
    Row("nansum", tl.nansum, np.nansum, over_axes(with_nan), covers=("drop_nan",)),
    Row("nanmean of some", tl.nanmean, lambda x, **k: np.nansum(x, **k) / np.sum(~np.isnan(x), **k),
        lambda rng: (Case((with_nan(rng, (5, 6)),), {"axis": a}) for a in (None, 0, (0, 1))),
        covers=("drop_nan", "count_numbers")),
    Row("nanmean of nothing", tl.nanmean, _mean, _nothing),
    Row("nansum without nan", tl.nansum, np.sum, over_axes(normal), grad=(0,), covers=("drop_nan",)),
    Row("nanmean", tl.nanmean, _mean, over_axes(normal, empty=False), grad=(0,), covers=("count_numbers",)),
    Row("var of nothing", tl.var, _var, _nothing, covers=("var",)),
    Row("var", tl.var, _var, over_axes(normal, empty=False), grad=(0,), dtypes=REAL, covers=("var",)),
    Row("var, unbiased", tl.var, _var, over_axes(normal, empty=False, unbiased=True), covers=("var",)),
    Row("std", tl.std, _std, lambda rng: (c for c in over_axes(normal)(rng) if c.args[0].size > 1 and c.kwargs.get("axis") != ()),
        grad=(0,), dtypes=REAL, covers=("std", "safe_div")),
    Row("std, corrected", tl.std, _std,
        lambda rng: (Case((normal(rng, (4, 3)),), {"axis": a, "correction": 1.5}) for a in (None, 0, 1)), grad=(0,)),
    *[Row(f"vector_norm of order {ord}", tl.vector_norm, _norm, over_axes(distinct if np.isinf(ord) else away_from_zero, ord=ord,
          empty=ord > 0 or ord == 0), grad=(0,), dtypes=REAL if ord == 2 else ("float32", "float64"), covers=("vector_norm",))
      for ord in (2, 1, 3, 2.5, 0, float("inf"), float("-inf"), -2)],
    Row("cumulative_sum", tl.cumulative_sum, _cumulative(np.cumsum, 0), _scan_cases(normal), grad=(0,), dtypes=REAL,
        covers=("cumsum",)),
    Row("cumulative_sum from 0", tl.cumulative_sum, _cumulative(np.cumsum, 0), _scan_cases(normal, include_initial=True),
        grad=(0,), covers=("cumsum", "slide")),
    Row("cumulative_sum of integers", tl.cumulative_sum, _cumulative(np.cumsum, 0), _scan_cases(integers), dtypes=()),
    Row("cumulative_prod", tl.cumulative_prod, _cumulative(np.cumprod, 1), _scan_cases(normal), grad=(0,), dtypes=REAL,
        covers=("cumprod", "recur", "slide")),
    Row("cumulative_prod with zeros", tl.cumulative_prod, _cumulative(np.cumprod, 1),
        _scan_cases(with_zeros, include_initial=True), grad=(0,)),
    Row("diff", tl.diff, np.diff, _diff_cases, grad=(0,), covers=("slide",)),
]
