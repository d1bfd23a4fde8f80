"""Outer products in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from typing import Any

__all__ = ["outer"]


def outer(xp: Any, x: Any, y: Any) -> Any:
    """x_i y_j of each pair of rows: (..., n) and (..., m) give (..., n, m); the axes in front must be the same.

    Raises ``ValueError`` if they differ.
    """
    if tuple(x.shape[:-1]) != tuple(y.shape[:-1]):
        raise ValueError(f"outer: x has shape {tuple(x.shape)} and y has shape {tuple(y.shape)}; expected the same axes before "
                         "the last")
    return xp.multiply(xp.expand_dims(x, axis=-1), xp.expand_dims(y, axis=-2))
