"""Stochastic gradient descent for the CPU: one compiled call for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import DATA, DONE, GRAD, GRAIN, SIZE, STATE, STATUS, WIDTH, ListPlan, resolve, view
from .._math import jit
from .reference import SGD

__all__ = ["sgd"]


@jit
def _one(
    zero: Any, row: Any, low: Any, high: Any, first: Any, lr: Any, momentum: Any, dampening: Any, weight_decay: Any,
    nesterov: Any, factor: Any,
) -> None:
    """Elements [low, high) of the parameter of one row of the table."""
    p, g, b = view(row[DATA], low, high, zero), view(row[GRAD], low, high, zero), view(row[STATE], low, high, zero)
    T = p.dtype.type
    rate, u, keep, decay, times = T(lr), T(momentum), T(1.0 - dampening), T(weight_decay), T(factor)
    if not momentum:
        for i in range(p.size):
            d = times * g[i]
            d = d + decay * p[i] if weight_decay else d
            p[i] -= rate * d
        return
    for i in range(p.size):
        d = times * g[i]
        d = d + decay * p[i] if weight_decay else d
        buffer = d if first else u * b[i] + keep * d
        b[i] = buffer
        p[i] -= rate * (d + u * buffer if nesterov else buffer)


@jit(nogil=True)
def _rows(
    low: Any, high: Any, table: Any, steps: Any, lr: Any, momentum: Any, dampening: Any, weight_decay: Any, nesterov: Any,
    factor: Any,
) -> None:
    start = 0
    for k in range(len(table) - 1):
        row = table[k]
        if row[STATUS] == DONE:
            a, b = max(low - start, 0), min(high - start, row[SIZE])
            start += row[SIZE]
            if a < b and row[WIDTH] == 4:
                _one(np.float32(0), row, a, b, steps[k] == 1, lr, momentum, dampening, weight_decay, nesterov, factor)
            elif a < b:
                _one(0.0, row, a, b, steps[k] == 1, lr, momentum, dampening, weight_decay, nesterov, factor)


@jit
def _step(
    params: Any, grads: Any, table: Any, steps: Any, lr: Any, momentum: Any, dampening: Any, weight_decay: Any, nesterov: Any,
    factor: Any,
) -> Any:
    total, slow = resolve(params, grads, table, steps)
    if 0 < total < 2 * GRAIN and slow == 0:
        _rows(0, total, table, steps, lr, momentum, dampening, weight_decay, nesterov, factor)
        total = 0
    return total if total < 0 else 2 * total + (slow > 0)


class _SGD(ListPlan, SGD):
    step, rows = staticmethod(_step), staticmethod(_rows)


def sgd(momentum_buffers: Sequence[Any] | None, steps: Any, masters: Sequence[Any] | None = None) -> SGD:
    """See :func:`.reference.sgd`; arrays that are not contiguous float32 or float64 are left to it."""
    return _SGD((momentum_buffers,), steps, masters)
