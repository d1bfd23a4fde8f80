"""Sums of weighted elements along the last axes: average pooling, interpolation, and the gradients of both."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import resample

__all__ = ["kernel"]


def cost(x: Any, *, taps: tuple[Any, ...]) -> Cost:
    """The array is read and the result written; axis by axis, a product and a sum for each tap."""
    size, flops = x.size, 0
    for n, tap in zip(x.shape[x.ndim - len(taps):], taps):
        if tap is not None and n:
            flops += 2 * (size // n) * len(tap.index)
            size = size // n * tap.count
    return Cost((x.size + size) * x.dtype.itemsize, flops)


kernel = Kernel("resample", resample, cost, cpu=f"{__name__}.cpu:resample", cuda=f"{__name__}.cuda:resample")
