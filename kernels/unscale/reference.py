"""Gradients divided by the loss scale in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._half import is_half

__all__ = ["inverse", "unscale"]


def inverse(scale: Any) -> float:
    """What to multiply with: 1 / scale, rounded to the scale's dtype."""
    with np.errstate(all="ignore"):
        quotient = np.float64(1.0) / np.float64(float(scale))
        return float(np.float32(quotient) if str(scale.dtype) == "float32" else quotient)


def unscale(xp: Any, grads: Sequence[Any], scale: Any, *, write: bool = True, check: bool = True) -> Any:
    """Divide every array by ``scale`` in place, and say whether there was an inf or nan before.

    Parameters
    ----------
    grads: floating arrays of any shapes and dtypes; None is passed over.
    scale: an array without dimensions, float32 or float64. The arrays are multiplied with 1/scale, rounded to that dtype; 16-bit
        ones in float32.
    write: False to look only. check: False to divide only; then the result is None.

    Returns a float32 array without dimensions: 1.0 if an element of an array is inf or nan, else 0.0.
    """
    factor, found = inverse(scale), xp.zeros((), dtype=xp.float32)
    for g in grads:
        if g is None:
            continue
        if check and not bool(xp.all(xp.isfinite(g))):
            found = xp.ones((), dtype=xp.float32)
        if write and factor != 1.0:
            wide = xp.astype(g, xp.float32) if is_half(g) else g
            g[...] = xp.astype(wide * factor, g.dtype)
    return found if check else None
