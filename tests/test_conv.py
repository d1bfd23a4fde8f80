"""Convolution against PyTorch in float64: values, gradients of two orders, layouts, errors, modules; and its rules for vmap."""
from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tensorlite as tl
from tensorlite import kernels, nn
from tensorlite.engine.value import new
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.kernels._convolution import out_size
from tensorlite.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional
SEED = 20250301


def normal(*shapes: tuple[int, ...], dtype: str = "float64") -> list[Any]:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def last(x: Any) -> Any:
    """The same numbers, with the channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def is_last(x: Any) -> bool:
    return bool(np.moveaxis(x, 1, -1).flags.c_contiguous)


def both(name: str, arrays: list[Any], options: dict[str, Any], rtol: float = 1e-11) -> None:
    """Value, gradients, and gradients of the gradients' products with fixed arrays, here and in PyTorch."""
    def run(library: Any, function: Any, make: Any, numpy: Any) -> list[Any]:
        leaves = [make(a).requires_grad_() for a in arrays]
        out = function(*leaves, **options)
        rng = np.random.default_rng(1)
        grads = library.autograd.grad(out, leaves, make(rng.standard_normal(tuple(out.shape))), create_graph=True)
        total = sum((g * make(rng.standard_normal(tuple(g.shape)))).sum() for g in grads)
        second = library.autograd.grad(total, leaves[:2])
        return [numpy(t) for t in (out, *grads, *second)]
    ours = run(tl, getattr(F, name), tl.tensor, lambda t: t.detach().numpy())
    theirs = run(torch, getattr(TF, name), torch.tensor, lambda t: t.detach().numpy())
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.abs(b).max(initial=0)), err_msg=f"{name} {options}")


GRID = [(k, s, p, d, g) for k, s, p, d, g in itertools.product((1, 2, 3), (1, 2, 4), (0, 1, 2), (1, 2), (1, 2))
        if (k - 1) * d + 1 <= 5 + 2 * p]


@pytest.mark.parametrize(("k", "stride", "padding", "dilation", "groups"), GRID)
def test_conv2d(k: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    arrays = normal((2, 4, 5, 6), (6, 4 // groups, k, k), (6,))
    both("conv2d", arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


@pytest.mark.parametrize(("k", "stride", "padding", "dilation", "groups"), [c for c in GRID if c[2] < c[0]])
def test_conv_transpose2d(k: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    arrays = normal((2, 4, 5, 4), (4, 6 // groups, k, k), (6,))
    more = (min(1, max(stride, dilation) - 1), 0)
    both("conv_transpose2d", arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
                                      "output_padding": more})


@st.composite
def problems(draw: Any) -> tuple[str, list[tuple[int, ...]], dict[str, Any]]:
    axes = draw(st.integers(1, 3))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(axes))
    groups = draw(st.sampled_from([1, 1, 2, 3, 17]))
    c, o = groups * draw(st.sampled_from([1, 2, 8, 17])), groups * draw(st.sampled_from([1, 3, 16, 20]))
    if groups == 17:
        c = o = 17
    k, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 2), each(1, 2)
    turned = draw(st.booleans())
    size = tuple(draw(st.integers(max(1, (n - 1) * d + 1 - 2 * p) if not turned else 1, (40, 18, 7)[axes - 1]))
                 for n, p, d in zip(k, padding, dilation))
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups}
    if turned:
        options |= {"padding": tuple(min(p, (n - 1) * d // 2) for p, n, d in zip(padding, k, dilation)),
                    "output_padding": tuple(max(s, d) - 1 for s, d in zip(stride, dilation))}
    else:
        options |= {"padding": padding}
    n = draw(st.integers(1, 5))
    weight = (c, o // groups, *k) if turned else (o, c // groups, *k)
    return f"conv{'_transpose' if turned else ''}{axes}d", [(n, c, *size), weight, (o,)], options


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(problems())
def test_any_convolution(problem: tuple[str, list[tuple[int, ...]], dict[str, Any]]) -> None:
    name, shapes, options = problem
    both(name, normal(*shapes), options, 1e-10)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_padding_same_and_valid(k: int, dilation: int) -> None:
    arrays = normal((2, 3, 9, 10), (4, 3, k, k), (4,))
    for padding in ("same", "valid"):
        both("conv2d", arrays, {"padding": padding, "dilation": dilation})


def test_without_batch_axis() -> None:
    x, w, b = map(tl.tensor, normal((3, 5, 6), (4, 3, 2, 2), (4,)))
    np.testing.assert_array_equal(F.conv2d(x, w, b).numpy(), F.conv2d(x[None], w, b)[0].numpy())
    w, b = w[:3], b[:3]
    np.testing.assert_array_equal(F.conv_transpose2d(x, w, b).numpy(), F.conv_transpose2d(x[None], w, b)[0].numpy())


# ---- sizes at which the compiled kernels divide their work, and types -------------------------------------------------------

LAYERS = [((40, 1, 28, 28), 32, 3, 1, 1), ((3, 40, 33, 30), 70, 3, 1, 1), ((2, 16, 200, 180), 20, 3, 2, 1),
          ((33, 24, 8, 8), 40, 3, 1, 1), ((2, 130, 14, 15), 96, 1, 1, 1), ((1, 3, 224, 224), 64, 7, 2, 1),
          ((5, 48, 20, 21), 48, 5, 1, 48), ((4, 32, 15, 15), 64, 3, 1, 4), ((17, 64, 2, 2), 128, 3, 1, 1)]


@pytest.mark.parametrize("memory", ["first", "last"])
@pytest.mark.parametrize(("shape", "out", "k", "stride", "groups"), LAYERS, ids=str)
def test_layers_in_float32(shape: Any, out: int, k: int, stride: int, groups: int, memory: str) -> None:
    x, w, b = normal(shape, (out, shape[1] // groups, k, k), (out,), dtype="float32")
    options: dict[str, Any] = {"stride": stride, "padding": k // 2, "groups": groups}
    leaves = [new(a).requires_grad_() for a in (last(x) if memory == "last" else x, w, b)]
    result = F.conv2d(*leaves, **options)
    assert is_last(result.value) == (memory == "last" and shape[1] > 1)   # of one channel there is one order
    (g,) = normal(tuple(result.shape), dtype="float32")
    found = [result, *tl.autograd.grad(result, leaves, new(last(g) if memory == "last" else g))]
    there = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, w, b)]
    true = TF.conv2d(*there, **options)
    expected = [true, *torch.autograd.grad(true, there, torch.tensor(g, dtype=torch.float64))]
    for a, e in zip(found, expected):
        e = e.detach().numpy()
        np.testing.assert_allclose(a.detach().numpy(), e, rtol=1e-4, atol=3e-6 * np.abs(e).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_types_are_summed_in_float32(dtype: str) -> None:
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    x, w = (a.astype(kind) for a in normal((2, 256, 6, 6), (8, 256, 3, 3)))
    out = F.conv2d(tl.tensor(x), tl.tensor(w), padding=1)
    assert out.dtype == kind
    expected = TF.conv2d(torch.tensor(x.astype(np.float64)), torch.tensor(w.astype(np.float64)), padding=1).numpy()
    unit = 2.0**-11 if dtype == "float16" else 2.0**-8
    np.testing.assert_allclose(out.numpy().astype(np.float64), expected, rtol=1.01 * unit, atol=1e-3)


def test_complex_numbers() -> None:
    x, y, v, w = normal((2, 3, 5, 5), (2, 3, 5, 5), (4, 3, 2, 2), (4, 3, 2, 2))
    out = F.conv2d(tl.tensor(x + 1j * y), tl.tensor(v + 1j * w), stride=2)
    expected = TF.conv2d(torch.tensor(x + 1j * y), torch.tensor(v + 1j * w), stride=2)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-12)


def test_mixed_types_promote() -> None:
    x, w = normal((1, 2, 4, 4), (3, 2, 2, 2))
    assert F.conv2d(tl.tensor(x.astype("float32")), tl.tensor(w)).dtype == tl.float64


@pytest.mark.parametrize("view", ["stepped", "transposed", "reversed", "broadcast"])
def test_any_strides(view: str) -> None:
    x, w = normal((3, 4, 10, 10), (5, 4, 3, 3))
    made = {"stepped": x[:, :, ::2, 1::3], "transposed": x.swapaxes(2, 3), "reversed": x[::-1, ::-1],
            "broadcast": np.broadcast_to(x[:1, :1], x.shape)}[view]
    expected = TF.conv2d(torch.tensor(np.ascontiguousarray(made)), torch.tensor(w)).numpy()
    np.testing.assert_allclose(F.conv2d(new(made), new(w)).numpy(), expected, rtol=1e-11,
                               atol=1e-11)


def test_asymmetric_padding_of_the_operation() -> None:
    """The kernels and the reference, with padding that differs before and behind, and strides that leave inputs unseen."""
    x, w = normal((2, 5, 11, 9), (4, 5, 2, 3))
    options: Any = {"stride": (3, 2), "padding": ((2, 0), (0, 3)), "dilation": (1, 2), "groups": 1}
    forward, by_input, by_weight = (kernels.load(n) for n in ("conv", "conv_input_grad", "conv_weight_grad"))
    out = forward.cpu(x, w, None, **options)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 0), (0, 3)))
    np.testing.assert_allclose(out, TF.conv2d(torch.tensor(padded), torch.tensor(w), None, (3, 2), 0, (1, 2)).numpy(), rtol=1e-11,
                               atol=1e-11)
    for kernel, other, more in ((by_input, w, {"size": (11, 9)}), (by_weight, x, {"window": (2, 3)})):
        found, true = kernel.cpu(out, other, **more, **options), kernel.reference(np, out, other, **more, **options)
        np.testing.assert_allclose(found, true, rtol=1e-11, atol=1e-10)


def test_the_same_bits_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorlite.kernels import _parallel
    x, w, b = normal((30, 32, 20, 20), (64, 32, 3, 3), (64,), dtype="float32")
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(_parallel, "_THREADS", threads)
        leaves = [tl.tensor(a).requires_grad_() for a in (x, w, b)]
        out = F.conv2d(*leaves, padding=1)
        found.append([out.detach().numpy(), *(g.numpy() for g in tl.autograd.grad((out * out).sum(), leaves))])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names features of x86")
def test_narrow_vectors(tmp_path: Path) -> None:
    """The kernels as they are compiled for a CPU with 16 vector registers of 32 bytes."""
    code = """
import numpy as np
from tensorlite.kernels import _tiles, load
assert _tiles.WIDEST == 1
x, w = (np.random.default_rng(0).standard_normal(s, "float32") for s in ((3, 20, 17, 9), (40, 20, 3, 3)))
how = {"stride": (2, 1), "padding": ((1, 1), (0, 2)), "dilation": (1, 1)}
out = load("conv").cpu(x, w, None, **how)
for name, arrays, more in (("conv", (x, w, None), {}), ("conv_input_grad", (out, w), {"size": (17, 9)}),
                           ("conv_weight_grad", (out, x), {"window": (3, 3)})):
    kernel = load(name)
    true = kernel.reference(np, *arrays, **more, **how)
    assert np.abs(kernel.cpu(*arrays, **more, **how) - true).max() < 1e-4 * np.abs(true).max(), name
"""
    how = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2,+sse4.1,+ssse3,+sse3,+popcnt,+bmi,+bmi2",
           "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **how}, capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_cost_is_that_of_the_shapes() -> None:
    x, w = normal((2, 3, 8, 8), (4, 3, 3, 3), dtype="float32")
    options: Any = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
    g = np.empty((2, 4, 8, 8), "float32")
    costs = [kernels.load("conv").cost(x, w, **options), kernels.load("conv_input_grad").cost(g, w, size=(8, 8), **options),
             kernels.load("conv_weight_grad").cost(g, x, window=(3, 3), **options)]
    assert {c.flops for c in costs} == {2 * 2 * 4 * 64 * 27}
    assert {c.bytes for c in costs} == {4 * (x.size + w.size + g.size)}
    assert out_size(8, 3, 1, (1, 1), 1) == 8


# ---- windows -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("k", "stride", "padding", "dilation"), [(2, 1, 0, 1), (3, 2, 1, 1), ((2, 3), (1, 2), (0, 1), (2, 1))])
def test_unfold_and_fold(k: Any, stride: Any, padding: Any, dilation: Any) -> None:
    options = {"kernel_size": k, "stride": stride, "padding": padding, "dilation": dilation}
    (x,) = normal((2, 3, 7, 8))
    both_windows(lambda library, f: f.unfold(x if library is np else library.tensor(x), **options))
    columns = F.unfold(tl.tensor(x), **options).numpy()
    both_windows(lambda library, f: f.fold(library.tensor(columns), (7, 8), **options))


def both_windows(run: Any) -> None:
    np.testing.assert_allclose(run(tl, F).numpy(), run(torch, TF).numpy(), rtol=1e-12)


# ---- vmap ----------------------------------------------------------------------------------------------------------------------

def test_gradients_of_each_example() -> None:
    """vmap(grad) of a network with two convolutions, against a loop."""
    x, w1, w2 = normal((6, 2, 8, 8), (4, 2, 3, 3), (3, 4, 3, 3))

    def loss(w1: Any, w2: Any, x: Any) -> Any:
        h = tl.relu(F.conv2d(x[None], w1, padding=1))
        return (F.conv2d(h, w2, stride=2) ** 2).sum()
    gradient = tl.func.grad(loss, argnums=(0, 1))
    weights = tl.tensor(w1), tl.tensor(w2)
    found = tl.func.vmap(gradient, in_axes=(None, None, 0))(*weights, tl.tensor(x))
    for i in range(len(x)):
        for a, b in zip(found, gradient(*weights, tl.tensor(x[i]))):
            np.testing.assert_allclose(a[i].numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


def test_a_batch_of_networks() -> None:
    x, w, b = normal((2, 3, 6, 6), (5, 4, 3, 3, 3), (5, 4))
    found = tl.func.vmap(lambda w, b: F.conv2d(tl.tensor(x), w, b))(tl.tensor(w), tl.tensor(b))
    for i in range(5):
        np.testing.assert_allclose(found[i].numpy(), F.conv2d(*map(tl.tensor, (x, w[i], b[i]))).numpy(), rtol=1e-11, atol=1e-12)


# ---- modules -------------------------------------------------------------------------------------------------------------------

MODULES = [("Conv1d", (4, 6, 3), {}), ("Conv2d", (4, 6, (3, 2)), {"stride": 2, "padding": (1, 0), "groups": 2, "bias": False}),
           ("Conv3d", (4, 2, 2), {"dilation": 2}), ("Conv2d", (4, 4, 3), {"padding": "same", "padding_mode": "circular"}),
           ("Conv2d", (4, 4, 3), {"padding": 2, "padding_mode": "reflect"}),
           ("Conv1d", (4, 4, 4), {"padding": 1, "padding_mode": "replicate"}), ("ConvTranspose1d", (4, 6, 3), {"stride": 2}),
           ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
           ("ConvTranspose3d", (4, 2, 2), {"groups": 2, "bias": False})]


@pytest.mark.parametrize(("name", "args", "options"), MODULES)
def test_modules_are_those_of_torch(name: str, args: Any, options: Any) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options).double()
    assert repr(ours) == repr(theirs)
    state = {k: tl.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    ours = getattr(nn, name)(*args, **options, dtype=tl.float64)
    ours.load_state_dict(state)
    (x,) = normal((2, 4, *(6, 7, 8)[:int(name[-2])]))
    np.testing.assert_allclose(ours(tl.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-11,
                               atol=1e-12)


@pytest.mark.parametrize(("name", "bound"), [("Conv2d", (8 // 2 * 9) ** -0.5), ("ConvTranspose2d", (32 // 2 * 9) ** -0.5)])
def test_initial_values_are_uniform_within_torchs_bounds(name: str, bound: float) -> None:
    tl.manual_seed(SEED)
    module, theirs = getattr(nn, name)(8, 32, 3, groups=2), getattr(torch.nn, name)(8, 32, 3, groups=2)
    for key in ("weight", "bias"):
        values = getattr(module, key).detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(getattr(theirs, key).detach().numpy()).max() <= bound
        assert values.size < 100 or abs(values.std() / (bound / 3**0.5) - 1) < 0.1


def test_output_size_of_transposed_modules() -> None:
    up = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = tl.zeros(1, 2, 5, 5)
    assert up(x, output_size=(10, 9)).shape == (1, 3, 10, 9)
    with pytest.raises(ShapeError, match=r"output_size is \(11, 9\); expected from \(9, 9\) to \(10, 10\)"):
        up(x, output_size=(11, 9))


def test_unfold_and_fold_modules() -> None:
    (x,) = normal((2, 3, 6, 6))
    columns = nn.Unfold(2, stride=2)(tl.tensor(x))
    np.testing.assert_array_equal(nn.Fold((6, 6), 2, stride=2)(columns).numpy(), x)


def test_frozen_weights_keep_no_input() -> None:
    x, w = (tl.tensor(a) for a in normal((1, 2, 4, 4), (3, 2, 3, 3)))
    assert F.conv2d(x, w).grad_fn is None
    x.requires_grad_()
    saved = F.conv2d(x, w).grad_fn.saved   # what it costs to differentiate by x: the weight alone
    assert not any(getattr(a, "shape", None) == (1, 2, 4, 4) for a in saved)


# ---- errors --------------------------------------------------------------------------------------------------------------------

ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda x, w: F.conv2d(x, w[:, :2]), ShapeError,
     r"input of shape \(2, 4, 5, 5\) has 4 channels, and weight of shape \(6, 2, 3, 3\) expects 2; "
     r"give weight the shape \(6, 4, 3, 3\), or the input 2 channels"),
    (lambda x, w: F.conv2d(x, w, padding=-1), ShapeError, "padding is -1; expected an integer >= 0"),
    (lambda x, w: F.conv2d(x[:, :, :2], w), ShapeError,
     r"the kernel, 3 x 3, is larger than the input, 2 x 5; use a smaller kernel"),
    (lambda x, w: F.conv2d(x[:, :, :2], w, padding=1, dilation=3), ShapeError,
     r"3 x 3 \(7 x 7 with its dilation\), is larger than the input, 2 x 5 \(4 x 7 with its padding\)"),
    (lambda x, w: F.conv2d(x, w, groups=3), ShapeError, "has 4 channels, which 3 groups do not divide; choose"),
    (lambda x, w: F.conv2d(x, w, groups=4), ShapeError, "6 output channels, which 4 groups do not divide"),
    (lambda x, w: F.conv2d(x, w, groups=0), ShapeError, "groups is 0; expected an integer >= 1"),
    (lambda x, w: F.conv2d(x, w, tl.zeros(5)), ShapeError,
     r"bias has shape \(5,\), and weight of shape .* makes 6 channels; expected \(6,\)"),
    (lambda x, w: F.conv2d(x[0, 0], w), ShapeError, r"input has shape \(5, 5\); expected 4 axes, \(N, C, \*size\), or 3"),
    (lambda x, w: F.conv2d(x, w[0]), ShapeError, r"weight has shape \(4, 3, 3\); expected 4 axes, \(C_out, C_in / groups"),
    (lambda x, w: F.conv2d(x, w, stride=0), ShapeError, "stride is 0; expected an integer >= 1"),
    (lambda x, w: F.conv2d(x, w, stride=(1, 2, 3)), ShapeError, r"stride is \(1, 2, 3\); expected an integer >= 1, or 2 of them"),
    (lambda x, w: F.conv2d(x, w, padding="same", stride=2), ShapeError, "padding='same' keeps the size only with stride 1"),
    (lambda x, w: F.conv2d(x, w, padding="full"), ShapeError, "padding is 'full'; expected numbers, 'same' or 'valid'"),
    (lambda x, w: F.conv2d([1.0], w), DTypeError, "input is a list; expected a tensor"),
    (lambda x, w: F.conv2d(tl.ones(1, 4, 5, 5, dtype=tl.int64), w), DTypeError, "input has dtype int64; expected a floating"),
    (lambda x, w: F.conv_transpose2d(x, w), ShapeError, r"input of shape \(2, 4, 5, 5\) has 4 channels, and weight of shape "
     r"\(6, 4, 3, 3\) expects 6; give weight the shape \(4, 4, 3, 3\)"),
    (lambda x, w: F.conv_transpose2d(x, w[:4], output_padding=1), ShapeError,
     "output_padding is 1 x 1; expected less than the stride"),
    (lambda x, w: F.conv_transpose2d(x, w[:4], padding=5), ShapeError, "would give a result of -3 x -3; use less padding"),
    (lambda x, w: F.unfold(x, 6), ShapeError, "a window of 6 x 6 with dilation 1 x 1 is larger than 5 x 5"),
    (lambda x, w: F.fold(x[0], (5, 5), 2), ShapeError, r"expected \(N, C x 4, 16\)"),
    (lambda x, w: nn.Conv2d(4, 6, 3, groups=4), ShapeError,
     "groups is 4; expected a number >= 1 that divides in_channels, 4, and"),
    (lambda x, w: nn.Conv2d(4, 6, 3, padding_mode="wrap"), ShapeError, "padding_mode is 'wrap'; expected 'zeros' or 'reflect'"),
    (lambda x, w: nn.ConvTranspose2d(4, 6, 3, padding="same"), ShapeError, "expected numbers"),
]


@pytest.mark.parametrize(("wrong", "error", "words"), ERRORS, ids=range(len(ERRORS)))
def test_errors_show_shapes_and_say_what_to_do(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        wrong(tl.ones(2, 4, 5, 5), tl.ones(6, 4, 3, 3))
