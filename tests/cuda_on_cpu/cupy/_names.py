"""Which CuPy this stands in for, and what that one has (see ``dump_names.py``)."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VERSION = 13 if __name__.rpartition(".")[0].endswith("13") else 14   # the package's name, see ../versions.py
_found: dict[str, Any] = json.loads(Path(__file__).with_name(f"names_{VERSION}.json").read_text())
NAMES: dict[str, dict[str, str | None]] = _found["names"]
UFUNCS: dict[str, dict[str, Any]] = _found["ufuncs"]
FULL_VERSION: str = _found["version"]
