"""Optimizers against PyTorch's, their state, their errors."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.optim import OptimizerError

SETTINGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "betas": (0.8, 0.95), "eps": 1e-6}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "alpha": 0.9}),
]
IDS = [f"{name}-{'-'.join(k for k in options if k != 'lr')}" for name, options in SETTINGS]


def problem(dtype):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in ((6, 4), (3, 6))], rng.normal(size=(20, 4)).astype(dtype)


def ours(weights):
    return [tl.tensor(w, requires_grad=True) for w in weights]


def loss(params, x):
    w1, w2 = params
    return ((x @ w1.T).tanh() @ w2.T).square().mean() + w1.sum().square() * 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_a_hundred_steps_as_pytorch(name, options, dtype):
    torch = pytest.importorskip("torch")
    weights, x = problem(dtype)
    mine, theirs = ours(weights), [torch.tensor(w, requires_grad=True) for w in weights]
    a, b = getattr(optim, name)(mine, **options), getattr(torch.optim, name)(theirs, **options)
    tx, ty = tl.tensor(x), torch.tensor(x)
    for _ in range(100):
        for optimizer, params, data in ((a, mine, tx), (b, theirs, ty)):
            optimizer.zero_grad()
            loss(params, data).backward()
            optimizer.step()
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_resumed_training_continues_bit_for_bit(name, options):
    weights, x = problem("float32")
    x = tl.tensor(x)

    def train(params, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss(params, x).backward()
            optimizer.step()

    straight = ours(weights)
    optimizer = getattr(optim, name)(straight, **options)
    train(straight, optimizer, 20)
    first = ours(weights)
    optimizer = getattr(optim, name)(first, **options)
    train(first, optimizer, 9)
    saved, values = copy.deepcopy(optimizer.state_dict()), [p.detach().numpy().copy() for p in first]
    second = ours(values)
    optimizer = getattr(optim, name)(second, lr=77.0)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == options["lr"]
    train(second, optimizer, 11)
    for p, q in zip(straight, second):
        assert np.array_equal(p.detach().numpy(), q.detach().numpy())


def test_state_dict_has_pytorchs_layout_and_loads_from_it():
    torch = pytest.importorskip("torch")
    weights, x = problem("float64")
    theirs = [torch.tensor(w, requires_grad=True) for w in weights]
    b = torch.optim.Adam(theirs, lr=0.01)
    tx = torch.tensor(x)
    for _ in range(5):
        b.zero_grad()
        loss(theirs, tx).backward()
        b.step()
    mine = ours([p.detach().numpy().copy() for p in theirs])
    a = optim.Adam(mine)
    a.load_state_dict({"state": {i: {k: v.numpy() for k, v in s.items()} for i, s in b.state_dict()["state"].items()},
                       "param_groups": b.state_dict()["param_groups"]})
    for optimizer, params, data in ((a, mine, tl.tensor(x)), (b, theirs, tx)):
        optimizer.zero_grad()
        loss(params, data).backward()
        optimizer.step()
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)
    state = a.state_dict()
    assert state["param_groups"][0]["params"] == [0, 1] and state["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert state["state"][0]["step"] == 6
    assert "amsgrad" in repr(a)


def test_a_group_has_settings_of_its_own():
    a, b = tl.tensor([1.0], requires_grad=True), tl.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0.5], rtol=1e-6)
    c = tl.tensor([1.0], requires_grad=True)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    c.sum().backward()
    optimizer.step()
    np.testing.assert_allclose(c.item(), 0.9, rtol=1e-6)


def test_parameters_keep_their_identity_and_memory_and_missing_gradients_are_skipped():
    a, b = tl.tensor([1.0, 2.0], requires_grad=True), tl.tensor([3.0], requires_grad=True)
    memory, optimizer = a.value, optim.Adam([a, b])
    a.sum().backward()
    optimizer.step()
    assert a.value is memory and a.is_leaf and b.item() == 3.0 and list(optimizer.state) == [a]


def test_momentum_switched_on_later_starts_with_the_gradient():
    a = tl.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1, dampening=0.5)
    for momentum in (0.0, 0.9):
        optimizer.param_groups[0]["momentum"] = momentum
        optimizer.zero_grad()
        a.sum().backward()
        optimizer.step()
    np.testing.assert_allclose(a.item(), 0.8, rtol=1e-6)


def test_a_model_that_was_converted_goes_on():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for dtype in (tl.float32, tl.float64):
        model.to(dtype)
        optimizer.zero_grad()
        model(tl.ones(1, 3, dtype=dtype)).sum().backward()
        optimizer.step()
    assert model.weight.dtype == tl.float64
    assert optimizer.state[model.weight]["momentum_buffer"].dtype == tl.float64
    np.testing.assert_allclose(optimizer.state[model.weight]["momentum_buffer"].numpy(), 1.9)


def test_a_closure_is_called_with_gradients_on():
    a = tl.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1)

    def closure():
        optimizer.zero_grad()
        value = (a * a).sum()
        value.backward()
        return value
    with tl.no_grad():
        assert optimizer.step(closure).item() == 4.0
    np.testing.assert_allclose(a.item(), 1.6, rtol=1e-6)


def test_pickle_and_deepcopy_keep_the_state():
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters())
    model(tl.ones(1, 2)).sum().backward()
    optimizer.step()
    for clone in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert clone.state_dict()["state"][0]["step"] == 1
        assert clone.param_groups[0]["params"][0] is not model.weight


def test_a_step_between_forward_and_backward_is_noticed():
    a = tl.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1)
    a.sum().backward()
    later = (a * a).sum()
    optimizer.step()
    with pytest.raises(tl.errors.InplaceError, match=r"SGD\.step"):
        later.backward()


def test_zero_grad():
    a = tl.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1)
    a.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.item() == 0
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize(("make", "error", "text"), [
    (lambda p: optim.SGD([p], lr=-1.0), OptimizerError, r"SGD: lr is -1\.0; expected a number >= 0"),
    (lambda p: optim.SGD([p], lr=0.1, nesterov=True), OptimizerError, "unless momentum > 0"),
    (lambda p: optim.Adam([p], betas=(0.9, 1.0)), OptimizerError, "betas"),
    (lambda p: optim.RMSprop([p], alpha=-0.1), OptimizerError, "alpha"),
    (lambda p: optim.SGD([], lr=0.1), OptimizerError, "no parameters"),
    (lambda p: optim.SGD(p, lr=0.1), OptimizerError, "a single tensor"),
    (lambda p: optim.SGD([p, p], lr=0.1), OptimizerError, "given before"),
    (lambda p: optim.SGD(tl.nn.Linear(2, 2), lr=0.1), OptimizerError, r"params is a Linear; .*pass its \.parameters\(\)"),
    (lambda p: optim.SGD([{"parameters": [p]}], lr=0.1), OptimizerError, "a group has no 'params', only 'parameters'"),
    (lambda p: optim.Adam([p], lr="0.1"), OptimizerError, r"a setting is no number .*lr='0\.1'"),
    (lambda p: optim.SGD([p * 2], lr=0.1), OptimizerError, "the result of mul, not a leaf"),
    (lambda p: optim.SGD([p, 3], lr=0.1), DTypeError, "parameter 1 is a int"),
    (lambda p: optim.SGD([tl.tensor([1])], lr=0.1), DTypeError, "int64"),
])
def test_errors_of_the_constructor(make, error, text):
    with pytest.raises(error, match=text):
        make(tl.tensor([1.0], requires_grad=True))


def test_errors_of_step_and_load():
    a = tl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    a.grad = tl.ones(3)
    with pytest.raises(ShapeError, match=r"SGD\.step: parameter 0 has shape \(2,\), and its gradient \(3,\)"):
        optimizer.step()
    a.grad = np.ones(2)
    with pytest.raises(DTypeError, match="the gradient of parameter 0 is a ndarray"):
        optimizer.step()
    other = optim.SGD([tl.zeros(1, requires_grad=True), tl.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(OptimizerError, match=r"the saved groups have \[2\] parameters"):
        optimizer.load_state_dict(other.state_dict())
    saved = {"state": {0: {"momentum_buffer": np.zeros(5)}}, "param_groups": [{"lr": 1.0, "params": [0]}]}
    with pytest.raises(OptimizerError, match=r"momentum_buffer has shape \(5,\)"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(OptimizerError, match="param_groups"):
        optimizer.load_state_dict({})


def test_the_state_of_another_optimizer_is_refused():
    a = tl.tensor([1.0, 2.0], requires_grad=True)
    adam = optim.Adam([a], lr=0.1)
    a.grad = tl.ones(2)
    adam.step()
    sgd = optim.SGD([a], lr=0.5, momentum=0.9)
    expected = "the saved state has exp_avg, exp_avg_sq, where this optimizer keeps momentum_buffer"
    with pytest.raises(OptimizerError, match=expected):
        sgd.load_state_dict(adam.state_dict())
    assert sgd.param_groups[0]["lr"] == 0.5 and "betas" not in sgd.param_groups[0]


def test_a_parameter_in_memory_that_is_read_only_is_named():
    array = np.ones(2, np.float32)
    array.flags.writeable = False
    a = tl.nn.Parameter(tl.from_numpy(array))
    optimizer = optim.SGD([a], lr=0.1)
    a.grad = tl.ones(2)
    with pytest.raises(OptimizerError, match=r"SGD\.step: parameter 0 lies in memory that is read-only"):
        optimizer.step()


def test_clipping_refuses_what_would_turn_the_gradients_round_and_is_silent_about_inf():
    a = tl.tensor([1.0, 2.0], requires_grad=True)
    a.grad = tl.tensor([1.0, float("inf")])
    with pytest.raises(ValueError, match="max_norm is -1; expected a number >= 0"):
        tl.nn.utils.clip_grad_norm_([a], -1)
    assert tl.nn.utils.clip_grad_norm_([a], 1.0).item() == float("inf")
