"""A linear layer forward and backward: what the backend runs, against the fastest products that the library has."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tensorlite.kernels import Cost

from ._cases import Case, Problem
from ._device import Candidate, Cpu, Cuda

__all__ = ["cost", "limit", "reference", "variants"]


def cost(problem: Problem) -> Cost:
    """Three products; every array once for each product that it is in."""
    x, w = problem.args[:2]
    (n, k), m = x.shape, w.shape[0]
    return Cost(3 * (n * k + m * k + n * m) * x.dtype.itemsize, 6 * n * k * m)


def reference(xp: Any, x: Any, w: Any, b: Any, g: Any) -> tuple[Any, ...]:
    """``(x w^T + b, g w, g^T x, the sum of g's rows)``."""
    return x @ w.T + b, g @ w, g.T @ x, xp.sum(g, axis=0)


def variants(device: Cpu | Cuda, case: Case) -> dict[str, Callable[[], Callable[..., Any]]]:
    """Label -> what gives ``run(x, w, b, g)``, as :meth:`Cpu.variants` has it."""
    return {"tensorlite": lambda: _ours(device, case.dtype == "tf32")}


def _ours(device: Cpu | Cuda, tf32: bool) -> Callable[..., Any]:
    from tensorlite.ops.contraction import linear_backward_p, linear_p
    forward, backward = (device.backend.implementation(p.name, p.forward) for p in (linear_p, linear_backward_p))

    def run(x: Any, w: Any, b: Any, g: Any) -> Any:
        if isinstance(device, Cuda):
            device.runtime.tf32 = tf32
        return (forward(x, w, b), *backward(g, x, w, needs=(True, True, True)))
    return run


def limit(device: Cpu | Cuda, case: Case, problems: list[Problem]) -> tuple[str, Callable[[], Candidate]]:
    """(label, what makes the candidate): the three products alone, no bias and no sum, each by the fastest of 16 algorithms."""
    if not isinstance(device, Cuda):
        return "numpy", lambda: Candidate([partial(reference, device.xp, *p.args) for p in problems])
    tf32, cupy = case.dtype == "tf32", device.cupy

    def make() -> Candidate:
        from tensorlite.backends._cublaslt import CublasLt
        multiply = CublasLt(cupy, tries=16).matmul

        def products(x: Any, w: Any, b: Any, g: Any) -> Any:
            return multiply(x, w, False, True, tf32=tf32), multiply(g, w, tf32=tf32), multiply(g, x, True, False, tf32=tf32)
        return Candidate([partial(products, *p.args) for p in problems])
    return "cublaslt best", make
