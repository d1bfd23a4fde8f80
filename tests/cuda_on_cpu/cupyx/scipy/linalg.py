"""``cupyx.scipy.linalg.solve_triangular`` of CuPy 13, for one matrix, and of CuPy 14, for batches too."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, overwrite_b: bool = False,
                     check_finite: bool = False) -> Any:
    cupy = sys.modules[type(a).__module__.rpartition(".")[0]]
    if type(b) is not type(a):
        raise TypeError(f"Unsupported type {type(b)}")
    if trans not in (0, "N") or overwrite_b:
        raise NotImplementedError("cupyx has trans and overwrite_b, the stand-in does not")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or (a.ndim > 2 and int(cupy.__version__.partition(".")[0]) < 14):
        raise ValueError("expected square matrix")
    if a.shape[:-1] != b.shape[:a.ndim - 1]:
        raise ValueError("incompatible dimensions")
    if check_finite:
        cupy._machine.machine.wait("isfinite")
    x, y = cupy._array.here(a), cupy._array.here(b).astype(a.dtype)
    if a.dtype.kind not in "fc" or a.dtype.itemsize < 4:
        raise TypeError("float16 is unsupported in linalg")
    t = np.tril(x) if lower else np.triu(x)
    if unit_diagonal:
        t = t - np.einsum("...i,ij->...ij", np.diagonal(t, axis1=-2, axis2=-1), np.eye(t.shape[-1])) + np.eye(t.shape[-1])
    cupy._machine.machine.record("trsm")
    return cupy._array.new(_substituted(t.astype(x.dtype), y, lower))


@np.errstate(all="ignore")
def _substituted(t: Any, y: Any, lower: bool) -> Any:
    """Row by row, as BLAS defines it: a zero on the diagonal gives inf or nan."""
    x = np.zeros(y.shape, y.dtype)
    n = t.shape[-1]
    for i in range(n) if lower else reversed(range(n)):
        known = slice(0, i) if lower else slice(i + 1, n)
        x[..., i, :] = (y[..., i, :] - (t[..., i:i + 1, known] @ x[..., known, :])[..., 0, :]) / t[..., i, i, None]
    return x
