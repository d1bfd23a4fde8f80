"""A deep equilibrium model (Bai et al. 2019) on the handwritten digits: z = tanh(z W + x U + b), read out where z stands still.

Its gradient comes from the equation, not from the iterations: the same as that of a network of as many layers as there are
steps, without keeping them.
"""
from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import numpy as np

import tensorlite as tl

HIDDEN = 32
SHAPES = {"W": (HIDDEN, HIDDEN), "U": (64, HIDDEN), "b": (HIDDEN,), "V": (HIDDEN, 10), "c": (10,)}


def cell(z: Any, w: Any, ux: Any) -> Any:
    return tl.tanh(z @ w + ux)


def implicit(z: Any, w: Any, ux: Any) -> Any:
    return tl.fixed_point(cell, z, w, ux, tol=1e-5)


def unrolled(z: Any, w: Any, ux: Any) -> Any:
    for _ in range(30):
        z = cell(z, w, ux)
    return z


def logits(p: dict[str, Any], x: Any, equilibrium: Any = implicit) -> Any:
    of_each = tl.vmap(equilibrium, in_axes=(None, None, 0))   # one example's Jacobian is 32 x 32
    return of_each(tl.zeros(HIDDEN), p["W"], x @ p["U"] + p["b"]) @ p["V"] + p["c"]


def loss(p: dict[str, Any], x: Any, y: Any, equilibrium: Any = implicit) -> Any:
    return tl.nn.functional.cross_entropy(logits(p, x, equilibrium), y)


if __name__ == "__main__":
    tl.manual_seed(0)
    epochs = 3 if "--quick" in sys.argv else 10
    (x, y), (x_test, y_test) = (tl.data.load("digits", train=t, flat=True)[:] for t in (True, False))
    p = {k: tl.randn(*s) * (0.1 if k == "W" else 0.2) if len(s) > 1 else tl.zeros(*s) for k, s in SHAPES.items()}
    one, other = (tl.grad(loss)(p, x[:64], y[:64], e) for e in (implicit, unrolled))
    print(f"largest difference of the gradients: {max(np.abs((one[k] - other[k]).numpy()).max() for k in p):.0e}")
    p, start = {k: v.requires_grad_() for k, v in p.items()}, perf_counter()
    optimizer = tl.optim.Adam(p.values(), lr=3e-3)
    for _ in range(epochs):
        for k in range(0, len(y) - 63, 64):
            loss(p, x[k:k + 64], y[k:k + 64]).backward()
            optimizer.step()
            optimizer.zero_grad()
    right = (logits(p, x_test).argmax(-1) == y_test).astype(tl.float32).mean().item()
    print(f"test accuracy {100 * right:.1f} % after {epochs} epochs, {perf_counter() - start:.1f} s")
