"""Pooling, interpolation and the layers around them against PyTorch; ties, NaN, memory formats, threads, and errors."""
from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_compare import TF, F, close, compare, few, many, seeds, torch

import tensorlite as tl
from tensorlite import kernels, nn
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.kernels import _parallel, _windows
from tensorlite.ops.pooling import max_pool_p

LETTERS = st.sampled_from([1, 2, 3])


def last(x: Any) -> Any:
    """The same numbers with channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@st.composite
def windows(draw: Any) -> dict[str, Any]:
    """Arguments of a sliding pooling of one to three axes that PyTorch takes too."""
    axes = draw(LETTERS)
    kernel = tuple(draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)))
    found = {"kernel_size": kernel, "stride": tuple(draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))),
             "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel), "ceil_mode": draw(st.booleans())}
    dilation = tuple(draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes)))
    sizes = tuple(draw(st.integers(d * (k - 1) + 1, 7)) for k, d in zip(kernel, dilation))
    batch = draw(st.sampled_from([(), (2,)]))
    return {"axes": axes, "options": found, "dilation": dilation, "shape": (*batch, 3, *sizes)}


@many
@given(case=windows(), seed=seeds)
def test_max_pool(case: dict[str, Any], seed: int) -> None:
    name = f"max_pool{case['axes']}d"
    x = np.random.default_rng(seed).permutation(np.arange(float(np.prod(case["shape"])))).reshape(case["shape"])
    options = {**case["options"], "dilation": case["dilation"]}
    compare(lambda x: getattr(F, name)(x, **options), lambda x: getattr(TF, name)(x, **options), x)
    out, index = getattr(F, name)(tl.tensor(x), **options, return_indices=True)
    expected, places = getattr(TF, name)(torch.tensor(x), **options, return_indices=True)
    close(out, expected), close(index, places)


@many
@given(case=windows(), padded=st.booleans(), divisor=st.sampled_from([None, 3]), seed=seeds)
def test_avg_pool(case: dict[str, Any], padded: bool, divisor: int | None, seed: int) -> None:
    name, x = f"avg_pool{case['axes']}d", np.random.default_rng(seed).normal(size=case["shape"])
    options = {**case["options"], "count_include_pad": padded}
    if case["axes"] > 1:
        options["divisor_override"] = divisor
    compare(lambda x: getattr(F, name)(x, **options), lambda x: getattr(TF, name)(x, **options), x)


@many
@given(axes=LETTERS, data=st.data(), seed=seeds)
def test_adaptive(axes: int, data: Any, seed: int) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes)))
    to = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 5]), min_size=axes, max_size=axes)))
    x = np.random.default_rng(seed).normal(size=(2, 3, *sizes))
    for kind in ("avg", "max"):
        name = f"adaptive_{kind}_pool{axes}d"
        compare(lambda x, name=name: getattr(F, name)(x, to), lambda x, name=name: getattr(TF, name)(x, to), x)
    out, index = getattr(F, f"adaptive_max_pool{axes}d")(tl.tensor(x), to, return_indices=True)
    expected, places = getattr(TF, f"adaptive_max_pool{axes}d")(torch.tensor(x), to, return_indices=True)
    close(out, expected), close(index, places)
    compare(lambda x: F.interpolate(x, to, mode="area"), lambda x: TF.interpolate(x, to, mode="area"), x)


@few
@given(axes=LETTERS, norm=st.sampled_from([1.0, 2.0, 3.5]), ceil=st.booleans(), seed=seeds)
def test_lp_pool(axes: int, norm: float, ceil: bool, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(0.2, 2, size=(2, 3, *[7, 5, 6][:axes]))
    name = f"lp_pool{axes}d"
    compare(lambda x: getattr(F, name)(x, norm, 3, 2, ceil), lambda x: getattr(TF, name)(x, norm, 3, 2, ceil), x)


@few
@given(axes=LETTERS, seed=seeds)
def test_max_unpool(axes: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 3, *[7, 6, 4][:axes]))
    out, index = getattr(TF, f"max_pool{axes}d")(torch.tensor(x), 2, return_indices=True)
    name, size = f"max_unpool{axes}d", x.shape[2:]
    at = index.numpy()
    compare(lambda x: getattr(F, name)(x, tl.tensor(at), 2, output_size=size),
            lambda x: getattr(TF, name)(x, torch.tensor(at), 2, output_size=size), out.numpy(), second=False)


@many
@given(axes=LETTERS, data=st.data(), seed=seeds)
def test_interpolate(axes: int, data: Any, seed: int) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes)))
    x = np.random.default_rng(seed).normal(size=(2, 3, *sizes))
    mode = data.draw(st.sampled_from(["nearest", "nearest-exact", ("linear", "bilinear", "trilinear")[axes - 1],
                                      *(["bicubic"] if axes == 2 else [])]))
    options: dict[str, Any] = {"mode": mode}
    if data.draw(st.booleans()):
        options["size"] = tuple(data.draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes)))
    else:
        options["scale_factor"] = data.draw(st.sampled_from([1.0, 2.0, 1.5, 3.0, 2.7]))
        options["recompute_scale_factor"] = data.draw(st.sampled_from([None, True]))
    if not mode.startswith("nearest"):
        options["align_corners"] = data.draw(st.booleans())
        if mode.startswith("b"):
            options["antialias"] = data.draw(st.booleans())
    # PyTorch keeps some scales in float32; its antialiased kernels have no second derivative
    compare(lambda x: F.interpolate(x, **options), lambda x: TF.interpolate(x, **options), x, second=False, rtol=1e-6, atol=1e-6)


@few
@given(size=st.integers(1, 6), axes=LETTERS, seed=seeds)
def test_local_response_norm(size: int, axes: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 5, *[3, 2, 2][:axes]))
    compare(lambda x: F.local_response_norm(x, size, 0.3, 0.6, 1.5), lambda x: TF.local_response_norm(x, size, 0.3, 0.6, 1.5), x)


@few
@given(axes=LETTERS, by_input=st.booleans(), seed=seeds)
def test_instance_norm(axes: int, by_input: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(2, 4, *[3, 2, 2][:axes])), rng.normal(size=4), rng.normal(size=4)
    mean, var = rng.normal(size=4), rng.uniform(0.5, 2, size=4)
    run = lambda f, make: lambda x, w, b: f.instance_norm(x, make(mean.copy()), make(var.copy()), w, b, use_input_stats=by_input)
    compare(run(F, tl.tensor), run(TF, torch.tensor), x, w, b)


# ---- ties, NaN, infinities -----------------------------------------------------------------------------------------------------

def test_of_equal_maxima_the_first_gets_the_gradient() -> None:
    x = np.zeros((1, 2, 5, 4))
    for options in ((2, 2, 0), (3, 2, 1), (3, 1, 1)):
        for array in (x, last(x)):
            compare(lambda x, o=options: F.max_pool2d(x, *o), lambda x, o=options: TF.max_pool2d(x, *o), array)
    compare(lambda x: F.adaptive_max_pool2d(x, (2, 3)), lambda x: TF.adaptive_max_pool2d(x, (2, 3)), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (3, 3)])
def test_nan_and_infinities(dtype: str, kernel: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], size=(2, 3, 9, 8), p=[0.1, 0.1, 0.5, 0.15, 0.15]).astype(dtype)
    for array in (x, last(x)):
        out, index = F.max_pool2d(tl.asarray(array), kernel, stride, return_indices=True)
        expected, places = TF.max_pool2d(torch.tensor(x), kernel, stride, return_indices=True)
        close(out, expected), close(index, places)
    found = F.avg_pool2d(tl.asarray(x), kernel, stride).numpy()   # a window sees what is in it, and nothing else
    np.testing.assert_allclose(found, TF.avg_pool2d(torch.tensor(x), kernel, stride).numpy(), rtol=1e-5)


def test_whole_numbers() -> None:
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 6, 6))
    close(F.max_pool2d(tl.tensor(x), 2), TF.max_pool2d(torch.tensor(x.astype(float)), 2).numpy().astype(np.int64))
    with pytest.raises(DTypeError, match="avg_pool2d: input has dtype int64; expected a floating one"):
        F.avg_pool2d(tl.tensor(x), 2)


# ---- kernels -------------------------------------------------------------------------------------------------------------------

CASES = {
    "2 x 2": (_windows.sliding(40, 2, 2, 0, 1, False), _windows.sliding(30, 2, 2, 0, 1, False)),
    "3 x 3": (_windows.sliding(40, 3, 2, 1, 1, True), _windows.sliding(30, 3, 1, 1, 2, False)),
    "stride 3": (_windows.sliding(40, 2, 3, 1, 1, False), _windows.sliding(30, 4, 3, 0, 1, False)),
    "shared": (_windows.adaptive(40, 7), _windows.adaptive(30, 4)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels(case: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the references, in both memory formats, which they keep; the number of threads changes no bit."""
    rng = np.random.default_rng(0)
    pool, grad, resample = (kernels.load(name) for name in ("max_pool", "max_pool_grad", "resample"))
    given = CASES[case]
    taps = tuple([_windows.mean(w, True, None) for w in given])
    x = rng.normal(size=(6, 8, 40, 30)).astype(dtype)
    expected, places = pool.reference(np, x, windows=given)
    g = rng.normal(size=expected.shape).astype(dtype)
    for form in (np.ascontiguousarray, last):
        results = []
        for threads in (1, 3):
            monkeypatch.setattr(_parallel, "_THREADS", threads)
            out, index = pool.cpu(form(x), windows=given)
            results.append([out, index, grad.cpu(g, form(index), windows=given), grad.cpu(form(g), index, windows=given),
                            resample.cpu(form(x), taps=taps)])
        out, index, back, again, mean = results[0]
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(index, places)
        close(back, grad.reference(np, g, places, windows=given), 1e-5, 1e-5)
        close(mean, resample.reference(np, x, taps=taps), 1e-5, 1e-6)
        np.testing.assert_array_equal(back, again)
        if form is last:
            assert _windows.channels_last(out, 2) and _windows.channels_last(back, 2) and _windows.channels_last(mean, 2)
        assert all(np.array_equal(a, b) for a, b in zip(*results))
    assert pool.cost(x, windows=given).bytes > x.nbytes and grad.cost(g, index, windows=given).bytes > x.nbytes
    assert resample.cost(x, taps=taps).flops > 0


def test_taps_transposed() -> None:
    taps = _windows.mean(_windows.sliding(9, 3, 2, 1, 1, True), False, None)
    matrix = np.zeros((taps.count, taps.size))
    for i in range(taps.count):
        for k in range(int(taps.first[i]), int(taps.first[i + 1])):
            matrix[i, int(taps.index[k])] += taps.weight[k]
    resample = kernels.load("resample")
    np.testing.assert_allclose(resample.cpu(np.eye(9)[None], taps=(taps,))[0].T, matrix, rtol=1e-15)
    np.testing.assert_allclose(resample.cpu(np.eye(taps.count)[None], taps=(taps.transposed,))[0], matrix, rtol=1e-15)
    assert taps.transposed.transposed is taps


def test_without_a_compiler() -> None:
    """The same values, to rounding, where Numba cannot be imported."""
    code = """
import sys
sys.modules["numba"] = None
import numpy as np, tensorlite as tl
from tensorlite.nn import functional as F
x = tl.tensor(np.random.default_rng(0).normal(size=(2, 3, 7, 6)), requires_grad=True)
out = F.max_pool2d(x, 3, 2, 1).sum() + (F.avg_pool2d(x, 2) ** 2).sum() + (F.interpolate(x, (5, 9), mode="bilinear") ** 3).sum()
out.backward()
print(*np.append(x.grad.numpy().ravel(), out.item()).tolist())
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 7, 6)), requires_grad=True)
    out = TF.max_pool2d(x, 3, 2, 1).sum() + (TF.avg_pool2d(x, 2) ** 2).sum() + (
        TF.interpolate(x, (5, 9), mode="bilinear", align_corners=False) ** 3).sum()
    out.backward()
    found, expected = np.array(run.stdout.split(), np.float64), np.append(x.grad.numpy().ravel(), out.item())
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_with_channels_last(dtype: str) -> None:
    """The same values as with channels first; the memory format is kept, of the gradient too."""
    rng = np.random.default_rng(0)
    x, w, b, g = (rng.normal(size=s).astype(dtype) for s in ((4, 6, 5, 3), (6,), (6,), (4, 6, 5, 3)))
    found = []
    for form in (np.ascontiguousarray, last):
        t, weight = tl.asarray(form(x)).requires_grad_(), tl.tensor(w, requires_grad=True)
        out = F.batch_norm(t, None, None, weight, tl.tensor(b), training=True)
        out.backward(tl.asarray(form(g)))
        found.append([out.detach().numpy(), t.grad.numpy(), weight.grad.numpy()])
    for a, e in zip(*found[::-1]):
        close(a, e, 1e-4 if dtype == "float32" else 1e-11, 1e-5 if dtype == "float32" else 1e-12)
    assert _windows.channels_last(found[1][0], 2) and _windows.channels_last(found[1][1], 2)


# ---- layers --------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("make", "shape"), [
    (lambda n: n.MaxPool1d(3, 2, 1), (2, 3, 8)), (lambda n: n.MaxPool2d(2), (2, 3, 6, 5)),
    (lambda n: n.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (3, 6, 5)), (lambda n: n.MaxPool3d(2), (2, 3, 4, 4, 5)),
    (lambda n: n.AvgPool1d(2), (2, 3, 8)), (lambda n: n.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 6, 5)),
    (lambda n: n.AvgPool2d(2, divisor_override=3), (2, 3, 6, 5)), (lambda n: n.AvgPool3d(2), (2, 3, 4, 4, 5)),
    (lambda n: n.AdaptiveAvgPool1d(3), (2, 3, 8)), (lambda n: n.AdaptiveAvgPool2d((None, 2)), (2, 3, 6, 5)),
    (lambda n: n.AdaptiveAvgPool3d(2), (2, 3, 4, 4, 5)), (lambda n: n.AdaptiveMaxPool1d(3), (2, 3, 8)),
    (lambda n: n.AdaptiveMaxPool2d(1), (2, 3, 6, 5)), (lambda n: n.AdaptiveMaxPool3d((2, 1, 3)), (2, 3, 4, 4, 5)),
    (lambda n: n.LPPool1d(4, 2), (2, 3, 8)), (lambda n: n.LPPool2d(2, 2), (2, 3, 6, 5)),
    (lambda n: n.LPPool3d(2, 2), (1, 2, 4, 4, 5)),
    (lambda n: n.LocalResponseNorm(3, 0.2), (2, 5, 4, 3)), (lambda n: n.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    (lambda n: n.UpsamplingNearest2d(size=7), (1, 2, 3, 4)), (lambda n: n.UpsamplingBilinear2d(scale_factor=3), (1, 2, 3, 4)),
    *[(lambda n, k=kind, a=axes: getattr(n, f"{k}Pad{a}d")(1), (2, 3, *[4, 3, 5][:axes])) for axes in (1, 2, 3)
      for kind in ("Zero", "Reflection", "Replication", "Circular")],
    (lambda n: n.ConstantPad1d((2, 1), 3.0), (2, 3, 4)), (lambda n: n.ConstantPad2d((1, 0, 2, 1), -1.5), (2, 3, 4, 5)),
    (lambda n: n.ConstantPad3d(1, 2.0), (1, 2, 2, 3, 2)), (lambda n: n.ReflectionPad2d((1, 2, 0, 1)), (3, 4, 5)),
    (lambda n: n.BatchNorm2d(3), (4, 3, 5, 2)), (lambda n: n.BatchNorm2d(3, momentum=None), (4, 3, 5, 2)),
    (lambda n: n.BatchNorm2d(3, affine=False, eps=0.1), (4, 3, 5, 2)),
    (lambda n: n.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 2)), (lambda n: n.BatchNorm3d(3), (2, 3, 2, 2, 3)),
    (lambda n: n.BatchNorm1d(3, momentum=0.4), (4, 3, 5)),
    (lambda n: n.InstanceNorm1d(3, affine=True), (2, 3, 5)), (lambda n: n.InstanceNorm2d(3), (3, 4, 2)),
    (lambda n: n.InstanceNorm2d(3, affine=True, track_running_stats=True), (4, 3, 4, 2)),
    (lambda n: n.InstanceNorm3d(3, track_running_stats=True, momentum=0.3), (2, 3, 2, 2, 2)),
])
def test_layers(make: Any, shape: tuple[int, ...]) -> None:
    """Three batches in training, then one in evaluation: values, gradients, buffers."""
    mine, its = make(nn).double(), make(torch.nn).double()
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {k: tuple(v.shape) for k, v in its.state_dict().items()}
    rng = np.random.default_rng(0)
    for step in range(4):
        mine.train(step < 3), its.train(step < 3)
        compare(mine, its, rng.normal(size=shape) + step, second=False)
        for key, value in its.named_buffers():
            close(mine.get_buffer(key), value.numpy(), what=key)
    assert repr(mine).startswith(type(its).__name__ + "(")


def test_layers_that_give_places() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    out, index = nn.MaxPool2d(2, return_indices=True)(tl.tensor(x))
    expected, places = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    close(nn.MaxUnpool2d(2)(out, index), torch.nn.MaxUnpool2d(2)(expected, places))
    assert [nn.MaxUnpool1d(2)(*nn.MaxPool1d(2, return_indices=True)(tl.zeros(1, 2, 4))).shape,
            nn.MaxUnpool3d(2)(*nn.MaxPool3d(2, return_indices=True)(tl.zeros(1, 2, 4, 4, 4))).shape] == [
                (1, 2, 4), (1, 2, 4, 4, 4)]
    layer = nn.BatchNorm2d(3)
    layer(tl.tensor(x).float())
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1, 1, 1] and int(layer.num_batches_tracked) == 0


# ---- what is kept, and errors --------------------------------------------------------------------------------------------------

def test_what_is_kept_for_backward() -> None:
    """Of max pooling four bytes a window, of average pooling nothing."""
    x = tl.zeros(2, 3, 8, 8, requires_grad=True)
    saved = F.max_pool2d(x, 2).node.saved
    assert [a.nbytes for part in saved if isinstance(part, tuple) for a in part if isinstance(a, np.ndarray)] == [4 * 2 * 3 * 16]
    assert not [a for a in F.avg_pool2d(x, 2).node.saved if isinstance(a, np.ndarray)]
    raw = np.zeros((1, 1, 4, 4))
    assert isinstance(F.max_pool2d(raw, 2), np.ndarray) and len(max_pool_p(raw, windows=CASES["2 x 2"][:0] + (
        _windows.sliding(4, 2, 2, 0, 1, False),) * 2)) == 2


@pytest.mark.parametrize(("call", "says"), [
    (lambda x: F.max_pool2d(x, 7), r"max_pool2d: kernel_size 7 with dilation 1 reaches over 7 elements and is larger than the "
                                   r"padded input, 6: the input has shape \(2, 3, 6, 5\) and padding is 0; use a smaller kernel"),
    (lambda x: F.avg_pool2d(x, (2, 6)), r"avg_pool2d: kernel_size 6 .* larger than the padded input, 5.*\(2, 3, 6, 5\)"),
    (lambda x: F.max_pool2d(x, 3, padding=2), r"max_pool2d: padding 2 is more than half of kernel_size 3.*pad by at most 1"),
    (lambda x: F.max_pool2d(x[0, 0], 2),
     r"max_pool2d: input has shape \(6, 5\); expected 4 axes, \(N, C, H, W\), or 3, \(C, H, W\)"),
    (lambda x: F.max_pool3d(x[0], 2), r"max_pool3d: input has shape \(3, 6, 5\); expected 5 axes"),
    (lambda x: F.max_pool2d(x, (2, 2, 2)),
     r"max_pool2d: kernel_size is \(2, 2, 2\); expected an integer of at least 1, or 2 of them"),
    (lambda x: F.max_pool2d(x, 2, stride=0), "max_pool2d: stride is 0; expected an integer of at least 1"),
    (lambda x: F.max_pool2d(x[..., :2, :2], 2, 1, 1, 3), "has a window that sees padding alone"),
    (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor_override is 0"),
    (lambda x: F.adaptive_avg_pool2d(x, (1, 2, 3)), r"output_size is \(1, 2, 3\); expected an integer, or 2 of them"),
    (lambda x: F.adaptive_max_pool2d(x[..., :0], 2), r"input has shape \(2, 3, 6, 0\), with nothing to pool"),
    (lambda x: F.lp_pool2d(x, 0, 2), "norm_type is 0"),
    (lambda x: F.max_unpool2d(x, tl.zeros(2, 3, 6, 4, dtype="int64"), 2),
     r"indices have shape \(2, 3, 6, 4\); expected input's"),
    (lambda x: F.max_unpool2d(x, tl.zeros(2, 3, 6, 5, dtype="int64"), 2, output_size=(9, 9)), r"expected \(12, 10\)"),
    (lambda x: F.interpolate(x, 4, mode="cubic"), "mode 'cubic' is unknown; there are nearest, "),
    (lambda x: F.interpolate(x, 4, mode="linear"), r"input has shape \(2, 3, 6, 5\); mode 'linear' expects 3 axes"),
    (lambda x: F.interpolate(x), "size is None and scale_factor is None; expected exactly one"),
    (lambda x: F.interpolate(x, 4, align_corners=True), "align_corners is for linear and cubic modes"),
    (lambda x: F.interpolate(x, 4, antialias=True), "antialias is for modes 'bilinear' and 'bicubic'"),
    (lambda x: F.interpolate(x, scale_factor=0.1), r"from lengths \(6, 5\) to \(0, 0\)"),
    (lambda x: F.interpolate(x, (1, 2, 3)), r"\(1, 2, 3\) for input of shape .* expected one number, or 2"),
    (lambda x: F.local_response_norm(x, 0), "size is 0"),
    (lambda x: F.instance_norm(x[..., :1, :1]), r"instance_norm: input has shape \(2, 3, 1, 1\); expected more than one value"),
    (lambda x: F.instance_norm(x, weight=tl.ones(4)), r"weight has shape \(4,\), .* has 3 channels; expected \(3,\)"),
    (lambda x: F.instance_norm(x, use_input_stats=False), "running_mean and running_var must be given"),
    (lambda x: F.instance_norm(x[0, 0]), r"expected \(N, C, L, ...\)"),
    (lambda x: nn.BatchNorm2d(3)(x[0]), r"BatchNorm2d: input has shape \(3, 6, 5\); expected 4 axes"),
    (lambda x: nn.InstanceNorm1d(3)(x), r"InstanceNorm1d: input has shape \(2, 3, 6, 5\); expected 3 axes"),
    (lambda x: nn.ZeroPad2d((1, 2, 3)), r"ZeroPad2d: padding is \(1, 2, 3\); expected an integer, or 4 of them"),
    (lambda x: nn.ReflectionPad3d(1)(x[0]), r"ReflectionPad3d: input has shape \(3, 6, 5\); expected 4 or 5 axes"),
])
def test_errors(call: Any, says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        call(tl.zeros(2, 3, 6, 5))


def test_wrong_types() -> None:
    with pytest.raises(DTypeError, match=r"max_pool2d: kernel_size is 2\.5; expected an integer, or 2 of them"):
        F.max_pool2d(tl.zeros(1, 1, 4, 4), 2.5)
    with pytest.raises(DTypeError, match="interpolate: input has dtype int64"):
        F.interpolate(tl.zeros(1, 1, 4, dtype="int64"), 2)
    with pytest.raises(DTypeError, match="max_pool2d: input has dtype complex128"):
        F.max_pool2d(tl.zeros(1, 1, 4, 4, dtype="complex128"), 2)
