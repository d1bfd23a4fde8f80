"""Transfer: a network learns the digits 0 to 4; with its features, or from scratch, others learn 5 to 9."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import DataLoader, digits


def images(classes: range, train: bool, each: int | None = None) -> tuple[Any, Any]:
    """The images of some classes (``each``: how many of one), and their classes from 0 on."""
    data = digits(train)
    x, y = next(iter(DataLoader(data, batch_size=len(data))))
    chosen = np.concatenate([np.flatnonzero(y.numpy() == c)[:each] for c in classes])
    return x[chosen], y[chosen] - classes.start


def network() -> Any:
    layers = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
              nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential({"features": nn.Sequential(*layers), "head": nn.Linear(128, 5)})


def fit(model: Any, groups: Any, data: tuple[Any, Any], steps: int, frozen: bool = False) -> Any:
    """Adam on batches of 32; ``frozen`` features stay in eval mode, so that the statistics of batch norm stay too."""
    optimizer, (x, y) = optim.Adam(groups, lr=3e-3), data
    model.train()
    model.features.train(not frozen)
    for _ in range(steps):
        batch = tl.random.permutation(len(y))[:32]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model.eval()


def transferred(source: Any, way: str, data: tuple[Any, Any], steps: int = 100) -> Any:
    model = network()
    if way == "scratch":
        return fit(model, model.parameters(), data, steps)
    model.features.load_state_dict(source.features.state_dict())
    if way == "frozen":
        nn.utils.freeze(model, "features.*")
        return fit(model, model.head.parameters(), data, steps, frozen=True)
    return fit(model, [{"params": model.features.parameters(), "lr": 3e-4}, {"params": model.head.parameters()}], data, steps)


if __name__ == "__main__":
    tl.manual_seed(0)
    model = network()
    source = fit(model, model.parameters(), images(range(5), True), 150)
    test = images(range(5, 10), False)
    for each, way in [(n, w) for n in (3, 140) for w in ("scratch", "frozen", "fine-tuned")]:
        models = [transferred(source, way, images(range(5, 10), True, each)) for _ in range(2 if "--quick" in sys.argv else 8)]
        right = [(m(test[0]).argmax(axis=1) == test[1]).float().mean().item() for m in models]
        print(f"5 to 9, {each:3} images each, {way:10}  test accuracy {np.mean(right):.1%} +- {np.std(right):.1%}")
