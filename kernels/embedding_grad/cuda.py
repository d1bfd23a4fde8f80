"""The gradient of a look-up table on CUDA, and sums over repeated indices of any kind: sorted, then summed run by run.

The sort is part of ``kernel.cu``: it need only look at as many bits as the number of rows has (two passes for a vocabulary of
50,000, where a sort of 64-bit keys takes eight), it can be captured into a graph, and it never waits for the device, as that of
CuPy 13 does.
"""
from __future__ import annotations

from math import prod
from typing import Any, NoReturn

from ...errors import OutOfRangeError
from .._cuda import Faults, Runtime, Source, suffix
from ..check_indices.cuda import plain

__all__ = ["SOURCE", "embedding_grad", "sum_by_row"]

SOURCE = Source(__file__, "kernel.cu")
THREADS, TILE, DIGITS, PIECE = 256, 4096, 256, 64   # as in kernel.cu
NARROW = (1 << 32) - 1                              # keys and places below it fit 32 bits
NO_PADDING = -(1 << 63)


def _out_of_range(index: int, place: int, rows: int) -> NoReturn:
    raise OutOfRangeError(f"embedding_grad: index {index} (number {place} of the indices) is out of range for {rows} rows; "
                          f"expected 0 <= index < {rows}")


KIND = Faults.kind(_out_of_range)


def embedding_grad(runtime: Runtime, g: Any, indices: Any, *, rows: int, padding_idx: int | None = None) -> Any:
    """See :func:`.reference.embedding_grad`.

    A row that up to 64 indices name is summed in their order, as on the CPU; one that more name in pieces of 64 (or of the power
    of two at the root of their number, if that is larger), whose sums are then added in order. Indices out of range are reported,
    and count for nothing.
    """
    return sum_by_row(runtime, g, indices, rows=rows, padding_idx=padding_idx, low=0, kind=KIND)


def sum_by_row(runtime: Runtime, g: Any, indices: Any, *, rows: int, low: int, kind: int, padding_idx: int | None = None) -> Any:
    """``out[indices[i]] += g[i]`` on zeros (rows, ...) for numbers of any dtype, as :func:`embedding_grad` describes.

    ``low``: 0, or -rows where negative indices count from the end. ``kind``: of the fault, ``error(index, place, rows)``.
    """
    width = tuple(g.shape[indices.ndim:])
    if g.dtype.kind == "c":   # two floats each
        part = g.dtype.char.lower()   # F -> f, D -> d
        pairs = runtime.contiguous(g).view({"f": "float32", "d": "float64"}[part]).reshape((*g.shape, 2))
        out = sum_by_row(runtime, pairs, indices, rows=rows, low=low, kind=kind, padding_idx=padding_idx)
        return out.view(g.dtype).reshape((rows, *width))
    if suffix(g) is None:
        return _summed(runtime, g.astype("int64"), indices, rows, width, low, kind, padding_idx, "i64").astype(g.dtype)
    return _summed(runtime, g, indices, rows, width, low, kind, padding_idx, str(suffix(g)))


def _summed(runtime: Runtime, g: Any, indices: Any, rows: int, width: tuple[int, ...], low: int, kind: int,
            padding_idx: int | None, dtype: str) -> Any:
    cupy, n, columns = runtime.cupy, indices.size, prod(width)
    out = cupy.zeros((rows, *width), g.dtype)
    if not n or not columns:
        return out
    g = runtime.contiguous(g)
    pieces = -(-n // PIECE) if n > PIECE else 0
    tickets = cupy.empty(pieces * columns, "uint32")
    partial = cupy.empty(2 * pieces * columns, {"f16": "float32", "bf16": "float32"}.get(dtype, g.dtype))
    keys, places, u = _sorted(runtime, indices, rows, low, NO_PADDING if padding_idx is None else padding_idx, tickets, kind)
    grid = min(-(-n * columns // (THREADS * (16 // g.dtype.itemsize))), (1 << 31) - 1)
    runtime.function(SOURCE, f"embedding_grad_sum_{u}_{dtype}")(
        (grid,), (THREADS,), (out, g, keys, places, n, columns, rows, partial, tickets))
    return out


def _sorted(runtime: Runtime, indices: Any, rows: int, low: int, padding: int, tickets: Any, kind: int) -> tuple[Any, Any, str]:
    """The rows that the indices name in order (``rows`` for those that count for nothing), and where they stood."""
    cupy, n = runtime.cupy, indices.size
    u, dtype = ("u32", "uint32") if max(n, rows) < NARROW else ("u64", "uint64")
    indices, index = plain(runtime, indices)
    keys = cupy.empty(n, dtype)
    runtime.function(SOURCE, f"embedding_grad_keys_{u}_{index}")(
        runtime.grid(n, THREADS), (THREADS,),
        (keys, indices, n, rows, low, padding, tickets, tickets.size, runtime.faults.pointer, kind))
    tiles = -(-n // TILE)
    counts, totals = (cupy.empty(DIGITS * tiles, dtype), cupy.empty(DIGITS, dtype)) if tiles > 1 else (0, 0)
    places: Any = 0
    for shift in range(0, rows.bit_length(), 8):
        if tiles > 1:
            runtime.function(SOURCE, f"embedding_grad_count_{u}")((tiles,), (THREADS,), (counts, keys, n, shift, tiles))
            runtime.function(SOURCE, f"embedding_grad_scan_{u}")((DIGITS,), (THREADS,), (counts, totals, tiles))
        moved = cupy.empty(n, dtype), cupy.empty(n, dtype)
        runtime.function(SOURCE, f"embedding_grad_move_{u}")(
            (tiles,), (THREADS,), (*moved, keys, places, n, shift, counts, totals, tiles))
        keys, places = moved
    return keys, places, u

