"""The loss scale after a step on CUDA: one launch, and the host does not learn the result."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source

__all__ = ["SOURCE", "update_scale"]

SOURCE = Source(__file__, "kernel.cu")


def update_scale(
    runtime: Runtime, scale: Any, tracker: Any, found_inf: Any, *, growth: float, backoff: float, interval: int
) -> None:
    """See :func:`.reference.update_scale`."""
    runtime.function(SOURCE, "update_scale")((1,), (1,), (scale, tracker, found_inf, float(growth), float(backoff), interval))
