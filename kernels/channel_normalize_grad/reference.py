"""Batch norm's backward in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._normalization import normalize_grad
from ..channel_normalize.reference import spread

__all__ = ["channel_normalize_grad"]


def channel_normalize_grad(xp: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Any:
    """(gx, gw, gb), or (gx,) where w is None, for the cotangent g of ``channel_normalize(x, w, b)``.

    mean and var (C,) are the moments of the channels of x (N, C, ...), through which the gradient flows (through the mean only if
    ``center``). Of half: float32.
    """
    axes = (0, *range(2, x.ndim))
    w, mean, var = (spread(xp, a, x.ndim) for a in (w, mean, var))
    shape = None if w is None else tuple(w.shape)
    out = normalize_grad(xp, g, x, w, mean, var, axes=axes, eps=eps, center=center, shape=shape)
    return (out[0], *[xp.reshape(a, (-1,)) for a in out[1:]])
