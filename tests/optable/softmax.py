"""softmax, log_softmax, logsumexp."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.reduction import REAL, _nothing, normal, over_axes


def _softmax(x: Any, axis: Any = -1) -> Any:
    e = np.exp(x - (np.max(x, axis=axis, keepdims=True) if x.size else 0))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    x = x - (np.max(x, axis=axis, keepdims=True) if x.size else 0)
    total = np.sum(np.exp(x), axis=axis, keepdims=True)
    return x - np.log(np.where(total == 0, 1, total))


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (5,)),))
    for axis in (0, 1, -1, (0, 2)):
        yield Case((normal(rng, (2, 3, 4)),), {"axis": axis})
    yield Case((normal(rng, (2, 0)),), {"axis": 1})
    yield Case((normal(rng, (0, 2)),), {"axis": 1})
    yield Case((normal(rng, ()),))


def _extreme(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((np.array([[1000.0, 1001.0, -np.inf], [-1e5, -1e5, -1e5 - 2]]),), {"axis": 1})


ROWS = [
    Row("softmax", tl.softmax, _softmax, _cases, grad=(0,), dtypes=REAL, covers=("softmax", "softmax_grad")),
    Row("softmax far out", tl.softmax, _softmax, _extreme),
    Row("log_softmax", tl.log_softmax, _log_softmax, _cases, grad=(0,), dtypes=REAL, covers=("log_softmax", "log_softmax_grad")),
    Row("log_softmax far out", tl.log_softmax, _log_softmax, _extreme),
    Row("logsumexp of nothing", tl.logsumexp, _logsumexp, _nothing),
    Row("logsumexp", tl.logsumexp, _logsumexp, over_axes(normal, empty=False), grad=(0,), dtypes=REAL,
        covers=("logsumexp", "logsumexp_weights")),
]
