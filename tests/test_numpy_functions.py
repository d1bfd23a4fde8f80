"""NumPy's functions called with tensors give what they give with arrays, or say that they cannot: never something else."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl

RNG = np.random.default_rng(0)
ARRAYS = {"A": RNG.normal(size=(4, 6)), "B": RNG.normal(size=(6, 3)), "C": RNG.normal(size=(2, 4, 6)), "v": RNG.normal(size=6),
          "S": np.ones((1, 4))}
TENSORS = {name: tl.tensor(a) for name, a in ARRAYS.items()}

CALLS = """
np.split(A, 2)|np.split(A, [1, 3])|np.split(A, 3, axis=1)|np.array_split(A, 3)
np.pad(v, 1)|np.pad(A, 2)|np.pad(A, (1, 2))|np.pad(A, ((1, 2), (0, 3)))|np.pad(A, 1, mode='constant', constant_values=2)
np.pad(A, 1, mode='edge')|np.pad(A, ((1, 2),), mode='reflect')|np.pad(A, 2, mode='wrap')
np.repeat(A, 2)|np.repeat(A, 2, axis=0)|np.tile(A, 2)|np.tile(v, (2, 1))
np.transpose(A)|np.transpose(C)|np.transpose(C, (1, 0, 2))|np.swapaxes(C, 0, 2)|np.moveaxis(C, 0, -1)|np.squeeze(S)
np.sort(A)|np.sort(A, 0)|np.argsort(A)|np.argmax(A)|np.argmax(A, 1)
np.std(A)|np.std(A, 0)|np.std(A, ddof=1)|np.var(A, axis=1, ddof=1)|np.std(A, axis=0, keepdims=True)
np.cumsum(v)|np.cumsum(A, 0)|np.cumprod(A, 1)|np.diff(A)|np.diff(A, axis=0)|np.diff(v, 2)
np.clip(A, -1, 1)|np.clip(A, a_min=-1, a_max=1)|np.round(A, 2)|np.roll(A, 1)|np.roll(A, 1, 0)|np.flip(A)|np.flip(A, 0)|np.rot90(A)
np.unique(np.round(A))|np.nonzero(A > 0)|np.argwhere(A > 0)|np.where(A > 0, A, 0)|np.where(A > 0)
np.take(A, [0, 3])|np.take(A, [0, 3], 1)|np.take(A, [0, 3], axis=0)|np.take_along_axis(A, np.argsort(A, 1), 1)
np.dot(A, B)|np.dot(C, B)|np.outer(v, v)|np.vdot(A, A)|np.matmul(C, B)|np.tensordot(A, B, 1)|np.tensordot(A, A, ([0], [0]))
np.einsum('ij,jk->ik', A, B)|np.diag(v)|np.diag(A)|np.diagonal(A)|np.tril(A)|np.triu(A, 1)
np.max(A, 1)|np.min(A)|np.max(A, axis=(0, 1))|np.prod(A, 1)|np.sum(A, (0, 1))
np.mean(A, 0, keepdims=True)|np.all(A > 0)|np.any(A > 0, 1)
np.concatenate([A, A], 1)|np.concatenate([A, A], axis=None)
np.stack([A, A], axis=2)|np.hstack([A, A])|np.vstack([A, A])|np.dstack([A, A])
np.reshape(A, (6, 4))|np.ravel(A)|np.expand_dims(A, (0, 1))|np.broadcast_to(v, (2, 6))|np.meshgrid(v, v)
np.searchsorted(np.sort(v), v)
np.shape(A)|np.size(A)|np.size(A, 0)|np.ndim(A)|np.copy(A)|np.zeros_like(A)|np.full_like(A, 2)|np.allclose(A, A)|np.isin(v, v[:2])
np.linalg.norm(A)|np.linalg.norm(A, axis=1)|np.linalg.norm(A, 1)|np.linalg.norm(v, 1)|np.linalg.norm(A, 'fro')
np.add.reduce(A)|np.add.reduce(A, axis=1)|np.add.reduce(A, axis=None)|np.maximum.reduce(A)|np.add.reduce(A, where=True)
np.power(v ** 2, 2)|np.remainder(v, 0.3)|np.fmod(v, 0.3)|np.floor_divide(v, 0.3)|np.rint(v * 3)|np.arctan2(v, v)|np.square(v)
""".replace("\n", "|").strip("|").split("|")

REFUSED = """
np.split(A, 3)|np.add.reduce(A, initial=3.0)|np.sum(A, initial=3.0)|np.sum(A, where=A > 0)|np.fmax(A, 0)
np.pad(A, 1, mode='mean')|np.median(v)|np.reshape(A, (6, 4), order='F')|np.add.accumulate(v)|np.sin(v, out=A)|np.linalg.inv(A)
""".replace("\n", "|").strip("|").split("|")


def plain(value: Any) -> Any:
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else np.asarray(value)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a.shape == b.shape and bool(np.allclose(a, b))


@pytest.mark.parametrize("call", CALLS)
def test_as_with_arrays(call: str) -> None:
    expected, got = eval(call, {"np": np, **ARRAYS}), eval(call, {"np": np, **TENSORS})
    assert same(plain(expected), plain(got)), f"{call}: {got}, expected {expected}"


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call: str) -> None:
    with pytest.raises(tl.errors.TensorliteError):
        eval(call, {"np": np, **TENSORS})


def test_the_graph_is_kept() -> None:
    x = tl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    np.split(np.pad(x, ((1, 0), (0, 1))), 3)[1].sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]
