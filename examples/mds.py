"""Multidimensional scaling by gradient descent: find points whose squared distances are those given.

loss(W) = sum over i, j of (|W_i - W_j|^2 - D_ij)^2, N = 10 points in the plane, learning
rate 1e-3. Run it with a seed: python mds.py 3
"""
from __future__ import annotations

import sys
from typing import Any

import tensorlite as tl


def squared_distances(w: Any) -> Any:
    """(N, N) of |w_i - w_j|^2."""
    difference = w[:, None, :] - w[None, :, :]
    return tl.square(difference).sum(axis=-1)


def loss(w: Any, d: Any) -> Any:
    return tl.square(squared_distances(w) - d).sum()


def solve(seed: int, steps: int = 3000, lr: float = 1e-3, report: bool = False) -> float:
    """The loss after ``steps`` of gradient descent from a random start, for random points."""
    tl.manual_seed(seed)
    d = squared_distances(tl.randn(10, 2, dtype=tl.float64))
    w = tl.randn(10, 2, dtype=tl.float64)
    step = tl.value_and_grad(loss)
    for k in range(steps):
        value, gradient = step(w, d)
        w = w - lr * gradient
        if report and k % (steps // 6) == 0:
            print(f"step {k:5}  loss {value.item():.3e}")
    return float(loss(w, d).item())


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    print(f"final loss {solve(numbers[0] if numbers else 0, report=True):.3e}")
