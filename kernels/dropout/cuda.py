"""Dropout on CUDA: one read and one write, 16 bytes at a time, the random words made on the way."""
from __future__ import annotations

from math import ceil
from typing import Any

from .._cuda import Runtime, Source, suffix
from ..philox.cuda import wrapped
from .reference import dropout as reference

__all__ = ["SOURCE", "dropout"]

SOURCE = Source(__file__, "kernel.cu")


def dropout(runtime: Runtime, x: Any, *, p: float, place: tuple[int, int, int]) -> Any:
    """See :func:`.reference.dropout`; other dtypes than float16, bfloat16, float32 and float64 are left to it."""
    kind = suffix(x)
    if kind is None or p == 1:
        return reference(runtime.xp, x, p=p, place=place)
    out, n = runtime.cupy.empty(x.shape, x.dtype), x.size
    if n:
        grid = runtime.grid(n, 256, max(4, 16 // x.dtype.itemsize))
        runtime.function(SOURCE, f"dropout_{kind}")(grid, (256,), (
            out, runtime.contiguous(x), n, *map(wrapped, place), ceil((1.0 - p) * 2**32) - 1, 1.0 / (1.0 - p)))
    return out
