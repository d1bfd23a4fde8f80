"""Rows written where indices say, for the CPU: NumPy writes in the order of the indices if all are in the order of memory."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..check_indices.cpu import check_indices

__all__ = ["put_rows"]


def put_rows(x: Any, v: Any, indices: Any, *, wrap: bool = False, what: str = "put_rows") -> Any:
    """See :func:`.reference.put_rows`."""
    rows = x.shape[0]
    check_indices(indices, low=-rows if wrap else 0, high=rows, what=what, axis=0, shape=x.shape)
    out = x.copy()
    out[np.ascontiguousarray(indices)] = np.ascontiguousarray(v)
    return out
