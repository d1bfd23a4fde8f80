"""The gradient of the logistic function in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._half import is_half

__all__ = ["sigmoid_backward"]


def sigmoid_backward(xp: Any, g: Any, out: Any) -> Any:
    """``g * out * (1 - out)`` with ``out = sigmoid(x)``; ``g`` and ``out`` have one shape and one dtype.

    float16 is computed in float32. Raises ``ValueError`` if the shapes differ.
    """
    if tuple(g.shape) != tuple(out.shape):
        raise ValueError(f"sigmoid_backward: g has shape {tuple(g.shape)}, expected that of out, {tuple(out.shape)}")
    if is_half(out):
        g, y = xp.astype(g, xp.float32), xp.astype(out, xp.float32)
        return xp.astype(g * y * (1.0 - y), out.dtype)
    return g * out * (1.0 - out)
