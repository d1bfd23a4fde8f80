"""The stand-in for cuBLASLt, compiled, and what tests ask of it."""
from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import build

__all__ = ["Last", "path", "stand_in"]

SOURCE = Path(__file__).with_name("cublaslt_stand_in.cpp")


@functools.cache
def path() -> str:
    """The compiled library."""
    command = [str(build.compiler()), "-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-shared"]

    def make(out: Path) -> None:
        build._run(*command, str(SOURCE), "-o", str(out))
    return str(build._kept(".so", [SOURCE.read_text(), *command], make))


class Last(NamedTuple):
    """What the last product was: ``columns`` by ``rows`` of each of ``matrices`` results, row-major."""

    epilogue: int
    algorithm: int
    stream: int
    matrices: int
    columns: int
    rows: int


class _Controls:
    def __init__(self) -> None:
        library = ctypes.CDLL(path())
        for name in ("launched", "alive"):
            getattr(library, f"stand_in_{name}").restype = ctypes.c_int64
        library.stand_in_last.restype = ctypes.c_uint64
        self._library = library

    def launched(self) -> int:
        """How many products there were."""
        return int(self._library.stand_in_launched())

    def alive(self) -> int:
        """How many handles, descriptors and layouts have not been destroyed."""
        return int(self._library.stand_in_alive())

    def last(self) -> Last:
        return Last(*(self._library.stand_in_last(i) for i in range(len(Last._fields))))

    def fail_next(self, status: int) -> None:
        """The next product fails."""
        self._library.stand_in_fail_next(status)

    @contextmanager
    def refusing(self, *epilogues: int) -> Iterator[None]:
        """Inside, no algorithm is known for these."""
        for epilogue in epilogues:
            self._library.stand_in_refuse(epilogue)
        try:
            yield
        finally:
            self._library.stand_in_refuse(0)


@functools.cache
def stand_in() -> _Controls:
    """The library that is loaded, as tests steer it."""
    return _Controls()
