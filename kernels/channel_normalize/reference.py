"""Batch norm's forward in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._normalization import normalize

__all__ = ["channel_normalize", "spread"]


def spread(xp: Any, a: Any, ndim: int) -> Any:
    """(C,) as (1, C, 1, ...) with ``ndim`` axes; None stays."""
    return a if a is None else xp.reshape(a, (1, -1, *[1] * (ndim - 2)))


def channel_normalize(xp: Any, x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """``((x - mean) / sqrt(var + eps) * w + b, mean, var)`` with mean and biased variance of each channel, along all axes but 1.

    x (N, C, ...), w and b (C,) or None, b only with w; mean and var (C,), float32 where x is half. Without ``center`` the mean is
    0 and the variance the mean square.
    """
    axes = (0, *range(2, x.ndim))
    w, b = (spread(xp, a, x.ndim) for a in (w, b))
    out, mean, var = normalize(xp, x, w, b, axes=axes, eps=eps, center=center)
    return out, xp.reshape(mean, (-1,)), xp.reshape(var, (-1,))
