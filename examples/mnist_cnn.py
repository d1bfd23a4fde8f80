"""A convolutional network of LeNet's size on MNIST: 99% of the test images right within three passes over the training images.

Takes the digits that come with tensorlite where MNIST is not at hand (``TENSORLITE_DATA``), or with ``--quick``.
"""
from __future__ import annotations

import sys
from time import perf_counter

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import DataLoader, RandomCrop, digits, mnist
from tensorlite.errors import DataError
from tensorlite.train import Trainer


def network(side: int) -> nn.Sequential:
    """LeNet-5's layers with ReLU and max pooling, for images (n, 1, side, side)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, 10))


def main(quick: bool, device: str) -> float:
    """Train and print the test accuracy."""
    try:
        if quick:
            raise DataError("the quick run takes the digits")
        train, test = mnist(), mnist(train=False)
    except DataError as reason:
        print(f"{reason}; so it is the digits")
        train, test = digits(), digits(train=False)
    large, side = len(train) > 10_000, train.sample_shape[-1]
    epochs, size = (3, 64) if large else (8, 32)
    tl.manual_seed(0)
    model = network(side).to(device)
    loader = DataLoader(train.to(device), size, shuffle=True, transform=RandomCrop(2) if large else None)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * len(loader))
    trainer = Trainer(model, optimizer, nn.CrossEntropyLoss(), device=device, scheduler=schedule, scheduler_step="step")
    start = perf_counter()
    trainer.fit(loader, epochs=epochs)
    accuracy = trainer.evaluate(test.to(device))["accuracy"]
    print(f"test accuracy {accuracy:.2%} after {epochs} epochs, {perf_counter() - start:.0f} s")
    return accuracy


if __name__ == "__main__":
    main("--quick" in sys.argv, next((a for a in sys.argv[1:] if a in ("cpu", "cuda")), "cpu"))
