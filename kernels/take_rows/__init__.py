"""Rows of a table at given indices, each index checked."""
from __future__ import annotations

from math import prod
from typing import Any

from .. import Cost, Kernel
from .reference import take_rows

__all__ = ["kernel"]


def cost(table: Any, indices: Any, **options: Any) -> Cost:
    """The rows read and written, the indices read."""
    moved = indices.size * prod(table.shape[1:]) * table.dtype.itemsize
    return Cost(2 * moved + indices.size * indices.dtype.itemsize, 0)


kernel = Kernel("take_rows", take_rows, cost, cpu=f"{__name__}.cpu:take_rows", cuda=f"{__name__}.cuda:take_rows")
