"""Losses, normalisation and random small programs against PyTorch, with second-order gradients."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_compare import TF, F, compare, few, many, seeds, torch

import tensorlite as tl

# ---- losses --------------------------------------------------------------------------------------------------------------------

reductions = st.sampled_from(["mean", "sum", "none"])


@many
@given(rows=st.integers(1, 5), classes=st.integers(1, 5), extra=st.sampled_from([None, (), (3,), (2, 2)]), weighted=st.booleans(),
       ignored=st.sampled_from([None, -100, 0]), smoothing=st.sampled_from([0.0, 0.1, 1.0]), reduction=reductions, seed=seeds)
def test_cross_entropy_of_labels(rows: int, classes: int, extra: Any, weighted: bool, ignored: int | None, smoothing: float,
                                 reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, labels = ((classes,), ()) if extra is None else ((rows, classes, *extra), (rows, *extra))
    x, y = rng.normal(size=shape) * 3, np.asarray(rng.integers(0, classes, size=labels))
    options: dict[str, Any] = {"reduction": reduction}
    if ignored is not None:
        options["ignore_index"] = ignored
        if labels and y.size > 1:
            y.reshape(-1)[0] = ignored
            if (y == ignored).all():
                y.reshape(-1)[-1] = classes - 1
    if (y == options.get("ignore_index", -100)).all():
        return   # 0 / 0: nan in both, with a gradient of 0 here
    args = (x, y) if not weighted else (x, y, rng.uniform(0.5, 2, size=classes))
    compare(lambda x, y, w=None: F.cross_entropy(x, y, w, label_smoothing=smoothing, **options),
            lambda x, y, w=None: TF.cross_entropy(x, y, w, label_smoothing=smoothing, **options), *args, tracked=(0,))
    if extra is not None:
        logs = np.log(rng.uniform(0.1, 1, size=shape))
        compare(lambda x, y, w=None: F.nll_loss(x, y, w, **options), lambda x, y, w=None: TF.nll_loss(x, y, w, **options),
                logs, *args[1:], tracked=(0,))


@few
@given(rows=st.integers(1, 4), classes=st.integers(1, 5), extra=st.sampled_from([None, (), (3,)]), weighted=st.booleans(),
       smoothing=st.sampled_from([0.0, 0.2]), reduction=reductions, seed=seeds)
def test_cross_entropy_of_probabilities(rows: int, classes: int, extra: Any, weighted: bool, smoothing: float, reduction: str,
                                        seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (classes,) if extra is None else (rows, classes, *extra)
    p = rng.uniform(size=shape)
    args = (rng.normal(size=shape), p / p.sum(0 if extra is None else 1, keepdims=True))
    args = (*args, rng.uniform(0.5, 2, size=classes)) if weighted else args
    compare(lambda x, y, w=None: F.cross_entropy(x, y, w, label_smoothing=smoothing, reduction=reduction),
            lambda x, y, w=None: TF.cross_entropy(x, y, w, label_smoothing=smoothing, reduction=reduction), *args, tracked=(0, 1))


@few
@given(shape=st.sampled_from([(), (4,), (3, 2), (2, 3, 2)]), reduction=reductions, number=st.sampled_from([0.3, 1.0, 2.0]),
        seed=seeds)
def test_other_losses(shape: tuple[int, ...], reduction: str, number: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, p = rng.normal(size=shape) * 2, rng.normal(size=shape), rng.uniform(0.05, 0.95, size=shape)
    q = rng.uniform(0.05, 1, size=shape)
    w = rng.uniform(0.5, 2, size=shape)
    for name, args, options in (
            ("mse_loss", (x, y), {}), ("l1_loss", (x, y), {}), ("huber_loss", (x, y), {"delta": number}),
            ("smooth_l1_loss", (x, y), {"beta": number}), ("smooth_l1_loss", (x, y), {"beta": 0.0}),
            ("binary_cross_entropy", (p, q), {}), ("binary_cross_entropy_with_logits", (x, q), {}),
            ("kl_div", (np.log(p), q), {}), ("kl_div", (np.log(p), np.log(q)), {"log_target": True}),
            ("margin_ranking_loss", (x, y, np.sign(w - 1)), {"margin": number}),
            ("hinge_embedding_loss", (x, np.sign(w - 1)), {"margin": number})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # PyTorch's, that kl_div's mean is not the batch's
            compare(partial(getattr(F, name), reduction=reduction, **options),
                    partial(getattr(TF, name), reduction=reduction, **options), *args,
                    tracked=(0,) if "margin" in options else (0, 1))
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        compare(partial(getattr(F, name), reduction=reduction), partial(getattr(TF, name), reduction=reduction), p, q, w,
                tracked=(0, 1))
    if shape:
        compare(lambda x, q, w: F.binary_cross_entropy_with_logits(x, q, pos_weight=w, reduction=reduction),
                lambda x, q, w: TF.binary_cross_entropy_with_logits(x, q, pos_weight=w, reduction=reduction),
                x, q, rng.uniform(0.5, 2, size=shape[-1]), tracked=(0, 1))
        compare(lambda x, q: F.kl_div(x, q, reduction="batchmean"), lambda x, q: TF.kl_div(x, q, reduction="batchmean"),
            np.log(p), q)


@few
@given(seed=seeds)
def test_normalization(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(3, 4, 5)), rng.normal(size=5), rng.normal(size=5)
    c, d = rng.normal(size=4), rng.normal(size=4)
    mean, var = rng.normal(size=4), rng.uniform(0.5, 2, size=4)
    compare(lambda x, w, b: F.layer_norm(x, (5,), w, b), lambda x, w, b: TF.layer_norm(x, (5,), w, b), x, w, b)
    compare(lambda x: F.layer_norm(x, (4, 5)), lambda x: TF.layer_norm(x, (4, 5)), x)
    compare(lambda x, w: F.rms_norm(x, (5,), w, eps=1e-5), lambda x, w: TF.rms_norm(x, (5,), w, eps=1e-5), x, w)
    compare(lambda x, w, b: F.group_norm(x, 2, w, b), lambda x, w, b: TF.group_norm(x, 2, w, b), x, c, d)
    compare(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), lambda x, w,
        b: TF.batch_norm(x, None, None, w, b, training=True),
            x, c, d)
    compare(lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b), lambda x, m, v, w, b: TF.batch_norm(x, m, v, w, b), x, mean, var,
        c, d,
            tracked=(0, 3, 4))
    compare(lambda x, w, b: F.linear(x, w, b), lambda x, w, b: TF.linear(x, w, b), x, rng.normal(size=(2, 5)), rng.normal(size=2))
    compare(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, is_causal=True), *rng.normal(size=(3, 2, 3, 4)),
            second=False)


# ---- small programs ------------------------------------------------------------------------------------------------------------
# Every step takes (3, 3) matrices to one; the same step is written once for both libraries.

STEPS: list[Callable[[Any, Any, Any], Any]] = [
    lambda t, a, b: a + b, lambda t, a, b: a * b, lambda t, a, b: a - 0.5 * b, lambda t, a, b: a / (2 + t.cos(b)),
    lambda t, a, b: t.sin(a), lambda t, a, b: t.tanh(a), lambda t, a, b: t.exp(-a * a), lambda t, a, b: t.log(1 + b * b),
    lambda t, a, b: t.sqrt(a * a + 0.1), lambda t, a, b: t.sigmoid(a), lambda t, a, b: t.relu(a) * b,
    lambda t, a, b: t.where(a > b, a * a, b), lambda t, a, b: t.maximum(a, b), lambda t, a, b: a @ b,
    lambda t, a, b: a.mT @ b, lambda t, a, b: a[0] + b, lambda t, a, b: a.sum(0) * b, lambda t, a, b: a - a.mean(1, True),
    lambda t, a, b: t.softmax(a, 1), lambda t, a, b: t.log_softmax(a, 0) * 0.3, lambda t, a, b: a * t.logsumexp(b, 1, True),
    lambda t, a, b: t.cumsum(a, 0) / 3, lambda t, a, b: t.stack([a[0], b[1], a[2]], 0),
    lambda t, a, b: t.cat([a[:1], b[1:]], 0), lambda t, a, b: t.einsum("ij,ik->jk", a, b), lambda t, a, b: a.flip((0,)),
    lambda t, a, b: t.roll(a, 1, 1) * b, lambda t, a, b: t.amax(a, 1, True) * b, lambda t, a, b: t.clamp(a, -0.7, 0.7),
    lambda t, a, b: t.tril(a) + t.triu(b), lambda t, a, b: a ** 3 / 3, lambda t, a, b: t.atan2(a, b * b + 0.5),
    lambda t, a, b: t.hypot(a, b + 3), lambda t, a, b: t.abs(a) * b, lambda t, a, b: t.nn.functional.gelu(a),
    lambda t, a, b: t.nn.functional.silu(a), lambda t, a, b: t.nn.functional.softplus(a),
    lambda t, a, b: t.nn.functional.layer_norm(a, (3,)), lambda t, a, b: t.nn.functional.linear(a, b),
    lambda t, a, b: t.erf(a), lambda t, a, b: a * t.norm(b) / 3, lambda t, a, b: a * t.var(b, 1, correction=1, keepdim=True),
    lambda t, a, b: t.diagonal(a) + b, lambda t, a, b: a.reshape(-1)[1:-1:3] + b, lambda t, a, b: t.outer(a[0], b[:, 1]),
    lambda t, a, b: a[[2, 0, 0]] * b, lambda t, a, b: t.prod(a, 1, True) + b, lambda t, a, b: t.nn.functional.elu(a),
    lambda t, a, b: a.detach() * b, lambda t, a, b: t.nn.functional.mse_loss(a, b) + a,
]


@settings(many, max_examples=120)
@given(program=st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9),
        seed=seeds)
def test_programs(program: list[tuple[int, int, int]], seed: int) -> None:
    """Random compositions agree in values, gradients, and second-order gradients."""
    def run(library: Any, x: Any, y: Any) -> Any:
        values = [x, y]
        for step, i, j in program:
            out = STEPS[step](library, values[-1 - i % len(values)], values[j % len(values)])
            values.append(library.tanh(out) * 1.5 if len(values) % 3 == 0 else out)   # the numbers stay small
        return values[-1]
    x, y = np.random.default_rng(seed).normal(size=(2, 3, 3))
    compare(lambda x, y: run(tl, x, y), lambda x, y: run(torch, x, y), x, y, rtol=1e-7, atol=1e-8)
