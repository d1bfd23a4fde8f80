"""Whether integers are within a range, for the CPU: one pass instead of two."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .reference import check_indices as reference

__all__ = ["check_indices"]


@jit(nogil=True)
def _outside(indices: Any, low: Any, high: Any) -> Any:
    bad = False
    for i in range(indices.size):
        bad |= (indices[i] < low) | (indices[i] >= high)
    return bad


def check_indices(indices: Any, *, low: int, high: int, what: str = "check_indices", axis: int | None = None,
                  shape: tuple[int, ...] | None = None) -> Any:
    """See :func:`.reference.check_indices`; dtypes other than int32 and int64 are left to it."""
    if indices.dtype.char in "il" and not _outside(np.ascontiguousarray(indices).reshape(-1), low, high):
        return indices
    return reference(np, indices, low=low, high=high, what=what, axis=axis, shape=shape)
