"""What layers are made of; the layers themselves are compared with PyTorch in tests/test_nn.py."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from tensorlite import nn
from tensorlite.nn import functional as F


def _normalized(x: Any, axes: tuple[int, ...], eps: float, center: bool = True) -> Any:
    d = x - x.mean(axes, keepdims=True) if center else x
    return d / np.sqrt((d * d).mean(axes, keepdims=True) + eps)


def _affine(out: Any, w: Any, b: Any) -> Any:
    return out * (1 if w is None else w) + (0 if b is None else b)


# ---- layer, group and RMS norm -------------------------------------------------------------------------------------------

def _layer_norm(x: Any, shape: Any, w: Any = None, b: Any = None, *, eps: float = 1e-5) -> Any:
    count = 1 if isinstance(shape, int) else len(shape)
    return _affine(_normalized(x, tuple(range(x.ndim - count, x.ndim)), eps), w, b)


def _last_axes(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((3, 4)), 4, x(4), x(4)))
    yield Case((x((2, 3, 4)), (3, 4), x((3, 4)), x((3, 4))))
    yield Case((x((2, 3, 4)), (4,)))
    yield Case((x((3, 4)), 4, x(4)), {"eps": 0.1})
    yield Case((x((3, 4)), 4, None, x(4)))
    yield Case((x(5), 5, x(5), x(5)))
    yield Case((x((0, 4)), 4, x(4), x(4)))
    yield Case((1 + 1e-2 * x((6, 33)), 33, x(33), x(33)))


def _rms_norm(x: Any, shape: Any, w: Any = None, eps: float = 0.0) -> Any:
    return _affine(_normalized(x, (-1,), eps, center=False), w, None)


def _rms_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((3, 4)), 4, x(4), 1e-3))
    yield Case((x((2, 3, 4)), 4, None, 1e-5))
    yield Case((x((0, 4)), 4, x(4), 1e-3))


def _group_norm(x: Any, groups: int, w: Any = None, b: Any = None) -> Any:
    out = _normalized(x.reshape(x.shape[0], groups, -1), (2,), 1e-5).reshape(x.shape)
    shape = (-1,) + (1,) * (x.ndim - 2)
    return _affine(out, w if w is None else w.reshape(shape), b if b is None else b.reshape(shape))


def _groups(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 4, 3)), 2, x(4), x(4)))
    yield Case((x((3, 6)), 3))


# ---- batch norm ------------------------------------------------------------------------------------------------------------

def _channels(a: Any, ndim: int) -> Any:
    return None if a is None else a.reshape((-1,) + (1,) * (ndim - 2))


def _batch_norm(x: Any, w: Any = None, b: Any = None) -> Any:
    return _affine(_normalized(x, (0, *range(2, x.ndim)), 1e-5), _channels(w, x.ndim), _channels(b, x.ndim))


def _batches(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((5, 3)), x(3), x(3)))
    yield Case((x((5, 3)),))
    yield Case((x((3, 2, 4)), x(2), x(2)))
    yield Case((x((3, 2, 2, 2)), x(2)))


def _followed(x: Any, mean: Any, var: Any) -> Any:
    """Batch norm, and the running statistics after it."""
    held = mean + 0, var + 0
    return F.batch_norm(x, *held, None, None, True, 0.3), *held


def _followed_reference(x: Any, mean: Any, var: Any) -> Any:
    axes = (0, *range(2, x.ndim))
    n = x.size / x.shape[1]
    return (_batch_norm(x), 0.7 * mean + 0.3 * x.mean(axes), 0.7 * var + 0.3 * x.var(axes) * n / (n - 1))


def _followed_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((5, 3)), x(3), rng.uniform(0.5, 2, 3)))
    yield Case((x((2, 3, 4)), x(3), rng.uniform(0.5, 2, 3)))


def _fixed(x: Any, mean: Any, var: Any, w: Any = None, b: Any = None) -> Any:
    n = x.ndim
    return _affine((x - _channels(mean, n)) / np.sqrt(_channels(var, n) + 1e-5), _channels(w, n), _channels(b, n))


def _fixed_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((5, 3)), x(3), rng.uniform(0.5, 2, 3), x(3), x(3)))
    yield Case((x((2, 3, 4)), x(3), rng.uniform(0.5, 2, 3)))
    yield Case((x((0, 3)), x(3), rng.uniform(0.5, 2, 3), x(3), x(3)))


# ---- dropout ---------------------------------------------------------------------------------------------------------------

def _dropout(x: Any, p: float) -> Any:
    return F.dropout(x, p, generator=tl.random.key(5))


def _dropout_reference(x: Any, p: float) -> Any:
    if p in (0, 1):
        return x * (1 - p)
    return np.where(tl.random.bernoulli(tl.random.key(5), 1 - p, x.shape).numpy(), x / (1 - p), 0)


def _drops(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    for p in (0.3, 0.0, 1.0):
        yield Case((x((4, 5)), p))
    yield Case((x(()), 0.5))
    yield Case((x((0, 3)), 0.5))


# ---- embedding -------------------------------------------------------------------------------------------------------------

def _looked_up(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((rng.integers(0, 5, (3, 4)), x((5, 2))))
    yield Case((rng.integers(0, 5, 7).astype(np.int32), x((5, 2)), 1))
    yield Case((np.array(2), x((5, 3)), -1))
    yield Case((np.zeros((0, 2), np.int64), x((5, 3))))


def _embedding_gradient(indices: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Without padding, whose gradient is not that of the function: tests/test_nn.py has it."""
    return F.embedding(indices, weight, None)


def _one_hot_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.integers(0, 4, (2, 3)), 4))
    yield Case((np.array([0, 3, 1]),))
    yield Case((np.array(1), 3))
    yield Case((np.zeros(0, np.int64), 3))


# ---- composed ----------------------------------------------------------------------------------------------------------------

def _attention(q: Any, k: Any, v: Any, *, is_causal: bool = False, scale: float | None = None) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v


def _attended(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 4)), x((2, 5, 4)), x((2, 5, 2))))
    yield Case((x((3, 4)), x((3, 4)), x((3, 2))), {"is_causal": True, "scale": 0.7})


def _pairs(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.standard_normal((3, 4)), rng.standard_normal((3, 4))))


def _hooked(x: Any) -> Any:
    """A module whose backward hook sees and leaves the gradients as they are."""
    module = nn.Tanh()
    module.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    return module(x)


ROWS = [
    Row("layer_norm", F.layer_norm, _layer_norm, _last_axes, grad=(0, 2, 3), covers=("normalize", "normalize_grad"),
        rtol=1e-11),
    Row("rms_norm", F.rms_norm, _rms_norm, _rms_cases, grad=(0, 2), covers=("normalize", "normalize_grad"),
        rtol=1e-11),
    Row("group_norm", F.group_norm, _group_norm, _groups, grad=(0, 2, 3), rtol=1e-11),
    Row("batch_norm", lambda x, w=None, b=None: F.batch_norm(x, None, None, w, b, True), _batch_norm, _batches, grad=(0, 1, 2),
        rtol=1e-11),
    Row("batch_norm_followed", _followed, _followed_reference, _followed_cases, covers=("running_moments",)),
    Row("batch_norm_fixed", F.batch_norm, _fixed, _fixed_cases, grad=(0, 1, 2, 3, 4), rtol=1e-11),
    Row("dropout", _dropout, _dropout_reference, _drops, grad=(0,), covers=("dropout",)),
    Row("embedding", F.embedding, lambda i, w, padding_idx=None: w[i], _looked_up, covers=("embedding",)),
    Row("embedding_grad", _embedding_gradient, lambda i, w, padding_idx=None: w[i], _looked_up, grad=(1,),
        covers=("embedding", "embedding_grad")),
    Row("one_hot", F.one_hot, lambda i, n=None: (i[..., None] == np.arange(i.max() + 1 if n is None else n)).astype(np.int64),
        _one_hot_cases, covers=("one_hot",)),
    Row("scaled_dot_product_attention", F.scaled_dot_product_attention, _attention, _attended, grad=(0, 1, 2), rtol=1e-11),
    Row("normalize", F.normalize, lambda x, y: x / np.linalg.norm(x, axis=1, keepdims=True), lambda rng: [
        Case((rng.standard_normal((3, 4)), 2.0))], grad=(0,), rtol=1e-11),
    Row("cosine_similarity", F.cosine_similarity, lambda x, y: (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y,
                                                                                                                           axis=1),
        _pairs, grad=(0, 1), rtol=1e-11),
    Row("module_hook", _hooked, np.tanh, lambda rng: [Case((rng.standard_normal((2, 3)),))], grad=(0,)),
]
