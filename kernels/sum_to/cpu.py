"""Sums to a broadcast shape for the CPU: one pass, more exact than NumPy's, by several threads where there is much to add."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._parallel import run
from .reference import steps
from .reference import sum_to as reference

__all__ = ["sum_to"]

GRAIN = 1_000_000    # elements worth a thread
SPAN = 512           # rows that are added up before the sums of such blocks are
COLUMNS = 1024       # columns whose sums stay in the first cache
BLOCK, CHUNK = 512, 1 << 16   # elements of a row added in any order; those that one thread adds
WIDE = 256           # elements of a row so long that the loop over them pays
SHORT = 64           # elements of a row so short that its sum is not worth a place of its own


@jit(nogil=True)
def _columns(low: Any, high: Any, x: Any, blocks: Any, out: Any) -> None:
    """out[k, block] = the sum of the block's rows of x[k]; eight rows at a time."""
    rows, columns = x.shape[1], x.shape[2]
    stripes = (columns + COLUMNS - 1) // COLUMNS
    for item in range(low, high):
        k, block, first = item // stripes // blocks, item // stripes % blocks, item % stripes * COLUMNS
        total = out[k, block, first:first + COLUMNS]
        total[:] = 0
        last = min((block + 1) * SPAN, rows)
        i = block * SPAN
        while i + 8 <= last:
            a, b = x[k, i, first:first + COLUMNS], x[k, i + 1, first:first + COLUMNS]
            c, d = x[k, i + 2, first:first + COLUMNS], x[k, i + 3, first:first + COLUMNS]
            e, f = x[k, i + 4, first:first + COLUMNS], x[k, i + 5, first:first + COLUMNS]
            g, h = x[k, i + 6, first:first + COLUMNS], x[k, i + 7, first:first + COLUMNS]
            for j in range(total.size):
                total[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))
            i += 8
        while i < last:
            a = x[k, i, first:first + COLUMNS]
            for j in range(total.size):
                total[j] += a[j]
            i += 1


@jit(nogil=True)
def _rows(low: Any, high: Any, x: Any, chunks: Any, out: Any) -> None:
    """out[row, chunk] = the sum of the chunk's elements, the sums of blocks added in float64."""
    for item in range(low, high):
        row, chunk = item // chunks, item % chunks
        total = 0.0
        if x.shape[1] < SHORT:
            for j in range(x.shape[1]):
                total += x[row, j]
            out[row, 0] = total
            continue
        for first in range(chunk * CHUNK, min((chunk + 1) * CHUNK, x.shape[1]), BLOCK):
            part, block = x.dtype.type(0), x[row, first:min(first + BLOCK, x.shape[1])]
            for j in range(block.size):
                part = add_any_order(part, block[j])
            total += part
        out[row, chunk] = total


def sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    """See :func:`.reference.sum_to`; the result is the same for any number of threads."""
    if x.dtype.char not in "fd" or not x.size or not x.flags.c_contiguous:
        return reference(np, x, shape=shape)
    plan, out = steps(x.shape, tuple(shape)), x
    with np.errstate(all="ignore"):
        for kind, *lengths in plan:
            out = _STEP[kind](out.reshape(lengths), *lengths)
    return out.reshape(shape)


def _sum_columns(x: Any, k: int, r: int, c: int) -> Any:
    m = WIDE // c
    if k == 1 and m > 1 and r >= 2 * m:   # several narrow rows as one
        whole = r // m * m
        rest = np.add.reduce(x[0, whole:], 0)
        return np.add.reduce(_sum_columns(x[:, :whole].reshape(1, r // m, m * c), 1, r // m, m * c).reshape(m, c), 0) + rest
    blocks = -(-r // SPAN)
    out = np.empty((k, blocks, c), x.dtype)
    run(_columns, k * blocks * -(-c // COLUMNS), max(1, GRAIN // (min(r, SPAN) * min(c, COLUMNS))), x, blocks, out)
    return out if blocks == 1 else np.add.reduce(out, 1)


def _sum_rows(x: Any, r: int, k: int, l: int) -> Any:
    if r > 1 and l < SHORT:
        return _sum_columns(_sum_rows(x.reshape(1, r * k, l), 1, r * k, l).reshape(1, r, k), 1, r, k)
    chunks = -(-l // CHUNK)
    direct = r == chunks == 1
    out = np.empty((r * k, chunks), x.dtype if direct else np.float64)
    run(_rows, r * k * chunks, max(1, GRAIN // min(l, CHUNK)), x.reshape(r * k, l), chunks, out)
    return out if direct else np.add.reduce(out.reshape(r, k, chunks), (0, 2)).astype(x.dtype)


_STEP = {"columns": _sum_columns, "rows": _sum_rows}
