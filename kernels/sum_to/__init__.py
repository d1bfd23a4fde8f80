"""Sums over the axes that broadcasting has repeated: the gradient of a bias, and of everything else that was broadcast."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import sum_to

__all__ = ["kernel"]


def cost(x: Any, *, shape: tuple[int, ...]) -> Cost:
    """x read once, the sums written, an addition an element."""
    return Cost((x.size + prod(shape)) * x.dtype.itemsize, x.size)


kernel = Kernel("sum_to", sum_to, cost, cpu=f"{__name__}.cpu:sum_to", cuda=f"{__name__}.cuda:sum_to")
