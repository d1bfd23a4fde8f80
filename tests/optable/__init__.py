"""The one op table: every operation has a row, each group of ``tensorlite/ops`` a file."""
from __future__ import annotations

import importlib
import pkgutil

from optable._row import Case, Row

__all__ = ["Case", "Row", "rows"]


def rows() -> list[Row]:
    """Every row of every group."""
    found: list[Row] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        found += importlib.import_module(f"{__name__}.{module}").ROWS
    return found
