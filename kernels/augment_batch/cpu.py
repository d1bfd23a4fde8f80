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
def _fill(out: Any, start: Any, stop: Any, value: Any) -> None:
    for x in range(np.uint64(start), np.uint64(stop)):
        out[x] = value


@jit(nogil=True)
def _line(out: Any, to: Any, n: Any, images: Any, at: Any, mirrored: Any, f: Any, o: Any, adds: Any) -> None:
    """Places are unsigned: those cannot count from the end, and so the loops are vectorised."""
    to, at = np.uint64(to), np.uint64(at)
    if mirrored:
        at = at + np.uint64(n - 1)
        if adds:
            for x in range(np.uint64(n)):
                out[to + x] = np.float32(images[at - x]) * f + o
        else:
            for x in range(np.uint64(n)):
                out[to + x] = np.float32(images[at - x]) * f
    elif adds:
        for x in range(np.uint64(n)):
            out[to + x] = np.float32(images[at + x]) * f + o
    else:
        for x in range(np.uint64(n)):
            out[to + x] = np.float32(images[at + x]) * f


@jit(nogil=True)
def _augment(low: Any, high: Any, images: Any, count: Any, height: Any, width: Any, indices: Any, moves: Any, cut: Any,
             fills: Any, factors: Any, offsets: Any, rows: Any, columns: Any, out: Any) -> None:
    channels, adds = factors.size, offsets.size > 0
    for i in range(low, high):
        image = indices[i] + count if indices[i] < 0 else indices[i]
        down, right, mirrored = moves[i, 0], moves[i, 1], moves[i, 2] != 0
        cut_row, cut_column = moves[i, 3], moves[i, 4]
        first = min(max(-right, 0), columns)                # columns that lie in the image, before mirroring
        last = max(min(width - right, columns), first)
        begin, end = (columns - last, columns - first) if mirrored else (first, last)
        top = min(max(-down, 0), rows)
        bottom = max(min(height - down, rows), top)
        cut_first, cut_last = min(max(cut_column, 0), columns), max(min(cut_column + cut, columns), 0)
        for channel in range(channels):
            f, o = factors[channel], np.float32(0)
            filling = fills[channel] * f
            if adds:
                o = offsets[channel]
                filling = filling + o
            plane = (i * channels + channel) * rows * columns
            source = ((image * channels + channel) * height + down) * width + first + right
            _fill(out, plane, plane + top * columns, filling)
            _fill(out, plane + bottom * columns, plane + rows * columns, filling)
            for y in range(top, bottom):
                line = plane + y * columns
                _fill(out, line, line + begin, filling)
                _line(out, line + begin, end - begin, images, source + y * width, mirrored, f, o, adds)
                _fill(out, line + end, line + columns, filling)
            if cut_first < cut_last:
                for y in range(max(cut_row, 0), min(cut_row + cut, rows)):
                    _fill(out, plane + y * columns + cut_first, plane + y * columns + cut_last, filling)


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
    run(_augment, indices.size, max(1, GRAIN // max(out[0].size, 1)), images.reshape(-1), n, *images.shape[2:],
        indices.astype(np.int64, copy=False), moves.astype(np.int64, copy=False), int(cut), fills, factors, offsets,
        *out.shape[2:], out.reshape(-1))
    return out
