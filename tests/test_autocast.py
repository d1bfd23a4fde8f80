"""Mixed precision: which operation runs in which dtype, what parameters and gradients stay, and PyTorch's autocast beside it."""
from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest
import torch

import tensorlite as tl
import tensorlite.ops
from tensorlite._autocast import LOSSES, LOW, WIDE, is_autocast_enabled
from tensorlite.engine.primitive import REGISTRY
from tensorlite.nn import functional as F

for _module in pkgutil.iter_modules(tensorlite.ops.__path__):
    importlib.import_module(f"tensorlite.ops.{_module.name}")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_policy_names_operations_that_exist() -> None:
    assert not (LOW | WIDE | LOSSES) - set(REGISTRY)
    assert not LOW & WIDE and not LOSSES & (LOW | WIDE)


@pytest.mark.parametrize("dtype", [tl.float16, tl.bfloat16])
def test_products_run_low_and_parameters_stay_float32(dtype) -> None:
    x, w, b = tl.tensor(numbers(5, 4)), tl.tensor(numbers(3, 4, seed=1), requires_grad=True), tl.zeros(3, requires_grad=True)
    with tl.autocast(dtype):
        y = F.linear(x, w, b)
        loss = (y * y).mean()
    assert y.dtype == dtype and loss.dtype == tl.float32
    loss.backward()
    assert w.dtype == w.grad.dtype == b.grad.dtype == tl.float32
    exact = 2 / 15 * (numbers(5, 4) @ numbers(3, 4, seed=1).T).T @ numbers(5, 4)
    np.testing.assert_allclose(w.grad.numpy(), exact, atol=(2e-3 if dtype == tl.float16 else 2e-2) * np.abs(exact).max())


OPERATIONS = {
    "matmul": (lambda m, a, b: m.matmul(a, b), [(4, 4), (4, 4)]),
    "exp": (lambda m, a: m.exp(a), [(4,)]),
    "sum": (lambda m, a: a.sum(), [(4, 3)]),
    "softmax": (lambda m, a: m.softmax(a, -1) if m is torch else tl.softmax(a, -1), [(4, 3)]),
    "add": (lambda m, a, b: a + b, [(4,), (4,)]),
    "relu": (lambda m, a: m.relu(a), [(4,)]),
    "tanh": (lambda m, a: m.tanh(a), [(4,)]),
    "pow": (lambda m, a: (a * a) ** 1.5, [(4,)]),
}


@pytest.mark.parametrize("low", [False, True], ids=["float32", "low"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_dtypes_are_those_of_torch(name: str, low: bool) -> None:
    call, shapes = OPERATIONS[name]
    arrays = [numbers(*shape, seed=k) for k, shape in enumerate(shapes)]
    ours, theirs = [tl.tensor(a) for a in arrays], [torch.tensor(a, device="cpu") for a in arrays]
    if low:
        ours, theirs = [t.to(tl.bfloat16) for t in ours], [t.bfloat16() for t in theirs]
    with tl.autocast(tl.bfloat16), torch.autocast("cpu", dtype=torch.bfloat16):
        a, b = call(tl, *ours), call(torch, *theirs)
    torch_on_cuda = {"exp", "sum", "pow"}   # PyTorch's CPU list leaves these alone; its CUDA list runs them in float32, as we do
    expected = "float32" if low and name in torch_on_cuda else str(b.dtype).removeprefix("torch.")
    if low and name == "softmax":
        expected = "float32"
    assert a.dtype.name == expected


def test_a_training_step_agrees_with_torch() -> None:
    x, labels = numbers(16, 8), np.arange(16) % 3
    weights = [numbers(12, 8, seed=1), numbers(12, seed=2), numbers(3, 12, seed=3), numbers(3, seed=4)]
    ours = [tl.tensor(w, requires_grad=True) for w in weights]
    theirs = [torch.tensor(w, requires_grad=True) for w in weights]
    with tl.autocast(tl.bfloat16):
        loss = F.cross_entropy(F.linear(F.relu(F.linear(tl.tensor(x), *ours[:2])), *ours[2:]), tl.tensor(labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        f = torch.nn.functional
        expected = f.cross_entropy(f.linear(f.relu(f.linear(torch.tensor(x), *theirs[:2])), *theirs[2:]), torch.tensor(labels))
    loss.backward()
    expected.backward()
    assert loss.dtype == tl.float32
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=2e-2)
    for a, b in zip(ours, theirs):
        scale = float(b.grad.abs().max())
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=3e-2 * scale)


def test_float64_and_integers_are_left_alone() -> None:
    x = tl.tensor(np.ones((2, 2)))
    with tl.autocast(tl.float16):
        assert (x @ x).dtype == tl.float64
        assert tl.sum(tl.tensor([1, 2])).dtype == tl.int64


def test_off_inside_and_after_an_error() -> None:
    x = tl.tensor(numbers(2, 2))
    with pytest.raises(ZeroDivisionError), tl.autocast(tl.float16):
        assert is_autocast_enabled() and (x @ x).dtype == tl.float16
        with tl.autocast(enabled=False):
            assert not is_autocast_enabled() and (x @ x).dtype == tl.float32
        assert (x @ x).dtype == tl.float16
        1 / 0   # noqa: B018
    assert not is_autocast_enabled() and (x @ x).dtype == tl.float32


def test_as_a_decorator_and_in_the_words_of_torch() -> None:
    @tl.autocast("cuda", dtype=tl.bfloat16)
    def product(a, b):
        return a @ b
    x = tl.tensor(numbers(2, 2))
    assert product(x, x).dtype == tl.bfloat16 and product(x, x).dtype == tl.bfloat16
    with tl.autocast("cuda"):
        assert (x @ x).dtype == tl.float16
    with tl.autocast("cpu"):
        assert (x @ x).dtype == tl.bfloat16
    with pytest.raises(tl.errors.DTypeError, match="autocast: dtype is float32; expected float16 or bfloat16"):
        tl.autocast(tl.float32)


def test_a_parameter_is_cast_once_until_it_is_written() -> None:
    w, x = tl.tensor(numbers(2, 2), requires_grad=True), tl.tensor(numbers(2, 2))
    casts = []

    def observe(op, implementation):
        if op.name == "cast":
            casts.append(op)
        return implementation
    with tl._state.changed(observer=observe), tl.autocast(tl.float16):
        first = x.half() @ w + x.half() @ w
        assert len(casts) == 3   # x twice, by hand, and w once
        with tl.no_grad():
            w.mul_(2.0)
            assert (x.half() @ w).requires_grad is False
        second = x.half() @ w
    np.testing.assert_allclose(second.detach().numpy(), first.detach().numpy(), rtol=5e-3)   # twice the weight, once the product
    (first.sum() + second.sum()).backward()
    assert w.grad.dtype == tl.float32


def test_inside_transforms() -> None:
    w = tl.tensor(numbers(3, 2))

    def loss(w):
        with tl.autocast(tl.float16):
            return (tl.tensor(numbers(4, 2)) @ w.T).sum()
    g = tl.grad(loss)(w)
    assert g.dtype == tl.float32
    np.testing.assert_allclose(g.numpy(), np.tile(numbers(4, 2).sum(0), (3, 1)), rtol=5e-3)


def test_cross_entropy_of_bfloat16_logits_gives_a_float32_loss_and_no_casts() -> None:
    x, w, labels = tl.tensor(numbers(8, 6)), tl.tensor(numbers(5, 6, seed=1), requires_grad=True), tl.tensor(np.arange(8) % 5)
    seen = []

    def observe(op, implementation):
        seen.append(op.name)
        return implementation
    with tl._state.changed(observer=observe), tl.autocast(tl.bfloat16):
        logits = F.linear(x, w)
        seen.clear()
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert logits.dtype == tl.bfloat16 and loss.dtype == tl.float32 and seen == ["softmax_cross_entropy"]
    exact = tl.tensor(logits.detach().float().numpy(), requires_grad=True)
    expected = F.cross_entropy(exact, labels, label_smoothing=0.1)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (g,) = tl.autograd.grad(loss * 8.0, logits, retain_graph=True)
    np.testing.assert_allclose(g.float().numpy(), 8 * exact.grad.numpy(), atol=2e-2)
    loss.backward()
    assert w.grad.dtype == tl.float32
    with tl.autocast(tl.float16):
        assert F.cross_entropy(F.linear(x, w), labels).dtype == tl.float32
    assert F.cross_entropy(logits, labels).dtype == tl.bfloat16
