"""Operations against PyTorch: random shapes and options, special values, every form of index."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_compare import TF, F, close, compare, few, full_lengths, inf, lengths, many, nan, seeds, torch

import tensorlite as tl

# ---- elementwise ---------------------------------------------------------------------------------------------------------------

UNARY = ["abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg2rad", "erf", "erfc", "exp",
         "exp2", "expm1", "floor", "frac", "log", "log10", "log1p", "log2", "logit", "neg", "positive", "rad2deg", "reciprocal",
         "round", "rsqrt", "sigmoid", "sign", "sgn", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "relu"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "pow", "atan2", "hypot", "logaddexp", "logaddexp2", "xlogy",
          "copysign", "remainder", "fmod", "floor_divide"]
ACTIVATIONS = ["relu", "relu6", "elu", "selu", "celu", "leaky_relu", "gelu", "logsigmoid", "hardshrink", "tanhshrink",
               "softsign", "softplus", "softshrink", "tanh", "sigmoid", "hardsigmoid", "silu", "mish", "hardtanh", "hardswish"]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, inf, -inf, nan, 1e300, -1e300, 1e-300, -1e-300, 5e-324, 700.0, -700.0, 1e16, 3.0]
POSITIVE = {"acosh": (1.1, 3), "log": (0.1, 3), "log10": (0.1, 3), "log1p": (-0.5, 3), "log2": (0.1, 3), "logit": (0.1, 0.9),
            "rsqrt": (0.1, 3), "sqrt": (0.1, 3), "acos": (-0.9, 0.9), "asin": (-0.9, 0.9), "atanh": (-0.9, 0.9),
            "reciprocal": (0.3, 3)}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_unary(name: str, dtype: str) -> None:
    rng = np.random.default_rng(len(name))
    low, high = POSITIVE.get(name, (-2, 2))
    tight = dtype == "float64"
    for shape in ((), (0, 2), (3, 4), (33,)):
        compare(getattr(tl, name), getattr(torch, name), rng.uniform(low, high, size=shape).astype(dtype),
            second=tight and name not in ("abs", "sgn"),
                rtol=1e-9 if tight else 2e-5, atol=1e-10 if tight else 1e-5)


# What is compared at special values: all values (remainders of huge numbers by denormals excepted, where PyTorch gives nan), and
# the gradients where argument, value and PyTorch's gradient are finite. Elsewhere they differ on purpose: see
# test_special_values_on_purpose.

def special(name: str, *arrays: np.ndarray) -> None:
    mine, its = [tl.tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out, reference = getattr(tl, name)(*mine), getattr(torch, name)(*its)
        out.sum().backward()
    if name != "floor_divide":   # PyTorch has no gradient for it
        reference.sum().backward()
    want = reference.detach().numpy()
    sure = ~np.isnan(want) if name in ("remainder", "fmod") else np.full(want.shape, True)
    np.testing.assert_allclose(out.detach().numpy()[sure], want[sure], rtol=1e-9, atol=1e-15)
    for m, t in zip(mine, its):
        if t.grad is None:
            assert not np.any(m.grad.numpy())
            continue
        usual = np.logical_and.reduce([np.isfinite(a) for a in (want, t.grad.numpy(force=True), *arrays)])
        if name == "atan2":   # PyTorch squares the arguments
            usual &= np.maximum(*map(np.abs, arrays)) > 1e-150
        np.testing.assert_allclose(m.grad.numpy()[usual], t.grad.numpy(force=True)[usual], rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("name", UNARY)
def test_unary_at_special_values(name: str) -> None:
    special(name, np.array([v for v in SPECIAL if v == v]) if name in ("sign",
        "sgn") else np.array(SPECIAL))   # sign(nan): see below


@pytest.mark.parametrize("name", BINARY)
def test_binary_at_special_values(name: str) -> None:
    special(name, *(a.reshape(-1) for a in np.meshgrid(SPECIAL, SPECIAL)))


def gradient(function: Callable[..., Any], *values: float) -> list[float]:
    xs = [tl.tensor(v, requires_grad=True) for v in values]
    function(*xs).backward()
    return [x.grad.item() for x in xs]


@pytest.mark.filterwarnings("ignore:divide by zero")   # NumPy's
def test_special_values_on_purpose() -> None:
    assert np.isnan(tl.sign(tl.tensor(nan)).item())                       # PyTorch: 0
    assert gradient(tl.hypot, 0.0, 0.0) == [0, 0]                         # subgradient 0; PyTorch: nan
    assert gradient(tl.logaddexp, -inf, -inf) == [0.5, 0.5]               # as of two equal numbers; PyTorch: nan
    assert gradient(tl.power, 0.0, -1.0)[1] == 0                          # 0 wherever the base is 0; PyTorch: -inf
    assert gradient(tl.xlogy, 0.0, 0.0) == [0, 0]                         # PyTorch: 0, nan
    assert gradient(lambda x: tl.where(x > 0, tl.sqrt(x), x), 0.0) == [1]   # PyTorch: nan
    assert tl.remainder(tl.tensor(1e300, dtype=tl.float64), tl.tensor(1e-300, dtype=tl.float64)).item() == 1e300 % 1e-300


@many
@given(name=st.sampled_from(BINARY), shapes=st.tuples(lengths, lengths), ones=seeds, seed=seeds)
def test_binary_broadcasts(name: str, shapes: Any, ones: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x_shape, y_shape = shapes
    common = list(x_shape if len(x_shape) >= len(y_shape) else y_shape)
    shapes = [tuple(1 if rng.random() < 0.3 else n for n in common[len(common) - len(s):]) for s in shapes]
    x, y = (rng.uniform(0.3, 2.0, size=s) for s in shapes)
    no_torch = name in ("floor_divide",)
    compare(getattr(tl, name), getattr(torch, name), x, y, tracked=() if no_torch else None, seed=ones)


@many
@given(name=st.sampled_from(["add", "sub", "mul", "maximum", "minimum", "eq", "lt", "bitwise_and", "bitwise_xor", "remainder"]),
       dtype=st.sampled_from(["int8", "int32", "int64", "uint8", "bool"]), seed=seeds)
def test_integers(name: str, dtype: str, seed: int) -> None:
    if dtype == "bool" and name in ("sub", "remainder"):
        return   # refused by both
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 2, size=5).astype(dtype) if dtype == "bool" else rng.integers(1, 100,
        size=5).astype(dtype) for _ in "xy")
    compare(getattr(tl, name), getattr(torch, name), x, y)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    rng = np.random.default_rng(3)
    for shape in ((), (0, 3), (5, 7)):
        rough = name == "hardsigmoid"   # PyTorch's slope is a sixth in single precision, and has no derivative
        compare(getattr(F, name), getattr(TF, name), rng.normal(size=shape) * 3, second=not rough, rtol=1e-7 if rough else 1e-9)


@few
@given(seed=seeds)
def test_activations_with_options(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, a, b = rng.normal(size=(4, 6)) * 3, float(rng.uniform(0.1, 2)), float(rng.uniform(0.1, 2))
    for ours, theirs, options in (
            (F.leaky_relu, TF.leaky_relu, {"negative_slope": a}), (F.elu, TF.elu, {"alpha": a}), (F.celu, TF.celu, {"alpha": a}),
            (F.gelu, TF.gelu, {"approximate": "tanh"}), (F.softplus, TF.softplus, {"beta": a, "threshold": b}),
            (F.hardtanh, TF.hardtanh, {"min_val": -a, "max_val": b}), (F.threshold, TF.threshold, {"threshold": a, "value": b}),
            (F.hardshrink, TF.hardshrink, {"lambd": a}), (F.softshrink, TF.softshrink, {"lambd": a}), (F.glu, TF.glu, {"dim": 1}),
            (F.glu, TF.glu, {"dim": 0})):
        compare(lambda x, f=ours, o=options: f(x, **o), lambda x, f=theirs, o=options: f(x, **o), x,
                rtol=1e-6 if theirs is TF.celu else 1e-9)   # PyTorch's celu is worked out in single precision
    compare(F.prelu, TF.prelu, x, rng.uniform(size=6))
    compare(F.prelu, TF.prelu, x, rng.uniform(size=1))


# ---- reductions, softmax -------------------------------------------------------------------------------------------------------

def axes_for(draw: Any, ndim: int) -> Any:
    kind = draw(st.integers(0, 2)) if ndim else 0
    if kind == 0:
        return None
    axes = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    axes = [a - ndim if draw(st.booleans()) else a for a in axes]
    return axes[0] if kind == 1 else tuple(axes)


@many
@given(data=st.data(), name=st.sampled_from(["sum", "mean", "amax", "amin", "logsumexp", "var", "std", "norm", "prod", "any",
        "all",
                                             "nansum", "nanmean", "count_nonzero"]),
       shape=full_lengths, keep=st.booleans(), seed=seeds)
def test_reductions(data: Any, name: str, shape: tuple[int, ...], keep: bool, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=shape)
    axis = axes_for(data.draw, len(shape))
    named: dict[str, Any] = {} if axis is None else {"dim": axis}
    if name not in ("count_nonzero",) and axis is not None:
        named["keepdim"] = keep
    if name in ("any", "all", "count_nonzero"):
        x = np.where(x > 0.3, x, 0)
    if name in ("nansum", "nanmean"):
        x = np.where(x > 0.5, nan, x)
        if name == "nanmean" and not np.logical_or.reduce(~np.isnan(x), axis).all():
            return   # the mean of nothing: nan with a gradient of 0 here, of nan in PyTorch
    if name == "logsumexp" and axis is None:
        named["dim"] = tuple(range(len(shape)))
    if name == "prod" and axis is not None:
        named["dim"] = axis[0] if isinstance(axis, tuple) else axis
    if name in ("var", "std"):
        named["correction"] = seed % 2 if x.size > 1 else 0
        count = x.size if axis is None else np.prod([shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))])
        named["correction"] = 0 if count == 1 else named["correction"]
        if count == 1 and name == "std":
            return   # sqrt(0): here the gradient is 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")   # PyTorch's, of a prototype
        compare(lambda x: getattr(tl, name)(x, **named), lambda x: getattr(torch, name)(x, **named), x,
                tracked=() if name in ("any", "all", "count_nonzero") else None)


@many
@given(name=st.sampled_from(["softmax", "log_softmax"]), shape=full_lengths, axis=seeds, scale=st.sampled_from([1.0, 50.0, 1e4]),
        seed=seeds)
def test_softmax(name: str, shape: tuple[int, ...], axis: int, scale: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=shape) * scale
    axis = axis % (2 * len(shape)) - len(shape)
    compare(lambda x: getattr(tl, name)(x, axis), lambda x: getattr(torch, name)(x, axis), x)


@few
@given(shape=full_lengths, axis=seeds, seed=seeds)
def test_cumulative(shape: tuple[int, ...], axis: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, axis = rng.normal(size=shape), axis % len(shape)
    compare(lambda x: tl.cumsum(x, dim=axis), lambda x: torch.cumsum(x, dim=axis), x)
    x[rng.random(size=shape) < 0.2] = 0.0
    compare(lambda x: tl.cumprod(x, dim=axis), lambda x: torch.cumprod(x, dim=axis), x)
    compare(lambda x: tl.prod(x), lambda x: torch.prod(x), x)
    compare(lambda x: tl.diff(x, dim=axis), lambda x: torch.diff(x, dim=axis), x)


@few
@given(shape=full_lengths, axis=seeds, k=seeds, down=st.booleans(), seed=seeds)
def test_sorting(shape: tuple[int, ...], axis: int, k: int, down: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, axis = rng.permutation(int(np.prod(shape))).reshape(shape) / 4.0, axis % len(shape)
    k = k % (shape[axis] + 1)
    compare(lambda x: tl.sort(x, dim=axis, descending=down), lambda x: torch.sort(x, dim=axis, descending=down)[0], x)
    compare(lambda x: tl.argsort(x, dim=axis, descending=down), lambda x: torch.argsort(x, dim=axis, descending=down), x)
    compare(lambda x: tl.topk(x, k, dim=axis, largest=down), lambda x: torch.topk(x, k, dim=axis, largest=down), x)
    if k:
        compare(lambda x: tl.kthvalue(x, k, dim=axis), lambda x: torch.kthvalue(x, k, dim=axis), x)
    ties = rng.integers(0, 3, size=shape) * 1.0
    compare(lambda x: tl.argsort(x, dim=axis, descending=down, stable=True),
            lambda x: torch.argsort(x, dim=axis, descending=down, stable=True), ties)
    compare(lambda x: tl.sort(x, dim=axis), lambda x: torch.sort(x, dim=axis, stable=True)[0], ties)


# ---- products ------------------------------------------------------------------------------------------------------------------

@many
@given(batch=st.lists(st.integers(0, 3), max_size=2).map(tuple), sizes=st.tuples(*[st.integers(0, 3)] * 3),
        kind=st.integers(0, 8), seed=seeds)
def test_matmul(batch: tuple[int, ...], sizes: tuple[int, int, int], kind: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m, k = sizes
    left = tuple(1 if rng.random() < 0.3 else b for b in batch)
    right = tuple(1 if rng.random() < 0.3 else b for b in batch)[int(rng.integers(0, len(batch) + 1)):]
    x = {1: (k,), 2: (k,)}.get(kind, (*left, n, k))
    y = {0: (k,), 2: (k,)}.get(kind, (*right, k, m))
    compare(tl.matmul, torch.matmul, rng.normal(size=x), rng.normal(size=y))


EQUATIONS = ["ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ii->i", "ii", "ij->", "ij,ij->i", "i,j->ij", "bi,bj->bij",
    "ij,jk,kl->il", "...ij,...jk->...ik",
             "bhqd,bhkd->bhqk", "i,i", "ijk->kj", "i,ij,j->", "...i->...", "ij,kj->ik", "iij->j", "ab,cd->abcd", "i...,i...->..."]


@many
@given(equation=st.sampled_from(EQUATIONS), seed=seeds)
def test_einsum(equation: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = {c: int(rng.integers(1, 4)) for c in "abcdijklhqbk"}
    extra = tuple(rng.integers(1, 3, size=int(rng.integers(0, 3))))
    arrays = []
    for term in equation.partition("->")[0].split(","):
        head, dots, tail = term.partition("...")
        arrays.append(rng.normal(size=(*[lengths[c] for c in head], *(extra if dots else ()), *[lengths[c] for c in tail])))
    compare(lambda *a: tl.einsum(equation, *a), lambda *a: torch.einsum(equation, *a), *arrays)


@few
@given(ndims=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), seed=seeds)
def test_tensordot(ndims: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    free_x, shared, free_y = ([int(n) for n in rng.integers(1, 4, size=d)] for d in ndims)
    count = len(shared)
    compare(lambda x, y: tl.tensordot(x, y, count), lambda x, y: torch.tensordot(x, y, count),
            rng.normal(size=(*free_x, *shared)), rng.normal(size=(*shared, *free_y)))
    of_x, of_y = rng.permutation(len(free_x) + len(shared)), rng.permutation(len(shared) + len(free_y))
    x = rng.normal(size=(*free_x, *shared)).transpose(of_x)
    y = rng.normal(size=(*shared, *free_y)).transpose(of_y)
    pairs = ([int(np.flatnonzero(of_x == len(free_x) + i)[0]) for i in range(len(shared))],
             [int(np.flatnonzero(of_y == i)[0]) for i in range(len(shared))])
    compare(lambda x, y: tl.tensordot(x, y, axes=pairs), lambda x, y: torch.tensordot(x, y, dims=pairs), x, y)


# ---- indexing ------------------------------------------------------------------------------------------------------------------

@st.composite
def indices(draw: Any, shape: tuple[int, ...], negative_steps: bool) -> tuple[Any, ...]:
    """A random index of every form: integers, slices, None, Ellipsis, lists, integer arrays, one boolean array."""
    key: list[Any] = []
    axis, dots, broadcast = 0, False, draw(st.sampled_from([(), (2,), (2, 1), (3,)]))
    while True:
        kind = draw(st.sampled_from(["stop", "int", "slice", "slice", "none", "dots", "array", "bool"]))
        if kind == "none" and len(key) < 6:
            key.append(None)
        elif kind == "dots" and not dots:
            skipped = draw(st.integers(0, len(shape) - axis))
            dots, axis = True, axis + skipped
            key.append(Ellipsis)
            if draw(st.booleans()):
                # what follows the dots must index the last axes: go on as if the rest were there
                pass
        elif kind == "stop" or axis >= len(shape):
            break
        elif kind == "int" and shape[axis]:
            key.append(draw(st.integers(-shape[axis], shape[axis] - 1)))
            axis += 1
        elif kind == "slice":
            ends = st.one_of(st.none(), st.integers(-5, 5))
            step = draw(st.sampled_from([None, 1, 2, -1, -2] if negative_steps else [None, 1, 2]))
            key.append(slice(draw(ends), draw(ends), step))
            axis += 1
        elif kind == "array" and shape[axis]:
            n = shape[axis]
            size = int(np.prod(broadcast))
            key.append(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size)),
                dtype=np.int64).reshape(broadcast))
            axis += 1
        elif kind == "bool" and not any(isinstance(k, np.ndarray) for k in key):
            mask = np.array(draw(st.lists(st.booleans(), min_size=shape[axis], max_size=shape[axis])), dtype=bool)
            key.append(mask)
            axis += 1
            if draw(st.booleans()):
                break
    return tuple(key)


def for_torch(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(k) if isinstance(k, np.ndarray) else k for k in key)


def valid(x: np.ndarray, key: tuple[Any, ...]) -> bool:
    try:
        x[key]
    except IndexError:
        return False
    return True


@settings(many, max_examples=250)
@given(data=st.data(), shape=st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple), seed=seeds)
def test_indexing(data: Any, shape: tuple[int, ...], seed: int) -> None:
    """Reading and writing, gradients of both; NumPy decides on shapes, PyTorch (without negative steps) on gradients."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    steps = data.draw(st.booleans())
    key = data.draw(indices(shape, steps))
    mine = tuple(tl.asarray(k) if isinstance(k, np.ndarray) and seed % 2 else k for k in key)
    if not valid(x, key):
        with pytest.raises(IndexError):
            tl.asarray(x)[mine]
        return
    close(tl.asarray(x)[mine], x[key])
    value = rng.normal(size=x[key].shape)
    written = x.copy()
    written[key] = value
    here = tl.tensor(x)
    here[mine] = tl.asarray(value)
    close(here, written)
    places = np.arange(x.size).reshape(shape)[key]
    if steps or (len({*places.reshape(-1)}) < places.size):
        return   # PyTorch has no negative steps, and leaves open which of several writes stays
    theirs = for_torch(key)
    try:
        shape = tuple(torch.from_numpy(x)[theirs].shape)
    except IndexError:   # masks of no elements, which NumPy takes for any axis
        return
    if x[key].shape == shape:   # not so where a slice parts arrays and integers
        compare(lambda x: x[mine], lambda x: x[theirs], x)

        def ours_write(x: Any, v: Any) -> Any:
            out = x * 1.0
            out[mine] = v * v
            return out

        def its_write(x: Any, v: Any) -> Any:
            out = x * 1.0
            out[theirs] = v * v
            return out
        compare(ours_write, its_write, x, value)


@few
@given(shape=full_lengths, axis=seeds, seed=seeds)
def test_gather_and_scatter(shape: tuple[int, ...], axis: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    axis = axis % len(shape)
    x = rng.normal(size=shape)
    picked = tuple(int(rng.integers(1, 5)) if a == axis else int(rng.integers(1, n + 1)) for a, n in enumerate(shape))
    index = rng.integers(0, shape[axis], size=picked)
    src = rng.normal(size=picked)
    compare(lambda x, i: tl.gather(x, axis, i), lambda x, i: torch.gather(x, axis, i), x, index)
    compare(lambda x, i, s: tl.scatter_add(x, axis, i, s), lambda x, i, s: torch.scatter_add(x, axis, i, s), x, index, src)
    whole = rng.integers(0, shape[axis], size=[picked[a] if a == axis else n for a, n in enumerate(shape)])
    compare(lambda x, i: tl.take_along_axis(x, i, axis=axis), lambda x, i: torch.take_along_dim(x, i, dim=axis), x, whole)
    rows = rng.integers(0, shape[axis], size=4)
    added = rng.normal(size=[4 if a == axis else n for a, n in enumerate(shape)])
    compare(lambda x, i: tl.take(x, i, axis=axis), lambda x, i: torch.index_select(x, axis, i), x, rows)
    compare(lambda x, i, s: tl.index_add(x, axis, i, s), lambda x, i, s: torch.index_add(x, axis, i, s), x, rows, added)
    compare(lambda w, i: F.embedding(i, w), lambda w, i: TF.embedding(i, w), rng.normal(size=(5, 3)),
        rng.integers(0, 5, size=(2, 3)))


# ---- rearranging ---------------------------------------------------------------------------------------------------------------

@few
@given(shape=full_lengths, seed=seeds)
def test_rearranging(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, ndim = rng.normal(size=shape), len(shape)
    axes = tuple(int(a) for a in rng.permutation(ndim)[:int(rng.integers(1, ndim + 1))])
    shifts = tuple(int(n) for n in rng.integers(-5, 6, size=len(axes)))
    times = tuple(int(n) for n in rng.integers(0, 3, size=int(rng.integers(1, 5))))
    repeats = rng.integers(0, 3, size=shape[axes[0]])
    order = tuple(int(a) for a in rng.permutation(ndim))
    compare(lambda x: tl.flip(x, axes), lambda x: torch.flip(x, axes), x)
    compare(lambda x: tl.roll(x, shifts, axes), lambda x: torch.roll(x, shifts, axes), x)
    compare(lambda x: tl.roll(x, shifts[0]), lambda x: torch.roll(x, shifts[0]), x)
    compare(lambda x: tl.tile(x, times), lambda x: torch.tile(x, times), x)
    compare(lambda x: tl.repeat_interleave(x, 2, axis=axes[0]), lambda x: torch.repeat_interleave(x, 2, dim=axes[0]), x)
    compare(lambda x: tl.repeat(x, repeats, axis=axes[0]), lambda x: torch.repeat_interleave(x, torch.tensor(repeats),
        dim=axes[0]), x)
    compare(lambda x: x.permute(order).reshape(-1), lambda x: x.permute(order).reshape(-1), x)
    compare(lambda x: tl.chunk(x, 2, axes[0]), lambda x: torch.chunk(x, 2, axes[0]), x)
    compare(lambda x: tl.concat([x, x * x], axis=axes[0]), lambda x: torch.concat([x, x * x], dim=axes[0]), x)
    compare(lambda x: tl.stack([x, x * x], axis=axes[0]), lambda x: torch.stack([x, x * x], dim=axes[0]), x)
    compare(lambda x: tl.tensor_split(x, 3, axes[0]), lambda x: torch.tensor_split(x, 3, axes[0]), x)
    if ndim >= 2:
        k = int(rng.integers(-3, 4))
        compare(lambda x: tl.tril(x, k), lambda x: torch.tril(x, k), x)
        compare(lambda x: tl.triu(x, k), lambda x: torch.triu(x, k), x)
        k = int(rng.integers(-shape[-2] + 1, shape[-1]))
        compare(lambda x: tl.diagonal(x, k, dim1=-2, dim2=-1), lambda x: torch.diagonal(x, k, dim1=-2, dim2=-1), x)
        compare(lambda x: tl.rot90(x, k, (0, 1)), lambda x: torch.rot90(x, k, (0, 1)), x)


@few
@given(mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]), axes=st.integers(1, 2), seed=seeds)
def test_pad(mode: str, axes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *[int(n) for n in rng.integers(2, 5, size=axes + 1)]))
    low = -1 if mode == "constant" else 0
    pad = tuple(int(n) for n in rng.integers(low, 2, size=2 * axes))
    options = {"value": float(rng.normal())} if mode == "constant" else {}
    compare(lambda x: F.pad(x, pad, mode=mode, **options), lambda x: TF.pad(x, pad, mode=mode, **options), x)
