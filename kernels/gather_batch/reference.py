"""A batch of a data set in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..take_rows.reference import take_rows

__all__ = ["constants", "gather_batch"]


def gather_batch(xp: Any, images: Any, indices: Any, *, factor: Any = 1.0, offset: Any = None, dtype: Any = "float32") -> Any:
    """``images[indices] * factor + offset`` in float32, rounded after the product and after the sum, as ``dtype``.

    images (n, ...) of any real dtype, k indices from -n to n - 1; factor and offset are numbers, or NumPy arrays with one number
    per channel that broadcast to (channels, height, width) images as (channels, 1, 1) does. An offset of None adds nothing.
    ``OutOfRangeError`` (an IndexError) for an index out of range.
    """
    out = xp.astype(take_rows(xp, images, indices, wrap=True, what="gather_batch"), xp.float32)
    out = out * xp.asarray(np.asarray(factor, np.float32))
    if offset is not None:
        out = out + xp.asarray(np.asarray(offset, np.float32))
    wanted = getattr(xp, dtype, None) if isinstance(dtype, str) else dtype
    return xp.astype(out, np.dtype(dtype) if wanted is None else wanted, copy=False)


def constants(shape: tuple[int, ...], factor: Any, offset: Any) -> tuple[Any, Any, int] | None:
    """Factor and offset as float32 vectors, and for how many neighbouring elements of a sample of ``shape`` each number holds.

    None where they vary along more than one axis.
    """
    f = np.asarray(factor, np.float32)
    o = None if offset is None else np.asarray(offset, np.float32)
    if not f.ndim and (o is None or not o.ndim):
        return f.reshape(1), o if o is None else o.reshape(1), max(1, prod(shape))
    both = f.shape if o is None else np.broadcast_shapes(f.shape, o.shape)
    if len(both) > len(shape) or any(m not in (1, n) for m, n in zip(both[::-1], shape[::-1])):
        raise ValueError(f"gather_batch: factor and offset have shapes {f.shape} and {() if o is None else o.shape}; expected "
                         f"such as broadcast to a sample's, {tuple(shape)}")
    varying = [a for a, n in enumerate(both, len(shape) - len(both)) if n != 1]
    if len(varying) > 1:
        return None
    inner = prod(shape[varying[0] + 1:]) if varying else max(1, prod(shape))
    repeats = prod(shape[:varying[0]]) if varying else 1
    factors, offsets = (None if a is None else np.tile(np.broadcast_to(a, both).reshape(-1), repeats) for a in (f, o))
    return factors, offsets, inner
