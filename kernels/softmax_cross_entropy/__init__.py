"""Softmax and cross-entropy of class labels in one pass, with the gradient by the logits if it is wanted."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import softmax_cross_entropy

__all__ = ["kernel"]


def cost(logits: Any, labels: Any, *, weight: Any = None, want_grad: bool = True, **options: Any) -> Cost:
    """Logits read once, gradient written once; an element costs a maximum, a subtraction, exp, a sum and a product."""
    n, c = logits.shape
    item = logits.dtype.itemsize
    moved = n * c * item * (2 if want_grad else 1) + n * (labels.dtype.itemsize + item)
    return Cost(moved + (0 if weight is None else c * item), n * c * (5 if want_grad else 4))


kernel = Kernel("softmax_cross_entropy", softmax_cross_entropy, cost, cpu=f"{__name__}.cpu:softmax_cross_entropy",
                cuda=f"{__name__}.cuda:softmax_cross_entropy", numba_cuda=f"{__name__}.numba_cuda:softmax_cross_entropy")
