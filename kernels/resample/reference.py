"""Weighted sums along axes in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._half import is_half

__all__ = ["resample"]


def resample(xp: Any, x: Any, *, taps: tuple[Any, ...]) -> Any:
    """Along each of the last axes, element i of the result is the sum of weight[k] x[index[k]] over i's taps.

    x (..., *sizes) gives (..., *counts), with one of ``taps`` (:class:`~tensorlite.kernels._windows.Taps`, or None: as it is) an
    axis. Half is computed in float32. The transposed operator is the same with ``transposed`` taps.
    """
    dtype, axis = x.dtype, x.ndim - len(taps)
    if is_half(x):
        x = xp.astype(x, xp.float32)
    real = xp.float64 if str(x.dtype).endswith(("complex128", "float64")) else xp.float32
    for tap in taps:
        if tap is not None:
            total = xp.zeros((*x.shape[:axis], tap.count, *x.shape[axis + 1:]), dtype=x.dtype)
            along = (-1, *[1] * (x.ndim - axis - 1))
            for index, weight, there in zip(*(a.T for a in tap.dense)):
                part = xp.take(x, xp.asarray(index, dtype=xp.int64), axis=axis) * xp.reshape(
                    xp.asarray(weight, dtype=real), along)
                total = total + (part if there.all() else xp.where(xp.reshape(xp.asarray(there), along), part,
                                                                   xp.zeros((), dtype=x.dtype)))
            x = total
        axis += 1
    return xp.astype(x, dtype)
