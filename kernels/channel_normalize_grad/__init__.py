"""The gradients of batch norm by its input, weight and bias."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import channel_normalize_grad

__all__ = ["kernel"]


def cost(g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Cost:
    """Two arrays are read twice, as no channel fits a multiprocessor, and one is written."""
    return Cost(5 * x.size * x.dtype.itemsize, 12 * x.size)


kernel = Kernel("channel_normalize_grad", channel_normalize_grad, cost, cpu=f"{__name__}.cpu:channel_normalize_grad",
                cuda=f"{__name__}.cuda:channel_normalize_grad")
