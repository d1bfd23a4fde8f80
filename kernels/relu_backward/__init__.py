"""The gradient of max(x, 0) from its result."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import relu_backward

__all__ = ["kernel"]


def cost(g: Any, out: Any) -> Cost:
    """Two arrays read, one written, a comparison an element."""
    return Cost(3 * out.size * out.dtype.itemsize, out.size)


kernel = Kernel("relu_backward", relu_backward, cost, cpu=f"{__name__}.cpu:relu_backward",
                cuda=f"{__name__}.cuda:relu_backward")
