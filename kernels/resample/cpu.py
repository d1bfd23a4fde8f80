"""Weighted sums along two axes at once for the CPU: a row of the result is first the weighted sum of rows, in a buffer that stays
in the nearest cache, and then summed along itself. A third axis is a pass of its own."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .._windows import back, identity, laid_out
from .reference import resample as reference

__all__ = ["resample"]

GRAIN = 200_000   # elements worth a thread: 100 us of work


@jit
def _row(x: Any, first: Any, index: Any, weight: Any, a: Any, row: Any) -> None:
    """row = the weighted sum of x's rows that element a looks at."""
    if first[a] == first[a + 1]:
        for b in range(row.size):
            row[b] = 0
        return
    source, w = x[index[first[a]]], weight[first[a]]
    for b in range(row.size):
        row[b] = w * source[b]
    for k in range(first[a] + 1, first[a + 1]):
        more, w = x[index[k]], weight[k]
        for b in range(row.size):
            row[b] += w * more[b]


@jit
def _line(row: Any, w: Any, first: Any, to: Any, step: Any, source: Any, stride: Any, n: Any) -> None:
    """to[first + step i] += w[i] row[source + stride i] for i < n."""
    to, row = to[first:], row[source:]
    if step == 1 and stride == 1:
        for i in range(n):
            to[i] += w[i] * row[i]
    elif step == 1 and stride == 2:
        for i in range(n):
            to[i] += w[i] * row[2 * i]
    elif step == 2 and stride == 1:
        for i in range(n):
            to[2 * i] += w[i] * row[i]
    else:
        for i in range(n):
            to[step * i] += w[i] * row[stride * i]


@jit(nogil=True)
def _planes(low: Any, high: Any, x: Any, fa: Any, ia: Any, wa: Any, fb: Any, ib: Any, wb: Any, lines: Any, wl: Any,
            out: Any) -> None:
    """x (n, A, B), out (n, OA, OB); for rows [low, high) of out."""
    T, OA, OB = x.dtype.type, out.shape[1], out.shape[2]
    row = np.empty(x.shape[2], x.dtype)
    for r in range(low, high):
        n, a = r // OA, r % OA
        _row(x[n], fa, ia, wa, a, row)
        to = out[n, a]
        if lines.shape[0]:
            for b in range(OB):
                to[b] = 0
            for k in range(lines.shape[0]):
                first, step, source, stride, length, begin = (lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3], lines[k, 4],
                                                              lines[k, 5])
                _line(row, wl[begin:begin + length], first, to, step, source, stride, length)
            continue
        for b in range(OB):
            total = T(0)
            for k in range(fb[b], fb[b + 1]):
                total += wb[k] * row[ib[k]]
            to[b] = total


@jit(nogil=True)
def _channels(low: Any, high: Any, x: Any, fa: Any, ia: Any, wa: Any, fb: Any, ib: Any, wb: Any, inner: Any, out: Any) -> None:
    """x (n, A, B inner), out (n, OA, OB inner); for rows [low, high) of out."""
    OA, OB = out.shape[1], out.shape[2] // inner
    row = np.empty(x.shape[2], x.dtype)
    for r in range(low, high):
        n, a = r // OA, r % OA
        _row(x[n], fa, ia, wa, a, row)
        for b in range(OB):
            to = out[n, a, b * inner:(b + 1) * inner]
            if fb[b] == fb[b + 1]:
                for c in range(inner):
                    to[c] = 0
                continue
            w, source = wb[fb[b]], row[ib[fb[b]] * inner:(ib[fb[b]] + 1) * inner]
            for c in range(inner):
                to[c] = w * source[c]
            for k in range(fb[b] + 1, fb[b + 1]):
                w, more = wb[k], row[ib[k] * inner:(ib[k] + 1) * inner]
                for c in range(inner):
                    to[c] += w * more[c]


def _pair(x: Any, a: Any, b: Any, inner: int) -> Any:
    """The two taps along x (n, A, B, inner)."""
    n, wide = x.shape[0], x.dtype.char == "d"
    out = np.empty((n, a.count, b.count, inner), x.dtype)
    wa, wb = (t.weight if wide else t.narrow for t in (a, b))
    lines, *wl = b.lines if inner == 1 else ((),) * 3
    if not out.size:
        return out
    grain = max(1, GRAIN // (x.shape[2] * inner + b.count * inner))
    if inner == 1:
        run(_planes, n * a.count, grain, x.reshape(x.shape[:3]), a.first, a.index, wa, b.first, b.index, wb, lines,
            wl[0 if wide else 1], out.reshape(out.shape[:3]))
    else:
        run(_channels, n * a.count, grain, x.reshape(n, x.shape[1], -1), a.first, a.index, wa, b.first, b.index, wb, inner,
            out.reshape(n, a.count, -1))
    return out


def resample(x: Any, *, taps: tuple[Any, ...]) -> Any:
    """See :func:`.reference.resample`; other dtypes than float32 and float64 are left to it. Channels last stay so."""
    axes = len(taps)
    if x.dtype.char not in "fd" or not x.size:
        return reference(np, x, taps=taps)
    data, last, outer, sizes, inner = laid_out(x, axes, np.ascontiguousarray)
    lead, dtype = data.shape[:-axes - last], x.dtype
    counts = tuple([n if t is None else t.count for n, t in zip(sizes, taps)])
    out = np.ascontiguousarray(data)
    for k, tap in enumerate(taps[:-2]):   # one by one
        if tap is not None:
            before, behind = prod(counts[:k]), prod(sizes[k + 1:]) * inner
            out = _pair(out.reshape(outer * before, sizes[k], 1, behind), tap, identity(1), behind)
    if axes == 1:
        out = _pair(out.reshape(outer, 1, sizes[0], inner), identity(1), taps[0] or identity(sizes[0]), inner)
    elif taps[-1] is None:   # rows as they are
        tap, wide = taps[-2] or identity(sizes[-2]), sizes[-1] * inner
        out = _pair(out.reshape(outer * prod(counts[:-2]), sizes[-2], 1, wide), tap, identity(1), wide)
    else:
        tap = taps[-2] or identity(sizes[-2])
        out = _pair(out.reshape(outer * prod(counts[:-2]), *sizes[-2:], inner), tap, taps[-1], inner)
    assert out.dtype == dtype
    return back(out.reshape(*lead, *counts, *[inner] * last), axes, last)
