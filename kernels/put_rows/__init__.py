"""Rows written where indices say; of several for one place the last stays."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import put_rows

__all__ = ["kernel"]


def cost(x: Any, v: Any, indices: Any, **options: Any) -> Cost:
    """x copied, the rows read and written, the indices read."""
    return Cost(2 * x.size * x.dtype.itemsize + 2 * v.size * v.dtype.itemsize + indices.size * indices.dtype.itemsize, 0)


kernel = Kernel("put_rows", put_rows, cost, cpu=f"{__name__}.cpu:put_rows", cuda=f"{__name__}.cuda:put_rows")
