"""Derivatives through a least-squares solution and through an SVD, also where singular values are repeated.

The rule of the SVD has 1 / (s_i^2 - s_j^2) in it. Where two are equal, and the loss does not depend on which of the equal vectors
come out, the terms cancel: the derivative exists, and is found.
"""
from __future__ import annotations

from typing import Any

import tensorlite as tl


def polar(a: Any) -> Any:
    """The orthogonal matrix nearest to a: U V^T."""
    u, _, vh = tl.linalg.svd(a)
    return u @ vh


if __name__ == "__main__":
    a = tl.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], dtype=tl.float64)
    b = tl.tensor([1.0, 2.0, 4.0], dtype=tl.float64)
    slope = lambda a, b: tl.linalg.lstsq(a, b).solution[1]
    print("slope of the line through three points:", slope(a, b).item())
    print("its derivative by their heights:", tl.grad(slope, 1)(a, b))
    print("the same in forward mode:       ", tl.func.jacfwd(slope, 1)(a, b))

    turn = tl.tensor([[0.0, -2.0], [2.0, 0.0]], dtype=tl.float64)   # both singular values are 2
    print("singular values:", tl.linalg.svdvals(turn))
    corner = lambda a: polar(a)[0, 0]
    units = 1e-6 * tl.eye(4, dtype=tl.float64).reshape(4, 2, 2)
    print("gradient of a corner of U V^T:", tl.grad(corner)(turn).flatten())
    print("by central differences:       ", tl.stack([(corner(turn + h) - corner(turn - h)) / 2e-6 for h in units]))
