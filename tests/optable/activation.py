"""Activation functions (tensorlite/ops/activation.py)."""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from optable._row import Case, Row
from optable.elementwise import away, normal
from optable.functions import each
from tensorlite.ops import activation as F

Rng = np.random.Generator
HALF = ("float16", "float32", "float64")


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _elu(x: Any, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(x))


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return 0.5 * x * each(math.erfc)(-x / math.sqrt(2))


def _prelu(x: Any, weight: Any) -> Any:
    if weight.size > 1 and x.ndim > 1:
        weight = weight.reshape((-1,) + (1,) * (x.ndim - 2))
    return np.where(x > 0, x, weight.reshape(weight.shape if weight.size > 1 else ()) * x)


def _glu(x: Any, axis: int = -1) -> Any:
    a, b = np.split(x, 2, axis)
    return a * _sigmoid(b)


def _prelus(rng: Rng) -> Iterator[Case]:
    for shape, weights in (((2, 3), (3,)), ((2, 3), (1,)), ((2, 3, 2), (3,)), ((3,), (3,)), ((), ())):
        yield Case((away(rng, *shape), normal(rng, *weights)))


def _glus(rng: Rng) -> Iterator[Case]:
    yield Case((normal(rng, 2, 4),))
    yield Case((normal(rng, 4, 3),), {"axis": 0})
    yield Case((normal(rng, 2, 0),))


def row(name: str, reference: Any, *options: dict[str, Any], **more: Any) -> Row:
    """Arguments of both signs, away from 0 and from 1, 3 and 6, where some have kinks; large ones too."""
    def cases(rng: Rng) -> Iterator[Case]:
        for chosen in options or ({},):
            for shape in ((2, 3), (), (0, 2)):
                yield Case((np.asarray(rng.choice([-4.3, -2.2, -0.8, -0.3, 0.2, 0.7, 1.4, 2.6, 4.5, 7.7], shape)),), chosen)
            yield Case((away(rng, 50, 50)[:2, :5] * 0.4,), chosen)
        yield Case((np.array([-60.0, 60.0, -30.5, 30.5]),))
    return Row(name, getattr(F, name), reference, cases, grad=(0,), rtol=more.pop("rtol", 1e-12), **more)


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
ROWS = [
    row("relu", lambda x: np.maximum(x, 0), covers=("relu", "relu_backward"), dtypes=(*HALF, "bfloat16")),
    row("relu6", lambda x: np.clip(x, 0, 6), covers=("hardtanh",)),
    row("hardtanh", lambda x, min_val=-1, max_val=1: np.clip(x, min_val, max_val), {}, {"min_val": -0.5, "max_val": 2.0}),
    row("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
    row("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    row("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), {}, {"negative_slope": 0.3},
        {"negative_slope": -2.0}, covers=("leaky_relu",), dtypes=HALF),
    row("elu", _elu, {}, {"alpha": 0.5}, covers=("elu",)),
    row("selu", lambda x: SCALE * _elu(x, ALPHA)),
    row("celu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)), {}, {"alpha": 2.0}),
    row("gelu", _gelu, {}, {"approximate": "tanh"}, covers=("gelu", "gelu_tanh", "activation_backward"), dtypes=HALF),
    row("silu", lambda x: x * _sigmoid(x), covers=("silu",), dtypes=HALF),
    row("mish", lambda x: x * np.tanh(np.logaddexp(0, x))),
    row("softplus", _softplus, {}, {"beta": 2.0}, {"threshold": 1.0}, covers=("softplus",), dtypes=HALF),
    row("logsigmoid", lambda x: -np.logaddexp(0, -x), covers=("logsigmoid",)),
    row("softsign", lambda x: x / (1 + np.abs(x))),
    row("tanhshrink", lambda x: x - np.tanh(x)),
    row("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0), {}, {"lambd": 1.0}),
    row("softshrink", lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0), {}, {"lambd": 1.0}),
    Row("threshold", F.threshold, lambda x, t, v: np.where(x > t, x, v), lambda rng: [Case((away(rng, 2, 3), 0.1, -7.0))],
        grad=(0,)),
    Row("prelu", F.prelu, _prelu, _prelus, grad=(0, 1)),
    Row("glu", F.glu, _glu, _glus, grad=(0,)),
]
