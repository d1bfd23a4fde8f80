"""Layer and batch norm in NumPy: the compiled kernels where rows or channels are normalised, else the reference."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.kernels import _normalization as reference


def running_moments(*arrays: Any, **options: Any) -> Any:
    """In one call where there is a compiler: of 256 channels 2 us instead of 17."""
    if not kernels.has_compiler():
        return reference.running_moments(np, *arrays, **options)
    from tensorlite.kernels.channel_normalize import cpu
    return cpu.running_moments(*arrays, **options)


IMPLEMENTATIONS: dict[str, Any] = {
    **reference.by_kernels(np, lambda name: kernels.load(name).cpu), "running_moments": running_moments,
}
