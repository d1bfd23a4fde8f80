"""Normalisation by statistics of the input itself: layer, batch, group and RMS norm are one operation with different axes."""
from __future__ import annotations

from math import prod
from typing import Any

from tensorlite.engine import inplace
from tensorlite.engine.batching import in_a_batch
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import Value, raw, wrap
from tensorlite.errors import DTypeError, ShapeError, VmapError
from tensorlite.kernels import _normalization as _reference
from tensorlite.ops import _batching, manipulation
from tensorlite.ops._axes import count_along
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import add_p, cast_p, mul_p, neg_p, sub_p, sum_to
from tensorlite.ops.functions import rsqrt_p
from tensorlite.ops.reduction import mean_p, sum_p

Array = Any
Axes = tuple[int, ...]


# ---- normalize -----------------------------------------------------------------------------------------------------------

def _normalize_rule(g: Any, needs: Any, x: Any, w: Any, hidden: Any, axes: Axes, eps: float, center: bool) -> Any:
    if isinstance(g, list):   # of all three results, of which the moments are to be looked at only
        g = g[0]
    mean, var = (wrap(a, 0) if isinstance(g, Value) and not isinstance(a, Value) else a for a in hidden)
    return normalize_grad_p(g, x, w, mean, var, axes=axes, eps=eps, center=center, shape=None if w is None else tuple(w.shape))


# (x - mean) / sqrt(var + eps) w + b, and beside it x's mean and variance over the axes, kept; b only where there is a w.
# No gradient flows to the moments: the rules differentiate through them, so one operation's backward is all there is to run.
normalize_p = primitive("normalize", _reference.normalize, outputs=3, visible=1)
normalize_p.batch(_batching.normalize)
normalize_p.vjp_all(_normalize_rule)
normalize_with_moments_p: Any = normalize_p.full   # the same, the moments being results too


def _normalize_grad_rule(h: Any, needs: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, axes: Axes, eps: float, center: bool,
                         shape: Any) -> Any:
    """The cotangents of g, x and w, with all that depends on x through its moments."""
    hx, hw, hb = (*h, None, None)[:3]
    n = count_along(tuple(x.shape), axes)
    if isinstance(x, Value):   # a third derivative may follow, and x is in its moments
        mean, var = moments(x, mean, var, axes, center)
    rstd = rsqrt_p(add_p(var, eps))
    d = sub_p(x, mean)
    xhat = mul_p(d, rstd)
    to_g = to_w = to_xhat = to_rstd = None
    if hx is not None:
        q = g if w is None else mul_p(g, w)
        scaled = mul_p(hx, rstd)
        m = mean_p(mul_p(scaled, xhat), axis=axes, keepdims=True)
        mq = mean_p(mul_p(q, xhat), axis=axes, keepdims=True)
        to_g = sub_p(scaled, mul_p(xhat, m))
        inner = sub_p(q, mul_p(xhat, mq))
        if center:
            to_g = sub_p(to_g, mean_p(scaled, axis=axes, keepdims=True))
            inner = sub_p(inner, mean_p(q, axis=axes, keepdims=True))
        to_xhat = neg_p(add_p(mul_p(scaled, mq), mul_p(q, m)))
        to_rstd = sum_p(mul_p(hx, inner), axis=axes, keepdims=True)
        if w is not None:
            to_w, to_g = sum_to(mul_p(to_g, g), shape=tuple(w.shape)), mul_p(to_g, w)
    if hw is not None and w is not None:
        to_g = _plus(to_g, mul_p(hw, xhat))
        to_xhat = _plus(to_xhat, mul_p(hw, g))
    if hb is not None:
        to_g = _plus(to_g, manipulation.broadcast_to(hb, tuple(g.shape)))
    return to_g, _from_moments(d, rstd, to_xhat, to_rstd, axes, n, center), to_w, None, None


def moments(x: Any, mean: Any, var: Any, axes: Axes, center: bool) -> tuple[Any, Any]:
    """The moments as functions of x, in the dtype they were found in."""
    x = x if x.dtype == var.dtype else cast_p(x, dtype=var.dtype)
    d = x
    if center:
        mean = mean_p(x, axis=axes, keepdims=True)
        d = sub_p(x, mean)
    return mean, mean_p(mul_p(d, d), axis=axes, keepdims=True)


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else add_p(a, b)


def _from_moments(d: Any, rstd: Any, to_xhat: Any, to_rstd: Any, axes: Axes, n: int, center: bool) -> Any:
    """The cotangent of x out of those of xhat = d rstd and of rstd, where d = x - mean(x) and rstd = (mean(d^2) + eps)^(-1/2)."""
    if to_xhat is None:
        return None
    through = sum_p(mul_p(to_xhat, d), axis=axes, keepdims=True)
    to_rstd = _plus(to_rstd, through)
    to_d = mul_p(to_xhat, rstd)
    cube = mul_p(mul_p(rstd, rstd), rstd)
    to_x = sub_p(to_d, mul_p(d, mul_p(mul_p(to_rstd, cube), 1.0 / n)))
    return sub_p(to_x, mean_p(to_d, axis=axes, keepdims=True)) if center else to_x


normalize_grad_p = primitive("normalize_grad", _reference.normalize_grad, outputs=0)
normalize_grad_p.batch(_batching.normalize_grad)
normalize_grad_p.vjp_all(_normalize_grad_rule)


# It writes to its last three arguments.
running_moments_p = primitive("running_moments", _reference.running_moments, discrete=True)


# ---- what users call -----------------------------------------------------------------------------------------------------

def _floating(name: str, x: Any) -> None:
    from tensorlite import _dtypes
    if not hasattr(x, "dtype") or _dtypes.kind(x.dtype) != "f":
        raise DTypeError(f"{name}: input has dtype {getattr(x, 'dtype', type(x).__name__)}; expected a floating one")


def _run(x: Array, w: Array | None, b: Array | None, axes: Axes, eps: float, center: bool = True) -> Array:
    alone = w is None and b is not None
    out = normalize_p(x, w, None if alone else b, axes=axes, eps=eps, center=center)
    out = out[0] if isinstance(out, tuple) else out   # raw arrays: all three
    return add_p(out, b) if alone else out


def _last(name: str, x: Array, shape: Any, **affine: Any) -> Axes:
    """The last axes, which must have the lengths of ``shape``, as must what is given of weight and bias."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    _floating(name, x)
    if not shape or tuple(x.shape[-len(shape):]) != shape:
        raise ShapeError(f"{name}: input has shape {tuple(x.shape)}; expected its last axes to be {shape}, the normalized_shape")
    for which, a in affine.items():
        if a is not None and tuple(a.shape) != shape:
            raise ShapeError(f"{name}: {which} has shape {tuple(a.shape)}; expected {shape}, the normalized_shape")
    return tuple(range(x.ndim - len(shape), x.ndim))


@torch_names
def layer_norm(input: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None,
               eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and (biased) variance over the last axes (Ba et al. 2016).

    ``normalized_shape``: the lengths of those axes, also weight's and bias's shape. Errors: ``ShapeError`` if they differ.

    >>> import tensorlite as tl
    >>> tl.nn.functional.layer_norm(tl.tensor([[1.0, 3.0]]), 2)
    tensor([[-1.,  1.]])
    """
    return _run(input, weight, bias, _last("layer_norm", input, normalized_shape, weight=weight, bias=bias), eps)


@torch_names
def rms_norm(input: Array, normalized_shape: Any, weight: Array | None = None, eps: float | None = None) -> Array:
    """x / sqrt(mean(x^2) + eps) weight, over the last axes (Zhang and Sennrich 2019); eps is the dtype's epsilon unless given.

    >>> import tensorlite as tl
    >>> tl.nn.functional.rms_norm(tl.tensor([[3.0, 3.0]]), 2)
    tensor([[1., 1.]])
    """
    axes = _last("rms_norm", input, normalized_shape, weight=weight)
    if eps is None:
        eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}.get(str(input.dtype).rpartition(".")[2], 2.0**-52)
    return _run(input, weight, None, axes, eps, center=False)


@torch_names
def group_norm(input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5) -> Array:
    """Layer norm over each of ``num_groups`` groups of channels of (N, C, ...), then weight and bias (Wu and He 2018)."""
    _floating("group_norm", input)
    if input.ndim < 2 or input.shape[1] % num_groups:
        raise ShapeError(f"group_norm: input has shape {tuple(input.shape)}; expected (N, C, ...) with C a multiple of "
                         f"{num_groups} groups")
    grouped = manipulation.reshape(input, (input.shape[0], num_groups, -1))
    out = manipulation.reshape(_run(grouped, None, None, (2,), eps), tuple(input.shape))
    out = out if weight is None else mul_p(out, _channels(weight, input.ndim))
    return out if bias is None else add_p(out, _channels(bias, input.ndim))


@torch_names
def instance_norm(input: Array, running_mean: Array | None = None, running_var: Array | None = None,
                  weight: Array | None = None, bias: Array | None = None, use_input_stats: bool = True,
                  momentum: float | None = 0.1, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(var + eps) weight + bias for each channel of each sample of (N, C, ...) (Ulyanov et al. 2016).

    By the sample's own mean and biased variance, and running_mean and running_var, if given, (C,), move towards the batch's mean
    of the means and of the unbiased variances by the fraction ``momentum``; without ``use_input_stats`` by those two.
    Errors: ``ShapeError`` for a sample of one value per channel.

    >>> import tensorlite as tl
    >>> tl.nn.functional.instance_norm(tl.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.,  1.]]])
    """
    _floating("instance_norm", input)
    shape = tuple(input.shape)
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: input has shape {shape}; expected (N, C, L, ...)")
    for name, a in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if a is not None and tuple(a.shape) != shape[1:2]:
            raise ShapeError(f"instance_norm: {name} has shape {tuple(a.shape)}, and input of shape {shape} has {shape[1]} "
                             f"channels; expected ({shape[1]},)")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ShapeError("instance_norm: without use_input_stats, running_mean and running_var must be given")
        return batch_norm_fixed(input, running_mean, running_var, weight, bias, eps)
    n, c, rest = shape[0], shape[1], shape[2:]
    count = prod(rest)
    if count < 2:
        raise ShapeError(f"instance_norm: input has shape {shape}; expected more than one value per channel of a sample (their "
                         "variance would be 0)")
    rows = manipulation.reshape(input, (1, n * c, count))   # every channel of every sample one of a batch's
    w, b = (None if a is None else manipulation.reshape(manipulation.broadcast_to(a, (n, c)), (n * c, 1)) for a in (weight, bias))
    alone = w is None and b is not None
    out, mean, var = normalize_with_moments_p(rows, w, None if alone else b, axes=(0, 2), eps=eps, center=True)
    out = manipulation.reshape(add_p(out, b) if alone else out, shape)
    if running_mean is not None or running_var is not None:
        mean, var = (mean_p(manipulation.reshape(a, (n, c)), axis=(0,)) for a in (mean, var))
        follow_batch(mean, var, running_mean, running_var, None, momentum, count)
    return out


def _channels(a: Array, ndim: int) -> Array:
    """(C,) so that it broadcasts along axis 1 of ``ndim`` axes."""
    return a if a is None or ndim == 2 else manipulation.reshape(a, (-1,) + (1,) * (ndim - 2))


def batch_norm_by_batch(input: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Any, Any]:
    """Batch norm by the batch's own statistics; and these, their axes kept: mean and biased variance."""
    n = input.ndim
    axes = (0, *range(2, n))
    if count_along(tuple(input.shape), axes) < 2:
        raise ShapeError(f"batch_norm: input has shape {tuple(input.shape)}; expected more than one value per channel when "
                         "training (their variance would be 0): use a larger batch, or eval()")
    w, b = _channels(weight, n), _channels(bias, n)
    alone = w is None and b is not None
    out, mean, var = normalize_with_moments_p(input, w, None if alone else b, axes=axes, eps=eps, center=True)
    return add_p(out, b) if alone else out, mean, var


def follow_batch(mean: Any, var: Any, running_mean: Any, running_var: Any, counter: Any, momentum: float | None, n: int) -> None:
    """Move running statistics towards the moments of a batch of ``n`` values per channel, and count it.

    The variance kept is the unbiased one. ``momentum`` None: the mean of all batches, by the counter.
    """
    if any(in_a_batch(a) for a in (mean, var, running_mean, running_var, counter)):
        raise VmapError("vmap: batch_norm's running statistics would have to follow a batch of batches, each with statistics of "
                        "its own; use eval(), track_running_stats=False (running_mean=None), or LayerNorm or GroupNorm")
    mean, var = raw(mean), raw(var)
    held = [None if a is None else raw(a) for a in (running_mean, running_var, counter)]
    running_moments_p(mean, var, *held, momentum=momentum, correction=n / (n - 1))
    inplace.wrote([a for a in held if a is not None], "batch_norm")


def batch_norm_fixed(input: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Batch norm by given statistics, (C,): one factor and one summand per channel."""
    scale = rsqrt_p(add_p(var, eps))
    scale = scale if weight is None else mul_p(scale, weight)
    shift = neg_p(mul_p(mean, scale))
    shift = shift if bias is None else add_p(shift, bias)
    return add_p(mul_p(input, _channels(scale, input.ndim)), _channels(shift, input.ndim))


__all__ = ["batch_norm_by_batch", "batch_norm_fixed", "follow_batch", "group_norm", "instance_norm", "layer_norm", "rms_norm"]
