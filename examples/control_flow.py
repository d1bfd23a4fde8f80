"""Differentiating through Python's own while and if: what ran is what is differentiated. And loops that keep a few states only.

f doubles a until its norm reaches 1000, and multiplies by 100 where the sum is not positive. It is piecewise linear, so the
gradient is f(a) / a, up to the rounding of that division.
"""
from __future__ import annotations

from typing import Any

import tensorlite as tl
from tensorlite.random import manual_seed


def f(a: Any) -> Any:
    b = a * 2
    while b.norm() < 1000:
        b = b * 2
    if b.sum() > 0:  # noqa: SIM108
        c = b
    else:
        c = 100 * b
    return c


def orbit(x: Any, steps: int, snapshots: int) -> Any:
    """``steps`` turns of x -> 3.7 x (1 - x), of which reverse mode keeps ``snapshots`` states and computes the others again."""
    return tl.scan(lambda x, _: (3.7 * x * (1 - x), None), x, None, length=steps, snapshots=snapshots)[0]


if __name__ == "__main__":
    manual_seed(0)
    for _ in range(4):
        a = tl.randn(size=(), requires_grad=True)
        d = f(a)
        d.backward()
        print(f"a = {a.item():+.6f}  f(a) = {d.item():+12.4f}  a.grad = {a.grad.item():10.1f}  f(a)/a = {(d / a).item():10.1f}")
    a = tl.tensor(-0.71852928, requires_grad=True)
    f(a).backward()
    print("the lecture's a = -0.71852928:", a.grad.item())
    many = tl.tensor([0.48851716, -0.71852928, 3.0])
    print("a batch, each along its own path:", tl.vmap(tl.grad(f), branching="group")(many))

    halve = lambda a: tl.while_loop(lambda s: s[0] > 1, lambda s: (s[0] / 2, s[1] + 1), (a, 0))
    print("while_loop in a batch:", tl.vmap(halve)(many.abs() * 10))
    x = tl.tensor(0.2, dtype=tl.float64, requires_grad=True)
    for snapshots in (100, 10, 3):
        x.grad, y = None, orbit(x, 100, snapshots)
        nodes = len(tl.debug.graph(y))
        y.backward()
        print(f"100 steps, {snapshots} states kept: {nodes} nodes, dy/dx = {x.grad.item():.6e}")
