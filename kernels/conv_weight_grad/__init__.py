"""Convolution's gradient by its weight."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import conv_weight_grad

__all__ = ["kernel"]


def cost(g: Any, x: Any, *, window: Any, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Cost:
    """g and x are read, the result is written; two operations for each element of g and weight of its channel."""
    weights = prod(window) * x.shape[1] // groups
    return Cost((g.size + x.size + g.shape[1] * weights) * g.dtype.itemsize, 2 * g.size * weights)


kernel = Kernel("conv_weight_grad", conv_weight_grad, cost, cpu=f"{__name__}.cpu:conv_weight_grad")
