"""Dynamic loss scaling: against PyTorch's GradScaler with planted overflows, its state, its errors; optimizers on a device."""
from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_device import real, stand_in

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.amp import GradScaler, GradScalerError

OPTIMIZERS = [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.01, "amsgrad": True}), ("AdamW", {"lr": 0.01}),
              ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5})]


@pytest.fixture(params=["cpu", "stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cpu":
        yield "cpu"
    elif request.param == "gpu":
        if not real():
            pytest.skip(tl.backends()["cupy"])
        yield "cuda:0"
    else:
        with stand_in():
            yield "cuda:0"


@pytest.fixture
def waits(device: str) -> Iterator[Any]:
    """What made the host wait for the device, as the stand-in saw it."""
    from cuda_on_cpu.cupy._machine import machine
    yield lambda: list(machine.syncs) if device != "cpu" else []


def start(device: str, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(1)
    return [tl.tensor(rng.normal(size=s).astype(dtype), device=device, requires_grad=True) for s in ((5, 3), (7,), ())]


def host(params: list[Any]) -> list[np.ndarray]:
    return [p.detach().to("cpu").numpy() for p in params]


def loss_of(params: list[Any], x: Any) -> Any:
    w, b, c = params
    return ((x @ w).sum() * c + (b * b).sum()) * 0.1


def planted(steps: int, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(v) for v in rng.choice([1.0, 1.0, 1.0, np.inf, np.nan], steps)]


@pytest.mark.parametrize("unscaled", [False, True])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_as_pytorch_with_planted_overflows(name: str, options: dict[str, Any], unscaled: bool, device: str) -> None:
    torch = pytest.importorskip("torch")
    settings = {"init_scale": 3000.0, "growth_factor": 3.0, "backoff_factor": 0.3, "growth_interval": 3}
    mine = start(device)
    theirs = [torch.tensor(p, requires_grad=True) for p in host(mine)]
    a, b = getattr(optim, name)(mine, **options), getattr(torch.optim, name)(theirs, **options)
    scaler, other = GradScaler(**settings), torch.amp.GradScaler("cpu", **settings)
    x = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
    skipped = 0
    for factor in planted(30, 3):
        for optimizer, params, scaling, data in ((a, mine, scaler, tl.tensor(x, device=device)),
                                                 (b, theirs, other, torch.tensor(x))):
            optimizer.zero_grad()
            scaling.scale(loss_of(params, data) * factor).backward()
            if unscaled:
                scaling.unscale_(optimizer)
                (nn.utils if optimizer is a else torch.nn.utils).clip_grad_norm_(params, 1.0)
            scaling.step(optimizer)
            scaling.update()
        skipped += not np.isfinite(factor)
        assert scaler.get_scale() == pytest.approx(other.get_scale(), rel=1e-6)
        assert scaler.state_dict()["_growth_tracker"] == other.state_dict()["_growth_tracker"]
    assert skipped > 5
    for p, q in zip(host(mine), theirs):
        np.testing.assert_allclose(p, q.detach().numpy(), rtol=2e-4, atol=2e-5)
    if name != "SGD":
        assert {entry["step"] for entry in a.state_dict()["state"].values()} == {30 - skipped}
    assert scaler.state_dict().keys() == other.state_dict().keys()


def test_no_step_waits_for_the_device(waits: Any, device: str) -> None:
    params = start(device)
    optimizer, scaler = optim.AdamW(params, lr=0.01), GradScaler()
    x = tl.ones(4, 5, device=device)

    def train(unscaled: bool) -> None:
        optimizer.zero_grad()
        scaler.scale(loss_of(params, x)).backward()
        if unscaled:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(params, 1.0)
        scaler.step(optimizer)
        scaler.update()
    train(False)
    train(True)
    before = waits()
    for i in range(6):
        train(i % 2 == 0)
    assert waits() == before


def test_resumed_training_continues_bit_for_bit(device: str) -> None:
    x = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float16)

    def train(params: list[Any], optimizer: Any, scaler: GradScaler, factors: list[float]) -> None:
        for factor in factors:
            optimizer.zero_grad()
            scaler.scale(loss_of(params, tl.tensor(x, device=device)).float() * factor).backward()
            scaler.step(optimizer)
            scaler.update()
    factors = planted(24, 5)
    settings = {"init_scale": 2.0**10, "growth_interval": 3}
    for name, options in OPTIMIZERS:
        straight = start(device, np.float16)
        optimizer, scaler = getattr(optim, name)(straight, **options), GradScaler(**settings)
        train(straight, optimizer, scaler, factors)
        first = start(device, np.float16)
        optimizer, scaler = getattr(optim, name)(first, **options), GradScaler(**settings)
        train(first, optimizer, scaler, factors[:11])
        saved = pickle.loads(pickle.dumps((optimizer.state_dict(), scaler.state_dict())))
        second = [tl.tensor(a, device=device, requires_grad=True) for a in host(first)]
        optimizer, scaler = getattr(optim, name)(second, lr=5.0), GradScaler()
        optimizer.load_state_dict(saved[0])
        scaler.load_state_dict(saved[1])
        train(second, optimizer, scaler, factors[11:])
        for p, q in zip(host(straight), host(second)):
            np.testing.assert_array_equal(p, q)
        masters = [entry["master_weight"] for entry in optimizer.state_dict()["state"].values()]
        assert all(m.dtype == tl.float32 and m.device == device for m in masters)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_model_in_sixteen_bits_follows_the_one_in_float32(name: str, options: dict[str, Any], dtype: str, device: str) -> None:
    """With masters the parameters stay within their own rounding of float32 training on the same gradients."""
    wide = [tl.tensor(p, device=device, requires_grad=True) for p in host([p.to(dtype=dtype).float() for p in start(device)])]
    half = [p.detach().to(dtype=dtype).requires_grad_() for p in wide]
    alone = [p.detach().clone().requires_grad_() for p in half]
    optimizers = [getattr(optim, name)(wide, **{**options, "lr": 1e-4}), getattr(optim, name)(half, **{**options, "lr": 1e-4}),
                  getattr(optim, name)(alone, **{**options, "lr": 1e-4}, master_weights=False)]
    rng = np.random.default_rng(7)
    for _ in range(60):
        for i in range(3):
            g = tl.tensor(rng.normal(size=tuple(wide[i].shape)).astype(np.float32) + 0.5, device=device).to(dtype=dtype)
            wide[i].grad, half[i].grad, alone[i].grad = g.float(), g, g
        for optimizer in optimizers:
            optimizer.step()
    rounding = 2e-3 if dtype == "float16" else 1e-2
    for a, b in zip(host(wide), host([p.float() for p in half])):
        np.testing.assert_allclose(b, a, rtol=rounding, atol=1e-5)
    assert all("master_weight" in e for e in optimizers[1].state_dict()["state"].values())
    assert not any("master_weight" in e for e in optimizers[2].state_dict()["state"].values())
    error = [max(abs(a - b).max() for a, b in zip(host(wide), host([p.float() for p in params]))) for params in (half, alone)]
    assert error[0] < error[1], "without masters small steps are lost"


def test_master_weights_can_be_switched_and_loaded_from_a_state_without(device: str) -> None:
    params = start(device, np.float16)
    optimizer = optim.Adam(params, lr=0.01, master_weights=False)
    for p in params:
        p.grad = tl.ones_like(p)
    optimizer.step()
    assert all(e["exp_avg"].dtype == tl.float16 for e in optimizer.state.values())
    optimizer.param_groups[0]["master_weights"] = True
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert all(e["exp_avg"].dtype == e["master_weight"].dtype == tl.float32 and e["step"] == 2 for e in state.values())
    with tl.no_grad():
        params[0].mul_(2.0)   # a parameter that is written to counts
    written = host(params)[0].astype(np.float32)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    np.testing.assert_array_equal(host([optimizer.state[params[0]]["master_weight"]])[0], written)


def test_several_optimizers_losses_and_one_of_another_kind(device: str) -> None:
    a, b = (tl.tensor([1.0, 2.0], device=device, requires_grad=True) for _ in range(2))

    class Plain:
        """An optimizer of the user's own."""

        param_groups = [{"params": [b]}]
        steps = 0

        def step(self) -> str:
            self.steps += 1
            return "stepped"
    first, second, scaler = optim.SGD([a], lr=1.0), Plain(), GradScaler(init_scale=4.0)
    for factor in (1.0, np.inf):
        a.grad = b.grad = None
        one, two = scaler.scale([a.sum(), (b * factor).sum()])
        one.backward()
        two.backward()
        scaler.step(first)
        assert scaler.step(second) == (None if np.isinf(factor) else "stepped")
        scaler.update()
    assert second.steps == 1 and host([a])[0].tolist() == [-1.0, 0.0] and scaler.get_scale() == 2.0
    scaler.update(8.0)
    assert scaler.get_scale() == 8.0
    scaler.update(tl.tensor(2.0))
    assert scaler.get_scale() == 2.0 and isinstance(scaler.scale((a.sum(),)), tuple)


def test_a_disabled_scaler_does_nothing() -> None:
    a = tl.tensor([1.0], requires_grad=True)
    optimizer, scaler = optim.SGD([a], lr=1.0), GradScaler(enabled=False)
    loss = a.sum()
    assert scaler.scale(loss) is loss and not scaler.is_enabled()
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert a.item() == 0 and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    scaler.load_state_dict({})


def test_copies_and_settings() -> None:
    a = tl.tensor([1.0], requires_grad=True)
    scaler = GradScaler(init_scale=8.0, growth_interval=5)
    scaler.scale(a.sum()).backward()
    with pytest.raises(GradScalerError, match="between update"):
        scaler.unscale_(optim.SGD([a]))
        copy.deepcopy(scaler)
    scaler.update()
    again = pickle.loads(pickle.dumps(scaler))
    assert again.state_dict() == scaler.state_dict() == {"scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.5,
                                                         "growth_interval": 5, "_growth_tracker": 1}
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(7)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (4.0, 0.25, 7)
    scaler.load_state_dict(again.state_dict())
    assert scaler.state_dict() == again.state_dict()


def test_errors() -> None:
    a = tl.tensor([1.0], requires_grad=True)
    optimizer, scaler = optim.SGD([a], lr=1.0), GradScaler()
    for method in ("unscale_", "step"):
        with pytest.raises(GradScalerError, match=rf"GradScaler\.{method}: nothing has been scaled yet"):
            getattr(scaler, method)(optimizer)
    with pytest.raises(GradScalerError, match="nothing has been scaled yet"):
        scaler.update()
    loss = scaler.scale(a.sum())
    with pytest.raises(GradScalerError, match="no parameter of the optimizer has a gradient"):
        scaler.step(optimizer)
    loss.backward()
    with pytest.raises(GradScalerError, match=r"call step\(optimizer\) before update"):
        scaler.update()
    with pytest.raises(GradScalerError, match="a closure cannot be taken"):
        scaler.step(optimizer, lambda: loss)
    scaler.unscale_(optimizer)
    with pytest.raises(GradScalerError, match="it has been called for this optimizer since"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(GradScalerError, match=r"GradScaler\.step: it has been called"):
        scaler.step(optimizer)
    with pytest.raises(GradScalerError, match="call it before step"):
        scaler.unscale_(optimizer)
    with pytest.raises(GradScalerError, match="the saved state is empty"):
        scaler.load_state_dict({})
    with pytest.raises(TypeError, match="outputs is a int; expected a tensor"):
        scaler.scale(3)
    for options, what in (({"growth_factor": 1.0}, "growth_factor is 1.0; expected a number > 1"),
                          ({"backoff_factor": 1.0}, "backoff_factor"), ({"init_scale": 0}, "init_scale"),
                          ({"growth_interval": 0}, "growth_interval")):
        with pytest.raises(ValueError, match=what):
            GradScaler(**options)


def test_a_learning_rate_that_is_a_tensor(device: str) -> None:
    rate, params = tl.tensor(0.5, device=device), start(device)
    optimizer = optim.SGD(params, lr=rate)
    before = [p.copy() for p in host(params)]
    for _ in range(2):
        for p in params:
            p.grad = tl.ones_like(p)
        optimizer.step()
        rate.fill_(0.25)
    for a, b in zip(host(params), before):
        np.testing.assert_allclose(a, b - 0.75, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, np.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3, 0.0])
def test_clip_grad_norm_as_pytorch(norm_type: float, max_norm: float, device: str) -> None:
    torch = pytest.importorskip("torch")
    mine = start(device, np.float64)
    theirs = [torch.tensor(p, requires_grad=True) for p in host(mine)]
    for p, q, g in zip(mine, theirs, host(start("cpu", np.float64))):
        p.grad, q.grad = tl.tensor(3 * g, device=device), torch.tensor(3 * g)
    total = nn.utils.clip_grad_norm_(mine, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(total.item(), expected.item(), rtol=1e-12)
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(host([p.grad])[0], q.grad.numpy(), rtol=1e-12, atol=1e-300)
    assert total.device == device and nn.utils.get_total_norm([p.grad for p in mine], norm_type).device == device


def test_clip_grad_norm_over_several_devices() -> None:
    with stand_in():
        a, b = tl.zeros(2, requires_grad=True), tl.zeros(2, requires_grad=True, device="cuda")
        for norm_type, norm in ((2.0, 5.0), (0.0, 2.0)):
            a.grad, b.grad = tl.tensor([3.0, 0.0]), tl.tensor([0.0, 4.0], device="cuda")
            assert nn.utils.clip_grad_norm_([a, b], norm / 2, norm_type).item() == norm
            np.testing.assert_allclose([a.grad.tolist()[0], b.grad.tolist()[1]], [1.5, 2.0], rtol=1e-6)
