"""The numbers behind the pictures: confusion, filters, the loss around the weights; and that pictures are written."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_device import stand_in

import tensorlite as tl
from tensorlite import nn, train
from tensorlite.data import Subset, TensorDataset, digits
from tensorlite.errors import DataError, ShapeError, TrainingError
from tensorlite.func import functional_call

pytest.importorskip("matplotlib", reason='needs matplotlib: pip install "tensorlite[train]"')


def png(path: Path) -> tuple[int, int]:
    """Width and height of a PNG that is one."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


class Net(nn.Module):
    """A small network with everything that evaluation must not touch: dropout, running statistics, a frozen module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.last = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10)
        self.norm.eval()

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(self.norm(self.first(x)).relu()))


@pytest.fixture
def net() -> Net:
    tl.manual_seed(0)
    return Net()


DATA = digits(train=False, flat=True)
LOSS = nn.CrossEntropyLoss()


def state(model: Any) -> list[Any]:
    """Everything of the model, bit by bit, and its modules' modes."""
    return [(name, v.numpy().tobytes()) for name, v in model.state_dict().items()] + [m.training for m in model.modules()]


# ---- confusion and predictions -------------------------------------------------------------------------------------------

def test_confusion_counts_are_those_of_a_loop(net: Net) -> None:
    before = state(net)
    matrix = train.confusion_matrix(net, DATA, batch_size=100)
    net.eval()
    expected = np.zeros((10, 10), np.int64)
    for x, y in (DATA[i] for i in range(len(DATA))):
        expected[y.item(), net(x.reshape(1, 64)).argmax().item()] += 1
    net.train()
    net.norm.eval()
    assert np.array_equal(matrix, expected) and matrix.sum() == len(DATA) and state(net) == before
    assert matrix.dtype == np.int64


def test_confusion_refuses_what_is_no_classifier() -> None:
    data = TensorDataset(np.ones((4, 2), np.float32), np.array([0, 1, 2, 1]))
    with pytest.raises(DataError, match="labels go from 0 to 2 and the model knows 2 classes"):
        train.confusion_matrix(lambda x: x, data)
    assert train.confusion_matrix(lambda x: x, data, classes=3).tolist() == [[1, 0, 0], [2, 0, 0], [1, 0, 0]]
    with pytest.raises(ShapeError, match=r"have shapes \(4, 2, 1\) and \(4,\)"):
        train.confusion_matrix(lambda x: x.reshape(4, 2, 1), data)
    with pytest.raises(DataError, match="gave no batch"):
        train.predict(lambda x: x, TensorDataset(np.ones((0, 2))))


def test_the_gpu_counts_alike(net: Net) -> None:
    expected = train.confusion_matrix(net, Subset(DATA, range(50)))
    with stand_in():
        found = train.confusion_matrix(net.to("cuda"), Subset(DATA, range(50)), device="cuda")
        net.to("cpu")
    assert np.array_equal(found, expected)


def test_confusion_and_samples_are_drawn(net: Net, tmp_path: Path) -> None:
    train.plot_confusion(train.confusion_matrix(net, DATA), tmp_path / "c.png", [f"digit {k}" for k in range(10)])
    train.plot_confusion(np.eye(100, dtype=np.int64), tmp_path / "large.png")
    assert min(png(tmp_path / "c.png")) > 500 and min(png(tmp_path / "large.png")) > 500
    assert train.plot_samples(net, DATA, tmp_path / "s.png", count=7).tolist() == list(range(7))
    assert min(png(tmp_path / "s.png")) > 300
    scores, labels = train.predict(net, DATA)
    wrong = train.plot_samples(net, DATA, tmp_path / "w.png", count=5, only_wrong=True)
    assert wrong.tolist() == np.flatnonzero(scores.argmax(axis=1) != labels)[:5].tolist()
    colours = TensorDataset(np.ones((2, 3, 4, 4), np.uint8), np.array([0, 1]))
    train.plot_samples(lambda x: tl.eye(10)[:2], colours, tmp_path / "n.png", only_wrong=True)
    png(tmp_path / "n.png")
    with pytest.raises(ShapeError, match="an image has 5 values, which are no square"):
        train.plot_samples(lambda x: x, TensorDataset(np.ones((2, 5)), np.array([0, 1])), tmp_path / "x.png")


# ---- filters -------------------------------------------------------------------------------------------------------------

class Filters(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(tl.ones(6))
        self.stem = nn.Parameter(tl.randn(6, channels, 5, 4))


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_filters_are_the_first_weights_from_0_to_1(channels: int, tmp_path: Path) -> None:
    model = Filters(channels)
    name, images = train.filter_images(model)
    expected = model.stem.detach().numpy().transpose(0, 2, 3, 1).astype(np.float64)
    expected = expected if channels == 3 else expected.mean(axis=3, keepdims=True)
    assert name == "stem" and images.shape == (6, 5, 4, 3 if channels == 3 else 1)
    for found, wanted in zip(images, expected):
        np.testing.assert_allclose(found, (wanted - wanted.min()) / np.ptp(wanted), atol=1e-7)
    train.plot_filters(model, tmp_path / "f.png", most=5)
    png(tmp_path / "f.png")


def test_neurons_are_images_too(net: Net, tmp_path: Path) -> None:
    name, images = train.filter_images(net, (1, 8, 8))
    weight = net.first.weight.detach().numpy()
    assert name == "first.weight" and images.shape == (16, 8, 8, 1)
    assert np.array_equal(images.reshape(16, 64).argmax(axis=1), weight.argmax(axis=1))
    train.plot_filters(net, tmp_path / "f.png", (1, 8, 8))
    for shape in (None, (1, 9, 9), (64,)):
        with pytest.raises(TrainingError, match="give it as \\(channels, height, width\\)"):
            train.filter_images(net, shape)


# ---- the loss around the weights -----------------------------------------------------------------------------------------

def test_directions_have_the_filters_norms() -> None:
    model = Filters(3)
    d = train.normalized_direction(model, tl.random.key(1))
    assert list(d) == ["stem"]
    norms = lambda w: np.sqrt((w.detach().numpy().astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(norms(d["stem"]), norms(model.stem), rtol=1e-6)
    again = train.normalized_direction(model, tl.random.key(1))
    assert np.array_equal(d["stem"].numpy(), again["stem"].numpy())
    assert not np.array_equal(d["stem"].numpy(), train.normalized_direction(model, tl.random.key(2))["stem"].numpy())
    with tl.no_grad():
        model.stem[2] = 0
    assert not train.normalized_direction(model, tl.random.key(1))["stem"].numpy()[2].any()


def test_the_grid_is_the_loss_at_its_places(net: Net) -> None:
    before, seen = state(net), []
    key = tl.random.key(4)
    got = train.loss_landscape(net, LOSS, DATA, steps=(5, 3), span=0.7, key=key, samples=80, batch_size=32,
                               report=lambda done, of: seen.append((done, of)))
    assert state(net) == before and seen == [(k, 15) for k in range(1, 16)] and got.loss.shape == (3, 5)
    assert got.x.tolist() == np.linspace(-0.7, 0.7, 5).tolist() and got.y.tolist() == [-0.7, 0.0, 0.7]
    d1, d2 = (train.normalized_direction(net, tl.random.fold_in(key, k)) for k in (0, 1))
    x, y = DATA[:80]
    net.eval()
    for i, b in enumerate(got.y):
        for j, a in enumerate(got.x):
            at = {name: p.detach() + (a * d1[name] + b * d2[name]) for name, p in net.named_parameters() if name in d1}
            direct = LOSS(functional_call(net, at, (tl.tensor(x),)), tl.tensor(y)).item()
            assert got.loss[i, j] == pytest.approx(direct, rel=1e-5)
    centre = train.loss_landscape(net, LOSS, DATA, steps=1, samples=80, batch_size=80).loss[0, 0]
    assert centre == LOSS(net(tl.tensor(x)), tl.tensor(y)).item()
    assert got.loss[1, 2] == pytest.approx(centre, rel=1e-6)


def test_the_weights_are_as_they_were_also_after_an_error(net: Net) -> None:
    before, calls = state(net), []

    def fails(output: Any, target: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("no more")
        return LOSS(output, target)
    with pytest.raises(RuntimeError, match="no more"):
        train.loss_landscape(net, fails, DATA, steps=5, samples=10)
    assert state(net) == before and len(calls) == 4


def test_own_directions(net: Net) -> None:
    one = {"last.bias": tl.ones(10)}
    other = {"first.bias": tl.zeros(16)}
    got = train.loss_landscape(net, LOSS, DATA, steps=(3, 2), directions=(one, other), samples=20)
    np.testing.assert_allclose(got.loss, np.full((2, 3), got.loss[0, 0]), rtol=1e-5)   # adding to all scores changes nothing
    with pytest.raises(TrainingError, match="a direction holds 'nowhere', which is no parameter of the model; expected some of"):
        train.loss_landscape(net, LOSS, DATA, directions=({"nowhere": tl.ones(1)}, one))
    with pytest.raises(ShapeError, match=r"a direction's last.bias has shape \(9,\), expected the parameter's, \(10,\)"):
        train.loss_landscape(net, LOSS, DATA, directions=({"last.bias": tl.ones(9)}, one))
    for bad in ({"span": 0}, {"steps": 0}, {"steps": (3, 0)}):
        with pytest.raises(TrainingError, match="expected a span above 0"):
            train.loss_landscape(net, LOSS, DATA, **bad)   # type: ignore[arg-type]
    with pytest.raises(DataError, match="gave no batch"):
        train.loss_landscape(net, LOSS, TensorDataset(np.ones((0, 64), np.float32), np.ones(0, np.int64)))


@pytest.mark.parametrize(("steps", "loss"), [(5, LOSS), ((7, 1), LOSS), (4, lambda a, b: LOSS(1e6 * a, b) + 1e-4),
                                             (4, lambda a, b: LOSS(a, b) / 0.0)])
def test_landscapes_are_drawn(net: Net, steps: Any, loss: Any, tmp_path: Path) -> None:
    train.loss_landscape(net, loss, DATA, steps=steps, samples=20).plot(tmp_path / "l.png")
    assert min(png(tmp_path / "l.png")) > 400


def test_on_the_gpu_too(net: Net) -> None:
    expected = train.loss_landscape(net, LOSS, DATA, steps=3, samples=20)
    with stand_in():
        found = train.loss_landscape(net.to("cuda"), LOSS, DATA, steps=3, samples=20, device="cuda")
        net.to("cpu")
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
