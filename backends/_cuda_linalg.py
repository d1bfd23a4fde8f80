"""Linear algebra on CUDA: cuSOLVER and cuBLAS through ``cupy.linalg``, with what it lacks beside the standard.

Nothing waits for the device: as in CuPy, a singular matrix gives inf or nan (``cupyx.errstate(linalg="raise")`` makes CuPy look,
and raise). CuPy 13 has no eigenvalues of matrices that are not Hermitian, and solves triangular systems one at a time.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from tensorlite.backends._substitution import substitute
from tensorlite.errors import BackendUnavailable


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    cupy = backend.cupy
    linalg = cupy.linalg

    def alike(a: Any, b: Any) -> tuple[Any, Any]:
        """Both with the same batch axes, which CuPy's solvers ask for."""
        if a.shape[:-2] == b.shape[:-2]:
            return a, b
        batch = cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return cupy.broadcast_to(a, (*batch, *a.shape[-2:])), cupy.broadcast_to(b, (*batch, *b.shape[-2:]))

    def solve(a: Any, b: Any) -> Any:
        return linalg.solve(*alike(a, b))

    def triangle(x: Any, upper: bool, unit: bool) -> Any:
        half = cupy.triu(x, int(unit)) if upper else cupy.tril(x, -int(unit))
        return half + cupy.eye(x.shape[-1], dtype=x.dtype) if unit else half

    def solve_triangular(a: Any, b: Any, *, upper: bool, unit: bool = False) -> Any:
        a, b = alike(a, b)
        if 0 in a.shape or 0 in b.shape or (a.ndim > 2 and int(cupy.__version__.partition(".")[0]) < 14):
            return substitute(cupy, solve, triangle, a, b, upper=upper, unit=unit)
        scipy_linalg = import_module(cupy.__name__.replace("cupy", "cupyx") + ".scipy.linalg")
        a = a.astype(cupy.result_type(a, b), copy=False)   # it takes the dtype of a for both
        return scipy_linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unit, check_finite=False)

    def pinv(x: Any, *, rtol: float) -> Any:
        return linalg.pinv(x, rcond=rtol)

    def general(name: str) -> Callable[..., Any]:
        def run(x: Any) -> Any:
            function = getattr(linalg, name, None)
            if function is None:
                raise BackendUnavailable(f"{name}: CuPy {cupy.__version__} has no eigenvalues of matrices that are not "
                                         "Hermitian; take CuPy 14 or the CPU, or eigh for Hermitian matrices")
            return function(x)
        return run
    return {"solve": solve, "solve_triangular": solve_triangular, "pinv": pinv, "svdvals": partial(linalg.svd, compute_uv=False),
            "eig": general("eig"), "eigvals": general("eigvals")}
