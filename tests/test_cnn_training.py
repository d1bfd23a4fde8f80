"""A small ResNet trained on CIFAR's images beside the same PyTorch program: same weights, same augmented batches, float64."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import DataLoader, ImageDataset, Normalize, RandomCrop, RandomFlip, Subset, cifar10
from tensorlite.errors import DataError

torch = pytest.importorskip("torch")
STEPS = 50


def images() -> Any:
    """Some of CIFAR-10 where it is at hand, else noise on a colour and a stripe for each class."""
    try:
        return Subset(cifar10(download=False), np.arange(400))
    except DataError:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, 400)
        found = rng.integers(0, 120, (400, 3, 32, 32))
        found[np.arange(400), labels % 3] += 60
        found[np.arange(400), :, 3 * labels] += 60
        return ImageDataset(found.astype(np.uint8), labels, normalize=Normalize(0.4, 0.25, scale=1 / 255), classes=10)


class Block(torch.nn.Module):
    """The paper's block with option A, as in ``tl.models``."""

    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(n, m, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(m)
        self.conv2 = torch.nn.Conv2d(m, m, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(m)
        self.stride, self.more = stride, m - n

    def forward(self, x: Any) -> Any:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = torch.nn.functional.pad(x[:, :, ::self.stride, ::self.stride],
                                        (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return torch.relu(out + x)


class Theirs(torch.nn.Module):
    """ResNet-8: a block in each of three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (torch.nn.Sequential(Block(*sizes))
                                                 for sizes in ((16, 16, 1), (16, 32, 2), (32, 64, 2)))
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def test_fifty_steps_of_a_resnet_are_pytorchs() -> None:
    tl.manual_seed(0)
    mine = tl.models.CifarResNet(1).to(tl.float64)
    theirs = Theirs().double()
    theirs.load_state_dict({name: torch.tensor(v.numpy().copy()) for name, v in mine.state_dict().items()})
    options: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
    steps = optim.SGD(mine.parameters(), **options), torch.optim.SGD(theirs.parameters(), **options)
    schedules = (optim.lr_scheduler.CosineAnnealingLR(steps[0], T_max=STEPS),
                 torch.optim.lr_scheduler.CosineAnnealingLR(steps[1], T_max=STEPS))
    loss, expected = nn.CrossEntropyLoss(label_smoothing=0.1), torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = DataLoader(images(), 16, shuffle=True, transform=[RandomCrop(4), RandomFlip()], generator=tl.Generator(0))
    losses: list[tuple[float, float]] = []
    while len(losses) < STEPS:
        for x, y in loader:
            both = (loss(mine(x.to(tl.float64)), y), expected(theirs(torch.tensor(x.numpy()).double()), torch.tensor(y.numpy())))
            for value, step, schedule in zip(both, steps, schedules):
                step.zero_grad()
                value.backward()
                step.step()
                schedule.step()
            losses.append((both[0].item(), both[1].item()))
    found, wanted = np.array(losses).T
    print(f"largest difference of {STEPS} losses: {np.abs(found - wanted).max():.1e}")
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert wanted[-10:].mean() < wanted[:5].mean()
    for name, v in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[name].numpy(), v.numpy(), atol=1e-3, err_msg=name)
