"""The logistic function on CUDA: one read and one write, 16 bytes at a time."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source, suffix
from .reference import sigmoid as reference

__all__ = ["SOURCE", "sigmoid"]

SOURCE = Source(__file__, "kernel.cu")


def sigmoid(runtime: Runtime, x: Any) -> Any:
    """See :func:`.reference.sigmoid`; other dtypes than float16, bfloat16, float32 and float64 are left to it."""
    kind = suffix(x)
    if kind is None:
        return reference(runtime.xp, x)
    return runtime.elementwise(SOURCE, f"sigmoid_{kind}", runtime.cupy.empty(x.shape, x.dtype), (runtime.contiguous(x),))
