"""Dropout in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._half import is_half
from ..philox.reference import reference as philox

__all__ = ["dropout"]


def dropout(xp: Any, x: Any, *, p: float, place: tuple[int, int, int]) -> Any:
    """``x / (1 - p)`` where a bernoulli draw of 1 - p says so, else 0 (Srivastava et al. 2014); x of any shape, 0 <= p <= 1.

    ``place``: (seed, stream, offset) of the draw; element i's is word ``i mod 4`` of block ``offset + i div 4``, see
    ``kernels/philox``. The factor is ``1 / (1 - p)`` in x's dtype; float16 and bfloat16 are multiplied in float32.
    """
    if p == 1:
        return xp.zeros_like(x)
    seed, stream, offset = place
    kept = philox(xp, kind="bernoulli", shape=tuple(x.shape), dtype="bool", p=1.0 - p, seed=seed, stream=stream, offset=offset,
                  device=getattr(x, "device", None))
    wide = xp.astype(x, xp.float32) if is_half(x) else x
    scaled = wide * (1.0 / (1.0 - p))
    out = xp.where(kept, scaled, xp.zeros_like(scaled))
    return xp.astype(out, x.dtype) if is_half(x) else out
