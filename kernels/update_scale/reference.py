"""The loss scale after a step in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

__all__ = ["update_scale"]


def update_scale(xp: Any, scale: Any, tracker: Any, found_inf: Any, *, growth: float, backoff: float, interval: int) -> None:
    """Change ``scale`` (float32) and ``tracker`` (int32, the steps since it was changed) in place; all without dimensions.

    If ``found_inf`` is not 0: scale <- scale * backoff, tracker <- 0. Else tracker <- tracker + 1, and at ``interval`` scale <-
    scale * growth, unless that is inf, and tracker <- 0.
    """
    overflow, count = found_inf != 0, tracker + 1
    wide = xp.astype(scale, xp.float64)
    grown = xp.astype(wide * growth, xp.float32)
    grown = xp.where((count == interval) & xp.isfinite(grown), grown, scale)
    scale[...] = xp.where(overflow, xp.astype(wide * backoff, xp.float32), grown)
    tracker[...] = xp.where(overflow | (count == interval), xp.zeros_like(tracker), count)
