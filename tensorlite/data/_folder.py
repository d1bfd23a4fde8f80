"""Images in a folder of folders, one a class, read with Pillow: as they are asked for, or all into memory or a file."""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite._files import write_atomic
from tensorlite.data.images import ImageDataset
from tensorlite.data.transforms import Normalize
from tensorlite.engine.value import new
from tensorlite.errors import DataError, OutOfRangeError, TensorliteError

__all__ = ["ImageFolder"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=1 / 255)


class ImageFolder:
    """The images ``root/class/.../image.jpg`` (also png, bmp, gif, webp, ppm, pgm, tiff), at one size. Needs Pillow.

    Classes are the folders of ``root``, numbered in the order of their names, images in the order of their paths; other files are
    left out. Each image is turned as its EXIF data say, scaled until it covers ``size`` (a number, or height and width), and its
    middle cut out. With ``grey`` images have one channel, else three. Batches are uint8 (n, channels, height, width) until
    augmentation is done, then normalised (by default with ImageNet's mean and standard deviation, or to -1...1 if grey).

    Files are read when a batch asks for them; give the :class:`DataLoader` ``num_workers`` to have threads do that ahead.
    :meth:`load` reads all of them once.

    ``DataError``: a root without such folders, or an image that cannot be read, which is named.
    """

    def __init__(self, root: str | os.PathLike[str], size: int | Sequence[int], *, grey: bool = False,
                 normalize: Callable[[Any], Any] | None = None) -> None:
        self.root = Path(root)
        height, width = (size, size) if isinstance(size, int) else size
        self.size, self.grey = (int(height), int(width)), grey
        self.normalize = normalize or (Normalize(0.5, 0.5, scale=1 / 255) if grey else IMAGENET)
        if min(self.size) < 1:
            raise DataError(f"ImageFolder: size is {size}, expected 1 or more pixels")
        if not self.root.is_dir():
            raise DataError(f"ImageFolder: {self.root} is not a folder; expected one with a folder of images for each class")
        self.names = tuple(sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith(".")))
        found = [(p, k) for k, name in enumerate(self.names) for p in sorted((self.root / name).rglob("*"))
                 if p.suffix.lower() in EXTENSIONS and p.is_file()]
        if not found:
            raise DataError(f"ImageFolder: {self.root} has no images ({', '.join(e[1:] for e in EXTENSIONS)}) in folders of its "
                            "own; expected root/class/image")
        self.paths = [p for p, _ in found]
        self.labels = np.asarray([k for _, k in found], np.int64)
        empty = set(range(len(self.names))) - set(self.labels.tolist())
        if empty:
            folders = ", ".join(str(self.root / self.names[k]) for k in sorted(empty))
            raise DataError(f"ImageFolder: there are no images in {folders}; remove what is empty, or put images in, as each "
                            "folder is a class")
        _pillow()

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.names)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return 1 if self.grey else 3, *self.size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        n, i = len(self), int(index)
        if not -n <= i < n:
            raise OutOfRangeError(f"sample {i} of a data set with {n} samples")
        image, label = self.finish(self.take(np.asarray([i])))
        return new(image[0]), new(label[0, ...])

    def take(self, indices: Any) -> tuple[Any, Any]:
        """The images as they are in the files, uint8, and their labels."""
        images = np.empty((len(indices), *self.sample_shape), np.uint8)
        for k, i in enumerate(indices):
            images[k] = self.read(self.paths[int(i)])
        return images, self.labels[indices]

    def finish(self, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        """The images normalised."""
        return self.normalize(batch[0]), batch[1]

    def read(self, path: Path) -> Any:
        """One image, uint8 (channels, height, width)."""
        image_module, ops = _pillow()
        try:
            with image_module.open(path) as file:
                file.draft("L" if self.grey else "RGB", (max(self.size),) * 2)   # JPEGs: decoded no larger than needed
                image = ops.exif_transpose(file).convert("L" if self.grey else "RGB")
                pixels = np.asarray(ops.fit(image, self.size[::-1], image_module.Resampling.BILINEAR))
        except (OSError, SyntaxError, ValueError, EOFError, image_module.DecompressionBombError) as error:
            raise DataError(f"{path}: not an image that can be read ({error}); it is truncated or corrupt: remove it or get it "
                            "again") from None
        return pixels[None] if self.grey else pixels.transpose(2, 0, 1)

    def load(self, cache: str | os.PathLike[str] | None = None, *, workers: int | None = None) -> ImageDataset:
        """All images, read by ``workers`` threads (None: as many as there are cores), uint8 in memory.

        With ``cache``, a file's name ending in ``.npy``, they are written there and mapped into memory, and next time found
        there, as long as the files' names, sizes and times are the same. So a data set may be larger than the memory.
        """
        path = None if cache is None else Path(cache)
        about = [list(self.sample_shape), *([str(p.relative_to(self.root)), s.st_size, s.st_mtime_ns]
                                            for p, s in ((p, p.stat()) for p in self.paths))]
        if path is None:
            images = np.empty((len(self), *self.sample_shape), np.uint8)
            self._read_into(images, workers)
        else:
            listing = path.with_suffix(".json")
            text = json.dumps(about)
            if not (path.is_file() and listing.is_file() and listing.read_text() == text):
                listing.unlink(missing_ok=True)
                self._write(path, workers)
                write_atomic(listing, text.encode())
            images = np.asarray(np.load(path, mmap_mode="r"))
        return ImageDataset(images, self.labels, normalize=self.normalize, classes=self.classes, names=self.names)

    def _write(self, path: Path, workers: int | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        try:
            into = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(self), *self.sample_shape))
            self._read_into(into, workers)
            into.flush()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _read_into(self, images: Any, workers: int | None) -> None:
        def one(k: int) -> None:
            images[k] = self.read(self.paths[k])
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            try:
                for _ in pool.map(one, range(len(self))):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _pillow() -> tuple[Any, Any]:
    """The modules Image and ImageOps."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise TensorliteError(f'reading images needs Pillow ({error}); install it with: pip install "tensorlite[images]"'
                              ) from None
    return Image, ImageOps
