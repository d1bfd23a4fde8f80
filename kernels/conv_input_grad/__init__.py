"""Convolution's gradient by its input, which is transposed convolution."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import conv_input_grad

__all__ = ["kernel"]


def cost(g: Any, w: Any, *, size: Any, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Cost:
    """g and w are read, the result is written; two operations for each element of g and weight of its channel."""
    written = g.shape[0] * groups * w.shape[1] * prod(size)
    return Cost((g.size + w.size + written) * g.dtype.itemsize, 2 * g.size * prod(w.shape[1:]))


kernel = Kernel("conv_input_grad", conv_input_grad, cost, cpu=f"{__name__}.cpu:conv_input_grad")
