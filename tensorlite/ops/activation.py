"""Activation functions, with PyTorch's names and arguments: ``tensorlite.nn.functional`` takes them from here.

``inplace=`` is accepted where PyTorch has it and changes nothing: the result is always a new tensor.
"""
from __future__ import annotations

import math
from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Value
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import and_p, gt_p, le_p, lt_p
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.elementwise import add_p, chain, clip_p, div_p, mul_p, neg_p, sub_p, where_p
from tensorlite.ops.functions import _gauss, abs_p, erfc_p, exp_p, sigmoid, sigmoid_p, square_p, tanh, tanh_p

Array = Any


def _real_only(xp: Any, x: Any) -> None:
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError("it is computed for real numbers only")


def _softplus(xp: Any, x: Any) -> Any:
    _real_only(xp, x)
    return xp.clip(x, 0, None) + xp.log1p(xp.exp(-xp.abs(x)))


# ---- g times the slope at x, for the activations whose slope takes many operations ----------------------------------------

_SLOPES: dict[str, Any] = {}   # activation -> its slope, a function of x
activation_backward_p = primitive("activation_backward", lambda xp, g, x, *, kind: chain(g, _SLOPES[kind](x)), discrete=True)
activation_backward_p.batch(pointwise)


def _by_slope(op: Primitive, slope: Any) -> None:
    """The rule of an activation: one operation on raw arrays, which backends have kernels for; else parts, which have rules."""
    kind = op.name
    _SLOPES[kind] = slope
    op.batch(pointwise)
    op.jvp(x=lambda t, x: chain(t, slope(x)))
    op.vjp(x=lambda g, x: chain(g, slope(x)) if isinstance(g, Value) or isinstance(x, Value)
           else activation_backward_p(g, x, kind=kind))


# ---- relu --------------------------------------------------------------------------------------------------------------
# Keeps only its result; the derivative at 0 is 0.

relu_p = primitive("relu", lambda xp, x: xp.clip(x, 0, None))
relu_p.deriv(x=lambda g, out: relu_backward(g, out))

relu_backward: Primitive = primitive("relu_backward", lambda xp, g, y: xp.where(y > 0, g, xp.zeros_like(g)), linear_in="g")
relu_backward.batch(pointwise)
relu_backward.vjp(g=lambda h, y: relu_backward(h, y), y=lambda h: zeros_p(h, dtype=None))


@torch_names
def relu(x: Array, /, inplace: bool = False) -> Array:
    """max(x, 0); the derivative at 0 is 0.

    >>> import tensorlite as tl
    >>> tl.nn.functional.relu(tl.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return relu_p(x)


# ---- hardtanh and its kin: the derivative is 0 at the bounds -------------------------------------------------------------

hardtanh_p = primitive("hardtanh", lambda xp, x, *, low, high: xp.clip(x, low, high))
hardtanh_p.deriv(x=lambda g, out, low, high: where_p(and_p(gt_p(out, low), lt_p(out, high)), g, 0))


@torch_names
def hardtanh(x: Array, /, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """min_val below min_val, max_val above max_val, else x."""
    return hardtanh_p(x, low=min_val, high=max_val)


@torch_names
def relu6(x: Array, /, inplace: bool = False) -> Array:
    """min(max(x, 0), 6)."""
    return hardtanh_p(x, low=0.0, high=6.0)


@torch_names
def hardsigmoid(x: Array, /, inplace: bool = False) -> Array:
    """relu6(x + 3) / 6."""
    return mul_p(hardtanh_p(add_p(x, 3.0), low=0.0, high=6.0), 1 / 6)


@torch_names
def hardswish(x: Array, /, inplace: bool = False) -> Array:
    """x relu6(x + 3) / 6."""
    return mul_p(x, hardsigmoid(x))


# ---- leaky_relu, prelu, threshold ----------------------------------------------------------------------------------------

leaky_relu_p = primitive("leaky_relu", lambda xp, x, *, slope: xp.where(x > 0, x, x * slope))
leaky_relu_p.deriv(x=lambda g, x, slope: where_p(gt_p(x, 0), g, mul_p(g, slope)))


@torch_names
def leaky_relu(x: Array, /, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """x where x > 0, else negative_slope x.

    >>> import tensorlite as tl
    >>> tl.nn.functional.leaky_relu(tl.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5,  2. ])
    """
    return leaky_relu_p(x, slope=negative_slope)


@torch_names
def prelu(x: Array, weight: Array, /) -> Array:
    """x where x > 0, else weight x; one weight for all, or one for each channel (axis 1, or axis 0 of a vector).

    Errors: ``ShapeError`` if ``weight`` has another number of elements.
    """
    channels = x.shape[1] if x.ndim > 1 else (x.shape[0] if x.ndim else 1)
    count = math.prod(weight.shape)
    if count not in (1, channels):
        raise ShapeError(f"prelu: weight has {count} elements; expected 1, or one for each of the {channels} channels of x")
    if (count != 1 and x.ndim > 1) or weight.ndim > x.ndim:
        from tensorlite.ops.manipulation import reshape
        weight = reshape(weight, (count,) + (1,) * (x.ndim - 2) if count != 1 else ())
    return where_p(gt_p(x, 0), x, mul_p(weight, x))


@torch_names
def threshold(x: Array, threshold: float, value: float, /, inplace: bool = False) -> Array:
    """x where x > threshold, else value."""
    return where_p(gt_p(x, threshold), x, value)


# ---- elu, selu, celu -----------------------------------------------------------------------------------------------------
# scale (x where x > 0, else alpha (exp(rate x) - 1)); exp is taken of what is not positive, so that it cannot overflow

def _elu(xp: Any, x: Any, *, alpha: float, scale: float, rate: float) -> Any:
    _real_only(xp, x)
    return xp.where(x > 0, x * scale, xp.expm1(xp.clip(x, None, 0) * rate) * (alpha * scale))


elu_p = primitive("elu", _elu)
elu_p.deriv(x=lambda g, x, alpha, scale, rate: chain(g, where_p(gt_p(x, 0), scale, _slope(x, alpha * scale * rate, rate))))


def _slope(x: Array, factor: float, rate: float) -> Array:
    return mul_p(exp_p(mul_p(where_p(gt_p(x, 0), 0, x), rate)), factor)


@torch_names
def elu(x: Array, /, alpha: float = 1.0, inplace: bool = False) -> Array:
    """x where x > 0, else alpha (e^x - 1) (Clevert, Unterthiner and Hochreiter, 2015)."""
    return elu_p(x, alpha=alpha, scale=1.0, rate=1.0)


@torch_names
def selu(x: Array, /, inplace: bool = False) -> Array:
    """scale elu(x, alpha) with the constants of Klambauer et al., Self-normalizing neural networks, 2017."""
    return elu_p(x, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946, rate=1.0)


@torch_names
def celu(x: Array, /, alpha: float = 1.0, inplace: bool = False) -> Array:
    """x where x > 0, else alpha (e^(x / alpha) - 1) (Barron, 2017)."""
    return elu_p(x, alpha=alpha, scale=1.0, rate=1 / alpha)


# ---- gelu ----------------------------------------------------------------------------------------------------------------

_CUBIC, _SCALE = 0.044715, math.sqrt(2 / math.pi)


def _gelu_tanh(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + xp.tanh(_SCALE * (x + _CUBIC * (x * x * x))))


gelu_tanh_p = primitive("gelu_tanh", _gelu_tanh)
def _gelu_tanh_slope(x: Array) -> Array:
    square = square_p(x)
    t = tanh_p(mul_p(mul_p(x, add_p(mul_p(square, _CUBIC), 1.0)), _SCALE))
    inner = mul_p(x, add_p(mul_p(square, 3 * _CUBIC), 1.0))
    bump = mul_p(mul_p(inner, sub_p(1.0, square_p(t))), _SCALE / 2)
    return add_p(mul_p(add_p(t, 1.0), 0.5), bump)


_by_slope(gelu_tanh_p, _gelu_tanh_slope)


@torch_names
def gelu(x: Array, /, approximate: str = "none") -> Array:
    """x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, 2016); ``approximate="tanh"`` takes tanh for it.

    Errors: ``DTypeError`` for another ``approximate``.

    >>> import tensorlite as tl
    >>> tl.nn.functional.gelu(tl.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.    ,  0.8413])
    """
    if approximate == "none":
        return gelu_p(x)
    if approximate == "tanh":
        return gelu_tanh_p(x)
    raise DTypeError(f"gelu: approximate is {approximate!r}; expected 'none' or 'tanh'")


def _gelu(xp: Any, x: Any) -> Any:
    from tensorlite.kernels._erf import erfc
    return 0.5 * x * erfc(xp, x * -math.sqrt(0.5))


gelu_p = primitive("gelu", _gelu)
def _gelu_slope(x: Array) -> Array:
    scaled = mul_p(x, math.sqrt(0.5))
    return add_p(mul_p(erfc_p(neg_p(scaled)), 0.5), mul_p(mul_p(x, _gauss(scaled)), 1 / math.sqrt(2 * math.pi)))


_by_slope(gelu_p, _gelu_slope)


# ---- silu, mish ----------------------------------------------------------------------------------------------------------

def _silu(xp: Any, x: Any) -> Any:
    if xp.isdtype(x.dtype, "complex floating"):
        return x / (1.0 + xp.exp(-x))
    e = xp.exp(-xp.abs(x))
    return x * (xp.where(x < 0, e, xp.ones_like(e)) / (1.0 + e))


silu_p = primitive("silu", _silu)
def _silu_slope(x: Array) -> Array:
    s = sigmoid_p(x)
    return mul_p(s, add_p(mul_p(x, sub_p(1.0, s)), 1.0))


_by_slope(silu_p, _silu_slope)


@torch_names
def silu(x: Array, /, inplace: bool = False) -> Array:
    """x sigmoid(x)."""
    return silu_p(x)


swish = silu


@torch_names
def mish(x: Array, /, inplace: bool = False) -> Array:
    """x tanh(softplus(x)) (Misra, 2019)."""
    return mul_p(x, tanh_p(softplus_p(x, beta=1.0, threshold=math.inf)))


# ---- softplus, logsigmoid, softsign --------------------------------------------------------------------------------------

def _softplus_scaled(xp: Any, x: Any, *, beta: float, threshold: float) -> Any:
    z = x * beta
    return xp.where(z > threshold, x, _softplus(xp, z) / beta)


softplus_p = primitive("softplus", _softplus_scaled)
softplus_p.deriv(x=lambda g, x, beta, threshold: chain(g, _softplus_slope(mul_p(x, beta), threshold)))


def _softplus_slope(z: Array, threshold: float) -> Array:
    return sigmoid_p(z) if threshold == math.inf else where_p(gt_p(z, threshold), 1.0, sigmoid_p(z))


@torch_names
def softplus(x: Array, /, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + e^(beta x)) / beta, without overflow; x itself where beta x > threshold.

    >>> import tensorlite as tl
    >>> tl.nn.functional.softplus(tl.tensor([0.0, 1000.0]))
    tensor([6.9315e-01, 1.0000e+03])
    """
    return softplus_p(x, beta=beta, threshold=threshold)


logsigmoid_p = primitive("logsigmoid", lambda xp, x: -_softplus(xp, -x))
logsigmoid_p.deriv(x=lambda g, x: chain(g, sigmoid_p(neg_p(x))))


@torch_names
def logsigmoid(x: Array, /) -> Array:
    """log(sigmoid(x)), without overflow."""
    return logsigmoid_p(x)


log_sigmoid = logsigmoid


@torch_names
def softsign(x: Array, /) -> Array:
    """x / (1 + abs(x))."""
    return div_p(x, add_p(abs_p(x), 1.0))


@torch_names
def tanhshrink(x: Array, /) -> Array:
    """x - tanh(x)."""
    return sub_p(x, tanh_p(x))


@torch_names
def hardshrink(x: Array, /, lambd: float = 0.5) -> Array:
    """x where abs(x) > lambd, else 0."""
    return where_p(le_p(abs_p(x), lambd), 0, x)


@torch_names
def softshrink(x: Array, /, lambd: float = 0.5) -> Array:
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0."""
    if _dtypes.kind(x.dtype) == "c":
        raise DTypeError(f"softshrink: x has dtype {x.dtype}; expected a real one: complex numbers have no order")
    return sub_p(x, clip_p(x, low=-lambd, high=lambd))


# ---- glu -----------------------------------------------------------------------------------------------------------------

@torch_names
def glu(x: Array, /, axis: int = -1) -> Array:
    """a sigmoid(b), where a and b are the halves of x along ``axis`` (Dauphin et al., 2017).

    Errors: ``ShapeError`` if the axis' length is odd.
    """
    n = x.shape[axis] if x.ndim else 1
    if n % 2:
        raise ShapeError(f"glu: x has {n} elements along axis {axis} (shape {tuple(x.shape)}); expected an even number")
    if not n:
        return x
    from tensorlite.ops.manipulation import split
    a, b = split(x, n // 2, axis)
    return mul_p(a, sigmoid_p(b))


__all__ = ["celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_sigmoid",
           "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign",
           "swish", "tanh", "tanhshrink", "threshold"]
