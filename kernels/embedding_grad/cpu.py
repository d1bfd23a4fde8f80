"""The gradient of a look-up table for the CPU: one pass in the order of the indices; threads share out the columns."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import embedding_grad as reference

__all__ = ["embedding_grad"]

GRAIN = 200_000  # elements worth a thread
COLUMNS = 32     # of a range: two cache lines of float32


@jit(nogil=True)
def _add(low: Any, high: Any, g: Any, indices: Any, padding: Any, out: Any) -> None:
    first, last = low * COLUMNS, min(high * COLUMNS, g.shape[1])
    for i in range(indices.size):
        t = indices[i]
        if t != padding:
            for j in range(first, last):
                out[t, j] += g[i, j]


def embedding_grad(g: Any, indices: Any, *, rows: int, padding_idx: int | None = None) -> Any:
    """See :func:`.reference.embedding_grad`; the result is the same for any number of threads."""
    width = g.shape[indices.ndim:]
    if g.dtype not in (np.float32, np.float64) or not g.size:
        return reference(np, g, indices, rows=rows, padding_idx=padding_idx)
    flat, rest = np.ascontiguousarray(indices.reshape(-1)), np.ascontiguousarray(g.reshape(indices.size, -1))
    if flat.size and not 0 <= flat.min() <= flat.max() < rows:
        raise IndexError(f"embedding_grad: indices reach from {flat.min()} to {flat.max()}, expected 0 <= index < {rows}")
    out = np.zeros((rows, rest.shape[1]), g.dtype)
    ranges = -(-rest.shape[1] // COLUMNS)
    run(_add, ranges, max(1, GRAIN // (COLUMNS * flat.size)), rest, flat, -1 if padding_idx is None else padding_idx, out)
    return out.reshape(rows, *width)
