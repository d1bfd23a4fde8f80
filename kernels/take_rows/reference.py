"""Rows of a table at given indices, in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from math import prod
from typing import Any

from ..check_indices.reference import check_indices

__all__ = ["take_rows"]


def take_rows(xp: Any, table: Any, indices: Any, *, wrap: bool = False, what: str = "take_rows") -> Any:
    """``out[i] = table[indices[i]]``: (n, ...) and (*k) integers give (*k, ...).

    ``wrap``: -n to -1 count from the end; without it they are out of range. ``what``: the operation that errors name.
    ``OutOfRangeError`` (an IndexError) for an index out of range.
    """
    rows = table.shape[0]
    check_indices(xp, indices, low=-rows if wrap else 0, high=rows, what=what, axis=0, shape=tuple(table.shape))
    if not indices.size:
        return xp.zeros((*indices.shape, *table.shape[1:]), dtype=table.dtype)
    flat = xp.reshape(indices, (prod(indices.shape),))
    flat = xp.where(flat < 0, flat + rows, flat) if wrap else flat
    return xp.reshape(xp.take(table, flat, axis=0), (*indices.shape, *table.shape[1:]))
