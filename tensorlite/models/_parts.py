"""What the models share."""
from __future__ import annotations

from typing import Any

from tensorlite import nn
from tensorlite.errors import TensorliteError
from tensorlite.nn import init

__all__ = ["UnknownName", "check_stem", "conv", "initialize"]


class UnknownName(TensorliteError, ValueError):
    """A name that stands for nothing here."""


def check_stem(name: str, stem: str) -> str:
    """"imagenet" or "cifar": how a network begins."""
    if stem not in ("imagenet", "cifar"):
        raise UnknownName(f"{name}: stem {stem!r} is unknown; expected 'imagenet' (for some 224 x 224 pixels) or 'cifar' "
                          "(for 32 x 32)")
    return stem


def conv(n: int, m: int, kernel: int, stride: int = 1) -> Any:
    """A convolution without bias, padded so that with stride 1 it keeps the size."""
    return nn.Conv2d(n, m, kernel, stride=stride, padding=kernel // 2, bias=False)


def initialize(model: Any, mode: str = "fan_out", linear: bool = False) -> None:
    """He et al.'s (2015) normal weights for convolutions, and for ``linear`` layers too; other parameters start as they do."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) or (linear and isinstance(module, nn.Linear)):
            init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
