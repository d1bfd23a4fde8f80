"""Convolution's gradient by its input for the CPU."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._convolution import Pairs, Shape
from .._convolution_arrays import fits, half, input_gradient, widened
from .reference import conv_input_grad as reference

__all__ = ["conv_input_grad"]


def conv_input_grad(g: Any, w: Any, *, size: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int = 1) -> Any:
    """See :func:`.reference.conv_input_grad`; what is not all float32, all float64 or all of one 16-bit type is left to it."""
    options: Any = {"size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if fits(g, w) and all(size):
        return input_gradient(g, w, **options)
    if half(g, w):
        return conv_input_grad(*widened(g, w), **options).astype(g.dtype)
    return reference(np, g, w, **options)
