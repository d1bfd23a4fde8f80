"""The optimizer kernels: against PyTorch over 100 steps, against their references, and with arrays of every kind."""
from __future__ import annotations

import zlib

import array_api_strict
import numpy as np
import pytest

from tensorlite.kernels import load

SHAPES = [(16, 10), (16,), (), (0, 3), (1,), (5, 3, 2), (257,)]
LARGE = [(500, 400), (7,), (300, 401)]
# kernel, options of the step, which kinds of state are kept, name and options of PyTorch's optimizer
CASES = [
    ("sgd", {}, (False,), "SGD", {}),
    ("sgd", {"weight_decay": 0.1, "maximize": True}, (False,), "SGD", {"weight_decay": 0.1, "maximize": True}),
    ("sgd", {"momentum": 0.9}, (True,), "SGD", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}, (True,), "SGD",
     {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}, (True,), "SGD",
     {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("adam", {}, (True, True, False), "Adam", {}),
    ("adam", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1, "maximize": True}, (True, True, False), "Adam",
     {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "maximize": True}),
    ("adam", {"weight_decay": 0.02}, (True, True, True), "Adam", {"weight_decay": 0.02, "amsgrad": True}),
    ("adam", {"weight_decay": 0.2, "decoupled": True}, (True, True, False), "AdamW", {"weight_decay": 0.2}),
    ("adam", {"weight_decay": 0.2, "decoupled": True}, (True, True, True), "AdamW", {"weight_decay": 0.2, "amsgrad": True}),
    ("rmsprop", {}, (True, False, False), "RMSprop", {}),
    ("rmsprop", {"alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1, "maximize": True}, (True, False, False), "RMSprop",
     {"alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1, "maximize": True}),
    ("rmsprop", {"momentum": 0.9}, (True, False, True), "RMSprop", {"momentum": 0.9}),
    ("rmsprop", {}, (True, True, False), "RMSprop", {"centered": True}),
    ("rmsprop", {"momentum": 0.5}, (True, True, True), "RMSprop", {"momentum": 0.5, "centered": True}),
]  # fmt: skip
IDS = [f"{name}-{other}-{given}" for name, _, _, other, given in CASES]


def setup(kept, shapes, dtype, *key):
    seed = zlib.crc32(repr((kept, shapes, str(dtype), key)).encode())
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    params = [np.asarray(rng.normal(size=s), dtype) for s in shapes]
    states = [[np.zeros_like(p) for p in params] if k else None for k in kept]
    return rng, params, states, np.zeros(len(params), np.int64)


def gradients(rng, params):
    return [np.asarray(rng.normal(size=p.shape), p.dtype) for p in params]


def close(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", ["cpu", "reference"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_hundred_steps_as_torch(case, variant, dtype):
    torch = pytest.importorskip("torch")
    name, options, kept, other, given = case
    rng, params, states, steps = setup(kept, SHAPES, dtype, case)
    kernel = load(name)
    plan = kernel.cpu(*states, steps) if variant == "cpu" else kernel.reference(np, *states, steps)
    theirs = [torch.tensor(p, requires_grad=True) for p in params]
    optimizer = getattr(torch.optim, other)(theirs, lr=1.0, **given)
    for step in range(100):
        lr = 0.02 / (1 + 0.1 * step)
        grads = gradients(rng, params)
        if step % 7 == 3:
            grads[1] = None
        plan(params, grads, lr=lr, **options)
        optimizer.param_groups[0]["lr"] = lr
        for p, g in zip(theirs, grads):
            p.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    assert steps.tolist() == [100, 86, *[100] * (len(SHAPES) - 2)]
    # Centering subtracts nearly equal numbers: there PyTorch in float32 is itself 1e-5 from float64.
    tolerance = 1e-12 if dtype == "float64" else 2e-5 if given.get("centered") else 1e-6
    close(params, [p.detach().numpy() for p in theirs], tolerance)


@pytest.mark.parametrize("shapes", [SHAPES, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_against_the_reference_in_float64(case, dtype, shapes):
    name, options, kept, *_ = case
    if dtype == "float16" and shapes is LARGE:
        pytest.skip("float16 is the reference's own code, whatever the size")
    rng, params, states, steps = setup(kept, shapes, dtype, case)
    wide = [p.astype(np.float64) for p in params]
    wide_states = [None if s is None else [a.astype(np.float64) for a in s] for s in states]
    plan = load(name).cpu(*states, steps)
    oracle = load(name).reference(np, *wide_states, steps.copy())
    for _ in range(3):
        grads = gradients(rng, params)
        plan(params, grads, lr=0.01, **options)
        oracle(wide, [g.astype(np.float64) for g in grads], lr=0.01, **options)
    # RMSprop divides a small gradient by a small root of it and adds up results of size 10.
    tolerance = {"float16": 2e-2, "float32": 2e-5 if name == "rmsprop" else 2e-6, "float64": 1e-12}[dtype]
    close(params, wide, tolerance)
    for mine, others in zip(states, wide_states):
        if mine is not None:
            close(mine, others, tolerance)
    assert load(name).cost(*states, steps, params=params).bytes >= 3 * sum(p.nbytes for p in params)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_reference_is_array_api(case):
    name, options, kept, *_ = case
    rng, params, states, steps = setup(kept, SHAPES, "float64", case)
    xp = array_api_strict
    same = [xp.asarray(p) for p in params]
    same_states = [None if s is None else [xp.asarray(a) for a in s] for s in states]
    plan, strict = load(name).cpu(*states, steps), load(name).reference(xp, *same_states, [0] * len(params))
    for _ in range(3):
        grads = gradients(rng, params)
        plan(params, grads, lr=0.1, **options)
        strict(same, [xp.asarray(g) for g in grads], lr=0.1, **options)
    close(params, same, 1e-12)


def awkward(array, kind):
    if kind == "transposed":
        return array.copy("F")
    if kind == "stepped":
        out = np.empty((*array.shape, 2), array.dtype)[..., 0]
    elif kind == "unaligned":
        out = np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype).reshape(array.shape)
    elif kind == "swapped":
        out = np.empty(array.shape, array.dtype.newbyteorder())
    elif kind == "subclass":
        class Sub(np.ndarray):
            pass
        out = np.empty(array.shape, array.dtype).view(Sub)
    out[...] = array
    return out


@pytest.mark.parametrize("kind", ["transposed", "stepped", "unaligned", "swapped", "subclass"])
@pytest.mark.parametrize("which", ["parameter", "gradient", "state"])
@pytest.mark.parametrize("name, kept", [("sgd", (True,)), ("adam", (True, True, True)), ("rmsprop", (True, True, True))])
def test_awkward_arrays(name, kept, which, kind):
    rng, params, states, steps = setup(kept, [(3, 4), (2, 5), (6, 2)], "float32", which, kind)
    plain, plain_states, plain_steps = [p.copy() for p in params], [[a.copy() for a in s] for s in states], steps.copy()
    if which == "parameter":
        params[1] = awkward(params[1], kind)
    if which == "state":
        states[-1][1] = awkward(states[-1][1], kind)
    options = {} if name == "adam" else {"momentum": 0.9}
    plan, other = load(name).cpu(*states, steps), load(name).cpu(*plain_states, plain_steps)
    for _ in range(4):
        grads = gradients(rng, params)
        other(plain, grads, lr=0.1, **options)
        grads = [np.array(g) for g in grads]
        if which == "gradient":
            grads[1] = awkward(grads[1], kind)
        plan(params, grads, lr=0.1, **options)
    close(params, plain, 1e-5)
    assert steps.tolist() == [4, 4, 4]


def test_another_array_in_a_parameters_place_and_gradients_of_other_dtypes():
    _, params, states, steps = setup((False,), [(3,), (2, 2)], "float32")
    plan = load("sgd").cpu(*states, steps)
    ones = [np.ones_like(p) for p in params]
    plan(params, ones, lr=1.0)
    first = params[0].copy()
    old, params[0] = params[0], np.zeros(3, np.float32)
    plan(params, ones, lr=1.0)
    np.testing.assert_array_equal(old, first)
    np.testing.assert_array_equal(params[0], [-1, -1, -1])
    plan(tuple(params), [g.astype(np.float64) for g in ones], lr=1.0)
    np.testing.assert_array_equal(params[0], [-2, -2, -2])
    params[0].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        plan(params, ones, lr=1.0)
    plan([p.astype(np.float64) for p in params], [None, None], lr=1)
    assert steps.tolist()[0] == 3


def test_mixed_dtypes_in_one_plan():
    params = [np.ones(3, t) for t in ("float32", "float64", "float16")]
    plan = load("adam").cpu(*([[np.zeros_like(p) for p in params] for _ in range(2)]), None, np.zeros(3, np.int64))
    for _ in range(5):
        plan(params, [np.ones_like(p) for p in params], lr=0.1)
    close(params, [np.full(3, 0.5)] * 3, 2e-3)


@pytest.mark.parametrize("variant", ["cpu", "reference"])
def test_errors(variant):
    def prepare(*arguments):
        return load("sgd").cpu(*arguments) if variant == "cpu" else load("sgd").reference(np, *arguments)

    p = [np.zeros(3), np.zeros((2, 3))]
    plan = prepare(None, np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="1 parameters and 2 gradients, expected 2 of each"):
        plan(p[:1], p, lr=0.1)
    with pytest.raises(ValueError, match=r"gradient 1 has shape \(3, 2\), expected its parameter's, \(2, 3\)"):
        plan(p, [np.zeros(3), np.zeros((3, 2))], lr=0.1)
    with pytest.raises(ValueError, match=r"gradient 0 has shape \(1,\)"):
        plan(p, [np.zeros(1), np.ones((2, 3))], lr=0.1)
    assert not p[1].any(), "nothing is updated when one gradient does not fit"
    with pytest.raises(ValueError, match="prepared without momentum_buffers"):
        plan(p, p, lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="1 state arrays of one kind for 2 step counts"):
        prepare([np.zeros(3)], np.zeros(2, np.int64))
    if variant == "cpu":
        with pytest.raises(TypeError, match="steps: expected a contiguous int64"):
            prepare(None, [0, 0])
