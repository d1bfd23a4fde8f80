"""The image data sets: the digits that come with tensorlite, MNIST, CIFAR-10 and CIFAR-100."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.data import _cifar, _idx
from tensorlite.data._dataset import TensorDataset
from tensorlite.data.transforms import Normalize
from tensorlite.errors import DataError

__all__ = ["CIFAR_MIRRORS", "MNIST_MIRRORS", "NAMES", "ImageDataset", "cifar10", "cifar100", "digits", "load", "mnist"]

MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz",)
_MNIST = {   # split: (samples, (images, md5 of the unpacked file), (labels, md5))
    True: (60_000, ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
           ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624")),
    False: (10_000, ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
            ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637")),
}


class ImageDataset(TensorDataset):
    """Images (n, height, width) or (n, channels, height, width) and the numbers of their classes; ``names`` are the classes'."""

    def __init__(self, images: Any, labels: Any, *, normalize: Callable[[Any], Any] | None, classes: int, flat: bool = False,
                 names: Sequence[str] | None = None) -> None:
        n = images.shape[0]
        images = images.reshape(n, -1) if flat else images.reshape(n, 1, *images.shape[1:]) if images.ndim == 3 else images
        super().__init__(images, labels.astype(np.int64), normalize=normalize)
        self.classes = classes
        self.names = tuple(map(str, range(classes)) if names is None else names)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return tuple(self.arrays[0].shape[1:])


def digits(train: bool = True, *, flat: bool = False) -> ImageDataset:
    """The 1,797 handwritten digits of 8x8 pixels that are part of this package (Alpaydin and Kaynak, UCI, CC BY 4.0).

    With the samples sorted by class (and in each class in their own order), every fifth is a test sample: 1,438 to train with and
    359 to test, all classes alike. Images are (1, 8, 8), or
    (64,) if ``flat``, uint8 in memory, and normalised to mean 0 and standard deviation 1 in batches.

    >>> import tensorlite as tl
    >>> len(tl.data.digits()), len(tl.data.digits(train=False))
    (1438, 359)
    """
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        images, labels = file["images"], file["labels"]
    is_test = np.zeros(len(labels), bool)
    is_test[np.argsort(labels, kind="stable")[4::5]] = True   # not every fifth as they come: they come as 0, 1, ..., 9, 0, 1, ...
    chosen = is_test != train
    return ImageDataset(images[chosen], labels[chosen], normalize=Normalize(0.3053, 0.3760, scale=1 / 16), classes=10, flat=flat)


def mnist(train: bool = True, *, flat: bool = False, folder: str | os.PathLike[str] | None = None, download: bool = True,
          mirrors: Sequence[str] = MNIST_MIRRORS, timeout: float = _idx.TIMEOUT_SECONDS) -> ImageDataset:
    """MNIST, 60,000 images of 28x28 pixels to train with and 10,000 to test (LeCun, Cortes, Burges).

    Its IDX files, gzipped or not, are looked for in ``folder``, or in the folder that the environment variable
    ``TENSORLITE_DATA`` names (or its subfolder ``mnist``), then in the cache folder; if they are nowhere, they are downloaded
    into the cache and checked. Images are (1, 28, 28), or (784,) if ``flat``, uint8 in memory, and normalised in batches.

    ``DataError`` saying what to put where if they cannot be had, or what is wrong with a file.
    """
    count, images, labels = _MNIST[train]
    places = _idx.folders("mnist", folder)
    arrays = []
    for (stem, md5), shape in ((images, (count, 28, 28)), (labels, (count,))):
        path = _idx.find(places, stem)
        if path is None and download and folder is None:
            try:
                path = _idx.download(stem, md5, _idx.cache_folder() / "mnist", mirrors, timeout)
            except (DataError, OSError) as error:
                raise DataError(f"{_where(stem, places)}; the download failed too: {error}") from None
        if path is None:
            raise DataError(_where(stem, places))
        arrays.append(_idx.read_idx(path, shape))
    if arrays[1].max() > 9:
        raise DataError(f"{path}: expected labels from 0 to 9, found {arrays[1].max()}")
    return ImageDataset(arrays[0], arrays[1], normalize=Normalize(0.1307, 0.3081, scale=1 / 255), classes=10, flat=flat)


def _where(stem: str, places: Sequence[Path]) -> str:
    return (f"MNIST: {stem}.gz is not in {' or '.join(str(p) for p in places)}; put the four files train-images-idx3-ubyte.gz, "
            "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into a folder and name it in "
            "the environment variable TENSORLITE_DATA")


def cifar10(train: bool = True, *, flat: bool = False, folder: str | os.PathLike[str] | None = None, download: bool = True,
            mirrors: Sequence[str] = CIFAR_MIRRORS, timeout: float = _idx.TIMEOUT_SECONDS) -> ImageDataset:
    """CIFAR-10, 50,000 colour images of 32x32 pixels to train with and 10,000 to test, in 10 classes (Krizhevsky, 2009).

    The files of its binary version (data_batch_1.bin to data_batch_5.bin, test_batch.bin) are looked for in ``folder``, or in
    the folder that the environment variable ``TENSORLITE_DATA`` names, in its subfolder ``cifar10``, or in
    ``cifar-10-batches-bin`` in these, then in the cache folder; if they are nowhere, the archive is downloaded (170 MB), checked
    and unpacked into the cache. Images are (3, 32, 32), or (3072,) if ``flat``, uint8 in memory (154 MB), and normalised per
    channel in batches.

    ``DataError`` saying what to put where if they cannot be had, or what is wrong with a file.
    """
    images, labels, names = _cifar.read("cifar10", train, folder, mirrors if download else (), timeout)
    normalize = Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), scale=1 / 255)
    return _colour(images, labels[:, 0], normalize, names, flat)


def cifar100(train: bool = True, *, coarse: bool = False, flat: bool = False, folder: str | os.PathLike[str] | None = None,
             download: bool = True, mirrors: Sequence[str] = CIFAR_MIRRORS,
             timeout: float = _idx.TIMEOUT_SECONDS) -> ImageDataset:
    """CIFAR-100, 50,000 colour images of 32x32 pixels to train with and 10,000 to test, in 100 classes, or ``coarse`` in 20.

    Its files train.bin and test.bin are looked for as those of :func:`cifar10`, in subfolders ``cifar100`` and
    ``cifar-100-binary``.
    """
    images, labels, names = _cifar.read("cifar100", train, folder, mirrors if download else (), timeout, coarse)
    normalize = Normalize((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), scale=1 / 255)
    return _colour(images, labels[:, 0 if coarse else 1], normalize, names, flat)


def _colour(images: Any, labels: Any, normalize: Normalize, names: Sequence[str], flat: bool) -> ImageDataset:
    if flat:   # a number for each pixel
        constants: list[Any] = [normalize.factor, normalize.offset]
        normalize.factor, normalize.offset = (np.broadcast_to(v, images.shape[1:]).reshape(-1) for v in constants)
    return ImageDataset(images, labels, normalize=normalize, classes=len(names), flat=flat, names=names)


NAMES: dict[str, Callable[..., ImageDataset]] = {"digits": digits, "mnist": mnist, "cifar10": cifar10, "cifar100": cifar100}


def load(name: str, train: bool = True, *, flat: bool = False) -> ImageDataset:
    """A data set by name: ``"digits"``, ``"mnist"``, ``"cifar10"`` or ``"cifar100"``."""
    if name not in NAMES:
        raise DataError(f"the data set {name!r} is unknown; there are {', '.join(NAMES)}")
    return NAMES[name](train, flat=flat)
