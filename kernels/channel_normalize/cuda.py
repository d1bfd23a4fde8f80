"""Batch norm's forward on CUDA: one launch where a block can have a channel for itself, else moments in parts and a second pass.

Where a channel's elements lie together (images), blocks read planes of them; where they do not, whole rows, so that accesses are
of 128 neighbouring bytes in either case.
"""
from __future__ import annotations

from typing import Any, NamedTuple

from .._cuda import Runtime, suffix
from .._normalization import running_moments as reference_running_moments
from ..row_normalize.cuda import sources, weighted
from .reference import channel_normalize as reference

__all__ = ["SOURCES", "Arrangement", "arranged", "channel_normalize", "running_moments"]

SOURCES = sources(__file__)
NARROW = 32    # elements of a channel that lie together, from which on planes are read


class Arrangement(NamedTuple):
    """How blocks of ``threads`` share an array (n, c, l): ``parts`` of ``size`` out of ``total`` rows of ``columns``, or,
    where that is 0, elements of a channel's planes."""

    columns: int
    size: int
    total: int
    parts: int
    threads: int
    grid: tuple[int, ...]

    channels: int

    @property
    def fused(self) -> bool:
        """Whether a channel is one block's, so that one launch does all."""
        return self.parts == 1 and self.columns in (0, self.channels)


def arranged(runtime: Runtime, n: int, c: int, l: int, itemsize: int) -> Arrangement:
    """One part where the array is small or channels are many: then a launch does it all, unless a channel is several columns."""
    width, blocks = 16 // itemsize, 8 * runtime.multiprocessors
    if l >= NARROW:
        total = n * l
        count = 1 if 4 * c >= blocks else max(1, min(total // (4096 * width), -(-blocks // c)))
        size = -(-total // (count * width)) * width
        count = -(-total // size)
        return Arrangement(0, size, total, count, 256 if size >= 1024 * width else 128, (c * count,), c)
    columns = c * l
    tiles = -(-columns // (8 * width))
    count = 1 if n <= 4096 or 4 * tiles >= blocks else min(n // 512, -(-blocks // tiles))
    size = -(-n // count)
    count = -(-n // size)
    threads = 8 * min(64 if count == 1 else 32, max(4, 1 << (-(-size // 4) - 1).bit_length()))
    return Arrangement(columns, size, n, count, threads, (tiles, count), c)


def channel_normalize(runtime: Runtime, x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.channel_normalize`; float16, bfloat16, float32 and float64, with weights of that type or, for the
    16-bit ones, of float32; other dtypes are left to it."""
    kind, c = weighted(x, w, b), x.shape[1]
    if kind is None or not x.size:
        return reference(runtime.xp, x, w, b, eps=eps, center=center)
    empty, wide, eps = runtime.cupy.empty, "float64" if kind == "f64" else "float32", float(eps)
    n, l = x.shape[0], x.size // (x.shape[0] * c)
    x, w, b = (0 if a is None else runtime.contiguous(a) for a in (x, w, b))
    out, mean, var = empty(x.shape, x.dtype), empty(c, wide), empty(c, wide)
    way = arranged(runtime, n, c, l, x.dtype.itemsize)
    parts = 0 if way.fused else empty((way.parts, way.columns or c, 2), wide)
    arrays = (out, mean, var, parts, x, w, b)
    if way.columns:
        runtime.function(SOURCES[kind], f"channel_normalize_rows_{kind}")(
            way.grid, (way.threads,), (*arrays, n, way.columns, way.size, int(way.fused), eps, int(center)))
    else:
        runtime.function(SOURCES[kind], f"channel_normalize_planes_{kind}")(
            way.grid, (way.threads,), (*arrays, n, c, l, way.size, way.parts, eps, int(center)))
    if not way.fused:
        runtime.function(SOURCES[kind], f"channel_normalize_join_{kind}")((-(-c // 4),), (128,), (
            mean, var, parts, c, l if way.columns else 1, way.size, way.total, way.parts, int(center)))
        grid = runtime.grid(x.size, 256, 16 // x.dtype.itemsize)
        runtime.function(SOURCES[kind], f"channel_normalize_apply_{kind}")(
            grid, (256,), (out, x, w, b, mean, var, x.size, c, l, eps))
    return out, mean, var


def running_moments(runtime: Runtime, mean: Any, var: Any, running_mean: Any, running_var: Any, counter: Any, *,
                    momentum: float | None, correction: float) -> Any:
    """See :func:`~tensorlite.kernels._normalization.running_moments`: one small launch instead of eight, and no wait."""
    held = [a for a in (running_mean, running_var) if a is not None]
    kind = suffix(*held) if held else None
    wide = "float64" if kind == "f64" else "float32"
    arrays = held if counter is None else [*held, counter]
    if (kind is None or not mean.dtype.name == var.dtype.name == wide or not all(a.flags.c_contiguous for a in arrays)
            or (counter is not None and counter.dtype.name != "int64")):
        return reference_running_moments(runtime.xp, mean, var, running_mean, running_var, counter, momentum=momentum,
                                         correction=correction)
    runtime.function(SOURCES[kind], f"running_moments_{kind}")((1,), (256,), (
        *(0 if a is None else a for a in (running_mean, running_var, counter)), runtime.contiguous(mean), runtime.contiguous(var),
        mean.size, -1.0 if momentum is None else float(momentum), float(correction)))
    return mean
