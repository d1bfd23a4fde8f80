"""Indexing in every form: NumPy's values, gradients against their definition, and errors that say what is out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorlite as tl
from tensorlite import backends
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.ops import _index, indexing

A = np.arange(24.0).reshape(2, 3, 4)
MASK = A % 5 > 1.5

KEYS: list[Any] = [
    0,
    -1,
    slice(1, None),
    slice(None, None, -1),
    slice(None, None, -2),
    Ellipsis,
    None,
    (),
    (0, 1),
    (0, 1, 2),
    (..., 0),
    (slice(None), 1),
    (None, 0),
    (0, None, 1),
    (..., None),
    (slice(0, 0),),
    (slice(1, 5), slice(None, None, 2)),
    np.int64(1),
    (np.int32(0), ..., np.uint8(1)),
    [0, 1],
    [1, 1, 0],
    [-1],
    [],
    [[0, 1], [1, 0]],
    (slice(None), [0, 2, 2]),
    (..., [3, 0]),
    ([0, 1], [1, 2]),
    ([0, 1], slice(None), [1, 3]),
    (slice(None), [0, 1], [1, 2]),
    (0, [1, 2]),
    (0, slice(None), [1, 2]),
    ([1, 0], ..., 2),
    ([[0], [1]], [[0, 2]]),
    (None, [0, 1]),
    ([0, 1], None, [1, 2]),
    (slice(None), [0, 2], None, slice(1, 3)),
    range(2),
    np.array([1, 0], np.uint8),
    np.array(1),
    MASK,
    MASK[:, :, 0],
    MASK[:, 0, 0],
    (0, MASK[0]),
    (slice(None), MASK[0]),
    (..., MASK[0, 0]),
    (MASK[:, 0, 0], slice(None), [True, False, True, False]),
    (slice(None), [True, False, True], [0, 1]),
    np.zeros_like(MASK),
    True,
    False,
    (True, 0),
    (0, np.True_),
    (slice(None), np.array(True)),
    ([0, 1], [0, 1], [0, 1]),
    (1, [0, 1], [0, 1]),
    ([1, 1, 1, 0], [2, 2, 2, 0], [3, 3, 1, -4]),
]


@pytest.fixture(params=KEYS, ids=[str(k)[:40].replace("\n", " ") for k in KEYS])
def key(request: pytest.FixtureRequest) -> Any:
    return request.param


def counts(key: Any) -> Any:
    """How often each element of A is picked, with weights: the gradient of (weights * A[key]).sum()."""
    places = np.arange(A.size).reshape(A.shape)[key]
    weights = np.random.default_rng(0).normal(size=places.shape)
    return weights, np.bincount(places.reshape(-1), weights.reshape(-1), A.size).reshape(A.shape)


def test_read_and_gradient(key: Any) -> None:
    x = tl.tensor(A, requires_grad=True)
    out = x[key]
    np.testing.assert_array_equal(out.detach().numpy(), A[key])
    assert out.shape == A[key].shape and out.dtype == tl.float64
    weights, expected = counts(key)
    (out * tl.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-14)


def test_float32_and_integers(key: Any) -> None:
    x = tl.tensor(A.astype(np.float32), requires_grad=True)
    weights, expected = counts(key)
    (x[key] * tl.tensor(weights.astype(np.float32))).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-6)
    assert x.grad.dtype == tl.float32
    np.testing.assert_array_equal(tl.tensor(A.astype(np.int32))[key].numpy(), A.astype(np.int32)[key])


def test_reference_equals_numpy(key: Any) -> None:
    """The reference over the standard's names alone, run with array-api-strict."""
    pytest.importorskip("array_api_strict")
    from strict_backend import backend

    strict = backend.xp
    x = tl.tensor(A)
    spec, arrays = _index.parse(x, key)
    arrays = tuple(strict.asarray(a.value if isinstance(a, tl.Tensor) else a) for a in arrays)
    out = _index.select(strict, strict.asarray(A), *arrays, spec=spec)
    np.testing.assert_array_equal(np.asarray(out), A[key])
    weights, expected = counts(key)
    back = _index.add_into(strict, strict.asarray(weights), *arrays, spec=spec, shape=A.shape)
    np.testing.assert_allclose(np.asarray(back), expected, atol=1e-14)
    put = _index.put_into(strict, strict.asarray(A), strict.asarray(weights), *arrays, spec=spec)
    b = A.copy()
    b[key] = weights
    np.testing.assert_array_equal(np.asarray(put), b)


def test_write_and_gradients(key: Any) -> None:
    weights, _ = counts(key)
    outer = np.random.default_rng(1).normal(size=A.shape)
    for value in (weights, 3.0, np.array(2.0)):
        x, v = tl.tensor(A, requires_grad=True), tl.tensor(value, dtype=tl.float64, requires_grad=True)
        y = x * 1
        memory = y.value
        y[key] = v
        b = A.copy()
        b[key] = value
        assert y.value is memory
        np.testing.assert_array_equal(y.detach().numpy(), b)
        np.testing.assert_array_equal(tl.put(x.detach(), key, v.detach()).numpy(), b)
        (y * tl.tensor(outer)).sum().backward()
        touched = np.zeros(A.shape, bool)
        touched[key] = True
        np.testing.assert_allclose(x.grad.numpy(), np.where(touched, 0, outer))
        # the value that stays at a place named twice is the last one
        numbers = np.full(A.shape, -1)
        numbers[key] = np.arange(weights.size).reshape(weights.shape)
        each = np.zeros(weights.size)
        each[numbers[numbers >= 0]] = outer[numbers >= 0]
        expected = each.reshape(weights.shape) if np.ndim(value) else each.sum()
        np.testing.assert_allclose(v.grad.numpy(), expected, atol=1e-13)


def test_tensors_as_indices(key: Any) -> None:
    def wrapped(k: Any) -> Any:
        return tl.tensor(k) if isinstance(k, (np.ndarray, list)) and np.asarray(k).size else k

    keys = tuple(wrapped(k) for k in key) if isinstance(key, tuple) else wrapped(key)
    np.testing.assert_array_equal(tl.tensor(A)[keys].numpy(), A[key])


def test_second_order(key: Any) -> None:
    x = tl.tensor(A, requires_grad=True)
    y = x[key] ** 3
    (g,) = tl.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = tl.autograd.grad((g * g).sum(), x)
    _, _ = counts(key)
    times = np.bincount(np.arange(A.size).reshape(A.shape)[key].reshape(-1), minlength=A.size).reshape(A.shape)
    np.testing.assert_allclose(h.numpy(), 2 * 9 * 2 * 2 * times**2 * A**3 / 2, rtol=1e-12)


def test_basic_indices_are_views_others_copies() -> None:
    x = tl.zeros(3, 4)
    x[0].add_(1)
    x[1, 1:3] += 2
    x[2][0] = 7
    x[0, 0].mul_(5)
    x[[0]].add_(100)
    assert x.tolist() == [[5, 1, 1, 1], [0, 2, 2, 0], [7, 0, 0, 0]]


@pytest.mark.parametrize(
    "key, text",
    [
        (2, r"getitem: index 2 is out of range for axis 0 of length 2 \(shape \(2, 3, 4\)\); valid are -2 to 1"),
        (-3, "index -3 is out of range for axis 0 of length 2"),
        ((0, 3), "index 3 is out of range for axis 1 of length 3"),
        ((..., 4), "index 4 is out of range for axis 2 of length 4"),
        ([0, 5], "index 5 is out of range for axis 0 of length 2"),
        ((slice(None), [0, -4]), "index -4 is out of range for axis 1 of length 3"),
        ((0, 0, 0, 0), r"too many indices: 4 for a tensor with 3 axes"),
        ((0, ..., 0, ...), "one ellipsis"),
        (np.ones(3, bool), r"the boolean index has shape \(3,\), but the axes it indexes \(0 to 0\) have shape \(2,\)"),
        (([0, 1], [0, 1, 2]), "do not broadcast with each other"),
    ],
)
def test_out_of_range(key: Any, text: str) -> None:
    x = tl.tensor(A)
    with pytest.raises(OutOfRangeError, match=text):
        x[key]
    with pytest.raises(IndexError, match=text.replace("getitem", "setitem")):
        x[key] = 0.0
    with pytest.raises(OutOfRangeError):
        _index.select(np, A, *_index.parse(x, key)[1], spec=_index.parse(x, key)[0])
    np.testing.assert_array_equal(x.numpy(), A)


@pytest.mark.parametrize("key", [1.0, "a", [0.5], (0, 1.5), np.array([1.0]), slice(0, 1.5), 2j, object()])
def test_no_index(key: Any) -> None:
    x = tl.tensor(A)
    with pytest.raises(DTypeError):
        x[key]
    with pytest.raises(TypeError):
        x[key] = 1.0


def test_written_values() -> None:
    x = tl.zeros(2, 3)
    x[:] = [1, 2, 3]
    x[0, 1:] = np.array([5, 6])
    x[1] = tl.tensor([7, 8, 9])
    x[0, 0] = True
    assert x.tolist() == [[1, 5, 6], [7, 8, 9]] and x.dtype == tl.float32
    i = tl.zeros(3, dtype=tl.int64)
    i[0] = 2.7
    i[1] = tl.tensor(3.9, requires_grad=True)
    assert i.tolist() == [2, 3, 0] and not i.requires_grad
    with pytest.raises(ShapeError, match=r"setitem: the value has shape \(2,\), which does not broadcast to the shape \(3,\)"):
        x[0] = tl.tensor([1.0, 2.0])
    v = tl.ones(1, 1, 3, requires_grad=True)
    y = tl.zeros(2, 3)
    y[0] = v  # NumPy drops leading ones
    (y * 2).sum().backward()
    assert v.grad.tolist() == [[[2, 2, 2]]]


def test_overlap() -> None:
    x = tl.arange(5, dtype=tl.float64, requires_grad=True)
    y = x * 1
    y[1:] = y[:-1]
    assert y.tolist() == [0, 0, 1, 2, 3]
    (y * tl.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()
    assert x.grad.tolist() == [3, 3, 4, 5, 0]


def test_functions_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, src = rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    index = rng.integers(0, 4, size=(3, 5))
    rows = np.array([2, 0, 2])
    unique = np.array([3, 0, 1])
    for name, args in {
        "gather": (0, index),
        "scatter_add": (0, index, src),
        "index_select": (0, rows),
        "index_add": (0, rows, src),
        "index_copy": (0, unique, src),
        "index_fill": (0, unique, 2.5),
        "masked_fill": (x > 0, 1.5),
        "masked_select": (x > 0,),
        "masked_scatter": (x > 1, src),
        "scatter": (0, np.argsort(rng.normal(size=(4, 5)), axis=0)[:3], src),
    }.items():
        mine = [tl.tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a for a in (x, *args)]
        its = [torch.tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a for a in (x, *args)]
        out, expected = getattr(mine[0], name)(*mine[1:]), getattr(its[0], name)(*its[1:])
        np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), err_msg=name)
        (out * out).sum().backward()
        (expected * expected).sum().backward()
        for m, t in zip(mine, its):
            if isinstance(m, tl.Tensor) and m.requires_grad:
                np.testing.assert_allclose(m.grad.numpy(), t.grad.numpy(), err_msg=name, atol=1e-14)
    values = rng.normal(size=3)
    pair = (np.array([0, 1, 0]), np.array([2, 2, 2]))
    got = tl.tensor(x).index_put(tuple(map(tl.tensor, pair)), tl.tensor(values), accumulate=True)
    expected = torch.tensor(x).index_put(tuple(map(torch.tensor, pair)), torch.tensor(values), accumulate=True)
    np.testing.assert_allclose(got.numpy(), expected.numpy())


def test_sums_over_repeated_indices_are_always_the_same() -> None:
    rng = np.random.default_rng(0)
    index, g = rng.integers(0, 50, 4000), rng.normal(size=(4000, 8)).astype(np.float32)
    spec = (_index.ARRAY, Ellipsis)
    first = indexing.put_add_p(g, index, spec=spec, shape=(50, 8))
    assert all((indexing.put_add_p(g, index, spec=spec, shape=(50, 8)) == first).all() for _ in range(3))
    expected = np.zeros((50, 8))
    np.add.at(expected, index, g.astype(np.float64))
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-4)


def test_plain_arrays_give_plain_arrays() -> None:
    assert type(tl.take(A, np.array([0]), axis=1)) is np.ndarray
    assert type(tl.gather(A, 0, np.zeros((1, 3, 4), int))) is np.ndarray
    assert backends.backend_of(tl.masked_select(A, MASK)).name == "numpy"


@st.composite
def random_key(draw: Any) -> Any:
    def entry(n: int) -> Any:
        whole = st.integers(-n, n - 1)
        return st.one_of(
            whole,
            st.just(slice(None)),
            st.builds(
                slice, st.none() | st.integers(-5, 5), st.none() | st.integers(-5, 5), st.sampled_from([None, 1, 2, -1, -2])
            ),
            st.lists(whole, min_size=2, max_size=2),
            st.lists(st.booleans(), min_size=n, max_size=n),
        )

    entries = [draw(entry(n)) for n in A.shape[: draw(st.integers(0, 3))]]
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis]), max_size=2, unique=True)):
        entries.insert(draw(st.integers(0, len(entries))), extra)
    return tuple(entries)


@settings(max_examples=150, deadline=None)
@given(random_key())
def test_any_key_does_what_numpy_does(key: Any) -> None:
    try:
        expected = A[key]
    except IndexError:
        with pytest.raises(IndexError):
            tl.tensor(A)[key]
        return
    test_read_and_gradient.__wrapped__(key) if hasattr(test_read_and_gradient, "__wrapped__") else test_read_and_gradient(key)
    spec, arrays = _index.parse(tl.tensor(A), key)
    np.testing.assert_array_equal(_index.select(np, A, *arrays, spec=spec), expected)
    test_write_and_gradients(key)
