"""These tests run compiled kernels; without Numba the references are tested by all others, and only the random numbers here."""
from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
collect_ignore = [] if find_spec("numba") else [p.name for p in HERE.glob("test_*.py") if p.name != "test_philox.py"]
