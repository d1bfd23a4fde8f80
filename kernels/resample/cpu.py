"""Weighted sums along two axes at once for the CPU, element by element, or for all channels where these lie together. A third
axis is a pass of its own.

Rows of images are short: 14 windows are half of what a loop of vector code takes at a time, so that sums of whole rows in a
buffer took three times as long.
"""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .._windows import back, identity, laid_out
from .reference import resample as reference

__all__ = ["resample"]

GRAIN = 60_000   # taps worth a thread: 100 us of work


@jit(nogil=True)
def _planes(low: Any, high: Any, x: Any, fa: Any, ia: Any, wa: Any, fb: Any, ib: Any, wb: Any, single: Any, out: Any) -> None:
    """x (n, A, B), out (n, OA, OB); for rows [low, high) of out. ``single``: one tap for each element. Indices are unsigned: none
    counts from the end, which Numba would look at for each of them (2.6 ms instead of 5.2 for a mean of 2 x 2)."""
    T, OA, OB = x.dtype.type, out.shape[1], out.shape[2]
    one, two = np.uint64(1), np.uint64(2)
    for r in range(low, high):
        n, a = r // OA, r % OA
        if single:
            i, w = ia[a], wa[a]
            for b in range(OB):
                out[n, a, b] = w * wb[b] * x[n, i, ib[b]]
            continue
        for b in range(OB):
            out[n, a, b] = 0
        for k in range(fa[a], fa[a + 1]):
            i, w = ia[k], wa[k]
            for b in range(OB):
                j = fb[b]
                count = fb[b + 1] - j
                if count == one:   # a loop costs more than what is in it
                    out[n, a, b] += w * (wb[j] * x[n, i, ib[j]])
                elif count == two:
                    out[n, a, b] += w * (wb[j] * x[n, i, ib[j]] + wb[j + one] * x[n, i, ib[j + one]])
                else:
                    total = T(0)
                    for m in range(j, fb[b + 1]):
                        total += wb[m] * x[n, i, ib[m]]
                    out[n, a, b] += w * total


@jit(nogil=True)
def _channels(low: Any, high: Any, x: Any, fa: Any, ia: Any, wa: Any, fb: Any, ib: Any, wb: Any, out: Any) -> None:
    """x (n, A, B, inner), out (n, OA, OB, inner); for rows [low, high) of out."""
    OA, OB, inner = out.shape[1], out.shape[2], out.shape[3]
    for r in range(low, high):
        n, a = r // OA, r % OA
        for b in range(OB):
            fresh = True
            for k in range(fa[a], fa[a + 1]):
                for j in range(fb[b], fb[b + 1]):
                    i, l, w = ia[k], ib[j], wa[k] * wb[j]
                    if fresh:
                        for c in range(inner):
                            out[n, a, b, c] = w * x[n, i, l, c]
                        fresh = False
                    else:
                        for c in range(inner):
                            out[n, a, b, c] += w * x[n, i, l, c]
            if fresh:
                for c in range(inner):
                    out[n, a, b, c] = 0


def _pair(x: Any, a: Any, b: Any, inner: int) -> Any:
    """The two taps along x (n, A, B, inner)."""
    n, wide = x.shape[0], x.dtype.char == "d"
    out = np.empty((n, a.count, b.count, inner), x.dtype)
    if not out.size:
        return out
    wa, wb = (t.weight if wide else t.narrow for t in (a, b))
    rows = n * a.count
    work = max(out.size, n * inner * len(a.index) * len(b.index))
    args = a.first, a.index, wa, b.first, b.index, wb
    if inner == 1:
        run(_planes, rows, max(1, GRAIN * rows // work), x.reshape(x.shape[:3]), *args, a.single and b.single,
            out.reshape(out.shape[:3]))
    else:
        run(_channels, rows, max(1, 4 * GRAIN * rows // work), x, *args, out)
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
