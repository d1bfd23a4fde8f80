"""The gradient of a bias and an activation function for the CPU: one pass, the bias's sums taken on the way.

The rows are divided into parts by the shape alone, each part has its sums, and these are added in order: the result does not
depend on the number of threads.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from .._activations import BLOCK, KINDS, add_rows, differentiate, unowned
from .._half import is_half
from .._math import jit
from .._parallel import run
from ..bias_activation.cpu import tiled
from .reference import FROM_OUTPUT, check_backward
from .reference import bias_activation_backward as reference

__all__ = ["bias_activation_backward"]

GRAIN = 200_000     # elements worth a thread: 100 us of work
PART = 1 << 17      # elements of a part, unless its rows are too many for one float32 sum, or too few for sums of their own
FEWEST, MOST = 8, 256


@jit(nogil=True)
def _parts(low: Any, high: Any, size: Any, g: Any, saved: Any, b: Any, kind: Any, dx: Any, sums: Any) -> None:
    period = b.size
    g, saved, b, dx, sums = unowned(g), unowned(saved), unowned(b), unowned(dx), unowned(sums)
    summed = dx if kind else g
    for part in range(low, high):
        end = min((part + 1) * size, g.size)
        for first in range(part * size, end, 8 * period):
            stop = min(first + 8 * period, end)
            for at in range(0, period, BLOCK):
                width = min(BLOCK, period - at)
                if kind:
                    for i in range(first + at, stop, period):
                        differentiate(kind, g[i:i + width], saved[i:i + width], b[at:], dx[i:min(i + width, stop)])
                if sums.size:
                    add_rows(summed[first + at:stop], period, sums[part * period + at:part * period + at + width])


def bias_activation_backward(g: Any, saved: Any, b: Any = None, *, activation: str = "none",
                             needs_db: bool = True) -> tuple[Any, Any]:
    """See :func:`.reference.bias_activation_backward`; dtypes but float16, bfloat16, float32 and float64 are left to it."""
    if is_half(g):
        wide = [None if a is None else a.astype(np.float32) for a in (g, saved, b)]
        dx, db = bias_activation_backward(*wide, activation=activation, needs_db=needs_db)
        return (g if activation == "none" else dx.astype(g.dtype)), None if db is None else db.astype(g.dtype)
    if g.dtype.char not in "fd" or any(a is not None and a.dtype != g.dtype for a in (saved, b)) or not g.size:
        return reference(np, g, saved, b, activation=activation, needs_db=needs_db)
    check_backward(g, saved, b, activation, needs_db)
    b = None if activation in FROM_OUTPUT else b
    columns = BLOCK if b is None and not needs_db else g.shape[-1] if g.ndim else 1
    bias = tiled(b, columns, g.dtype)
    size = bias.size * max(FEWEST, min(MOST, PART // bias.size))
    parts = -(-g.size // size)
    sums = np.zeros((parts, bias.size) if needs_db else 0, g.dtype)
    flat, out = np.ascontiguousarray(g).reshape(-1), np.empty(0 if activation == "none" else g.shape, g.dtype)
    kept = flat if activation == "none" else np.ascontiguousarray(saved).reshape(-1)
    run(_parts, parts, max(1, GRAIN // size), size, flat, kept, bias, KINDS[activation], out.reshape(-1), sums.reshape(-1))
    db = np.add.reduce(sums.reshape(-1, columns), 0, np.float64).astype(g.dtype) if needs_db else None
    return (g if activation == "none" else out), db
