"""Adam and AdamW on CUDA: one launch for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._cuda import Runtime, Source
from .._cuda.plans import DevicePlan
from .reference import Adam

__all__ = ["SOURCE", "adam"]

SOURCE = Source(__file__, "kernel.cu")


class _Adam(DevicePlan, Adam):
    name, source = "adam", SOURCE


def adam(
    runtime: Runtime, exp_avgs: Sequence[Any], exp_avg_sqs: Sequence[Any], max_exp_avg_sqs: Sequence[Any] | None, steps: Any,
    masters: Sequence[Any] | None = None,
) -> Adam:
    """See :func:`.reference.adam` and :class:`~tensorlite.kernels._cuda.plans.DevicePlan`."""
    return _Adam(runtime, (exp_avgs, exp_avg_sqs, max_exp_avg_sqs), steps, masters)
