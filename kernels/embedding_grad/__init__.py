"""The gradient of a look-up table: rows summed where their indices say."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import embedding_grad

__all__ = ["kernel"]


def cost(g: Any, indices: Any, *, rows: int, padding_idx: int | None = None) -> Cost:
    """The gradient and the indices read once, the table written, and read and written where rows are added."""
    table = rows * (g.size // max(indices.size, 1)) * g.dtype.itemsize
    return Cost(3 * g.size * g.dtype.itemsize + indices.size * indices.dtype.itemsize + table, g.size)


kernel = Kernel("embedding_grad", embedding_grad, cost, cpu=f"{__name__}.cpu:embedding_grad",
                cuda=f"{__name__}.cuda:embedding_grad")
