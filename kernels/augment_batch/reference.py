"""A batch of a data set, augmented, in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ..take_rows.reference import take_rows

__all__ = ["augment_batch", "check", "channel_constants", "move", "out_size"]

COLUMNS = 5   # of moves


def augment_batch(xp: Any, images: Any, indices: Any, moves: Any, *, size: Any = None, cut: int = 0, fill: Any = 0,
                  factor: Any = 1.0, offset: Any = None, dtype: Any = "float32") -> Any:
    """``move(images[indices], moves) * factor + offset`` in float32, rounded after the product and after the sum, as ``dtype``.

    images (n, channels, height, width) of any real dtype; k indices from -n to n - 1; for ``moves`` (k, 5), ``size``, ``cut`` and
    ``fill`` see :func:`move`; factor and offset are numbers, or NumPy arrays with one number per channel, (channels, 1, 1). An
    offset of None adds nothing. ``OutOfRangeError`` (an IndexError) for an index out of range.
    """
    check(images, indices, moves)
    out = take_rows(xp, images, indices, wrap=True, what="augment_batch")
    out = xp.astype(move(xp, out, moves, size=size, cut=cut, fill=fill), xp.float32) * xp.asarray(np.asarray(factor, np.float32))
    if offset is not None:
        out = out + xp.asarray(np.asarray(offset, np.float32))
    wanted = getattr(xp, dtype, None) if isinstance(dtype, str) else dtype
    return xp.astype(out, np.dtype(dtype) if wanted is None else wanted, copy=False)


def move(xp: Any, images: Any, moves: Any, *, size: Any = None, cut: int = 0, fill: Any = 0) -> Any:
    """Each image (k, channels, height, width) looked at from another place, of the same dtype.

    A row of the integers ``moves`` (k, 5) is (down, right, mirrored, cut_row, cut_column): the result, of the images' size or of
    ``size`` = (height, width), holds at (y, x) the image's pixel (y + down, x + right), or ``fill`` outside of it (a number, or
    one per channel); is then mirrored left to right if ``mirrored`` is not 0; and holds ``fill`` in the square of ``cut`` x
    ``cut`` pixels whose upper left corner is (cut_row, cut_column), as far as it is inside.
    """
    k, channels, height, width = images.shape
    rows, columns = out_size(images, size)
    down, right, mirrored, cut_row, cut_column = (xp.astype(moves[:, j], xp.int64) for j in range(COLUMNS))
    y, x = xp.arange(rows), xp.arange(columns)
    x_of = xp.where((mirrored != 0)[:, None], columns - 1 - x[None, :], x[None, :])
    from_y, from_x = y[None, :] + down[:, None], x_of + right[:, None]
    outside = ((from_y < 0) | (from_y >= height))[:, :, None] | ((from_x < 0) | (from_x >= width))[:, None, :]
    if cut:
        in_y = (y[None, :] >= cut_row[:, None]) & (y[None, :] < (cut_row + cut)[:, None])
        in_x = (x[None, :] >= cut_column[:, None]) & (x[None, :] < (cut_column + cut)[:, None])
        outside = outside | (in_y[:, :, None] & in_x[:, None, :])
    if not height * width:
        found = xp.zeros((k, channels, rows, columns), dtype=images.dtype)
    else:
        place = xp.clip(from_y, 0, height - 1)[:, :, None] * width + xp.clip(from_x, 0, width - 1)[:, None, :]
        place = xp.broadcast_to(xp.reshape(place, (k, 1, rows * columns)), (k, channels, rows * columns))
        found = xp.take_along_axis(xp.reshape(images, (k, channels, height * width)), place, axis=2)
        found = xp.reshape(found, (k, channels, rows, columns))
    filling = np.broadcast_to(np.asarray(fill).reshape(-1, 1, 1), (channels, 1, 1))
    return xp.where(outside[:, None, :, :], xp.asarray(filling, dtype=images.dtype), found)


def check(images: Any, indices: Any, moves: Any) -> None:
    """``ShapeError`` unless the images have four axes and there is a row of five moves for each index."""
    if len(images.shape) != 4 or len(indices.shape) != 1 or tuple(moves.shape) != (indices.shape[0], COLUMNS):
        raise ShapeError(f"augment_batch: images, indices and moves have shapes {tuple(images.shape)}, {tuple(indices.shape)} "
                         f"and {tuple(moves.shape)}; expected (n, channels, height, width), (k,) and (k, {COLUMNS})")


def out_size(images: Any, size: Any) -> tuple[int, int]:
    """Height and width of the result."""
    height, width = images.shape[2:] if size is None else size
    return int(height), int(width)


def channel_constants(channels: int, fill: Any, factor: Any, offset: Any) -> tuple[Any, ...] | None:
    """fill, factor and offset as float32 vectors of the channels' length (the last one empty for None); None where one of them
    varies along another axis."""
    vectors = [np.asarray(fill, np.float32).reshape(-1, 1, 1), np.asarray(factor, np.float32),
               np.empty((0, 1, 1), np.float32) if offset is None else np.asarray(offset, np.float32)]
    if any(v.ndim > 3 or set(v.shape[-2:]) - {1} for v in vectors):
        return None
    wide = [v.reshape(-1) if v.ndim and not v.size else np.broadcast_to(v, (channels, 1, 1)).reshape(-1) for v in vectors]
    return tuple([np.ascontiguousarray(v) for v in wide])
