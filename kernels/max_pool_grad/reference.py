"""The gradient of max pooling in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from .._half import is_half

__all__ = ["max_pool_grad"]


def max_pool_grad(xp: Any, g: Any, index: Any, *, windows: tuple[Any, ...]) -> Any:
    """out[..., p] = the sum of g over the windows whose ``index`` is p: g and index (..., *counts) give (..., *sizes).

    ``index``: places in the sizes flattened, as :func:`~tensorlite.kernels.max_pool.reference.max_pool` gives them, each in its
    window. Sums are in the order of the windows; of half, in float32.
    """
    axes, first = len(windows), g.ndim - len(windows)
    sizes = tuple([w.size for w in windows])
    total = xp.zeros((*g.shape[:first], *sizes), dtype=xp.float32 if is_half(g) else g.dtype)
    if not g.size:
        return xp.astype(total, g.dtype)
    place = xp.reshape(xp.arange(prod(sizes), dtype=index.dtype), (*[1] * first, *sizes))
    nothing = xp.zeros((), dtype=total.dtype)
    for offsets in product(*[range(int((w.ranges[1] - w.ranges[0]).max())) for w in windows]):
        value, at, there = g, index, np.ones((1,) * axes, bool)
        for k, (w, offset) in enumerate(zip(windows, offsets)):
            window = w.ranges[0] + offset
            there = there & (window < w.ranges[1]).reshape([-1 if j == k else 1 for j in range(axes)])
            taken = xp.asarray(np.minimum(window, w.count - 1), dtype=xp.int64)
            value, at = xp.take(value, taken, axis=first + k), xp.take(at, taken, axis=first + k)
        here = (at == place) & xp.asarray(there)
        total = total + xp.where(here, xp.astype(value, total.dtype), nothing)
    return xp.astype(total, g.dtype)
