"""Convolution for the CPU."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._convolution import Pairs, Shape
from .._convolution_arrays import fits, half, outputs, widened
from .reference import conv as reference

__all__ = ["conv"]


def conv(x: Any, w: Any, b: Any = None, *, stride: Shape, padding: Pairs, dilation: Shape, groups: int = 1) -> Any:
    """See :func:`.reference.conv`; what is not all float32, all float64 or all of one 16-bit type is left to it."""
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if fits(x, w, b):
        return outputs(x, w, b, **options)
    if half(x, w, b):
        return conv(*widened(x, w, b), **options).astype(x.dtype)
    return reference(np, x, w, b, **options)
