"""The gradient of the logistic function for the CPU: one pass instead of three, and no temporaries."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import sigmoid_backward as reference

__all__ = ["sigmoid_backward"]

GRAIN = 800_000  # elements worth a thread: 100 us of work


@jit(nogil=True)
def _backward(low: Any, high: Any, g: Any, out: Any, result: Any) -> None:
    g, out, result = g[low:high], out[low:high], result[low:high]
    one = out.dtype.type(1)
    for i in range(result.size):
        result[i] = g[i] * out[i] * (one - out[i])


def sigmoid_backward(g: Any, out: Any) -> Any:
    """See :func:`.reference.sigmoid_backward`; dtypes other than float32 and float64 are left to it."""
    if g.dtype != out.dtype or g.shape != out.shape or out.dtype not in (np.float32, np.float64):
        return reference(np, g, out)
    result = np.empty(out.shape, out.dtype)
    run(_backward, out.size, GRAIN, g.reshape(-1), out.reshape(-1), result.reshape(-1))
    return result
