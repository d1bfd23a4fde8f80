"""Convolution in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from .._convolution import conv

__all__ = ["conv"]
