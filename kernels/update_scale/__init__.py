"""The loss scale after a step: lower after an overflow, higher after a long time without one."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import update_scale

__all__ = ["kernel"]


def cost(scale: Any, tracker: Any, found_inf: Any, *, growth: float, backoff: float, interval: int) -> Cost:
    """Three numbers read, two written."""
    return Cost(20, 2)


kernel = Kernel("update_scale", update_scale, cost, cpu=f"{__name__}.cpu:update_scale", cuda=f"{__name__}.cuda:update_scale")
