"""Convolution's gradient by its weight for the CPU."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._convolution import Pairs, Shape
from .._convolution_arrays import fits, half, weight_gradient, widened
from .reference import conv_weight_grad as reference

__all__ = ["conv_weight_grad"]


def conv_weight_grad(g: Any, x: Any, *, window: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int = 1) -> Any:
    """See :func:`.reference.conv_weight_grad`; what is not all float32, all float64 or all of one 16-bit type is left to it."""
    options: Any = {"window": window, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if fits(g, x) and all(window):
        return weight_gradient(g, x, **options)
    if half(g, x):
        return conv_weight_grad(*widened(g, x), **options).astype(g.dtype)
    return reference(np, g, x, **options)
