"""How many passes a Jacobian takes is a matter of its zeros: columns, or rows, that share none are computed together."""
from __future__ import annotations

from typing import Any

import tensorlite as tl
from tensorlite.func import jacobian, jacobian_plan, jacobian_sparsity


def heat(u: Any) -> Any:
    """Heat flow along a rod, by neighbours: three diagonals."""
    return u[:-2] - 2 * u[1:-1] + u[2:] + 0.1 * tl.exp(-u[1:-1])


def hub(x: Any) -> Any:
    """One result of all inputs, one input to all results: a full row, a full column, and a diagonal."""
    return tl.concat([(x * x).sum().reshape(1), x[0] * tl.sin(x[1:])])


def mixture(x: Any) -> Any:
    """Independent groups of four: blocks."""
    return tl.softmax(x.reshape(-1, 4), axis=1).reshape(-1)


if __name__ == "__main__":
    x = tl.linspace(0.1, 1, 40, dtype=tl.float64)
    for f in (heat, hub, mixture):
        pattern = jacobian_sparsity(f, x)
        plan = jacobian_plan(pattern)
        same = tl.allclose(jacobian(f, sparsity="detect")(x), jacobian(f)(x), rtol=1e-12)
        print(f"{f.__name__:8} {pattern.shape[0]} x {pattern.shape[1]}, {pattern.sum()} entries: {plan.columns.max() + 1} passes "
              f"forward and {plan.rows.max() + 1} in reverse, not {min(pattern.shape)}; the same Jacobian: {same}")
