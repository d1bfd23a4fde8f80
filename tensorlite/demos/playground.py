"""TensorFlow Playground's first problem: a disc of one class in a ring of the other, and a network with two small hidden layers.

Data, network and training are as at https://playground.tensorflow.org (dataset Circle, tanh, learning rate 0.03, batches of 10,
half of the 500 points for training, no noise); the loss of a point is (output - label)^2 / 2 with labels -1 and 1.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import pi
from typing import Any

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import DataLoader, TensorDataset, random_split

__all__ = ["circle", "network", "picture", "train"]

RADIUS = 5.0


def circle(n: int = 500, *, noise: float = 0.0, generator: Any = None) -> tuple[Any, Any]:
    """``n`` points (n, 2) and their labels (n, 1): 1 in the disc of radius 2.5, -1 in the ring from 3.5 to 5.

    >>> x, y = circle(4)
    >>> y.flatten().tolist()
    [1.0, 1.0, -1.0, -1.0]
    """
    inside = tl.arange(n) < n // 2
    u, angle = tl.rand(n, generator=generator), 2 * pi * tl.rand(n, generator=generator)
    r = RADIUS * tl.where(inside, 0.5 * u, 0.7 + 0.3 * u)
    points = tl.stack([r * tl.sin(angle), r * tl.cos(angle)], axis=1)
    points = points + noise * RADIUS * (2 * tl.rand(n, 2, generator=generator) - 1)
    return points, tl.where(inside, 1.0, -1.0).reshape(n, 1)


def network(hidden: Sequence[int] = (7, 2)) -> Any:
    """Two inputs, tanh layers of the sizes ``hidden``, and a tanh output."""
    layers: list[Any] = []
    for i, o in pairwise([2, *hidden, 1]):
        layers += [nn.Linear(i, o), nn.Tanh()]
    return nn.Sequential(*layers)


def loss(model: Any, x: Any, y: Any) -> Any:
    """Half the mean squared error."""
    return ((model(x) - y) ** 2).mean() / 2


def train(*, hidden: Sequence[int] = (7, 2), epochs: int = 200, lr: float = 0.03, batch_size: int = 10, noise: float = 0.0,
          seed: int = 0, report: Callable[[int, float, float], None] | None = None) -> tuple[Any, float, float]:
    """The trained model, and its loss on the training and on the test points. ``report(epoch, train_loss, test_loss)`` is called
    at the start and after each epoch.
    """
    tl.manual_seed(seed)
    order = tl.Generator(seed)
    x, y = circle(noise=noise, generator=order)
    fit, test = random_split(TensorDataset(x, y), [0.5, 0.5], generator=order)
    model = network(hidden)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    loader = DataLoader(fit, batch_size, shuffle=True, generator=order)
    losses = _evaluate(model, x, y, fit, test)
    for epoch in range(epochs):
        if report is not None:
            report(epoch, *losses)
        for points, labels in loader:
            optimizer.zero_grad()
            loss(model, points, labels).backward()
            optimizer.step()
        losses = _evaluate(model, x, y, fit, test)
    if report is not None:
        report(epochs, *losses)
    return model, *losses


def _evaluate(model: Any, x: Any, y: Any, *parts: Any) -> tuple[float, ...]:
    with tl.no_grad():
        return tuple(loss(model, x[part.indices], y[part.indices]).item() for part in parts)


def picture(model: Any, width: int = 48, height: int = 20) -> str:
    """What the model says over the square, in characters: ``#`` for 1, a blank for -1."""
    across, down = tl.linspace(-6, 6, width), tl.linspace(6, -6, height)
    grid = tl.stack([tl.tile(across, height), tl.repeat_interleave(down, width)], axis=1)
    with tl.no_grad():
        levels = ((model(grid).flatten() + 1) * 2.5).clip(0, 4).to(tl.int64).tolist()
    return "\n".join("".join(" .:*#"[v] for v in levels[k:k + width]) for k in range(0, width * height, width))
