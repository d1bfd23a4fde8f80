"""Layer norm's backward on CUDA: x and g are read once, gx is written once, and the gradients of weight and bias are summed on
the way: in registers over the rows of a block, then over the blocks, always in the same order."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime
from ..row_normalize.cuda import arrangement, sources, weighted
from .reference import row_normalize_grad as reference

__all__ = ["SOURCES", "row_normalize_grad"]

SOURCES = sources(__file__)
LONGEST = {2: 256 * 4, 4: 512 * 4, 8: 512 * 4}   # packs of 16 bytes in the registers of a block; longer rows are read twice
SLICE = 256 * 4     # packs a block takes of such a row


def row_normalize_grad(runtime: Runtime, g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.row_normalize_grad`; dtypes as in the forward. gx has x's dtype, gw and gb that of mean and var."""
    kind, wide = weighted(x, w), "float64" if x.dtype.itemsize == 8 else "float32"
    if kind is None or not x.size or g.dtype != x.dtype or not mean.dtype.name == var.dtype.name == wide:
        return reference(runtime.xp, g, x, w, mean, var, eps=eps, center=center)
    empty, m = runtime.cupy.empty, x.shape[-1]
    n, packs, eps = x.size // m, -(-m * x.dtype.itemsize // 16), float(eps)
    weight = 0 if w is None else runtime.contiguous(w)
    g, x, mean, var = (runtime.contiguous(a) for a in (g, x, mean, var))
    gx = empty(x.shape, x.dtype)
    parts: Any = 0
    each, group, columns, count = *arrangement(packs, 4), m, 0
    if packs > LONGEST[x.dtype.itemsize]:
        each, group, columns = 4, 256, SLICE * 16 // x.dtype.itemsize
        length = columns * -(-m // (columns * 256))
        count = -(-m // length)
        parts = empty((n, count, 2), wide)
        runtime.function(SOURCES[kind], f"row_normalize_grad_parts_{kind}")(
            (count, min(n, 65535)), (256,), (parts, g, x, weight, mean, var, n, m, length, eps))
    threads = group if group > 32 else 128
    slices, rows = -(-m // columns), threads // group
    # 16 rows for each (2, m) of partial sums, which are then a small part of what is moved; but no processor is to be idle
    wanted = max(-(-runtime.multiprocessors // slices), min(-(-n // 16), 4 * runtime.multiprocessors))
    blocks = min(-(-n // rows), wanted)
    sums = 0 if w is None else empty((blocks, 2, m), wide)
    runtime.function(SOURCES[kind], f"row_normalize_grad_{each}_{kind}")(
        (slices, blocks), (threads,),
        (gx, sums, g, x, weight, mean, var, parts, count, n, m, group, columns, eps, int(center)))
    if w is None:
        return (gx,)
    gw, gb = empty(w.shape, wide), empty(w.shape, wide)
    runtime.function(SOURCES[kind], f"row_normalize_grad_sums_{kind}")((-(-2 * m // 32),), (256,), (gw, gb, sums, blocks, m))
    return gx, gw, gb
