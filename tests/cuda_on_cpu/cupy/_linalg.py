"""What ``cupy.linalg`` does otherwise than ``numpy.linalg``: no look at whether a matrix is singular, fewer shapes."""
from __future__ import annotations

from typing import Any

import numpy as np

from ._array import here, ndarray, new, quietly
from ._machine import machine

LinAlgError = np.linalg.LinAlgError


def _each(function: Any, a: np.ndarray[Any, Any], *more: np.ndarray[Any, Any], like: np.ndarray[Any, Any]) -> Any:
    """NumPy's function; of matrices it refuses nan, where cuSOLVER leaves something that means nothing."""
    try:
        return quietly(function, a, *more)
    except LinAlgError:
        if a.ndim == 2:
            return np.full_like(like, np.nan)
    return np.stack([_each(function, a[i], *[m[i] for m in more], like=like[i]) for i in range(len(a))])


def _matrices(*arrays: Any) -> list[Any]:
    found = [here(a) for a in arrays]
    for a in found:
        if a.dtype.kind == "f" and a.dtype.itemsize < 4:
            raise TypeError("float16 is unsupported in linalg")
    if found[0].ndim < 2 or found[0].shape[-1] != found[0].shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return found


def inv(a: Any) -> ndarray:
    (x,) = _matrices(a)
    machine.record("inv")
    return new(_each(np.linalg.inv, x, like=x))


def cholesky(a: Any) -> ndarray:
    (x,) = _matrices(a)
    machine.record("cholesky")
    return new(_each(np.linalg.cholesky, x, like=x))


def solve(a: Any, b: Any) -> ndarray:
    x, y = _matrices(a, b)
    if x.shape[:-1] != y.shape[:-1]:
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K) for multidimensional b")
    machine.record("solve")
    return new(_each(np.linalg.solve, x, y, like=y.astype(np.result_type(x, y))))


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    raise NotImplementedError("cupy.linalg.lstsq waits for the device, the stand-in does not have it")
