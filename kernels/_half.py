"""Which arrays are computed in float32 and cast back."""
from __future__ import annotations

from typing import Any

__all__ = ["is_half"]


def is_half(array: Any) -> bool:
    """Whether the array holds 16-bit floats; by name, as not every namespace has the dtypes."""
    return str(array.dtype) in ("float16", "bfloat16")
