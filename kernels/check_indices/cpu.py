"""Whether integers are within a range, for the CPU: one pass instead of two."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import check_indices as reference

__all__ = ["check_indices"]

GRAIN = 1_000_000   # indices worth a thread: 100 us of work


@jit(nogil=True)
def _look(first: Any, last: Any, indices: Any, low: Any, high: Any, found: Any) -> None:
    bad, indices = False, indices[first:last]
    for i in range(indices.size):
        bad |= (indices[i] < low) | (indices[i] >= high)
    if bad:
        found[0] = True


def check_indices(indices: Any, *, low: int, high: int, what: str = "check_indices", axis: int | None = None,
                  shape: tuple[int, ...] | None = None) -> Any:
    """See :func:`.reference.check_indices`; dtypes other than int32 and int64 are left to it."""
    if indices.dtype.char in "il":
        found = np.zeros(1, np.bool_)
        run(_look, indices.size, GRAIN, np.ascontiguousarray(indices).reshape(-1), low, high, found)
        if not found[0]:
            return indices
    return reference(np, indices, low=low, high=high, what=what, axis=axis, shape=shape)
