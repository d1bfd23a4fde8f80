"""Functions of two arguments whose rules need the functions of one: powers, angles, lengths, logarithms of sums."""
from __future__ import annotations

import math
from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import KIND, SCALAR
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import and_p, eq_p, isinf_p, le_p, or_p, signbit_p
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.elementwise import chain, div_p, lift, mul_p, neg_p, positive_p, sub_p, where_p
from tensorlite.ops.functions import log_p, reciprocal_p, rsqrt_p, sigmoid_p, sqrt_p, square_p

Array = Any


def _nonzero(x: Array) -> Array:
    """x with 1 in place of 0, for divisions whose result there is to be 0 / 1."""
    return where_p(eq_p(x, 0), 1, x)


# ---- power -------------------------------------------------------------------------------------------------------------
# Three operations: both arguments arrays, an exponent that is a number (its rule takes no logarithm), a base that is one.
# y x^(y-1) is 0 wherever y is 0, and x^y log x is 0 wherever x is 0, whatever the other factor.

pow_p = primitive("pow", "pow", args="x y", elementwise=True)
pow_p.vjp(x=lambda g, x, y: chain(g, chain(y, pow_p(x, sub_p(y, 1)))),
          y=lambda g, x, out: chain(g, chain(log_p(_nonzero(x)), out)))

pow_scalar = primitive("pow_scalar", lambda xp, x, *, exponent: xp.pow(x, exponent))
pow_scalar.deriv(x=lambda g, x, exponent: (
    chain(g, mul_p(_to(x, exponent - 1), exponent)) if exponent != 0 else zeros_p(g, dtype=None)))

exp_base = primitive("exp_base", lambda xp, x, *, base: xp.pow(xp.full_like(x, base), x))
exp_base.deriv(x=lambda g, out, base: zeros_p(g, dtype=None) if base == 0 else chain(g, mul_p(out, _log(base, out))))


def _log(base: Any, out: Any) -> Any:
    if isinstance(base, complex) or _dtypes.kind(out.dtype) == "c":
        import cmath
        return cmath.log(base)
    return math.log(base) if base > 0 else math.nan


def _to(x: Array, exponent: Any) -> Array:
    """x to the power of a number, by the shortest way."""
    if exponent == 2:
        return square_p(x)
    if exponent == 1 and isinstance(exponent, int):
        return positive_p(x)
    if _dtypes.is_differentiable(x.dtype):
        if exponent == 1:
            return positive_p(x)
        if exponent == 0.5:
            return sqrt_p(x)
        if exponent == -1:
            return reciprocal_p(x)
        if exponent == -0.5:
            return rsqrt_p(x)
    return pow_scalar(x, exponent=exponent)


@torch_names
def power(x: Array, y: Array, /) -> Array:
    """x to the power y, broadcast. 0 to the power 0 is 1.

    The gradient with respect to y is 0 where x is 0, NaN where x is negative. Exponents 2 and 0.5 are ``square`` and ``sqrt``.

    >>> import tensorlite as tl
    >>> x = tl.tensor([0.0, -3.0], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    tensor([ 0., -6.])
    """
    if KIND.get(type(y)) == SCALAR:
        if KIND.get(type(x)) == SCALAR:
            x = lift(x, y)[0]
        if y == 2 and isinstance(y, float) and not _dtypes.is_differentiable(x.dtype):
            return pow_scalar(x, exponent=y)
        return _to(x, y)
    return exp_base(y, base=x) if KIND.get(type(x)) == SCALAR and _dtypes.is_differentiable(y.dtype) else pow_p(x, y)


pow = power


# ---- angles and lengths ------------------------------------------------------------------------------------------------

atan2_p = primitive("atan2", "atan2", args="x y", elementwise=True)
atan2_p.vjp(x=lambda g, x, y: chain(g, _over_square(y, x, y)), y=lambda g, x, y: neg_p(chain(g, _over_square(x, x, y))))


def _over_square(z: Array, x: Array, y: Array) -> Array:
    """z / (x^2 + y^2) without the squares, 0 at the origin."""
    r = _nonzero(hypot_p(x, y))
    return div_p(div_p(z, r), r)


@torch_names
def atan2(x: Array, y: Array, /) -> Array:
    """The angle of the point (y, x), in (-pi, pi]; its gradients at the origin are 0.

    >>> import tensorlite as tl
    >>> tl.atan2(tl.tensor([1.0, -1.0]), -1.0)
    tensor([ 2.3562, -2.3562])
    """
    return atan2_p(*lift(x, y))


arctan2 = atan2

hypot_p = primitive("hypot", "hypot", args="x y", elementwise=True)
hypot_p.vjp(x=lambda g, x, out: chain(g, div_p(x, _nonzero(out))), y=lambda g, y, out: chain(g, div_p(y, _nonzero(out))))


@torch_names
def hypot(x: Array, y: Array, /) -> Array:
    """sqrt(x^2 + y^2) without overflow; its subgradient at the origin is 0.

    >>> import tensorlite as tl
    >>> tl.hypot(tl.tensor([3.0, 0.0]), 4.0)
    tensor([5., 4.])
    """
    return hypot_p(*lift(x, y))


# ---- logarithms of sums ------------------------------------------------------------------------------------------------

logaddexp_p = primitive("logaddexp", "logaddexp", args="x y", elementwise=True)
logaddexp_p.vjp(x=lambda g, x, y: chain(g, sigmoid_p(_difference(x, y))),
                y=lambda g, x, y: chain(g, sigmoid_p(_difference(y, x))))


def _difference(x: Array, y: Array) -> Array:
    """x - y, 0 where both are the same infinity."""
    return where_p(and_p(eq_p(x, y), isinf_p(x)), 0, sub_p(x, y))


@torch_names
def logaddexp(x: Array, y: Array, /) -> Array:
    """log(exp(x) + exp(y)) without overflow.

    >>> import tensorlite as tl
    >>> tl.logaddexp(tl.tensor([0.0, 1000.0]), 0.0)
    tensor([6.9315e-01, 1.0000e+03])
    """
    return logaddexp_p(*lift(x, y))


@torch_names
def logaddexp2(x: Array, y: Array, /) -> Array:
    """log2(2^x + 2^y) without overflow."""
    ln2 = math.log(2.0)
    x, y = lift(x, y)
    return mul_p(logaddexp(mul_p(x, ln2), mul_p(y, ln2)), 1 / ln2)


@torch_names
def xlogy(x: Array, y: Array, /) -> Array:
    """x log(y), 0 where x is 0 unless y is NaN."""
    x, y = lift(x, y)
    nothing = and_p(eq_p(x, 0), or_p(le_p(y, 0), isinf_p(y)))   # there the gradients are 0 too
    return mul_p(x, log_p(where_p(nothing, 1, y)))


# ---- the sign of one, the size of the other ----------------------------------------------------------------------------

copysign_p = primitive("copysign", "copysign", args="x y", elementwise=True)
copysign_p.deriv(x=lambda g, x, y: where_p(eq_p(x, 0), 0, where_p(eq_p(signbit_p(x), signbit_p(y)), g, neg_p(g))),
                 y=lambda g: zeros_p(g, dtype=None))


@torch_names
def copysign(x: Array, y: Array, /) -> Array:
    """abs(x) with the sign of y; the gradient is 0 where x is 0, and 0 with respect to y."""
    return copysign_p(*lift(x, y))


nextafter_p = primitive("nextafter", "nextafter", args="x y", elementwise=True, discrete=True)


@torch_names
def nextafter(x: Array, y: Array, /) -> Array:
    """The next number after x towards y. It is not differentiated."""
    return nextafter_p(*lift(x, y))


@torch_names
def lerp(x: Array, end: Array, weight: Array, /) -> Array:
    """x + weight (end - x)."""
    from tensorlite.ops.elementwise import add_p
    return add_p(x, mul_p(sub_p(end, x), weight))
