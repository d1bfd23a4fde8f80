"""A batch of a data set, augmented, for the CPU: gathered, moved, mirrored, cut, converted and normalised in one pass."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from ..check_indices.cpu import check_indices
from .reference import augment_batch as reference
from .reference import channel_constants, check, out_size

__all__ = ["augment_batch"]

GRAIN = 300_000   # elements worth a thread: 100 us of work


@jit(nogil=True)
def _augment(low: Any, high: Any, images: Any, indices: Any, moves: Any, cut: Any, fills: Any, factors: Any, offsets: Any,
             out: Any) -> None:
    height, width = images.shape[2], images.shape[3]
    rows, columns = out.shape[2], out.shape[3]
    for i in range(low, high):
        down, right, mirrored = moves[i, 0], moves[i, 1], moves[i, 2] != 0
        cut_row, cut_column = moves[i, 3], moves[i, 4]
        first, last = min(max(-right, 0), columns), max(min(width - right, columns), 0)   # columns that lie in the image
        last = max(first, last)
        cut_first, cut_last = max(cut_column, 0), min(cut_column + cut, columns)
        for channel in range(factors.size):
            f = factors[channel]
            filling = fills[channel] * f
            if offsets.size:
                filling = filling + offsets[channel]
            for y in range(rows):
                to = out[i, channel, y]
                if y + down < 0 or y + down >= height:
                    to[:] = filling
                    continue
                row = images[indices[i], channel, y + down, first + right:last + right]
                if mirrored:
                    into = to[columns - last:columns - first]
                    to[:columns - last] = filling
                    to[columns - first:] = filling
                    n = last - first
                    if offsets.size:
                        o = offsets[channel]
                        for x in range(n):
                            into[x] = np.float32(row[n - 1 - x]) * f + o
                    else:
                        for x in range(n):
                            into[x] = np.float32(row[n - 1 - x]) * f
                else:
                    into = to[first:last]
                    to[:first] = filling
                    to[last:] = filling
                    if offsets.size:
                        o = offsets[channel]
                        for x in range(last - first):
                            into[x] = np.float32(row[x]) * f + o
                    else:
                        for x in range(last - first):
                            into[x] = np.float32(row[x]) * f
                if cut_row <= y < cut_row + cut:
                    for x in range(cut_first, cut_last):
                        to[x] = filling


def augment_batch(images: Any, indices: Any, moves: Any, *, size: Any = None, cut: int = 0, fill: Any = 0, factor: Any = 1.0,
                  offset: Any = None, dtype: Any = "float32") -> Any:
    """See :func:`.reference.augment_batch`, with the same bits; what is not uint8 or float32, or not to be, is left to it."""
    check(images, indices, moves)
    n, channels = images.shape[:2]
    found = channel_constants(channels, fill, factor, offset)
    if (np.dtype(dtype) != np.float32 or images.dtype.char not in "Bf" or found is None or not images.flags.c_contiguous
            or not (images.size and indices.size)):
        return reference(np, images, indices, moves, size=size, cut=cut, fill=fill, factor=factor, offset=offset, dtype=dtype)
    check_indices(indices, low=-n, high=n, what="augment_batch", axis=0, shape=images.shape)
    fills, factors, offsets = found
    fills = fills.astype(images.dtype).astype(np.float32)
    out = np.empty((indices.size, channels, *out_size(images, size)), np.float32)
    run(_augment, indices.size, max(1, GRAIN // max(out[0].size, 1)), images, indices, moves.astype(np.int64, copy=False), int(cut),
        fills, factors, offsets, out)
    return out
