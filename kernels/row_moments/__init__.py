"""Mean and variance of each row of a matrix."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import row_moments

__all__ = ["kernel"]


def cost(x: Any, *, center: bool = True) -> Cost:
    """The matrix is read once."""
    return Cost(x.size * x.dtype.itemsize, 4 * x.size)


kernel = Kernel("row_moments", row_moments, cost, cpu=f"{__name__}.cpu:row_moments")
