"""The logistic function for the CPU: one vectorised pass."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import exp_nonpositive, jit
from .._parallel import run
from .reference import sigmoid as reference

__all__ = ["sigmoid"]

GRAIN = 600_000  # elements worth a thread: 100 us of work


@jit(nogil=True)
def _sigmoid(low: Any, high: Any, x: Any, out: Any) -> None:
    T = x.dtype.type
    x, out = x[low:high], out[low:high]
    for i in range(x.size):
        e = exp_nonpositive(-abs(x[i]))
        out[i] = (e if x[i] < T(0) else T(1)) / (T(1) + e)


def sigmoid(x: Any) -> Any:
    """See :func:`.reference.sigmoid`; dtypes other than float16, float32 and float64 are left to it."""
    if x.dtype == np.float16:
        return sigmoid(x.astype(np.float32)).astype(np.float16)
    if x.dtype not in (np.float32, np.float64):
        return reference(np, x)
    out = np.empty(x.shape, x.dtype)
    run(_sigmoid, x.size, GRAIN, x.reshape(-1), out.reshape(-1))
    return out
