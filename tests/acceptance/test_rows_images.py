"""Rows 52 and 54 of the acceptance table (image networks): one test a row, named by its number."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.cli import _build, main
from tensorlite.data import cifar10, digits
from tensorlite.errors import DataError
from tensorlite.func import functional_call
from tensorlite.train import Trainer, loss_landscape, normalized_direction

SWEPT = ("resnet18", "densenet121", "vgg11_bn", "preact_resnet18")


def real_cifar10() -> bool:
    try:
        return len(cifar10(download=False)) == 50_000
    except DataError:
        return False


def classes_of_stripes(folder: Path) -> Path:
    """CIFAR-10's files with images a network can tell apart at once: stripes, whose width and colour say the class."""
    rng = np.random.default_rng(0)
    where = folder / "cifar-10-batches-bin"
    where.mkdir(parents=True)
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        labels = rng.integers(0, 10, 10_000)
        width, colour = 1 + labels % 5, labels // 5
        stripes = (np.arange(32) // width[:, None]) % 2
        images = np.broadcast_to(stripes[:, None, :, None] * 140, (10_000, 3, 32, 32)).astype(np.uint8)
        images = images + rng.integers(0, 60, images.shape, dtype=np.uint8)
        images[np.arange(10_000), 2 * colour] //= 3
        np.concatenate([labels[:, None], images.reshape(10_000, -1)], axis=1).astype(np.uint8).tofile(where / name)
    return folder


def test_row_52_size_accuracy_time_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                              ) -> None:
    """ResNet, DenseNet, VGG and PreActResNet on CIFAR-10 by one command; reduced here to a few steps of each, on the real images
    where they are at hand. The numbers of parameters are those of the networks with CIFAR stems in the literature."""
    missing = sorted(set(SWEPT) - set(_build.models()))
    if missing:
        pytest.skip(f"tensorlite.models has no {', '.join(missing)}")
    pytest.importorskip("matplotlib")
    if not real_cifar10():
        monkeypatch.setenv("TENSORLITE_DATA", str(classes_of_stripes(tmp_path / "data")))
    out = tmp_path / "sweep"
    assert main(["sweep", "--models", ",".join(SWEPT), "--data", "cifar10", "--train-samples", "16", "--test-samples", "16",
                 "--epochs", "1", "--batch-size", "8", "--val-split", "0", "--out", str(out), "--quiet"]) == 0
    rows = {row["model"]: row for row in json.loads((out / "sweep.json").read_text())["rows"]}
    assert list(rows) == list(SWEPT)
    parameters = {name: rows[name]["parameters"] / 1e6 for name in rows}
    assert parameters["resnet18"] == pytest.approx(11.17, abs=0.01)
    assert parameters["preact_resnet18"] == pytest.approx(11.17, abs=0.01)
    assert 6.9 < parameters["densenet121"] < 7.1 and 9.2 < parameters["vgg11_bn"] < 9.3
    assert rows["resnet18"]["macs"] / 1e6 == pytest.approx(556, rel=0.01)
    for row in rows.values():
        assert row["macs"] > 1e8 and row["seconds_per_epoch"] > 0 and 0 <= row["test_accuracy"] <= 1
        assert row["step_bytes"] > 3 * 4 * row["parameters"] - 8 * row["parameters"]   # at least the gradients
    text = capsys.readouterr().out
    assert all(f"| {name} |" in text for name in SWEPT) and (out / "sweep.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def trained() -> Any:
    """A small convolutional network that knows the digits."""
    tl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(128, 10))
    Trainer(model, tl.optim.Adam(model.parameters(), lr=3e-3), nn.CrossEntropyLoss(), progress=False).fit(digits(), epochs=3)
    return model


def test_row_54_loss_landscape(trained: Any, tmp_path: Path) -> None:
    """A 2-D slice along filter-normalised directions: what it shows is the loss, the trained weights lie low, and stay."""
    data, loss = digits(train=False), nn.CrossEntropyLoss()
    before = [v.numpy().tobytes() for v in trained.state_dict().values()]
    seen = loss_landscape(trained, loss, data, steps=11, span=1.0, key=tl.random.key(0), samples=200)
    assert [v.numpy().tobytes() for v in trained.state_dict().values()] == before
    x, y = data[:200]
    trained.eval()
    with tl.no_grad():
        now = loss(trained(x), y).item()
        assert seen.loss[5, 5] == pytest.approx(now, rel=1e-6)
        d1, d2 = (normalized_direction(trained, tl.random.fold_in(tl.random.key(0), k)) for k in (0, 1))
        for i, j in ((0, 0), (2, 9), (10, 4)):
            at = {name: p + (seen.x[j] * d1[name] + seen.y[i] * d2[name]) for name, p in trained.named_parameters() if name in d1}
            assert seen.loss[i, j] == pytest.approx(loss(functional_call(trained, at, (x,)), y).item(), rel=1e-5)
    border = np.concatenate([seen.loss[0], seen.loss[-1], seen.loss[:, 0], seen.loss[:, -1]])
    assert now < 0.25 and border.min() > 2 * now
    pytest.importorskip("matplotlib")
    seen.plot(tmp_path / "landscape.png")
    assert (tmp_path / "landscape.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif("TENSORLITE_DATA" not in os.environ, reason="needs MNIST in the folder that TENSORLITE_DATA names")
def test_99_percent_of_mnist_within_three_passes(example: Any, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "slow":
        pytest.skip("takes minutes; ask for it with -m slow")
    assert example("mnist_cnn")["main"](False, "cpu") >= 0.99
