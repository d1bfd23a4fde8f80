"""Bias and activation, forward and backward, on the CPU and as CUDA run on the CPU: against float64, PyTorch, and one another."""
from __future__ import annotations

import math
import zlib
from typing import Any

import array_api_strict
import ml_dtypes
import numpy as np
import pytest

from tensorlite import kernels
from tensorlite.kernels.bias_activation.reference import ACTIVATIONS
from tensorlite.kernels.bias_activation_backward.cuda import geometry
from tensorlite.kernels.bias_activation_backward.reference import FROM_OUTPUT

forward, backward, erf = (kernels.load(name) for name in ("bias_activation", "bias_activation_backward", "erf"))
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-14}
SHAPES = [(5, 7), (1, 1), (7,), (0, 4), (3, 0), (2, 3, 129), (300, 3), (64, 64), (3, 1000), (700, 1), (1031, 24)]


def case(activation: str, shape: tuple[int, ...], dtype: Any) -> list[np.ndarray]:
    """x, b, g."""
    seed = zlib.crc32(repr((activation, shape)).encode())
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=s) * k).astype(dtype) for s, k in ((shape, 3), (shape[-1:], 1), (shape, 1))]


def wide(*arrays: Any) -> list[Any]:
    return [None if a is None else a.astype(np.float64) for a in arrays]


@pytest.fixture(params=["cpu", "cuda"])
def run(request: pytest.FixtureRequest) -> Any:
    """The variant's two functions."""
    if request.param == "cpu":
        return forward.cpu, backward.cpu
    runtime = request.getfixturevalue("cuda")
    return (lambda *a, **k: forward.cuda(runtime, *a, **k)), lambda *a, **k: backward.cuda(runtime, *a, **k)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "plain"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_against_float64(run: Any, activation: str, biased: bool, shape: tuple[int, ...], dtype: Any) -> None:
    x, b, g = case(activation, shape, dtype)
    b = b if biased else None
    rtol = TOLERANCE[np.dtype(dtype).name]
    out = run[0](x, b, activation=activation)
    assert out.shape == shape and out.dtype == dtype and out is not x
    expected = forward.reference(np, *wide(x, b), activation=activation)
    np.testing.assert_allclose(out.astype(float), expected, rtol=rtol, atol=rtol / 30)
    saved = out if activation in FROM_OUTPUT else x
    dx, db = run[1](g, saved, b, activation=activation)
    expected, total = backward.reference(np, *wide(g, saved, b), activation=activation)
    assert dx.shape == shape and db.shape == shape[-1:] and dx.dtype == db.dtype == dtype
    np.testing.assert_allclose(dx.astype(float), expected, rtol=rtol, atol=rtol)
    rows = max(1, math.prod(shape[:-1]))
    np.testing.assert_allclose(db.astype(float), total, rtol=2 * rtol, atol=rtol * math.sqrt(rows))
    alone, none = run[1](g, saved, b, activation=activation, needs_db=False)
    assert none is None and np.array_equal(alone, dx)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1 << 19, 2), (1 << 20, 1), (2, 300_007), (513, 1025)], ids=str)
def test_long_and_wide_matrices(activation: str, shape: tuple[int, ...]) -> None:
    """Sums over many rows stay accurate in float32, and no thread's part is missed."""
    x, b, g = case(activation, shape, np.float32)
    out = forward.cpu(x, b, activation=activation)
    np.testing.assert_allclose(out, forward.reference(np, *wide(x, b), activation=activation), rtol=2e-6, atol=1e-7)
    saved = out if activation in FROM_OUTPUT else x
    dx, db = backward.cpu(g, saved, b, activation=activation)
    expected, total = backward.reference(np, *wide(g, saved, b), activation=activation)
    np.testing.assert_allclose(dx, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(db, total, atol=1e-6 * math.sqrt(shape[0]) + 1e-6 * np.abs(total).max())


@pytest.mark.parametrize("shape", [(20_011, 2), (30_000, 1), (257, 1030), (2, 20_003)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_many_blocks_on_cuda(cuda: Any, shape: tuple[int, ...], dtype: Any) -> None:
    x, b, g = case("silu", shape, dtype)
    rtol = TOLERANCE[np.dtype(dtype).name]
    dx, db = backward.cuda(cuda, g, x, b, activation="silu")
    expected, total = backward.reference(np, *wide(g, x, b), activation="silu")
    np.testing.assert_allclose(dx.astype(float), expected, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(db.astype(float), total, rtol=2 * rtol, atol=rtol * math.sqrt(shape[0]))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_any_layout_and_alignment(run: Any, activation: str, dtype: Any) -> None:
    x, b, g = case(activation, (48, 40), dtype)
    expected = run[0](x, b, activation=activation)
    dx, db = run[1](g, x, b, activation=activation)

    def layouts(a: np.ndarray) -> list[np.ndarray]:
        stepped = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), dtype)[..., ::2]
        stepped[...] = a
        misaligned = np.frombuffer(b"\0" * a.itemsize + a.tobytes(), dtype)[1:].reshape(a.shape)
        return [np.asfortranarray(a), stepped, misaligned]

    for x2, b2, g2 in zip(layouts(x), layouts(b), layouts(g)):
        for xs, bs, gs in ((x2, b, g), (x, b2, g), (x, b, g2), (x2, b2, g2)):
            np.testing.assert_array_equal(run[0](xs, bs, activation=activation), expected)
            again = run[1](gs, xs, bs, activation=activation)
            np.testing.assert_array_equal(again[0], dx)
            np.testing.assert_array_equal(again[1], db)


def test_order_of_threads_does_not_matter(cuda: Any) -> None:
    """A missing barrier between the sums and their reduction would show."""
    from cuda_on_cpu import thread_order

    x, b, g = case("tanh", (90, 300), np.float32)
    expected = backward.cuda(cuda, g, x, b, activation="tanh")
    for order in (-1, 1, 2):
        with thread_order(order):
            again = backward.cuda(cuda, g, x, b, activation="tanh")
        assert all(np.array_equal(a, e) for a, e in zip(again, expected))


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 64, 100, 127, 1000, 4096, 50257, 100_000])
@pytest.mark.parametrize("rows", [1, 2, 9, 1000, 3_000_000])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_geometry_keeps_packs_whole_and_lanes_busy(rows: int, columns: int, width: int) -> None:
    times, strips, parts = geometry(rows, columns, width)
    period = times * columns
    assert 1 <= times <= rows and parts >= 1 and strips * 32 * width >= period > (strips - 1) * 32 * width
    if times < rows:   # else there is one row, which starts where the array does
        assert period % width == 0 and period > 0.5 * strips * 32 * width
    assert parts == 1 or parts * 8 <= -(-rows // times)


@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
def test_against_pytorch(run: Any, activation: str) -> None:
    torch = pytest.importorskip("torch")
    x, b, g = case(activation, (65, 33), np.float32)
    tx, tb = (torch.tensor(a, requires_grad=True) for a in (x, b))
    more = {"approximate": "tanh"} if activation == "gelu_tanh" else {}
    true = getattr(torch.nn.functional, activation.removesuffix("_tanh"))(tx + tb, **more)
    true.backward(torch.tensor(g))
    out = run[0](x, b, activation=activation)
    np.testing.assert_allclose(out, true.detach().numpy(), rtol=1e-5, atol=2e-6)
    dx, db = run[1](g, out if activation in FROM_OUTPUT else x, b, activation=activation)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(db, tb.grad.numpy(), rtol=1e-5, atol=1e-5)


# units in the last place of float32, measured over [-13, 13] in steps of 1e-5: sigmoid 2.8, tanh 2.5, silu 3.5, gelu 4.4
ULP = {"sigmoid": 3.0, "tanh": 3.0, "silu": 4.0, "gelu": 5.5}


@pytest.mark.parametrize("activation", ULP)
def test_float32_in_units_in_the_last_place(run: Any, activation: str) -> None:
    near = np.geomspace(1e-30, 1, 2001)
    x = np.concatenate([np.linspace(-12.5, 12.5, 30_001), near, -near]).astype(np.float32)
    z = [float(v) for v in x]
    true = {"sigmoid": lambda v: 1 / (1 + math.exp(-v)), "tanh": math.tanh, "silu": lambda v: v / (1 + math.exp(-v)),
            "gelu": lambda v: v * 0.5 * math.erfc(-v * math.sqrt(0.5))}[activation]
    expected = np.array([true(v) for v in z])
    ulp = np.abs(run[0](x, activation=activation) - expected) / np.spacing(np.abs(expected).astype(np.float32))
    assert float(ulp.max()) < ULP[activation], float(ulp.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_infinities_and_nan(run: Any, activation: str, dtype: Any) -> None:
    x = np.array([-np.inf, -1e30, -900, -0.0, 0.0, 900, 1e30, np.inf, np.nan], dtype)
    one = np.ones_like(x)
    out = run[0](x, activation=activation)
    with np.errstate(all="ignore"):
        expected = forward.reference(np, x, activation=activation)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    slope = run[1](one, x, activation=activation, needs_db=False)[0]
    if activation in ("silu", "gelu", "gelu_tanh"):
        np.testing.assert_allclose(slope, [0, 0, 0, 0.5, 0.5, 1, 1, 1, np.nan], atol=1e-30)
    if activation == "relu":
        dx, _ = run[1](one * np.inf, x, activation=activation, needs_db=False)
        np.testing.assert_array_equal(dx, np.where(x > 0, np.inf, 0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_references_need_only_the_array_api_standard(activation: str) -> None:
    x, b, g = case(activation, (4, 6), np.float64)
    strict = [array_api_strict.asarray(a) for a in (x, b, g)]
    out = forward.reference(array_api_strict, *strict[:2], activation=activation)
    np.testing.assert_allclose(np.asarray(out), forward.reference(np, x, b, activation=activation))
    saved = out if activation in FROM_OUTPUT else strict[0]
    found = backward.reference(array_api_strict, strict[2], saved, strict[1], activation=activation)
    for a, e in zip(found, backward.reference(np, g, np.asarray(saved), b, activation=activation)):
        np.testing.assert_allclose(np.asarray(a), e)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh", "sigmoid", "tanh"])
def test_slopes_are_the_derivatives(activation: str) -> None:
    x, step = np.linspace(-6, 6, 1001), 1e-6
    f = lambda z: forward.reference(np, z, activation=activation)
    numeric = (f(x + step) - f(x - step)) / (2 * step)
    saved = f(x) if activation in FROM_OUTPUT else x
    np.testing.assert_allclose(backward.reference(np, np.ones_like(x), saved, activation=activation)[0], numeric, atol=1e-8)


def test_errors_say_what_was_given(run: Any) -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="activation is 'swish', expected one of none, relu"):
        run[0](x, activation="swish")
    with pytest.raises(ValueError, match=r"b has shape \(2,\) and x has shape \(2, 3\)"):
        run[0](x, x[:, 0], activation="relu")
    with pytest.raises(ValueError, match=r"saved has shape \(3,\), expected that of g, \(2, 3\)"):
        run[1](x, x[0], activation="relu")
    with pytest.raises(ValueError, match="g has no axes"):
        run[1](x[0, 0].reshape(()), x[0, 0].reshape(()), activation="relu")


def test_other_dtypes_are_left_to_the_reference(run: Any) -> None:
    np.testing.assert_array_equal(run[0](np.array([[-2, 3]]), np.array([1, 1]), activation="relu"), [[0, 4]])


def test_cost_counts_each_array_once() -> None:
    x, b = np.zeros((10, 4), np.float32), np.zeros(4, np.float32)
    assert forward.cost(x, b, activation="relu") == (4 * 84, 80)
    assert backward.cost(x, x, b, activation="gelu") == (4 * 128, 7 * 40)


@pytest.mark.parametrize("dtype, limit", [(np.float32, 5.5), (np.float64, 1.5)])
def test_error_function_in_units_in_the_last_place(dtype: Any, limit: float) -> None:
    x = np.concatenate([np.linspace(-6, 9, 20_001), np.geomspace(1e-30, 1, 2001), -np.geomspace(1e-30, 1, 2001)]).astype(dtype)
    for complement, true in ((False, math.erf), (True, math.erfc)):
        expected = np.array([true(float(v)) for v in x])
        out = erf.cpu(x, complement=complement)
        assert float((np.abs(out - expected) / np.spacing(np.abs(expected).astype(dtype))).max()) < limit
        ends = erf.cpu(np.array([-np.inf, np.inf, np.nan], dtype), complement=complement)
        np.testing.assert_array_equal(ends, [2, 0, np.nan] if complement else [-1, 1, np.nan])
    np.testing.assert_allclose(erf.cpu(x.astype(np.float16)), erf.reference(np, x.astype(np.float16)), rtol=1e-3)
