"""The gradient of the logistic function with Numba-CUDA: four independent elements a turn, 4 or 8 bytes an access."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda import Runtime, suffix
from .._numba_cuda import NumbaKernel, cuda, function
from .reference import sigmoid_backward as reference

__all__ = ["KERNELS", "sigmoid_backward"]


def _kernel(name: str, dtype: Any) -> NumbaKernel:
    one = dtype(1)   # a literal 1 would make it float64 arithmetic

    def sigmoid_backward(dx: Any, g: Any, y: Any, n: Any) -> None:
        i, step = cuda.grid(1), cuda.gridsize(1)
        while i + 3 * step < n:
            j, k, m = i + step, i + 2 * step, i + 3 * step
            a, b, c, d = y[i], y[j], y[k], y[m]
            e, f, h, p = g[i], g[j], g[k], g[m]
            dx[i] = e * a * (one - a)
            dx[j] = f * b * (one - b)
            dx[k] = h * c * (one - c)
            dx[m] = p * d * (one - d)
            i += 4 * step
        while i < n:
            dx[i] = g[i] * y[i] * (one - y[i])
            i += step

    return NumbaKernel(sigmoid_backward, f"sigmoid_backward_numba_{name}", f"{name}* {name}* {name}* i64")


KERNELS = {"f32": _kernel("f32", np.float32), "f64": _kernel("f64", np.float64)}


def sigmoid_backward(runtime: Runtime, g: Any, out: Any) -> Any:
    """See :func:`.reference.sigmoid_backward`; dtypes other than float32 and float64 are left to it."""
    kernel = KERNELS.get(suffix(g, out) or "")
    if kernel is None or g.shape != out.shape:
        return reference(runtime.xp, g, out)
    result, n = runtime.cupy.empty(out.shape, out.dtype), out.size
    if n:
        function(runtime, kernel)(runtime.grid(n, 256, 4), (256,), (result, runtime.contiguous(g), runtime.contiguous(out), n))
    return result
