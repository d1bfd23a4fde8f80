"""Max pooling in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from math import prod
from typing import Any

__all__ = ["max_pool"]


def max_pool(xp: Any, x: Any, *, windows: tuple[Any, ...]) -> Any:
    """``(out, index)``: the largest element of each window of x's last axes, and its place in them flattened (int32, or int64
    where they are that long).

    x (..., *sizes) gives (..., *counts), one of ``windows`` (:class:`~tensorlite.kernels._windows.Windows`) an axis. Of equal
    elements the first in the order of the indices counts; NaN is larger than anything, and the last NaN counts.
    """
    axes, first = len(windows), x.ndim - len(windows)
    sizes = tuple(x.shape[first:])
    small = prod(sizes) < 2**31
    place = xp.reshape(xp.arange(prod(sizes), dtype=xp.int32 if small else xp.int64), (*[1] * first, *sizes))
    place = xp.broadcast_to(place, tuple(x.shape))
    for axis in range(x.ndim - 1, first - 1, -1):   # the maximum of rows' maxima, which keeps the order
        members = windows[axis - first].members
        take = lambda a, j, axis=axis, members=members: xp.take(a, xp.asarray(members[:, j], dtype=xp.int64), axis=axis)
        best, where = take(x, 0), take(place, 0)
        for j in range(1, members.shape[1]):
            value, there = take(x, j), take(place, j)
            better = (value > best) | (value != value)
            best, where = xp.where(better, value, best), xp.where(better, there, where)
        x, place = best, where
    assert axes
    return x, place
