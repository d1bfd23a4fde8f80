"""Random programs of views, changes in place and plain operations: PyTorch's values and gradients, or an InplaceError."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import GradError, InplaceError

torch = pytest.importorskip("torch")

VIEWS = [
    lambda t: t[0],
    lambda t: t[-1:],
    lambda t: t[..., 1:],
    lambda t: t.reshape(-1),
    lambda t: t.unsqueeze(0),
    lambda t: t[None, ...],
    lambda t: t.transpose(0, -1),
    lambda t: t[::2],
    lambda t: t[..., 0],
    lambda t: t.unbind(0)[0],
    lambda t: t.split(1)[-1],
    lambda t: t.diagonal() if t.ndim >= 2 else t[:1],
    lambda t: t.flatten(),
]
COPIES = [
    lambda t: t * 1.5,
    lambda t: t.exp() * 0.1,
    lambda t: t.clone(),
    lambda t: t * t,
    lambda t: t.sin(),
    lambda t: t.flip(0) * 1.0,
    lambda t: t[[0, 0]] * 1.0,
    lambda t: t.tanh(),
]
CHANGES = [
    "add_",
    "mul_",
    "setitem",
    "tanh_",
    "zero_",
    "copy_",
    "iadd",
    "setself",
    "mul_self",
    "add_other",
    "mul_other",
    "set_mask",
    "set_twice",
]


class Program:
    """The same random statements, run with either library."""

    def __init__(self, seed: int, length: int) -> None:
        rng = random.Random(seed)
        self.plan = [
            (rng.random(), rng.randrange(1 << 30), rng.randrange(1 << 30), rng.randrange(1 << 30)) for _ in range(length)
        ]
        data = np.random.default_rng(seed)
        self.start = [data.normal(size=(3, 4)), data.normal(size=(4,)), data.normal(size=(2, 3, 2))]

    def run(self, lib: Any, make: Any) -> tuple[list[Any], Any, list[str]]:
        """Leaves, their gradients' source, and a listing. ``lib`` gives sum and where."""
        leaves = [make(a) for a in self.start]
        pool = [leaf * 1.0 for leaf in leaves] + [make(np.ones((3, 3))).detach()]
        listing: list[str] = []
        for choice, which, how, other in self.plan:
            t = pool[which % len(pool)]
            u = pool[other % len(pool)]
            if choice < 0.35 and t.ndim and 0 not in tuple(t.shape):
                k = how % len(VIEWS)
                pool.append(VIEWS[k](t))
                listing.append(f"v{len(pool) - 1} = view{k}(v{which % len(pool[:-1])})")
            elif choice < 0.5 and t.ndim and 0 not in tuple(t.shape):
                k = how % len(COPIES)
                pool.append(COPIES[k](t))
                listing.append(f"v{len(pool) - 1} = copy{k}(v{which % len(pool[:-1])})")
            else:
                kind = CHANGES[how % len(CHANGES)]
                listing.append(f"{kind}(v{which % len(pool)}, v{other % len(pool)})")
                self.change(kind, t, u, make)
        loss = 0.0
        for k, t in enumerate(pool):
            loss = loss + (t * (0.3 + 0.1 * k)).sum()
        return leaves, loss, listing

    @staticmethod
    def change(kind: str, t: Any, u: Any, make: Any) -> None:
        scalar = u.reshape(-1)[0] * 1.0 if 0 not in tuple(u.shape) else None  # PyTorch misreads a scalar that looks into t
        if 0 in tuple(t.shape) or scalar is None:
            return
        if kind == "add_":
            t.add_(1.0)
        elif kind == "mul_":
            t.mul_(0.7)
        elif kind == "setitem" and t.ndim:
            t[0] = scalar * 2.0
        elif kind == "tanh_":
            t.tanh_()
        elif kind == "zero_":
            t.zero_()
        elif kind == "copy_" and t.ndim and tuple(u.shape[-1:]) in ((1,), tuple(t.shape[-1:])) and u.ndim == 1:
            t.copy_(u * 1.0)
        elif kind == "iadd":
            t += scalar
        elif kind == "setself" and t.ndim and t.shape[0] > 1:
            t[1:] = t[:-1].clone()
        elif kind == "mul_self":
            t.mul_(t)
        elif kind == "add_other" and tuple(t.shape) == tuple(u.shape):
            t.add_(u)
        elif kind == "mul_other" and tuple(t.shape) == tuple(u.shape):
            t.mul_(u)
        elif kind == "set_mask":
            mask = t > 0.3
            t[mask] = scalar
        elif kind == "set_twice" and t.ndim and t.shape[0] > 1:  # for a place named twice PyTorch counts both values
            t[[0, -1]] = scalar * 3.0


def outcome(program: Program, lib: str) -> tuple[str, Any]:
    try:
        if lib == "torch":
            leaves, loss, listing = program.run(torch, lambda a: torch.tensor(a, requires_grad=True))
        else:
            leaves, loss, listing = program.run(tl, lambda a: tl.tensor(a, requires_grad=True))
        value = loss.item()
    except (RuntimeError, ZeroDivisionError) as error:
        return "refused", error
    try:
        loss.backward()
    except RuntimeError as error:
        return "stale", (value, error)
    return "fine", (value, [None if leaf.grad is None else np.array(leaf.grad.tolist()) for leaf in leaves], listing)


def compare(seed: int, length: int) -> tuple[str, str]:
    program = Program(seed, length)
    kind_t, theirs = outcome(program, "torch")
    kind, ours = outcome(program, "tensorlite")
    note = f"seed {seed}, length {length}: ours {kind} {ours}, PyTorch {kind_t} {theirs}"
    if kind == "refused":
        assert isinstance(ours, GradError), note
        assert kind_t == "refused", note
    if kind == "stale":
        assert isinstance(ours[1], InplaceError), note
        assert kind_t != "fine", note
    if kind == "fine" and kind_t == "fine":
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10, err_msg=note)
        for mine, its in zip(ours[1], theirs[1]):
            np.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-12, err_msg=note)
    elif kind == "fine" and length <= 12:  # where PyTorch refuses: the slope along a random direction
        direction = [np.random.default_rng(seed + 1).normal(size=a.shape) for a in program.start]
        step, start, ends = 1e-6, program.start, []
        for sign in (1, -1):
            program.start = [a + sign * step * d for a, d in zip(start, direction)]
            ends.append(outcome(program, "tensorlite")[1][0])
        program.start = start
        slope = sum(float((g * d).sum()) for g, d in zip(ours[1], direction) if g is not None)
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-5, err_msg=note)
    return kind, kind_t


COUNT = int(os.environ.get("TENSORLITE_PROGRAMS", "150"))
SEED = int(os.environ.get("TENSORLITE_SEED", "0"))


@pytest.mark.parametrize("length", [3, 6, 12, 20])
def test_random_programs_agree_with_pytorch(length: int) -> None:
    seen = [compare(SEED + k, length) for k in range(COUNT)]
    assert sum(s == ("fine", "fine") for s in seen) > COUNT // 10
