"""Max pooling's forward for the CPU.

Windows that slide over rows are gone through member by member, for all windows of a row at once: what a member adds is a
comparison and two selections, which compile to vector code without a branch (on random numbers a branch is mispredicted every
other time). Where channels lie together in memory, a window's members are compared for all channels at once.
"""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .._windows import back, laid_out, three
from .reference import max_pool as reference

__all__ = ["max_pool"]

GRAIN = 100_000   # comparisons worth a thread: 100 us of work


@jit(nogil=True)
def _slide(low: Any, high: Any, x: Any, d0: Any, dn: Any, dstep: Any, h0: Any, hn: Any, hstep: Any, w0: Any, kernel: Any,
           stride: Any, padding: Any, step: Any, out: Any, index: Any) -> None:
    """x (n, D, H, W), out (n, OD, OH, OW); for rows [low, high) of out. While members are compared, ``index`` is the place in the
    window, which is the same for all windows of a row: its choice costs no arithmetic."""
    T, I = x.dtype.type, index.dtype.type
    OD, OH, OW = out.shape[1], out.shape[2], out.shape[3]
    H, W = x.shape[2], x.shape[3]
    for r in range(low, high):
        n, oh = r // (OD * OH), r % OH
        od = r // OH % OD
        best, where = out[n, od, oh], index[n, od, oh]
        for o in range(OW):
            best[o], where[o] = T(-np.inf), I(w0[o] - o * stride + padding)
        for a in range(dn[od]):
            for b in range(hn[oh]):
                row = x[n, d0[od] + a * dstep, h0[oh] + b * hstep]
                for j in range(kernel):
                    shift, place = j * step - padding, I((a * dstep * H + b * hstep) * W + j * step)
                    first, last = max(0, -(shift // stride)), min(OW, (W - 1 - shift) // stride + 1)
                    if first >= last:
                        continue
                    to, at, values = best[first:last], where[first:last], row[first * stride + shift:]
                    if stride == 2:
                        for o in range(to.size):
                            v, old = values[2 * o], to[o]
                            better = (v > old) | (v != v)
                            to[o] = v if better else old
                            at[o] = place if better else at[o]
                    elif stride == 1:
                        for o in range(to.size):
                            v, old = values[o], to[o]
                            better = (v > old) | (v != v)
                            to[o] = v if better else old
                            at[o] = place if better else at[o]
                    else:
                        for o in range(to.size):
                            v, old = values[stride * o], to[o]
                            better = (v > old) | (v != v)
                            to[o] = v if better else old
                            at[o] = place if better else at[o]
        base = (d0[od] * H + h0[oh]) * W - padding
        for o in range(OW):
            where[o] += I(base + o * stride)


@jit(nogil=True)
def _halves(low: Any, high: Any, x: Any, out: Any, index: Any) -> None:
    """The same for the windows that are most frequent, 2 x 2 without padding: a quarter of the time, in registers."""
    OH, OW, W = out.shape[1], out.shape[2], x.shape[2]
    for r in range(low, high):
        n, oh = r // OH, r % OH
        for ow in range(OW):
            h, w = 2 * oh, 2 * ow
            best, where = x[n, h, w], 0
            v = x[n, h, w + 1]
            better = (v > best) | (v != v)
            best, where = v if better else best, 1 if better else where
            v = x[n, h + 1, w]
            better = (v > best) | (v != v)
            best, where = v if better else best, W if better else where
            v = x[n, h + 1, w + 1]
            better = (v > best) | (v != v)
            best, where = v if better else best, W + 1 if better else where
            out[n, oh, ow], index[n, oh, ow] = best, where + h * W + w


@jit(nogil=True)
def _channels(low: Any, high: Any, x: Any, d0: Any, dn: Any, dstep: Any, h0: Any, hn: Any, hstep: Any, w0: Any, wn: Any,
              wstep: Any, out: Any, index: Any) -> None:
    """x (n, D, H, W, C), out (n, OD, OH, OW, C); for rows [low, high) of out."""
    I = index.dtype.type
    OD, OH, OW, C = out.shape[1], out.shape[2], out.shape[3], out.shape[4]
    H, W = x.shape[2], x.shape[3]
    for r in range(low, high):
        n, oh = r // (OD * OH), r % OH
        od = r // OH % OD
        for ow in range(OW):
            best, where = out[n, od, oh, ow], index[n, od, oh, ow]
            fresh = True
            for a in range(dn[od]):
                for b in range(hn[oh]):
                    d, h = d0[od] + a * dstep, h0[oh] + b * hstep
                    for j in range(wn[ow]):
                        w = w0[ow] + j * wstep
                        values, place = x[n, d, h, w], I((d * H + h) * W + w)
                        if fresh:
                            for c in range(C):
                                best[c], where[c] = values[c], place
                            fresh = False
                            continue
                        for c in range(C):
                            v, old = values[c], best[c]
                            better = (v > old) | (v != v)
                            best[c] = v if better else old
                            where[c] = place if better else where[c]


def max_pool(x: Any, *, windows: tuple[Any, ...]) -> Any:
    """See :func:`.reference.max_pool`; other dtypes than float32 and float64 are left to it, and longer axes than int32 counts.
    Channels last stay so."""
    axes = len(windows)
    if x.dtype.char not in "fd" or axes > 3 or not x.size or prod(x.shape[-axes:]) >= 2**31:
        return reference(np, x, windows=windows)
    data, last, outer, sizes, inner = laid_out(x, axes, np.ascontiguousarray)
    counts = tuple([w.count for w in windows])
    shape = (*data.shape[:-axes - 1], *counts, inner) if last else (*x.shape[:-axes], *counts)
    out, index = np.empty(shape, x.dtype), np.empty(shape, np.int32)
    if out.size:
        missing = 3 - axes
        d, h, w = three(windows)
        sizes, counts = (*[1] * missing, *sizes), (*[1] * missing, *counts)
        axes_of = d.starts, d.lengths, d.step, h.starts, h.lengths, h.step
        rows = outer * d.count * h.count
        grain = max(1, GRAIN * rows // (out.size * d.longest * h.longest * w.longest))
        if w.regular is None or last:
            run(_channels, rows, grain, data.reshape(outer, *sizes, inner), *axes_of, w.starts, w.lengths, w.step,
                out.reshape(outer, *counts, inner), index.reshape(outer, *counts, inner))
        elif d.size == 1 and h.regular == w.regular == (2, 2, 0) and h.step == w.step == 1 and (
                h.shortest == w.shortest == 2):
            run(_halves, rows, grain, data.reshape(outer, *sizes[1:]), out.reshape(outer, *counts[1:]),
                index.reshape(outer, *counts[1:]))
        else:
            run(_slide, rows, grain, data.reshape(outer, *sizes), *axes_of, w.starts, *w.regular, w.step,
                out.reshape(outer, *counts), index.reshape(outer, *counts))
    return back(out, axes, last), back(index, axes, last)
