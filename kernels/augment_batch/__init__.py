"""A batch of a data set, augmented: images at given indices, moved, mirrored and cut into, as normalised floats."""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import Cost, Kernel
from .reference import augment_batch, out_size

__all__ = ["kernel"]


def cost(images: Any, indices: Any, moves: Any, *, size: Any = None, dtype: Any = "float32", **options: Any) -> Cost:
    """The images read as they are and written as floats, a product and a sum an element."""
    height, width = out_size(images, size)
    n = indices.size * images.shape[1] * height * width
    to = 2 if str(dtype) in ("float16", "bfloat16") else np.dtype(dtype).itemsize
    tables = indices.size * indices.dtype.itemsize + moves.size * moves.dtype.itemsize
    return Cost(n * (images.dtype.itemsize + to) + tables, 2 * n)


kernel = Kernel("augment_batch", augment_batch, cost, cpu=f"{__name__}.cpu:augment_batch", cuda=f"{__name__}.cuda:augment_batch")
