"""Rows written where indices say, for the CPU: several threads copy, and NumPy writes in the order of the indices if all are in
the order of memory."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._parallel import run
from ..check_indices.cpu import check_indices

__all__ = ["put_rows"]

GRAIN = 1_000_000   # bytes worth a thread: 50 to 100 us of copying


def _copy(low: int, high: int, x: Any, out: Any) -> None:
    out[low:high] = x[low:high]


def put_rows(x: Any, v: Any, indices: Any, *, wrap: bool = False, what: str = "put_rows") -> Any:
    """See :func:`.reference.put_rows`."""
    rows = x.shape[0]
    check_indices(indices, low=-rows if wrap else 0, high=rows, what=what, axis=0, shape=x.shape)
    out = np.empty(x.shape, x.dtype)
    run(_copy, rows, max(1, GRAIN * rows // max(1, x.nbytes)), x, out)
    out[np.ascontiguousarray(indices)] = np.ascontiguousarray(v)
    return out
