"""``tensorlite plot``."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tensorlite.cli import _build
from tensorlite.cli._eval import file_of
from tensorlite.cli._train import positive
from tensorlite.errors import CheckpointError

PICTURES = ("confusion", "samples", "mistakes", "filters", "landscape", "curves")


def add(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "plot", help="draw pictures of a trained model",
        description="Draw pictures of a trained model into PNG files: how often each class is taken for which, sample "
                    "predictions, mistakes, the first layer's filters, the loss around the weights, the curves of the training.")
    parser.set_defaults(run=run)
    parser.add_argument("picture", nargs="+", choices=PICTURES)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="PATH",
                        help="a run's folder, its model file, or one of its checkpoints")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the pictures go (default: the run's folder)")
    parser.add_argument("--data", help="a data set's name or a folder (default: what it was trained on)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--count", type=positive, default=25, metavar="N", help="samples, mistakes: how many (default: 25)")
    parser.add_argument("--steps", type=positive, default=21, metavar="N", help="landscape: places along each side (default: 21)")
    parser.add_argument("--span", type=float, default=1.0, help="landscape: as far as the filters' norms times this (default: 1)")
    parser.add_argument("--samples", type=positive, default=1000, metavar="N", help="landscape: of so many (default: 1000)")


def run(args: argparse.Namespace) -> int:
    """Draw, and say where the pictures are."""
    path = file_of(args.checkpoint)
    out = args.out or path.absolute().parent
    wanted = list(dict.fromkeys(args.picture))
    if "curves" in wanted:
        _curves(args.checkpoint, out / "curves.png")
        wanted.remove("curves")
    if wanted:
        device = _build.device(args.device)
        config, model, test = _build.trained(path, args.data, device)
        model.to(device)
        for name in wanted:
            _draw(name, args, config, model, test, device, out / f"{name}.png")
    for name in dict.fromkeys(args.picture):
        print(out / f"{name}.png")
    return 0


def _draw(name: str, args: argparse.Namespace, config: dict[str, Any], model: Any, test: Any, device: str, path: Path) -> None:
    from tensorlite import train
    if name == "confusion":
        train.plot_confusion(train.confusion_matrix(model, test, test.classes, device=device), path, test.names)
    elif name == "filters":
        shape = (test.sample_shape if len(test.sample_shape) == 3
                 else _build.data({**config, "model": "images"}, train=False).sample_shape)
        train.plot_filters(model, path, shape)
    elif name == "landscape":
        train.loss_landscape(model, _build.loss(config), test, steps=args.steps, span=args.span, samples=args.samples,
                             device=device).plot(path)
    else:
        train.plot_samples(model, test, path, count=args.count, only_wrong=name == "mistakes", names=test.names, device=device)


def _curves(run: Path, path: Path) -> None:
    import json

    from tensorlite.train import History
    history = (run if run.is_dir() else run.parent) / "history.json"
    try:
        records = json.loads(history.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{history}: the history of the run cannot be read ({error})") from None
    History(records).plot(path)
