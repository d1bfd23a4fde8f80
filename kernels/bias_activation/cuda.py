"""A bias and an activation function on CUDA: one read and one write of 16 bytes at a time, whatever the length of the rows."""
from __future__ import annotations

from typing import Any

from .._cuda import Runtime, Source, suffix
from .reference import ACTIVATIONS, check
from .reference import bias_activation as reference

__all__ = ["SOURCES", "bias_activation"]

SOURCES = {name: Source(__file__, "kernel.cu", options=(f"-DACTIVATION=act_{name}",)) for name in ACTIVATIONS}


def bias_activation(runtime: Runtime, x: Any, b: Any = None, *, activation: str = "none") -> Any:
    """See :func:`.reference.bias_activation`; other dtypes than float16, bfloat16, float32 and float64 are left to it."""
    check("bias_activation", x, b, activation)
    kind = suffix(x) if b is None else suffix(x, b)
    if kind is None:
        return reference(runtime.xp, x, b, activation=activation)
    out, n = runtime.cupy.empty(x.shape, x.dtype), x.size
    if n:
        launch = runtime.function(SOURCES[activation], f"bias_activation_{kind}")
        bias, columns = (0, 1) if b is None else (runtime.contiguous(b), b.size)
        launch(runtime.grid(n, 256, 16 // x.dtype.itemsize), (256,), (out, runtime.contiguous(x), bias, n, columns))
    return out
