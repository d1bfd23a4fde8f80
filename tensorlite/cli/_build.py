"""Data, models, optimizers and schedules out of a command's options."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tensorlite.errors import CheckpointError, TensorliteError

MODELS = ("mlp",)
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("none", "step", "cosine", "onecycle", "plateau")

# What a run takes that the user says nothing about: first for any data, then for each.
DEFAULTS: dict[str, Any] = {
    "model": "mlp", "data": "digits", "device": "auto", "activation": "relu", "dropout": 0.0, "batchnorm": False,
    "optimizer": "adam", "momentum": 0.9, "weight_decay": 0.0,
    "schedule": "onecycle", "warmup": 0.0, "val_split": 0.1, "early_stop": 0, "seed": 0,
    "grad_clip": 0.0, "checkpoint_every": 0,
}
OF_DATA: dict[str, dict[str, Any]] = {
    "digits": {"hidden": [128], "dropout": 0.2, "epochs": 40, "batch_size": 32, "lr": 4e-3},
    "mnist": {"hidden": [256], "epochs": 5, "batch_size": 128, "lr": 4e-3},
}


class UsageError(TensorliteError, ValueError):
    """Options that do not go together."""


def device(name: str) -> str:
    """``name``, or for ``auto`` the first CUDA device if there is one that works, else the CPU."""
    from tensorlite.backends import backend_for_device
    if name == "auto":
        try:
            backend_for_device("cuda")
        except TensorliteError:
            return "cpu"
        return "cuda"
    backend_for_device(name)
    return name


def data(config: dict[str, Any], train: bool) -> Any:
    """The data set, one row per image for models that take rows."""
    from tensorlite.data import load
    return load(config["data"], train, flat=config["model"] == "mlp")


def model(config: dict[str, Any], dataset: Any) -> Any:
    """A new model for images as in ``dataset``."""
    from tensorlite import models
    if config["model"] not in MODELS:
        raise UsageError(f"the model {config['model']!r} is unknown; there are {', '.join(MODELS)}")
    return models.mlp(dataset.sample_shape[0], config["hidden"], dataset.classes, activation=config["activation"],
                      dropout=config["dropout"], batchnorm=config["batchnorm"])


def optimizer(config: dict[str, Any], parameters: Any) -> Any:
    """The optimizer, with weight decay and, where it has one, momentum."""
    from tensorlite import optim
    name, lr, decay = config["optimizer"], config["lr"], config["weight_decay"]
    if name == "sgd":
        return optim.SGD(parameters, lr=lr, momentum=config["momentum"], weight_decay=decay)
    if name == "rmsprop":
        return optim.RMSprop(parameters, lr=lr, weight_decay=decay)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[name](parameters, lr=lr, weight_decay=decay)


def scheduler(config: dict[str, Any], optimizer: Any, steps: int) -> tuple[Any, str]:
    """The schedule (or None), and whether it moves every ``"step"`` or every ``"epoch"``; ``steps`` is the number of steps an
    epoch.
    """
    from tensorlite.optim import lr_scheduler as schedules
    name, epochs = config["schedule"], config["epochs"]
    warm, total = round(config["warmup"] * steps), epochs * steps
    if warm and name in ("onecycle", "plateau"):
        raise UsageError(f"--warmup goes with the schedules none, step and cosine, not with {name}"
                         + (" (which warms up by itself)" if name == "onecycle" else ""))
    if warm >= total > 0:
        raise UsageError(f"--warmup {config['warmup']:g} is not shorter than the training of {epochs} epochs")
    if name == "plateau":
        return schedules.ReduceLROnPlateau(optimizer, factor=0.3, patience=3), "epoch"
    if name == "onecycle":
        return schedules.OneCycleLR(optimizer, max_lr=config["lr"], total_steps=max(total, 1)), "step"
    after: Any = None
    if name == "cosine":
        after = schedules.CosineAnnealingLR(optimizer, T_max=max(total - warm, 1))
    elif name == "step":
        after = schedules.StepLR(optimizer, step_size=max((total - warm) // 3, 1), gamma=0.1)
    if not warm:
        return after, "step"
    warming = schedules.LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)
    return (warming if after is None else schedules.SequentialLR(optimizer, [warming, after], [warm])), "step"


def saved_config(folder: Path) -> dict[str, Any]:
    """The options of the run in ``folder``."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())["config"]
        config.keys()
        return config
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: the options of the run cannot be read ({error})") from None


def describe_test(result: dict[str, float]) -> str:
    """The result of a test as the line that ends a run."""
    n = int(result["samples"])
    return f"test accuracy {result['accuracy']:.1%} ({round(result['accuracy'] * n)}/{n})"
