"""The gradients of layer norm and RMS norm by their input, weight and bias."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import row_normalize_grad

__all__ = ["kernel"]


def cost(g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Cost:
    """Two matrices are read and one is written."""
    return Cost(3 * x.size * x.dtype.itemsize, 12 * x.size)


kernel = Kernel("row_normalize_grad", row_normalize_grad, cost, cpu=f"{__name__}.cpu:row_normalize_grad",
                cuda=f"{__name__}.cuda:row_normalize_grad")
