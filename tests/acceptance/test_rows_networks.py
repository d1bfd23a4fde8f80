"""Rows 23, 51 and 53 of the acceptance table (networks): named by their numbers."""
from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import models, nn, optim
from tensorlite.engine import tape
from tensorlite.engine.value import raw
from tensorlite.nn import functional as F

# ---- row 23: AlexNet, Neural Turing Machine ---------------------------------------------------------------------------------


def test_row_23_alexnet_step() -> None:
    """One step of training is PyTorch's: the loss, and every parameter after it."""
    torch = pytest.importorskip("torch")
    import models_in_torch
    torch.manual_seed(0)
    twin = models_in_torch.alexnet(10)
    twin.classifier[0].p = twin.classifier[3].p = 0.0
    model = models.alexnet(10, dropout=0.0)
    model.load_state_dict(twin.state_dict())
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 67, 67)).astype(np.float32), np.array([3, 7])
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    its = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    loss, expected = F.cross_entropy(model(tl.tensor(x)), tl.tensor(y)), torch.nn.functional.cross_entropy(
        twin(torch.tensor(x)), torch.tensor(y))
    loss.backward(), expected.backward()
    optimizer.step(), its.step()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, p in twin.named_parameters():
        np.testing.assert_allclose(model.get_parameter(name).detach().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-6,
                                   err_msg=name)
    with tl.no_grad():
        assert F.cross_entropy(model(tl.tensor(x)), tl.tensor(y)).item() < loss.item()


def test_row_23_alexnet_as_in_the_lecture() -> None:
    """With groups and local response normalisation: a step lowers the loss of its batch."""
    tl.manual_seed(0)
    model = models.alexnet(10, dropout=0.0, original=True)
    x, y = tl.random.normal(tl.random.key(1), (2, 3, 67, 67)).float(), tl.tensor([3, 7])
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0] and losses[0] == pytest.approx(np.log(10), abs=0.2)


def test_row_23_neural_turing_machine(example: Any) -> None:
    """The loss of the copy task falls to less than a tenth."""
    losses = list(example("neural_turing_machine")["train"](300))
    assert np.mean(losses[-50:]) < 0.1 * np.mean(losses[:50])


# ---- row 51: layers are loops --------------------------------------------------------------------------------------------------

def test_row_51_fully_connected() -> None:
    """W 3 x 5: y_i = sum_j W_ij x_j + b_i, and the three gradients, by loops."""
    rng = np.random.default_rng(0)
    x, w, b, g = rng.normal(size=(2, 5)), rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(2, 3))
    layer = nn.Linear(5, 3).double()
    layer.load_state_dict({"weight": w, "bias": b})
    t = tl.tensor(x, requires_grad=True)
    out = layer(t)
    out.backward(tl.tensor(g))
    y, dx, dw, db = np.zeros((2, 3)), np.zeros((2, 5)), np.zeros((3, 5)), np.zeros(3)
    for n, i in product(range(2), range(3)):
        y[n, i], db[i] = b[i], db[i] + g[n, i]
        for j in range(5):
            y[n, i] += w[i, j] * x[n, j]
            dx[n, j] += w[i, j] * g[n, i]
            dw[i, j] += x[n, j] * g[n, i]
    for found, expected in ((out.detach(), y), (t.grad, dx), (layer.weight.grad, dw), (layer.bias.grad, db)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-14)


def test_row_51_convolution_is_a_matrix_with_shared_weights() -> None:
    """A kernel of 3 on 5 inputs is a matrix 3 x 5 whose rows are the kernel, each moved by one; its gradient sums diagonals."""
    rng = np.random.default_rng(1)
    x, k, g = rng.normal(size=5), rng.normal(size=3), rng.normal(size=3)
    matrix = np.zeros((3, 5))
    for i in range(3):
        matrix[i, i:i + 3] = k
    t, kernel = tl.tensor(x.reshape(1, 1, 5), requires_grad=True), tl.tensor(k.reshape(1, 1, 3), requires_grad=True)
    out = F.conv1d(t, kernel)
    out.backward(tl.tensor(g.reshape(1, 1, 3)))
    np.testing.assert_allclose(out.detach().numpy().ravel(), matrix @ x, rtol=1e-13)
    np.testing.assert_allclose(t.grad.numpy().ravel(), matrix.T @ g, rtol=1e-13)
    shared = [sum(g[i] * x[i + j] for i in range(3)) for j in range(3)]
    np.testing.assert_allclose(kernel.grad.numpy().ravel(), shared, rtol=1e-13)


def test_row_51_convolution_of_images() -> None:
    rng = np.random.default_rng(2)
    x, w, b = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4)
    expected = np.zeros((2, 4, 3, 6))
    for n, o, i, j in product(*map(range, expected.shape)):
        expected[n, o, i, j] = b[o]
        for c, p, q in product(range(3), range(3), range(2)):
            h, v = 2 * i + p - 1, j + q - 1   # stride (2, 1), padding 1
            if 0 <= h < 6 and 0 <= v < 5:
                expected[n, o, i, j] += w[o, c, p, q] * x[n, c, h, v]
    out = F.conv2d(tl.tensor(x), tl.tensor(w), tl.tensor(b), stride=(2, 1), padding=1)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-13)


# ---- row 53: transfer --------------------------------------------------------------------------------------------------------

def recorded(loss: Any) -> tuple[int, int]:
    """How many operations the tape behind ``loss`` holds, and the bytes it keeps for them (each array once)."""
    nodes = tape.reachable([loss.node])
    kept = {id(a): a.nbytes for node in nodes for a in map(raw, node.saved or ()) if isinstance(a, np.ndarray)}
    return len(nodes), sum(kept.values())


def test_row_53_a_frozen_backbone_stays_and_costs_nothing() -> None:
    """Frozen parameters (and, in eval mode, batch norm's statistics) keep every bit in training; they have no gradient, and
    the tape holds the head's two operations alone."""
    tl.manual_seed(0)
    model = models.resnet20(num_classes=4)
    x, y = tl.random.normal(tl.random.key(0), (4, 3, 16, 16)).float(), tl.tensor([0, 1, 2, 3])
    whole = recorded(F.cross_entropy(model(x), y))
    model.linear = nn.Linear(64, 4)   # a new head
    names = nn.utils.freeze(model, "conv1.*", "bn1.*", "layer*")
    assert names == [name for name, _ in model.named_parameters() if not name.startswith("linear")]
    model.train()
    for name, part in model.named_children():
        part.train(name == "linear")
    frozen = {k: v.numpy().tobytes() for k, v in model.state_dict().items() if not k.startswith("linear")}
    head = model.linear.weight.detach().numpy().copy()
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)   # given all, it leaves those without gradients alone
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        count, kept = recorded(loss)
        loss.backward()
        optimizer.step()
    assert {k: v.numpy().tobytes() for k, v in model.state_dict().items() if not k.startswith("linear")} == frozen
    assert all(model.get_parameter(name).grad is None for name in names)
    assert (model.linear.weight.detach().numpy() != head).all()
    assert count == 2, "linear and cross entropy"
    assert kept <= x.shape[0] * (64 + 4 + 4) * 8 + model.linear.weight.nbytes
    assert whole[0] > 60 and whole[1] > 100 * kept


def test_row_53_fine_tuning_with_a_rate_for_each_group() -> None:
    """A smaller rate for the backbone than for the head: the first step of SGD moves each by its own."""
    tl.manual_seed(0)
    model = models.resnet20(num_classes=4)
    groups = [{"params": [p for n, p in model.named_parameters() if not n.startswith("linear")], "lr": 1e-3},
              {"params": model.linear.parameters()}]
    optimizer = optim.SGD(groups, lr=1e-1)
    before = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    x, y = tl.random.normal(tl.random.key(0), (4, 3, 16, 16)).float(), tl.tensor([0, 1, 2, 3])
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    for name, p in model.named_parameters():
        rate = 1e-1 if name.startswith("linear") else 1e-3
        np.testing.assert_allclose(p.detach().numpy(), before[name] - rate * p.grad.numpy(), rtol=1e-6, atol=1e-7,
                                   err_msg=name)


def test_row_53_freezing_by_name() -> None:
    model = models.lenet()
    assert nn.utils.freeze(model, "conv?.weight") == ["conv1.weight", "conv2.weight"]
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["conv1.weight", "conv2.weight"]
    assert nn.utils.freeze(model) == [n for n, _ in model.named_parameters()]
    assert nn.utils.unfreeze(model, "fc3.*") == ["fc3.weight", "fc3.bias"] and not model.conv1.bias.requires_grad
    with pytest.raises(ValueError, match=r"freeze: no parameter's name matches 'features\.\*'; the names begin with conv1, "
                                         r"conv2, fc1, fc2, fc3, and 'conv1\.\*' would match"):
        nn.utils.freeze(model, "features.*")
    with pytest.raises(ValueError, match="unfreeze: no parameter"):
        nn.utils.unfreeze(model, "head")


def test_row_53_the_example(example: Any) -> None:
    """With three images of a class, features that others taught are worth more than those from scratch."""
    run = example("transfer")
    tl.manual_seed(0)
    model = run["network"]()
    source = run["fit"](model, model.parameters(), run["images"](range(5), True), 150)
    few, test = run["images"](range(5, 10), True, 3), run["images"](range(5, 10), False)
    right = {}
    for way in ("scratch", "frozen"):
        found = [run["transferred"](source, way, few) for _ in range(4)]
        right[way] = np.mean([(m(test[0]).argmax(axis=1) == test[1]).float().mean().item() for m in found])
        if way == "frozen":
            for key, value in found[0].features.state_dict().items():
                np.testing.assert_array_equal(value.numpy(), source.features.state_dict()[key].numpy())
    assert right["frozen"] > right["scratch"] > 0.6
