"""Batch norm's backward on CUDA: one launch where a block can have a channel for itself, else sums in parts and a second pass."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime
from ..channel_normalize.cuda import arranged
from ..row_normalize.cuda import sources, weighted
from .reference import channel_normalize_grad as reference

__all__ = ["SOURCES", "channel_normalize_grad"]

SOURCES = sources(__file__)


def channel_normalize_grad(runtime: Runtime, g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float,
                           center: bool = True) -> Any:
    """See :func:`.reference.channel_normalize_grad`; dtypes as the forward's; gx has x's, gw and gb that of mean and var."""
    kind, wide, c = weighted(x, w), "float64" if x.dtype.itemsize == 8 else "float32", x.shape[1]
    if kind is None or not x.size or g.dtype != x.dtype or not mean.dtype.name == var.dtype.name == wide:
        return reference(runtime.xp, g, x, w, mean, var, eps=eps, center=center)
    empty, eps, n, l = runtime.cupy.empty, float(eps), x.shape[0], x.size // (x.shape[0] * c)
    weight = 0 if w is None else runtime.contiguous(w)
    g, x, mean, var = (runtime.contiguous(a) for a in (g, x, mean, var))
    gx, gw, gb = empty(x.shape, x.dtype), empty(c, wide), empty(c, wide)
    way = arranged(runtime, n, c, l, x.dtype.itemsize)
    parts = 0 if way.fused else empty((way.parts, way.columns or c, 2), wide)
    arrays = (gx, gw, gb, parts, g, x, weight, mean, var)
    if way.columns:
        runtime.function(SOURCES[kind], f"channel_normalize_grad_rows_{kind}")(
            way.grid, (way.threads,), (*arrays, n, way.columns, l, way.size, int(way.fused), eps, int(center)))
    else:
        runtime.function(SOURCES[kind], f"channel_normalize_grad_planes_{kind}")(
            way.grid, (way.threads,), (*arrays, n, c, l, way.size, way.parts, eps, int(center)))
    if not way.fused:
        runtime.function(SOURCES[kind], f"channel_normalize_grad_join_{kind}")((-(-c // 4),), (128,), (
            gw, gb, parts, c, l if way.columns else 1, way.parts))
        runtime.function(SOURCES[kind], f"channel_normalize_grad_apply_{kind}")(
            runtime.grid(x.size, 256, 16 // x.dtype.itemsize), (256,),
            (gx, g, x, weight, mean, var, gw, gb, x.size, c, l, eps, int(center)))
    return (gx,) if w is None else (gx, gw, gb)
