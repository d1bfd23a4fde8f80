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
CHANGEABLE = ("device", "epochs", "checkpoint_every")   # options that a run which goes on may change


def add(commands: Any) -> None:
    """Add the command and its options; an option the user leaves out is absent from the result."""
    parser = commands.add_parser(
        "train", argument_default=argparse.SUPPRESS,
        help="train a model and print its test accuracy",
        description="Train a model on a data set, keep everything about the run in one folder, and print the test accuracy.")
    parser.set_defaults(run=run)
    option = parser.add_argument
    option("--model", choices=_build.MODELS, help="default: mlp")
    option("--data", choices=tuple(_build.OF_DATA), help="default: digits")
    option("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    option("--hidden", type=_sizes, metavar="N,N,...", help="sizes of the hidden layers, such as 512,512 (default: by data set)")
    option("--activation", help="relu, leaky_relu, elu, gelu, silu, softplus, sigmoid or tanh (default: relu)")
    option("--dropout", type=_share, metavar="P", help="share of hidden values dropped (default: by data set)")
    option("--batchnorm", action=argparse.BooleanOptionalAction, help="normalise hidden layers over the batch (default: no)")
    option("--epochs", type=_positive, metavar="N", help="passes over the data (default: by data set)")
    option("--batch-size", type=_positive, metavar="N", help="samples per step (default: by data set)")
    option("--lr", type=_rate, help="learning rate, the highest one of the schedule (default: by data set)")
    option("--optimizer", choices=_build.OPTIMIZERS, help="default: adam")
    option("--momentum", type=float, help="of sgd (default: 0.9)")
    option("--weight-decay", type=_amount, help="default: 0")
    option("--grad-clip", type=_amount, metavar="NORM", help="bound on the gradient's norm (default: 0, none)")
    option("--schedule", choices=_build.SCHEDULES, help="of the learning rate (default: onecycle)")
    option("--warmup", type=_amount, metavar="EPOCHS", help="epochs of linear warm-up before the schedule (default: 0)")
    option("--val-split", type=_share, metavar="P", help="share of the training data kept for validation (default: 0.1)")
    option("--early-stop", type=_count, metavar="N",
           help="stop after N epochs without a better validation loss (default: 0, never)")
    option("--seed", type=int, help="of everything random (default: 0)")
    option("--out", type=Path, metavar="DIR", help="folder of the run (default: a new one in runs/)")
    option("--resume", nargs="?", const=True, metavar="DIR",
           help="go on with the run in DIR, or in --out; also one checkpoint of a run")
    option("--checkpoint-every", type=_count, metavar="STEPS", help="checkpoints within epochs too (default: 0, only after each)")
    option("--quiet", action="store_true", help="print only the test accuracy")


def run(args: argparse.Namespace) -> int:
    """Train, test, and say where everything is."""
    given = {name: value for name, value in vars(args).items() if name in _build.DEFAULTS or name in _build.OF_DATA["digits"]}
    resume = getattr(args, "resume", False)
    quiet = getattr(args, "quiet", False)
    out, saved = _folder(args, resume)
    try:
        config = _config(given, saved, out)
        trainer, train, val = _prepare(config, out, quiet)
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
    test = _build.data(config, train=False)
    from tensorlite import io
    io.save({"config": config, "model": dict(trainer.model.state_dict())}, out / MODEL_FILE)
    print(_build.describe_test(trainer.evaluate(test)))
    return 0


def _config(given: dict[str, Any], saved: dict[str, Any], out: Path) -> dict[str, Any]:
    for name, value in given.items():
        if name in saved and value != saved[name]:
            _check_change(name, value, saved, out)
    data = given.get("data", saved.get("data", _build.DEFAULTS["data"]))
    config = {**_build.DEFAULTS, **_build.OF_DATA[data], **saved, **given}
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
        return _fresh(Path("runs"), f"{getattr(args, 'model', 'mlp')}-{getattr(args, 'data', 'digits')}"), {}
    started = (out / "config.json").is_file()
    if started and not resume:
        raise UsageError(f"--out {out}: this folder holds a run; go on with it with --resume, or choose another folder")
    return out, _build.saved_config(out) if started else {}


def _fresh(parent: Path, stem: str) -> Path:
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


def _prepare(config: dict[str, Any], out: Path, quiet: bool) -> tuple[Any, Any, Any]:
    from tensorlite import nn, random
    from tensorlite.data import DataLoader, random_split
    from tensorlite.train import EarlyStopping, Trainer
    device = _build.device(config["device"])
    random.manual_seed(config["seed"])
    order = random.Generator(config["seed"])   # its own, so that the order does not depend on how often the model draws
    dataset = _build.data(config, train=True)
    model = _build.model(config, dataset)
    train, val = dataset, None
    if config["val_split"]:
        train, held = random_split(dataset, [1 - config["val_split"], config["val_split"]], generator=order)
        if not len(held) or not len(train):
            raise UsageError(f"--val-split {config['val_split']:g} of {len(dataset)} samples leaves {len(train)} to train with "
                             f"and {len(held)} to validate; choose a share that leaves some of both")
        val = DataLoader(held, 1024)
    loader = DataLoader(train, config["batch_size"], shuffle=True, generator=order)
    model.to(device)
    optimizer = _build.optimizer(config, model.parameters())
    scheduler, every = _build.scheduler(config, optimizer, len(loader))
    callbacks = [EarlyStopping(patience=config["early_stop"])] if config["early_stop"] else []
    trainer = Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks, device=device, scheduler=scheduler,
                      scheduler_step=every, grad_clip=config["grad_clip"] or None, out=out,
                      checkpoint_every=config["checkpoint_every"] or None,
                      config=config, progress=not quiet)
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


def _positive(text: str) -> int:
    return int(_number(int, text, lambda n: n > 0, "a positive number"))


def _count(text: str) -> int:
    return int(_number(int, text, lambda n: n >= 0, "a number from 0 up"))


def _share(text: str) -> float:
    return float(_number(float, text, lambda x: 0 <= x < 1, "a share from 0 to below 1"))


def _rate(text: str) -> float:
    return float(_number(float, text, lambda x: 0 < x < inf, "a positive number"))


def _amount(text: str) -> float:
    return float(_number(float, text, lambda x: 0 <= x < inf, "a number from 0 up"))
