"""RMSprop for the CPU: one compiled call for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import DATA, DONE, GRAD, GRAIN, SIZE, STATE, STATUS, WIDTH, ListPlan, resolve, view
from .._math import jit
from .reference import RMSprop

__all__ = ["rmsprop"]


@jit
def _direction(p: Any, g: Any, times: Any, decay: Any) -> Any:
    return times * g + decay * p if decay else times * g


@jit
def _one(
    zero: Any, row: Any, low: Any, high: Any, lr: Any, alpha: Any, eps: Any, momentum: Any, weight_decay: Any, factor: Any
) -> None:
    """Elements [low, high) of the parameter of one row of the table."""
    p, g, v = view(row[DATA], low, high, zero), view(row[GRAD], low, high, zero), view(row[STATE], low, high, zero)
    mean, buffer = view(row[STATE + 1], low, high, zero), view(row[STATE + 2], low, high, zero)
    T = p.dtype.type
    rate, keep, new, small, u = T(lr), T(alpha), T(1.0 - alpha), T(eps), T(momentum)
    decay, times = T(weight_decay), T(factor)
    centered = row[STATE + 1] != 0
    # Four loops, as a test inside one of them that guards a store keeps it from being vectorised (twice the time).
    if not centered and not momentum:
        for i in range(p.size):
            d = _direction(p[i], g[i], times, decay)
            v[i] = keep * v[i] + new * d * d
            p[i] -= rate * d / (np.sqrt(v[i]) + small)
    elif not centered:
        for i in range(p.size):
            d = _direction(p[i], g[i], times, decay)
            v[i] = keep * v[i] + new * d * d
            buffer[i] = u * buffer[i] + d / (np.sqrt(v[i]) + small)
            p[i] -= rate * buffer[i]
    elif not momentum:
        for i in range(p.size):
            d = _direction(p[i], g[i], times, decay)
            v[i] = keep * v[i] + new * d * d
            mean[i] += new * (d - mean[i])
            p[i] -= rate * d / (np.sqrt(v[i] - mean[i] * mean[i]) + small)
    else:
        for i in range(p.size):
            d = _direction(p[i], g[i], times, decay)
            v[i] = keep * v[i] + new * d * d
            mean[i] += new * (d - mean[i])
            buffer[i] = u * buffer[i] + d / (np.sqrt(v[i] - mean[i] * mean[i]) + small)
            p[i] -= rate * buffer[i]


@jit(nogil=True)
def _rows(
    low: Any, high: Any, table: Any, steps: Any, lr: Any, alpha: Any, eps: Any, momentum: Any, weight_decay: Any, factor: Any
) -> None:
    start = 0
    for k in range(len(table) - 1):
        row = table[k]
        if row[STATUS] == DONE:
            a, b = max(low - start, 0), min(high - start, row[SIZE])
            start += row[SIZE]
            if a < b and row[WIDTH] == 4:
                _one(np.float32(0), row, a, b, lr, alpha, eps, momentum, weight_decay, factor)
            elif a < b:
                _one(0.0, row, a, b, lr, alpha, eps, momentum, weight_decay, factor)


@jit
def _step(
    params: Any, grads: Any, table: Any, steps: Any, lr: Any, alpha: Any, eps: Any, momentum: Any, weight_decay: Any,
    factor: Any,
) -> Any:
    total, slow = resolve(params, grads, table, steps)
    if 0 < total < 2 * GRAIN and slow == 0:
        _rows(0, total, table, steps, lr, alpha, eps, momentum, weight_decay, factor)
        total = 0
    return total if total < 0 else 2 * total + (slow > 0)


class _RMSprop(ListPlan, RMSprop):
    step, rows = staticmethod(_step), staticmethod(_rows)


def rmsprop(
    square_avgs: Sequence[Any], grad_avgs: Sequence[Any] | None, momentum_buffers: Sequence[Any] | None, steps: Any,
    masters: Sequence[Any] | None = None,
) -> RMSprop:
    """See :func:`.reference.rmsprop`; arrays that are not contiguous float32 or float64 are left to it."""
    return _RMSprop((square_avgs, grad_avgs, momentum_buffers), steps, masters)
