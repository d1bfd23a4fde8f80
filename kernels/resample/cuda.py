"""Weighted sums along up to three axes on CUDA: a thread for each element of the result (or 16 bytes of channels), which reads
its taps in order, so that gradients are sums without atomics."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source, suffix
from .._windows import back, identity, laid_out, uploaded
from .reference import resample as reference

__all__ = ["SOURCE", "resample"]

SOURCE = Source(__file__, "kernel.cu")


def resample(runtime: Runtime, x: Any, *, taps: tuple[Any, ...]) -> Any:
    """See :func:`.reference.resample`; float16, bfloat16, float32 and float64. Channels last stay so."""
    axes, kind = len(taps), suffix(x)
    if kind is None or axes > 3:
        return reference(runtime.xp, x, taps=taps)
    data, last, _, sizes, inner = laid_out(x, axes, runtime.contiguous)
    data = runtime.contiguous(data)
    if not last:
        while taps and taps[-1] is None:   # what lies behind the axes is as good as channels
            taps, inner = taps[:-1], inner * x.shape[x.ndim - axes + len(taps) - 1]
    counts = tuple([n if t is None else t.count for n, t in zip(sizes, taps)]) + sizes[len(taps):]
    shape = (*data.shape[:-axes - 1], *counts, inner) if last else (*x.shape[:-axes], *counts)
    out = runtime.cupy.empty(shape, x.dtype)
    if out.size:
        three = [*[identity(1)] * (3 - len(taps)), *[identity(n) if t is None else t for n, t in zip(sizes, taps)]]
        tables = [part for t in three for part in (
            uploaded(runtime, t, "first", lambda t=t: t.first), uploaded(runtime, t, "index", lambda t=t: t.index),
            uploaded(runtime, t, "weight", lambda t=t: t.weight))]
        runtime.function(SOURCE, f"resample_{kind}")(runtime.grid(out.size, 256), (256,), (
            out, data, *tables, *[t.size for t in three], *[t.count for t in three], inner, out.size))
    return back(out, axes, last)
