"""Differentiating through Python's own while and if: what ran is what is differentiated.

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
