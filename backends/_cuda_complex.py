"""Complex numbers on CUDA: CuPy's functions, and what they leave open."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    cupy = backend.cupy

    def sign(x: Any) -> Any:
        if x.dtype.kind != "c":
            return cupy.sign(x)
        size = abs(x)   # CuPy 13's sign of a complex number is that of its real part
        return x / cupy.where(size == 0, size.dtype.type(1), size)

    def complex_(x: Any, y: Any) -> Any:
        out = cupy.empty(np.broadcast_shapes(x.shape, y.shape), np.result_type(x.dtype, y.dtype, np.complex64))
        out.real, out.imag = x, y   # x + 1j y would make nan of an infinite y
        return out

    def view_as_real(x: Any) -> Any:
        if x.flags.c_contiguous and x.ndim:
            return x.view(x.real.dtype).reshape(*x.shape, 2)
        return cupy.stack([x.real, x.imag], axis=-1)

    def view_as_complex(x: Any) -> Any:
        if x.flags.c_contiguous and x.ndim > 1:
            return x.view(np.result_type(x.dtype, np.complex64)).reshape(x.shape[:-1])
        return complex_(x[..., 0], x[..., 1])

    return {"sign": sign, "complex": complex_, "view_as_real": view_as_real, "view_as_complex": view_as_complex}
