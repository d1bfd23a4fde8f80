"""Stochastic gradient descent on CUDA: one launch for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._cuda import Runtime, Source
from .._cuda.plans import DevicePlan
from .reference import SGD

__all__ = ["SOURCE", "sgd"]

SOURCE = Source(__file__, "kernel.cu")


class _SGD(DevicePlan, SGD):
    name, source = "sgd", SOURCE


def sgd(
    runtime: Runtime, momentum_buffers: Sequence[Any] | None, steps: Any,
    masters: Sequence[Any] | None = None,
) -> SGD:
    """See :func:`.reference.sgd` and :class:`~tensorlite.kernels._cuda.plans.DevicePlan`."""
    return _SGD(runtime, (momentum_buffers,), steps, masters)
