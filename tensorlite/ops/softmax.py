"""Softmax, its logarithm, and the logarithm of a sum of exponentials: each one primitive, each free of overflow."""
from __future__ import annotations

from typing import Any

from tensorlite.engine.batching import along
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.ops._axes import Axis, check_axes, kept_shape
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import mul_p, neg_p, sub_p
from tensorlite.ops.functions import exp_p
from tensorlite.ops.reduction import _cast, axes, floating, spread_p, sum_p

Array = Any


def _along(x: Array, axis: Any) -> Any:
    """The axes to sum over; a scalar's -1 and 0 are none."""
    return () if axis in (0, -1) and not getattr(x, "ndim", 1) else axes(axis)


def _shifted(xp: Any, x: Any, axis: Any) -> tuple[Any, Any]:
    """x - max, and the max; where that is not finite, 0 is subtracted instead: -inf - -inf would be nan."""
    x = floating(xp, x)
    if 0 in x.shape:   # there is no max of nothing
        return x, xp.zeros(kept_shape(x.shape, axis), dtype=x.dtype)
    top = xp.max(xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x, axis=axis, keepdims=True)
    top = xp.where(xp.isinf(top), xp.zeros_like(top), top)
    return x - top, top


# ---- softmax -----------------------------------------------------------------------------------------------------------

def _softmax(xp: Any, x: Any, *, axis: Axis = -1) -> Any:
    e = xp.exp(_shifted(xp, x, axis)[0])
    total = xp.sum(e, axis=axis, keepdims=True)
    return e / xp.where(total == 0, xp.ones_like(total), total)


softmax_p = primitive("softmax", _softmax, check=check_axes("softmax"))
softmax_p.batch(along("axis"))
softmax_p.vjp(x=lambda g, out, axis: softmax_grad_p(g, out, axis=axis))
softmax_p.jvp(x=lambda t, out, axis: softmax_grad_p(t, out, axis=axis))   # its Jacobian is symmetric

# y (g - Σ g y)
softmax_grad_p: Primitive = primitive(
    "softmax_grad", lambda xp, g, y, *, axis: y * (g - xp.sum(g * y, axis=axis, keepdims=True)), linear_in="g")
softmax_grad_p.batch(along("axis"))
softmax_grad_p.vjp(
    g=lambda h, y, axis: softmax_grad_p(h, y, axis=axis),
    y=lambda h, g, y, axis: sub_p(mul_p(h, sub_p(g, sum_p(mul_p(g, y), axis=axis, keepdims=True))),
                                  mul_p(g, sum_p(mul_p(h, y), axis=axis, keepdims=True))))


@torch_names
def softmax(x: Array, /, axis: Axis = -1, *, dtype: Any = None) -> Array:
    """exp(x) / Σ exp(x) over ``axis``, without overflow. Where all of x along it is -inf (everything masked), the result is 0.

    >>> import tensorlite as tl
    >>> tl.softmax(tl.tensor([0.0, 0.0]), axis=0)
    tensor([0.5, 0.5])
    """
    return softmax_p(x if dtype is None else _cast(x, dtype), axis=_along(x, axis))


# ---- log_softmax -------------------------------------------------------------------------------------------------------

def _log_softmax(xp: Any, x: Any, *, axis: Axis = -1) -> Any:
    shifted, _ = _shifted(xp, x, axis)
    total = xp.sum(xp.exp(shifted), axis=axis, keepdims=True)
    return shifted - xp.log(xp.where(total == 0, xp.ones_like(total), total))


log_softmax_p = primitive("log_softmax", _log_softmax, check=check_axes("log_softmax"))
log_softmax_p.batch(along("axis"))
log_softmax_p.vjp(x=lambda g, out, axis: log_softmax_grad_p(g, out, axis=axis))

# g - exp(y) Σ g
log_softmax_grad_p: Primitive = primitive(
    "log_softmax_grad", lambda xp, g, y, *, axis: g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True), linear_in="g")
log_softmax_grad_p.batch(along("axis"))
log_softmax_grad_p.vjp(
    g=lambda h, y, axis: sub_p(h, sum_p(mul_p(h, exp_p(y)), axis=axis, keepdims=True)),
    y=lambda h, g, y, axis: neg_p(mul_p(mul_p(h, exp_p(y)), sum_p(g, axis=axis, keepdims=True))))


@torch_names
def log_softmax(x: Array, /, axis: Axis = -1, *, dtype: Any = None) -> Array:
    """x - log Σ exp(x) over ``axis``, without overflow; -inf where all of x along it is -inf.

    >>> import tensorlite as tl
    >>> tl.log_softmax(tl.tensor([1000.0, 1000.0]), axis=0)
    tensor([-0.6931, -0.6931])
    """
    return log_softmax_p(x if dtype is None else _cast(x, dtype), axis=_along(x, axis))


# ---- logsumexp ---------------------------------------------------------------------------------------------------------

def _logsumexp(xp: Any, x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    shifted, top = _shifted(xp, x, axis)
    total = xp.sum(xp.exp(shifted), axis=axis, keepdims=True)
    none = total == 0
    out = xp.where(none, xp.full_like(total, -xp.inf), xp.log(xp.where(none, xp.ones_like(total), total))) + top
    if keepdims:
        return out
    return xp.reshape(out, xp.sum(top, axis=axis).shape)


logsumexp_p = primitive("logsumexp", _logsumexp, check=check_axes("logsumexp"))
logsumexp_p.batch(along("axis"))
logsumexp_p.vjp(x=lambda g, x, out, axis, keepdims, x_shape: mul_p(
    spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims), weights_p(x, out, axis=axis, keepdims=keepdims)))


def _weights(xp: Any, x: Any, total: Any, *, axis: Axis, keepdims: bool) -> Any:
    if not keepdims:
        total = xp.reshape(total, kept_shape(x.shape, axis))
    return xp.exp(x - xp.where(xp.isinf(total), xp.zeros_like(total), total))   # 0 in rows of -inf only


# exp(x - logsumexp(x)): softmax(x) again, at the cost of one pass
weights_p: Primitive = primitive("logsumexp_weights", _weights)
weights_p.batch(along("axis"))
weights_p.vjp(
    x=lambda g, out: mul_p(g, out),
    total=lambda g, out, axis, keepdims: neg_p(sum_p(mul_p(g, out), axis=axis, keepdims=keepdims)))


@torch_names
def logsumexp(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """log Σ exp(x) over ``axis``, without overflow; of nothing, or of -inf only, it is -inf with gradient 0.

    >>> import tensorlite as tl
    >>> tl.logsumexp(tl.tensor([1000.0, 1000.0]))
    tensor(1000.6932)
    """
    return logsumexp_p(x, axis=axes(axis), keepdims=keepdims)
