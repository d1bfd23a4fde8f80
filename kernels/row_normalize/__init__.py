"""Each row of a matrix brought to mean 0 and variance 1, then scaled and shifted: the forward of layer norm and RMS norm."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import row_normalize

__all__ = ["kernel"]


def cost(x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Cost:
    """The matrix is read and another written."""
    return Cost(2 * x.size * x.dtype.itemsize, 8 * x.size)


kernel = Kernel("row_normalize", row_normalize, cost, cpu=f"{__name__}.cpu:row_normalize", cuda=f"{__name__}.cuda:row_normalize")
