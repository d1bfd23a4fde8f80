"""Rows of a table at given indices, for the CPU: checked in one pass, and copied by several threads where there is much."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._parallel import run
from ..check_indices.cpu import check_indices
from .reference import take_rows as reference

__all__ = ["take_rows"]

GRAIN = 1_000_000  # bytes worth a thread: 50 to 100 us of copying


def _take(low: int, high: int, table: Any, indices: Any, out: Any, mode: str) -> None:
    table.take(indices[low:high], 0, out[low:high], mode)


def take_rows(table: Any, indices: Any, *, wrap: bool = False, what: str = "take_rows") -> Any:
    """See :func:`.reference.take_rows`."""
    rows = table.shape[0]
    if not indices.size or not rows:
        return reference(np, table, indices, wrap=wrap, what=what)
    check_indices(indices, low=-rows if wrap else 0, high=rows, what=what, axis=0, shape=table.shape)
    flat, out = indices.reshape(-1), np.empty((indices.size, *table.shape[1:]), table.dtype)
    grain = max(1, GRAIN // max(1, out.nbytes // indices.size))
    run(_take, indices.size, grain, table, flat, out, "wrap" if wrap else "clip")   # other modes copy `out` first
    return out.reshape((*indices.shape, *table.shape[1:]))
