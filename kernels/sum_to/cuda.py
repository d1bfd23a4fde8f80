"""Sums to a broadcast shape on CUDA: 16-byte reads, one launch where the axes to be summed are neighbours or enclose the others.

How the work is cut depends on the lengths alone, so that every GPU gives the same bits.
"""
from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from .._cuda import Runtime, Source, suffix
from .reference import steps
from .reference import sum_to as reference

__all__ = ["SOURCE", "sum_to"]

SOURCE = Source(__file__, "kernel.cu")
THREADS = 256
BLOCKS = 1024         # enough for any GPU
LEAST, MOST = 4, 64   # 16-byte reads of a thread: fewer are not worth a block, more in a row lose digits
TICKETS = 1 << 16
_tickets: WeakKeyDictionary[Runtime, dict[Any, Any]] = WeakKeyDictionary()


def sum_to(runtime: Runtime, x: Any, *, shape: tuple[int, ...]) -> Any:
    """See :func:`.reference.sum_to`; dtypes other than float16, bfloat16, float32 and float64 are left to it."""
    shape, kind = tuple(shape), suffix(x)
    plan = steps(tuple(x.shape), shape)
    if kind is None or not x.size or not plan:
        return reference(runtime.xp, x, shape=shape)
    out, between = runtime.contiguous(x), "float64" if kind == "f64" else "float32"
    for name, a, b, c in plan:
        out = (_columns if name == "columns" else _rows)(runtime, out, a, b, c, x.dtype if len(plan) == 1 else between)
    return out.astype(x.dtype, copy=False).reshape(shape)


def _columns(runtime: Runtime, x: Any, k: int, r: int, c: int, dtype: Any) -> Any:
    out, width = runtime.cupy.empty(k * c, dtype), 16 // x.dtype.itemsize
    across = _power(-(-c // width), 32)
    places = k * -(-c // (across * width))
    span = -(-r // _parts(places, r, THREADS // across))
    parts = -(-r // span)
    partial, tickets = _shared(runtime, x, places, parts, across * width)
    runtime.function(SOURCE, f"sum_to_columns_{suffix(x)}")(
        (places * parts,), (THREADS,), (out, x, r, c, across, span, parts, partial, tickets, int(out.dtype != x.dtype)))
    return out


def _rows(runtime: Runtime, x: Any, r: int, k: int, l: int, dtype: Any) -> Any:
    out, width = runtime.cupy.empty(k, dtype), 16 // x.dtype.itemsize
    whole = r > 1 or l > (8 if k >= BLOCKS else 2) * 32 * width
    lanes = _power(-(-l // width), THREADS if whole else 32)
    r_span, l_span, parts = r, l, 1
    if whole:
        parts = _parts(k, -(-r // (THREADS // lanes)) * -(-l // (lanes * width)), 1)
        r_span = -(-r // min(r, parts))
        l_parts = max(1, parts // -(-r // r_span))
        l_span = -(-l // (l_parts * lanes * width)) * lanes * width
        parts = -(-r // r_span) * -(-l // l_span)
    partial, tickets = _shared(runtime, x, k, parts, 1)
    blocks = k * parts if whole else -(-k // (THREADS // lanes))
    runtime.function(SOURCE, f"sum_to_rows_{suffix(x)}")(
        (blocks,), (THREADS,), (out, x, r, k, l, lanes, int(whole), r_span, l_span, partial, tickets, int(out.dtype != x.dtype)))
    return out


def _power(n: int, most: int) -> int:
    """The least power of two from n on, or ``most``."""
    return min(most, 1 << (n - 1).bit_length())


def _parts(places: int, rows: int, down: int) -> int:
    """Into how many parts the rows are cut of which a block adds ``down`` at a time."""
    reads = -(-rows // down)
    return max(min(-(-BLOCKS // places), -(-reads // LEAST)), -(-reads // MOST))


def _shared(runtime: Runtime, x: Any, places: int, parts: int, width: int) -> tuple[Any, Any]:
    """Room for the parts' sums, and a zero for each place; null where there is one part."""
    if parts == 1:
        return 0, 0
    dtype = "float64" if x.dtype.itemsize == 8 else "float32"
    return runtime.cupy.empty(places * parts * width, dtype), _zeros(runtime, places)


def _zeros(runtime: Runtime, n: int) -> Any:
    """Zeros that the kernel leaves as zeros: one array for all calls on a stream. What a graph captures gets its own."""
    stream = runtime.cupy.cuda.get_current_stream()
    if n > TICKETS or stream.is_capturing():
        return runtime.cupy.zeros(n, "uint32")
    kept, key = _tickets.setdefault(runtime, {}), (runtime.cupy.cuda.Device().id, stream.ptr)
    if key not in kept:
        kept[key] = runtime.cupy.zeros(TICKETS, "uint32")
    return kept[key]
