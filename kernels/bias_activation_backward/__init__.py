"""The gradient of a bias and an activation function: the argument's and the bias's in one pass."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from ..bias_activation.reference import FLOPS
from .reference import bias_activation_backward

__all__ = ["kernel"]


def cost(g: Any, saved: Any, b: Any = None, *, activation: str = "none", needs_db: bool = True) -> Cost:
    """g and what was saved are read, the gradient is written."""
    columns = g.shape[-1] if needs_db and g.ndim else 0
    columns += 0 if b is None else b.size
    arrays = 2 if activation == "none" else 3
    return Cost((arrays * g.size + columns) * g.dtype.itemsize, (FLOPS[activation] + 2 + needs_db) * g.size)


kernel = Kernel("bias_activation_backward", bias_activation_backward, cost, cpu=f"{__name__}.cpu:bias_activation_backward",
                cuda=f"{__name__}.cuda:bias_activation_backward")
