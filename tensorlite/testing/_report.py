"""What ``certify`` found."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tensorlite.errors import TensorliteError

__all__ = ["CertifyError", "Line", "Report"]

OK, FAILED, NONE = "ok", "FAILED", "n/a"


class CertifyError(TensorliteError, AssertionError):
    """An operation that breaks a promise; the message is the failed lines of the report."""

    __module__ = "tensorlite.testing"


class Line(NamedTuple):
    """One promise: its name, "ok", "FAILED" or "n/a", the largest deviation that was seen, and what went wrong or why it does not
    apply."""

    check: str
    verdict: str
    figure: str
    detail: str


class Report(list[Line]):
    """The lines of a certificate, which is what it prints as."""

    __module__ = "tensorlite.testing"

    def __init__(self, name: str, samples: int, devices: Sequence[str], lines: Sequence[Line]) -> None:
        super().__init__(lines)
        self.name, self.samples, self.devices = name, samples, tuple(devices)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> list[Line]:
        """The lines that failed."""
        return [line for line in self if line.verdict == FAILED]

    def line(self, check: str) -> Line:
        """The line of a check."""
        return next(line for line in self if line.check == check)

    def raise_for_failures(self) -> None:
        """Raise ``CertifyError`` with the failed lines, if there are any."""
        if self.failures:
            told = "\n".join(f"  {line.check}: {line.detail}" for line in self.failures)
            raise CertifyError(f"{self.name}: {len(self.failures)} of {len(self)} checks failed\n{told}")

    def __repr__(self) -> str:
        head = f"{self.name}: {'certified' if self.ok else 'NOT certified'}, {self.samples} samples on {', '.join(self.devices)}"
        widths = [max([len(line[i]) for line in self], default=0) for i in range(3)]
        rows = ["  ".join([*[cell.ljust(width) for cell, width in zip(line, widths)], line.detail]).rstrip() for line in self]
        return "\n".join([head, *[f"  {row}" for row in rows]])
