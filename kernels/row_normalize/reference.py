"""Layer norm's forward in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._normalization import normalize

__all__ = ["row_normalize"]


def row_normalize(xp: Any, x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """``((x - mean) / sqrt(var + eps) * w + b, mean, var)`` with mean and biased variance of each row, along x's last axis.

    x (..., m), w and b (m,) or None, b only with w; mean and var (...,), float32 where x is half. Without ``center`` the mean is
    0 and the variance the mean square: RMS norm.
    """
    out, mean, var = normalize(xp, x, w, b, axes=(x.ndim - 1,), eps=eps, center=center)
    return out, mean[..., 0], var[..., 0]
