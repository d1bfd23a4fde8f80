"""The gradient of max(x, 0) on CUDA: two reads and one write, 16 bytes at a time."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source, suffix
from .reference import relu_backward as reference

__all__ = ["SOURCE", "relu_backward"]

SOURCE = Source(__file__, "kernel.cu")


def relu_backward(runtime: Runtime, g: Any, out: Any) -> Any:
    """See :func:`.reference.relu_backward`; other dtypes than float16, bfloat16, float32 and float64 are left to it."""
    kind = suffix(g, out)
    if kind is None or g.shape != out.shape:
        return reference(runtime.xp, g, out)
    g, out = runtime.contiguous(g), runtime.contiguous(out)
    return runtime.elementwise(SOURCE, f"relu_backward_{kind}", runtime.cupy.empty(out.shape, out.dtype), (g, out))
