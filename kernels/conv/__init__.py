"""Convolution of one, two or three axes, with strides, padding, dilation and groups."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .._convolution import out_size
from .reference import conv

__all__ = ["kernel"]


def cost(x: Any, w: Any, b: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Cost:
    """x and w are read, the result is written; two operations for each output and weight of its channel."""
    out = [out_size(*axis) for axis in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)]
    size = x.shape[0] * w.shape[0] * prod(out)
    return Cost((x.size + w.size + size) * x.dtype.itemsize, 2 * size * prod(w.shape[1:]))


kernel = Kernel("conv", conv, cost, cpu=f"{__name__}.cpu:conv")
