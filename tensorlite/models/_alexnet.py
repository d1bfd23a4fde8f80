"""AlexNet (Krizhevsky et al. 2012), and the form of it that torchvision has (Krizhevsky 2014)."""
from __future__ import annotations

from typing import Any

from tensorlite import nn

__all__ = ["AlexNet", "alexnet"]

Tensor = Any


def _single() -> list[Any]:
    """The convolutions of "One weird trick for parallelizing convolutional neural networks", in one column."""
    return [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)]


def _double() -> list[Any]:
    """Those of the first paper, in two groups, with local response normalisation (section 3.3 to 3.5)."""
    respond = lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)   # the paper's alpha is not divided by 5
    return [respond(), nn.MaxPool2d(3, 2), nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), respond(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)]


class AlexNet(nn.Module):
    """Five convolutions and three linear layers: (N, in_channels, H, W), at least 63 x 63, to (N, num_classes).

    ``original``: 96 filters first, groups and local response normalisation as in the first paper; else torchvision's form, whose
    parameters' names it has.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, original: bool = False) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, 96 if original else 64, 11, stride=4, padding=2)
        pool = [] if original else [nn.MaxPool2d(3, 2)]
        self.features = nn.Sequential(first, nn.ReLU(), *pool, *(_double() if original else _single()))
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, original: bool = False) -> AlexNet:
    """AlexNet: 61,100,840 parameters for 1000 classes; as in the first paper (``original``) 60,965,224."""
    return AlexNet(num_classes, in_channels, dropout, original)
