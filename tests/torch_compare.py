"""What the comparisons with PyTorch share: values, gradients and second-order gradients of the same call of both."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

import tensorlite as tl

torch = pytest.importorskip("torch")

F, TF = tl.nn.functional, torch.nn.functional
few = settings(deadline=None, derandomize=True, max_examples=25, database=None)
many = settings(deadline=None, derandomize=True, max_examples=60, database=None)
seeds = st.integers(0, 2**32 - 1)
lengths = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)
full_lengths = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
inf, nan = float("inf"), float("nan")


def close(got: Any, want: Any, rtol: float = 1e-10, atol: float = 1e-11, what: str = "") -> None:
    """The same shape, dtype and numbers; nan and infinities in the same places."""
    got = got.detach().numpy() if isinstance(got, tl.Tensor) else np.asarray(got)
    want = want.numpy(force=True) if isinstance(want, torch.Tensor) else np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), (what, got.shape, got.dtype, want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=what)


def listed(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (tuple, list)) else [out]


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: Any, tracked: tuple[int, ...] | None = None,
        seed: int = 0,
            second: bool = True, rtol: float = 1e-9, atol: float = 1e-10) -> None:
    """Values, gradients for a random cotangent, and (``second``) gradients of the gradients' weighted sum."""
    tracked = tuple(i for i, a in enumerate(arrays) if a.dtype.kind == "f") if tracked is None else tracked
    mine = [tl.tensor(a, requires_grad=i in tracked) for i, a in enumerate(arrays)]
    its = [torch.tensor(a, requires_grad=i in tracked) for i, a in enumerate(arrays)]
    rng = np.random.default_rng(seed)
    outs, refs = listed(ours(*mine)), listed(theirs(*its))
    assert len(outs) == len(refs)
    for o, r in zip(outs, refs):
        close(o, r, rtol, atol, "values")
    pairs = [(o, r, rng.normal(size=r.shape)) for o, r in zip(outs, refs) if r.requires_grad]
    assert [o.requires_grad for o in outs] == [r.requires_grad for r in refs]
    if not pairs or not tracked:
        return
    scalar = sum((o * tl.asarray(c, dtype=o.dtype)).sum() for o, _, c in pairs)
    reference = sum((r * torch.tensor(c, dtype=r.dtype)).sum() for _, r, c in pairs)
    wanted = torch.autograd.grad(reference, [its[i] for i in tracked], create_graph=second, allow_unused=True)
    found = tl.autograd.grad(scalar, [mine[i] for i in tracked], create_graph=second, allow_unused=True)
    for i, f, w in zip(tracked, found, wanted):
        zero = np.zeros_like(arrays[i])
        close(zero if f is None else f, zero if w is None else w, rtol, atol, f"gradient of argument {i}")
    again = [(f, w) for f, w in zip(found, wanted) if w is not None and w.requires_grad]
    if not second or not again:
        return
    weights = [rng.normal(size=w.shape) for _, w in again]
    scalar = sum((f * tl.asarray(c, dtype=f.dtype)).sum() for (f, _), c in zip(again, weights))
    reference = sum((w * torch.tensor(c, dtype=w.dtype)).sum() for (_, w), c in zip(again, weights))
    wanted = torch.autograd.grad(reference, [its[i] for i in tracked], allow_unused=True)
    if scalar.requires_grad:
        found = tl.autograd.grad(scalar, [mine[i] for i in tracked], allow_unused=True)
    else:
        found = [None] * len(tracked)
    for i, f, w in zip(tracked, found, wanted):
        zero = np.zeros_like(arrays[i])
        close(zero if f is None else f, zero if w is None else w, rtol * 100, atol * 100,
            f"second-order gradient of argument {i}")
