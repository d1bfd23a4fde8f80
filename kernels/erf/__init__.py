"""The error function and its complement."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import erf

__all__ = ["kernel"]


def cost(x: Any, *, complement: bool = False) -> Cost:
    """Read once, written once."""
    return Cost(2 * x.size * x.dtype.itemsize, x.size)


kernel = Kernel("erf", erf, cost, cpu=f"{__name__}.cpu:erf")
