"""Training steps of convolutional networks: forward, loss, backward, optimizer, eagerly, against PyTorch eager."""
from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

CASES: list[tuple[str, tuple[int, ...], float]] = [("cnn", (64, 1, 28, 28), 1.3), ("resnet20", (32, 3, 32, 32), 1.5)]


def cnn(library: Any) -> Any:
    """conv32-conv64-pool-conv64-pool-linear, 3 x 3."""
    nn = library.nn
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 10))


def resnet20(library: Any) -> Any:
    """The residual network of 20 layers for small images, with strided 1 x 1 shortcuts (He et al. 2016, section 4.2)."""
    nn = library.nn

    class Block(nn.Module):   # type: ignore[name-defined]
        def __init__(self, c_in: int, c: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
            self.conv2, self.bn2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False), nn.BatchNorm2d(c)) if c_in != c else None

        def forward(self, x: Any) -> Any:
            out = self.bn2(self.conv2(nn.functional.relu(self.bn1(self.conv1(x)))))
            return nn.functional.relu(out + (x if self.shortcut is None else self.shortcut(x)))

    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(c_in, c, 1 if c_in == c else 2) for c_in, c in itertools.pairwise(widths)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def step(library: Any, name: str, shape: tuple[int, ...]) -> Callable[[], Any]:
    """One training step, PyTorch's program with the import changed, from the same initial weights."""
    rng = np.random.default_rng(0)
    model = {"cnn": cnn, "resnet20": resnet20}[name](library)
    with library.no_grad():
        for parameter, p in model.named_parameters():
            bound = 1 / np.sqrt(np.prod(p.shape[1:])) if p.ndim > 1 else 0.0
            if p.ndim > 1 or parameter.endswith("bias"):
                p.copy_(library.tensor(rng.uniform(-bound, bound, tuple(p.shape)).astype(np.float32)))
    optimizer = library.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    inputs = library.tensor(rng.standard_normal(shape).astype(np.float32))
    labels, loss_of = library.tensor(rng.integers(0, 10, shape[0])), library.nn.CrossEntropyLoss()

    def once() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss
    return once


def run(peers: list[str]) -> list[Result]:
    """The table."""
    results = []
    for name, shape, goal in CASES:
        candidates = {"tensorlite": step(tl, name, shape)}
        if "torch" in peers:
            import torch
            candidates["torch"] = step(torch, name, shape)
        results.append(compare(f"{name} step, {shape}", candidates, goal=goal))
    return results
