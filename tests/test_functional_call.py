"""functional_call and stack_module_state: as PyTorch's, on every kind of level, and the module as it was afterwards."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.func import grad, hvp, jacfwd, jacrev, jvp, vmap
from tensorlite.func._functional import functional_call, stack_module_state

RNG = np.random.default_rng(3)


class Net(tl.nn.Module):
    """A parameter, a buffer, a part, and a part under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tl.nn.Parameter(tl.tensor([2.0, 3.0]))
        self.register_buffer("shift", tl.tensor([0.5, -0.5]))
        self.layer = tl.nn.Linear(2, 2)
        self.again = self.layer
        self.calls = 0

    def forward(self, x: Any, power: int = 1, *, act: Callable[..., Any] = tl.tanh, fail: bool = False) -> Any:
        self.calls += 1
        h = act(self.layer(x)) * self.scale + self.shift
        if fail:
            raise KeyError("on purpose")
        return self.again(h) ** power


def parameters(model: tl.nn.Module) -> dict[str, Any]:
    return {name: p.detach() for name, p in model.named_parameters()}


def test_values_and_gradients_as_the_tape_gives_them() -> None:
    net, x = Net(), tl.tensor(RNG.normal(size=(5, 2)), dtype=tl.float32)
    params = parameters(net)
    assert set(params) == {"scale", "layer.weight", "layer.bias"}
    loss = lambda p, x: functional_call(net, p, (x, 2), {"act": tl.sigmoid}).sum()
    found = grad(loss)(params, x)
    net(x, 2, act=tl.sigmoid).sum().backward()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(found[name].numpy(), p.grad.numpy(), rtol=1e-6)
    # the tape through given tensors, and nothing to the module's own
    net.zero_grad()
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    loss(leaves, x).backward()
    for name in params:
        np.testing.assert_allclose(leaves[name].grad.numpy(), found[name].numpy(), rtol=1e-6)
    assert all(p.grad is None for p in net.parameters())
    # some names only: the others are the module's
    functional_call(net, {"scale": leaves["scale"]}, x).sum().backward()
    assert net.layer.weight.grad is not None and net.scale.grad is None


def test_every_transform_of_the_parameters() -> None:
    net = Net().double()
    x, params = tl.tensor(RNG.normal(size=2)), parameters(net)
    tangents = {name: tl.tensor(RNG.normal(size=p.shape)) for name, p in params.items()}
    f = lambda p: functional_call(net, p, x)
    s = lambda p: (f(p) ** 2).sum()
    _, moved = jvp(f, (params,), (tangents,))
    forward, reverse = jacfwd(f)(params), jacrev(f)(params)
    by_rows = sum((reverse[name] * t).reshape(2, -1).sum(1) for name, t in tangents.items())
    np.testing.assert_allclose(moved.numpy(), by_rows.numpy(), rtol=1e-10)
    for name in params:
        np.testing.assert_allclose(forward[name].numpy(), reverse[name].numpy(), rtol=1e-10, atol=1e-13)
    eps = 1e-6
    ahead, behind = (grad(s)({n: p + sign * eps * tangents[n] for n, p in params.items()}) for sign in (1, -1))
    for name, product in hvp(s, (params,), (tangents,))[1].items():
        np.testing.assert_allclose(product.numpy(), (ahead[name] - behind[name]).numpy() / (2 * eps), rtol=1e-5, atol=1e-7)


def test_per_sample_gradients_and_ensembles() -> None:
    nets = [Net() for _ in range(3)]
    x = tl.tensor(RNG.normal(size=(4, 2)), dtype=tl.float32)
    loss = lambda p, x: (functional_call(nets[0], p, x) ** 2).sum()
    each = vmap(grad(loss), in_axes=(None, 0))(parameters(nets[0]), x)
    for k in range(4):
        alone = grad(loss)(parameters(nets[0]), x[k])
        for name in alone:
            np.testing.assert_allclose(each[name][k].numpy(), alone[name].numpy(), rtol=1e-5, atol=1e-6)
    params, buffers = stack_module_state(nets)
    assert {n: p.shape for n, p in params.items()} == {"scale": (3, 2), "layer.weight": (3, 2, 2), "layer.bias": (3, 2)}
    assert buffers["shift"].shape == (3, 2) and not buffers["shift"].requires_grad
    assert all(p.requires_grad and p.is_leaf for p in params.values())
    out = vmap(lambda p, b: functional_call(nets[0], (p, b), (x,)))(params, buffers)
    for k, net in enumerate(nets):
        np.testing.assert_allclose(out[k].detach().numpy(), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    out.sum().backward()
    nets[1](x).sum().backward()
    np.testing.assert_allclose(params["layer.weight"].grad[1].numpy(), nets[1].layer.weight.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def build(nn: Any) -> Any:
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    state = {name: RNG.normal(size=p.shape) for name, p in build(tl.nn).named_parameters()}
    x = RNG.normal(size=(5, 3))
    found = []
    for lib, array, call in ((tl, tl.tensor, functional_call), (torch, torch.tensor, torch.func.functional_call)):
        net = build(lib.nn)
        params = {name: array(value) for name, value in state.items()}
        loss = lambda p, x, net=net, call=call: (call(net, p, (x,)) ** 3).sum()
        found.append([lib.func.grad(loss)(params, array(x)),
                      lib.func.vmap(lib.func.grad(loss), in_dims=(None, 0))(params, array(x))])
    for mine, theirs in zip(*found):
        for name in state:
            np.testing.assert_allclose(mine[name].numpy(), theirs[name].numpy(), rtol=1e-10, atol=1e-12)


def test_tied_parameters() -> None:
    class Tied(tl.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = tl.nn.Linear(2, 2, bias=False), tl.nn.Linear(2, 2, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x: Any) -> Any:
            return self.two(self.one(x))
    net, x, w = Tied(), tl.ones(2), tl.ones(2, 2)
    for name in ("one.weight", "two.weight"):
        assert functional_call(net, {name: w}, x).tolist() == [4, 4]
    assert functional_call(net, {"one.weight": w, "two.weight": w}, x, strict=True).tolist() == [4, 4]
    with pytest.raises(GradError, match=r"one\.weight and two\.weight are one tensor of Tied, and different ones are given"):
        functional_call(net, {"one.weight": w, "two.weight": 2 * w}, x)
    assert functional_call(net, {"one.weight": w, "two.weight": 2 * w}, x, tie_weights=False).tolist() == [8, 8]
    assert net.one.weight is net.two.weight


def test_the_module_is_as_it_was() -> None:
    net = Net()
    own = {name: dict(part.__dict__) for name, part in net.named_modules()}
    given = {name: 2 * p for name, p in parameters(net).items()}
    with pytest.raises(KeyError, match="on purpose"):
        grad(lambda p: functional_call(net, p, tl.ones(2), {"fail": True}).sum())(given)
    functional_call(net, given, tl.ones(2))
    assert net.calls == 2   # what forward does with other attributes stays done
    for name, part in net.named_modules():
        assert {k: v for k, v in part.__dict__.items() if k != "calls"} == {k: v for k, v in own[name].items() if k != "calls"}


def test_buffers_that_forward_changes() -> None:
    class Counts(tl.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tl.nn.Parameter(tl.ones(2))
            self.register_buffer("seen", tl.zeros(2))

        def forward(self, x: Any, how: str) -> Any:
            y = self.weight * x
            if how == "assign":
                self.seen = self.seen + y
            elif how == "add_":
                self.seen.add_(y)
            elif how == "constant":
                self.seen = tl.full((2,), 7.0)
            return y.sum(), self.seen
    net, one = Counts(), tl.ones(2)
    run = lambda w, how, **more: functional_call(net, {"weight": w, **more}, (one, how))
    with pytest.raises(GradError, match=r"forward of Counts assigned a value of a running transform .* to seen"):
        grad(lambda w: run(w, "assign")[0])(one)
    with pytest.raises(GradError, match="add_"):
        grad(lambda w: run(w, "add_")[0])(one)
    assert type(net.seen) is tl.Tensor and net.seen.tolist() == [0, 0]
    gradient, after = grad(lambda w: run(w, "assign", seen=tl.zeros(2)), has_aux=True)(one)   # given: its new value comes back
    assert gradient.tolist() == after.tolist() == [1, 1] and net.seen.tolist() == [0, 0]
    run(one, "constant")
    assert net.seen.tolist() == [7, 7]


def test_batch_norm() -> None:
    """Running statistics follow with plain values under grad, and stay out of it; evaluation takes given ones."""
    layer, other = tl.nn.BatchNorm1d(3), tl.nn.BatchNorm1d(3)
    x, params = tl.tensor(RNG.normal(size=(5, 3)), dtype=tl.float32), parameters(layer)
    found = grad(lambda p: (functional_call(layer, p, x) ** 3).sum())(params)
    (other(x) ** 3).sum().backward()
    np.testing.assert_allclose(found["weight"].numpy(), other.weight.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert type(layer.running_mean) is tl.Tensor and layer.num_batches_tracked.item() == 1
    np.testing.assert_allclose(layer.running_mean.numpy(), other.running_mean.numpy(), rtol=1e-6)
    layer.eval()
    shifted = vmap(lambda m: functional_call(layer, {"running_mean": m}, x))(tl.stack([tl.zeros(3), tl.ones(3)]))
    scale = 1 / np.sqrt(layer.running_var.numpy() + layer.eps)
    np.testing.assert_allclose((shifted[0] - shifted[1]).detach().numpy(), np.broadcast_to(scale, (5, 3)), rtol=1e-5)


def test_threads_wait_for_each_other() -> None:
    net, x = Net(), tl.ones(2)
    outs: dict[int, list[Any]] = {}

    def work(k: int) -> None:
        given = {"scale": tl.full((2,), float(k)), "shift": tl.zeros(2), "layer.weight": tl.eye(2), "layer.bias": tl.zeros(2)}
        outs[k] = [functional_call(net, given, x, {"act": tl.positive}).tolist() for _ in range(50)]
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs == {k: [[k, k]] * 50 for k in range(4)}


def test_nested_calls_of_one_module() -> None:
    layer = tl.nn.Linear(1, 1, bias=False)
    call = lambda w, x: functional_call(layer, {"weight": w}, x)
    f = lambda w, x: call(w, call(2 * w, x))   # 2 w^2 x
    w, x = tl.tensor([[3.0]]), tl.tensor([1.0])
    assert grad(lambda w: f(w, x).sum())(w).item() == 12
    assert grad(lambda w: grad(lambda w: f(w, x).sum())(w).sum())(w).item() == 4


def test_names_and_mistakes() -> None:
    net, x = Net(), tl.ones(2)
    params = parameters(net)
    functional_call(net, {"unknown": x}, x)   # as in PyTorch: ignored unless strict
    functional_call(net, ({"scale": np.ones(2, np.float32)}, {"shift": x}), x)
    for given, says in (({"unknown": x}, "missing: scale, shift, .*unexpected: unknown"), (params, "missing: shift"),
                        ({**params, "shift": x, "more": x}, "unexpected: more")):
        with pytest.raises(GradError, match=f"the names do not fit Net: {says}"):
            functional_call(net, given, x, strict=True)
    assert functional_call(net, {**params, "shift": net.shift}, x, strict=True).tolist() == net(x).tolist()
    with pytest.raises(GradError, match="scale is in several of the dicts"):
        functional_call(net, (params, {"scale": x}), x)
    with pytest.raises(DTypeError, match="scale is a float; expected a tensor"):
        functional_call(net, {"scale": 2.0}, x)
    with pytest.raises(DTypeError, match="parameters_and_buffers is a list; expected a dict"):
        functional_call(net, [x], x)
    with pytest.raises(GradError, match="there are no models"):
        stack_module_state([])
    with pytest.raises(GradError, match=r"Linear, Net.*expected one class"):
        stack_module_state([net, tl.nn.Linear(2, 2)])
    with pytest.raises(GradError, match="1 of 2 in training mode"):
        stack_module_state([net, Net().eval()])
    with pytest.raises(ShapeError, match=r"weight has the shapes \(2, 2\), \(3, 2\)"):
        stack_module_state([tl.nn.Linear(2, 2), tl.nn.Linear(2, 3)])
    with pytest.raises(GradError, match="scale requires a gradient in some of the models only"):
        stack_module_state([net, Net().requires_grad_(False)])
