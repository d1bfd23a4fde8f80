"""The chain rule path by path: y reaches f three ways, and the gradient is the sum of the products along them."""
from __future__ import annotations

from typing import Any

import tensorlite as tl


def f(y: Any) -> Any:
    u = tl.sin(y)
    a = tl.exp(u)     # y -> u -> a -> f
    v = tl.cos(y)
    b = tl.square(v)  # y -> v -> b -> f
    return a * u + b  # and y -> u -> f


if __name__ == "__main__":
    y = tl.tensor(0.7, dtype=tl.float64)
    paths = tl.debug.explain(f, y)
    print(paths)
    print("reverse mode:", tl.grad(f)(y).item())
