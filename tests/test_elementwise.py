"""What the op table does not say of elementwise functions: kinks, limits, overflow, large arrays, operators, integers."""
from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops import activation as F

rng = np.random.default_rng(5)


def gradient(function: Any, *at: Any) -> Any:
    """The gradients of the sum of the function's results."""
    leaves = [tl.tensor(np.asarray(a, np.float64), requires_grad=True) for a in at]
    with np.errstate(all="ignore"):
        found = tl.autograd.grad(tl.sum(function(*leaves)), leaves, allow_unused=True)
    return [g.numpy() for g in found] if len(at) > 1 else found[0].numpy()


# ---- zero cotangents, kinks and limits -----------------------------------------------------------------------------------

@pytest.mark.parametrize("f", [tl.sqrt, tl.log, tl.rsqrt, tl.reciprocal, lambda a: a ** 0.5, lambda a: a ** -1, lambda a: 1 / a,
                               lambda a: a / a, lambda a: a ** a, lambda a: tl.log1p(a - 1), tl.acosh, lambda a: tl.asin(a + 2)])
def test_a_masked_branch_leaves_no_nan(f: Any) -> None:
    np.testing.assert_array_equal(gradient(lambda a: tl.where(a > 0.5, f(a), a), [0.0, -1.0]), [1, 1])


def test_a_masked_branch_leaves_no_nan_in_the_second_order() -> None:
    a = tl.tensor([0.0, 4.0], dtype=tl.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        (first,) = tl.autograd.grad(tl.sum(tl.where(a > 0, tl.sqrt(a), a * a)), a, create_graph=True)
        (second,) = tl.autograd.grad(tl.sum(first), a)
    np.testing.assert_allclose(second.numpy(), [2, -1 / 32])


def test_strict_nan_keeps_them() -> None:
    with tl.config(strict_nan=True):
        assert np.isnan(gradient(lambda a: tl.where(a > 0, tl.sqrt(a), a), [0.0])).all()


def test_ties_and_kinks() -> None:
    for f in (tl.maximum, tl.minimum):
        x, y = gradient(f, [1.0, 2.0], [1.0, 5.0])
        assert x[0] == y[0] == 0.5
    assert gradient(tl.abs, [0.0]) == 0
    assert gradient(F.relu, [0.0]) == 0
    assert gradient(lambda x: tl.hypot(x, 0.0), [0.0]) == 0
    assert gradient(tl.atan2, [0.0], [0.0]) == [0, 0]
    np.testing.assert_array_equal(gradient(lambda x: tl.clip(x, 0, 1), [-1.0, 0.0, 1.0, 2.0]), [0, 1, 1, 0])
    np.testing.assert_array_equal(gradient(tl.sign, [0.0, 2.0]), [0, 0])


def test_power_at_the_edges() -> None:
    assert tl.power(tl.tensor(0.0), 0).item() == tl.power(tl.tensor(0.0), tl.tensor(0.0)).item() == 1
    x, y = gradient(tl.power, [0.0, 0.0, -2.0], [0.0, 2.0, 3.0])
    np.testing.assert_array_equal(x, [0, 0, 12])
    np.testing.assert_array_equal(y[:2], [0, 0])
    np.testing.assert_array_equal(gradient(lambda x: x ** 2, [0.0, -3.0]), [0, -6])
    np.testing.assert_array_equal(gradient(lambda x: x ** 0, [0.0, -3.0]), [0, 0])
    np.testing.assert_array_equal(gradient(lambda x: x ** 1, [0.0]), [1])
    np.testing.assert_array_equal(gradient(lambda y: 0 ** y, [0.0, 2.0]), [0, 0])
    x = rng.standard_normal(100)
    np.testing.assert_array_equal((tl.tensor(x) ** 2).numpy(), x * x)
    np.testing.assert_array_equal((tl.tensor(abs(x)) ** 0.5).numpy(), np.sqrt(abs(x)))


def test_nothing_overflows() -> None:
    x = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    with np.errstate(over="raise", invalid="raise"):
        t = tl.tensor(x)
        np.testing.assert_allclose(tl.sigmoid(t).numpy(), [0, 0, 0.5, 1, 1], atol=1e-300)
        np.testing.assert_array_equal(F.softplus(t).numpy(), tl.logaddexp(t, 0.0).numpy())
        np.testing.assert_allclose(F.logsigmoid(t).numpy(), [-1e4, -800, -np.log(2), 0, 0])
        np.testing.assert_allclose(F.silu(t).numpy(), [0, 0, 0, 800, 1e4])
        np.testing.assert_allclose(F.elu(t).numpy(), [-1, -1, 0, 800, 1e4])
        np.testing.assert_allclose(F.mish(t).numpy(), [0, 0, 0, 800, 1e4])
        assert tl.hypot(tl.tensor(3e200, dtype=tl.float64), 4e200).item() == pytest.approx(5e200)
    for f in (tl.sigmoid, F.softplus, F.logsigmoid, F.silu, F.elu, F.mish, F.gelu, lambda a: F.gelu(a, "tanh"),
              lambda a: tl.logaddexp(a, 0.0)):
        assert np.isfinite(gradient(f, x)).all()
    assert gradient(tl.logaddexp, [-np.inf], [-np.inf]) == [0.5, 0.5]


# ---- relu's gradient and the selections by bits --------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(32, 16), (100, 70)])
def test_relu_backward_selects(dtype: str, shape: tuple[int, ...]) -> None:
    x, g = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    x[0, :3], g[1], g[2] = (0.0, -0.0, 1.0), np.inf, np.nan
    leaf = tl.tensor(x, requires_grad=True)
    (found,) = tl.autograd.grad(F.relu(leaf), leaf, tl.tensor(g))
    np.testing.assert_array_equal(found.numpy(), np.where(x > 0, g, 0))
    assert found.numpy().dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "float16"])
def test_where_of_large_arrays(dtype: str) -> None:
    c = rng.random((90, 80)) > 0.5
    x, y = (100 * rng.standard_normal((2, 90, 80))).astype(dtype)
    if dtype != "int64":
        x[0], y[0, :9] = np.nan, np.inf
    for a, b in ((x, y), (x, 0), (0, y), (x, 0.0), (-0.0, y), (x, y[0]), (x.T.copy().T, y), (x, 3)):
        if dtype == "int64" and isinstance(b, float):
            continue
        got, expected = tl.where(c, a, b), np.where(c, a, b)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
        assert got.dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_of_large_arrays(dtype: str) -> None:
    x = (20 * rng.standard_normal(40_000)).astype(dtype)
    small, large = tl.sigmoid(x[:1000]), tl.sigmoid(x)
    np.testing.assert_allclose(large[:1000], small, rtol=1e-6 if dtype == "float32" else 1e-14, atol=1e-37)
    leaf = tl.tensor(x, requires_grad=True)
    (found,) = tl.autograd.grad(tl.sum(tl.sigmoid(leaf)), leaf)
    np.testing.assert_allclose(found.numpy(), large * (1 - large), rtol=1e-6)


# ---- operators and numbers -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_operators(name: str, dtype: str) -> None:
    op = getattr(operator, name)
    x, y = np.array([1, 2, 3], dtype), np.array([[2], [3]], dtype)
    for a, b in ((x, y), (x, 2), (2, x), (x, 2.0), (2.0, x), (x, np.float32(2))):
        got = op(*[tl.tensor(v) if isinstance(v, np.ndarray) else v for v in (a, b)])
        expected = op(a, b)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)
        assert got.dtype == expected.dtype, (name, a, b)


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
def test_bit_operators(name: str) -> None:
    op, x = getattr(operator, name), np.array([1, 6, 12])
    np.testing.assert_array_equal(op(tl.tensor(x), 3).numpy(), op(x, 3))
    np.testing.assert_array_equal(op(3, tl.tensor(x)).numpy(), op(3, x))
    np.testing.assert_array_equal(op(tl.tensor(x), tl.tensor(x)).numpy(), op(x, x))


def test_unary_operators_and_identity() -> None:
    x = tl.tensor([-1.0, 2.0])
    np.testing.assert_array_equal(abs(x).numpy(), [1, 2])
    np.testing.assert_array_equal((+x).numpy(), [-1, 2])
    np.testing.assert_array_equal((~tl.tensor([True, False])).numpy(), [False, True])
    assert (x == None) is False and (x != "a") is True   # noqa: E711
    assert x in {x}


def test_integers_are_as_in_numpy() -> None:
    x = np.array([1, -2, 3])
    for name in ("sqrt", "exp", "sin", "floor", "abs", "sign", "square", "tanh", "log1p"):
        with np.errstate(all="ignore"):
            got, expected = getattr(tl, name)(tl.tensor(x)).numpy(), getattr(np, name)(x)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype, name
    for name in ("sigmoid", "erf", "reciprocal"):
        assert getattr(tl, name)(tl.tensor(x)).dtype == tl.float64
    with pytest.raises(ValueError, match="power"):
        tl.tensor(x) ** -1


def test_pytorch_names() -> None:
    x, y = tl.tensor([1.0, 5.0]), tl.tensor([2.0, 3.0])
    np.testing.assert_array_equal(tl.maximum(input=x, other=y).numpy(), [2, 5])
    np.testing.assert_array_equal(tl.clamp(x, min=2, max=4).numpy(), [2, 4])
    np.testing.assert_array_equal(tl.pow(x, exponent=2).numpy(), [1, 25])
    np.testing.assert_array_equal(F.leaky_relu(input=-x, negative_slope=0.5).numpy(), [-0.5, -2.5])
    np.testing.assert_array_equal(F.glu(tl.tensor([[1.0, 0.0]]), dim=1).numpy(), [[0.5]])
    np.testing.assert_array_equal(x.where(x > 2, y).numpy(), [2, 5])
    np.testing.assert_array_equal(x.sub(y, alpha=2).numpy(), [-3, -1])


def test_numbers_alone_and_two_numbers() -> None:
    assert tl.add(1.0, 2.0).dtype == tl.float32
    assert tl.where(tl.tensor([True]), 1.0, 0.0).dtype == tl.float32
    assert tl.power(2.0, 3).item() == 8


def test_errors() -> None:
    x = tl.tensor([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"add: y has shape \(4,\), which does not broadcast with x of shape \(3,\)"):
        x + tl.zeros(4)
    with pytest.raises(ShapeError, match="glu: x has 3 elements along axis -1"):
        F.glu(x)
    with pytest.raises(ShapeError, match="prelu: weight has 2 elements; expected 1, or one for each of the 3 channels"):
        F.prelu(x, tl.zeros(2))
    with pytest.raises(DTypeError, match="gelu: approximate is 'sinh'"):
        F.gelu(x, approximate="sinh")
    with pytest.raises(DTypeError, match="divide: rounding_mode is 'up'"):
        tl.divide(x, x, rounding_mode="up")


def test_gradcheck_of_large_inputs_and_of_no_inputs() -> None:
    from tensorlite.testing import GradcheckError, gradcheck, gradgradcheck
    assert gradcheck(tl.tanh, rng.standard_normal((30, 30)), modes=("rev",))
    assert gradgradcheck(tl.tanh, rng.standard_normal(3))
    with pytest.raises(DTypeError, match="no floating input"):
        gradcheck(tl.abs, np.array([1, 2]))
    with pytest.raises(DTypeError, match="unknown"):
        gradcheck(tl.abs, np.array([1.0]), modes=("sideways",))
    with pytest.raises(GradcheckError, match="requires a gradient"):
        gradcheck(lambda x: x.detach(), np.array([1.0]))
