"""Layer norm's backward for the CPU: two passes over rows that stay in the cache, the sums for weight and bias on the way."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._parallel import run
from .reference import row_normalize_grad as reference

__all__ = ["row_normalize_grad"]

GRAIN = 200_000  # elements worth a thread: 50 us of work
PARTS = 16       # partial sums for weight and bias, whatever the number of threads: the result does not depend on it
LEAST = 32       # rows of a part


@jit(nogil=True)
def _parts(
    low: Any, high: Any, size: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: Any, center: Any, out: Any, sums: Any
) -> None:
    T, n, m = x.dtype.type, x.shape[0], x.shape[1]
    for part in range(low, high):
        for i in range(part * size, min((part + 1) * size, n)):
            middle, r = mean[i], T(1) / np.sqrt(var[i] + T(eps))
            one, two = T(0), T(0)
            if w.size:
                for j in range(m):
                    xhat = (x[i, j] - middle) * r
                    share = g[i, j] * xhat
                    sums[part, 0, j] += share
                    sums[part, 1, j] += g[i, j]
                    one = add_any_order(one, g[i, j] * w[j])
                    two = add_any_order(two, share * w[j])
            else:
                for j in range(m):
                    one = add_any_order(one, g[i, j])
                    two = add_any_order(two, g[i, j] * ((x[i, j] - middle) * r))
            one, two = one / T(m) if center else T(0), two / T(m)
            if w.size:
                for j in range(m):
                    out[i, j] = (g[i, j] * w[j] - one - (x[i, j] - middle) * r * two) * r
            else:
                for j in range(m):
                    out[i, j] = (g[i, j] - one - (x[i, j] - middle) * r * two) * r


def row_normalize_grad(g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.row_normalize_grad`; what is not all float32 or all float64, or empty, is left to it."""
    if x.dtype.char not in "fd" or not x.size or any(a is not None and a.dtype != x.dtype for a in (g, w, mean, var)):
        return reference(np, g, x, w, mean, var, eps=eps, center=center)
    m = x.shape[-1]
    n = x.size // m
    size = max(LEAST, -(-n // PARTS))
    parts = -(-n // size)
    sums = np.zeros((parts, 2, m if w is not None else 0), x.dtype)
    out = np.empty(x.shape, x.dtype)
    weight = np.empty(0, x.dtype) if w is None else np.ascontiguousarray(w)
    g, x = (np.ascontiguousarray(a).reshape(n, m) for a in (g, x))
    run(_parts, parts, max(1, GRAIN // (size * m)), size, g, x, weight, mean.reshape(n), var.reshape(n), float(eps), center,
        out.reshape(n, m), sums)
    if w is None:
        return (out,)
    return out, np.add.reduce(sums[:, 0], 0), np.add.reduce(sums[:, 1], 0)
