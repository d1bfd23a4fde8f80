"""Layer norm's forward for the CPU: three passes over a row that stays in the first-level cache."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._parallel import run
from .reference import row_normalize as reference

__all__ = ["row_normalize"]

GRAIN = 400_000  # elements worth a thread: 80 us of work


@jit(nogil=True)
def _rows(low: Any, high: Any, x: Any, w: Any, b: Any, eps: Any, center: Any, out: Any, mean: Any, var: Any) -> None:
    T, m = x.dtype.type, x.shape[1]
    for i in range(low, high):
        middle, total = T(0), T(0)
        if center:
            for j in range(m):
                middle = add_any_order(middle, x[i, j])
            middle /= T(m)
        for j in range(m):
            total = add_any_order(total, (x[i, j] - middle) * (x[i, j] - middle))
        mean[i], var[i] = middle, total / T(m)
        r = T(1) / np.sqrt(var[i] + T(eps))
        if b.size:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r * w[j] + b[j]
        elif w.size:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r * w[j]
        else:
            for j in range(m):
                out[i, j] = (x[i, j] - middle) * r


def row_normalize(x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.row_normalize`; what is not all float32 or all float64, or empty, is left to it."""
    if x.dtype.char not in "fd" or not x.size or any(a is not None and a.dtype != x.dtype for a in (w, b)):
        return reference(np, x, w, b, eps=eps, center=center)
    none, out, m = np.empty(0, x.dtype), np.empty(x.shape, x.dtype), x.shape[-1]
    mean, var = np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    w, b = (none if a is None else np.ascontiguousarray(a) for a in (w, b))
    run(_rows, x.size // m, max(1, GRAIN // m), np.ascontiguousarray(x).reshape(-1, m), w, b, float(eps), center,
        out.reshape(-1, m), mean.reshape(-1), var.reshape(-1))
    return out, mean, var
