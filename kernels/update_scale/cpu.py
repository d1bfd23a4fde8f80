"""The loss scale after a step for the CPU: five numbers."""
from __future__ import annotations

from typing import Any

import numpy as np

from .reference import update_scale as reference

__all__ = ["update_scale"]


def update_scale(scale: Any, tracker: Any, found_inf: Any, *, growth: float, backoff: float, interval: int) -> None:
    """See :func:`.reference.update_scale`."""
    with np.errstate(over="ignore"):
        reference(np, scale, tracker, found_inf, growth=growth, backoff=backoff, interval=interval)
