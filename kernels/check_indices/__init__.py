"""Whether integers are within a range: what array libraries for GPUs leave unchecked."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import check_indices

__all__ = ["kernel"]


def cost(indices: Any, **options: Any) -> Cost:
    """One read, two comparisons an element."""
    return Cost(indices.size * indices.dtype.itemsize, 2 * indices.size)


kernel = Kernel("check_indices", check_indices, cost, cpu=f"{__name__}.cpu:check_indices", cuda=f"{__name__}.cuda:check_indices")
