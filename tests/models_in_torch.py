"""The models in PyTorch, after torchvision and the usual implementations for CIFAR: structure and names to compare with."""
from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class LeNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Features(nn.Module):
    """torchvision's AlexNet and VGG: features, avgpool, classifier."""

    def __init__(self, features: Any, size: int, classifier: Any) -> None:
        super().__init__()
        self.features, self.avgpool, self.classifier = features, nn.AdaptiveAvgPool2d((size, size)), classifier

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def alexnet(classes: int = 1000, original: bool = False) -> Any:
    r, pool = nn.ReLU, lambda: nn.MaxPool2d(3, 2)
    lrn = lambda: nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    if original:
        layers = [nn.Conv2d(3, 96, 11, 4, 2), r(), lrn(), pool(), nn.Conv2d(96, 256, 5, padding=2, groups=2), r(), lrn(), pool(),
                  nn.Conv2d(256, 384, 3, padding=1), r(), nn.Conv2d(384, 384, 3, padding=1, groups=2), r(),
                  nn.Conv2d(384, 256, 3, padding=1, groups=2), r(), pool()]
    else:
        layers = [nn.Conv2d(3, 64, 11, 4, 2), r(), pool(), nn.Conv2d(64, 192, 5, padding=2), r(), pool(),
                  nn.Conv2d(192, 384, 3, padding=1), r(), nn.Conv2d(384, 256, 3, padding=1), r(),
                  nn.Conv2d(256, 256, 3, padding=1), r(), pool()]
    return Features(nn.Sequential(*layers), 6, nn.Sequential(
        nn.Dropout(), nn.Linear(9216, 4096), r(), nn.Dropout(), nn.Linear(4096, 4096), r(), nn.Linear(4096, classes)))


CONFIGURATIONS = {"A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
                  "D": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]}


def vgg(configuration: str, classes: int = 1000, batch_norm: bool = False, small: bool = False) -> Any:
    layers: list[Any] = []
    n = 3
    for m in CONFIGURATIONS[configuration]:
        if m == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(n, m, 3, padding=1), *([nn.BatchNorm2d(m)] if batch_norm else []), nn.ReLU()]
            n = m
    if small:
        return Features(nn.Sequential(*layers), 1, nn.Sequential(nn.Linear(512, classes)))
    return Features(nn.Sequential(*layers), 7, nn.Sequential(
        nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, classes)))


def conv(n: int, m: int, k: int, stride: int = 1) -> Any:
    return nn.Conv2d(n, m, k, stride, k // 2, bias=False)


class Block(nn.Module):
    """torchvision's BasicBlock (``wide`` 1) and Bottleneck (``wide`` 4)."""

    def __init__(self, n: int, m: int, stride: int, wide: int) -> None:
        super().__init__()
        shapes = [(n, m, 3, stride), (m, m, 3, 1)] if wide == 1 else [(n, m, 1, 1), (m, m, 3, stride), (m, 4 * m, 1, 1)]
        for k, shape in enumerate(shapes):
            setattr(self, f"conv{k + 1}", conv(*shape))
            setattr(self, f"bn{k + 1}", nn.BatchNorm2d(shape[1]))
        self.count, self.downsample = len(shapes), None
        if stride != 1 or n != wide * m:
            self.downsample = nn.Sequential(conv(n, wide * m, 1, stride), nn.BatchNorm2d(wide * m))

    def forward(self, x: Any) -> Any:
        out = x
        for k in range(1, self.count + 1):
            out = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(out))
            out = F.relu(out) if k < self.count else out
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, wide: int, layers: tuple[int, ...], classes: int = 1000, small: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 3) if small else conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        n = 64
        for k, (m, count) in enumerate(zip((64, 128, 256, 512), layers)):
            blocks = []
            for i in range(count):
                blocks.append(Block(n, m, 2 if k and not i else 1, wide))
                n = wide * m
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(n, classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class SmallBlock(nn.Module):
    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(n, m, 3, stride), nn.BatchNorm2d(m), conv(m, m, 3), nn.BatchNorm2d(m)
        self.widens, self.m = n != m, m

    def forward(self, x: Any) -> Any:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.m // 4, self.m // 4)) if self.widens else x))


class SmallResNet(nn.Module):
    def __init__(self, count: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        for k, (n, m) in enumerate(((16, 16), (16, 32), (32, 64))):
            setattr(self, f"layer{k + 1}", nn.Sequential(
                SmallBlock(n, m, 1 + (k > 0)), *[SmallBlock(m, m, 1) for _ in range(count - 1)]))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Any) -> Any:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.shape[-1]).flatten(1))


class PreActBlock(nn.Module):
    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1, self.bn2, self.conv2 = nn.BatchNorm2d(n), conv(n, m, 3, stride), nn.BatchNorm2d(m), conv(m, m, 3)
        if stride != 1 or n != m:
            self.shortcut = nn.Sequential(conv(n, m, 1, stride))

    def forward(self, x: Any) -> Any:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(out)))) + shortcut


class PreActResNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 3)
        n = 64
        for k, m in enumerate((64, 128, 256, 512)):
            setattr(self, f"layer{k + 1}", nn.Sequential(PreActBlock(n, m, 1 + (k > 0)), PreActBlock(m, m, 1)))
            n = m
        self.linear = nn.Linear(512, classes)

    def forward(self, x: Any) -> Any:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, n: int, growth: int, wide: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n)
        self.conv1 = conv(n, wide * growth, 1) if wide else conv(n, growth, 3)
        if wide:
            self.norm2, self.conv2 = nn.BatchNorm2d(wide * growth), conv(wide * growth, growth, 3)

    def forward(self, x: Any) -> Any:
        out = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(out))) if hasattr(self, "conv2") else out], 1)


def densenet(growth: int, blocks: tuple[int, ...], n: int, wide: int, classes: int, small: bool = False,
             keep: float = 0.5) -> Any:
    parts: Any = OrderedDict(conv0=conv(3, n, 3)) if small else OrderedDict(
        conv0=conv(3, n, 7, 2), norm0=nn.BatchNorm2d(n), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1))
    for k, count in enumerate(blocks):
        layers = OrderedDict((f"denselayer{i + 1}", DenseLayer(n + i * growth, growth, wide)) for i in range(count))
        parts[f"denseblock{k + 1}"] = nn.Sequential(layers)
        n += count * growth
        if k < len(blocks) - 1:
            parts[f"transition{k + 1}"] = nn.Sequential(OrderedDict(
                norm=nn.BatchNorm2d(n), relu=nn.ReLU(), conv=conv(n, int(n * keep), 1), pool=nn.AvgPool2d(2, 2)))
            n = int(n * keep)
    parts["norm5"] = nn.BatchNorm2d(n)
    return Dense(nn.Sequential(parts), nn.Linear(n, classes))


class Dense(nn.Module):
    def __init__(self, features: Any, classifier: Any) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(F.relu(self.features(x)), (1, 1)), 1))
