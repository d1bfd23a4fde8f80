"""The optimizers' CUDA plans and the passes over all gradients, run on the CPU: against the CPU versions, PyTorch and float64."""
from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from cuda_on_cpu import runtime as host_runtime
from cuda_on_cpu import thread_order
from test_optimizer_kernels import CASES, IDS, SHAPES, close, gradients, setup

from tensorlite.kernels import load
from tensorlite.kernels._cuda import Runtime
from tensorlite.kernels._cuda import plans as device_plans

BF16 = np.dtype(ml_dtypes.bfloat16)


class Device(np.ndarray):
    """An array that says its address as CuPy's do, and does not let the host look at its numbers."""

    allowed = False

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    def item(self, *index):
        assert Device.allowed, "the host waits for the device"
        return super().item(*index)

    def __bool__(self):
        assert Device.allowed, "the host waits for the device"
        return super().__bool__()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())


def device(array):
    return np.array(array).view(Device)


@pytest.fixture
def cuda():
    host = host_runtime().cupy
    uploads = []

    def asarray(array):
        uploads.append(array.nbytes)
        return device(array)

    def empty(shape, dtype):
        out = np.empty(shape, dtype)
        out.reshape(-1).view(np.uint8)[:] = 0xa5
        return out.view(Device)

    def zeros(shape, dtype):
        return np.zeros(shape, dtype).view(Device)
    cupy = SimpleNamespace(**{**vars(host), "asarray": asarray, "empty": empty, "zeros": zeros, "ndarray": Device,
                              "asnumpy": np.array})
    made = Runtime(cupy, np)
    made.uploads = uploads
    return made


def equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype or a.dtype.itemsize > 2
    if a.dtype == BF16:   # whose NaN is not equal to itself for NumPy's tests
        a, b = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_array_equal(a, b)


def near(a, b, rtol):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol)


def on_host(name):
    """The version for the CPU; without Numba the reference."""
    return load(name).cpu or partial(load(name).reference, np)


def on_device(arrays):
    return None if arrays is None else [None if a is None else device(a) for a in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_hundred_steps_as_torch_and_as_the_cpu(cuda, case, dtype):
    torch = pytest.importorskip("torch")
    name, options, kept, other, given = case
    rng, params, states, steps = setup(kept, SHAPES, dtype, case)
    mine, mine_states = on_device(params), [on_device(s) for s in states]
    plan = load(name).cuda(cuda, *mine_states, steps)
    cpu = on_host(name)(*states, steps.copy())
    theirs = [torch.tensor(p, requires_grad=True) for p in params]
    optimizer = getattr(torch.optim, other)(theirs, lr=1.0, **given)
    for step in range(100):
        lr = 0.02 / (1 + 0.1 * step)
        grads = gradients(rng, params)
        if step % 7 == 3:
            grads[1] = None
        plan(mine, on_device(grads), lr=lr, **options)
        cpu(params, grads, lr=lr, **options)
        optimizer.param_groups[0]["lr"] = lr
        for p, g in zip(theirs, grads):
            p.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    assert plan.counts().tolist() == [100, 86, *[100] * (len(SHAPES) - 2)] == cpu.counts().tolist()
    tolerance = 1e-12 if dtype == "float64" else 2e-5 if given.get("centered") else 1e-6
    close(mine, params, tolerance)
    close(mine, [p.detach().numpy() for p in theirs], tolerance)
    for a, b in zip(mine_states, states):
        if b is not None:
            close(a, b, tolerance)


@pytest.mark.parametrize("order", [0, -1, 5])
def test_hundreds_of_tensors_of_odd_sizes_and_alignments(cuda, order):
    """Also: blocks take turns in any order, and no step is counted twice or missed."""
    rng = np.random.default_rng(3)
    sizes = [int(n) for n in rng.integers(0, 700, 150)] + [70_001, 131_072, 1, 3, 5000]

    def odd(array, shift):   # a view that starts `shift` elements into its memory
        out = np.zeros(array.size + shift, array.dtype)[shift:]
        out[:] = array
        return out.view(Device)
    params = [rng.normal(size=n).astype(np.float32) for n in sizes]
    states = [[np.zeros_like(p) for p in params] for _ in range(2)]
    mine = [odd(p, i % 4) for i, p in enumerate(params)]
    mine_states = [[odd(s, (i * 3 + k) % 4 if i % 2 else 0) for i, s in enumerate(kind)] for k, kind in enumerate(states)]
    steps = np.zeros(len(sizes), np.int64)
    plan, cpu = load("adam").cuda(cuda, *mine_states, None, steps), on_host("adam")(*states, None, steps.copy())
    with thread_order(order):
        for step in range(3):
            grads = [rng.normal(size=n).astype(np.float32) if (i + step) % 5 else None for i, n in enumerate(sizes)]
            plan(mine, [None if g is None else odd(g, (i + step) % 3) for i, g in enumerate(grads)], lr=0.01, weight_decay=0.1)
            cpu(params, grads, lr=0.01, weight_decay=0.1)
    close(mine, params, 1e-6)
    equal(plan.counts(), cpu.counts())


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BF16], ids=str)
@pytest.mark.parametrize("gradient", ["same", "float32"])
@pytest.mark.parametrize("mastered", [False, True])
def test_sixteen_bits_as_the_reference(cuda, case, dtype, gradient, mastered):
    name, options, kept, *_ = case
    rng, params, states, steps = setup(kept, SHAPES, "float32", case, str(dtype))
    params = [p.astype(dtype) for p in params]
    state_dtype = np.float32 if mastered else dtype
    states = [None if s is None else [a.astype(state_dtype) for a in s] for s in states]
    masters = [p.astype(np.float32) for p in params] if mastered else None
    mine, mine_states, mine_masters = on_device(params), [on_device(s) for s in states], on_device(masters)
    plan = load(name).cuda(cuda, *mine_states, steps, mine_masters)
    reference = load(name).reference(np, *states, steps.copy(), masters)
    for _ in range(5):
        grads = [g.astype(dtype if gradient == "same" else np.float32) for g in gradients(rng, params)]
        plan(mine, on_device(grads), lr=0.01, **options)
        reference(params, grads, lr=0.01, **options)
    if mastered:
        close(mine_masters, masters, 2e-5)
        for p, m in zip(mine, mine_masters):
            equal(p, m.astype(dtype))
    tolerance = 2e-3 if dtype == np.float16 else 2e-2   # a state or sum on the border between two 16-bit numbers
    close([p.astype(np.float32) for p in mine], [p.astype(np.float32) for p in params], tolerance)
    assert plan.counts().tolist() == [5] * len(SHAPES)


def test_masters_keep_what_sixteen_bits_lose_and_follow_a_written_parameter(cuda):
    params, masters = [device(np.ones(5, np.float16))], [device(np.ones(5, np.float32))]
    plan = load("sgd").cuda(cuda, None, np.zeros(1, np.int64), masters)
    grad = [device(np.full(5, 1e-4, np.float16))]
    for _ in range(100):
        plan(params, grad, lr=0.1)   # each step is a hundredth of the distance between numbers
    near(masters[0], 1 - 100 * 0.1 * float(np.float16(1e-4)), rtol=1e-5)
    equal(params[0], np.float16(0.999))
    params[0][2] = 7
    plan(params, grad, lr=0.0)
    assert masters[0].tolist()[2] == 7 and params[0].tolist()[2] == 7


def test_half_gradients_of_float32_parameters_and_float64_gradients(cuda):
    rng = np.random.default_rng(0)
    params = [rng.normal(size=1000).astype(np.float32) for _ in range(4)]
    grads = [rng.normal(size=1000).astype(t) for t in (np.float16, BF16, np.float64, np.float32)]
    mine = on_device(params)
    plan, reference = (load("sgd").cuda(cuda, None, np.zeros(4, np.int64)), load("sgd").reference(np, None, [0] * 4))
    for _ in range(3):
        plan(mine, on_device(grads), lr=0.1)
        reference(params, grads, lr=0.1)
    close(mine, params, 1e-6)


def test_several_dtypes_in_one_plan(cuda):
    dtypes = [np.float32, np.float64, np.float16, BF16, np.float32]
    params = [np.ones(37, t) for t in dtypes]
    states = [[np.zeros(37, np.float32 if np.dtype(t).itemsize == 2 else t) for t in dtypes] for _ in range(2)]
    masters = [p.astype(np.float32) if p.itemsize == 2 else None for p in params]
    mine = on_device(params)
    plan = load("adam").cuda(cuda, *map(on_device, states), None, np.zeros(5, np.int64), on_device(masters))
    for step in range(5):
        plan(mine, [None if i == step else device(np.ones(37, t)) for i, t in enumerate(dtypes)], lr=0.1)
    assert plan.counts().tolist() == [4] * 5
    close([p.astype(np.float64) for p in mine], [np.full(37, 0.6)] * 5, 3e-3)


@pytest.mark.parametrize("name, kept", [("sgd", (True,)), ("adam", (True, True, True)), ("rmsprop", (True, True, True))])
@pytest.mark.parametrize("which", ["parameter", "gradient", "state"])
def test_arrays_that_are_not_contiguous(cuda, name, kept, which):
    rng, params, states, steps = setup(kept, [(30, 40), (20, 50)], "float32", which)
    mine, mine_states = on_device(params), [on_device(s) for s in states]

    def turned(array):
        return np.array(array, order="F").view(Device)
    if which == "parameter":
        mine[1] = turned(mine[1])
    if which == "state":
        mine_states[-1][0] = turned(mine_states[-1][0])
    options = {} if name == "adam" else {"momentum": 0.9}
    plan, cpu = load(name).cuda(cuda, *mine_states, steps), on_host(name)(*states, steps.copy())
    for _ in range(4):
        grads = gradients(rng, params)
        cpu(params, grads, lr=0.1, **options)
        grads = on_device(grads)
        if which == "gradient":
            grads[1] = turned(grads[1])
        plan(mine, grads, lr=0.1, **options)
    close(mine, params, 1e-5)
    for a, b in zip(mine_states, states):
        close(a, b, 1e-5)


@pytest.mark.parametrize("name, kept", [("sgd", (True,)), ("adam", (True, True, False)), ("rmsprop", (True, False, True))])
def test_overflow_changes_nothing_and_the_scale_is_divided_out(cuda, name, kept):
    rng, params, states, steps = setup(kept, SHAPES, "float32")
    mine, mine_states = on_device(params), [on_device(s) for s in states]
    plan, cpu = load(name).cuda(cuda, *mine_states, steps), on_host(name)(*states, steps.copy())
    options = {} if name == "adam" else {"momentum": 0.9}
    scale = np.array(1536.0, np.float32)
    for overflow in (1, 0, 1, 0, 0):
        grads = gradients(rng, params)
        if overflow:
            grads[0][...] = np.nan
        found = np.array(overflow, np.float32)
        plan(mine, on_device(grads), lr=0.1, found_inf=device(found), grad_scale=device(scale), **options)
        cpu(params, grads, lr=0.1, found_inf=found, grad_scale=scale, **options)
    close(mine, params, 1e-6)
    assert plan.counts().tolist() == [3] * len(SHAPES) == cpu.counts().tolist()
    before = [p.copy() for p in mine]
    plan(mine, on_device(gradients(rng, params)), lr=0.1, found_inf=device(np.array(1, np.int32)), **options)
    for a, b in zip(mine, before):
        equal(a, b)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_learning_rate_on_the_device(cuda, name, dtype):
    kept = {"sgd": (False,), "adam": (True, True, False), "rmsprop": (True, False, False)}[name]
    rng, params, states, steps = setup(kept, SHAPES, "float32")
    mine = on_device(params)
    plan = load(name).cuda(cuda, *[on_device(s) for s in states], steps)
    cpu = on_host(name)(*states, steps.copy())
    for lr in (0.5, 0.25, 0.125):
        grads = gradients(rng, params)
        plan(mine, on_device(grads), lr=device(np.array(lr, dtype)))
        cpu(params, grads, lr=lr)
    close(mine, params, 1e-6)


def test_tables_are_uploaded_once_for_the_same_addresses(cuda):
    params = on_device([np.ones((3, 4), np.float32), np.ones(5, np.float32)])
    plan = load("sgd").cuda(cuda, None, np.zeros(2, np.int64))
    first, second = ([np.ones_like(p) for p in params] for _ in range(2))
    launches = []
    for grads in (first, second, first, second, first):
        before = len(cuda.uploads)
        plan(params, grads, lr=0.1)
        launches.append(len(cuda.uploads) - before)
    assert launches == [3, 1, 0, 0, 0]   # parameters, places and gradients; gradients; nothing
    near(params[0], 0.5, rtol=1e-6)
    transposed = [np.ones((4, 3), np.float32).view(Device).T, None]
    plan(params, transposed, lr=0.1)
    near(params[1], 0.5, rtol=1e-6)
    alive = [[device(np.ones(p.shape, p.dtype)) for p in params] for _ in range(3 * device_plans.KEPT)]
    for grads in alive:
        plan(params, grads, lr=0.0)
    assert len(plan._gradients._tables) == device_plans.KEPT
    params[0] = device(np.zeros((3, 4), np.float32))   # another array in its place
    plan(params, first, lr=1.0)
    equal(params[0], -1)


def test_errors(cuda):
    p = on_device([np.zeros(3), np.zeros((2, 3))])
    plan = load("sgd").cuda(cuda, None, np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="1 parameters and 2 gradients, expected 2 of each"):
        plan(p[:1], p, lr=0.1)
    with pytest.raises(ValueError, match="2 parameters and 1 gradients, expected 2 of each"):
        plan(p, p[:1], lr=0.1)
    with pytest.raises(ValueError, match=r"gradient 1 has shape \(3, 2\), expected its parameter's, \(2, 3\)"):
        plan(p, on_device([np.zeros(3), np.zeros((3, 2))]), lr=0.1)
    with pytest.raises(ValueError, match="prepared without momentum_buffers"):
        plan(p, p, lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="1 state arrays of one kind for 2 step counts"):
        load("sgd").cuda(cuda, [device(np.zeros(3))], np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="parameter 1 has dtype complex64"):
        plan([p[0], device(np.zeros((2, 3), np.complex64))], p, lr=0.1)
    plan(p, [None, None], lr=0.1)
    assert plan.counts().tolist() == [0, 0]


# ---- passes over all gradients ---------------------------------------------------------------------------------------

def mixed(rng):
    shapes = [(33, 7), (), (0, 2), (5000,), (70_001,), (3,)]
    dtypes = [np.float32, np.float64, np.float32, np.float16, BF16, np.float64]
    return [np.asarray(rng.normal(size=s) * 100, t) for s, t in zip(shapes, dtypes)]


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
@pytest.mark.parametrize("bad", [None, np.inf, -np.inf, np.nan])
def test_unscale(cuda, variant, bad):
    kernel = load("unscale")
    rng = np.random.default_rng(5)
    scale = np.array(48.0, np.float32)
    for where in range(6 if bad is not None else 1):
        grads = mixed(rng)
        if bad is not None and grads[where].size:
            grads[where].reshape(-1)[-1] = bad
        expected = [g.copy() for g in grads]
        with np.errstate(all="ignore"):
            found = kernel.reference(np, [*expected, None], scale)
        mine = [*grads, None] if variant == "cpu" else [*on_device(grads), None]

        run = partial(on_host("unscale"), mine, scale) if variant == "cpu" else partial(kernel.cuda, cuda, mine, device(scale))
        looked = run(write=False)
        for a, b in zip(mine, grads):
            equal(a, b)
        done = run()
        assert done.tolist() == looked.tolist() == found.tolist() == float(bad is not None and where != 2)
        assert done.dtype == np.float32 and done.shape == ()
        for a, b in zip(mine, expected):
            equal(a, b)
        assert run(write=False, check=False) is None
    assert kernel.cost(mine, scale).bytes > 0


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_unscale_by_one_and_of_nothing(cuda, variant):
    kernel = load("unscale")
    g = device(np.array([1.0, np.inf, 3.0], np.float32))
    one, none = np.array(1.0), [None, None]
    call = partial(kernel.cuda, cuda)
    if variant == "cpu":
        call, g = on_host("unscale"), np.asarray(g)
    else:
        one = device(one)
    infinite = one * np.inf
    assert call([g], one).tolist() == 1 and call([g], one, check=False) is None
    assert g.tolist() == [1, np.inf, 3] and call(none, one).tolist() == 0 and call(none, one, check=False) is None
    call([g], infinite, check=False)
    equal(g, [0, np.nan, 0])


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
@pytest.mark.parametrize("factor", [1.0, 1e30, 1e-30, 0.0])
def test_grad_norm(cuda, variant, factor):
    kernel = load("grad_norm")
    rng = np.random.default_rng(6)
    grads = [g for g in mixed(rng) if g.dtype.itemsize > 2 or factor == 1.0]
    with np.errstate(all="ignore"):
        grads = [(g * g.dtype.type(factor)).astype(g.dtype) for g in grads]
    expected = np.sqrt(sum((g.astype(np.longdouble) ** 2).sum() for g in grads))
    run = partial(on_host("grad_norm"), grads) if variant == "cpu" else partial(kernel.cuda, cuda, on_device(grads))
    for max_norm in (np.inf, 2.0, 0.0):
        call = run(max_norm=max_norm)
        with np.errstate(all="ignore"):
            reference = kernel.reference(np, grads, max_norm=max_norm)
            near(reference[0], float(expected), rtol=1e-6)
            near(call, reference, rtol=1e-6)
        assert call[0].dtype == np.float64 and call[0].shape == ()


@pytest.mark.parametrize("values, norm", [([1e200, 1e200, 3.0], 2**0.5 * 1e200), ([1e-200, 1e-200], 2**0.5 * 1e-200),
                                          ([3.0, np.inf], np.inf), ([np.inf, np.nan], np.nan), ([3, np.nan, 1e200], np.nan)])
@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_grad_norm_at_the_ends_of_the_range(cuda, variant, values, norm):
    g = np.array(values)
    kernel = load("grad_norm")
    found, scale = on_host("grad_norm")([g], max_norm=2.0) if variant == "cpu" else kernel.cuda(cuda, [device(g)], max_norm=2.0)
    near(found, norm, rtol=1e-14)
    near(scale, max(1.0, (norm + 1e-6) / 2) if norm == norm else np.nan, rtol=1e-14)


def test_grad_norm_is_the_same_at_every_run(cuda):
    rng = np.random.default_rng(7)
    grads = on_device([rng.normal(size=n).astype(np.float32) for n in (70_001, 3, 0, 4096, 999)])
    results = set()
    for order in (0, -1, 1, 2, 3):
        with thread_order(order):
            results.add(load("grad_norm").cuda(cuda, grads)[0].tolist())
    assert len(results) == 1


@pytest.mark.parametrize("variant", ["reference", "cpu", "cuda"])
def test_update_scale(cuda, variant):
    torch = pytest.importorskip("torch")
    scale, tracker = np.array(2.0**120, np.float32), np.array(0, np.int32)
    theirs, count = torch.tensor(2.0**120), torch.tensor(0, dtype=torch.int32)
    if variant == "cuda":
        scale, tracker = device(scale), device(tracker)
    kernel = load("update_scale")
    options = {"growth": 3.0, "backoff": 0.4, "interval": 2}
    rng = np.random.default_rng(8)
    for i in range(60):
        overflow = np.array(i > 30 and rng.random() < 0.4, np.float32)
        if variant == "cuda":
            kernel.cuda(cuda, scale, tracker, device(overflow), **options)
        elif variant == "cpu":
            on_host(kernel.name)(scale, tracker, overflow, **options)
        else:
            with np.errstate(over="ignore"):
                kernel.reference(np, scale, tracker, overflow, **options)
        torch._amp_update_scale_(theirs, count, torch.tensor(float(overflow)), 3.0, 0.4, 2)
        near(scale, theirs.numpy(), rtol=1e-6)
        assert tracker.tolist() == count.item()
    assert scale.dtype == np.float32 and tracker.dtype == np.int32
