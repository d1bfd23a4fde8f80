"""Outer products for the CPU: rows of the result on several threads, where NumPy uses one."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import outer as reference

__all__ = ["outer"]

GRAIN = 200_000   # elements worth a thread: 50 to 100 us of writing
SMALL = 1 << 16   # elements below which NumPy's one call is faster


@jit(nogil=True)
def _rows(low: Any, high: Any, x: Any, y: Any, out: Any, n: Any) -> None:
    for r in range(low, high):
        a, b, row = x[r], y[r // n], out[r]
        for j in range(row.size):
            row[j] = a * b[j]


def outer(x: Any, y: Any) -> Any:
    """See :func:`.reference.outer`; dtypes other than float32 and float64 are left to it, and small arrays."""
    n, m = x.shape[-1], y.shape[-1]
    if x.size * m < SMALL or x.dtype != y.dtype or x.dtype.char not in "fd" or x.shape[:-1] != y.shape[:-1]:
        return reference(np, x, y)
    out = np.empty((*x.shape, m), x.dtype)
    run(_rows, x.size, max(1, GRAIN // m), np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(y).reshape(-1, m),
        out.reshape(-1, m), n)
    return out
