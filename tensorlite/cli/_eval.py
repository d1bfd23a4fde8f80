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
    parser.add_argument("--data", choices=tuple(_build.OF_DATA), help="default: what it was trained on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Load, test, print."""
    from tensorlite import io, nn
    from tensorlite.train import Trainer
    path = _file(args.checkpoint)
    saved = io.load(path)
    if not isinstance(saved, dict) or not {"config", "model"} <= saved.keys() or "hidden" not in saved["config"]:
        raise CheckpointError(f"{path}: not written by 'tensorlite train', as it does not say what model it holds")
    config = {**saved["config"], **({"data": args.data} if args.data else {})}
    test = _build.data(config, train=False)
    model = _build.model(config, test)
    try:
        model.load_state_dict(saved["model"])
    except (ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path}: its model does not fit the data set {config['data']} ({error})") from None
    result = Trainer(model, None, nn.CrossEntropyLoss(), device=_build.device(args.device), progress=False).evaluate(test)
    print(f"test loss {result['loss']:.4f}")
    print(_build.describe_test(result))
    return 0


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in (MODEL_FILE, "checkpoints/last.safetensors", "checkpoints/previous.safetensors"):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path}: there is neither {MODEL_FILE} nor a checkpoint in this folder")
    return path
