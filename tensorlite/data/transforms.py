"""What happens to a batch: normalisation, and augmentation as array operations on whole batches.

An augmentation is a function of the batch's first array and a key, ``f(images, key) -> images``; the loader gives each batch a
key of its own, so that a resumed run sees the same images as one that was never interrupted. Write your own as any such function.
Random numbers are drawn where the images are, and are the same on every device: so are the images.

A crop and a flip, in either order, and then a cutout, followed by :class:`Normalize`, are done in one pass over the images while
they are gathered (``kernels/augment_batch``), with the same bits.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tensorlite import backends
from tensorlite.engine.value import raw
from tensorlite.errors import DataError, DTypeError, ShapeError
from tensorlite.kernels.augment_batch.reference import move
from tensorlite.random import Key, bernoulli, randint, split, uniform

__all__ = ["ColorJitter", "Cutout", "Normalize", "RandomCrop", "RandomFlip"]

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


class Moves(NamedTuple):
    """The table ``moves`` and the options of ``kernels/augment_batch``."""

    table: Array
    size: tuple[int, int] | None
    cut: int
    fill: Any


class RandomFlip:
    """Each image mirrored left to right with probability p; images (n, ..., height, width)."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def draw(self, key: Key, n: int, device: str) -> Array:
        """Whether each of n images is mirrored."""
        return raw(bernoulli(key, self.p, (n,), device=device))

    def __call__(self, images: Array, key: Key) -> Array:
        backend = backends.backend_of(images)
        chosen = self.draw(key, images.shape[0], backend.device_of(images))
        return backend.xp.where(chosen[(slice(None),) + (None,) * (images.ndim - 1)], backend.xp.flip(images, axis=-1), images)

    def __repr__(self) -> str:
        return f"RandomFlip(p={self.p})"


class RandomCrop:
    """A window of each image at a random place, images (n, channels, height, width): of their size, or of ``size`` (a number, or
    height and width). Windows reach up to ``padding`` pixels beyond the image, where ``fill`` is (a number, or one per channel).

    >>> import numpy as np, tensorlite as tl
    >>> images = np.zeros((2, 3, 40, 40), np.uint8)
    >>> tl.data.RandomCrop(padding=0, size=32)(images, tl.random.key(0)).shape
    (2, 3, 32, 32)
    """

    def __init__(self, padding: int = 4, size: int | Sequence[int] | None = None, fill: float | Sequence[float] = 0) -> None:
        self.padding, self.fill = padding, fill
        self.size = None if size is None else (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if padding < 0 or min(self.size or (1,)) < 1:
            raise DataError(f"RandomCrop: padding is {padding} and size is {size}; expected a padding of 0 or more, and sizes "
                            "of 1 or more")

    def draw(self, key: Key, shape: Sequence[int], device: str) -> tuple[Array, Array]:
        """How far down and right of each image's corner its window begins, for images of ``shape``."""
        p, starts = self.padding, []
        for k, length, wanted in zip(split(key), shape[2:], self.size or shape[2:]):
            if wanted > length + 2 * p:
                raise ShapeError(f"RandomCrop: windows of {self.size} do not fit images of {tuple(shape[2:])} with a padding of "
                                 f"{p}; choose a size of at most {tuple(n + 2 * p for n in shape[2:])}, or more padding")
            starts.append(raw(randint(k, (shape[0],), -p, length + p - wanted + 1, device=device)))
        return starts[0], starts[1]

    def __call__(self, images: Array, key: Key) -> Array:
        return _alone(self, images, key)

    def __repr__(self) -> str:
        return f"RandomCrop(padding={self.padding}, size={self.size}, fill={self.fill})"


class Cutout:
    """A square of ``size`` x ``size`` pixels around a random pixel of each image set to ``fill``, as far as it lies in the image,
    with probability p. (DeVries and Taylor, 'Improved regularization of convolutional neural networks with cutout', 2017.)

    It comes before the normalisation: for their zeros give the mean pixel as ``fill``, a number per channel.
    """

    def __init__(self, size: int, p: float = 1.0, fill: float | Sequence[float] = 0) -> None:
        if size < 1:
            raise DataError(f"Cutout: size is {size}, expected 1 or more pixels")
        self.size, self.p, self.fill = size, p, fill

    def draw(self, key: Key, n: int, height: int, width: int, device: str) -> tuple[Array, Array]:
        """Row and column of each square's upper left corner; far outside where there is none."""
        k1, k2, k3 = split(key, 3)
        row, column = (raw(randint(k, (n,), 0, m, device=device)) - self.size // 2 for k, m in ((k1, height), (k2, width)))
        if self.p < 1:
            kept = raw(bernoulli(k3, self.p, (n,), device=device))
            row = backends.backend_of(row).xp.where(kept, row, -self.size)
        return row, column

    def __call__(self, images: Array, key: Key) -> Array:
        return _alone(self, images, key)

    def __repr__(self) -> str:
        return f"Cutout({self.size}, p={self.p}, fill={self.fill})"


class ColorJitter:
    """Brightness, contrast and saturation of each uint8 image (n, 3, height, width) times random factors from 1 - v to 1 + v
    (not below 0), for v the number given.

    With the factors b, c and s, and the grey g(x) = 0.299 red + 0.587 green + 0.114 blue: y = c b x + (1 - c) b mean(g(x)), and
    the result is s y + (1 - s) g(y), rounded to 0...255.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        if min(brightness, contrast, saturation) < 0:
            raise DataError(f"{self}: expected numbers of 0 or more")

    def __call__(self, images: Array, key: Key) -> Array:
        backend = backends.backend_of(images)
        xp, device = backend.xp, backend.device_of(images)
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != xp.uint8:
            raise DTypeError(f"ColorJitter: images are {tuple(images.shape)} of {images.dtype}; expected uint8 of (n, 3, height, "
                             "width): use it before anything that makes floats of them")
        n, _, height, width = images.shape
        amounts = (self.brightness, self.contrast, self.saturation)
        b, c, s = (raw(uniform(k, (n,), minval=max(0.0, 1 - v), maxval=1 + v, device=device)).reshape((n, 1, 1, 1)) if v else 1.0
                   for k, v in zip(split(key, 3), amounts))
        x = xp.astype(images, xp.float32)
        y = x * (c * b)
        if self.contrast:   # whole numbers, so that the order of the sum does not matter
            whole = xp.astype(images, xp.int64)
            total = xp.sum(299 * whole[:, 0] + 587 * whole[:, 1] + 114 * whole[:, 2], axis=(1, 2))
            mean = xp.astype(xp.astype(total, xp.float64) / (1000 * height * width), xp.float32)
            y = y + ((1 - c) * b) * mean.reshape((n, 1, 1, 1))
        if self.saturation:
            grey = 0.299 * y[:, :1] + 0.587 * y[:, 1:2] + 0.114 * y[:, 2:]
            y = s * y + (1 - s) * grey
        return xp.astype(xp.round(xp.clip(y, 0.0, 255.0)), xp.uint8)

    def __repr__(self) -> str:
        return f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation})"


def moves_of(transforms: Sequence[Any], keys: Sequence[Key], shape: Sequence[int], device: str) -> Moves | None:
    """The transforms, each with its key, on images of ``shape`` as one table; None where they do not come down to one."""
    return _table(transforms, keys, shape, device) if len(shape) == 4 and _one_table(transforms) else None


def _table(transforms: Sequence[Any], keys: Sequence[Key], shape: Sequence[int], device: str) -> Moves:
    n, _, height, width = shape
    rows, columns = height, width
    drawn: dict[int, Array] = {}   # columns of the table
    size, cut = None, 0
    fill: Any = 0
    backend = backends.backend_for_device(device)
    xp = backend.namespace(device)
    for transform, key in zip(transforms, keys):
        if isinstance(transform, RandomFlip):
            drawn[2] = transform.draw(key, n, device)
        elif isinstance(transform, RandomCrop):
            drawn[0], drawn[1] = transform.draw(key, shape, device)
            size, fill = transform.size, transform.fill
            rows, columns = size or (height, width)
            if 2 in drawn:   # mirrored before it: the window begins on the other side
                drawn[1] = xp.where(drawn[2], width - columns - drawn[1], drawn[1])
        else:
            cut, fill = transform.size, transform.fill
            drawn[3], drawn[4] = transform.draw(key, n, rows, columns, device)
    with backend.on(device):
        table = xp.zeros((n, 5), dtype=xp.int32)
        for j, column in drawn.items():
            table[:, j] = xp.astype(column, xp.int32)
    return Moves(table, size, cut, fill)


def _one_table(transforms: Sequence[Any]) -> bool:
    """Whether these are at most one crop and one flip, and then at most one cutout, that fill with the same."""
    kinds = [t.__class__ for t in transforms]
    fills = {str(t.fill) for t in transforms if t.__class__ in (RandomCrop, Cutout)}
    return (set(kinds) <= {RandomFlip, RandomCrop, Cutout} and len(set(kinds)) == len(kinds) and Cutout not in kinds[:-1]
            and len(fills) < 2)


def _alone(transform: Any, images: Array, key: Key) -> Array:
    """One transform by itself."""
    if images.ndim != 4:
        raise ShapeError(f"{type(transform).__name__}: images have shape {tuple(images.shape)}, expected (n, channels, height, "
                         "width)")
    backend = backends.backend_of(images)
    found = _table([transform], [key], images.shape, backend.device_of(images))
    return move(backend.xp, images, found.table, size=found.size, cut=found.cut, fill=found.fill)
