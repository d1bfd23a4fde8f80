"""VGG (Simonyan and Zisserman 2015), with torchvision's names."""
from __future__ import annotations

from typing import Any

from tensorlite import nn
from tensorlite.models._parts import check_stem
from tensorlite.nn import init

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn"]

Tensor = Any
# filters of 3 x 3, a block for each resolution; 2 x 2 max pooling after each
_BLOCKS: dict[int, tuple[tuple[int, ...], ...]] = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


class VGG(nn.Module):
    """Blocks of convolutions of 3 x 3 and three linear layers: (N, in_channels, H, W), at least 32 x 32, to (N, num_classes).

    ``depth``: 11 or 16 layers. ``batch_norm``: after each convolution. ``stem``: "imagenet", or "cifar": a single linear layer of
    the 512 features that are left of 32 x 32 pixels.
    """

    def __init__(self, depth: int, num_classes: int = 1000, in_channels: int = 3, batch_norm: bool = False, dropout: float = 0.5,
                 stem: str = "imagenet") -> None:
        super().__init__()
        small = check_stem("vgg", stem) == "cifar"
        layers: list[Any] = []
        n = in_channels
        for block in _BLOCKS[depth]:
            for m in block:
                layers += [nn.Conv2d(n, m, 3, padding=1), *([nn.BatchNorm2d(m)] if batch_norm else []), nn.ReLU()]
                n = m
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1) if small else (7, 7))
        self.classifier = nn.Sequential(nn.Linear(512, num_classes)) if small else nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                init.normal_(module.weight, 0.0, 0.01)
                init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, stem: str = "imagenet") -> VGG:
    """VGG of 11 layers, configuration A: 132,863,336 parameters for 1000 classes."""
    return VGG(11, num_classes, in_channels, False, dropout, stem)


def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, stem: str = "imagenet") -> VGG:
    """VGG of 11 layers with batch norm.

    >>> import tensorlite as tl
    >>> tl.models.vgg11_bn(num_classes=10, stem="cifar")(tl.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """
    return VGG(11, num_classes, in_channels, True, dropout, stem)


def vgg16(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, stem: str = "imagenet") -> VGG:
    """VGG of 16 layers, configuration D: 138,357,544 parameters for 1000 classes."""
    return VGG(16, num_classes, in_channels, False, dropout, stem)


def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, stem: str = "imagenet") -> VGG:
    """VGG of 16 layers with batch norm: 138,365,992 parameters for 1000 classes."""
    return VGG(16, num_classes, in_channels, True, dropout, stem)
