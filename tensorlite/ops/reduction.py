"""Reductions: sums, means, products, extremes, truth values. Variances and norms are in ``ops/statistics.py``."""
from __future__ import annotations

from typing import Any

from tensorlite._dtypes import as_dtype
from tensorlite.engine.batching import along, shaped
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Value, raw
from tensorlite.ops._axes import Axis, check_axes, count_along, kept_shape
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import cast, mul_p

Array = Any


def axes(axis: Any) -> Any:
    """PyTorch's lists of axes as the tuples that array libraries take."""
    if axis is None or axis.__class__ is int:
        return axis
    if axis.__class__ is list:
        return tuple(axis)
    return int(axis) if isinstance(axis, Value) and axis.level and not axis.ndim else raw(axis)   # type: ignore[call-overload]


def floating(xp: Any, x: Any) -> Any:
    """``x`` where it is floating or complex, as float64 where not: what NumPy's mean makes of integers."""
    return x if xp.isdtype(x.dtype, ("real floating", "complex floating")) else xp.astype(x, xp.float64)


def _cast(x: Any, dtype: Any) -> Any:
    return cast(x, as_dtype(dtype))


# ---- spread: the adjoint of a sum (or a mean), which puts the reduced axes back ------------------------------------------

def _spread(xp: Any, g: Any, *, shape: tuple[int, ...], axis: Axis = None, keepdims: bool = False, mean: bool = False) -> Any:
    if mean:
        g = g / (count_along(shape, axis) or 1)
    if not keepdims and axis is not None:
        g = xp.reshape(g, kept_shape(shape, axis))
    return xp.broadcast_to(g, shape)


spread_p: Primitive = primitive("spread", _spread, linear_in="g")
spread_p.batch(shaped("shape", axes="axis"))
spread_p.vjp(g=lambda h, axis, keepdims, mean: (mean_p if mean else sum_p)(h, axis=axis, keepdims=keepdims))


# ---- sum ---------------------------------------------------------------------------------------------------------------

def _sum(xp: Any, x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    if xp.isdtype(x.dtype, "bool"):
        x = xp.astype(x, xp.int64)
    return xp.sum(x, axis=axis, keepdims=keepdims)


sum_p: Primitive = primitive("sum", _sum, linear_in="x", check=check_axes("sum"))
sum_p.batch(along("axis"))
sum_p.vjp(x=lambda g, axis, keepdims, x_shape: spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims))


@torch_names
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """Σ x over ``axis`` (an integer, several, or None for all). Small integers and booleans give int64; the sum of nothing is 0.

    >>> import tensorlite as tl
    >>> tl.sum(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    return sum_p(x if dtype is None else _cast(x, dtype), axis=axes(axis), keepdims=keepdims)


# ---- mean --------------------------------------------------------------------------------------------------------------

def _mean(xp: Any, x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    x = floating(xp, x)
    if 0 in x.shape and not count_along(x.shape, axis):   # nan as from the library, without its warning
        return xp.sum(x, axis=axis, keepdims=keepdims) + xp.nan
    return xp.mean(x, axis=axis, keepdims=keepdims)


mean_p: Primitive = primitive("mean", _mean, linear_in="x", check=check_axes("mean"))
mean_p.batch(along("axis"))
mean_p.vjp(x=lambda g, axis, keepdims, x_shape: spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims, mean=True))


@torch_names
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """(Σ x) / n over ``axis``; float16 is summed in float32, integers in float64, and the mean of nothing is nan.

    >>> import tensorlite as tl
    >>> tl.mean(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    tensor([1.5, 3.5])
    """
    return mean_p(x if dtype is None else _cast(x, dtype), axis=axes(axis), keepdims=keepdims)


# ---- max, min: the elements that attain the extreme share its gradient equally -------------------------------------------

def _shares(xp: Any, x: Any, extreme: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    if not keepdims:
        extreme = xp.reshape(extreme, kept_shape(x.shape, axis))
    # where the extreme is nan, the nans are what it depends on
    ties = xp.astype((x == extreme) | (xp.isnan(x) & xp.isnan(extreme)), x.dtype)
    return ties / xp.sum(ties, axis=axis, keepdims=True)


shares_p = primitive("shares", _shares, discrete=True)
shares_p.batch(along("axis"))


def _extreme_rule(g: Any, x: Any, out: Any, axis: Any, keepdims: bool, x_shape: tuple[int, ...]) -> Any:
    return mul_p(spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims), shares_p(x, out, axis=axis, keepdims=keepdims))


max_p = primitive("max", lambda xp, x, *, axis=None, keepdims=False: xp.max(x, axis=axis, keepdims=keepdims),
                  check=check_axes("max", needs_elements=True))
max_p.batch(along("axis"))
max_p.vjp(x=_extreme_rule)

min_p = primitive("min", lambda xp, x, *, axis=None, keepdims=False: xp.min(x, axis=axis, keepdims=keepdims),
                  check=check_axes("min", needs_elements=True))
min_p.batch(along("axis"))
min_p.vjp(x=_extreme_rule)


@torch_names
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over ``axis``, and only that (PyTorch's ``max(dim)`` gives the indices too: see ``argmax``, ``topk``).

    Elements that tie share the gradient equally; a nan anywhere makes the result nan. ``ShapeError`` if there is nothing.

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0, 5.0, 5.0], requires_grad=True)
    >>> x.max().backward(); x.grad
    tensor([0. , 0.5, 0.5])
    """
    return max_p(x, axis=axes(axis), keepdims=keepdims)


@torch_names
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over ``axis``; see ``max``."""
    return min_p(x, axis=axes(axis), keepdims=keepdims)


amax, amin = max, min


# ---- truth values ------------------------------------------------------------------------------------------------------

all_p = primitive("all", lambda xp, x, *, axis=None, keepdims=False: xp.all(x, axis=axis, keepdims=keepdims), discrete=True,
                  check=check_axes("all"))
all_p.batch(along("axis"))
any_p = primitive("any", lambda xp, x, *, axis=None, keepdims=False: xp.any(x, axis=axis, keepdims=keepdims), discrete=True,
                  check=check_axes("any"))
any_p.batch(along("axis"))
count_nonzero_p = primitive("count_nonzero", lambda xp, x, *, axis=None, keepdims=False: xp.sum(
    xp.astype(x != xp.zeros((), dtype=x.dtype), xp.int64), axis=axis, keepdims=keepdims), discrete=True,
                            check=check_axes("count_nonzero"))
count_nonzero_p.batch(along("axis"))


@torch_names
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element over ``axis`` is true (not zero); of nothing, yes."""
    return all_p(x, axis=axes(axis), keepdims=keepdims)


@torch_names
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element over ``axis`` is true (not zero); of nothing, no."""
    return any_p(x, axis=axes(axis), keepdims=keepdims)


@torch_names
def count_nonzero(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many elements over ``axis`` are not zero (or are true), as int64."""
    return count_nonzero_p(x, axis=axes(axis), keepdims=keepdims)
