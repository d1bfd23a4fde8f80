"""Rows 33, 40 and 48-50 of the acceptance table (optimisation and training): one test a row, named by its number."""
from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import TensorDataset, random_split
from tensorlite.nn import functional as F
from tensorlite.train import Callback, EarlyStopping, Trainer


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5])
def test_row_33_multidimensional_scaling(seed: int, example: Any) -> None:
    """Gradient descent's half; the classical solution by eigh comes with the linear algebra."""
    assert example("mds")["solve"](seed) < 1e-20


def test_row_33_has_local_minima(example: Any) -> None:
    """About one random start in sixteen ends where the gradient is zero and the loss is not; seed 3 does."""
    assert example("mds")["solve"](3) == pytest.approx(302.15, abs=0.01)


def test_row_40_chain_of_layers() -> None:
    """v_k = sigmoid(v_{k-1} W_k): the gradient of W_k is the n_{k-1} x n_k outer product of v_{k-1} and what flows back."""
    rng = np.random.default_rng(0)
    sizes = (5, 4, 3, 2)
    weights = [tl.tensor(rng.normal(size=s), requires_grad=True) for s in pairwise(sizes)]
    v = tl.tensor(rng.normal(size=sizes[0]))
    values = [v]
    for w in weights:
        values.append(tl.sigmoid(values[-1] @ w))
    values[-1].sum().backward()
    back = np.ones(sizes[-1])
    for k in range(len(weights), 0, -1):
        s = values[k].detach().numpy()
        back = back * s * (1 - s)
        assert weights[k - 1].grad.shape == (sizes[k - 1], sizes[k])
        np.testing.assert_allclose(weights[k - 1].grad.numpy(), np.outer(values[k - 1].detach().numpy(), back), rtol=1e-12)
        back = weights[k - 1].detach().numpy() @ back


def test_row_48_softmax_and_one_hot() -> None:
    probabilities = tl.tensor([[0.2, 0.8]], dtype=tl.float64)
    logits = tl.log(probabilities)
    assert tl.softmax(logits, axis=1).tolist()[0] == pytest.approx([0.2, 0.8], abs=1e-15)
    hot = tl.tensor([[0.0, 1.0]], dtype=tl.float64)
    assert -tl.log((probabilities * hot).sum()).item() == pytest.approx(0.2231436, abs=5e-8)
    for target in (hot, tl.tensor([1])):
        assert F.cross_entropy(logits, target).item() == pytest.approx(0.2231436, abs=5e-8)
    tl.manual_seed(0)
    many, labels = tl.randn(50, 7, dtype=tl.float64), tl.randint(0, 7, (50,))
    by_index = tl.value_and_grad(lambda z: F.cross_entropy(z, labels))(many)
    by_one_hot = tl.value_and_grad(lambda z: F.cross_entropy(z, tl.eye(7, dtype=tl.float64)[labels]))(many)
    for a, b in zip(by_index, by_one_hot):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13, atol=1e-16)


SGD = {"plain": {}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True},
       "decay": {"weight_decay": 0.01}, "both": {"momentum": 0.9, "weight_decay": 0.01}}
SCHEDULES: dict[str, Any] = {
    "constant": None, "step": lambda s, o: s.StepLR(o, step_size=30, gamma=0.3),
    "multistep": lambda s, o: s.MultiStepLR(o, milestones=[20, 60], gamma=0.5),
    "exponential": lambda s, o: s.ExponentialLR(o, gamma=0.97), "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=100),
    "onecycle": lambda s, o: s.OneCycleLR(o, max_lr=0.1, total_steps=101),
}


@pytest.mark.parametrize(("rule", "schedule"), [*((r, "cosine") for r in SGD), *(("both", s) for s in SCHEDULES)])
def test_row_49_hundred_steps_as_pytorch(rule: str, schedule: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w, x, y = rng.normal(size=(4, 3)), rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    ends = []
    for library, module in ((tl, optim), (torch, torch.optim)):
        p = library.tensor(w, requires_grad=True)
        data, target = library.tensor(x), library.tensor(y)
        optimizer = module.SGD([p], lr=0.05, **SGD[rule])
        scheduler = SCHEDULES[schedule] and SCHEDULES[schedule](module.lr_scheduler, optimizer)
        for _ in range(100):
            optimizer.zero_grad()
            ((data @ p).tanh() - target).square().mean().backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        ends.append(p.detach().numpy())
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-6)


def test_row_50_split() -> None:
    train, val = random_split(TensorDataset(tl.arange(1000)), [0.8, 0.2], generator=tl.Generator(0))
    assert (len(train), len(val)) == (800, 200)
    assert sorted([*train.indices.tolist(), *val.indices.tolist()]) == list(range(1000))


def test_row_50_early_stopping_fires_at_the_planted_minimum() -> None:
    """Fitting y = 2x from 0 with a validation set that wants y = x: its loss turns where the weight passes 1."""
    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    model = nn.Linear(1, 1, bias=False)
    with tl.no_grad():
        model.weight.zero_()
    weights: list[float] = []

    class Record(Callback):
        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            weights.append(model.weight.item())
    stopping = EarlyStopping("val_loss", patience=3)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.05), nn.MSELoss(), [Record(), stopping], progress=False)
    history = trainer.fit(TensorDataset(x, 2 * x), TensorDataset(x, x), epochs=500, batch_size=16)
    planted = 1 + min(range(len(weights)), key=lambda k: abs(weights[k] - 1))
    assert stopping.best_epoch == planted and len(history) == planted + 3
    assert model.weight.item() == pytest.approx(weights[planted - 1])   # the best weights came back
    assert 2 * (1 - math.exp(-1)) > weights[planted - 1] > 0.9


def test_row_50_dropout_and_batchnorm_differ_between_training_and_evaluation() -> None:
    tl.manual_seed(0)
    x = tl.randn(32, 8)
    dropout = nn.Dropout(0.5)
    assert (dropout(x) == 0).any() and not tl.allclose(dropout(x), dropout(x))
    assert tl.allclose(dropout.eval()(x), x, rtol=0, atol=0)
    norm = nn.BatchNorm1d(8)
    trained = norm(3 * x + 5)
    assert tl.abs(trained.mean(axis=0)).max().item() < 1e-5
    assert not tl.allclose(norm.eval()(3 * x + 5), trained, atol=0.1)
