"""The largest element of each window, and where it is: the forward of max pooling."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import max_pool

__all__ = ["kernel"]


def cost(x: Any, *, windows: tuple[Any, ...]) -> Cost:
    """The array is read; a maximum and a 4-byte index are written for each window."""
    size = x.size // max(prod(x.shape[x.ndim - len(windows):]), 1)
    count = size * prod(w.count for w in windows)
    looked = size * prod(int(w.lengths.sum()) for w in windows)
    return Cost(x.size * x.dtype.itemsize + count * (x.dtype.itemsize + 4), looked)


kernel = Kernel("max_pool", max_pool, cost, cpu=f"{__name__}.cpu:max_pool", cuda=f"{__name__}.cuda:max_pool")
