"""Stochastic gradient descent over a whole list of parameters: one pass, in place."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .._plans import step_cost
from .reference import sgd

__all__ = ["kernel"]


def cost(momentum_buffers: Any, steps: Any, masters: Any = None, *, params: Any) -> Cost:
    """One step of the plan over these parameters."""
    return step_cost((momentum_buffers,), params, 6, masters)


kernel = Kernel("sgd", sgd, cost, cpu=f"{__name__}.cpu:sgd", cuda=f"{__name__}.cuda:sgd")
