"""An epoch of MNIST, 784-256-10, batch 128, with the loader: each library with its own loader, as its users write it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

HIDDEN, BATCH, EPOCHS = 256, 128, 5


def _images() -> Any:
    """(train images (60000, 784) float32, labels, test images, labels), or None where MNIST is not at hand."""
    from tensorlite import data
    from tensorlite.errors import DataError
    try:
        train, test = data.mnist(train=True, download=False), data.mnist(train=False, download=False)
    except DataError as error:
        print(f"MNIST epoch left out: {error}")
        return None
    parts = []
    for split in (train, test):
        images, labels = (np.asarray(t) for t in split.tensors[:2])
        parts += [(images.reshape(len(images), -1) / 255).astype(np.float32), labels.astype(np.int64)]
    return parts


def ours(x: Any, y: Any) -> tuple[Callable[[], None], Any]:
    """An epoch, and the model."""
    tl.manual_seed(0)
    model = tl.nn.Sequential(tl.nn.Linear(784, HIDDEN), tl.nn.ReLU(), tl.nn.Linear(HIDDEN, 10))
    optimizer = tl.optim.Adam(model.parameters(), lr=1e-3)
    loader = tl.data.DataLoader(tl.data.TensorDataset(tl.tensor(x), tl.tensor(y)), batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for inputs, labels in loader:
            optimizer.zero_grad()
            tl.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    return epoch, model


def theirs(x: Any, y: Any) -> Callable[[], None]:
    """The same program with the import changed."""
    import torch
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for inputs, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    return epoch


def run(peers: list[str]) -> list[Result]:
    """The epoch's time, and the accuracy after five."""
    found = _images()
    if found is None:
        return []
    x, y, test_x, test_y = found
    epoch, model = ours(x, y)
    for _ in range(EPOCHS):
        epoch()
    with tl.no_grad():
        right = float((np.asarray(model(tl.tensor(test_x))).argmax(1) == test_y).mean())
    candidates: dict[str, Callable[[], None]] = {"tensorlite": ours(x, y)[0]}
    if "torch" in peers:
        candidates["torch"] = theirs(x, y)
    return [compare(f"MNIST epoch 784-{HIDDEN}-10, batch {BATCH}, loader included", candidates, rounds=5, seconds=0.0, goal=0.7,
                    note=f"test accuracy after {EPOCHS} epochs: {right:.2%}")]
