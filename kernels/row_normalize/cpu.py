"""Layer norm's forward for the CPU: one pass."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import row_normalize as reference

__all__ = ["row_normalize"]

GRAIN = 400_000  # elements worth a thread: 50 us of work


@jit(nogil=True)
def _rows(low: Any, high: Any, x: Any, w: Any, b: Any, mean: Any, var: Any, eps: Any, out: Any) -> None:
    T, m = x.dtype.type, x.shape[1]
    for i in range(low, high):
        middle, r = mean[i, 0], T(1) / np.sqrt(var[i, 0] + T(eps))
        if b.size:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r * w[j] + b[j]
        elif w.size:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r * w[j]
        else:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r


def row_normalize(x: Any, w: Any, b: Any, mean: Any, var: Any, *, eps: float) -> Any:
    """See :func:`.reference.row_normalize`; what is not all float32 or all float64, or empty, is left to it."""
    if x.dtype.char not in "fd" or not x.size or any(a is not None and a.dtype != x.dtype for a in (w, b, mean, var)):
        return reference(np, x, w, b, mean, var, eps=eps)
    none, out = np.empty(0, x.dtype), np.empty(x.shape, x.dtype)
    w, b = (none if a is None else np.ascontiguousarray(a) for a in (w, b))
    run(_rows, x.shape[0], max(1, GRAIN // x.shape[1]), np.ascontiguousarray(x), w, b, mean, var, float(eps), out)
    return out
