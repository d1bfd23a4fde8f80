"""Mean and variance of each row in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from typing import Any

from .._normalization import moments

__all__ = ["row_moments"]


def row_moments(xp: Any, x: Any, *, center: bool = True) -> Any:
    """(mean, biased variance) of each row of x (n, m), as (n, 1); without ``center`` zero and the mean square. Half: float32."""
    return moments(xp, x, axes=(1,), center=center)
