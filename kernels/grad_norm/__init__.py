"""The norm of all gradients as one vector, and what to divide them by to clip it."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import grad_norm

__all__ = ["kernel"]


def cost(grads: Any, *, max_norm: float = float("inf")) -> Cost:
    """Every gradient read once."""
    return Cost(sum(g.size * g.dtype.itemsize for g in grads), 2 * sum(g.size for g in grads))


kernel = Kernel("grad_norm", grad_norm, cost, cpu=f"{__name__}.cpu:grad_norm", cuda=f"{__name__}.cuda:grad_norm")
