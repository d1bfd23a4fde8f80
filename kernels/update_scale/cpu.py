"""The loss scale after a step for the CPU: five numbers."""
from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["update_scale"]


def update_scale(scale: Any, tracker: Any, found_inf: Any, *, growth: float, backoff: float, interval: int) -> None:
    """See :func:`.reference.update_scale`."""
    count = tracker.item() + 1
    if overflow := found_inf.item() != 0:
        scale[()] = scale.item() * backoff
    elif count == interval:
        with np.errstate(over="ignore"):
            grown = np.float32(scale.item() * growth)
        if np.isfinite(grown):
            scale[()] = grown
    tracker[()] = 0 if overflow or count == interval else count
