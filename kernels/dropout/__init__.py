"""Dropout without a mask: what is kept is computed from the place in the random sequence, forward and backward."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import dropout

__all__ = ["kernel"]


def cost(x: Any, *, p: float, place: tuple[int, int, int]) -> Cost:
    """Read once, written once; the random words are integer work."""
    return Cost(2 * x.size * x.dtype.itemsize, x.size)


kernel = Kernel("dropout", dropout, cost, cpu=f"{__name__}.cpu:dropout", cuda=f"{__name__}.cuda:dropout")
