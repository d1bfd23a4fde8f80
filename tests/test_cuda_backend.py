"""The CUDA backend beyond single operations: devices, copies, memory, faults, waiting, training; on the stand-in, and on GPUs."""
from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_device import real, stand_in

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.nn import functional as F


@pytest.fixture(scope="module", params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "gpu":
        if not real():
            pytest.skip(tl.backends()["cupy"])
        yield tl.backends.backend_for_device("cuda")
    else:
        with stand_in() as made:
            yield made


def simulated(backend: Any) -> Any:
    """The stand-in's machine; skips on a GPU."""
    machine = getattr(getattr(backend.cupy, "_machine", None), "machine", None)
    if machine is None:
        pytest.skip("asks the stand-in what happened")
    return machine


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---- devices -----------------------------------------------------------------------------------------------------------

def test_device_strings(backend: Any) -> None:
    for x in (tl.zeros(2, device="cuda"), tl.tensor([1.0], device="cuda:0"), tl.zeros(2).cuda(), tl.zeros(2).to("cuda"),
              tl.randn(3, device="cuda"), tl.arange(3, device="cuda"), tl.asarray(numbers(2), device="cuda"),
              tl.zeros_like(tl.zeros(2, device="cuda")), tl.eye(2, device="cuda"), tl.full((2,), 3.0, device="cuda")):
        assert x.device == "cuda:0" and type(x.value) is backend.array_type
    x = tl.zeros(2, device="cuda")
    assert x.to("cuda") is x and x.to("cuda:0") is x and x.cpu().device == "cpu" and tl.asarray(x, device="cuda") is x
    with tl.use_backend("cupy"):
        assert tl.ones(2).device == "cuda:0" and tl.ones(2, device="cpu").device == "cpu"
    with tl.use_backend("auto"):
        assert tl.ones(2).device == "cuda:0"
    missing = f"cuda:{backend.count}"
    for make in (lambda: tl.zeros(2, device=missing), lambda: tl.zeros(2).to(missing), lambda: tl.tensor([1.0], device=missing)):
        with pytest.raises(tl.errors.DeviceError, match=f"device '{missing}' does not exist; there "):
            make()


def test_mixed_devices_are_refused(backend: Any) -> None:
    here, there = tl.ones(2), tl.ones(2, device="cuda")
    for use in (lambda: here + there, lambda: there @ here, lambda: F.linear(tl.ones(2, 2), tl.ones(2, 2, device="cuda")),
                lambda: tl.where(tl.tensor([True, False]), there, there), lambda: tl.concat([here, there]),
                lambda: F.cross_entropy(tl.zeros(2, 2, device="cuda"), tl.tensor([0, 1]))):
        with pytest.raises(tl.errors.DeviceError, match="live in different places"):
            use()
    with pytest.raises(tl.errors.DeviceError, match=r"move them to one device with \.to"):
        there[0] = tl.tensor(2.0)
    assert there.tolist() == [1.0, 1.0]


def test_two_devices(backend: Any) -> None:
    if backend.count < 2:
        pytest.skip("there is one device")
    a, b = tl.tensor(numbers(3, 3), device="cuda:0", requires_grad=True), tl.tensor(numbers(3, 3, seed=1), device="cuda:1",
                                                                                  requires_grad=True)
    assert b.device == "cuda:1" and (b @ b).device == "cuda:1" and tl.randn(2, device="cuda:1").device == "cuda:1"
    with pytest.raises(tl.errors.DeviceError, match="cuda:0, cuda:1"):
        a + b
    loss = F.relu(F.linear(b, b)).sum() * (a.to("cuda:1") * b).sum()
    loss.backward()
    assert (a.grad.device, b.grad.device, loss.device) == ("cuda:0", "cuda:1", "cuda:1")
    c, d = (tl.tensor(t.detach().numpy(), requires_grad=True) for t in (a, b))
    (F.relu(F.linear(d, d)).sum() * (c * d).sum()).backward()
    np.testing.assert_allclose(a.grad.numpy(), c.grad.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b.grad.numpy(), d.grad.numpy(), rtol=1e-4, atol=1e-4)
    model = nn.Linear(3, 2).to("cuda:1")
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model(b.detach()).sum().backward()
    optimizer.step()
    assert all(p.device == "cuda:1" for p in model.parameters())
    with tl.cuda.device(1):
        assert tl.zeros(2, device="cuda").device == "cuda:1" and tl.cuda.current_device() == 1
    assert tl.zeros(2, device="cuda").device == "cuda:0"


def test_what_the_module_says(backend: Any) -> None:
    assert tl.cuda.is_available() and tl.cuda.device_count() == backend.count and tl.cuda.current_device() == 0
    assert tl.cuda.get_device_name() and tl.cuda.get_device_capability() >= (7, 0)
    assert tl.backends()["cupy"] == "available"
    tl.cuda.synchronize()
    free, total = tl.cuda.mem_get_info()
    assert 0 < free <= total


# ---- copies ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float32", "float64", "complex64"])
def test_there_and_back(backend: Any, dtype: str) -> None:
    host = (numbers(4, 5) * 50).astype(dtype)
    for given in (host, host.T, host[::2, ::-1], host[:0], host[0, 0]):
        x = tl.tensor(np.asarray(given), device="cuda")
        assert x.dtype == dtype and x.shape == given.shape
        np.testing.assert_array_equal(x.numpy(), given)
        np.testing.assert_array_equal(x.cpu().numpy(), given)


def test_pinned_memory_and_copies_that_do_not_block(backend: Any) -> None:
    x = tl.tensor(numbers(300, 7))
    pinned = x.pin_memory()
    assert pinned.is_pinned() and not x.is_pinned() and pinned.pin_memory() is pinned
    there = pinned.to("cuda", non_blocking=True)
    back = (there * 2).to("cpu", non_blocking=True)
    tl.cuda.synchronize()
    np.testing.assert_array_equal(back.numpy(), numbers(300, 7) * 2)
    for shape in ((), (0, 3)):
        there = tl.zeros(shape).pin_memory().to("cuda", non_blocking=True)
        assert there.shape == there.to("cpu", non_blocking=True).shape == shape
    w = tl.tensor(numbers(3), requires_grad=True)
    w.to("cuda", non_blocking=True).sum().backward()
    assert w.grad.device == "cpu" and w.grad.tolist() == [1.0, 1.0, 1.0]


def test_arrays_of_cupy_are_taken_as_they_are(backend: Any) -> None:
    array = backend.cupy.asarray(numbers(3))
    x = tl.asarray(array)
    assert x.device == "cuda:0" and x.value is array
    assert (tl.exp(array) == backend.cupy.exp(array)).all()


def test_streams_and_events(backend: Any) -> None:
    side, done = tl.cuda.Stream(), tl.cuda.Event()
    x = tl.tensor(numbers(1000), device="cuda")
    tl.cuda.synchronize()
    with tl.cuda.stream(side):
        y = x * 2 + 1
        done.record(side)
    tl.cuda.current_stream().wait_event(done)
    np.testing.assert_allclose((y - 1).numpy(), 2 * numbers(1000), atol=1e-6)


# ---- memory ------------------------------------------------------------------------------------------------------------

def test_memory_is_counted_and_given_back(backend: Any) -> None:
    gc.collect()
    before = tl.cuda.memory_allocated()
    x = tl.zeros(1 << 18, device="cuda")
    assert tl.cuda.memory_allocated() - before == 1 << 20 and tl.cuda.memory_reserved() >= 1 << 20
    del x
    assert tl.cuda.memory_allocated() == before
    tl.cuda.empty_cache()
    assert tl.cuda.memory_reserved() >= tl.cuda.memory_allocated()


def test_out_of_memory_says_what_to_do_and_the_program_goes_on(backend: Any) -> None:
    gc.collect()
    tl.cuda.empty_cache()
    x = tl.ones((1024, 1024), device="cuda", requires_grad=True)
    y = x * x
    tl.cuda.set_memory_limit(tl.cuda.memory_reserved() + (2 << 20))
    try:
        with pytest.raises(tl.errors.OutOfMemoryError) as caught:
            y * x + 1.0
        text = str(caught.value)
        assert isinstance(caught.value, MemoryError)
        for part in ("mul: out of memory on cuda:0 (given (1024, 1024) float32, (1024, 1024) float32)", "4 MiB were asked for",
                     "arrays hold", "limited to", "4.0 MiB  results of mul (", "test_cuda_backend.py:", "4.0 MiB  parameters",
                     "try a smaller batch, gradient checkpointing"):
            assert part in text, text
        for make in (lambda: tl.zeros((1024, 1024), device="cuda"), lambda: tl.tensor(numbers(1024, 1024), device="cuda")):
            with pytest.raises(tl.errors.OutOfMemoryError, match="out of memory on cuda:0: 4 MiB were asked for"):
                make()
        del caught
        tl.cuda.set_memory_limit()
        (y * x).sum().backward()
        assert x.grad[0, 0].item() == 3.0
    finally:
        tl.cuda.set_memory_limit()


# ---- faults ------------------------------------------------------------------------------------------------------------

def test_indices_out_of_range_are_raised_where_the_host_looks(backend: Any) -> None:
    x, bad = tl.tensor(numbers(4, 3), device="cuda"), tl.tensor([0, 7, -9], device="cuda")
    table = tl.tensor(numbers(5, 2), device="cuda")
    for use, text in ((lambda: x[bad], "axis 0 of length 4"), (lambda: tl.take(x, bad, axis=0), "axis 0 of length 4"),
                      (lambda: F.embedding(bad, table), "embedding: "),
                      (lambda: F.cross_entropy(x, tl.tensor([0, 3, 1, 0], device="cuda")), r"target\[1\] is 3")):
        with pytest.raises(IndexError, match=text):
            use()
            tl.cuda.synchronize()
        assert x.sum().item() == pytest.approx(float(numbers(4, 3).sum()), rel=1e-5)   # said once, and then forgotten
        with pytest.raises(tl.errors.OutOfRangeError, match=text):
            use().sum().item()


# ---- waiting -----------------------------------------------------------------------------------------------------------

def mlp(seed: int = 0, dropout: float = 0.0) -> Any:
    tl.manual_seed(seed)
    layers = [nn.Linear(12, 16), nn.ReLU(), nn.LayerNorm(16), nn.Dropout(dropout), nn.Linear(16, 16), nn.GELU(),
              nn.BatchNorm1d(16), nn.Linear(16, 4)]
    return nn.Sequential(*layers)


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9), "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01), "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_never_waits_for_the_device(backend: Any, name: str) -> None:
    machine = simulated(backend)
    model = mlp(dropout=0.3).to("cuda")
    optimizer = OPTIMIZERS[name](model.parameters())
    x, labels = tl.tensor(numbers(8, 12), device="cuda"), tl.tensor(np.arange(8) % 4, device="cuda")
    for step in range(3):
        if step:
            machine.syncs.clear()
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step:
            assert machine.syncs == []
    assert np.isfinite(loss.item()) and machine.syncs


# ---- training ----------------------------------------------------------------------------------------------------------

def trained(device: str, optimizer: str, dropout: float, steps: int = 20) -> tuple[list[float], dict[str, np.ndarray]]:
    model = mlp(seed=3, dropout=dropout).to(device)
    made = OPTIMIZERS[optimizer](model.parameters())
    x, labels = tl.tensor(numbers(32, 12), device=device), tl.tensor(np.arange(32) % 4, device=device)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), labels)
        made.zero_grad()
        loss.backward()
        made.step()
        losses.append(loss.item())
    return losses, {k: v.numpy() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_training_is_that_of_the_cpu(backend: Any, name: str, dropout: float) -> None:
    here, there = trained("cpu", name, dropout), trained("cuda", name, dropout)
    assert here[0][-1] < 0.7 * here[0][0]
    np.testing.assert_allclose(there[0], here[0], rtol=1e-2, atol=1e-4)   # rounding differs, and RMSprop magnifies it
    for key, value in here[1].items():
        np.testing.assert_allclose(there[1][key], value, rtol=2e-2, atol=2e-2, err_msg=key)


def test_a_run_is_repeated_bit_for_bit(backend: Any) -> None:
    first, second = trained("cuda", "adam", 0.3), trained("cuda", "adam", 0.3)
    assert first[0] == second[0]
    for key, value in first[1].items():
        np.testing.assert_array_equal(second[1][key], value)


def test_the_same_seed_gives_the_same_numbers(backend: Any) -> None:
    for draw in (lambda d: tl.rand(101, device=d), lambda d: tl.randn(77, device=d),
                 lambda d: tl.randint(0, 1000, (50,), device=d), lambda d: tl.randperm(64, device=d),
                 lambda d: F.dropout(tl.ones(100, device=d), 0.4)):
        out = []
        for device in ("cpu", "cuda"):
            tl.manual_seed(7)
            out.append(draw(device).numpy())
        np.testing.assert_array_equal(*out)


def test_the_trainer_runs_there(backend: Any, tmp_path: Any) -> None:
    data = tl.data.TensorDataset(tl.tensor(numbers(96, 12)), tl.tensor((numbers(96, 12)[:, :4]).argmax(1)))
    finals = {}
    for device in ("cpu", "cuda"):
        tl.manual_seed(5)
        model = mlp(seed=5)
        trainer = tl.train.Trainer(model, optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), device=device,
                                   progress=False, out=tmp_path / device)
        loader = tl.data.DataLoader(data, batch_size=16, shuffle=True)
        history = trainer.fit(loader, val=data, epochs=3)
        finals[device] = history[-1]
        assert all(np.isfinite(record["loss"]) for record in history)
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert finals["cuda"][key] == pytest.approx(finals["cpu"][key], rel=2e-2, abs=2e-2)


def test_the_trainer_finds_a_loss_that_is_not_finite(backend: Any) -> None:
    x = numbers(64, 12)
    x[20] = np.nan
    model = nn.Linear(12, 4)
    trainer = tl.train.Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), device="cuda", progress=False)
    with pytest.raises(tl.errors.TrainingError, match=r"the loss is nan in epoch 1 of 1, at step 3"):
        trainer.fit(tl.data.DataLoader(tl.data.TensorDataset(tl.tensor(x), tl.tensor(np.arange(64) % 4)), batch_size=8))


def test_modules_and_optimizers_move_and_are_saved(backend: Any, tmp_path: Any) -> None:
    model = mlp(seed=1).to("cuda")
    optimizer = optim.Adam(model.parameters())
    F.cross_entropy(model(tl.tensor(numbers(8, 12), device="cuda")), tl.tensor(np.arange(8) % 4, device="cuda")).backward()
    optimizer.step()
    tl.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    loaded = tl.load(tmp_path / "state")
    other = mlp(seed=2)
    other.load_state_dict(loaded["model"])
    again = optim.Adam(other.parameters())
    again.load_state_dict(loaded["optimizer"])
    for a, b in zip(model.parameters(), other.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    assert optimizer.state_dict()["state"][0]["step"] == again.state_dict()["state"][0]["step"] == 1
    there = copy.deepcopy(other).cuda()
    assert {p.device for p in there.parameters()} == {"cuda:0"} and {p.device for p in other.parameters()} == {"cpu"}


def test_inplace_on_the_device(backend: Any) -> None:
    x = tl.tensor(numbers(4, 3), device="cuda", requires_grad=True)
    y = x * 1.0
    y[1:3] = 0.0
    y.mul_(2.0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.repeat([[2.0], [0.0], [0.0], [2.0]], 3, 1))
    z = x * 1.0
    w = z.exp()
    z.add_(1.0)
    w.sum().backward()
    v = x * 1.0
    u = v * v
    v.add_(1.0)
    with pytest.raises(tl.errors.InplaceError):
        u.sum().backward()
    with pytest.raises(tl.errors.InplaceError, match="cannot be written"):
        tl.zeros(3, device="cuda").expand(2, 3).add_(1.0)


def test_batches_are_pinned(backend: Any) -> None:
    data = tl.data.TensorDataset(tl.tensor(numbers(12, 3)), tl.tensor(np.arange(12)))
    for x, y in tl.data.DataLoader(data, batch_size=4, pin_memory=True):
        assert x.is_pinned() and y.is_pinned() and x.device == "cpu"
    for x, _ in tl.data.DataLoader(data, batch_size=4, pin_memory=True, device="cuda"):
        assert x.device == "cuda:0"
    with pytest.raises(StopIteration):
        next(iter(tl.data.DataLoader(tl.data.TensorDataset(tl.zeros(0, 3)), batch_size=4, pin_memory=True)))


def test_what_a_review_found(backend: Any) -> None:
    """Each of these went wrong on CUDA alone."""
    def both(program: Any) -> None:
        here, there = program("cpu"), program("cuda")
        assert here.dtype == there.dtype and there.device == "cuda:0"
        np.testing.assert_array_equal(there.numpy(), here.numpy())

    def empty_selection(device: str) -> Any:
        x = tl.tensor(numbers(4, 3), device=device)
        x[tl.zeros(4, dtype=tl.bool, device=device), :] += 1
        return x

    def ellipsis_of_no_width(device: str) -> Any:
        x = tl.zeros(3, 1, 1, device=device)
        x[:, -1, ..., tl.tensor([0, 0], device=device)] = tl.tensor(numbers(2, 3), device=device)
        return x
    both(empty_selection)
    both(ellipsis_of_no_width)
    for function in (tl.sigmoid, tl.floor, tl.reciprocal):
        both(lambda d, function=function: function(tl.tensor([1, 2, 3], device=d)))
    both(lambda d: tl.sigmoid(tl.tensor([True, False], device=d)))
    both(lambda d: tl.logical_and(tl.tensor([1j, 0j], device=d), tl.tensor([1j, 1j], device=d)))
    both(lambda d: tl.sort(tl.tensor(3.0, device=d)))
    if "bfloat16" in backend.capabilities:
        x = tl.tensor(numbers(5), device="cuda").to(tl.bfloat16).requires_grad_()
        F.hardswish(x).sum().backward()
        assert x.grad.dtype == tl.bfloat16
    p = tl.ones(2, device="cuda", requires_grad=True)
    p.grad = tl.ones(2)
    with pytest.raises(tl.errors.DeviceError, match="SGD"):
        optim.SGD([p], lr=0.1).step()
    with pytest.raises(IndexError):
        y = tl.zeros(3, 4, device="cuda")
        y[None, ..., tl.tensor([0], device="cuda"), -9] = 1.0
