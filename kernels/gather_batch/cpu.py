"""A batch of a data set for the CPU: rows gathered, converted and normalised in one pass instead of four."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from ..check_indices.cpu import check_indices
from .reference import constants
from .reference import gather_batch as reference

__all__ = ["gather_batch"]

GRAIN = 500_000  # elements worth a thread: 100 us of work
LEAST = 16        # elements that share a factor: fewer make a loop that is all overhead


@jit(nogil=True)
def _gather(low: Any, high: Any, images: Any, indices: Any, factors: Any, offsets: Any, inner: Any, out: Any) -> None:
    for i in range(low, high):
        for channel in range(factors.size):
            first, f = channel * inner, factors[channel]
            row, to = images[indices[i], first:first + inner], out[i, first:first + inner]
            if offsets.size:
                o = offsets[channel]
                for j in range(to.size):
                    to[j] = np.float32(row[j]) * f + o
            else:
                for j in range(to.size):
                    to[j] = np.float32(row[j]) * f


def gather_batch(images: Any, indices: Any, *, factor: Any = 1.0, offset: Any = None, dtype: Any = "float32") -> Any:
    """See :func:`.reference.gather_batch`, with the same bits; what is not uint8 or float32, or not to be, is left to it."""
    found = constants(images.shape[1:], factor, offset)
    if (np.dtype(dtype) != np.float32 or images.dtype.char not in "Bf" or found is None or found[2] < LEAST
            or not images.flags.c_contiguous or not (images.size and indices.size)):
        return reference(np, images, indices, factor=factor, offset=offset, dtype=dtype)
    rows, width = images.shape[0], prod(images.shape[1:])
    check_indices(indices, low=-rows, high=rows, what="gather_batch", axis=0, shape=images.shape)
    factors, offsets, inner = found
    out = np.empty((indices.size, width), np.float32)
    run(_gather, indices.size, max(1, GRAIN // width), images.reshape(rows, width), indices.reshape(-1), factors,
        np.empty(0, np.float32) if offsets is None else offsets, inner, out)
    return out.reshape(indices.size, *images.shape[1:])
