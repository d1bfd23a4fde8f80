"""Batch norm's backward for the CPU: the sums of a channel, then the gradient; see the forward for how memory is walked."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import add_any_order, jit
from .._parallel import run
from ..channel_normalize.cpu import NARROW, NONE, columns_of
from .reference import channel_normalize_grad as reference

__all__ = ["channel_normalize_grad"]

GRAIN = 300_000  # elements worth a thread: 80 us of work
ROWS = 32        # summed on their own first, so that many rows lose no digits


@jit(nogil=True)
def _planes(low: Any, high: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: Any, center: Any, out: Any, gw: Any,
            gb: Any) -> None:
    T, n, m = x.dtype.type, x.shape[0], x.shape[2]
    count = T(n) * T(m)
    for c in range(low, high):
        middle, r = mean[c], T(1) / np.sqrt(var[c] + T(eps))
        one, two = T(0), T(0)
        for i in range(n):
            own, other = T(0), T(0)
            for j in range(m):
                own = add_any_order(own, g[i, c, j])
                other = add_any_order(other, g[i, c, j] * (x[i, c, j] - middle))
            one, two = one + own, two + other
        two *= r
        gw[c], gb[c] = two, one
        one, two = one / count if center else T(0), two / count * r
        scale = r * w[c] if w.size else r
        for i in range(n):
            for j in range(m):
                out[i, c, j] = (g[i, c, j] - one - (x[i, c, j] - middle) * two) * scale


@jit
def _spread(a: Any, width: Any, line: Any) -> None:
    for j in range(line.size):
        line[j] = a[j // width]


@jit(nogil=True)
def _sums(low: Any, high: Any, size: Any, g: Any, x: Any, middle: Any, parts: Any, work: Any) -> None:
    """The sums over the rows of parts [low, high) of g (x - mean) and of g, by column."""
    T, n, m = x.dtype.type, x.shape[0], x.shape[1]
    for p in range(low, high):
        last = min((p + 1) * size, n)
        for top in range(p * size, last, ROWS):
            bottom = min(top + ROWS, last)
            pairs = bottom - (bottom - top) % 2
            for j in range(m):
                work[p, 0, j], work[p, 1, j] = T(0), T(0)
            for i in range(top, pairs, 2):
                for j in range(m):
                    work[p, 0, j] += g[i, j] * (x[i, j] - middle[j]) + g[i + 1, j] * (x[i + 1, j] - middle[j])
                    work[p, 1, j] += g[i, j] + g[i + 1, j]
            for i in range(pairs, bottom):
                for j in range(m):
                    work[p, 0, j] += g[i, j] * (x[i, j] - middle[j])
                    work[p, 1, j] += g[i, j]
            for j in range(m):
                parts[p, 0, j] += work[p, 0, j]
                parts[p, 1, j] += work[p, 1, j]


@jit
def _join(n: Any, width: Any, parts: Any, w: Any, var: Any, eps: Any, center: Any, gw: Any, gb: Any, lines: Any) -> None:
    """The channels' sums, and what the gradient takes of each column."""
    T, columns = parts.dtype.type, parts.shape[2]
    one, two, scale = lines[1], lines[2], lines[3]
    count, centered = T(n) * T(width), T(1) if center else T(0)
    for p in range(parts.shape[0]):
        for j in range(columns):
            one[j] += parts[p, 1, j]
            two[j] += parts[p, 0, j]
    for c in range(var.size):
        gb[c], gw[c] = one[c * width], two[c * width]
        for j in range(c * width + 1, (c + 1) * width):
            gb[c], gw[c] = gb[c] + one[j], gw[c] + two[j]
    for c in range(var.size):
        gw[c] *= T(1) / np.sqrt(var[c] + T(eps))
    for j in range(columns):
        c = j // width if width > 1 else j
        r = T(1) / np.sqrt(var[c] + T(eps))
        one[j] = gb[c] / count * centered
        two[j] = gw[c] / count * r
        scale[j] = r * w[c] if w.size else r


@jit(nogil=True)
def _apply(low: Any, high: Any, g: Any, x: Any, lines: Any, out: Any) -> None:
    middle, one, two, scale = lines[0], lines[1], lines[2], lines[3]
    for i in range(low, high):
        for j in range(x.shape[1]):
            out[i, j] = (g[i, j] - one[j] - (x[i, j] - middle[j]) * two[j]) * scale[j]


@jit
def _columns(size: Any, width: Any, count: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: Any, center: Any, scratch: Any,
             gw: Any, gb: Any, out: Any) -> None:
    """All in one call, for the sizes where a call from Python costs as much as the work."""
    parts, work, lines = scratch[: 2 * count].reshape((count, 2, -1)), scratch[2 * count : 4 * count], scratch[4 * count :]
    _spread(mean, width, lines[0])
    _sums(0, count, size, g, x, lines[0], parts, work.reshape((count, 2, -1)))
    _join(x.shape[0], width, parts, w, var, eps, center, gw, gb, lines)
    _apply(0, x.shape[0], g, x, lines, out)


def channel_normalize_grad(g: Any, x: Any, w: Any, mean: Any, var: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.channel_normalize_grad`; what is not all float32 or all float64, or empty, is left to it."""
    dtype = x.dtype
    if dtype.char not in "fd" or not x.size or any(a is not None and a.dtype != dtype for a in (g, w, mean, var)):
        return reference(np, g, x, w, mean, var, eps=eps, center=center)
    n, c = x.shape[:2]
    out, gw, gb, (width, size, count) = np.empty(x.shape, dtype), np.empty(c, dtype), np.empty(c, dtype), columns_of(x)
    weight = NONE[dtype.char] if w is None else np.ascontiguousarray(w)
    g, x, eps, result = np.ascontiguousarray(g), np.ascontiguousarray(x), float(eps), out
    if width >= NARROW:
        g, x, result = (a.reshape(n, c, width) for a in (g, x, out))
        run(_planes, c, max(1, GRAIN // (n * width)), g, x, weight, mean, var, eps, center, result, gw, gb)
    else:
        m = c * width
        if x.ndim != 2:
            g, x, result = (a.reshape(n, m) for a in (g, x, out))
        scratch = np.zeros((4 * count + 4, m), dtype)
        if x.size < 2 * GRAIN:
            _columns(size, width, count, g, x, weight, mean, var, eps, center, scratch, gw, gb, result)
        else:
            parts, work = (scratch[2 * count * k : 2 * count * (k + 1)].reshape(count, 2, m) for k in range(2))
            lines = scratch[4 * count :]
            _spread(mean, width, lines[0])
            run(_sums, count, max(1, GRAIN // (size * m)), size, g, x, lines[0], parts, work)
            _join(n, width, parts, weight, var, eps, center, gw, gb, lines)
            run(_apply, n, max(1, GRAIN // m), g, x, lines, result)
    return (out,) if w is None else (out, gw, gb)
