"""Which CuPy this stands in for, and what that one has."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VERSION = 13 if __name__.rpartition(".")[0].endswith("13") else 14   # the package's name, see ../versions.py
_found: dict[str, Any] = json.loads((Path(__file__).parents[1] / "cupy_facts" / f"names_{VERSION}.json").read_text())
NAMES: dict[str, dict[str, str | None]] = _found["signatures"]
UFUNCS: dict[str, tuple[str, list[str]]] = {n: (found.split()[0], found.split()[1:]) for n, found in _found["ufuncs"].items()}
OTHER_NAMES: dict[str, list[str]] = {path: found.split() for path, found in _found["names"].items()}
FULL_VERSION: str = _found["version"]
