"""Showing how far the training is: a live bar where there is a terminal and rich, plain lines otherwise."""
from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, TextIO

__all__ = ["Progress", "make", "show"]

_EVERY_SECONDS = 0.1


def show(record: dict[str, Any], epochs: int) -> str:
    """An epoch's record as one line."""
    parts = [f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"]
    for name, value in record.items():
        if "accuracy" in name:
            parts.append(f"{name.replace('_', ' ')} {value:6.2%}")
        elif name not in ("epoch", "step", "lr", "seconds", "samples_per_second") and isinstance(value, float):
            parts.append(f"{name.replace('_', ' ')} {value:.4f}")
    parts += [f"lr {record['lr']:.2g}", f"{record['seconds']:.2f} s", f"{record['samples_per_second']:,.0f} samples/s"]
    return "  ".join(parts)


class Progress:
    """Says nothing; the base of those that do."""

    def start(self, epochs: int, steps: int, done: int) -> None:
        """Training begins: ``epochs`` in all, ``steps`` each, ``done`` of all steps were made before."""

    def step(self, epoch: int, step: int, loss: float) -> None:
        """A step was made."""

    def epoch(self, record: dict[str, Any], epochs: int) -> None:
        """An epoch was made."""

    def stop(self) -> None:
        """Training is over, one way or another."""


class Lines(Progress):
    """One line per epoch."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def epoch(self, record: dict[str, Any], epochs: int) -> None:
        print(show(record, epochs), file=self.file, flush=True)


class Bar(Lines):
    """One line per epoch, and below them a bar that moves."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich
        self.rich = Rich(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                         console=Console(file=file), transient=True, auto_refresh=False)
        self.task: Any = None
        self.shown = 0.0
        self.epochs = 0

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.epochs = epochs
        self.rich.start()
        self.task = self.rich.add_task("", total=epochs * steps, completed=done)

    def step(self, epoch: int, step: int, loss: float) -> None:
        now = perf_counter()
        if now - self.shown >= _EVERY_SECONDS:
            self.shown = now
            self.rich.update(self.task, completed=step, description=f"epoch {epoch}/{self.epochs}  loss {loss:.4f}")
            self.rich.refresh()

    def epoch(self, record: dict[str, Any], epochs: int) -> None:
        self.rich.console.print(show(record, epochs), highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        self.rich.stop()


def make(wanted: bool, file: TextIO | None = None) -> Progress:
    """The best there is for ``file`` (standard output by default); silence if not ``wanted``."""
    out = sys.stdout if file is None else file
    if not wanted:
        return Progress()
    if out.isatty():
        try:
            return Bar(out)
        except ImportError:
            pass
    return Lines(out)
