"""Adam and AdamW for the CPU: one compiled call for all parameters."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import DATA, DONE, GRAD, GRAIN, SIZE, STATE, STATUS, WIDTH, ListPlan, resolve, view
from .._math import jit
from .reference import Adam

__all__ = ["adam"]


@jit
def _one(
    zero: Any, row: Any, low: Any, high: Any, step: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any,
    decoupled: Any, factor: Any,
) -> None:
    """Elements [low, high) of the parameter of one row of the table."""
    p, g, m = view(row[DATA], low, high, zero), view(row[GRAD], low, high, zero), view(row[STATE], low, high, zero)
    v, top = view(row[STATE + 1], low, high, zero), view(row[STATE + 2], low, high, zero)
    T = p.dtype.type
    rate, root = T(lr / (1.0 - beta1**step)), T(1.0 / np.sqrt(1.0 - beta2**step))
    new1, b2, new2, small, times = T(1.0 - beta1), T(beta2), T(1.0 - beta2), T(eps), T(factor)
    decay, shrink = T(0.0 if decoupled else weight_decay), T(1.0 - lr * weight_decay if decoupled else 1.0)
    if row[STATE + 2] == 0:
        for i in range(p.size):
            d = times * g[i]
            d = d + decay * p[i] if decay else d
            mean = m[i] + new1 * (d - m[i])
            square = b2 * v[i] + new2 * d * d
            m[i], v[i] = mean, square
            p[i] = p[i] * shrink - rate * mean / (np.sqrt(square) * root + small)
        return
    for i in range(p.size):
        d = times * g[i]
        d = d + decay * p[i] if decay else d
        mean = m[i] + new1 * (d - m[i])
        square = b2 * v[i] + new2 * d * d
        largest = top[i] if top[i] > square else square
        m[i], v[i], top[i] = mean, square, largest
        p[i] = p[i] * shrink - rate * mean / (np.sqrt(largest) * root + small)


@jit(nogil=True)
def _rows(
    low: Any, high: Any, table: Any, steps: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any, decoupled: Any,
    factor: Any,
) -> None:
    start = 0
    for k in range(len(table) - 1):
        row = table[k]
        if row[STATUS] == DONE:
            a, b = max(low - start, 0), min(high - start, row[SIZE])
            start += row[SIZE]
            if a < b and row[WIDTH] == 4:
                _one(np.float32(0), row, a, b, steps[k], lr, beta1, beta2, eps, weight_decay, decoupled, factor)
            elif a < b:
                _one(0.0, row, a, b, steps[k], lr, beta1, beta2, eps, weight_decay, decoupled, factor)


@jit
def _step(
    params: Any, grads: Any, table: Any, steps: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any,
    decoupled: Any, factor: Any,
) -> Any:
    total, slow = resolve(params, grads, table, steps)
    if 0 < total < 2 * GRAIN and slow == 0:
        _rows(0, total, table, steps, lr, beta1, beta2, eps, weight_decay, decoupled, factor)
        total = 0
    return total if total < 0 else 2 * total + (slow > 0)


class _Adam(ListPlan, Adam):
    step, rows = staticmethod(_step), staticmethod(_rows)


def adam(
    exp_avgs: Sequence[Any], exp_avg_sqs: Sequence[Any], max_exp_avg_sqs: Sequence[Any] | None, steps: Any,
    masters: Sequence[Any] | None = None,
) -> Adam:
    """See :func:`.reference.adam`; arrays that are not contiguous float32 or float64 are left to it."""
    return _Adam((exp_avgs, exp_avg_sqs, max_exp_avg_sqs), steps, masters)
