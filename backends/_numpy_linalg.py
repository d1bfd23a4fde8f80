"""Linear algebra on the CPU where there is more in ``numpy.linalg``, or less, than the references ask for."""
from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tensorlite.backends._substitution import substitute

Reference = Callable[..., Any]


def lstsq(reference: Reference) -> Reference:
    """LAPACK's solver for one matrix; for a batch, which it does not take, the reference."""
    def run(a: Any, b: Any, *, rtol: float) -> Any:
        if a.ndim != 2 or b.ndim != 2 or 0 in a.shape:
            return reference(a, b, rtol=rtol)
        x, _, rank, s = np.linalg.lstsq(a, b, rcond=rtol)
        return x, np.asarray(rank, dtype=np.int64), s
    return run


def cofactors(reference: Reference) -> Reference:
    """det(x) x^-T where that keeps half of the digits; the reference, which takes singular matrices, where it does not."""
    def run(x: Any) -> Any:
        try:
            inverse = np.linalg.inv(x)
        except np.linalg.LinAlgError:
            return reference(x)
        condition = np.abs(x).sum(axis=-2).max(axis=-1, initial=0) * np.abs(inverse).sum(axis=-2).max(axis=-1, initial=0)
        if not (condition < np.finfo(x.dtype).eps ** -0.5).all():
            return reference(x)
        return np.linalg.det(x)[..., None, None] * np.swapaxes(inverse, -1, -2)
    return run


@lru_cache(maxsize=256)
def _masks(n: int, upper: bool, unit: bool) -> tuple[Any, Any]:
    """Where a triangle is, and what stands elsewhere."""
    half = np.tri(n, k=-int(unit), dtype=bool)
    return half.T if upper else half, np.eye(n, dtype=np.float32) if unit else np.float32(0)


def _triangle(x: Any, upper: bool, unit: bool) -> Any:
    mask, rest = _masks(x.shape[-1], upper, unit)   # np.tril makes its mask anew, which takes longer than to use it
    return np.where(mask, x, rest)


def solve_triangular(a: Any, b: Any, *, upper: bool, unit: bool = False) -> Any:
    return substitute(np, np.linalg.solve, _triangle, a, b, upper=upper, unit=unit)


IMPLEMENTATIONS: dict[str, Any] = {"solve_triangular": solve_triangular}
WITH_REFERENCE: dict[str, Callable[[Reference], Reference]] = {"lstsq": lstsq, "cofactors": cofactors}
