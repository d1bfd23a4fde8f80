"""A Hessian-vector product three ways: the lecture's snippet (reverse over reverse), forward over reverse, by the matrix."""
from __future__ import annotations

from typing import Any

import tensorlite as jnp
from tensorlite import grad


def hvp(f: Any, x: Any, v: Any) -> Any:
    return grad(lambda x: jnp.vdot(grad(f)(x), v))(x)


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


if __name__ == "__main__":
    x, v = jnp.linspace(-1, 1, 5, dtype=jnp.float64), jnp.asarray([1.0, 0.0, -1.0, 0.0, 2.0], dtype=jnp.float64)
    print("the snippet:         ", hvp(rosenbrock, x, v))
    print("forward over reverse:", jnp.func.hvp(rosenbrock, (x,), (v,))[1])
    print("the whole matrix:    ", jnp.hessian(rosenbrock)(x) @ v)
