"""Adam and AdamW over a whole list of parameters: one pass, in place."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .._plans import step_cost
from .reference import adam

__all__ = ["kernel"]


def cost(exp_avgs: Any, exp_avg_sqs: Any, max_exp_avg_sqs: Any, steps: Any, masters: Any = None, *, params: Any) -> Cost:
    """One step of the plan over these parameters."""
    return step_cost((exp_avgs, exp_avg_sqs, max_exp_avg_sqs), params, 14, masters)


kernel = Kernel("adam", adam, cost, cpu=f"{__name__}.cpu:adam", cuda=f"{__name__}.cuda:adam")
