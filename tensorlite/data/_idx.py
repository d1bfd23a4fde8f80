"""IDX files, the format of MNIST: found in a folder, read, checked, or downloaded."""
from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite._files import write_atomic
from tensorlite.errors import DataError

TIMEOUT_SECONDS = 5.0
_UINT8 = 8   # the only element type that the data sets here use


def cache_folder() -> Path:
    """Where downloads go: ``TENSORLITE_CACHE``, else ``tensorlite`` in the user's cache folder (XDG)."""
    own = os.environ.get("TENSORLITE_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tensorlite"


def folders(name: str, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Where the data set ``name`` is looked for: the folder given, or ``TENSORLITE_DATA`` and the cache, themselves and in
    them.
    """
    if folder is not None:
        return [Path(folder), Path(folder) / name]
    own = os.environ.get("TENSORLITE_DATA")
    return [*([Path(own), Path(own) / name] if own else []), cache_folder() / name]


def find(places: Sequence[Path], stem: str) -> Path | None:
    """The file ``stem``, or its gzipped form, in the first of the places that has it."""
    for place in places:
        for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), f"{stem.replace('-idx', '.idx')}.gz"):
            if (place / name).is_file():
                return place / name
    return None


def read_idx(path: Path, shape: tuple[int | None, ...]) -> Any:
    """The uint8 array of an IDX file, gzipped or not; ``shape`` is what is expected, None where anything goes.

    ``DataError`` naming the file, what was expected and what was found.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return parse_idx(unpacked(data, path), shape, path)


def unpacked(data: bytes, path: Path | str) -> bytes:
    """``data`` without its gzip layer, if it has one."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file, found {len(data)} bytes that do not unpack ({error}); "
                        "it is truncated or corrupt: remove it and get it again") from None


def parse_idx(data: bytes, shape: tuple[int | None, ...], path: Path | str) -> Any:
    """The array in the bytes of an IDX file."""
    axes = len(shape)
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes((0, 0, _UINT8, axes)):
        raise DataError(f"{path}: expected an IDX file of uint8 with {axes} axes (its first bytes "
                        f"{bytes((0, 0, _UINT8, axes)).hex()}), found {data[:4].hex() or 'nothing'} and {len(data)} bytes in all")
    found = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    if any(wanted not in (None, n) for wanted, n in zip(shape, found)):
        raise DataError(f"{path}: expected the shape {tuple('any' if n is None else n for n in shape)}, found {found}")
    size = int(np.prod(found, dtype=np.int64))
    if len(data) - header != size:
        raise DataError(f"{path}: expected {size} bytes of data for the shape {found}, found {len(data) - header}; "
                        "it is truncated or corrupt: remove it and get it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(found)


def download(stem: str, md5: str, target: Path, mirrors: Sequence[str], timeout: float = TIMEOUT_SECONDS) -> Path:
    """Get ``stem``.gz from the first mirror that answers, check its contents, and put it into ``target``.

    ``DataError`` naming what went wrong at each mirror.
    """
    import http.client
    from urllib.error import URLError
    from urllib.request import urlopen
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{stem}.gz"
        try:
            with urlopen(url, timeout=timeout) as answer:
                data = answer.read()
            found = hashlib.md5(unpacked(data, url), usedforsecurity=False).hexdigest()
        except DataError as error:
            failures.append(str(error))
            continue
        except (URLError, OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}")
            continue
        if found != md5:
            failures.append(f"{url}: expected contents with md5 {md5}, found {found}")
            continue
        path = target / f"{stem}.gz"
        write_atomic(path, data)
        return path
    raise DataError("; ".join(failures) or "no mirror to download from")
