"""CIFAR's binary files: records of one or two label bytes and 3,072 pixels, found in a folder, checked, read, or downloaded."""
from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tensorlite._files import write_atomic
from tensorlite.data import _idx
from tensorlite.errors import DataError

PIXELS = 3 * 32 * 32


class Version(NamedTuple):
    """What there is of one of the two data sets, and how it is laid out."""

    title: str
    folder: str
    archive: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    records: tuple[int, int]      # in a file to train with, and to test
    labels: tuple[int, ...]       # how many classes each label byte of a record can name
    names: tuple[str, ...]        # files with a name a line, one for each label byte


VERSIONS = {
    "cifar10": Version("CIFAR-10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530",
                       tuple(f"data_batch_{k}.bin" for k in range(1, 6)), ("test_batch.bin",), (10_000, 10_000), (10,),
                       ("batches.meta.txt",)),
    "cifar100": Version("CIFAR-100", "cifar-100-binary", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
                        ("train.bin",), ("test.bin",), (50_000, 10_000), (20, 100),
                        ("coarse_label_names.txt", "fine_label_names.txt")),
}
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def find(name: str, train: bool, folder: str | os.PathLike[str] | None = None) -> tuple[Path | None, list[Path]]:
    """The folder that holds all files to train with, or to test; and where they were looked for."""
    version = VERSIONS[name]
    places = [p for place in _idx.folders(name, folder) for p in (place, place / version.folder)]
    files = version.train if train else version.test
    return next((p for p in places if all((p / f).is_file() for f in files)), None), places


def read(name: str, train: bool, folder: str | os.PathLike[str] | None, mirrors: Sequence[str], timeout: float,
         coarse: bool = False) -> tuple[Any, Any, tuple[str, ...]]:
    """Images (n, 3, 32, 32) and label bytes (n, 1 or 2), uint8, and the names of the classes."""
    version = VERSIONS[name]
    files = version.train if train else version.test
    where, places = find(name, train, folder)
    if where is None and mirrors and folder is None:
        try:
            where = _download(version, _idx.cache_folder() / name / version.folder, mirrors, timeout)
        except (DataError, OSError) as error:
            raise DataError(f"{_missing(version, files, places)}; the download failed too: {error}") from None
    if where is None:
        raise DataError(_missing(version, files, places))
    count, extra = version.records[0 if train else 1], len(version.labels)
    images = np.empty((count * len(files), 3, 32, 32), np.uint8)
    labels = np.empty((count * len(files), extra), np.uint8)
    for k, file in enumerate(files):
        records = _records(where / file, count, version)
        labels[k * count:(k + 1) * count] = records[:, :extra]
        images[k * count:(k + 1) * count] = records[:, extra:].reshape(count, 3, 32, 32)
    which = 0 if coarse else extra - 1
    return images, labels, _names(where / version.names[which], version.labels[which])


def _records(path: Path, count: int, version: Version) -> Any:
    """The file as an array of records, mapped into memory. ``DataError`` naming the file, what was expected and what found."""
    extra = len(version.labels)
    size = path.stat().st_size
    if size != count * (extra + PIXELS):
        raise DataError(f"{path}: expected {count * (extra + PIXELS)} bytes ({count} images of {extra} + {PIXELS}), found "
                        f"{size}; it is truncated or corrupt: remove it and get it again")
    try:
        records = np.memmap(path, np.uint8, "r").reshape(count, extra + PIXELS)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    for byte, classes in enumerate(version.labels):
        if (worst := int(records[:, byte].max())) >= classes:
            at = int(records[:, byte].argmax())
            raise DataError(f"{path}: expected labels from 0 to {classes - 1}, found {worst} in image {at}; it is corrupt, or "
                            f"not of {version.title}'s binary version")
    return records


def _names(path: Path, classes: int) -> tuple[str, ...]:
    found = [line.strip() for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
    if len(found) == classes:
        return tuple(found)
    return CIFAR10_NAMES if classes == len(CIFAR10_NAMES) else tuple(map(str, range(classes)))


def _missing(version: Version, files: Sequence[str], places: Sequence[Path]) -> str:
    several = {p.parent if p.name == version.folder else p: None for p in places}
    return (f"{version.title}: {', '.join(files)} are not together in {' or '.join(map(str, several))}, nor in {version.folder} "
            f"there; unpack {version.archive} into a folder and name it in the environment variable TENSORLITE_DATA")


def _download(version: Version, target: Path, mirrors: Sequence[str], timeout: float) -> Path:
    """Get the archive from the first mirror that answers, check it, and put its files into ``target``."""
    import http.client
    from urllib.error import URLError
    from urllib.request import urlopen
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{version.archive}"
        try:
            with urlopen(url, timeout=timeout) as answer:
                data = answer.read()
        except (URLError, OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}")
            continue
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if found == version.md5:
            _unpack(data, version, target)
            return target
        failures.append(f"{url}: expected {version.archive} with md5 {version.md5}, found {found} in {len(data)} bytes")
    raise DataError("; ".join(failures))


def _unpack(data: bytes, version: Version, target: Path) -> None:
    wanted = {*version.train, *version.test, *version.names}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if member.isfile() and name in wanted else None
                if file is not None:
                    write_atomic(target / name, file.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{version.archive}: cannot be unpacked ({error})") from None
