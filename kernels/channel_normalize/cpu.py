"""Batch norm's forward for the CPU.

Where a channel's elements lie together (images) each channel is done at once: its moments block by block, then the result. Where
they do not, rows are read as they lie, each column keeping its moments, and a second reading gives the result. Blocks' means and
squared deviations are combined as by Chan, Golub and LeVeque (1979), so that no large mean cancels.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._normalization import running_moments as reference_running_moments
from .._parallel import run
from .reference import channel_normalize as reference

__all__ = ["NARROW", "NONE", "PARTS", "channel_normalize", "columns_of", "running_moments"]

GRAIN = 400_000  # elements worth a thread: 80 us of work
NARROW = 16      # elements of a channel that lie together, from which on a channel is done at once
PARTS = 16       # ranges of rows, whatever the number of threads: the result does not depend on it
ROWS = 32        # of a block: 64 KiB where there are 512 columns of float32
NONE = {"f": np.empty(0, np.float32), "d": np.empty(0)}   # stands for a weight that is not there


@jit(nogil=True)
def _planes(low: Any, high: Any, x: Any, w: Any, b: Any, eps: Any, center: Any, out: Any, mean: Any, var: Any) -> None:
    T, n, m = x.dtype.type, x.shape[0], x.shape[2]
    for c in range(low, high):
        middle, total = T(0), T(0)
        for i in range(n):
            own, square = T(0), T(0)
            if center:
                for j in range(m):
                    own = add_any_order(own, x[i, c, j])
                own /= T(m)
            for j in range(m):
                square = add_any_order(square, (x[i, c, j] - own) * (x[i, c, j] - own))
            d = own - middle
            middle += d / T(i + 1)
            total += square + d * d * (T(i) * T(m) / T(i + 1))
        mean[c], var[c] = middle, total / (T(n) * T(m))
        scale, shift = T(1) / np.sqrt(var[c] + T(eps)), T(0)
        if w.size:
            scale *= w[c]
        if b.size:
            shift = b[c]
        for i in range(n):
            for j in range(m):
                out[i, c, j] = (x[i, c, j] - middle) * scale + shift


@jit(nogil=True)
def _moments(low: Any, high: Any, size: Any, x: Any, center: Any, parts: Any, work: Any) -> None:
    """The mean and the squared deviations of each column of x over the rows of parts [low, high), ``size`` rows a part."""
    T, n, m = x.dtype.type, x.shape[0], x.shape[1]
    for p in range(low, high):
        first, last = p * size, min((p + 1) * size, n)
        for top in range(first, last, ROWS):
            bottom = min(top + ROWS, last)
            fours = bottom - (bottom - top) % 4
            for j in range(m):
                work[p, 0, j], work[p, 1, j] = T(0), T(0)
            if center:
                for i in range(top, fours, 4):
                    for j in range(m):
                        work[p, 0, j] += (x[i, j] + x[i + 1, j]) + (x[i + 2, j] + x[i + 3, j])
                for i in range(fours, bottom):
                    for j in range(m):
                        work[p, 0, j] += x[i, j]
                for j in range(m):
                    work[p, 0, j] /= T(bottom - top)
            for i in range(top, fours, 4):
                for j in range(m):
                    middle = work[p, 0, j]
                    d0, d1, d2, d3 = x[i, j] - middle, x[i + 1, j] - middle, x[i + 2, j] - middle, x[i + 3, j] - middle
                    work[p, 1, j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            for i in range(fours, bottom):
                for j in range(m):
                    d = x[i, j] - work[p, 0, j]
                    work[p, 1, j] += d * d
            share = T(bottom - top) / T(bottom - first)
            between = T(top - first) * share
            for j in range(m):
                d = work[p, 0, j] - parts[p, 0, j]
                parts[p, 0, j] += d * share
                parts[p, 1, j] += work[p, 1, j] + d * d * between


@jit
def _join(n: Any, size: Any, width: Any, parts: Any, w: Any, b: Any, eps: Any, mean: Any, var: Any, lines: Any) -> None:
    """The moments of the channels, of ``width`` columns each, out of the parts; and by column mean, factor and summand."""
    T, columns = parts.dtype.type, parts.shape[2]
    middle, total, shift = lines[0], lines[1], lines[2]
    count = 0
    for p in range(parts.shape[0]):
        rows = min(size, n - p * size)
        share = T(rows) / T(count + rows)
        between = T(count) * share
        for j in range(columns):
            d = parts[p, 0, j] - middle[j]
            middle[j] += d * share
            total[j] += parts[p, 1, j] + d * d * between
        count += rows
    if width == 1:
        for c in range(columns):
            mean[c], var[c] = middle[c], total[c] / T(n)
            total[c] = T(1) / np.sqrt(var[c] + T(eps))
        if w.size:
            for c in range(columns):
                total[c] *= w[c]
        if b.size:
            for c in range(columns):
                shift[c] = b[c]
        return
    for c in range(mean.size):
        mean[c], var[c] = T(0), T(0)
        for j in range(c * width, (c + 1) * width):
            mean[c] += middle[j] / T(width)
        for j in range(c * width, (c + 1) * width):
            d = middle[j] - mean[c]
            var[c] += (total[j] / T(n) + d * d) / T(width)
        for j in range(c * width, (c + 1) * width):
            middle[j], total[j] = mean[c], T(1) / np.sqrt(var[c] + T(eps)) * (w[c] if w.size else T(1))
            if b.size:
                shift[j] = b[c]


@jit(nogil=True)
def _apply(low: Any, high: Any, x: Any, lines: Any, out: Any) -> None:
    middle, scale, shift = lines[0], lines[1], lines[2]
    for i in range(low, high):
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - middle[j]) * scale[j] + shift[j]


@jit
def _columns(size: Any, width: Any, count: Any, x: Any, w: Any, b: Any, eps: Any, center: Any, scratch: Any, stats: Any,
             out: Any) -> None:
    """All in one call, for the sizes where a call from Python costs as much as the work."""
    parts, work, lines = scratch[: 2 * count].reshape((count, 2, -1)), scratch[2 * count : 4 * count], scratch[4 * count :]
    _moments(0, count, size, x, center, parts, work.reshape((count, 2, -1)))
    _join(x.shape[0], size, width, parts, w, b, eps, stats[0], stats[1], lines)
    _apply(0, x.shape[0], x, lines, out)


def columns_of(x: Any) -> tuple[int, int, int]:
    """(columns of a channel, rows of a part, parts) for x (N, C, ...) read as a matrix of N rows."""
    n = x.shape[0]
    size = max(ROWS, -(-n // PARTS))
    return x.size // (n * x.shape[1]), size, -(-n // size)


def channel_normalize(x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.channel_normalize`; what is not all float32 or all float64, or empty, is left to it."""
    dtype = x.dtype
    if dtype.char not in "fd" or not x.size or (w is not None and w.dtype != dtype) or (b is not None and b.dtype != dtype):
        return reference(np, x, w, b, eps=eps, center=center)
    n, c = x.shape[:2]
    out, stats, (width, size, count) = np.empty(x.shape, dtype), np.empty((2, c), dtype), columns_of(x)
    result: Any = out
    w, b = (NONE[dtype.char] if a is None else np.ascontiguousarray(a) for a in (w, b))
    x, eps = np.ascontiguousarray(x), float(eps)
    if width >= NARROW:
        x, result = x.reshape(n, c, width), out.reshape(n, c, width)
        run(_planes, c, max(1, GRAIN // (n * width)), x, w, b, eps, center, result, stats[0], stats[1])
        return out, stats[0], stats[1]
    m = c * width
    if x.ndim != 2:
        x, result = x.reshape(n, m), out.reshape(n, m)
    scratch = np.zeros((4 * count + 3, m), dtype)
    if x.size < 2 * GRAIN:
        _columns(size, width, count, x, w, b, eps, center, scratch, stats, result)
    else:
        parts, work = (scratch[2 * count * k : 2 * count * (k + 1)].reshape(count, 2, m) for k in range(2))
        run(_moments, count, max(1, GRAIN // (size * m)), size, x, center, parts, work)
        _join(n, size, width, parts, w, b, eps, stats[0], stats[1], scratch[4 * count :])
        run(_apply, n, max(1, GRAIN // m), x, scratch[4 * count :], result)
    return out, stats[0], stats[1]


@jit
def _follow(mean: Any, var: Any, running_mean: Any, running_var: Any, counter: Any, momentum: Any, correction: Any) -> None:
    T = mean.dtype.type
    fraction = T(momentum)
    if momentum < 0:
        fraction = T(1) / T(1 + counter[()])
    for i in range(running_mean.size):
        running_mean[i] = running_mean[i] * (T(1) - fraction) + mean[i] * fraction
    for i in range(running_var.size):
        running_var[i] = running_var[i] * (T(1) - fraction) + var[i] * T(correction) * fraction
    counter[()] += 1


def running_moments(mean: Any, var: Any, running_mean: Any, running_var: Any, counter: Any, *, momentum: float | None,
                    correction: float) -> Any:
    """See :func:`~tensorlite.kernels._normalization.running_moments`; what is not all there and of one type is left to it."""
    if (counter is None or counter.dtype.char not in "lq" or mean.dtype.char not in "fd"
            or any(a is None or a.dtype != mean.dtype or not a.flags.c_contiguous for a in (running_mean, running_var))):
        options: dict[str, Any] = {"momentum": momentum, "correction": correction}
        return reference_running_moments(np, mean, var, running_mean, running_var, counter, **options)
    momentum = -1.0 if momentum is None else float(momentum)
    _follow(mean.reshape(-1), var.reshape(-1), running_mean, running_var, counter, momentum, float(correction))
    return mean
