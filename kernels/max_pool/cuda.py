"""Max pooling's forward on CUDA: a thread for each window, or for as many channels of one as 16 bytes hold."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._cuda import Runtime, Source, suffix
from .._windows import back, laid_out, three, uploaded
from .reference import max_pool as reference

__all__ = ["SOURCE", "max_pool"]

SOURCE = Source(__file__, "kernel.cu")


def max_pool(runtime: Runtime, x: Any, *, windows: tuple[Any, ...]) -> Any:
    """See :func:`.reference.max_pool`; float16, bfloat16, float32 and float64. Channels last stay so."""
    axes, kind = len(windows), suffix(x)
    if kind is None or axes > 3 or prod(x.shape[-axes:]) >= 2**31:
        return reference(runtime.xp, x, windows=windows)
    data, last, _, _, inner = laid_out(x, axes, runtime.contiguous)
    counts = tuple([w.count for w in windows])
    shape = (*data.shape[:-axes - 1], *counts, inner) if last else (*x.shape[:-axes], *counts)
    out, index = runtime.cupy.empty(shape, x.dtype), runtime.cupy.empty(shape, "int32")
    if out.size:
        all_three = three(windows)
        tables = [uploaded(runtime, w, "windows", lambda w=w: np.stack([w.starts, w.lengths])) for w in all_three]
        runtime.function(SOURCE, f"max_pool_{kind}")(runtime.grid(out.size, 256), (256,), (
            out, index, data, *tables, *[w.step for w in all_three], *[w.size for w in all_three],
            *[w.count for w in all_three], inner, out.size))
    return back(out, axes, last), back(index, axes, last)
