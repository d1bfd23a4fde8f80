"""Convolution on the CPU: the compiled kernels; without Numba, columns and BLAS."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends._columns import Columns
from tensorlite.backends._numpy_contraction import matmul

BLOCK = 4 << 20   # bytes of windows: they stay in the last-level cache until the product has read them

columns = Columns(np, np, matmul, BLOCK, ("float32", "float64", "complex64", "complex128"))


def _run(name: str) -> Any:
    def run(*arrays: Any, **options: Any) -> Any:
        compiled = kernels.load(name).cpu if arrays[0].dtype.kind != "c" else None
        return getattr(columns, name)(*arrays, **options) if compiled is None else compiled(*arrays, **options)
    return run


IMPLEMENTATIONS: dict[str, Any] = {name: _run(name) for name in ("conv", "conv_input_grad", "conv_weight_grad")}
