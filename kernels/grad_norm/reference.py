"""The norm of all gradients in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

__all__ = ["grad_norm"]


def grad_norm(xp: Any, grads: Sequence[Any], *, max_norm: float = inf) -> tuple[Any, Any]:
    """``sqrt(sum of g^2)`` over all elements of all arrays, and ``max(1, (norm + 1e-6) / max_norm)``, what to divide them by.

    Both are float64 arrays without dimensions. Nothing overflows on the way: the norm is inf only where an element is inf, or
    where it is out of float64's range itself.
    """
    flat = [xp.astype(xp.reshape(g, (-1,)), xp.float64) for g in grads if g.size]
    zero, one = xp.zeros((), dtype=xp.float64), xp.ones((), dtype=xp.float64)
    unit = zero
    for g in flat:
        unit = xp.maximum(unit, xp.max(xp.abs(g)))
    unit = xp.where((unit > 0) & xp.isfinite(unit), unit, one)
    total = zero
    for g in flat:
        total = total + xp.sum((g / unit) * (g / unit))
    norm = unit * xp.sqrt(total)
    return norm, xp.maximum(one, (norm + 1e-6) / (one * max_norm))
