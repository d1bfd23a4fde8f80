"""Layer and batch norm in NumPy: the compiled kernels where rows or channels are normalised, else the reference."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.kernels._normalization import by_kernels

IMPLEMENTATIONS: dict[str, Any] = by_kernels(np, lambda name: kernels.load(name).cpu)
