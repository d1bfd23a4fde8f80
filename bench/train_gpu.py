"""Training on the GPU beside the CPU: ``python -m bench.train_gpu [--json FILE] [--device cuda]``.

===============  =============================================================================================================
``same``         whether one seed gives both devices the same initial weights, batches and dropout masks, bit for bit
``digits``       the digits of the package: test accuracy on both devices, and how far the first losses are from one another
``mnist``        the same with MNIST, where ``TENSORLITE_DATA`` or the cache has it
``epoch``        seconds of an epoch of MNIST (or of random images of its shape): data on the device, data on the host by way of
                 page-locked memory, and PyTorch with data on the device
===============  =============================================================================================================

Exit status 1 if a seed gives different numbers, or the accuracies are further apart than two points.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite import data, nn, optim
from tensorlite.data.transforms import Normalize
from tensorlite.errors import BackendUnavailable, DataError
from tensorlite.nn import functional as F

from . import _measure, _peers
from ._measure import human

__all__ = ["digits", "epochs", "images", "main", "same", "train"]

HIDDEN, BATCH = 256, 128
APART = 0.02   # of the accuracies


def main() -> int:
    """Run all, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.train_gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--device", default="cuda", help="what is compared with the CPU (default: cuda)")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)   # epochs and images at the most: for tests
    options = parser.parse_args()
    try:
        report = run(options.device, options.limit)
    except BackendUnavailable as error:
        parser.error(str(error))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return int(bool(report["failed"]))


def run(device: str, limit: int | None = None) -> dict[str, Any]:
    """The report; ``failed`` lists what is not as it should be."""
    report: dict[str, Any] = {"machine": _measure.machine(), "device": device, "failed": []}
    report["same"] = same(device)
    report["failed"] += [f"one seed, different {what}" for what, equal in report["same"].items() if not equal]
    print(f"the same on {device} and cpu: {report['same']}", flush=True)
    for name, run_it in (("digits", digits), ("mnist", mnist)):
        try:
            report[name] = found = run_it(device, limit)
        except DataError as error:
            print(f"{name} left out: {error}")
            continue
        print(f"{name}: {found}", flush=True)
        if abs(found["accuracy"][device] - found["accuracy"]["cpu"]) > APART:
            report["failed"].append(f"{name}: accuracies {found['accuracy']}")
    report["epoch"] = epochs(device, limit)
    print("epoch: " + ", ".join(f"{label} {human(t)}" for label, t in report["epoch"]["seconds"].items()))
    for failure in report["failed"]:
        print(f"FAILED: {failure}")
    return report


def same(device: str) -> dict[str, bool]:
    """What one seed gives on the device and on the CPU, compared bit for bit."""
    def drawn(where: str) -> dict[str, list[Any]]:
        tl.manual_seed(7)
        layer = nn.Linear(784, 64, device=where)
        numbers = tl.data.TensorDataset(tl.arange(1000).to(where))
        batches = [x.numpy() for x, in tl.data.DataLoader(numbers, batch_size=128, shuffle=True)]
        masks = [F.dropout(tl.ones(50, 33, device=where), 0.3).numpy() for _ in range(2)]
        noise = [tl.randn(1001, device=where).numpy(), tl.rand(1001, device=where).numpy()]
        return {"initial weights": [p.detach().numpy() for p in layer.parameters()], "batches": batches, "dropout masks": masks,
                "random numbers": noise}
    there, here = drawn(device), drawn("cpu")
    return {what: len(here[what]) == len(there[what]) and all(np.array_equal(a, b) for a, b in zip(there[what], here[what]))
            for what in here}


def train(train_set: Any, test_set: Any, device: str, *, hidden: int, epochs: int, batch: int, lr: float) -> dict[str, Any]:
    """Test accuracy, the losses of the first steps, seconds."""
    tl.manual_seed(0)
    size = int(np.prod(train_set[0][0].shape))
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 10)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    loader = data.DataLoader(_placed(train_set, device), batch_size=batch, shuffle=True)
    losses: list[Any] = []
    begin = time.perf_counter()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if len(losses) < 20:
                losses.append(loss.detach())
    first = [float(loss.item()) for loss in losses]
    model.eval()
    right = 0
    with tl.no_grad():
        for x, y in data.DataLoader(_placed(test_set, device), batch_size=1000):
            right += int((model(x).argmax(1) == y).sum().item())
    return {"accuracy": right / len(test_set), "losses": first, "seconds": time.perf_counter() - begin}


def _placed(dataset: Any, device: str) -> Any:
    """The same data set with its arrays on the device."""
    return data.TensorDataset(*[tl.asarray(a).to(device) for a in dataset.arrays], normalize=dataset.normalize)


def _both(device: str, train_set: Any, test_set: Any, **options: Any) -> dict[str, Any]:
    by = {where: train(train_set, test_set, where, **options) for where in dict.fromkeys((device, "cpu"))}
    apart = max(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(by[device]["losses"], by["cpu"]["losses"]))
    return {"accuracy": {where: found["accuracy"] for where, found in by.items()}, "first losses apart": apart,
            "seconds": {where: found["seconds"] for where, found in by.items()}, **options}


def digits(device: str, limit: int | None = None) -> dict[str, Any]:
    """Both devices on the digits that are part of the package."""
    return _both(device, data.digits(), data.digits(train=False), hidden=128, epochs=limit or 30, batch=32, lr=3e-3)


def mnist(device: str, limit: int | None = None) -> dict[str, Any]:
    """Both devices on MNIST; ``DataError`` where it is not at hand."""
    if limit is not None:
        raise DataError("small runs do without")
    sets = [data.mnist(train=train, download=False) for train in (True, False)]
    return _both(device, *sets, hidden=HIDDEN, epochs=3, batch=BATCH, lr=2e-3)


# ---- speed --------------------------------------------------------------------------------------------------------------------

def images(limit: int | None = None) -> tuple[str, Any, Any]:
    """(what they are, (60000, 784) uint8, labels): MNIST, or random images of its shape."""
    n = 60_000 if limit is None else 64 * limit
    try:
        found = data.mnist(download=False)
        return "MNIST", found.arrays[0].reshape(60_000, -1)[:n], found.arrays[1][:n]
    except DataError:
        rng = np.random.default_rng(0)
        return "random images", rng.integers(0, 256, (n, 784)).astype(np.uint8), rng.integers(0, 10, n)


def epochs(device: str, limit: int | None = None) -> dict[str, Any]:
    """Seconds of an epoch of 784-256-10 with Adam, batch 128, by turns."""
    what, x, y = images(limit)
    runs: dict[str, Callable[[], None]] = {"data on the device": _epoch(device, x, y, resident=True)}
    if device != "cpu":
        runs["data on the host, pinned"] = _epoch(device, x, y, resident=False)
    torch = _peers.optional("torch")
    if torch is not None and (device == "cpu" or torch.cuda.is_available()):
        runs["torch, data on the device"] = _torch_epoch(torch, device, x, y)
    times: dict[str, list[float]] = {label: [] for label in runs}
    for r in range(4 if limit is None else 1):
        for label, epoch in runs.items():
            start = time.perf_counter()
            epoch()
            if r or limit is not None:   # the first compiles
                times[label].append(time.perf_counter() - start)
    return {"data": what, "samples": len(x), "seconds": {label: statistics.median(t) for label, t in times.items()}}


def _epoch(device: str, x: Any, y: Any, *, resident: bool) -> Callable[[], None]:
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    images = data.TensorDataset(x, y, normalize=Normalize(0.1307, 0.3081, scale=1 / 255))
    loader = (data.DataLoader(_placed(images, device), batch_size=BATCH, shuffle=True) if resident else
              data.DataLoader(images, batch_size=BATCH, shuffle=True, device=device, pin_memory=True))

    def epoch() -> None:
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        loss.item()   # waits
    return epoch


def _torch_epoch(torch: Any, device: str, x: Any, y: Any) -> Callable[[], None]:
    """The same loop; batches are gathered by index, as its own loader would take samples one by one."""
    model = torch.nn.Sequential(torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = torch.tensor(x).to(device), torch.tensor(y).to(device)

    def epoch() -> None:
        order = torch.randperm(len(images), device=device)
        for i in range(0, len(order), BATCH):
            chosen = order[i:i + BATCH]
            inputs = (images[chosen].float() / 255 - 0.1307) / 0.3081
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), labels[chosen])
            loss.backward()
            optimizer.step()
        loss.item()
    return epoch


if __name__ == "__main__":
    raise SystemExit(main())
