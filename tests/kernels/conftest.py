"""These tests run compiled kernels; without Numba the references are tested by all others, and here CUDA and random numbers."""
from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
collect_ignore = [] if find_spec("numba") else [p.name for p in HERE.glob("test_*.py")
                                                if not p.name.startswith(("test_philox", "test_cuda"))]


@pytest.fixture
def cuda() -> Any:
    """A Runtime that runs CUDA C++ on the CPU and takes NumPy arrays: ``load("sigmoid_backward").cuda(cuda, g, y)``."""
    import cuda_on_cpu

    if why := cuda_on_cpu.why_not():
        pytest.skip(why)
    return cuda_on_cpu.runtime()
