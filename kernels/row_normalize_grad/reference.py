"""Layer norm's backward in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._normalization import normalize_grad

__all__ = ["row_normalize_grad"]


def row_normalize_grad(xp: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Any:
    """(gx, gw, gb), or (gx,) where w is None, for the cotangent g of ``row_normalize(x, w, b)``.

    mean and var (...,) are the moments of the rows of x (..., m), through which the gradient flows (through the mean only if
    ``center``). Of half: float32.
    """
    return normalize_grad(xp, g, x, w, mean[..., None], var[..., None], axes=(x.ndim - 1,), eps=eps, center=center,
                          shape=None if w is None else tuple(w.shape))
