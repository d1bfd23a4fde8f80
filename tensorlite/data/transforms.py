"""What happens to a batch: normalisation, and augmentation as array operations on whole batches.

An augmentation is a function of the batch's first array and a key, ``f(images, key) -> images``; the loader gives each batch a
key of its own, so that a resumed run sees the same images as one that was never interrupted. Write your own as any such function.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite import backends
from tensorlite.engine.value import raw
from tensorlite.errors import ShapeError
from tensorlite.random import Key, bernoulli, randint, split

__all__ = ["Normalize", "RandomCrop", "RandomFlip"]

Array = Any


class Normalize:
    """(x * scale - mean) / std in float32; mean and std are numbers, or one per channel of images (n, channels, height,
    width).
    """

    def __init__(self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0, *, scale: float = 1.0) -> None:
        m, s = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if (s == 0).any():
            raise ShapeError(f"Normalize: std is {std}, which holds a zero; expected numbers other than 0")
        factor, offset = np.broadcast_arrays(scale / s, -m / s)
        per_channel = (slice(None), None, None) if factor.ndim else ()
        self.factor = factor.astype(np.float32)[per_channel]
        self.offset = offset.astype(np.float32)[per_channel] if offset.any() else None
        self.mean, self.std, self.scale = mean, std, scale

    def __call__(self, images: Array, key: Key | None = None) -> Array:
        xp = backends.backend_of(images).xp
        out = xp.astype(images, xp.float32)   # a copy for float32 too, as the next lines write to it
        out *= self.factor if xp is np else xp.asarray(self.factor)
        if self.offset is not None:
            out += self.offset if xp is np else xp.asarray(self.offset)
        return out

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std}, scale={self.scale})"


class RandomFlip:
    """Each image mirrored left to right with probability p; images (n, ..., height, width)."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, images: Array, key: Key) -> Array:
        xp = backends.backend_of(images).xp
        chosen = xp.asarray(np.asarray(raw(bernoulli(key, self.p, (images.shape[0],)))))
        return xp.where(chosen[(slice(None),) + (None,) * (images.ndim - 1)], xp.flip(images, axis=-1), images)


class RandomCrop:
    """Each image moved by up to ``padding`` pixels in each direction, filled up with zeros; images (n, channels, height,
    width).
    """

    def __init__(self, padding: int = 4) -> None:
        self.padding = padding

    def __call__(self, images: Array, key: Key) -> Array:
        if images.ndim != 4:
            raise ShapeError(f"RandomCrop: images have shape {tuple(images.shape)}, expected (n, channels, height, width)")
        xp, p = backends.backend_of(images).xp, self.padding
        n, _, height, width = images.shape
        k1, k2 = split(key)
        top, left = (xp.asarray(np.asarray(raw(randint(k, (n,), 0, 2 * p + 1)))) for k in (k1, k2))
        padded = xp.zeros((n, images.shape[1], height + 2 * p, width + 2 * p), dtype=images.dtype)
        padded[:, :, p:p + height, p:p + width] = images
        rows = (top[:, None] + xp.arange(height))[:, None, :, None]
        columns = (left[:, None] + xp.arange(width))[:, None, None, :]
        return padded[xp.arange(n)[:, None, None, None], xp.arange(images.shape[1])[None, :, None, None], rows, columns]
