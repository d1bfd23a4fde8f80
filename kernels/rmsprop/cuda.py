"""RMSprop on CUDA: one launch for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._cuda import Runtime, Source
from .._cuda.plans import DevicePlan
from .reference import RMSprop

__all__ = ["SOURCE", "rmsprop"]

SOURCE = Source(__file__, "kernel.cu")


class _RMSprop(DevicePlan, RMSprop):
    name, source = "rmsprop", SOURCE


def rmsprop(
    runtime: Runtime, square_avgs: Sequence[Any], grad_avgs: Sequence[Any] | None, momentum_buffers: Sequence[Any] | None,
    steps: Any, masters: Sequence[Any] | None = None,
) -> RMSprop:
    """See :func:`.reference.rmsprop` and :class:`~tensorlite.kernels._cuda.plans.DevicePlan`."""
    return _RMSprop(runtime, (square_avgs, grad_avgs, momentum_buffers), steps, masters)
