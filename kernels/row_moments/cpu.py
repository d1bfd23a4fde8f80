"""Mean and variance of each row for the CPU: two sums over a row that stays in the first-level cache."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._parallel import run
from .reference import row_moments as reference

__all__ = ["row_moments"]

GRAIN = 400_000  # elements worth a thread: 50 us of work


@jit(nogil=True)
def _rows(low: Any, high: Any, x: Any, center: Any, mean: Any, var: Any) -> None:
    T, m = x.dtype.type, x.shape[1]
    for i in range(low, high):
        middle = T(0)
        if center:
            for j in range(m):
                middle = add_any_order(middle, x[i, j])
            middle /= T(m)
        total = T(0)
        for j in range(m):
            total = add_any_order(total, (x[i, j] - middle) * (x[i, j] - middle))
        mean[i, 0], var[i, 0] = middle, total / T(m)


def row_moments(x: Any, *, center: bool = True) -> Any:
    """See :func:`.reference.row_moments`; what is not float32 or float64, or empty, is left to it."""
    if x.dtype.char not in "fd" or not x.size:
        return reference(np, x, center=center)
    mean, var = np.empty((x.shape[0], 1), x.dtype), np.empty((x.shape[0], 1), x.dtype)
    run(_rows, x.shape[0], max(1, GRAIN // x.shape[1]), np.ascontiguousarray(x), center, mean, var)
    return mean, var
