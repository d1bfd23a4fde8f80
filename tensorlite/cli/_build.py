"""Data, models, optimizers and schedules out of a command's options."""
from __future__ import annotations

import json
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from tensorlite.errors import CheckpointError, TensorliteError

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("none", "step", "cosine", "onecycle", "plateau")
PRECISIONS = ("none", "bf16", "fp16")
SMALL = 64   # pixels across, up to which networks begin as for CIFAR
AUGMENTATIONS = ("crop", "flip", "cutout", "jitter")

# What a run takes that the user says nothing about: first for any data, then for each.
DEFAULTS: dict[str, Any] = {
    "model": "mlp", "data": "digits", "device": "auto", "activation": "relu", "dropout": 0.0, "batchnorm": False,
    "optimizer": "adam", "momentum": 0.9, "weight_decay": 0.0,
    "schedule": "onecycle", "warmup": 0.0, "val_split": 0.1, "early_stop": 0, "seed": 0,
    "grad_clip": 0.0, "checkpoint_every": 0, "nesterov": False, "label_smoothing": 0.0, "amp": "none", "channels_last": False,
    "augment": [], "train_samples": 0, "test_samples": 0, "workers": 0, "image_size": 64,
}
OF_DATA: dict[str, dict[str, Any]] = {
    "digits": {"hidden": [128], "dropout": 0.2, "epochs": 40, "batch_size": 32, "lr": 4e-3},
    "mnist": {"hidden": [256], "epochs": 5, "batch_size": 128, "lr": 4e-3},
    "cifar10": {"hidden": [1024, 512], "epochs": 15, "batch_size": 128, "lr": 1e-3},
    "cifar100": {"hidden": [1024, 512], "epochs": 15, "batch_size": 128, "lr": 1e-3},
}
FOLDER: dict[str, Any] = {"hidden": [512], "epochs": 15, "batch_size": 64, "lr": 1e-3, "workers": 2}   # of images
# Convolutional networks, over those of the data; without normalisation layers rates have to be lower.
CONVOLUTIONAL: dict[str, Any] = {"optimizer": "sgd", "nesterov": True, "weight_decay": 5e-4, "lr": 0.1, "dropout": 0.0}
WITHOUT_NORMALIZATION: dict[str, Any] = {**CONVOLUTIONAL, "lr": 0.02}


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


def defaults(model: str, data: str) -> dict[str, Any]:
    """What a run of this model on these data takes that the user says nothing about."""
    own = OF_DATA.get(data, FOLDER)
    if model == "mlp":
        return {**DEFAULTS, **own}
    plain = model.startswith(("lenet", "alexnet", "vgg")) and not model.endswith("bn")
    more = {"augment": ["crop", "flip"]} if data.startswith("cifar") else {"epochs": 10} if data == "digits" else {}
    return {**DEFAULTS, **own, **(WITHOUT_NORMALIZATION if plain else CONVOLUTIONAL), **more}


def models() -> list[str]:
    """The names of the models there are."""
    from tensorlite import models
    return sorted(name for name in models.__all__ if name.islower() and callable(getattr(models, name)))


def data(config: dict[str, Any], train: bool, device: str = "cpu") -> Any:
    """The data set, one row per image for models that take rows; on a GPU, where it can be there as a whole."""
    from tensorlite.data import load
    flat, limit = config["model"] == "mlp", config["train_samples" if train else "test_samples"]
    if config["data"] in OF_DATA:
        found: Any = load(config["data"], train, flat=flat)
    elif flat:
        raise UsageError("--model mlp takes rows of numbers, and image folders give images; choose a convolutional model")
    else:
        found = _folder(Path(config["data"]), train, config["image_size"])
    if device != "cpu" and hasattr(found, "to"):
        found = found.to(device)
    return _some(found, limit) if 0 < limit < len(found) else found


def _folder(root: Path, train: bool, size: int) -> Any:
    from tensorlite.data import ImageFolder
    parts = [root / name for name in (("train",) if train else ("test", "val", "valid"))]
    where = next((p for p in parts if p.is_dir()), None)
    if where is None:
        raise UsageError(f"--data {root}: expected the folder {' or '.join(map(str, parts))}, with a folder of images for each "
                         "class")
    found = ImageFolder(where, size)
    if not train and (other := ImageFolder(root / "train", size)).names != found.names:
        raise UsageError(f"--data {root}: the classes in {where.name} are {', '.join(found.names)}, and those to train with are "
                         f"{', '.join(other.names)}; expected the same")
    return found


def _some(dataset: Any, count: int) -> Any:
    """The first ``count`` samples of a fixed random order."""
    import numpy as np

    from tensorlite.data import Subset
    from tensorlite.random import Generator, permutation
    order = np.asarray(permutation(len(dataset), generator=Generator(0)))
    found: Any = Subset(dataset, order[:count])
    found.sample_shape, found.classes, found.names = dataset.sample_shape, dataset.classes, dataset.names
    return found


def model(config: dict[str, Any], dataset: Any) -> Any:
    """A new model for images as in ``dataset``."""
    from tensorlite import models as there
    name = config["model"]
    if name not in (known := models()):
        raise UsageError(f"the model {name!r} is unknown; there are {', '.join(known)}")
    if name == "mlp":
        return there.mlp(dataset.sample_shape[0], config["hidden"], dataset.classes, activation=config["activation"],
                         dropout=config["dropout"], batchnorm=config["batchnorm"])
    channels, *sides = dataset.sample_shape
    options = {"num_classes": dataset.classes, "in_channels": channels, "image_size": sides[0],
               "stem": "cifar" if max(sides) <= SMALL else "imagenet"}
    make = getattr(there, name)
    takes = signature(make).parameters
    made = make(**{k: v for k, v in options.items() if k in takes})
    if config["channels_last"]:
        made.register_forward_pre_hook(channels_last)
    return made


def channels_last(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Images (n, c, h, w) laid out in memory as (n, h, w, c), which convolutions then keep."""
    from tensorlite.ops.manipulation import contiguous, permute_dims
    images, *rest = args
    return permute_dims(contiguous(permute_dims(images, (0, 2, 3, 1))), (0, 3, 1, 2)), *rest


def augmentation(config: dict[str, Any], shape: tuple[int, ...]) -> list[Callable[..., Any]] | None:
    """The transforms of training images of that shape."""
    from tensorlite.data import ColorJitter, Cutout, RandomCrop, RandomFlip
    if not config["augment"]:
        return None
    if len(shape) != 3:
        raise UsageError("--augment moves images, and --model mlp takes rows of numbers; leave it out, or choose another model")
    side = min(shape[1:])
    made: dict[str, Callable[..., Any]] = {
        "jitter": ColorJitter(0.2, 0.2, 0.2), "crop": RandomCrop(max(1, side // 8)), "flip": RandomFlip(),
        "cutout": Cutout(max(1, side // 2))}
    return [made[name] for name in ("jitter", "crop", "flip", "cutout") if name in config["augment"]]


def loss(config: dict[str, Any]) -> Any:
    """The loss to train with."""
    from tensorlite import nn
    return nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])


def precision(config: dict[str, Any], device: str) -> dict[str, Any]:
    """The Trainer's options for mixed precision."""
    import tensorlite
    if config["amp"] == "none":
        return {}
    if config["amp"] == "bf16":
        return {"amp": tensorlite.bfloat16}   # which needs ml_dtypes, and says so
    return {"amp": tensorlite.float16, "scaler": tensorlite.amp.GradScaler(device)}


def trained(path: Path, data_name: str | None = None, device: str = "cpu") -> tuple[dict[str, Any], Any, Any]:
    """Options, model and test data of a run's folder, model file or checkpoint."""
    from tensorlite import io
    saved = io.load(path)
    if not isinstance(saved, dict) or not {"config", "model"} <= saved.keys() or "hidden" not in saved["config"]:
        raise CheckpointError(f"{path}: not written by 'tensorlite train', as it does not say what model it holds")
    config = {**DEFAULTS, **saved["config"], **({"data": data_name} if data_name else {})}
    test = data(config, train=False, device=device)
    made = model(config, test)
    try:
        made.load_state_dict(saved["model"])
    except (ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path}: its model does not fit the data set {config['data']} ({error})") from None
    return config, made, test


def optimizer(config: dict[str, Any], parameters: Any) -> Any:
    """The optimizer, with weight decay and, where it has one, momentum."""
    from tensorlite import optim
    name, lr, decay = config["optimizer"], config["lr"], config["weight_decay"]
    if name == "sgd":
        nesterov = config["nesterov"] and config["momentum"] > 0
        return optim.SGD(parameters, lr=lr, momentum=config["momentum"], weight_decay=decay, nesterov=nesterov)
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
