"""Residual networks (He et al. 2016): torchvision's, those of the paper for CIFAR, and with full pre-activation."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite import nn
from tensorlite.models._parts import check_stem, conv, initialize
from tensorlite.nn import functional as F
from tensorlite.nn import init

__all__ = ["BasicBlock", "Bottleneck", "CifarResNet", "PreActResNet", "ResNet", "preact_resnet18", "resnet18", "resnet20",
           "resnet32", "resnet50"]

Tensor = Any


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3, and the input added."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = conv(inplanes, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 (with the stride) and 1 x 1, and the input added."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = conv(inplanes, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv(planes, 4 * planes, 1)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Four stages of residual blocks, global mean and a linear layer: (N, in_channels, H, W) to (N, num_classes).

    ``layers``: how many blocks a stage has. ``stem``: "imagenet" (7 x 7 with stride 2, and pooling: for some 224 x 224 pixels) or
    "cifar" (3 x 3: for 32 x 32). ``zero_init_residual``: each block starts as the identity. The names are torchvision's.
    """

    def __init__(self, block: Any, layers: Sequence[int], num_classes: int = 1000, in_channels: int = 3, stem: str = "imagenet",
                 zero_init_residual: bool = False) -> None:
        super().__init__()
        small = check_stem("resnet", stem) == "cifar"
        self.inplanes = 64
        self.conv1 = conv(in_channels, 64, 3) if small else conv(in_channels, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0], 1)
        self.layer2 = self._stage(block, 128, layers[1], 2)
        self.layer3 = self._stage(block, 256, layers[2], 2)
        self.layer4 = self._stage(block, 512, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialize(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    init.zeros_((module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight)

    def _stage(self, block: Any, planes: int, count: int, stride: int) -> Any:
        downsample, out = None, planes * block.expansion
        if stride != 1 or self.inplanes != out:
            downsample = nn.Sequential(conv(self.inplanes, out, 1, stride), nn.BatchNorm2d(out))
        first = block(self.inplanes, planes, stride, downsample)
        self.inplanes = out
        return nn.Sequential(first, *[block(out, planes) for _ in range(count - 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(num_classes: int = 1000, in_channels: int = 3, stem: str = "imagenet", zero_init_residual: bool = False) -> ResNet:
    """ResNet of 18 layers: 11,689,512 parameters for 1000 classes.

    >>> import tensorlite as tl
    >>> tl.models.resnet18(num_classes=10, stem="cifar")(tl.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, stem, zero_init_residual)


def resnet50(num_classes: int = 1000, in_channels: int = 3, stem: str = "imagenet", zero_init_residual: bool = False) -> ResNet:
    """ResNet of 50 layers: 25,557,032 parameters for 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, stem, zero_init_residual)


# ---- for CIFAR -----------------------------------------------------------------------------------------------------------------

class _CifarBlock(nn.Module):
    """Two convolutions of 3 x 3; where the size changes the input is subsampled and gets channels of zeros (option A)."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inplanes, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.more = stride, planes - inplanes

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1 or self.more:
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels for images of 32 x 32 (section 4.2): 6 ``blocks`` + 2 layers."""

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, 16, 3)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)
        initialize(self, "fan_in", linear=True)

    @staticmethod
    def _stage(n: int, m: int, count: int, stride: int) -> Any:
        return nn.Sequential(_CifarBlock(n, m, stride), *[_CifarBlock(m, m, 1) for _ in range(count - 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The paper's network of 20 layers for CIFAR: 269,722 parameters, 91.25% on CIFAR-10 (its table 6).

    >>> import tensorlite as tl
    >>> tl.models.resnet20()(tl.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """
    return CifarResNet(3, num_classes, in_channels)


def resnet32(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The paper's network of 32 layers for CIFAR: 464,154 parameters, 92.49% on CIFAR-10 (its table 6)."""
    return CifarResNet(5, num_classes, in_channels)


# ---- full pre-activation -----------------------------------------------------------------------------------------------------

class _PreActBlock(nn.Module):
    """Normalisation and activation before each convolution, so that the sum is passed on as it is."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inplanes)
        self.conv1 = conv(inplanes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.shortcut = None if stride == 1 and inplanes == planes else nn.Sequential(conv(inplanes, planes, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        short = x if self.shortcut is None else self.shortcut(out)
        out = self.conv1(out)
        return self.conv2(F.relu(self.bn2(out))) + short


class PreActResNet(nn.Module):
    """Residual network with full pre-activation (He et al. 2016, "Identity mappings"), for images of 32 x 32.

    ``final_norm``: normalisation and activation after the last sum, as in the paper. The usual implementation for CIFAR, whose
    names these are, leaves them out.
    """

    def __init__(self, layers: Sequence[int], num_classes: int = 10, in_channels: int = 3, final_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, 64, 3)
        n = 64
        for k, (m, count) in enumerate(zip((64, 128, 256, 512), layers, strict=True)):
            blocks = [_PreActBlock(n, m, 1 if k == 0 else 2), *[_PreActBlock(m, m, 1) for _ in range(count - 1)]]
            self.add_module(f"layer{k + 1}", nn.Sequential(*blocks))
            n = m
        self.bn = nn.BatchNorm2d(n) if final_norm else None
        self.linear = nn.Linear(n, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for k in range(1, 5):
            x = self.get_submodule(f"layer{k}")(x)
        if self.bn is not None:
            x = F.relu(self.bn(x))
        return self.linear(x.mean((2, 3)))


def preact_resnet18(num_classes: int = 10, in_channels: int = 3, final_norm: bool = False) -> PreActResNet:
    """Residual network of 18 layers with full pre-activation: 11,171,146 parameters for 10 classes."""
    return PreActResNet((2, 2, 2, 2), num_classes, in_channels, final_norm)
