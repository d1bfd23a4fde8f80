"""The gradient of max pooling on CUDA: a thread for each element (or 16 bytes of channels) asks the windows it is in, in order,
which makes the sum deterministic."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source, suffix
from .._windows import back, laid_out, same_layout, three, uploaded
from .reference import max_pool_grad as reference

__all__ = ["SOURCE", "max_pool_grad"]

SOURCE = Source(__file__, "kernel.cu")


def max_pool_grad(runtime: Runtime, g: Any, index: Any, *, windows: tuple[Any, ...]) -> Any:
    """See :func:`.reference.max_pool_grad`; float16, bfloat16, float32 and float64. Channels last stay so."""
    axes, kind = len(windows), suffix(g)
    if kind is None or axes > 3 or index.dtype.name != "int32":
        return reference(runtime.xp, g, index, windows=windows)
    places, last, _, _, inner = laid_out(index, axes, runtime.contiguous)
    g = same_layout(g, axes, last, runtime.contiguous)
    sizes = tuple([w.size for w in windows])
    shape = (*places.shape[:-axes - 1], *sizes, inner) if last else (*places.shape[:-axes], *sizes)
    out, all_three = runtime.cupy.empty(shape, g.dtype), three(windows)
    tables = [uploaded(runtime, w, "ranges", lambda w=w: w.ranges) for w in all_three]
    if not g.size:
        out.fill(0)
        return back(out, axes, last)
    runtime.function(SOURCE, f"max_pool_grad_{kind}")(runtime.grid(out.size, 256), (256,), (
        out, g, places, *tables, *[w.size for w in all_three], *[w.count for w in all_three], inner, out.size))
    return back(out, axes, last)
