"""Convolution's gradient by its weight in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from .._convolution import conv_weight_grad

__all__ = ["conv_weight_grad"]
