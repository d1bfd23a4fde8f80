"""Losses; more of their options are compared with PyTorch in tests/test_losses.py."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from tensorlite.ops import losses


def _log_softmax(x: Any, axis: int) -> Any:
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def _reduced(loss: Any, reduction: str, count: Any = None) -> Any:
    if reduction == "none":
        return loss
    return loss.sum() / ((loss.size if count is None else count) if reduction == "mean" else 1)


def _cross_entropy(x: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                   label_smoothing: float = 0.0) -> Any:
    c = x.shape[1] if x.ndim > 1 else x.shape[0]
    rows, labels = np.moveaxis(x, 1, -1).reshape(-1, c) if x.ndim > 1 else x[None], np.reshape(target, -1)
    w = np.ones(c) if weight is None else weight
    p = _log_softmax(rows, 1)
    kept = labels != ignore_index
    t = np.where(kept, labels, 0)
    loss = kept * (-(1 - label_smoothing) * w[t] * p[np.arange(len(t)), t] - label_smoothing / c * (p * w).sum(1))
    return _reduced(loss.reshape(np.shape(target)), reduction, (w[t] * kept).sum())


def _labelled(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    weight = rng.uniform(0.5, 2, 4)
    for reduction in ("mean", "sum", "none"):
        yield Case((x((5, 4)), np.array([0, 3, -100, 1, 1])), {"reduction": reduction})
        yield Case((x((3, 4)), np.array([2, 0, 3], np.int32)), {"reduction": reduction, "label_smoothing": 0.2})
        yield Case((x((3, 4)), np.array([2, 1, 3])),
                   {"reduction": reduction, "label_smoothing": 0.1, "weight": weight, "ignore_index": 1})
    yield Case((x((4,)), np.array(2)))
    yield Case((x((2, 4, 3)), rng.integers(0, 4, (2, 3))), {"reduction": "none"})
    yield Case((x((3, 1)), np.array([0, 0, 0])))


def _call(x: Any, target: Any, weight: Any = None, **options: Any) -> Any:
    if weight is not None and not isinstance(x, np.ndarray):
        weight = tl.asarray(weight, dtype=x.dtype, device=getattr(x, "device", None))
    return losses.cross_entropy(x, target, weight, **options)


def _soft_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.standard_normal((3, 4)), rng.dirichlet(np.ones(4), 3)))
    yield Case((rng.standard_normal((3, 4)), rng.dirichlet(np.ones(4), 3)), {"label_smoothing": 0.1, "reduction": "sum"})
    yield Case((rng.standard_normal(4), rng.dirichlet(np.ones(4))))


def _soft(x: Any, t: Any, *, label_smoothing: float = 0.0, reduction: str = "mean") -> Any:
    axis = x.ndim - 1
    t = (1 - label_smoothing) * t + label_smoothing / x.shape[axis]
    return _reduced(-(t * _log_softmax(x, axis)).sum(axis), reduction)


def _nll(x: Any, target: Any, *, reduction: str = "mean", ignore_index: int = -100) -> Any:
    kept = target != ignore_index
    return _reduced(-x[np.arange(len(target)), np.where(kept, target, 0)] * kept, reduction, kept.sum())


def _nll_cases(rng: np.random.Generator) -> Iterator[Case]:
    for reduction in ("mean", "sum", "none"):
        yield Case((rng.standard_normal((4, 3)), np.array([0, 2, 1, 2])), {"reduction": reduction, "ignore_index": 1})


def _regression(rng: np.random.Generator) -> Iterator[Case]:
    for reduction in ("mean", "sum", "none"):
        yield Case((rng.standard_normal((3, 2)) * 3, rng.standard_normal((3, 2))), {"reduction": reduction})
    yield Case((rng.standard_normal(()), rng.standard_normal(())))


def _probabilities(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.uniform(0.1, 0.9, (3, 2)), rng.uniform(0, 1, (3, 2))))


def _log_probabilities(rng: np.random.Generator) -> Iterator[Case]:
    for reduction in ("mean", "sum", "none", "batchmean"):
        yield Case((np.log(rng.dirichlet(np.ones(3), 4)), rng.dirichlet(np.ones(3), 4)), {"reduction": reduction})


def _kl(x: Any, t: Any, reduction: str) -> Any:
    loss = t * (np.log(t) - x)
    return loss.sum() / len(x) if reduction == "batchmean" else _reduced(loss, reduction)


def _huber(x: Any, t: Any, reduction: str = "mean") -> Any:
    d = np.abs(x - t)
    return _reduced(np.where(d <= 1, d * d / 2, d - 0.5), reduction)


def _scale(g: Any, rows: Any) -> Any:
    return g[..., None] * rows if g.ndim else g * rows


def _with_logits(x: Any, t: Any, reduction: str = "mean") -> Any:
    yes, no = _log_softmax(np.stack([x, 0 * x]), 0)
    return _reduced(-(t * yes + (1 - t) * no), reduction)


SINGLE = ("float32", "float64")
ROWS = [
    Row("cross_entropy", _call, _cross_entropy, _labelled, grad=(0,), dtypes=SINGLE,
        covers=("softmax_cross_entropy", "cross_entropy_loss", "cross_entropy_terms")),
    Row("cross_entropy of probabilities", losses.cross_entropy, _soft, _soft_cases, grad=(0, 1), dtypes=SINGLE),
    Row("scale_rows", losses.scale_rows_p, _scale,
        lambda rng: [Case((rng.standard_normal(3), rng.standard_normal((3, 2)))),
                     Case((rng.standard_normal(()), rng.standard_normal((3, 2)))),
                     Case((np.array(1.0), rng.standard_normal((3, 2))))],
        grad=(0, 1), covers=("scale_rows",)),
    Row("nll_loss", losses.nll_loss, _nll, _nll_cases, grad=(0,), dtypes=SINGLE),
    Row("mse_loss", losses.mse_loss, lambda x, t, reduction="mean": _reduced((x - t) ** 2, reduction), _regression,
        grad=(0, 1), dtypes=SINGLE),
    Row("l1_loss", losses.l1_loss, lambda x, t, reduction="mean": _reduced(np.abs(x - t), reduction), _regression,
        grad=(0, 1), dtypes=SINGLE),
    Row("huber_loss", losses.huber_loss, _huber, _regression, grad=(0, 1), dtypes=SINGLE),
    Row("smooth_l1_loss", losses.smooth_l1_loss, _huber, _regression, grad=(0, 1)),
    Row("binary_cross_entropy_with_logits", losses.binary_cross_entropy_with_logits, _with_logits, _regression,
        grad=(0, 1), dtypes=SINGLE),
    Row("binary_cross_entropy", losses.binary_cross_entropy,
        lambda p, t: np.mean(-(t * np.log(p) + (1 - t) * np.log(1 - p))), _probabilities, grad=(0, 1)),
    Row("kl_div", losses.kl_div, _kl, _log_probabilities, grad=(0, 1), dtypes=SINGLE),
]
