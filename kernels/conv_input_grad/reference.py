"""Convolution's gradient by its input (a transposed convolution) in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from .._convolution import conv_input_grad

__all__ = ["conv_input_grad"]
