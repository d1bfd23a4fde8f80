"""Files written as a whole or not at all."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomic(path: str | os.PathLike[str], write: bytes | Callable[[BinaryIO], Any]) -> None:
    """Write a file that is either the old one or the complete new one, whatever happens in between.

    The bytes go to a temporary file in the same folder, are forced to the disk, and take the name in one step. If that fails (a
    full disk, say), the old file stays, the temporary one is removed, and the ``OSError`` is passed on.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:   # so it is when a disk is full
            error.filename = os.fspath(path)
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def lock_folder(folder: Path) -> int | None:
    """Make ``folder`` and lock it for this process, until ``os.close`` of what is returned, or the end of the process.

    ``BlockingIOError`` if another process has it. None where the system or the file system has no such locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass
    return descriptor


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a renamed file keeps its new name after a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:   # some network file systems cannot
        pass
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in ``folder``."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
