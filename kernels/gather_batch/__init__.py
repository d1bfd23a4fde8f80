"""A batch of a data set: rows at given indices, as normalised floats."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import Cost, Kernel
from .reference import gather_batch

__all__ = ["kernel"]


def cost(images: Any, indices: Any, *, dtype: Any = "float32", **options: Any) -> Cost:
    """The rows read as they are and written as floats, a product and a sum an element."""
    n = indices.size * prod(images.shape[1:])
    size = 2 if str(dtype) in ("float16", "bfloat16") else np.dtype(dtype).itemsize
    return Cost(n * (images.dtype.itemsize + size) + indices.size * indices.dtype.itemsize, 2 * n)


kernel = Kernel("gather_batch", gather_batch, cost, cpu=f"{__name__}.cpu:gather_batch", cuda=f"{__name__}.cuda:gather_batch")
