"""Dropout for the CPU: one pass, the random words made on the way."""
from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from .._half import is_half
from .._math import jit
from .._parallel import run
from ..philox.cpu import FOUR, ONE, THREE, TWO, block, u64
from .reference import dropout as reference

__all__ = ["dropout"]

GRAIN = 60_000   # blocks of four elements worth a thread: 100 us of work


@jit(nogil=True)
def _blocks(low: Any, high: Any, x: Any, seed: Any, stream: Any, offset: Any, threshold: Any, scale: Any, out: Any) -> None:
    x, out, first = x[4 * low:], out[4 * low:], offset + u64(low)   # unsigned from here on: see philox/cpu.py
    zero = x.dtype.type(0)
    for i in range(u64(high - low)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        j = FOUR * i
        x0, x1, x2, x3 = x[j] * scale, x[j + ONE] * scale, x[j + TWO] * scale, x[j + THREE] * scale
        out[j], out[j + ONE] = x0 if w0 < threshold else zero, x1 if w1 < threshold else zero
        out[j + TWO], out[j + THREE] = x2 if w2 < threshold else zero, x3 if w3 < threshold else zero


def dropout(x: Any, *, p: float, place: tuple[int, int, int]) -> Any:
    """See :func:`.reference.dropout`; dtypes other than float16, bfloat16, float32 and float64 are left to it."""
    if is_half(x):
        return dropout(x.astype(np.float32), p=p, place=place).astype(x.dtype)
    if x.dtype.char not in "fd" or p == 1:
        return reference(np, x, p=p, place=place)
    out = np.empty(x.shape, x.dtype)
    seed, stream, offset = (u64(word) for word in place)
    threshold, scale = u64(ceil((1.0 - p) * 2**32)), x.dtype.type(1.0 / (1.0 - p))
    flat, result, whole = x.reshape(-1), out.reshape(-1), x.size // 4
    run(_blocks, whole, GRAIN, flat, seed, stream, offset, threshold, scale, result)
    if rest := x.size % 4:
        end, made = np.zeros(4, x.dtype), np.empty(4, x.dtype)
        end[:rest] = flat[4 * whole:]
        _blocks(0, 1, end, seed, stream, u64(place[2] + whole), threshold, scale, made)
        result[4 * whole:] = made[:rest]
    return out
