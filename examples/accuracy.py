"""Automatic differentiation is no approximation: its error is that of rounding. What it costs is memory, in reverse mode.

f(x) = log(x^2) sin x + 1/x, whose derivative by hand is 2 sin(x)/x + log(x^2) cos x - 1/x^2.
"""
from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

X = tl.linspace(0.5, 5, 1000, dtype=tl.float64)


def f(x: Any) -> Any:
    return tl.log(x ** 2) * tl.sin(x) + 1 / x


def errors() -> dict[str, float]:
    """The largest error of the derivative at 1000 points, relative to its largest value; differences with their best step."""
    x = X.numpy()
    exact = 2 * np.sin(x) / x + np.log(x * x) * np.cos(x) - 1 / x ** 2
    worst = lambda d: float(np.abs(d.numpy() - exact).max() / np.abs(exact).max())
    steps = [10.0 ** -k for k in range(2, 12)]
    return {"reverse": worst(tl.grad(lambda x: f(x).sum())(X)),
            "forward": worst(tl.jvp(f, (X,), (tl.ones_like(X),))[1]),
            "central differences": min(worst((f(X + h) - f(X - h)) / (2 * h)) for h in steps),
            "forward differences": min(worst((f(X + h) - f(X)) / h) for h in steps)}


def peak_bytes() -> dict[str, int]:
    """The most memory held at once, of f applied 20 times over."""
    def many(x: Any) -> Any:
        for _ in range(20):
            x = 2 + tl.sin(f(x))
        return x.sum()
    return {"plain": _peak(lambda: many(X)), "forward": _peak(lambda: tl.jvp(many, (X,), (tl.ones_like(X),))),
            "reverse": _peak(lambda: tl.grad(many)(X))}


def _peak(run: Callable[[], Any]) -> int:
    run()
    tracemalloc.start()
    run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


if __name__ == "__main__":
    for name, error in errors().items():
        print(f"{name:20} error {error:.1e}")
    for name, size in peak_bytes().items():
        print(f"{name:20} peak  {size} bytes")
