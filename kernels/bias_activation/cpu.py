"""A bias and an activation function for the CPU: one pass over x, whatever the length of its rows."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._activations import BLOCK, KINDS, activate, unowned
from .._half import is_half
from .._math import jit
from .._parallel import run
from .reference import bias_activation as reference
from .reference import check

__all__ = ["bias_activation", "tiled"]

GRAIN = 200_000   # elements worth a thread: 100 us of work


@jit(nogil=True)
def _forward(low: Any, high: Any, x: Any, b: Any, kind: Any, out: Any) -> None:
    x, b, out = unowned(x), unowned(b), unowned(out)
    while low < high:
        at = low % b.size
        stop = min(low + BLOCK, low + b.size - at, high)
        activate(kind, x[low:stop], b[at:], out[low:stop])
        low = stop


def tiled(b: Any, columns: int, dtype: Any) -> Any:
    """The bias, repeated until loops over it are long; where there is none -0, which added to a number changes nothing."""
    times = -(-BLOCK // 2 // max(columns, 1))
    return np.full(times * columns, -0.0, dtype) if b is None else np.tile(b, times)


def bias_activation(x: Any, b: Any = None, *, activation: str = "none") -> Any:
    """See :func:`.reference.bias_activation`; dtypes other than float16, bfloat16, float32 and float64 are left to it."""
    if is_half(x):
        wide = None if b is None else b.astype(np.float32)
        return bias_activation(x.astype(np.float32), wide, activation=activation).astype(x.dtype)
    if x.dtype.char not in "fd" or (b is not None and b.dtype != x.dtype):
        return reference(np, x, b, activation=activation)
    check("bias_activation", x, b, activation)
    out = np.empty(x.shape, x.dtype)
    if x.size:
        bias = tiled(b, BLOCK if b is None else b.size, x.dtype)
        run(_forward, x.size, GRAIN, np.ascontiguousarray(x).reshape(-1), bias, KINDS[activation], out.reshape(-1))
    return out
