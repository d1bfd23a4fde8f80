"""Softmax cross-entropy: against its reference, array-api-strict and PyTorch, with everything that can go wrong."""
from __future__ import annotations

import zlib

import array_api_strict
import numpy as np
import pytest

from tensorlite.kernels import load

KERNEL = load("softmax_cross_entropy")
TOLERANCE = {"float16": 3e-3, "float32": 1e-5, "float64": 1e-13}
SHAPES = [
    (0, 4), (1, 1), (3, 1), (5, 2), (63, 10), (64, 10), (130, 33), (7, 64), (3, 1000), (3, 1001), (4, 3000),
    (30_000, 10), (400, 1500),
]  # fmt: skip
OPTIONS = [
    {}, {"reduction": "none"}, {"reduction": "sum"}, {"label_smoothing": 0.1}, {"weight": True},
    {"weight": True, "label_smoothing": 0.3}, {"weight": True, "label_smoothing": 1.0, "reduction": "none"},
    {"ignore_index": 0, "weight": True, "label_smoothing": 0.2}, {"ignore_index": 0, "reduction": "sum"},
]  # fmt: skip


def case(shape, dtype, options, labels="int64"):
    seed = zlib.crc32(repr((shape, dtype, options)).encode())
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    options = dict(options)
    if options.get("weight"):
        options["weight"] = rng.uniform(0.2, 2, shape[1]).astype(dtype)
    x = (3 * rng.normal(size=shape)).astype(dtype)
    t = rng.integers(0, shape[1], shape[0]).astype(labels)
    if options.get("ignore_index", -100) == -100 and labels == "int64":
        t[::5] = -100
    return x, t, options


def compare(got, expected, tolerance):
    (loss, grad), (true_loss, true_grad) = got, expected
    assert loss.shape == true_loss.shape
    np.testing.assert_allclose(loss, true_loss, rtol=tolerance, atol=tolerance)
    if grad is not None:
        largest = np.nanmax(np.abs(true_grad), initial=1e-2, where=np.isfinite(true_grad))
        np.testing.assert_allclose(grad, true_grad, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_the_reference(shape, options, dtype):
    if dtype == "float16" and options.get("reduction") == "sum" and shape[0] > 10_000:
        pytest.skip("the sum is beyond the largest float16")
    x, t, options = case(shape, dtype, options)
    weight = options.get("weight")
    wide = options | {"weight": None if weight is None else weight.astype(np.float64)}
    expected = KERNEL.reference(np, x.astype(np.float64), t, **wide)
    for version in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        loss, grad = KERNEL.cpu(version, t, **options)
        assert loss.dtype == dtype and grad.dtype == dtype and grad.shape == shape
        compare((loss, grad), expected, TOLERANCE[dtype])
    loss, grad = KERNEL.cpu(x, t, want_grad=False, **options)
    assert grad is None
    compare((loss, None), expected, TOLERANCE[dtype])
    if dtype != "float16" and x.size < 10_000:
        strict = {k: array_api_strict.asarray(v) if k == "weight" else v for k, v in options.items()}
        loss, grad = KERNEL.reference(array_api_strict, array_api_strict.asarray(x), array_api_strict.asarray(t), **strict)
        compare((np.asarray(loss), np.asarray(grad)), expected, TOLERANCE[dtype])
    assert KERNEL.cost(x, t, weight=weight).bytes >= 2 * x.nbytes


@pytest.mark.parametrize("labels", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_label_dtypes(labels):
    x, t, _ = case((9, 6), "float32", {}, labels)
    compare(KERNEL.cpu(x, t), KERNEL.reference(np, x.astype(np.float64), t), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_torch(shape, options, dtype):
    torch = pytest.importorskip("torch")
    x, t, options = case(shape, dtype, options)
    tx = torch.tensor(x, requires_grad=True)
    same = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
    loss = torch.nn.functional.cross_entropy(tx, torch.tensor(t), **same)
    loss.sum().backward()
    compare(KERNEL.cpu(x, t, **options), (loss.detach().numpy(), tx.grad.numpy()), TOLERANCE[dtype])


HARD = {
    "huge": [[1e4, -1e4, 0, 9e3], [-1e4, -1e4, -1e4, -1e4], [3e38, 0, -3e38, 1]],
    "minus infinity": [[0, -np.inf, 1, 2], [-np.inf, 1, -np.inf, -np.inf], [1, 2, 3, -np.inf]],
    "target minus infinity": [[-np.inf, 1, 2, 3], [1, -np.inf, 2, 3], [1, 2, -np.inf, 3]],
    "nothing but minus infinity": [[-np.inf] * 4, [1, 2, 3, 4], [-np.inf] * 4],
    "plus infinity": [[np.inf, 0, 0, 0], [0, 0, np.inf, np.inf], [1, 2, 3, 4]],
    "NaN": [[np.nan, 0, 0, 0], [0, 0, np.nan, 1], [1, 2, 3, 4]],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [4, 70, 1100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", HARD)
def test_hard_logits_as_torch(name, smoothing, classes, dtype):
    torch = pytest.importorskip("torch")
    x = np.full((3, classes), -2.0, dtype)
    x[:, -4:] = HARD[name]
    t = np.array([classes - 4, classes - 3, classes - 2])
    tx = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(tx, torch.tensor(t), label_smoothing=smoothing, reduction="none")
    loss.sum().backward()
    got = KERNEL.cpu(x, t, label_smoothing=smoothing, reduction="none")
    compare(got, (loss.detach().numpy(), tx.grad.numpy()), TOLERANCE[dtype])
    with np.errstate(invalid="ignore", over="ignore"):
        compare(KERNEL.reference(np, x, t, label_smoothing=smoothing, reduction="none"), got, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(0, 5), (4, 5), (4, 100)], ids=str)
def test_a_mean_of_nothing_is_nan_and_its_gradient_zero(shape):
    t = np.full(shape[0], 3)
    for function in (KERNEL.cpu, lambda *a, **k: KERNEL.reference(np, *a, **k)):
        loss, grad = function(np.ones(shape, np.float32), t, ignore_index=3)
        assert np.isnan(loss) and not grad.any() and grad.shape == shape
        loss, _ = function(np.ones(shape, np.float32), t, ignore_index=3, reduction="sum")
        assert loss == 0


@pytest.mark.parametrize("variant", ["cpu", "reference"])
@pytest.mark.parametrize("classes", [10, 100, 50_257])
@pytest.mark.parametrize("bad", [10**9, -1, "C"])
def test_labels_out_of_range(variant, classes, bad):
    bad = classes if bad == "C" else bad
    x, t = np.zeros((5, classes), np.float32), np.array([0, -100, 1, bad, -7])
    function = KERNEL.cpu if variant == "cpu" else lambda *a: KERNEL.reference(np, *a)
    with pytest.raises(IndexError, match=rf"target\[3\] is {bad}, but there are {classes} classes \(0 <= target < {classes}\)"):
        function(x, t)


@pytest.mark.parametrize("classes", [4, 1500])
def test_an_ignored_row_may_hold_anything(classes):
    x, t = np.zeros((5, classes), np.float32), np.array([1, -100, 2, -100, 3])
    x[1], x[3] = np.nan, np.inf
    loss, grad = KERNEL.cpu(x, t, reduction="none", label_smoothing=0.1)
    np.testing.assert_allclose(loss, np.where(t < 0, 0, np.log(classes)), rtol=1e-5)
    assert not grad[t < 0].any() and np.isfinite(grad).all()


@pytest.mark.parametrize("classes", [4, 1500])
def test_a_mean_with_weights_of_nothing_is_nan_as_in_torch(classes):
    weight = np.ones(classes, np.float32)
    weight[1] = 0
    for function in (KERNEL.cpu, lambda *a, **k: KERNEL.reference(np, *a, **k)):
        loss, grad = function(np.zeros((3, classes), np.float32), np.array([1, -100, 1]), weight=weight)
        assert np.isnan(loss) and np.isnan(grad[::2]).all() and not grad[1].any()


def test_wrong_shapes_and_options():
    x, t = np.zeros((3, 4), np.float32), np.zeros(3, np.int64)
    for arguments, options, message in (
        ((x[0], t), {}, r"input has shape \(4,\), expected \(N, C\)"),
        ((x, t[:2]), {}, r"target has shape \(2,\), expected \(3,\)"),
        ((x, t * 1.0), {}, "target has dtype float64, expected integers"),
        ((x, t), {"weight": np.ones(3, np.float32)}, r"weight has shape \(3,\), expected \(4,\)"),
        ((x, t), {"reduction": "max"}, "reduction is 'max'"),
        ((x, t), {"label_smoothing": 1.5}, "label_smoothing is 1.5"),
    ):
        for function in (KERNEL.cpu, lambda *a, **k: KERNEL.reference(np, *a, **k)):
            with pytest.raises(ValueError, match=message):
                function(*arguments, **options)


def test_the_gradient_is_the_derivative():
    x, t, options = case((4, 5), "float64", {"weight": True, "label_smoothing": 0.2})
    _, grad = KERNEL.cpu(x, t, **options)
    step = 1e-6
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        slope = (KERNEL.cpu(up, t, **options)[0] - KERNEL.cpu(down, t, **options)[0]) / (2 * step)
        assert abs(slope - grad[index]) < 1e-8
