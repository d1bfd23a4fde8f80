"""Elementwise functions of one argument: one operation, one section."""
from __future__ import annotations

import math
from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.kernels import _erf
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import eq_p, isfinite_p
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.elementwise import add_p, chain, chain_div, div_p, mul_p, neg_p, positive_p, sub_p, where_p

Array = Any
LN2, LN10 = math.log(2.0), math.log(10.0)


# ---- sign and size ---------------------------------------------------------------------------------------------------

def _abs_vjp(g: Array, x: Array) -> Array:
    return chain(g, conj(sign_p(x)))


def _abs_jvp(t: Array, x: Array) -> Array:
    return real(chain(t, conj(sign_p(x))))


abs_p = primitive("abs", "abs")
abs_p.vjp(x=_abs_vjp)
abs_p.jvp(x=_abs_jvp)
abs_p.batch(pointwise)


@torch_names
def abs(x: Array, /) -> Array:
    """The absolute value; its subgradient at 0 is 0. Of a complex number, its length.

    >>> import tensorlite as tl
    >>> tl.abs(tl.tensor([-1.5, 2.0]))
    tensor([1.5, 2. ])
    """
    return abs_p(x)


def _sign_vjp(g: Array, x: Array, out: Array) -> Array:
    return mul_p(imag(mul_p(g, out)), _turn(x, out)) if _is_complex(x) else zeros_p(g, dtype=None)


def _sign_jvp(t: Array, x: Array, out: Array) -> Array:
    return mul_p(imag(mul_p(t, conj(out))), conj(neg_p(_turn(x, out)))) if _is_complex(x) else zeros_p(t, dtype=None)


def _turn(x: Array, unit: Array) -> Array:
    """i conj(x) / |x|^2: what turns of x and of x / |x| are measured by; 0 at 0."""
    size = abs_p(x)
    return div_p(mul_p(conj(unit), 1j), where_p(eq_p(size, 0), 1, size))


sign_p: Primitive = primitive("sign", "sign")
sign_p.vjp(x=_sign_vjp)
sign_p.jvp(x=_sign_jvp)
sign_p.batch(pointwise)


@torch_names
def sign(x: Array, /) -> Array:
    """-1, 0 or 1 as x is negative, zero or positive; its gradient is 0. Of a complex number, x / |x| (and 0 of 0)."""
    return sign_p(x)


@torch_names
def positive(x: Array, /) -> Array:
    """+x."""
    return positive_p(x)


absolute, sgn = abs, sign


# ---- powers and roots ------------------------------------------------------------------------------------------------

sqrt_p = primitive("sqrt", "sqrt")
sqrt_p.deriv(x=lambda g, out: chain_div(mul_p(g, 0.5), out))


@torch_names
def sqrt(x: Array, /) -> Array:
    """The square root; its gradient at 0 is infinite, unless the cotangent there is 0."""
    return sqrt_p(x)


rsqrt_p = primitive("rsqrt", lambda xp, x: 1.0 / xp.sqrt(x))
rsqrt_p.deriv(x=lambda g, x, out: chain(g, mul_p(div_p(out, x), -0.5)))


@torch_names
def rsqrt(x: Array, /) -> Array:
    """1 / sqrt(x)."""
    return rsqrt_p(x)


square_p = primitive("square", "square")
square_p.deriv(x=lambda g, x: chain(g, mul_p(x, 2)))


@torch_names
def square(x: Array, /) -> Array:
    """x^2."""
    return square_p(x)


reciprocal_p = primitive("reciprocal", "reciprocal")
reciprocal_p.deriv(x=lambda g, out: neg_p(chain(g, square_p(out))))


@torch_names
def reciprocal(x: Array, /) -> Array:
    """1 / x."""
    return reciprocal_p(x)


# ---- exponentials and logarithms -------------------------------------------------------------------------------------

exp_p: Primitive = primitive("exp", "exp")
exp_p.deriv(x=lambda g, out: chain(g, out))


@torch_names
def exp(x: Array, /) -> Array:
    """e^x.

    >>> import tensorlite as tl
    >>> tl.exp(tl.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    return exp_p(x)


exp2_p = primitive("exp2", lambda xp, x: xp.pow(xp.full_like(x, 2), x))
exp2_p.deriv(x=lambda g, out: chain(g, mul_p(out, LN2)))


@torch_names
def exp2(x: Array, /) -> Array:
    """2^x."""
    return exp2_p(x)


expm1_p = primitive("expm1", "expm1")
expm1_p.deriv(x=lambda g, x: chain(g, exp_p(x)))


@torch_names
def expm1(x: Array, /) -> Array:
    """e^x - 1, accurate near 0."""
    return expm1_p(x)


log_p = primitive("log", "log")
log_p.deriv(x=lambda g, x: chain_div(g, x))


@torch_names
def log(x: Array, /) -> Array:
    """The natural logarithm."""
    return log_p(x)


log1p_p = primitive("log1p", "log1p")
log1p_p.deriv(x=lambda g, x: chain_div(g, add_p(x, 1)))


@torch_names
def log1p(x: Array, /) -> Array:
    """log(1 + x), accurate near 0."""
    return log1p_p(x)


log2_p = primitive("log2", "log2")
log2_p.deriv(x=lambda g, x: chain_div(g, mul_p(x, LN2)))


@torch_names
def log2(x: Array, /) -> Array:
    """The logarithm to base 2."""
    return log2_p(x)


log10_p = primitive("log10", "log10")
log10_p.deriv(x=lambda g, x: chain_div(g, mul_p(x, LN10)))


@torch_names
def log10(x: Array, /) -> Array:
    """The logarithm to base 10."""
    return log10_p(x)


# ---- trigonometric functions -----------------------------------------------------------------------------------------

sin_p = primitive("sin", "sin")
sin_p.deriv(x=lambda g, x: chain(g, cos_p(x)))


@torch_names
def sin(x: Array, /) -> Array:
    """The sine of x in radians."""
    return sin_p(x)


cos_p: Primitive = primitive("cos", "cos")
cos_p.deriv(x=lambda g, x: neg_p(chain(g, sin_p(x))))


@torch_names
def cos(x: Array, /) -> Array:
    """The cosine of x in radians."""
    return cos_p(x)


tan_p = primitive("tan", "tan")
tan_p.deriv(x=lambda g, out: chain(g, add_p(square_p(out), 1)))


@torch_names
def tan(x: Array, /) -> Array:
    """The tangent of x in radians."""
    return tan_p(x)


asin_p = primitive("asin", "asin")
asin_p.deriv(x=lambda g, x: chain_div(g, _circle(x)))


@torch_names
def asin(x: Array, /) -> Array:
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return asin_p(x)


acos_p = primitive("acos", "acos")
acos_p.deriv(x=lambda g, x: neg_p(chain_div(g, _circle(x))))


@torch_names
def acos(x: Array, /) -> Array:
    """The angle in [0, pi] whose cosine is x."""
    return acos_p(x)


def _circle(x: Array) -> Array:
    """sqrt(1 - x^2), accurate near 1."""
    return sqrt_p(mul_p(sub_p(1, x), add_p(x, 1)))


atan_p = primitive("atan", "atan")
atan_p.deriv(x=lambda g, x: chain_div(g, add_p(square_p(x), 1)))


@torch_names
def atan(x: Array, /) -> Array:
    """The angle in [-pi/2, pi/2] whose tangent is x."""
    return atan_p(x)


# ---- hyperbolic functions --------------------------------------------------------------------------------------------

sinh_p = primitive("sinh", "sinh")
sinh_p.deriv(x=lambda g, x: chain(g, cosh_p(x)))


@torch_names
def sinh(x: Array, /) -> Array:
    """(e^x - e^-x) / 2."""
    return sinh_p(x)


cosh_p: Primitive = primitive("cosh", "cosh")
cosh_p.deriv(x=lambda g, x: chain(g, sinh_p(x)))


@torch_names
def cosh(x: Array, /) -> Array:
    """(e^x + e^-x) / 2."""
    return cosh_p(x)


tanh_p = primitive("tanh", "tanh")
tanh_p.deriv(x=lambda g, out: tanh_backward(g, out))

tanh_backward: Primitive = primitive("tanh_backward", lambda xp, g, y: g * (1.0 - y * y), elementwise=True, linear_in="g")
tanh_backward.vjp(g=lambda h, y: tanh_backward(h, y), y=lambda h, g, y: mul_p(chain(h, chain(g, y)), -2))


@torch_names
def tanh(x: Array, /) -> Array:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return tanh_p(x)


asinh_p = primitive("asinh", "asinh")
asinh_p.deriv(x=lambda g, x: chain_div(g, sqrt_p(add_p(square_p(x), 1))))


@torch_names
def asinh(x: Array, /) -> Array:
    """The number whose sinh is x."""
    return asinh_p(x)


acosh_p = primitive("acosh", "acosh")
acosh_p.deriv(x=lambda g, x: chain_div(g, mul_p(sqrt_p(sub_p(x, 1)), sqrt_p(add_p(x, 1)))))


@torch_names
def acosh(x: Array, /) -> Array:
    """The number >= 0 whose cosh is x."""
    return acosh_p(x)


atanh_p = primitive("atanh", "atanh")
atanh_p.deriv(x=lambda g, x: chain_div(g, mul_p(sub_p(1, x), add_p(x, 1))))


@torch_names
def atanh(x: Array, /) -> Array:
    """The number whose tanh is x."""
    return atanh_p(x)


arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh


# ---- rounding: the gradients are 0 -----------------------------------------------------------------------------------

floor_p = primitive("floor", "floor")
floor_p.deriv(x=lambda g: zeros_p(g, dtype=None))


@torch_names
def floor(x: Array, /) -> Array:
    """The largest integer <= x."""
    return floor_p(x)


ceil_p = primitive("ceil", "ceil")
ceil_p.deriv(x=lambda g: zeros_p(g, dtype=None))


@torch_names
def ceil(x: Array, /) -> Array:
    """The smallest integer >= x."""
    return ceil_p(x)


trunc_p = primitive("trunc", "trunc")
trunc_p.deriv(x=lambda g: zeros_p(g, dtype=None))


@torch_names
def trunc(x: Array, /) -> Array:
    """The integer part."""
    return trunc_p(x)


round_p = primitive("round", "round")
round_p.deriv(x=lambda g: zeros_p(g, dtype=None))


@torch_names
def round(x: Array, /, decimals: int = 0) -> Array:
    """The nearest number with that many decimals; halves go to the even neighbour.

    >>> import tensorlite as tl
    >>> tl.round(tl.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    if decimals == 0:
        return round_p(x)
    scale = 10.0 ** decimals
    return div_p(round_p(mul_p(x, scale)), scale)


@torch_names
def frac(x: Array, /) -> Array:
    """x - trunc(x)."""
    return sub_p(x, trunc_p(x))


fix = trunc


# ---- sigmoid ---------------------------------------------------------------------------------------------------------


def _sigmoid(xp: Any, x: Any) -> Any:
    if _dtypes.kind(x.dtype) == "c":
        return 1.0 / (1.0 + xp.exp(-x))
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, xp.ones_like(e)) / (1.0 + e)


sigmoid_p = primitive("sigmoid", _sigmoid)
sigmoid_p.deriv(x=lambda g, out: sigmoid_backward(g, out))

sigmoid_backward: Primitive = primitive("sigmoid_backward", lambda xp, g, y: g * y * (1.0 - y), elementwise=True, linear_in="g")
sigmoid_backward.vjp(g=lambda h, y: sigmoid_backward(h, y), y=lambda h, g, y: chain(h, chain(g, sub_p(1, mul_p(y, 2)))))


@torch_names
def sigmoid(x: Array, /) -> Array:
    """1 / (1 + e^-x), without overflow in either tail.

    >>> import tensorlite as tl
    >>> tl.sigmoid(tl.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0. , 0.5, 1. ])
    """
    return sigmoid_p(x)


expit = sigmoid


@torch_names
def logit(x: Array, /, eps: float | None = None) -> Array:
    """log(x / (1 - x)), with x clipped to [eps, 1 - eps] first if ``eps`` is given."""
    from tensorlite.ops.elementwise import clip
    if eps is not None:
        x = clip(x, eps, 1 - eps)
    return sub_p(log_p(x), log1p_p(neg_p(x)))


# ---- error function --------------------------------------------------------------------------------------------------

erf_p = primitive("erf", _erf.erf)
erf_p.deriv(x=lambda g, x: chain(g, mul_p(_gauss(x), 2 / math.sqrt(math.pi))))


@torch_names
def erf(x: Array, /) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x (W. J. Cody, Math. Comp. 23, 1969).

    >>> import tensorlite as tl
    >>> tl.erf(tl.tensor([0.0, 1.0]))
    tensor([0.    , 0.8427])
    """
    return erf_p(x)


erfc_p = primitive("erfc", _erf.erfc)
erfc_p.deriv(x=lambda g, x: chain(g, mul_p(_gauss(x), -2 / math.sqrt(math.pi))))


@torch_names
def erfc(x: Array, /) -> Array:
    """1 - erf(x), accurate where that is small."""
    return erfc_p(x)


erfinv_p = primitive("erfinv", _erf.erfinv)
erfinv_p.deriv(x=lambda g, out: chain_div(g, mul_p(_gauss(out), 2 / math.sqrt(math.pi))))


@torch_names
def erfinv(x: Array, /) -> Array:
    """The number whose erf is x, for x in [-1, 1]."""
    return erfinv_p(x)


def _gauss(x: Array) -> Array:
    return exp_p(neg_p(square_p(x)))


# ---- complex numbers -------------------------------------------------------------------------------------------------


# None of these is holomorphic: the tangent's way is the operation itself, the cotangent's is the transpose of that as a map of
# pairs of real numbers, in the pairing Re(g t) (docs/complex.md). The rest is in ops/complex.py.

real_p = primitive("real", "real", linear_in="x", view=True)
real_p.vjp(x=lambda g: g)
real_p.batch(pointwise)

imag_p = primitive("imag", "imag", linear_in="x", view=True)
imag_p.vjp(x=lambda g: mul_p(g, -1j))
imag_p.batch(pointwise)

conj_p: Primitive = primitive("conj", "conj", linear_in="x")
conj_p.vjp(x=lambda g: conj_p(g))
conj_p.batch(pointwise)


def _is_complex(x: Array) -> bool:
    return _dtypes.kind(x.dtype) == "c"


@torch_names
def real(x: Array, /) -> Array:
    """The real part; x itself if it is real."""
    return real_p(x) if _is_complex(x) else x


@torch_names
def imag(x: Array, /) -> Array:
    """The imaginary part; zeros if x is real."""
    return imag_p(x) if _is_complex(x) else zeros_p(x, dtype=None)


@torch_names
def conj(x: Array, /) -> Array:
    """The complex conjugate; x itself if it is real."""
    return conj_p(x) if _is_complex(x) else x


# ---- the rest --------------------------------------------------------------------------------------------------------


def _nan_to_num(xp: Any, x: Any, *, nan: float, posinf: float | None, neginf: float | None) -> Any:
    if _dtypes.kind(x.dtype) == "c":
        parts = [_nan_to_num(xp, p, nan=nan, posinf=posinf, neginf=neginf) for p in (xp.real(x), xp.imag(x))]
        return xp.astype(parts[0], x.dtype) + xp.astype(parts[1], x.dtype) * xp.asarray(1j, dtype=x.dtype)
    limits = xp.finfo(x.dtype)
    out = xp.where(xp.isnan(x), nan, x)
    out = xp.where(x == xp.inf, float(limits.max) if posinf is None else posinf, out)
    return xp.astype(xp.where(x == -xp.inf, float(limits.min) if neginf is None else neginf, out), x.dtype, copy=False)


nan_to_num_p = primitive("nan_to_num", _nan_to_num)
nan_to_num_p.vjp(x=lambda g, x: conj(_kept(conj(g), x)))
nan_to_num_p.jvp(x=lambda t, x: _kept(t, x))
nan_to_num_p.batch(pointwise)


def _kept(t: Array, x: Array) -> Array:
    """``t`` where x is finite, each part of a complex number by itself."""
    if not _is_complex(x):
        return where_p(isfinite_p(x), t, 0)
    return add_p(where_p(isfinite_p(real(x)), real(t), 0), mul_p(where_p(isfinite_p(imag(x)), imag(t), 0), 1j))


@torch_names
def nan_to_num(x: Array, /, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """x with NaN replaced by ``nan`` and infinities by the largest and smallest numbers (or those given).

    >>> import tensorlite as tl
    >>> tl.nan_to_num(tl.tensor([float("nan"), 1.0]))
    tensor([0., 1.])
    """
    return nan_to_num_p(x, nan=nan, posinf=posinf, neginf=neginf) if _dtypes.is_differentiable(x.dtype) else x


@torch_names
def deg2rad(x: Array, /) -> Array:
    """Degrees to radians."""
    return mul_p(x, math.pi / 180)


@torch_names
def rad2deg(x: Array, /) -> Array:
    """Radians to degrees."""
    return mul_p(x, 180 / math.pi)
