"""Rows written where indices say, on CUDA, where several threads write to one row at once unless it is decided which may."""
from __future__ import annotations

from math import prod
from typing import Any

from .._cuda import Runtime, Source
from ..check_indices.cuda import kind_of_fault, plain

__all__ = ["SOURCE", "put_rows", "winners", "write_rows"]

SOURCE = Source(__file__, "kernel.cu")


def put_rows(runtime: Runtime, x: Any, v: Any, indices: Any, *, wrap: bool = False, what: str = "put_rows") -> Any:
    """See :func:`.reference.put_rows`; an index out of range writes nothing, and is raised at the next synchronisation."""
    out = x.copy(order="C")
    write_rows(runtime, out, v, indices, wrap=wrap, what=what)
    return out


def write_rows(runtime: Runtime, out: Any, v: Any, indices: Any, *, wrap: bool = False, what: str = "put_rows") -> None:
    """The same in place: ``out`` is contiguous, ``v`` is (k, ...) of its dtype for (k,) indices."""
    if not indices.size:
        return
    rows, width = out.shape[0], prod(out.shape[1:]) * out.dtype.itemsize
    low, last, indices, suffix = _last(runtime, indices, rows, wrap, what, tuple(out.shape))
    runtime.function(SOURCE, f"put_rows_write_{suffix}")(
        runtime.grid(indices.size * -(-width // 16)), (256,),
        (out, runtime.contiguous(v), last, indices, indices.size, width, rows, low))


def winners(runtime: Runtime, indices: Any, *, rows: int, wrap: bool = False, what: str = "put_rows") -> Any:
    """Which of the values stay: true where no later index names the same row."""
    out = runtime.cupy.empty(indices.shape, "bool")
    if indices.size:
        low, last, indices, suffix = _last(runtime, indices, rows, wrap, what, (rows,))
        runtime.function(SOURCE, f"put_rows_winners_{suffix}")(
            runtime.grid(indices.size), (256,), (out, last, indices, indices.size, rows, low))
    return out


def _last(runtime: Runtime, indices: Any, rows: int, wrap: bool, what: str, shape: tuple[int, ...]) -> tuple[int, Any, Any, str]:
    low, last = -rows if wrap else 0, runtime.cupy.zeros(rows, "uint64")
    indices, suffix = plain(runtime, indices)
    runtime.function(SOURCE, f"put_rows_last_{suffix}")(
        runtime.grid(indices.size), (256,),
        (last, indices, indices.size, rows, low, runtime.faults.pointer, kind_of_fault(low, what, 0, shape)))
    return low, last, indices, suffix
