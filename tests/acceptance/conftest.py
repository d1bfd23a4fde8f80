"""Devices, and the examples' definitions."""
from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from cuda_device import real, stand_in

import tensorlite as tl

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(params=["cpu", "stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """``"cpu"``; ``"cuda"`` on the stand-in for CuPy; ``"cuda"`` on a GPU."""
    if request.param == "gpu" and not real():
        pytest.skip(tl.backends()["cupy"])
    with stand_in() if request.param == "stand-in" else nullcontext():
        yield "cpu" if request.param == "cpu" else "cuda"


@pytest.fixture
def example() -> Any:
    """A function from an example's name to what it defines."""
    return lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))
