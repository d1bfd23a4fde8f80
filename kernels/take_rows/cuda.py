"""Rows of a table at given indices on CUDA, for every dtype: copied 16 bytes at a time, and checked on the way."""
from __future__ import annotations

from math import prod
from typing import Any

from .._cuda import Runtime, Source
from ..check_indices.cuda import check_indices, kind_of_fault, plain

__all__ = ["SOURCE", "take_rows"]

SOURCE = Source(__file__, "kernel.cu")


def take_rows(runtime: Runtime, table: Any, indices: Any, *, wrap: bool = False, what: str = "take_rows") -> Any:
    """See :func:`.reference.take_rows`; an index out of range gives a row of zeros, and is raised at the next synchronisation."""
    rows, width, low = table.shape[0], tuple(table.shape[1:]), -table.shape[0] if wrap else 0
    if not table.flags.c_contiguous:   # a copy of all of it would cost more
        check_indices(runtime, indices, low=low, high=rows, what=what, axis=0, shape=(rows, *width))
        return table[indices]
    out = runtime.cupy.empty((*indices.shape, *width), table.dtype)
    if not indices.size:
        return out
    size = prod(width) * table.dtype.itemsize
    indices, suffix = plain(runtime, indices)
    runtime.function(SOURCE, f"take_rows_{suffix}")(
        runtime.grid(indices.size * -(-size // 16)), (256,),
        (out, table, indices, indices.size, size, rows, low, runtime.faults.pointer,
         kind_of_fault(low, what, 0, (rows, *width))))
    return out
