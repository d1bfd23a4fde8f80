"""``tensorlite eval``."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tensorlite.cli import _build
from tensorlite.cli._train import MODEL_FILE
from tensorlite.errors import CheckpointError


def add(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("eval", help="print the test accuracy of a trained model",
                                 description="Print the accuracy of a trained model on a data set's test samples.")
    parser.set_defaults(run=run)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="PATH",
                        help="a run's folder, its model file, or one of its checkpoints")
    parser.add_argument("--data", help="a data set's name or a folder (default: what it was trained on)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Load, test, print."""
    from tensorlite.train import Trainer
    device = _build.device(args.device)
    config, model, test = _build.trained(file_of(args.checkpoint), args.data, device)
    precision = _build.precision(config, device)
    result = Trainer(model, None, _build.loss(config), device=device, amp=precision.get("amp"), progress=False).evaluate(test)
    print(f"test loss {result['loss']:.4f}")
    print(_build.describe_test(result))
    return 0


def file_of(path: Path) -> Path:
    """The model file of a run's folder, or the file itself."""
    if path.is_dir():
        for name in (MODEL_FILE, "checkpoints/last.safetensors", "checkpoints/previous.safetensors"):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path}: there is neither {MODEL_FILE} nor a checkpoint in this folder")
    return path
