"""The gradient of max pooling: each window's cotangent at the place of its maximum."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import max_pool_grad

__all__ = ["kernel"]


def cost(g: Any, index: Any, *, windows: tuple[Any, ...]) -> Cost:
    """A cotangent and an index are read for each window, and the gradient is written."""
    count = g.size // max(prod(w.count for w in windows), 1) * prod(w.size for w in windows)
    return Cost(g.size * (g.dtype.itemsize + index.dtype.itemsize) + count * g.dtype.itemsize, g.size)


kernel = Kernel("max_pool_grad", max_pool_grad, cost, cpu=f"{__name__}.cpu:max_pool_grad", cuda=f"{__name__}.cuda:max_pool_grad")
