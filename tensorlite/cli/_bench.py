"""``tensorlite bench``."""
from __future__ import annotations

import argparse
from functools import partial
from typing import Any


def add(commands: Any) -> None:
    """Add the command and its options."""
    from tensorlite.bench.__main__ import add_arguments, run
    parser: argparse.ArgumentParser = commands.add_parser(
        "bench", help="measure kernels and training steps beside other libraries",
        description="Measure kernels, training steps and operations beside PyTorch, Liger and JAX, where they are installed.")
    add_arguments(parser)
    parser.set_defaults(run=partial(run, parser=parser))
