"""The norm of all gradients on CUDA: one launch over all of them, summed in float64 in a fixed order."""
from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from .._cuda import Runtime, Source
from .._cuda.plans import THREADS
from .reference import grad_norm as reference

__all__ = ["SOURCE", "grad_norm"]

SOURCE = Source(__file__, "kernel.cu")


def grad_norm(runtime: Runtime, grads: Sequence[Any], *, max_norm: float = inf) -> tuple[Any, Any]:
    """See :func:`.reference.grad_norm`; nothing waits for the device."""
    if not len(grads):
        return reference(runtime.xp, grads, max_norm=max_norm)
    out = runtime.cupy.empty(2, runtime.cupy.float64)
    table = runtime.lists.find(grads)
    table.fill(grads)
    for _, blocks, places, chunk in table.launches:
        runtime.function(SOURCE, "grad_norm")((blocks,), (THREADS,), (
            table.words, len(grads), places, chunk, out, table.scratch, float(max_norm)))
    return out[0], out[1]
