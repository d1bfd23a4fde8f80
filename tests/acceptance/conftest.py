"""Devices that are there, and the examples' definitions."""
from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tensorlite.backends import backend_for_device
from tensorlite.errors import TensorliteError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _devices() -> list[Any]:
    try:
        backend_for_device("cuda")
    except TensorliteError:
        return ["cpu"]
    return ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=_devices())
def device(request: pytest.FixtureRequest) -> str:
    """Every device there is."""
    return str(request.param)


@pytest.fixture
def example() -> Any:
    """A function from an example's name to what it defines."""
    return lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))
