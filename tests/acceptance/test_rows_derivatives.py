"""Rows 1-3 and 5-7 of the acceptance table (a recitation on derivatives and autograd): one test a row, named by its number."""
from __future__ import annotations

import math
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.nn import functional as F
from tensorlite.train import accuracy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LOGITS = [[1.01, 1.2], [12.5, 0.02], [0.23, 1.35]]


def trained(device: str) -> list[float]:
    """The losses of an MLP's training."""
    tl.manual_seed(0)
    x = tl.randn(64, 2)
    y = (x[:, 0] * x[:, 1] > 0).to(tl.int64)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
    x, y = x.to(device), y.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    losses = []
    for _ in range(100):
        loss = F.cross_entropy(model(x), y)   # forward, loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_row_01_training_loop(device: str) -> None:
    losses = trained(device)
    assert losses[-1] < 0.1 < losses[0]
    assert losses == pytest.approx(trained("cpu"), rel=1e-2, abs=1e-4)


def test_row_01_the_same_script(device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``examples/train_mlp.py`` on each device: the same batches and first weights, the same accuracy but for rounding."""
    printed = []
    for where in ("cpu", device):
        monkeypatch.setattr(sys, "argv", ["train_mlp.py", "--quick", where])
        runpy.run_path(str(EXAMPLES / "train_mlp.py"), run_name="__main__")
        printed.append(re.findall(r"loss ([\d.]+)  test accuracy ([\d.]+)%", capsys.readouterr().out))
    assert len(printed[0]) == 3 and float(printed[0][-1][1]) > 90
    for (loss, accurate), (other_loss, other_accurate) in zip(*printed):
        assert float(other_loss) == pytest.approx(float(loss), rel=0.02, abs=2e-3)
        assert float(other_accurate) == pytest.approx(float(accurate), abs=0.6)   # of 359 samples, two may fall elsewhere


@pytest.mark.parametrize("dtype", [tl.float32, tl.float64], ids=str)
def test_row_02_cross_entropy(dtype: Any, device: str) -> None:
    logits = tl.tensor(LOGITS, dtype=dtype, device=device, requires_grad=True)
    labels = tl.tensor([0, 0, 1], device=device)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    assert loss.item() == pytest.approx(0.3583449, abs=1e-7)
    assert logits.grad[0].tolist() == pytest.approx([-0.182453, 0.182453], abs=1e-6)
    assert accuracy(logits.detach(), labels) == pytest.approx(2 / 3)
    assert (logits.argmax(axis=1) == labels).to(tl.float64).mean().item() == pytest.approx(2 / 3)


def test_row_03_range_of_the_loss() -> None:
    """The lecture says 0 <= loss <= ln C; there is no upper bound, ln C is what equal logits give."""
    loss = F.cross_entropy(tl.tensor([[0.0, 10.0]], dtype=tl.float64), tl.tensor([0]))
    assert loss.item() == pytest.approx(10.000045, abs=5e-7)
    for classes in (2, 3, 10, 1000):
        logits = tl.full((4, classes), 1.7, dtype=tl.float64)
        loss = F.cross_entropy(logits, tl.arange(4) % classes)
        assert loss.item() == pytest.approx(math.log(classes), rel=1e-14)


def test_row_05_total_and_partial_derivative() -> None:
    x, w = tl.tensor(2.0, requires_grad=True), tl.tensor(3.0)
    z = x + w
    assert tl.autograd.grad(x * z, x)[0].item() == 7
    assert tl.autograd.grad(x * z.detach(), x)[0].item() == 5
    assert tl.grad(lambda x: x * (x + w))(tl.tensor(2.0)).item() == 7
    assert tl.grad(lambda x: x * tl.stop_gradient(x + w))(tl.tensor(2.0)).item() == 5


def test_row_06_traversal_is_iterative() -> None:
    x = tl.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1
    a = tl.tensor(1.0, requires_grad=True)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4


RULES = [
    (lambda x: tl.tensor(5.0), 0), (lambda x: 3 * x, 3), (lambda x: x ** 3, 12),
    (lambda x: x ** 2 + 3 * x, 7), (lambda x: x ** 2 - 3 * x, 1), (lambda x: x ** 2 * x, 12), (lambda x: tl.log(x ** 2), 1),
]


@pytest.mark.parametrize(("f", "slope"), RULES, ids=["c", "3x", "x^3", "x^2+3x", "x^2-3x", "x^2 x", "ln x^2"])
def test_row_07_table_of_rules(f: Any, slope: float) -> None:
    assert tl.grad(f)(tl.tensor(2.0)).item() == slope
    if slope:
        x = tl.tensor(2.0, requires_grad=True)
        f(x).backward()
        assert x.grad.item() == slope


def test_row_07_chain_of_matrices() -> None:
    rng = np.random.default_rng(0)
    v, w, x = (tl.tensor(rng.normal(size=shape)) for shape in ((3, 4), (4, 5), (5,)))
    jacobian = tl.func.jacrev(lambda x: v @ (w @ x))(x)
    assert jacobian.shape == (3, 5)
    np.testing.assert_allclose(jacobian.numpy(), (v @ w).numpy(), rtol=1e-14)
