"""``tensorlite train``."""
from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from tensorlite.cli import _build
from tensorlite.cli._build import UsageError

MODEL_FILE = "model.safetensors"
CHANGEABLE = ("device", "epochs", "checkpoint_every", "workers")   # options that a run which goes on may change


def add(commands: Any) -> None:
    """Add the command and its options; an option the user leaves out is absent from the result."""
    parser = commands.add_parser(
        "train", argument_default=argparse.SUPPRESS,
        help="train a model and print its test accuracy",
        description="Train a model on a data set, keep everything about the run in one folder, and print the test accuracy.")
    parser.set_defaults(run=run)
    add_options(parser)
    option = parser.add_argument
    option("--model", help="mlp, or a convolutional network of tensorlite.models such as lenet or resnet20 (default: mlp)")
    option("--out", type=Path, metavar="DIR", help="folder of the run (default: a new one in runs/)")
    option("--resume", nargs="?", const=True, metavar="DIR",
           help="go on with the run in DIR, or in --out; also one checkpoint of a run")
    option("--quiet", action="store_true", help="print only the test accuracy")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to train, which ``sweep`` has too."""
    option = parser.add_argument_group("data").add_argument
    option("--data", type=_data, help=f"{', '.join(_build.OF_DATA)}, or a folder with train/ and test/ in it, each with a folder "
           "of images for each class (default: digits)")
    option("--augment", type=_augmentations, metavar="NAME,...", help=f"some of {', '.join(_build.AUGMENTATIONS)}, or none "
           "(default: crop,flip for convolutional networks on CIFAR)")
    option("--train-samples", type=_count, metavar="N", help="train with N samples only (default: 0, all)")
    option("--test-samples", type=_count, metavar="N", help="test with N samples only (default: 0, all)")
    option("--val-split", type=_share, metavar="P", help="share of the training data kept for validation (default: 0.1)")
    option("--image-size", type=positive, metavar="N", help="side of the images of a folder (default: 64)")
    option("--workers", type=_count, metavar="N", help="threads that make batches ahead (default: 0; 2 for a folder of images)")
    option = parser.add_argument_group("model").add_argument
    option("--hidden", type=_sizes, metavar="N,N,...",
           help="mlp: sizes of the hidden layers, such as 512,512 (default: by data set)")
    option("--activation", help="mlp: relu, leaky_relu, elu, gelu, silu, softplus, sigmoid or tanh (default: relu)")
    option("--dropout", type=_share, metavar="P", help="mlp: share of hidden values dropped (default: by data set)")
    option("--batchnorm", action=argparse.BooleanOptionalAction, help="mlp: normalise hidden layers over the batch (default: no)")
    option = parser.add_argument_group("training").add_argument
    option("--epochs", type=positive, metavar="N", help="passes over the data (default: by data set)")
    option("--batch-size", type=positive, metavar="N", help="samples per step (default: by data set)")
    option("--lr", type=_rate, help="learning rate, the highest one of the schedule (default: by model and data set)")
    option("--optimizer", choices=_build.OPTIMIZERS, help="default: adam for mlp, else sgd")
    option("--momentum", type=float, help="of sgd (default: 0.9)")
    option("--nesterov", action=argparse.BooleanOptionalAction,
           help="sgd with Nesterov's momentum (default: no for mlp, else yes)")
    option("--weight-decay", type=_amount, help="default: 0 for mlp, else 5e-4")
    option("--label-smoothing", type=_share, metavar="P", help="share of each label given to all classes alike (default: 0)")
    option("--grad-clip", type=_amount, metavar="NORM", help="bound on the gradient's norm (default: 0, none)")
    option("--schedule", "--lr-schedule", choices=_build.SCHEDULES, help="of the learning rate (default: onecycle)")
    option("--warmup", type=_amount, metavar="EPOCHS", help="epochs of linear warm-up before the schedule (default: 0)")
    option("--early-stop", type=_count, metavar="N",
           help="stop after N epochs without a better validation loss (default: 0, never)")
    option("--seed", type=int, help="of everything random (default: 0)")
    option("--checkpoint-every", type=_count, metavar="STEPS", help="checkpoints within epochs too (default: 0, only after each)")
    option = parser.add_argument_group("machine").add_argument
    option("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    option("--amp", choices=_build.PRECISIONS, help="mixed precision (default: none)")
    option("--channels-last", action=argparse.BooleanOptionalAction, help="lay images out with channels last (default: no)")


def run(args: argparse.Namespace) -> int:
    """Train, test, and say where everything is."""
    given = {name: value for name, value in vars(args).items() if name in _build.defaults("mlp", "digits")}
    resume = getattr(args, "resume", False)
    quiet = getattr(args, "quiet", False)
    out, saved = _folder(args, resume)
    try:
        config = configured(given, saved, out)
        trainer, train, val = prepare(config, out, quiet)
    except BaseException:
        if not resume and not hasattr(args, "out"):
            with suppress(OSError):   # the folders that were made for it, if they are empty
                out.rmdir()
                out.parent.rmdir()
        raise
    if not quiet:
        print(f"{config['model']} on {config['data']}: {len(train.dataset):,} samples to train with, "
              f"{0 if val is None else len(val.dataset):,} to validate; everything about this run is in {out}")
    try:
        one = isinstance(resume, str) and Path(resume).is_file()
        trainer.fit(train, val, config["epochs"], resume=resume if one else bool(resume))
    except KeyboardInterrupt:
        print(f"\ninterrupted after step {trainer.step}; go on with: tensorlite train --resume {shlex.quote(str(out))}")
        return 130
    print(_build.describe_test(finish(trainer, config, out)))
    return 0


def finish(trainer: Any, config: dict[str, Any], out: Path) -> dict[str, float]:
    """Keep the trained model, and test it."""
    from tensorlite import io
    io.save({"config": config, "model": dict(trainer.model.state_dict())}, out / MODEL_FILE)
    result: dict[str, float] = trainer.evaluate(_build.data(config, train=False, device=trainer.device))
    return result


def configured(given: dict[str, Any], saved: dict[str, Any], out: Path) -> dict[str, Any]:
    """The run's options: those given, those of the run that goes on, and the defaults."""
    for name, value in given.items():
        if name in saved and value != saved[name]:
            _check_change(name, value, saved, out)
    model, data = (given.get(name, saved.get(name, _build.DEFAULTS[name])) for name in ("model", "data"))
    config = {**(_build.DEFAULTS if saved else _build.defaults(model, data)), **saved, **given}
    if config["early_stop"] and not config["val_split"]:
        raise UsageError("--early-stop needs validation data; give a --val-split above 0")
    return config


def _check_change(name: str, value: Any, saved: dict[str, Any], out: Path) -> None:
    """Refuse an option that a resumed run cannot change: it would be ignored, or make another run of it."""
    flag = f"--{name.replace('_', '-')} {','.join(map(str, value)) if isinstance(value, list) else value}"
    if name == "epochs" and (saved.get("schedule") not in ("none", "plateau") or saved.get("warmup")):
        raise UsageError(f"{flag}: the learning rate of the run in {out} was laid out for {saved[name]} epochs (schedule "
                         f"{saved.get('schedule')}); only runs with --schedule none or plateau can be given more, or fewer")
    if name not in CHANGEABLE:
        raise UsageError(f"{flag}: the run in {out} was started with {saved[name]}, and going on keeps its options (but for "
                         f"{', '.join('--' + n.replace('_', '-') for n in CHANGEABLE)}); start another run with another --out")


def _folder(args: argparse.Namespace, resume: Any) -> tuple[Path, dict[str, Any]]:
    """The run's folder, and the options of the run that is to go on in it."""
    out = getattr(args, "out", None)
    if isinstance(resume, str):
        if out is not None and Path(resume) != out and not Path(resume).is_file():
            raise UsageError(f"--resume {resume} and --out {out} name two folders; give one")
        out = Path(resume)
        if out.is_file():
            out = out.absolute().parent.parent if out.parent.name == "checkpoints" else out.parent
        if not (out / "config.json").is_file():
            raise UsageError(f"--resume {out}: there is no run in this folder (no config.json)")
    if resume and out is None:
        raise UsageError("--resume needs the folder of the run: --resume DIR")
    if out is None:
        return fresh(Path("runs"), f"{getattr(args, 'model', 'mlp')}-{Path(getattr(args, 'data', 'digits')).name}"), {}
    started = (out / "config.json").is_file()
    if started and not resume:
        raise UsageError(f"--out {out}: this folder holds a run; go on with it with --resume, or choose another folder")
    return out, _build.saved_config(out) if started else {}


def fresh(parent: Path, stem: str) -> Path:
    """A new folder; made at once, so that two runs that start together do not choose the same."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            (parent / f"{stem}-{number}").mkdir()
        except FileExistsError:
            number += 1
        else:
            return parent / f"{stem}-{number}"


def prepare(config: dict[str, Any], out: Path, quiet: bool) -> tuple[Any, Any, Any]:
    """The trainer, and the loaders of training and validation data (or None)."""
    from tensorlite import random
    from tensorlite.data import DataLoader, random_split
    from tensorlite.train import EarlyStopping, Trainer
    device = _build.device(config["device"])
    random.manual_seed(config["seed"])
    order = random.Generator(config["seed"])   # its own, so that the order does not depend on how often the model draws
    dataset = _build.data(config, train=True, device=device)
    model = _build.model(config, dataset)
    train, val = dataset, None
    if config["val_split"]:
        train, held = random_split(dataset, [1 - config["val_split"], config["val_split"]], generator=order)
        if not len(held) or not len(train):
            raise UsageError(f"--val-split {config['val_split']:g} of {len(dataset)} samples leaves {len(train)} to train with "
                             f"and {len(held)} to validate; choose a share that leaves some of both")
        val = DataLoader(held, 1024, num_workers=config["workers"])
    loader = DataLoader(train, config["batch_size"], shuffle=True, generator=order, num_workers=config["workers"],
                        transform=_build.augmentation(config, dataset.sample_shape), pin_memory=device != "cpu")
    model.to(device)
    optimizer = _build.optimizer(config, model.parameters())
    scheduler, every = _build.scheduler(config, optimizer, len(loader))
    callbacks = [EarlyStopping(patience=config["early_stop"])] if config["early_stop"] else []
    trainer = Trainer(model, optimizer, _build.loss(config), callbacks, device=device, scheduler=scheduler,
                      scheduler_step=every, grad_clip=config["grad_clip"] or None, out=out,
                      checkpoint_every=config["checkpoint_every"] or None,
                      config=config, progress=not quiet, **_build.precision(config, device))
    return trainer, loader, val


def _number(kind: type, text: str, fits: Callable[[Any], bool], what: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _sizes(text: str) -> list[int]:
    return [_number(int, part, lambda n: n > 0, "a positive number") for part in text.split(",") if part]


def _data(text: str) -> str:
    if text not in _build.OF_DATA and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a data set ({', '.join(_build.OF_DATA)}) nor a folder")
    return text


def _augmentations(text: str) -> list[str]:
    names = [part for part in text.split(",") if part and part != "none"]
    unknown = [name for name in names if name not in _build.AUGMENTATIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(_build.AUGMENTATIONS)}, none")
    return names


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return int(_number(int, text, lambda n: n > 0, "a positive number"))


def _count(text: str) -> int:
    return int(_number(int, text, lambda n: n >= 0, "a number from 0 up"))


def _share(text: str) -> float:
    return float(_number(float, text, lambda x: 0 <= x < 1, "a share from 0 to below 1"))


def _rate(text: str) -> float:
    return float(_number(float, text, lambda x: 0 < x < inf, "a positive number"))


def _amount(text: str) -> float:
    return float(_number(float, text, lambda x: 0 <= x < inf, "a number from 0 up"))
