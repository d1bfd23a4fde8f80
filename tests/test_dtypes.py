"""Element types: half precision keeps its dtype and is near single precision, integers follow NumPy, defaults apply."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl

HALF = ["float16", "bfloat16"]
F = tl.nn.functional
LABELS = tl.tensor([0, 3, 1])


def of(name: str) -> Any:
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    return getattr(tl, name)


OPS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y, "number": lambda x, y: 2 * x - 1.5, "mul": lambda x, y: x * y, "div": lambda x,
    y: x / (abs(y) + 1), "neg": lambda x, y: -x,
    "pow": lambda x, y: x ** 3, "power": lambda x, y: abs(x) ** 2.5, "base": lambda x, y: 2.0 ** x, "erfinv": lambda x,
    y: tl.erfinv(x / 4), "pow of tensors": lambda x, y: abs(x) ** y, "square": lambda x, y: x ** 2, "sqrt": lambda x,
        y: tl.sqrt(abs(x) + 1),
    "exp": lambda x, y: tl.exp(x), "log": lambda x, y: tl.log(abs(x) + 1), "sin": lambda x, y: tl.sin(x), "tanh": lambda x,
    y: tl.tanh(x),
    "sigmoid": lambda x, y: tl.sigmoid(x), "erf": lambda x, y: tl.erf(x), "relu": lambda x, y: tl.relu(x), "gelu": lambda x,
    y: F.gelu(x),
    "gelu tanh": lambda x, y: F.gelu(x, approximate="tanh"), "silu": lambda x, y: F.silu(x), "elu": lambda x, y: F.elu(x),
    "softplus": lambda x, y: F.softplus(x), "leaky_relu": lambda x, y: F.leaky_relu(x), "hardswish": lambda x, y: F.hardswish(x),
    "maximum": lambda x, y: tl.maximum(x, y), "clip": lambda x, y: tl.clip(x, -0.5, 0.5), "where": lambda x,
    y: tl.where(x > y, x, 0.0),
    "matmul": lambda x, y: x @ y.mT, "vector": lambda x, y: x @ y[0], "einsum": lambda x, y: tl.einsum("ij,kj->ik", x, y),
    "linear": lambda x, y: F.linear(x, y, y[:, 0]), "outer": lambda x, y: tl.outer(x[0], y[0]), "tensordot": lambda x,
    y: tl.tensordot(x, y, 2),
    "sum": lambda x, y: x.sum(), "sum of an axis": lambda x, y: x.sum(0), "mean": lambda x, y: x.mean(1), "var": lambda x,
    y: x.var(1),
    "std": lambda x, y: x.std(1, correction=1), "max": lambda x, y: x.max(1), "prod": lambda x, y: x.prod(1), "norm": lambda x,
    y: x.norm(),
    "softmax": lambda x, y: x.softmax(1), "log_softmax": lambda x, y: x.log_softmax(1), "logsumexp": lambda x, y: x.logsumexp(1),
    "cumsum": lambda x, y: x.cumsum(1), "sort": lambda x, y: x.sort(1), "topk": lambda x, y: x.topk(2, 1).values,
    "layer_norm": lambda x, y: F.layer_norm(x, (4,), y[0], y[1]), "rms_norm": lambda x, y: F.rms_norm(x, (4,), eps=1e-5),
    "batch_norm": lambda x, y: F.batch_norm(x, None, None, training=True), "cross_entropy": lambda x,
    y: F.cross_entropy(x, LABELS),
    "smoothed": lambda x, y: F.cross_entropy(x, LABELS, label_smoothing=0.1, reduction="sum"),
    "probabilities": lambda x, y: F.cross_entropy(x, y.softmax(1)), "mse_loss": lambda x, y: F.mse_loss(x, y),
    "huber_loss": lambda x, y: F.huber_loss(x, y), "bce": lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()),
    "index": lambda x, y: x[1:, [0, 2]], "mask": lambda x, y: x[tl.asarray(np.eye(3, 4, dtype=bool))], "take": lambda x,
    y: tl.take(x, LABELS, axis=1),
    "gather": lambda x, y: tl.gather(x, 1, LABELS[:, None]), "scatter_add": lambda x, y: tl.scatter_add(x, 1, LABELS[:, None], y),
    "concat": lambda x, y: tl.concat([x, y]), "stack": lambda x, y: tl.stack([x, y]), "pad": lambda x,
    y: F.pad(x, (1, 1), value=0.5),
    "embedding": lambda x, y: F.embedding(LABELS[:1], x), "reshape": lambda x, y: x.mT.reshape(-1), "roll": lambda x,
    y: tl.roll(x, 1),
    "tril": lambda x, y: tl.tril(x), "expand": lambda x, y: x[0].expand(5, 4), "atan2": lambda x, y: tl.atan2(x, y),
    "logaddexp": lambda x, y: tl.logaddexp(x, y), "hypot": lambda x, y: tl.hypot(x, y), "write": lambda x, y: _written(x, y),
}


def _written(x: Any, y: Any) -> Any:
    out = x * 1
    out[0] = y[1] * 2
    return out


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", OPS)
def test_half_precision(name: str, dtype: str) -> None:
    """Forward and backward keep the dtype and are near float32 on the same (rounded) numbers."""
    wanted = of(dtype)
    rng = np.random.default_rng(0)
    data = [tl.asarray(rng.normal(size=(3, 4)).astype(np.float32)).to(wanted) for _ in "xy"]
    results = []
    for kind in (wanted, tl.float32):
        x, y = (d.to(kind).detach().requires_grad_() for d in data)
        out = OPS[name](x, y)
        assert out.dtype == kind, f"{name} gives {out.dtype}"
        out.backward(tl.ones_like(out))
        grads = [g for g in (x.grad, y.grad) if g is not None]
        assert grads and all(g.dtype == kind for g in grads), name
        results.append([np.asarray(a.detach().numpy(), dtype=np.float64) for a in (out, *grads)])
    tolerance = 0.004 if dtype == "float16" else 0.03
    for got, want in zip(*results):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", HALF)
def test_long_sums_of_half_precision(dtype: str) -> None:
    """Summed in float32: ones do not stop at 2048 (or 256)."""
    x = tl.ones(5000, dtype=of(dtype))
    for out in (x.sum(), x.mean() * 5000, x.norm() ** 2, tl.cumsum(x)[-1], tl.einsum("i,i->", x, x), x @ x,
            x.reshape(1, -1).sum(1)[0]):
        assert out.dtype == of(dtype)
        assert abs(float(out) - 5000) <= 5000 * (0.002 if dtype == "float16" else 0.02)


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_promotes_as_numpy(dtype: str) -> None:
    x = tl.ones(2, dtype=of(dtype))
    assert (x + 1).dtype == (1.5 * x).dtype == (x / 3).dtype == (x ** 2).dtype == (2.0 - x).dtype == x.dtype
    assert (x + tl.ones(2)).dtype == tl.float32 and (x * tl.ones(2, dtype=tl.float64)).dtype == tl.float64
    assert (x > 0.5).dtype == tl.bool and x.argmax().dtype == tl.int64 and x.to(tl.int32).dtype == tl.int32
    assert x.float().dtype == tl.float32 and tl.tensor([1.0], dtype=dtype).dtype == x.dtype


def test_bfloat16_is_found() -> None:
    assert tl.tensor([1.5], dtype=of("bfloat16")).tolist() == [1.5]
    assert tl.finfo(tl.bfloat16).bits == 16
    x = tl.tensor([1.0, 2.0], dtype="bfloat16", requires_grad=True)
    (x.float() * 3).sum().backward()
    assert x.grad.dtype == tl.bfloat16 and x.grad.tolist() == [3, 3]
    assert "bfloat16" in repr(x)


# ---- integers and booleans -----------------------------------------------------------------------------------------------------

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
def test_integers_and_booleans_as_numpy(dtype: str) -> None:
    a = np.array([[1, 0, 3], [2, 5, 1]]).astype(dtype)
    x = tl.asarray(a)
    pairs: list[tuple[Any, Any]] = [
        (x.sum(), a.sum()), (x.prod(0), a.prod(0)), (x.mean(), a.mean()), (x.max(1), a.max(1)), (x + x, a + a), (x * 2, a * 2),
        (x + 1.5, a + np.float64(1.5)),
        (x / 2, a / 2), (x == 1, a == 1), (x.any(), a.any()), (tl.cumsum(x, axis=1), a.cumsum(1)),
        (tl.sqrt(x.to(tl.int64)), np.sqrt(a.astype(np.int64))),
        (tl.std(x.to(tl.int64)), a.astype(np.int64).std()), (x @ x.mT, a @ a.T), (x.argmax(), a.argmax()),
        (tl.sort(x, axis=0), np.sort(a, 0)),
        (x.softmax(1).sum(), np.float64(2))]
    for got, want in pairs:
        assert got.dtype == want.dtype, (got, want)
        np.testing.assert_allclose(got.numpy(), want)
    assert not (x + x).requires_grad
    with pytest.raises(tl.errors.DTypeError, match="only floating and complex"):
        tl.tensor(a, requires_grad=True)
    with pytest.raises(tl.errors.DTypeError, match="only floating and complex"):
        x.requires_grad_()


def test_overflow_of_integers_wraps_as_numpy() -> None:
    x = tl.tensor([127], dtype=tl.int8)
    assert (x + tl.tensor([1], dtype=tl.int8)).tolist() == [-128]
    with pytest.raises((OverflowError, tl.errors.TensorliteError)):
        x + 300   # a number that the dtype cannot hold: NumPy's rule
    assert (x // 2).dtype == (x % 2).dtype == (x << 1).dtype == tl.int8
    with pytest.raises(tl.errors.DTypeError, match=r"\+=: the result has dtype"):
        x += 0.5


def test_gradients_through_casts_and_integers() -> None:
    x = tl.tensor([1.7, -2.2], requires_grad=True)
    i = tl.tensor([2, 3])
    (x * i).sum().backward()
    assert x.grad.dtype == tl.float32 and x.grad.tolist() == [2, 3]
    assert not x.to(tl.int32).requires_grad and not (x > 0).requires_grad and not x.argmax().requires_grad
    assert x.to(tl.float64).to(tl.float16).requires_grad


# ---- defaults ------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def default() -> Iterator[Callable[[Any], None]]:
    before = tl.get_default_dtype()
    yield tl.set_default_dtype
    tl.set_default_dtype(before)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_set_default_dtype(default: Callable[[Any], None], name: str) -> None:
    wanted = of(name)
    default(wanted)
    made = [tl.tensor(1.5), tl.tensor([1.5, 2]), tl.asarray([1.5]), tl.zeros(2), tl.ones(2), tl.full((2,), 0.5), tl.eye(2),
        tl.linspace(0, 1, 3),
            tl.arange(0.0, 1.0, 0.5), tl.rand(2), tl.randn(2), tl.nn.Linear(2, 2).weight]
    assert [m.dtype for m in made] == [wanted] * len(made)
    assert tl.tensor(np.ones(2)).dtype == tl.float64 and tl.tensor([1]).dtype == tl.int64 and tl.tensor(True).dtype == tl.bool
    assert (tl.ones(2, dtype=tl.float32) * 1.5).dtype == tl.float32
    assert (tl.tensor([1]) / 2).dtype == tl.float64   # NumPy's
    assert tl.__array_namespace_info__().default_dtypes()["real floating"] == wanted
    with pytest.raises(tl.errors.DTypeError, match="set_default_dtype"):
        default(tl.int64)
