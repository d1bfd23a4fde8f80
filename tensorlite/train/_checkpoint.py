"""The checkpoints of a run: the last one, the one before it, and the best, each written as a whole or not at all."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tensorlite import io
from tensorlite._files import remove_leftovers, write_atomic
from tensorlite.errors import CheckpointError

__all__ = ["Checkpoints"]

FORMAT = 1


def _link(path: Path, other: Path) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        write_atomic(other, path.read_bytes())


class Checkpoints:
    """``last.safetensors``, ``previous.safetensors`` and ``best.safetensors`` in one folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        io.package()   # say that it is missing before the first epoch, not after it
        self.folder = Path(folder)
        self.last, self.previous, self.best = (self.folder / f"{name}.safetensors" for name in ("last", "previous", "best"))
        self.good: Path | None = next((p for p in (self.last, self.previous, self.best) if p.is_file()), None)
        if self.folder.is_dir():
            remove_leftovers(self.folder)

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Write ``state`` as the last checkpoint (and as the best). ``CheckpointError`` if that fails; what was there stays."""
        path = self.folder / "next.safetensors"
        try:
            io.save({"format": FORMAT, **state}, path)
            if best:
                spare = self.folder / "best-next.safetensors"
                _link(path, spare)
                os.replace(spare, self.best)
            if self.last.is_file():
                os.replace(self.last, self.previous)
            os.replace(path, self.last)
        except OSError as error:
            kept = f"the last good checkpoint, {self.good}, is untouched" if self.good else "there was none before"
            raise CheckpointError(f"{self.last}: the checkpoint cannot be written ({error.strerror or error}); {kept}") from error
        self.good = self.last

    def newest(self) -> Path | None:
        """The checkpoint to go on from, or None."""
        return next((p for p in (self.last, self.previous) if p.is_file()), None)

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """What was saved. ``CheckpointError`` naming the file, and what else there is to go on from."""
        try:
            state = io.load(path)
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                raise CheckpointError(f"{path}: not a checkpoint of a training run of this version")
        except CheckpointError as error:
            others = [p for p in (self.last, self.previous, self.best) if p.is_file() and p != Path(path)]
            raise CheckpointError(f"{error}; {f'resume from {others[0]} instead' if others else 'start the run again'}") from None
        return state
