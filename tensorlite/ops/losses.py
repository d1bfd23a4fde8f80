"""Losses, with PyTorch's names and arguments."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite._state import current
from tensorlite.engine.batching import anywhere
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import EVERYDAY, KIND, Value, raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.kernels.softmax_cross_entropy.reference import softmax_cross_entropy as _reference
from tensorlite.ops import _batching, manipulation
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import logical_and, logical_not
from tensorlite.ops.elementwise import add_p, cast_p, chain, div_p, mul_p, neg_p, sub_p, where
from tensorlite.ops.functions import abs as _abs
from tensorlite.ops.functions import log, square
from tensorlite.ops.indexing import take
from tensorlite.ops.reduction import mean, sum_p
from tensorlite.ops.reduction import sum as _sum
from tensorlite.ops.searching import take_along_axis
from tensorlite.ops.softmax import log_softmax

Array = Any


def _reduce(name: str, loss: Array, reduction: str) -> Array:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return _sum(loss)
    if reduction == "none":
        return loss
    raise ShapeError(f"{name}: reduction is {reduction!r}; expected 'mean', 'sum' or 'none'")


def _same_shape(name: str, input: Array, target: Array) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(f"{name}: input has shape {tuple(input.shape)} and target has shape {tuple(target.shape)}; they must be "
                         "the same (losses do not broadcast: reshape one of them)")


# ---- softmax cross-entropy of class labels ---------------------------------------------------------------------------
# The forward gives the gradient too, already divided by the mean's count: where the cotangent is 1 it is the finished answer.

def _fused(xp: Any, logits: Any, labels: Any, weight: Any, *, ignore_index: int, label_smoothing: float, reduction: str,
           wide: bool = False) -> Any:
    try:
        return _reference(xp, logits, labels, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
                          reduction=reduction, wide=wide)
    except IndexError as error:   # the kernel's own words say it all
        raise OutOfRangeError(str(error)) from None
    except ValueError as error:
        raise ShapeError(str(error)) from None


def _loss_alone(xp: Any, logits: Any, labels: Any, weight: Any, *, ignore_index: int, label_smoothing: float,
                reduction: str, wide: bool = False) -> Any:
    return _fused(xp, logits, labels, weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction,
                  wide=wide)[0]


softmax_cross_entropy_p = primitive("softmax_cross_entropy", _fused, outputs=2, visible=1)
softmax_cross_entropy_p.batch(_batching.cross_entropy)
cross_entropy_loss_p = primitive("cross_entropy_loss", _loss_alone, discrete=True)
cross_entropy_loss_p.batch(_batching.cross_entropy)


def _scale_rows(xp: Any, g: Any, grad: Any) -> Any:
    if g.ndim == 0:
        return grad if bool(g == 1) else g * grad
    return xp.reshape(g, (-1, 1)) * grad


scale_rows_p = primitive("scale_rows", _scale_rows, linear_in="g grad")
scale_rows_p.batch(_batching.scale_rows)
scale_rows_p.vjp(g=lambda h, grad, g_shape: _dot_rows(chain(h, grad), g_shape),
                 grad=lambda h, g: scale_rows_p(g, h))


def _dot_rows(product: Array, shape: tuple[int, ...]) -> Array:
    return sum_p(product, axis=None if shape == () else -1, keepdims=False)


def _terms(xp: Any, labels: Any, weight: Any, *, classes: int, dtype: Any, ignore_index: int, label_smoothing: float,
           reduction: str) -> Any:
    """a (N, 1) and b (N, C) of grad = a softmax(logits) - b."""
    kept = labels != ignore_index
    at = xp.where(kept, labels, xp.zeros_like(labels))
    w = xp.ones((classes,), dtype=dtype) if weight is None else xp.astype(weight, dtype)
    hit = xp.astype(kept, dtype) * xp.take(w, at)
    count = xp.sum(hit)
    scale = 1 / count if reduction == "mean" and bool(count != 0) else xp.ones_like(count)
    spread = label_smoothing / classes
    one_hot = xp.astype(xp.arange(classes)[None, :] == at[:, None], dtype)
    hit, kept = (1 - label_smoothing) * hit * scale, xp.astype(kept, dtype) * scale * spread
    return (hit + kept * xp.sum(w))[:, None], hit[:, None] * one_hot + kept[:, None] * w[None, :]


terms_p = primitive("cross_entropy_terms", _terms, outputs=2, discrete=True)
terms_p.batch(_batching.cross_entropy_terms)


def _softmax_cross_entropy_rule(g: Any, out: Any, labels: Any, weight: Any, options: dict[str, Any]) -> Any:
    of_loss, of_grad = g if isinstance(g, list) else (g, None)
    grad = out[1]
    total = None if of_loss is None else scale_rows_p(of_loss, grad)
    if of_grad is not None:   # second order: softmax is had back from the gradient, so the logits need not be kept
        of_terms = {name: options[name] for name in ("ignore_index", "label_smoothing", "reduction")}
        a, b = terms_p(labels, weight, classes=grad.shape[1], dtype=grad.dtype, **of_terms)
        p = mul_p(add_p(grad, b), where(a == 0, a, 1 / where(a == 0, a + 1, a)))
        ph = mul_p(p, of_grad)
        second = mul_p(a, sub_p(ph, mul_p(p, sum_p(ph, axis=-1, keepdims=True))))
        total = second if total is None else add_p(total, second)
    return total


softmax_cross_entropy_p.vjp(logits=_softmax_cross_entropy_rule)


def _recording(x: Any) -> bool:
    return isinstance(x, Value) and (x.level > 0 or (bool(x.tracked) and not current().record_from))


def _rows_of(name: str, input: Array, target: Array) -> tuple[Array, Array]:
    """Input as (N, C) and target as (N,): classes are axis 1, further axes count as rows."""
    if input.ndim == 0:
        raise ShapeError(f"{name}: input is zero-dimensional; expected (C,), (N, C) or (N, C, d1, ...)")
    if input.ndim == 1:
        expected: tuple[int, ...] = ()
        rows = manipulation.reshape(input, (1, -1))
    else:
        expected = (input.shape[0], *input.shape[2:])
        rows = input if input.ndim == 2 else manipulation.reshape(manipulation.moveaxis(input, 1, -1), (-1, input.shape[1]))
    if tuple(target.shape) != expected:
        raise ShapeError(f"{name}: target has shape {tuple(target.shape)}; for input of shape {tuple(input.shape)} expected "
                         f"class labels of shape {expected}, or probabilities of the input's shape")
    return rows, manipulation.reshape(target, (-1,)) if target.ndim != 1 else target


@torch_names
def cross_entropy(input: Array, target: Array, weight: Array | None = None, *, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Array:
    """-log softmax(input)[target], averaged over the rows (weighted by the targets' class weights).

    input: logits (N, C), (C,) or (N, C, d1, ...). target: class labels (N,), () or (N, d1, ...); or probabilities (or one-hot
    integers) of the input's shape. weight: (C,), a factor for each class. Rows labelled ``ignore_index`` count for nothing.
    ``label_smoothing`` s mixes the target with the uniform distribution: (1 - s) target + s / C (Szegedy et al. 2016, section 7).
    Errors: ``IndexError`` for labels outside 0..C-1, ``ShapeError`` for shapes that do not fit.

    >>> import tensorlite as tl
    >>> logits = tl.tensor([[1.01, 1.2], [12.5, 0.02], [0.23, 1.35]])
    >>> tl.nn.functional.cross_entropy(logits, tl.tensor([0, 0, 1]))
    tensor(0.3583)
    """
    # the everyday case, unchecked
    if KIND.get(input.__class__) is EVERYDAY and KIND.get(target.__class__) is EVERYDAY and input.tracked:
        labels = target.value
        state = current()
        if (labels.ndim == 1 and input.value.ndim == 2 and getattr(labels.dtype, "kind", "?") in "iu"
                and not state.record_from and state.autocast is None):
            return softmax_cross_entropy_p(input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
                                           reduction=reduction)
    kind = _dtypes.kind(target.dtype) if hasattr(target, "dtype") else "?"
    if kind == "?":
        raise DTypeError(f"cross_entropy: target is a {type(target).__name__}; expected a tensor or an array: wrap it with "
                         "tensorlite.asarray")
    if kind not in "iufb":
        raise DTypeError(f"cross_entropy: target has dtype {target.dtype}; expected integer class labels or floating "
                         "probabilities")
    if hasattr(input, "dtype") and _dtypes.kind(input.dtype) in "biu":   # their logarithms would be rounded to integers
        raise DTypeError(f"cross_entropy: input has dtype {input.dtype}; expected floating logits: cast it, as with .float()")
    if kind == "f" or (target.ndim == input.ndim and tuple(target.shape) == tuple(input.shape) and input.ndim >= 1):
        return _soft(input, target, weight, reduction, label_smoothing)
    if kind == "b":
        raise DTypeError("cross_entropy: target has dtype bool, which is taken for a one-hot target of the input's shape, "
                         f"{tuple(input.shape)}, and this has shape {tuple(target.shape)}")
    rows, labels = _rows_of("cross_entropy", input, target)
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    if current().autocast is not None and str(input.dtype) == "bfloat16":
        options["wide"] = True   # the logits stay as they are, the loss is float32
    if _recording(input):
        loss = softmax_cross_entropy_p(rows, labels, weight, **options)
    else:
        loss = cross_entropy_loss_p(rows, labels, weight, **options)
    return manipulation.reshape(loss, target.shape) if reduction == "none" and target.ndim != 1 else loss


def _soft(input: Array, target: Array, weight: Array | None, reduction: str, label_smoothing: float) -> Array:
    """Cross-entropy with a distribution as each row's target."""
    _same_shape("cross_entropy", input, target)
    axis = 0 if input.ndim == 1 else 1
    if _dtypes.kind(target.dtype) != "f":
        target = cast_p(target, dtype=input.dtype)
    if label_smoothing:
        target = add_p(mul_p(target, 1 - label_smoothing), label_smoothing / input.shape[axis])
    terms = mul_p(target, log_softmax(input, axis))
    if weight is not None:
        terms = mul_p(terms, manipulation.reshape(weight, (-1,) + (1,) * (input.ndim - axis - 1)))
    loss = neg_p(sum_p(terms, axis=axis, keepdims=False))
    if reduction == "mean" and loss.ndim:   # PyTorch divides by the number of rows, whatever the weights
        return mean(loss)
    return _reduce("cross_entropy", loss, reduction)


@torch_names
def nll_loss(input: Array, target: Array, weight: Array | None = None, *, ignore_index: int = -100,
             reduction: str = "mean") -> Array:
    """-input[i, target[i]], averaged: the negative log-likelihood where input holds log-probabilities, (N, C) or (N, C, d1, ...).

    Errors: ``IndexError`` for labels outside 0..C-1.
    """
    rows, labels = _rows_of("nll_loss", input, target)
    classes = rows.shape[1]
    kept = labels != ignore_index
    bad = logical_and(kept, (labels < 0) | (labels >= classes))
    if anywhere(bad):
        flags, values = [backends.backend_of(a).to_numpy(a) for a in (raw(bad), raw(labels))]
        position = [int(k) for k in np.argwhere(flags)[0]]   # inside of vmap with the example's number in front
        raise OutOfRangeError(f"nll_loss: target{position} is {values[tuple(position)]}, but there are {classes} classes "
                              f"(0 <= target < {classes})")
    at = where(kept, labels, mul_p(labels, 0))
    picked = manipulation.squeeze(take_along_axis(rows, manipulation.expand_dims(at, 1), axis=1), 1)
    factor = cast_p(kept, dtype=input.dtype) if weight is None else mul_p(cast_p(kept, dtype=input.dtype), take(weight, at))
    loss = neg_p(mul_p(picked, factor))
    if reduction == "mean":
        return div_p(_sum(loss), _sum(factor))
    loss = _reduce("nll_loss", loss, reduction)
    return manipulation.reshape(loss, target.shape) if reduction == "none" else loss


# ---- regression ------------------------------------------------------------------------------------------------------

@torch_names
def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    """(input - target)^2, averaged.

    >>> import tensorlite as tl
    >>> tl.nn.functional.mse_loss(tl.tensor([1.0, 2.0]), tl.tensor([0.0, 0.0]))
    tensor(2.5)
    """
    _same_shape("mse_loss", input, target)
    return _reduce("mse_loss", square(sub_p(input, target)), reduction)


@torch_names
def l1_loss(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    """abs(input - target), averaged."""
    _same_shape("l1_loss", input, target)
    return _reduce("l1_loss", _abs(sub_p(input, target)), reduction)


@torch_names
def huber_loss(input: Array, target: Array, *, reduction: str = "mean", delta: float = 1.0) -> Array:
    """d^2 / 2 where d = abs(input - target) <= delta, else delta (d - delta / 2); averaged (Huber 1964)."""
    if not delta > 0:
        raise ShapeError(f"huber_loss: delta is {delta}; expected a positive number")
    _same_shape("huber_loss", input, target)
    d = _abs(sub_p(input, target))
    return _reduce("huber_loss", where(d <= delta, mul_p(square(d), 0.5), mul_p(sub_p(d, 0.5 * delta), delta)), reduction)


@torch_names
def smooth_l1_loss(input: Array, target: Array, *, reduction: str = "mean", beta: float = 1.0) -> Array:
    """The Huber loss divided by ``beta``; the L1 loss for beta 0."""
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return mul_p(huber_loss(input, target, reduction=reduction, delta=beta), 1 / beta)


# ---- distributions ---------------------------------------------------------------------------------------------------

@torch_names
def binary_cross_entropy_with_logits(input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean",
                                     pos_weight: Array | None = None) -> Array:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), averaged; computed without overflow for any x."""
    from tensorlite.ops.activation import softplus
    _same_shape("binary_cross_entropy_with_logits", input, target)
    # (1 - t) x + (1 + (p - 1) t) softplus(-x)
    factor = 1.0 if pos_weight is None else add_p(mul_p(sub_p(pos_weight, 1), target), 1)
    loss = add_p(mul_p(sub_p(1, target), input), mul_p(softplus(neg_p(input)), factor))
    return _reduce("binary_cross_entropy_with_logits", loss if weight is None else mul_p(loss, weight), reduction)


@torch_names
def binary_cross_entropy(input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean") -> Array:
    """-(t log p + (1 - t) log(1 - p)), averaged, with the logarithms cut off at -100 as in PyTorch. input: probabilities 0..1."""
    from tensorlite.ops.elementwise import maximum
    _same_shape("binary_cross_entropy", input, target)
    if anywhere(logical_not(logical_and(input >= 0, input <= 1))):
        raise OutOfRangeError("binary_cross_entropy: input holds values outside 0..1; give probabilities, or logits to "
                              "binary_cross_entropy_with_logits")
    loss = neg_p(add_p(mul_p(target, maximum(log(input), -100.0)),
                       mul_p(sub_p(1, target), maximum(log(sub_p(1, input)), -100.0))))
    return _reduce("binary_cross_entropy", loss if weight is None else mul_p(loss, weight), reduction)


@torch_names
def kl_div(input: Array, target: Array, *, reduction: str = "mean", log_target: bool = False) -> Array:
    """target (log target - input), averaged over all elements ("batchmean": over the rows); input holds log-probabilities."""
    from tensorlite.ops.functions import exp
    _same_shape("kl_div", input, target)
    if log_target:
        loss = mul_p(exp(target), sub_p(target, input))
    else:
        positive = target > 0
        safe = where(positive, target, target * 0 + 1)
        loss = sub_p(mul_p(target, log(safe)), mul_p(target, input))
    if reduction == "batchmean":
        return div_p(_sum(loss), input.shape[0] if input.ndim else 1)
    return _reduce("kl_div", loss, reduction)
