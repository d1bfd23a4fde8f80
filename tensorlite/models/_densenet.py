"""Densely connected networks (Huang et al. 2017), with torchvision's names."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite import nn
from tensorlite.models._parts import check_stem, conv, initialize
from tensorlite.nn import functional as F
from tensorlite.ops.manipulation import concat

__all__ = ["DenseNet", "densenet121", "densenet_40_12", "densenet_bc_100_12"]

Tensor = Any


class _DenseLayer(nn.Module):
    """``growth`` new channels out of all there are; ``bottleneck`` times as many in between, or, if 0, none."""

    def __init__(self, n: int, growth: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.norm1 = nn.BatchNorm2d(n)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(n, inner, 1) if inner else conv(n, growth, 3)
        if inner:
            self.norm2 = nn.BatchNorm2d(inner)
            self.relu2 = nn.ReLU()
            self.conv2 = conv(inner, growth, 3)
        self.inner, self.dropout = inner, dropout

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[0] if len(features) == 1 else concat(list(features), axis=1)
        x = self.conv1(self.relu1(self.norm1(x)))
        if self.inner:
            x = self.conv2(self.relu2(self.norm2(x)))
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class _DenseBlock(nn.ModuleDict):
    """Layers of which each sees the results of all before it."""

    def __init__(self, count: int, n: int, growth: int, bottleneck: int, dropout: float) -> None:
        super().__init__({f"denselayer{k + 1}": _DenseLayer(n + k * growth, growth, bottleneck, dropout) for k in range(count)})

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return concat(features, axis=1)


class DenseNet(nn.Module):
    """Dense blocks with transitions between them, global mean and a linear layer: (N, in_channels, H, W) to (N, num_classes).

    ``growth_rate`` k: channels a layer adds. ``block_config``: layers a block has. ``num_init_features``: channels before the
    first. ``bn_size``: channels of bottlenecks, in k; 0 for none. ``compression``: of the channels a transition keeps.
    ``drop_rate``: dropout after each layer. ``stem``: "imagenet" (7 x 7 with stride 2, and pooling) or "cifar" (3 x 3).
    """

    def __init__(self, growth_rate: int = 32, block_config: Sequence[int] = (6, 12, 24, 16), num_init_features: int = 64,
                 bn_size: int = 4, drop_rate: float = 0.0, num_classes: int = 1000, in_channels: int = 3,
                 compression: float = 0.5, stem: str = "imagenet") -> None:
        super().__init__()
        n = num_init_features
        if check_stem("densenet", stem) == "cifar":
            parts: dict[str, Any] = {"conv0": conv(in_channels, n, 3)}
        else:
            parts = {"conv0": conv(in_channels, n, 7, 2), "norm0": nn.BatchNorm2d(n), "relu0": nn.ReLU(),
                     "pool0": nn.MaxPool2d(3, stride=2, padding=1)}
        for k, count in enumerate(block_config):
            parts[f"denseblock{k + 1}"] = _DenseBlock(count, n, growth_rate, bn_size, drop_rate)
            n += count * growth_rate
            if k < len(block_config) - 1:
                kept = int(n * compression)
                parts[f"transition{k + 1}"] = nn.Sequential({
                    "norm": nn.BatchNorm2d(n), "relu": nn.ReLU(), "conv": conv(n, kept, 1), "pool": nn.AvgPool2d(2, 2)})
                n = kept
        self.features = nn.Sequential({**parts, "norm5": nn.BatchNorm2d(n)})
        self.classifier = nn.Linear(n, num_classes)
        initialize(self, "fan_in")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


def densenet121(num_classes: int = 1000, in_channels: int = 3, drop_rate: float = 0.0, stem: str = "imagenet") -> DenseNet:
    """DenseNet of 121 layers: 7,978,856 parameters for 1000 classes."""
    return DenseNet(32, (6, 12, 24, 16), 64, 4, drop_rate, num_classes, in_channels, stem=stem)


def densenet_bc_100_12(num_classes: int = 10, in_channels: int = 3, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet-BC of 100 layers and k = 12 for CIFAR: 769,162 parameters, the paper's 0.8M."""
    return DenseNet(12, (16, 16, 16), 24, 4, drop_rate, num_classes, in_channels, stem="cifar")


def densenet_40_12(num_classes: int = 10, in_channels: int = 3, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet of 40 layers and k = 12 for CIFAR, without bottlenecks and compression: the paper's 1.0M parameters.

    >>> import tensorlite as tl
    >>> tl.models.densenet_40_12()(tl.zeros(1, 3, 32, 32)).shape
    (1, 10)
    """
    return DenseNet(12, (12, 12, 12), 16, 0, drop_rate, num_classes, in_channels, 1.0, "cifar")
