"""Convolution as operations: forward, the gradients by input and by weight, and windows as columns, with their rules.

``conv`` is linear in x and in w, and the three operations are each other's derivatives: a convolution's cotangent goes through
``conv_input_grad`` (which is transposed convolution) and ``conv_weight_grad``, and theirs through the other two.
"""
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tensorlite.engine.batching import Args, everywhere, moved
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import Provided
from tensorlite.kernels import _convolution as _reference
from tensorlite.ops import manipulation
from tensorlite.ops.elementwise import add_p
from tensorlite.ops.reduction import sum_p

Array = Any
Shape = tuple[int, ...]
Flags = Sequence[bool]
Options = dict[str, Any]

__all__ = ["channelwise", "conv_input_grad_p", "conv_p", "conv_weight_grad_p", "fold_p", "unfold_p"]


def channelwise(b: Array, ndim: int) -> Array:
    """(C,) so that it broadcasts along axis 1 of ``ndim`` axes."""
    return manipulation.reshape(b, (-1,) + (1,) * (ndim - 2))


def _sum_of_channels(g: Array) -> Array:
    return sum_p(g, axis=(0, *range(2, g.ndim)))


def _how(stride: Any, padding: Any, dilation: Any, groups: Any) -> Options:
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


# ---- the three ------------------------------------------------------------------------------------------------------------

def _conv(xp: Any, x: Any, w: Any, b: Any, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return _reference.conv(xp, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _conv_input_grad(xp: Any, g: Any, w: Any, *, size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return _reference.conv_input_grad(xp, g, w, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _conv_weight_grad(xp: Any, g: Any, x: Any, *, window: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return _reference.conv_weight_grad(xp, g, x, window=window, stride=stride, padding=padding, dilation=dilation, groups=groups)


conv_p = primitive("conv", _conv)
conv_input_grad_p = primitive("conv_input_grad", _conv_input_grad, linear_in="g w")
conv_weight_grad_p = primitive("conv_weight_grad", _conv_weight_grad, linear_in="g x")

conv_p.vjp(
    x=lambda g, w, x_shape, stride, padding, dilation, groups: conv_input_grad_p(
        g, w, size=tuple(x_shape[2:]), **_how(stride, padding, dilation, groups)),
    w=lambda g, x, w_shape, stride, padding, dilation, groups: conv_weight_grad_p(
        g, x, window=tuple(w_shape[2:]), **_how(stride, padding, dilation, groups)),
    b=lambda g: _sum_of_channels(g))
conv_p.jvp(
    x=lambda t, w, stride, padding, dilation, groups: conv_p(t, w, None, **_how(stride, padding, dilation, groups)),
    w=lambda t, x, stride, padding, dilation, groups: conv_p(x, t, None, **_how(stride, padding, dilation, groups)),
    b=lambda t, out_shape: manipulation.broadcast_to(channelwise(t, len(out_shape)), tuple(out_shape)))
conv_input_grad_p.vjp(
    g=lambda h, w, stride, padding, dilation, groups: conv_p(h, w, None, **_how(stride, padding, dilation, groups)),
    w=lambda h, g, w_shape, stride, padding, dilation, groups: conv_weight_grad_p(
        g, h, window=tuple(w_shape[2:]), **_how(stride, padding, dilation, groups)))
conv_weight_grad_p.vjp(
    g=lambda h, x, stride, padding, dilation, groups: conv_p(x, h, None, **_how(stride, padding, dilation, groups)),
    x=lambda h, g, x_shape, stride, padding, dilation, groups: conv_input_grad_p(
        g, h, size=tuple(x_shape[2:]), **_how(stride, padding, dilation, groups)))


# ---- vmap: a batch of images is more images, a batch of weights more channels, a batch of both more groups ------------------

def _more(x: Array, batched: bool, size: int, axis: int) -> Array:
    """The batch axis, in front, made part of axis ``axis`` of those behind it: all of the first example first."""
    x = moved(everywhere(x, batched, size), 0, axis)
    shape = tuple(x.shape)
    return Provided.reshape(x, shape=(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2:]))


def _fewer(x: Array, size: int, axis: int) -> Array:
    """The batch axis back in front."""
    shape = tuple(x.shape)
    x = Provided.reshape(x, shape=(*shape[:axis], size, shape[axis] // size, *shape[axis + 1:]))
    return moved(x, axis, 0)


def _batched_conv(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    (x, w, b), (of_x, of_w, of_b) = args, batched
    if not of_x and not of_w:
        out = op(x, w, None, **options)
        return add_p(everywhere(out, False, size), channels_of_each(b, out.ndim))
    if not of_w:
        out = _fewer(op(_more(x, of_x, size, 0), w, None if of_b else b, **options), size, 0)
        return add_p(out, channels_of_each(b, out.ndim - 1)) if of_b else out
    b = None if b is None else _more(b, of_b, size, 0)
    shared = not of_x and options["groups"] == 1
    if not shared:
        x, options = _more(x, of_x, size, 1), {**options, "groups": size * options["groups"]}
    return _fewer(op(x, _more(w, True, size, 0), b, **options), size, 1)


def channels_of_each(b: Array, ndim: int) -> Array:
    """A batch of biases (size, C) so that it broadcasts along axis 2 of a batch of ``ndim`` axes."""
    return Provided.reshape(b, shape=(b.shape[0], 1, b.shape[1], *(1,) * (ndim - 2)))


def _batched_input_grad(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    (g, w), (of_g, of_w) = args, batched
    if not of_w:
        return _fewer(op(_more(g, of_g, size, 0), w, **options), size, 0)
    if not of_g and options["groups"] == 1:
        return _fewer(op(g, _more(w, True, size, 1), **options), size, 1)
    g, options = _more(g, of_g, size, 1), {**options, "groups": size * options["groups"]}
    return _fewer(op(g, _more(w, True, size, 0), **options), size, 1)


def _batched_weight_grad(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    (g, x), (of_g, of_x) = args, batched
    if options["groups"] == 1 and not of_g:
        return _fewer(op(g, _more(x, True, size, 1), **options), size, 1)
    if options["groups"] == 1 and not of_x:
        return _fewer(op(_more(g, True, size, 1), x, **options), size, 0)
    options = {**options, "groups": size * options["groups"]}
    return _fewer(op(_more(g, of_g, size, 1), _more(x, of_x, size, 1), **options), size, 0)


conv_p.batch(_batched_conv)
conv_input_grad_p.batch(_batched_input_grad)
conv_weight_grad_p.batch(_batched_weight_grad)


# ---- windows as columns ---------------------------------------------------------------------------------------------------

def _windows(x_shape: Any, window: Shape, stride: Shape, padding: Any, dilation: Shape) -> Shape:
    return tuple([_reference.out_size(*axis) for axis in zip(x_shape[2:], window, stride, padding, dilation)])


def _unfold(xp: Any, x: Any, *, window: Shape, stride: Shape, padding: Any, dilation: Shape) -> Any:
    out = _windows(x.shape, window, stride, padding, dilation)
    x = _reference._padded(xp, x, padding)
    parts = [x[_reference._seen(tap, out, stride, dilation)] for tap in _reference._taps(window)]
    return xp.reshape(xp.stack(parts, axis=2), (x.shape[0], x.shape[1] * prod(window), prod(out)))


def _fold(xp: Any, g: Any, *, size: Shape, window: Shape, stride: Shape, padding: Any, dilation: Shape) -> Any:
    n, c = g.shape[0], g.shape[1] // prod(window)
    out = _windows((n, c, *size), window, stride, padding, dilation)
    g = xp.reshape(g, (n, c, prod(window), *out))
    total = xp.zeros((n, c, *[s + low + high for s, (low, high) in zip(size, padding)]), dtype=g.dtype)
    for k, tap in enumerate(_reference._taps(window)):
        at = _reference._seen(tap, out, stride, dilation)
        total[at] = total[at] + g[:, :, k, ...]
    return total[(..., *[slice(low, low + s) for s, (low, _) in zip(size, padding)])]


unfold_p = primitive("unfold", _unfold, linear_in="x")
fold_p = primitive("fold", _fold, linear_in="g")
unfold_p.vjp(x=lambda g, x_shape, window, stride, padding, dilation: fold_p(
    g, size=tuple(x_shape[2:]), window=window, stride=stride, padding=padding, dilation=dilation))
fold_p.vjp(g=lambda h, window, stride, padding, dilation: unfold_p(
    h, window=window, stride=stride, padding=padding, dilation=dilation))


def _batched_windows(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    return _fewer(op(_more(args[0], True, size, 0), **options), size, 0)


unfold_p.batch(_batched_windows)
fold_p.batch(_batched_windows)
