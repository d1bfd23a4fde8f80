"""Softmax cross-entropy in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any, NoReturn

from .._half import is_half

__all__ = ["REDUCTIONS", "check", "label_error", "softmax_cross_entropy"]

REDUCTIONS = ("none", "mean", "sum")


def label_error(row: int, label: int, classes: int) -> NoReturn:
    raise IndexError(
        f"cross_entropy: target[{row}] is {label}, but there are {classes} classes (0 <= target < {classes}); "
        "correct the label, or mark rows to leave out with ignore_index"
    )


def check(logits: Any, labels: Any, label_smoothing: float, weight: Any, reduction: str) -> None:
    """Raise ``ValueError`` where shapes or options do not fit; the labels' values are checked by the kernels."""
    if len(logits.shape) != 2:
        raise ValueError(f"cross_entropy: input has shape {tuple(logits.shape)}, expected (N, C); reshape it first")
    n, c = logits.shape
    if tuple(labels.shape) != (n,):
        raise ValueError(
            f"cross_entropy: target has shape {tuple(labels.shape)}, expected ({n},): one class label for each row of input"
        )
    if weight is not None and tuple(weight.shape) != (c,):
        raise ValueError(f"cross_entropy: weight has shape {tuple(weight.shape)}, expected ({c},): one number for each class")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}, expected a number from 0 to 1")
    if reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction is {reduction!r}, expected one of {', '.join(map(repr, REDUCTIONS))}")


def softmax_cross_entropy(
    xp: Any, logits: Any, labels: Any, *, ignore_index: int = -100, label_smoothing: float = 0.0, weight: Any = None,
    reduction: str = "mean", want_grad: bool = True, wide: bool = False,
) -> tuple[Any, Any]:
    r"""Cross-entropy of integer labels ``t`` with the softmax of ``logits`` ``z``, and its gradient.

    For row ``i``, with ``s`` the label smoothing, ``w`` the class weights (1 if absent) and ``l = log_softmax(z[i])``::

        loss[i] = -(1-s) w[t[i]] l[t[i]] - s/C sum_c w[c] l[c]

    Rows whose label is ``ignore_index`` have loss 0 and gradient 0. ``"mean"`` divides by the sum of ``w[t[i]]`` over the
    other rows (NaN when there are none), as PyTorch does. Label smoothing: Szegedy et al. 2016, section 7.

    Parameters
    ----------
    logits: (N, C) floating; float16 is computed in float32. labels: (N,) of any integer dtype. weight: (C,) or None.
    reduction: "none", "mean" or "sum".
    want_grad: whether to return the gradient. wide: of float16 and bfloat16, whether the loss is float32.

    Returns
    -------
    ``(loss, grad)``: loss (N,) for "none", else 0-d; grad (N, C), or None. ``grad[i]`` is the derivative of ``loss[i]``
    ("none") or of the reduced loss by ``logits[i]``, the mean's division included, so that for an incoming gradient of 1
    it is the finished product. Both have the dtype of logits (but see ``wide``).

    Raises
    ------
    IndexError: a label that is neither ``ignore_index`` nor in ``[0, C)``. ValueError: shapes or options.
    """
    check(logits, labels, label_smoothing, weight, reduction)
    if not xp.isdtype(labels.dtype, "integral"):
        raise ValueError(f"cross_entropy: target has dtype {labels.dtype}, expected integers")
    n, c = logits.shape
    dtype = logits.dtype
    z = xp.astype(logits, xp.float32 if is_half(logits) else dtype)
    t = xp.astype(labels, xp.int64)
    kept = t != ignore_index
    wrong = kept & ((t < 0) | (t >= c))
    if bool(xp.any(wrong)):
        row = int(xp.argmax(xp.astype(wrong, xp.int64)))
        label_error(row, int(labels[row]), c)
    if c == 0:
        z = xp.zeros((n, 1), dtype=z.dtype)  # every row is ignored: any number of classes gives the zeros wanted
    w = xp.ones((z.shape[1],), dtype=z.dtype) if weight is None or c == 0 else xp.astype(weight, z.dtype)
    t = xp.where(kept, t, xp.zeros_like(t))
    zero = xp.zeros((n,), dtype=z.dtype)
    target_weight = xp.where(kept, xp.take(w, t), zero)

    shifted = z - xp.max(z, axis=1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=1, keepdims=True)
    log_p = shifted - xp.log(total)
    hit = (1.0 - label_smoothing) * target_weight
    loss = -hit * xp.take_along_axis(log_p, t[:, None], axis=1)[:, 0]
    spread = label_smoothing / max(c, 1)
    if label_smoothing:
        loss = loss - spread * xp.sum(log_p * w, axis=1)
    loss = xp.where(kept, loss, zero)
    count = xp.sum(target_weight)
    scale = xp.ones_like(count)
    if reduction == "mean":
        scale = 1.0 / count if bool(count != 0) else xp.full_like(count, float("nan"))

    grad = None
    if want_grad:
        grad = (e / total) * (hit + spread * xp.sum(w))[:, None] - spread * w
        grad = grad - hit[:, None] * xp.astype(xp.arange(z.shape[1])[None, :] == t[:, None], z.dtype)
        grad = xp.where(kept[:, None], grad * scale, xp.zeros_like(grad))[:, :c]
        grad = xp.astype(grad, dtype)
    if reduction != "none":
        loss = xp.sum(loss) * scale
    return xp.astype(loss, z.dtype if wide else dtype), grad
