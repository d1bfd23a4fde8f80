"""The gradient of max(x, 0) in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

__all__ = ["relu_backward"]


def relu_backward(xp: Any, g: Any, out: Any) -> Any:
    """``g`` where ``out > 0``, else 0, whatever ``g`` is there; ``g`` and ``out`` have one shape and one dtype.

    Raises ``ValueError`` if the shapes differ.
    """
    if tuple(g.shape) != tuple(out.shape):
        raise ValueError(f"relu_backward: g has shape {tuple(g.shape)}, expected that of out, {tuple(out.shape)}")
    return xp.where(out > 0, g, xp.zeros_like(g))
