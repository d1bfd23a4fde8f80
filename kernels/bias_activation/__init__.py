"""A bias added and an activation function applied in one pass: what follows a matrix product in a layer."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import FLOPS, bias_activation

__all__ = ["kernel"]


def cost(x: Any, b: Any = None, *, activation: str = "none") -> Cost:
    """Read once, written once; the bias is as small as a row."""
    rest = 0 if b is None else b.size
    return Cost((2 * x.size + rest) * x.dtype.itemsize, ((b is not None) + FLOPS[activation]) * x.size)


kernel = Kernel("bias_activation", bias_activation, cost, cpu=f"{__name__}.cpu:bias_activation",
                cuda=f"{__name__}.cuda:bias_activation")
