"""Elementwise arithmetic: one operation, one section. Functions of one argument are in ``ops/functions.py``."""
from __future__ import annotations

import warnings
from typing import Any

from numpy.exceptions import ComplexWarning

from tensorlite import _dtypes, backends
from tensorlite._state import current
from tensorlite.engine.batching import pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import KIND, SCALAR, Value, provide
from tensorlite.errors import DTypeError
from tensorlite.ops import _batching
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.comparison import eq_p, gt_p, lt_p, or_p
from tensorlite.ops.creation import asarray, zeros_p

Array = Any   # a Tensor, or a raw array of a backend: what goes in decides what comes out


# ---- chain: the product of a cotangent and a local derivative ----------------------------------------------------------
# A zero cotangent says that the path does not matter, so 0 x inf and 0 x nan are 0 there: d/da where(a > 0, sqrt(a), a) is
# finite at 0. A NaN shows up in the sum of squares; testing it is one fast pass, and where() runs only if there is one.

def _masked(xp: Any, out: Any, g: Any) -> Any:
    flat = xp.reshape(out, (-1,))
    if not current().strict_nan and bool(xp.isnan(xp.sum(flat * flat))):
        out = xp.where(xp.broadcast_to(g, out.shape) == 0, xp.zeros_like(out), out)
    return out


chain: Primitive = primitive("chain", lambda xp, g, d: _masked(xp, g * d, g), elementwise=True, linear_in="g d")
chain.vjp(g=lambda h, d: chain(h, d), d=lambda h, g: chain(h, g))


# the same with the reciprocal of the local derivative, which a division gives without a second rounding
chain_div: Primitive = primitive("chain_div", lambda xp, g, d: _masked(xp, g / d, g), elementwise=True, linear_in="g")
chain_div.vjp(g=lambda h, d: chain_div(h, d), d=lambda h, d, out: neg_p(chain(h, chain_div(out, d))))


# ---- sum_to: the adjoint of broadcasting -------------------------------------------------------------------------------

def _sum_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    extra = x.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    if not axes:
        return xp.reshape(x, shape)
    return xp.reshape(xp.sum(x, axis=axes, dtype=x.dtype), shape)


sum_to = primitive("sum_to", _sum_to, linear_in="x", view=True)
sum_to.batch(_batching.sum_to)
sum_to.vjp(x=lambda g, x_shape: expand(g, shape=x_shape))

expand: Primitive = primitive("expand", lambda xp, x, *, shape: xp.broadcast_to(x, shape), linear_in="x", view=True)
expand.batch(_batching.expand)
expand.vjp(x=lambda g, x_shape: sum_to(g, shape=x_shape))


# ---- add ---------------------------------------------------------------------------------------------------------------

add_p: Primitive = primitive("add", "add", args="x y", elementwise=True, linear_in="x y")
add_p.vjp(x=lambda g: g, y=lambda g: g)


@torch_names
def add(x: Array, y: Array, /, *, alpha: float = 1) -> Array:
    """x + alpha y, broadcast.

    >>> import tensorlite as tl
    >>> tl.add(tl.tensor([1.0, 2.0]), 3.0)
    tensor([4., 5.])
    """
    return add_p(x, y if alpha == 1 else mul_p(y, alpha))


# ---- subtract ----------------------------------------------------------------------------------------------------------

sub_p: Primitive = primitive("sub", "subtract", args="x y", elementwise=True, linear_in="x y")
sub_p.vjp(x=lambda g: g, y=lambda g: neg_p(g))


@torch_names
def subtract(x: Array, y: Array, /, *, alpha: float = 1) -> Array:
    """x - alpha y, broadcast."""
    return sub_p(x, y if alpha == 1 else mul_p(y, alpha))


# ---- multiply ----------------------------------------------------------------------------------------------------------

mul_p: Primitive = primitive("mul", "multiply", args="x y", elementwise=True, linear_in="x y")
mul_p.vjp(x=lambda g, y: chain(g, y), y=lambda g, x: chain(g, x))


@torch_names
def multiply(x: Array, y: Array, /) -> Array:
    """x y, elementwise and broadcast.

    >>> import tensorlite as tl
    >>> tl.multiply(tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return mul_p(x, y)


# ---- negative ----------------------------------------------------------------------------------------------------------

neg_p: Primitive = primitive("neg", "negative", linear_in="x")
neg_p.batch(pointwise)
neg_p.deriv(x=lambda g: neg_p(g))


@torch_names
def negative(x: Array, /) -> Array:
    """-x."""
    return neg_p(x)


# ---- divide ------------------------------------------------------------------------------------------------------------

div_p: Primitive = primitive("div", "divide", args="x y", elementwise=True, linear_in="x")
div_p.vjp(x=lambda g, y: chain_div(g, y), y=lambda g, y, out: neg_p(chain(g, chain_div(out, y))))


@torch_names
def divide(x: Array, y: Array, /, *, rounding_mode: str | None = None) -> Array:
    """x / y, broadcast; ``rounding_mode`` "floor" or "trunc" rounds the quotient.

    >>> import tensorlite as tl
    >>> tl.divide(tl.tensor([1.0, 3.0]), 2.0)
    tensor([0.5, 1.5])
    """
    if rounding_mode is None:
        return div_p(x, y)
    if rounding_mode == "floor":
        return floor_divide_p(x, y)
    if rounding_mode == "trunc":
        from tensorlite.ops.functions import trunc_p
        return trunc_p(div_p(x, y))
    raise DTypeError(f"divide: rounding_mode is {rounding_mode!r}; expected None, 'floor' or 'trunc'")


# ---- quotients and remainders ------------------------------------------------------------------------------------------
# remainder takes the divisor's sign (Python's %), fmod the dividend's (C's). The quotient is a step function: its gradient is 0.

floor_divide_p = primitive("floor_divide", "floor_divide", args="x y", elementwise=True)
floor_divide_p.deriv(x=lambda g: zeros_p(g, dtype=None), y=lambda g: zeros_p(g, dtype=None))

remainder_p = primitive("remainder", "remainder", args="x y", elementwise=True)
remainder_p.vjp(x=lambda g: g, y=lambda g, x, y: neg_p(chain(g, floor_divide_p(x, y))))

fmod_p = primitive("fmod", lambda xp, x, y: xp.copysign(xp.remainder(xp.abs(x), xp.abs(y)), x), elementwise=True)
fmod_p.vjp(x=lambda g: g, y=lambda g, x, y, out: neg_p(chain(g, _quotient(x, y, out))))


def _quotient(x: Array, y: Array, out: Array) -> Array:
    from tensorlite.ops.functions import round_p
    return round_p(div_p(sub_p(x, out), y))


@torch_names
def floor_divide(x: Array, y: Array, /) -> Array:
    """floor(x / y); its gradients are 0."""
    return floor_divide_p(x, y)


@torch_names
def remainder(x: Array, y: Array, /) -> Array:
    """x - y floor(x / y): has the sign of y, as Python's ``%``.

    >>> import tensorlite as tl
    >>> tl.remainder(tl.tensor([-3.0, 3.0]), 2.0)
    tensor([1., 1.])
    """
    return remainder_p(x, y)


@torch_names
def fmod(x: Array, y: Array, /) -> Array:
    """x - y trunc(x / y): has the sign of x."""
    return fmod_p(*lift(x, y))


# ---- where -------------------------------------------------------------------------------------------------------------

where_p = primitive("where", "where", args="condition x y", elementwise=True, linear_in="x y")
where_p.vjp(x=lambda g, condition: where_p(condition, g, 0), y=lambda g, condition: where_p(condition, 0, g))


@torch_aliases(input="x", other="y")
def where(condition: Array, x: Array = None, y: Array = None, /) -> Array:
    """x where the condition holds, y elsewhere, broadcast. With the condition alone: ``nonzero(condition)``.

    >>> import tensorlite as tl
    >>> a = tl.tensor([0.0, 4.0], requires_grad=True)
    >>> tl.where(a > 0, tl.sqrt(a), a).sum().backward()
    >>> a.grad
    tensor([1.  , 0.25])
    """
    if x is None and y is None:
        from tensorlite.ops.searching import nonzero
        return nonzero(condition)
    if isinstance(condition, Value) and KIND.get(type(x)) == SCALAR and KIND.get(type(y)) == SCALAR:
        x = asarray(x)   # two numbers: the type that tensor(x) would have
    return where_p(condition, x, y)


# ---- maximum and minimum -----------------------------------------------------------------------------------------------
# Where x == y each gets half of the cotangent, as in PyTorch and JAX: the mean of the one-sided derivatives.

def _winner(g: Array, x: Array, y: Array, below: Any) -> Array:
    return where_p(below(x, y), 0, where_p(eq_p(x, y), mul_p(g, 0.5), g))


max_p = primitive("maximum", "maximum", args="x y", elementwise=True)
max_p.deriv(x=lambda g, x, y: _winner(g, x, y, lt_p), y=lambda g, x, y: _winner(g, x, y, gt_p))

min_p = primitive("minimum", "minimum", args="x y", elementwise=True)
min_p.deriv(x=lambda g, x, y: _winner(g, x, y, gt_p), y=lambda g, x, y: _winner(g, x, y, lt_p))


@torch_names
def maximum(x: Array, y: Array, /) -> Array:
    """The larger of x and y, broadcast; NaN if either is. Where they are equal, each gets half of the gradient.

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> tl.maximum(x, 2.0).sum().backward()
    >>> x.grad
    tensor([0. , 0.5, 1. ])
    """
    return max_p(x, y)


@torch_names
def minimum(x: Array, y: Array, /) -> Array:
    """The smaller of x and y, broadcast; NaN if either is. Where they are equal, each gets half of the gradient."""
    return min_p(x, y)


# ---- clip --------------------------------------------------------------------------------------------------------------
# At a bound the gradient goes to x, as in PyTorch. Bounds that are tensors get the gradient of what they cut off.

def _clip(xp: Any, x: Any, *, low: Any, high: Any) -> Any:
    out = x if low is None else xp.maximum(x, low)   # the standard's clip leaves min > max open
    return out if high is None else xp.minimum(out, high)


clip_p = primitive("clip", _clip)
clip_p.deriv(x=lambda g, x, low, high: where_p(_outside(x, low, high), 0, g))

clip_low = primitive("clip_low", "maximum", args="x low", elementwise=True)
clip_low.deriv(x=lambda g, x, low: where_p(lt_p(x, low), 0, g), low=lambda g, x, low: where_p(lt_p(x, low), g, 0))

clip_high = primitive("clip_high", "minimum", args="x high", elementwise=True)
clip_high.deriv(x=lambda g, x, high: where_p(gt_p(x, high), 0, g), high=lambda g, x, high: where_p(gt_p(x, high), g, 0))


def _outside(x: Array, low: Any, high: Any) -> Array:
    if low is None:
        return gt_p(x, high)
    below = lt_p(x, low)
    return below if high is None else or_p(below, gt_p(x, high))


@torch_names
def clip(x: Array, /, min: Array = None, max: Array = None) -> Array:
    """min where x < min, max where x > max, else x; either bound may be missing, a number or a tensor.

    Where min > max the result is max. The gradient passes to x where min <= x <= max.

    >>> import tensorlite as tl
    >>> tl.clip(tl.tensor([-2.0, 0.5, 3.0]), 0.0, 1.0)
    tensor([0. , 0.5, 1. ])
    """
    if KIND.get(type(min)) == SCALAR and KIND.get(type(max)) == SCALAR:   # None is among the scalars
        return positive_p(x) if min is None and max is None else clip_p(x, low=min, high=max)
    if min is not None:
        x = clip_low(x, min)
    return x if max is None else clip_high(x, max)


positive_p = primitive("positive", "positive", linear_in="x")
positive_p.batch(pointwise)
positive_p.deriv(x=lambda g: g)


# ---- PyTorch's names ---------------------------------------------------------------------------------------------------

sub, mul, neg, div, true_divide, clamp = subtract, multiply, negative, divide, divide, clip


@torch_names
def clamp_min(x: Array, min: Array, /) -> Array:
    """min where x < min, else x."""
    return clip(x, min, None)


@torch_names
def clamp_max(x: Array, max: Array, /) -> Array:
    """max where x > max, else x."""
    return clip(x, None, max)


def lift(x: Array, y: Array) -> tuple[Array, Array]:
    """Both arguments as arrays: a number becomes one like the other argument, in the type the two promote to."""
    if KIND.get(type(x)) == SCALAR:
        if KIND.get(type(y)) == SCALAR:
            return asarray(x), asarray(y)
        return add_p(zeros_p(y, dtype=None), x), y
    if KIND.get(type(y)) == SCALAR:
        return x, add_p(zeros_p(x, dtype=None), y)
    return x, y


# ---- what the tape itself needs ----------------------------------------------------------------------------------------

def _move(xp: Any, x: Any, *, device: str, non_blocking: bool = False) -> Any:
    source, target = backends.backend_of(x), backends.backend_for_device(device)
    if source is target:
        return target.asarray(x, device=device)
    if non_blocking:
        return target.upload(x, device) if source.name == "numpy" else source.download(x)
    return target.asarray(source.to_numpy(x), device=device)


# Of a complex number a real type keeps the real part. That is what the transpose of a cast from real to complex is, and needs no
# warning; where users ask for it, ``cast`` gives one.

def _cast(xp: Any, x: Any, *, dtype: Any) -> Any:
    if _dtypes.kind(x.dtype) == "c" and _dtypes.kind(dtype) in "iuf":
        x = xp.real(x)
    return xp.astype(x, dtype, copy=False)


cast_p = primitive("cast", _cast, linear_in="x", casts=True, view=True)
cast_p.batch(pointwise)
cast_p.vjp(x=lambda g, x_dtype: cast_p(g, dtype=x_dtype))


def cast(x: Array, dtype: Any) -> Array:
    """``x`` as ``dtype``, by a user's wish: with NumPy's ``ComplexWarning`` where imaginary parts are dropped."""
    if _dtypes.kind(x.dtype) == "c" and _dtypes.kind(dtype) in "iuf":
        warnings.warn(f"a cast from {x.dtype} to {dtype} drops the imaginary part; say so with .real, or take .abs()",
                      ComplexWarning, stacklevel=3)
    return cast_p(x, dtype=dtype)

move_p = primitive("move", _move, linear_in="x")
move_p.batch(pointwise)
move_p.vjp(x=lambda g, x_device: move_p(g, device=x_device))

provide(add=add_p, sum_to=sum_to, cast=cast_p, expand=expand)
