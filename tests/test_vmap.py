"""vmap: axes, errors, nesting with every transform, random numbers, changes in place, modules, operations without a rule."""
from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
import torch

import tensorlite as tl
import tensorlite.ops
from tensorlite import nn
from tensorlite.engine import batching
from tensorlite.engine.primitive import REGISTRY
from tensorlite.errors import DTypeError, GradError, LeakError, OutOfRangeError, ShapeError, VmapError
from tensorlite.func import grad, hessian, jacfwd, jacrev, jvp, value_and_grad, vjp, vmap
from tensorlite.func._functional import functional_call
from tensorlite.nn import functional as F

for _module in pkgutil.iter_modules(tensorlite.ops.__path__):
    importlib.import_module(f"tensorlite.ops.{_module.name}")
KNOWN = dict(REGISTRY)
SEED = 0


def normal(*shape: int) -> Any:
    return tl.tensor(np.random.default_rng([SEED, *shape]).standard_normal(shape))


def array(x: Any) -> Any:
    return np.asarray(x.detach().numpy())


def same(got: Any, expected: Any, rtol: float = 1e-12) -> None:
    got, expected = [array(x) if isinstance(x, tl.Tensor) else np.asarray(x) for x in (got, expected)]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-13)


def loop(f: Any, *batches: Any) -> Any:
    return np.stack([array(f(*row)) for row in zip(*batches)])


def draw(function: Any) -> Any:
    tl.manual_seed(SEED)
    return function()


# ---- which operations have which rule --------------------------------------------------------------------------------------

LOOPED: set[str] = set()   # one by one
# the reference runs on the batched values: what writes into its arguments and is refused on a batch before
DECOMPOSED = {"running_moments"}


def test_operations_without_a_batching_rule() -> None:
    rules = {name: batching.rule_of(op) for name, op in KNOWN.items()}
    assert {name for name, rule in rules.items() if rule is batching.looped} == LOOPED
    assert {name for name, rule in rules.items() if rule is batching.decompose} == DECOMPOSED


# ---- axes ------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_in_axes_and_out_axes(axis: int) -> None:
    x = normal(2, 3, 4)
    out = vmap(lambda v: v * 2 + v.sum(), in_axes=axis, out_axes=axis)(x)
    a = np.moveaxis(array(x), axis, 0)
    same(out, np.moveaxis(np.stack([v * 2 + v.sum() for v in a]), 0, axis))


def test_axes_as_trees() -> None:
    x, y, z = normal(3, 2), normal(2, 3), normal(2)
    args = ({"a": x, "b": [y, z]}, 2.0)
    f = lambda tree, k: {"sum": tree["a"] + tree["b"][0] + tree["b"][1] * k, "last": tree["a"][0]}
    expected = array(x) + array(y).T + array(z) * 2
    for axes in (({"a": 0, "b": [1, None]}, None), [{"a": 0, "b": (1, None)}, None], ({"a": -2, "b": [-1, None]}, None)):
        out = vmap(f, in_axes=axes, out_axes={"sum": 1, "last": 0})(*args)
        same(out["sum"], expected.T)
        same(out["last"], array(x)[:, 0])
    prefix = vmap(lambda tree: tree["a"] + tree["b"][0], in_axes=({"a": 0, "b": 1},))({"a": x, "b": [y, normal(4, 3)]})
    same(prefix, array(x) + array(y).T)
    assert vmap(lambda v: (v, [v, {"k": v}]), out_axes=(0, [1, {"k": -1}]))(x)[1][1]["k"].shape == (2, 3)
    assert vmap(lambda v: [v, v], out_axes=1)(x)[0].shape == (2, 3)
    same(vmap(lambda v: v, in_dims=1, out_dims=1)(x), x)


def test_named_tuples_none_numbers_and_arrays() -> None:
    from collections import namedtuple
    Pair = namedtuple("Pair", "left right")
    x = normal(3, 2)
    out = vmap(lambda p, n: Pair(p.left + n, None if p.right is None else p.right * 2), in_axes=(0, None))(Pair(x, x), 1.0)
    same(out.left, array(x) + 1)
    same(out.right, array(x) * 2)
    same(vmap(lambda v: v + 1)(array(x)), array(x) + 1)
    assert vmap(lambda p: p.left, in_axes=(0,))(Pair(x, None)).shape == (3, 2)


def test_keyword_arguments_are_shared() -> None:
    x, w = normal(3, 2), normal(2)
    same(vmap(lambda v, w=None, scale=1: (v * w).sum() * scale)(x, w=w, scale=3), (array(x) * array(w)).sum(1) * 3)


def test_results_that_are_not_batched() -> None:
    x = normal(3, 2)
    out = vmap(lambda v: (tl.ones(2), 4, True, v.shape[0], v > 0, v.argmax()))(x)
    assert [tuple(o.shape) for o in out] == [(3, 2), (3,), (3,), (3,), (3, 2), (3,)]
    assert [str(o.dtype) for o in out[3:]] == ["int64", "bool", "int64"]
    kept = vmap(lambda v: (tl.ones(2), v), out_axes=(None, 0))(x)
    assert kept[0].shape == (2,)


def test_empty_inner_axes_and_a_batch_of_one() -> None:
    out = vmap(lambda v: (v.sum(), v * 2, tl.concat([v, tl.ones(1)])))(tl.zeros(2, 0))
    assert [tuple(o.shape) for o in out] == [(2,), (2, 0), (2, 1)]
    same(vmap(lambda v: v @ v)(tl.zeros(2, 0)), [0.0, 0.0])
    same(vmap(lambda v: v.sum())(normal(1, 3)), array(normal(1, 3)).sum(1))


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 100])
def test_chunks(chunk_size: int) -> None:
    x = normal(2, 7)
    out = vmap(lambda v: (v * 2, 3, v.sum()), in_axes=1, out_axes=(1, None, 0), chunk_size=chunk_size)(x)
    same(out[0], array(x) * 2)
    assert out[1].shape == ()
    same(out[2], array(x).sum(0))


@pytest.mark.parametrize(("call", "words"), [
    (lambda x: vmap(lambda v: v, in_axes=2)(x), r"leaf 0.*axis 2.*shape \(3, 2\)"),
    (lambda x: vmap(lambda v: v, in_axes=-3)(x), "axis -3"),
    (lambda x: vmap(lambda v, w: v, in_axes=(0, 1))(x, x), r"different lengths: leaf 0 of shape \(3, 2\) has 3 along axis 0"),
    (lambda x: vmap(lambda v: v, in_axes=None)(x), "None for all"),
    (lambda x: vmap(lambda v: v, in_axes=(None,))(x), "None for all"),
    (lambda x: vmap(lambda v: v, in_axes=(0, 0))(x), "does not fit"),
    (lambda x: vmap(lambda v: v, in_axes=({"b": 0},))({"a": x}), "does not fit"),
    (lambda x: vmap(lambda v: v, in_axes=1.0)(x), "holds 1.0"),
    (lambda x: vmap(lambda v: v, in_axes=True)(x), "holds True"),
    (lambda x: vmap(lambda v, n: v)(x, 2.0), "float; give None"),
    (lambda x: vmap(lambda v: v)(x[0, 0]), r"shape \(\)"),
    (lambda x: vmap(lambda v: v)(x[:0]), "empty"),
    (lambda x: vmap(lambda v: v, out_axes=2)(x), r"out_axes is 2 for result 0"),
    (lambda x: vmap(lambda v: v, out_axes=None)(x), "out_axes is None for result 0"),
    (lambda x: vmap(lambda v: (v, v), out_axes=(0,))(x), "does not fit"),
    (lambda x: vmap(lambda v: v, randomness="maybe")(x), "'maybe'; expected one of 'error', 'different', 'same'"),
    (lambda x: vmap(lambda v: v, branching="yes")(x), "expected one of 'error', 'group'"),
    (lambda x: vmap(lambda v: v, chunk_size=0)(x), "at least 1"),
    (lambda x: vmap(lambda v: "text")(x), "returned a str"),
    (lambda x: vmap(lambda v: object())(x), "returned a object"),
])
def test_errors_of_axes_and_options(call: Any, words: str) -> None:
    with pytest.raises(VmapError, match=words):
        call(normal(3, 2))


# ---- values that are asked for ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("ask", [
    bool, int, float, complex, np.asarray, lambda v: v.item(), lambda v: v.tolist(), lambda v: v.numpy(), lambda v: v if v else 0,
    lambda v: 0 < v < 1, lambda v: v in (1, 2), lambda v: [1, 2][v.int()], lambda v: tl.tensor([v, v]),
    lambda v: tl.allclose(v, v), lambda v: tl.arange(5)[:v.int()], lambda v: max(v, 0), lambda v: range(v.int()),
])
def test_values_cannot_be_looked_at(ask: Any) -> None:
    with pytest.raises(VmapError, match="asked for its value"):
        vmap(lambda v: (ask(v), v)[1])(tl.tensor([1.0, 2.0]))


def test_what_does_not_need_values_works() -> None:
    x = normal(3, 2)
    same(vmap(lambda v: sum(e * k for k, e in enumerate(v)) + len(v) + v.ndim + v.numel())(x), array(x)[:, 1] + 5)
    same(vmap(lambda v: tl.tensor(v) * 2)(x), array(x) * 2)
    same(vmap(lambda v: np.sin(v))(x), np.sin(array(x)))
    same(vmap(lambda v: v.copy() if hasattr(v, "copy") else v.clone())(x), x)
    first, rest = vmap(lambda v: tuple(v))(x)
    same(first, array(x)[:, 0])
    same(rest, array(x)[:, 1])
    seen = []
    vmap(lambda v: (seen.append((repr(v), f"{v.shape}", str(v.dtype), v.device)), v)[1])(x)
    assert seen == [("tensor(<a batch of 3 of shape (2,), dtype float64>)", "(2,)", "float64", "cpu")]


@pytest.mark.parametrize("use", [
    lambda v: v + 1, lambda v: bool(v[0] > 0), lambda v: v.sum().item(), lambda v: vmap(lambda w: w * 2)(v),
    lambda v: tl.stack([v, v])])
def test_a_value_that_leaks_is_refused(use: Any) -> None:
    kept = []
    vmap(lambda v: (kept.append(v), v)[1])(normal(3, 2))
    with pytest.raises(LeakError, match="has ended"):
        use(kept[0])


def test_an_exception_closes_the_level() -> None:
    kept = []

    def fail(v: Any) -> Any:
        kept.append(v)
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        vmap(fail)(normal(3, 2))
    with pytest.raises(LeakError):
        kept[0] + 1
    same(tl.rand(2) * 0, [0, 0])   # no vmap is open that would ask for randomness=


# ---- nesting ---------------------------------------------------------------------------------------------------------------

def f(x: Any) -> Any:
    return (tl.sin(x) * x.sum()).sum() + (x ** 3).sum()


def test_vmap_of_vmap() -> None:
    x, y = normal(3, 2), normal(4, 2)
    same(vmap(vmap(lambda a, b: (a * b).sum(), in_axes=(None, 0)), in_axes=(0, None))(x, y), array(x) @ array(y).T)
    same(vmap(lambda a: vmap(lambda b: vmap(lambda c: a.sum() + b.sum() + c)(b))(y))(x),
         array(x).sum(1)[:, None, None] + array(y).sum(1)[None, :, None] + array(y)[None])


@pytest.mark.parametrize("transform", [
    grad, jacrev, jacfwd, hessian, lambda g: grad(lambda x: grad(g)(x).sum()), lambda g: jacrev(grad(g)),
    lambda g: jacfwd(grad(g)),
    lambda g: lambda x: jvp(g, (x,), (x * x,))[1], lambda g: lambda x: jvp(grad(g), (x,), (tl.cos(x),))[1],
    lambda g: lambda x: vjp(lambda y: g(y) * y, x)[1](tl.sin(x))[0], lambda g: lambda x: value_and_grad(g)(x)[0],
    lambda g: lambda x: jacrev(lambda s: vmap(lambda e: g(x * e))(s))(x),
    lambda g: hessian(lambda x: vmap(tl.sin)(x).prod() + g(x)),
])
def test_vmap_of_other_transforms(transform: Any) -> None:
    x = normal(4, 3)
    same(vmap(transform(f))(x), loop(transform(f), x), 1e-11)
    same(vmap(vmap(transform(f)))(tl.stack([x, x * 2])), np.stack([loop(transform(f), x), loop(transform(f), x * 2)]), 1e-11)


@pytest.mark.parametrize("transform", [
    lambda g, x: grad(lambda v: (g(v) * tl.arange(1.0, 5.0)).sum())(x), lambda g, x: jacrev(g)(x), lambda g, x: jacfwd(g)(x),
    lambda g, x: jvp(g, (x,), (tl.cos(x),))[1], lambda g, x: hessian(lambda v: (g(v) ** 2).sum())(x),
    lambda g, x: vjp(g, x)[1](tl.arange(1.0, 5.0, dtype=tl.float64))[0],
    lambda g, x: grad(lambda v: grad(lambda w: g(w).sum())(v).sum())(x),
])
def test_other_transforms_of_vmap(transform: Any) -> None:
    x = normal(4, 3)
    plain = lambda v: tl.stack([f(row) for row in v])
    same(transform(vmap(f), x), transform(plain, x), 1e-11)


def test_the_tape_of_level_0_goes_through() -> None:
    x, w = normal(4, 3), tl.tensor(np.arange(3.0), requires_grad=True)
    leaf = tl.tensor(array(x), requires_grad=True)
    out = vmap(lambda v: tl.tanh(v * w).sum())(leaf)
    assert out.requires_grad
    out.sum().backward()
    again_w, again_x = tl.tensor(np.arange(3.0), requires_grad=True), tl.tensor(array(x), requires_grad=True)
    tl.tanh(again_x * again_w).sum().backward()
    same(w.grad, again_w.grad)
    same(leaf.grad, again_x.grad)
    cubes = [vmap(lambda v: (v * w).sum() ** 3)(leaf).sum(), ((leaf * w).sum(1) ** 3).sum()]
    same(*[tl.autograd.grad(tl.autograd.grad(c, w, create_graph=True)[0].sum(), w)[0] for c in cubes])
    with tl.no_grad():
        assert not vmap(lambda v: v * w)(leaf).requires_grad
    assert not vmap(lambda v: (v * w).detach())(leaf).requires_grad


def test_autocast_inside() -> None:
    x, w = tl.ones(4, 3), tl.ones(2, 3)
    with tl.amp.autocast("cpu", dtype=tl.float16):
        assert vmap(lambda v: F.linear(v, w))(x).dtype == F.linear(x, w).dtype == tl.float16


# ---- changes in place ------------------------------------------------------------------------------------------------------

def test_changes_in_place() -> None:
    def change(v: Any, n: Any) -> Any:
        out = v * 1
        part = out[1:]
        part += 10
        out[0] = v.sum()
        out[n] *= 2
        part[-1:].mul_(3)
        return out, part
    x, n = normal(4, 3), tl.tensor([0, 1, 2, 1])
    out, part = vmap(change)(x, n)
    loops = [change(tl.tensor(v), m) for v, m in zip(array(x), array(n).tolist())]
    same(out, np.stack([array(o) for o, _ in loops]))
    same(part, np.stack([array(p) for _, p in loops]))
    g = grad(lambda v, m: (change(v, m)[0] ** 2).sum())
    same(vmap(g)(x, n), np.stack([array(g(tl.tensor(v), m)) for v, m in zip(array(x), array(n).tolist())]))


def test_an_argument_that_is_changed_is_not_changed_outside() -> None:
    x = tl.zeros(2, 2)
    same(vmap(lambda v: v.add_(1))(x), np.ones((2, 2)))
    same(x, np.zeros((2, 2)))


def test_what_differs_is_not_written_into_what_does_not() -> None:
    x, shared = normal(3, 2), tl.zeros(2)
    for write in (lambda v: shared.__setitem__(0, v[0]), lambda v: shared.__iadd__(v), lambda v: shared.copy_(v),
                  lambda v: shared.__setitem__(v.argmax(), 1.0)):
        with pytest.raises(GradError, match="new_zeros"):
            vmap(lambda v, w=write: (w(v), v)[1])(x)
    same(shared, [0.0, 0.0])

    def filled(v: Any) -> Any:
        out = v.new_zeros(3)
        out[1] = v.sum()
        ones = v.new_ones(2)
        ones[v.argmax()] = 7.0
        return tl.concat([out, ones])
    same(vmap(filled)(x), loop(filled, x))
    same(vmap(grad(lambda v: (filled(v) ** 2).sum()))(x), loop(grad(lambda v: (filled(v) ** 2).sum()), x))
    same(grad(lambda v: (filled(v) ** 2).sum())(x[0]), loop(grad(lambda v: (filled(v) ** 2).sum()), x)[0])


# ---- masks -----------------------------------------------------------------------------------------------------------------

MASKS = tl.tensor([[True, False, True], [False, True, True], [True, True, False]])


def by_mask(x: Any, m: Any, v: Any) -> Any:
    out = x * 1 + (v.sum() + m.sum()) * 0   # a value of every transform that there is one of in the assignment
    out[m] = v
    return out


@pytest.mark.parametrize("values", [(3, 2), (3, 1), (3,), (3, 2, 2), (3, 1, 2)], ids=str)
def test_assignment_by_masks_that_differ(values: tuple[int, ...]) -> None:
    x, v = normal(3, 3) if len(values) < 3 else normal(3, 3, 2), normal(*values)
    same(vmap(by_mask)(x, MASKS, v), loop(by_mask, x, MASKS, v))
    for argnum in (0, 2):
        g = grad(lambda *args: (by_mask(*args) ** 3).sum(), argnum)
        same(vmap(g)(x, MASKS, v), loop(g, x, MASKS, v))
        h = grad(lambda *args, g=g: (g(*args) ** 2).sum(), argnum)
        same(vmap(h)(x, MASKS, v), loop(h, x, MASKS, v))
    tangent = lambda x, m, v: jvp(lambda a, b: by_mask(a, m, b), (x, v), (x * x, v * v))[1]
    same(vmap(tangent)(x, MASKS, v), loop(tangent, x, MASKS, v))
    same(vmap(by_mask, in_axes=(None, 0, None))(x[0], MASKS, v[0]), loop(lambda m: by_mask(x[0], m, v[0]), MASKS))


def test_assignment_by_masks_with_too_few_values() -> None:
    with pytest.raises(ShapeError, match="2 elements along its first axis"):
        vmap(by_mask)(normal(3, 3), tl.tensor([[True] * 3] * 3), normal(3, 2))


def test_masked_scatter_needs_as_many_elements_as_the_fullest_mask() -> None:
    x, s = normal(3, 3), normal(3, 2)
    same(vmap(tl.masked_scatter)(x, MASKS, s), loop(tl.masked_scatter, x, MASKS, s))
    with pytest.raises(ShapeError, match="true for more places"):
        vmap(tl.masked_scatter)(x, tl.tensor([[True] * 3] * 3), s)


def test_lists_of_batched_integers_index() -> None:
    x, n = normal(3, 4), tl.tensor([0, 1, 3])
    same(vmap(lambda v, k: v[[k, 0, k]])(x, n), np.stack([a[[k, 0, k]] for a, k in zip(array(x), array(n))]))
    same(vmap(lambda k: x[k, 1:])(n - 1), array(x)[array(n) - 1][:, 1:])
    same(vmap(lambda v, k: v[None, k, ...])(x, n), np.stack([a[None, k] for a, k in zip(array(x), array(n))]))


# ---- checks of values are made of all examples -----------------------------------------------------------------------------

@pytest.mark.parametrize("call", [
    lambda: vmap(lambda i: F.one_hot(i, 3))(tl.tensor([[0, 2], [1, 3]])),
    lambda: vmap(lambda i: F.one_hot(i, 3))(tl.tensor([[0, 2], [1, -1]])),
    lambda: vmap(lambda i: F.embedding(i, tl.zeros(3, 2)))(tl.tensor([[0, 2], [1, 3]])),
    lambda: vmap(lambda w, i: F.embedding(i, w))(tl.zeros(2, 3, 2), tl.tensor([[0, 2], [1, -1]])),
    lambda: vmap(F.cross_entropy)(tl.zeros(2, 2, 3), tl.tensor([[0, 2], [1, 3]])),
    lambda: vmap(F.nll_loss)(tl.zeros(2, 2, 3), tl.tensor([[0, 2], [1, 3]])),
    lambda: vmap(grad(F.nll_loss))(tl.zeros(2, 2, 3), tl.tensor([[0, 2], [1, 3]])),
    lambda: vmap(F.binary_cross_entropy)(tl.tensor([[0.5], [1.5]]), tl.zeros(2, 1)),
    lambda: vmap(lambda x, i: x[i])(tl.zeros(2, 3), tl.tensor([0, 3])),
    lambda: vmap(tl.bincount)(tl.tensor([[1, 2], [2, -1]])),
    lambda: vmap(lambda x, i: tl.gather(x, 0, i))(tl.zeros(2, 3), tl.tensor([[0], [3]])),
])
def test_out_of_range(call: Any) -> None:
    with pytest.raises(OutOfRangeError):
        call()


def test_lengths_that_agree() -> None:
    i = tl.tensor([[0, 2], [2, 1]])
    same(vmap(F.one_hot)(i), loop(F.one_hot, i))
    same(vmap(tl.bincount)(i), loop(tl.bincount, i))
    same(vmap(lambda v: tl.bincount(v, minlength=5))(i), loop(lambda v: tl.bincount(v, minlength=5), i))
    with pytest.raises(VmapError, match="num_classes"):
        vmap(F.one_hot)(tl.tensor([[0, 2], [1, 1]]))
    with pytest.raises(VmapError, match="minlength"):
        vmap(tl.bincount)(tl.tensor([[0, 2], [1, 1]]))


def test_searching_in_tables_that_differ() -> None:
    rng = np.random.default_rng(SEED)
    tables = tl.tensor(np.sort(rng.integers(0, 6, (4, 9)), axis=1).astype(float))
    x = tl.tensor(rng.integers(-1, 7, (4, 2, 5)).astype(float))
    for side in ("left", "right"):
        same(vmap(lambda t, v, s=side: tl.searchsorted(t, v, side=s))(tables, x), np.stack([
            np.searchsorted(t, v, side) for t, v in zip(array(tables), array(x))]))
        same(vmap(lambda t, s=side: tl.searchsorted(t, x[0], side=s))(tables), np.stack([
            np.searchsorted(t, array(x)[0], side) for t in array(tables)]))
    for invert in (False, True):
        same(vmap(lambda v, t, i=invert: tl.isin(v, t, invert=i))(x, tables), np.stack([
            np.isin(v, t, invert=invert) for v, t in zip(array(x), array(tables))]))


# ---- losses ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weights", ["none", "shared", "batched"])
def test_cross_entropy(weights: str, reduction: str, smoothing: float) -> None:
    z, y = normal(4, 5, 3), tl.tensor(np.random.default_rng(SEED).integers(0, 3, (4, 5)))
    y[1, 2] = y[2] = -100   # one row, and one whole example, to ignore
    w = None if weights == "none" else tl.exp(normal(4, 3)) if weights == "batched" else tl.exp(normal(3))
    loss = lambda a, b, c: F.cross_entropy(a, b, c, reduction=reduction, label_smoothing=smoothing)
    axes = (0, 0, 0 if weights == "batched" else None)
    rows = list(zip(z, y, w if weights == "batched" else [w] * 4))
    for function in (loss, grad(lambda a, b, c: tl.sum(loss(a, b, c))), hessian(lambda a, b, c: tl.sum(loss(a, b, c)))):
        same(vmap(function, in_axes=axes)(z, y, w), np.stack([array(function(*row)) for row in rows]), 1e-11)


def test_jacobians_and_hessians_of_cross_entropy_inside_of_vmap() -> None:
    x, labels = normal(2, 3, 4), tl.tensor([0, 3, 1])
    loss = lambda x: F.cross_entropy(x, labels, label_smoothing=0.1)
    expected = np.stack([hessian(loss)(one).numpy() for one in x])
    np.testing.assert_allclose(vmap(hessian(loss))(x).numpy(), expected, atol=1e-12)
    both = jacfwd(lambda x: grad(lambda x: vmap(loss)(x).sum())(x))(x).numpy()
    np.testing.assert_allclose(np.stack([both[0, :, :, 0], both[1, :, :, 1]]), expected, atol=1e-12)
    np.testing.assert_allclose(jacfwd(vmap(loss))(x).numpy(), jacrev(vmap(loss))(x).numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", [(), (2,), (1, 2), (2, 2), (2, 1, 2), (2, 2, 1), (2, 2, 2)])
def test_a_mask_of_each_example_behind_whole_axes(shape: tuple[int, ...]) -> None:
    x, v, each = normal(4, 2, 3, 2), normal(*shape), normal(4, *shape)
    mask = tl.tensor(np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 1]], bool))

    def put(x: Any, mask: Any, v: Any) -> Any:
        out = x * 1.0
        out[:, mask] = v
        return out
    np.testing.assert_array_equal(vmap(put, in_axes=(0, 0, None))(x, mask, v).numpy(),
                                  np.stack([put(a, m, v).numpy() for a, m in zip(x, mask)]))
    np.testing.assert_array_equal(vmap(put)(x, mask, each).numpy(), np.stack([put(*one).numpy() for one in zip(x, mask, each)]))


@pytest.mark.parametrize("transform", [jacrev, jacfwd, lambda f: hessian(lambda x: tl.sin(f(x)).sum())])
def test_jacobians_of_what_a_mask_writes_and_reads(transform: Any) -> None:
    def written(x: Any) -> Any:
        out = tl.sin(x)
        out[x > 0.1] = 0.25
        return out
    x = normal(4, 2, 3)
    expected = np.stack([transform(written)(a).numpy() for a in x])
    np.testing.assert_allclose(vmap(transform(written))(x).numpy(), expected, atol=1e-12)
    x, half = normal(4, 2, 4), tl.arange(4) < 2
    masks = tl.tensor(np.array([half.numpy(), ~half.numpy()] * 2))
    read = lambda mask: transform(lambda a: tl.sin(a[:, mask]))
    np.testing.assert_allclose(vmap(lambda a, m: read(m)(a), branching="group")(x, masks).numpy(),
                               np.stack([read(m)(a).numpy() for a, m in zip(x, masks)]), atol=1e-12)


def test_half_precision_cross_entropy_sums_as_wide_as_without() -> None:
    z, y = normal(2, 3000, 4).to(tl.float16), tl.zeros(2, 3000, dtype=tl.int64)
    out = vmap(F.cross_entropy)(z, y)
    assert out.dtype == tl.float16
    np.testing.assert_allclose(array(out), [array(F.cross_entropy(a, b)) for a, b in zip(z, y)], rtol=1e-3)


# ---- modules ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("module", "shape"), [
    (lambda: nn.Linear(3, 2), (5, 4, 3)), (lambda: nn.Linear(3, 2, bias=False), (5, 3)), (lambda: nn.LayerNorm(3), (5, 4, 3)),
    (lambda: nn.RMSNorm(3), (5, 3)), (lambda: nn.GroupNorm(2, 4), (5, 2, 4, 3)), (lambda: nn.BatchNorm1d(3).eval(), (5, 4, 3)),
    (lambda: nn.BatchNorm1d(3, track_running_stats=False), (5, 4, 3)), (lambda: nn.GELU(), (5, 3)),
    (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), (5, 3)), (lambda: nn.Dropout(0.5).eval(), (5, 3)),
    (lambda: nn.Softmax(-1), (5, 4, 3)), (lambda: nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.LayerNorm(4)), (5, 6, 3)),
])
def test_modules(module: Any, shape: tuple[int, ...]) -> None:
    tl.manual_seed(SEED)
    m, x = module().to(tl.float64), normal(*shape)
    same(vmap(m)(x), loop(m, x))
    g = grad(lambda v: (m(v) ** 2).sum())
    same(vmap(g)(x), loop(g, x), 1e-11)
    if not list(m.parameters()):
        return
    params = {k: p.detach() for k, p in m.named_parameters()}
    by_params = lambda p, v: grad(lambda q: (functional_call(m, q, v) ** 2).sum())(p)
    together = vmap(by_params, in_axes=(None, 0))(params, x)
    alone = [by_params(params, v) for v in x]
    stacked = {k: tl.stack([p * (1 + 0.1 * i) for i in range(5)]) for k, p in params.items()}
    ensemble = vmap(by_params)(stacked, x)
    for k in params:
        same(together[k], np.stack([array(a[k]) for a in alone]), 1e-11)
        members = [by_params({n: s[i] for n, s in stacked.items()}, x[i])[k] for i in range(5)]
        same(ensemble[k], np.stack([array(m) for m in members]), 1e-11)


def test_batch_norm_does_not_follow_a_batch_of_batches() -> None:
    m = nn.BatchNorm1d(3)
    with pytest.raises(VmapError, match="track_running_stats=False"):
        vmap(m)(tl.ones(2, 4, 3))
    same(m.running_mean, [0.0, 0.0, 0.0])
    shared = normal(4, 3).to(tl.float32)
    vmap(lambda v: m(shared).sum() * v)(tl.ones(2))   # what all share is one batch
    same(m.running_mean, 0.1 * array(shared).mean(0), 1e-5)


def test_attention() -> None:
    q, k, v = normal(3, 2, 4, 5), normal(3, 2, 6, 5), normal(3, 2, 6, 7)
    attend = lambda *args: F.scaled_dot_product_attention(*args)
    same(vmap(attend)(q, k, v), array(attend(q, k, v)))
    same(vmap(attend, in_axes=(0, None, None))(q, k[0], v[0]), np.stack([array(attend(a, k[0], v[0])) for a in q]))
    g = lambda *args: grad(lambda *a: (attend(*a) ** 2).sum(), (0, 1, 2))(*args)[1]
    same(vmap(g)(q, k, v), loop(g, q, k, v), 1e-11)
    causal = lambda a: F.scaled_dot_product_attention(a, a, a, is_causal=True)
    same(vmap(causal)(q), loop(causal, q))


# ---- per-sample gradients and ensembles, against PyTorch -------------------------------------------------------------------

def mlp(params: Any, x: Any, y: Any, ops: Any) -> Any:
    w1, b1, w2, b2 = params
    return ops.cross_entropy(ops.linear(ops.relu(ops.linear(x, w1, b1)), w2, b2), y)


def test_per_sample_gradients_and_ensembles_are_pytorchs() -> None:
    rng = np.random.default_rng(SEED)
    shapes = ((6, 4), (6,), (3, 6), (3,))
    params = [rng.standard_normal(s) for s in shapes]
    x, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
    TF = torch.nn.functional
    one = lambda ops: lambda p, a, b: mlp(p, a[None], b[None], ops)
    ours = vmap(grad(one(F)), in_axes=(None, 0, 0))([tl.tensor(p) for p in params], tl.tensor(x), tl.tensor(y))
    theirs = torch.func.vmap(torch.func.grad(one(TF)), in_dims=(None, 0, 0))(
        [torch.tensor(p) for p in params], torch.tensor(x), torch.tensor(y))
    alone = [grad(one(F))([tl.tensor(p) for p in params], tl.tensor(a), tl.tensor(b)) for a, b in zip(x, y)]
    for k, (a, b) in enumerate(zip(ours, theirs)):
        same(a, b.numpy(), 1e-10)
        same(a, np.stack([array(g[k]) for g in alone]), 1e-12)
    mean = grad(lambda p: mlp(p, tl.tensor(x), tl.tensor(y), F))([tl.tensor(p) for p in params])
    for a, m in zip(ours, mean):
        same(a.mean(0), m, 1e-10)

    stacks = [rng.standard_normal((5, *s)) for s in shapes]
    ours = vmap(grad(lambda p: mlp(p, tl.tensor(x), tl.tensor(y), F)))([tl.tensor(p) for p in stacks])
    whole = lambda p: mlp(p, torch.tensor(x), torch.tensor(y), TF)
    theirs = torch.func.vmap(torch.func.grad(whole))([torch.tensor(p) for p in stacks])
    for a, b in zip(ours, theirs):
        same(a, b.numpy(), 1e-10)


# ---- user kernels ----------------------------------------------------------------------------------------------------------

def test_user_kernels() -> None:
    cube = tl.kernel("vmap_cube", formula="x * x * x + y")
    rows = tl.kernel("vmap_rows", reference=lambda xp, x: xp.sum(x, axis=1), signature="x: (n, d) -> (n)")
    x, y = normal(4, 3), normal(3)
    same(vmap(rows)(normal(4, 3, 2)), array(normal(4, 3, 2)).sum(2))
    doubled = np.repeat(2 * array(normal(4, 3, 2)).sum(2, keepdims=True), 2, 2)
    same(vmap(grad(lambda v: (rows(v) ** 2).sum()))(normal(4, 3, 2)), doubled)
    straight = tl.kernel("vmap_straight", reference=lambda xp, x: xp.sum(xp.round(x), axis=1), signature="x: (n, d) -> (n)",
                         vjp=lambda g, x: tl.broadcast_to(tl.reshape(g, (-1, 1)), x.shape))   # the reference's would be 0
    for g in (vmap(grad(lambda v: straight(v).sum())), grad(lambda v: vmap(straight)(v).sum())):
        same(g(normal(4, 3, 2)), np.ones((4, 3, 2)))
    same(vmap(lambda v: cube(v, y))(x), array(x) ** 3 + array(y))
    same(vmap(grad(lambda v: cube(v, y).sum()))(x), 3 * array(x) ** 2)


def test_integers_cannot_be_differentiated_inside_either() -> None:
    with pytest.raises(DTypeError, match="cannot be differentiated"):
        vmap(grad(lambda n: n * 2))(tl.tensor([1, 2]))


# ---- on CUDA ---------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def cuda() -> Any:
    from cuda_device import real, stand_in
    if real():
        yield "cuda"
        return
    cuda_on_cpu = pytest.importorskip("cuda_on_cpu")
    if cuda_on_cpu.why_not():
        pytest.skip(str(cuda_on_cpu.why_not()))
    with stand_in():
        yield "cuda"


def masked(x: Any, m: Any, v: Any) -> Any:
    return (by_mask(x, m, v) ** 2).sum()


@pytest.mark.parametrize("name", ["masks", "group", "dropout", "losses", "search", "norm", "group by random numbers"])
def test_cuda_agrees(cuda: str, name: str) -> None:
    x, v, y = normal(3, 3), normal(3, 2), tl.tensor([[0, 2, 1], [1, 1, -100], [2, 0, 0]])
    z = normal(3, 3, 3)
    calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "masks": (vmap(grad(masked, (0, 2))), (x, MASKS, v)),
        "group": (vmap(grad(lambda a: (a[a > 0] ** 2).sum() if a.sum() > 0 else a.prod()), branching="group"), (x,)),
        "dropout": (vmap(grad(lambda a: F.dropout(a, 0.5).sum()), randomness="different"), (x,)),
        "losses": (vmap(grad(lambda a, b: F.cross_entropy(a, b, label_smoothing=0.1))), (z, y)),
        "search": (vmap(tl.searchsorted), (tl.sort(x), z)),
        "norm": (vmap(grad(lambda a, w: (F.layer_norm(a, 3, w, w) ** 3).sum(), (0, 1)), in_axes=(0, None)), (z, x[0])),
        "group by random numbers": (vmap(lambda a: F.dropout(a, 0.5) * (2 if tl.rand((), device=a.device) > 0.5 else 1),
                                         branching="group", randomness="different"), (x,)),
    }
    call, args = calls[name]
    expected = draw(lambda: call(*args))
    got = draw(lambda: call(*[a.to(cuda) for a in args]))
    for a, b in zip(got if isinstance(got, tuple) else (got,), expected if isinstance(expected, tuple) else (expected,)):
        assert a.device.startswith("cuda")
        same(a.cpu(), b, 1e-11)
