"""What happened in a run, epoch by epoch: as JSON, as CSV, as curves."""
from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorlite._files import write_atomic
from tensorlite.train import _figure

__all__ = ["History"]

Record = dict[str, Any]


class History:
    """One record per epoch: ``epoch``, ``step``, ``lr``, ``loss``, the metrics, ``val_...`` of each, ``seconds``,
    ``samples_per_second``.

    >>> import tensorlite as tl
    >>> history = tl.train.History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"], history[-1]["epoch"]
    ([0.5, 0.25], 2)
    """

    def __init__(self, records: list[Record] | None = None) -> None:
        self.records: list[Record] = list(records or [])

    def append(self, record: Record) -> None:
        """Add an epoch's record."""
        self.records.append(record)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, what: int | str) -> Any:
        """The record of an epoch by its place, or all values of a quantity by its name."""
        if isinstance(what, str):
            return [record[what] for record in self.records if what in record]
        return self.records[what]

    @property
    def names(self) -> list[str]:
        """The names of all quantities."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def to_json(self, path: str | Path) -> None:
        """Write the records as a JSON list."""
        write_atomic(path, (json.dumps(self.records, indent=1) + "\n").encode())

    def to_csv(self, path: str | Path) -> None:
        """Write the records as a CSV table with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        write_atomic(path, text.getvalue().encode())

    def plot(self, path: str | Path) -> None:
        """Draw the curves of the loss and of every metric, training and validation, as a PNG. Needs matplotlib."""
        measured = [n for n in self.names if f"val_{n}" in self.names or n in ("loss", "accuracy")]
        figure = _figure.figure(5.5 * max(len(measured), 1), 4, "curves")
        for k, name in enumerate(measured):
            axes = figure.add_subplot(1, len(measured), k + 1)
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                points = [(record["epoch"], record[key]) for record in self.records if key in record]
                if points:
                    axes.plot(*zip(*points), label=label, marker="o" if len(points) < 30 else "", markersize=3)
            axes.set(xlabel="epoch", ylabel=name)
            axes.grid(alpha=0.3)
            axes.legend()
        _figure.write(figure, path)
