"""Layer norm's forward in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from typing import Any

from .._normalization import normalize

__all__ = ["row_normalize"]


def row_normalize(xp: Any, x: Any, w: Any, b: Any, mean: Any, var: Any, *, eps: float) -> Any:
    """``(x - mean) / sqrt(var + eps) * w + b``; x (n, m), mean and var (n, 1), w and b (m,) or None, b only with w."""
    return normalize(xp, x, w, b, mean, var, axes=(1,), eps=eps, center=True)
