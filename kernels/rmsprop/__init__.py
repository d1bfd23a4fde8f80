"""RMSprop over a whole list of parameters: one pass, in place."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .._plans import step_cost
from .reference import rmsprop

__all__ = ["kernel"]


def cost(square_avgs: Any, grad_avgs: Any, momentum_buffers: Any, steps: Any, masters: Any = None, *, params: Any) -> Cost:
    """One step of the plan over these parameters."""
    return step_cost((square_avgs, grad_avgs, momentum_buffers), params, 11, masters)


kernel = Kernel("rmsprop", rmsprop, cost, cpu=f"{__name__}.cpu:rmsprop", cuda=f"{__name__}.cuda:rmsprop")
