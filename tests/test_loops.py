"""Control flow: Python's own in every transform, and the loops of which a few states are kept."""
from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from math import comb
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.func import grad, hvp, jacfwd, jacrev, jvp, linearize, scan, vjp, vmap, while_loop
from tensorlite.func._loops import _ahead, parts

RNG = np.random.default_rng(5)
W, XS = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(7, 3))


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


def leaves(tree: Any) -> list[Any]:
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (tuple, list)) else [tree]


def close(a: Any, b: Any, rtol: float = 1e-11) -> None:
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=rtol, atol=1e-13)


# ---- Python's own ------------------------------------------------------------------------------------------------------

def branches(x: Any) -> Any:
    if x[0] > 0 and not x[1] > 5:
        return x * x
    elif x[0] < -1:
        return tl.exp(x)
    return -x * 3


def whiles(x: Any) -> Any:
    while (x * x).sum() < 100:
        x = x * 2 + tl.sin(x)
        if x[0] > 7:
            break
    else:
        x = x * 10
    return x


def fors(x: Any) -> Any:
    out = []
    for k, part in enumerate(x):
        if k == 1:
            continue
        out.append(part ** (k + 1))
    return tl.stack(out)


def recursion(x: Any, n: int = 4) -> Any:
    return x if not n or x.sum() > 50 else recursion(x * x + 1, n - 1) * x


def generators(x: Any) -> Any:
    def powers(x: Any) -> Any:
        y = x
        while True:
            yield y
            y = y * x
    total = 0.0
    for y in powers(x):
        total = total + y
        if abs(y).max() < 0.01 or abs(y).max() > 100:
            return total


def exceptions(x: Any) -> Any:
    try:
        if x[0] > 0:
            raise ValueError(x * 2)
        return x
    except ValueError as error:
        y = error.args[0]
    finally:
        x = x * 3
    return y * x


def early(x: Any) -> Any:
    for k in range(10):
        x = x * 1.5
        if x[0] > 3:
            return x + k
    return tl.sin(x)


def comprehension(x: Any) -> Any:
    return sum(tl.sin(k * v) if v > 0 else v * v for k, v in enumerate(x)) * max(v.item() > 0.1 for v in x)


FLOWS = [branches, whiles, fors, recursion, generators, exceptions, early, comprehension]


@pytest.mark.parametrize("at", [[0.7, 0.4, -0.3], [-0.6, 2.0, 0.9], [-1.6, 0.2, 0.3]], ids=str)
@pytest.mark.parametrize("f", FLOWS, ids=lambda f: f.__name__)
def test_pythons_control_flow(f: Any, at: list[float]) -> None:
    """Along the path taken f is smooth: every transform agrees with central differences."""
    x, dx, h = t(at), t([1.0, -0.5, 0.25]), 1e-6
    y = f(x)
    units = h * tl.eye(3, dtype=tl.float64)
    J = tl.stack([(f(x + e) - f(x - e)) / (2 * h) for e in units], axis=-1)
    check = lambda a, b: np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-7, atol=1e-7)
    for jacobian in (jacrev, jacfwd):
        check(jacobian(f)(x), J)
    out, moved = jvp(f, (x,), (dx,))
    check(out, y)
    check(moved, J @ dx)
    check(linearize(f, x)[1](dx), J @ dx)
    g = tl.ones_like(y)
    check(vjp(f, x)[1](g)[0], g @ J if y.ndim else J)
    check(grad(lambda x: (f(x) ** 2).sum())(x), (2 * y) @ J if y.ndim else 2 * y * J)
    leaf = x.clone().requires_grad_()
    f(leaf).sum().backward()
    check(leaf.grad, g @ J if y.ndim else J)
    second = tl.hessian(lambda x: f(x).sum())(x)
    rows = tl.stack([(grad(lambda x: f(x).sum())(x + e) - grad(lambda x: f(x).sum())(x - e)) / (2 * h) for e in units])
    np.testing.assert_allclose(second.numpy(), rows.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("f", [f for f in FLOWS if f is not exceptions], ids=lambda f: f.__name__)
def test_pythons_control_flow_in_a_batch(f: Any) -> None:
    x = t([[0.7, 0.4, -0.3], [-0.6, 2.0, 0.9], [-1.6, 0.2, 0.3], [0.8, 0.4, -0.3]])
    close(vmap(f, branching="group")(x), tl.stack([f(row) for row in x]))
    g = lambda x: grad(lambda x: f(x).sum())(x)
    close(vmap(g, branching="group")(x), tl.stack([g(row) for row in x]))


# ---- scan --------------------------------------------------------------------------------------------------------------

def cell(w: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = tl.tanh(w @ h + x)
        return h, (h * h).sum()
    return step


def by_loop(f: Any, init: Any, xs: Any, reverse: bool = False, **_: Any) -> Any:
    carry, ys = init, []
    for x in (xs[::-1] if reverse else xs):
        carry, y = f(carry, x)
        ys.append(y)
    return carry, tl.stack(ys[::-1] if reverse else ys)


SNAPSHOTS = [None, 1, 2, 3, 6, 7, 100]
PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "value": lambda f, x: f(x),
    "grad": lambda f, x: grad(lambda x: f(x).sum())(x),
    "grad of grad": lambda f, x: grad(lambda x: grad(lambda x: f(x).prod())(x).prod())(x),
    "jvp": lambda f, x: jvp(f, (x,), (x + 1,)),
    "hvp": lambda f, x: hvp(lambda x: f(x).prod(), (x,), (x + 1,)),
    "grad of jvp": lambda f, x: grad(lambda x: jvp(f, (x,), (x + 1,))[1].prod())(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "vmap": lambda f, x: vmap(f)(tl.stack([x, 2 * x])),
    "vmap of grad": lambda f, x: vmap(grad(lambda x: f(x).prod()))(tl.stack([x, 2 * x])),
    "grad of vmap": lambda f, x: grad(lambda x: vmap(f)(tl.stack([x, 2 * x])).prod())(x),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("snapshots", SNAPSHOTS)
def test_scan_in_any_transform(name: str, snapshots: int | None) -> None:
    """Of init, of xs, of a value closed over that the transform follows, and of a parameter at level 0."""
    found = []
    for loop in (by_loop, scan):
        w = t(W).requires_grad_()

        def f(x: Any, loop: Any = loop, w: Any = w) -> Any:
            h, ys = loop(cell(w * x), tl.sin(x), t(XS) * x, snapshots=snapshots)
            return h + ys.sum() + ys[2] * x
        out = leaves(PROGRAMS[name](f, t([0.5, -0.2, 0.8])))
        sum((o * o).sum() for o in out).backward()
        found.append([*out, w.grad])
    close(found[1], found[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("snapshots", [None, 2])
def test_scan_directions_and_trees(reverse: bool, snapshots: int | None) -> None:
    xs = {"a": t(XS), "b": (t(XS[:, 0]),)}

    def f(carry: Any, x: Any) -> Any:
        total, count = carry["total"], carry["count"]
        return {"total": total * 0.5 + x["a"] * x["b"][0], "count": count + 1}, [total.sum(), {"n": count}]
    carry, ys = scan(f, {"total": t(np.zeros(3)), "count": 0}, xs, reverse=reverse, snapshots=snapshots)
    total, seen = np.zeros(3), []
    for k in range(7)[::-1 if reverse else 1]:
        seen.append(total.sum())
        total = total * 0.5 + XS[k] * XS[k, 0]
    assert carry["count"].item() == 7 and carry["count"].dtype == tl.int64
    np.testing.assert_allclose(carry["total"].numpy(), total)
    np.testing.assert_allclose(ys[0].numpy(), seen[::-1] if reverse else seen)
    assert ys[1]["n"].tolist() == (list(range(7))[::-1] if reverse else list(range(7)))
    close(grad(lambda a: scan(f, {"total": t(np.ones(3)), "count": 0}, {"a": a, "b": xs["b"]}, reverse=reverse,
                              snapshots=snapshots)[0]["total"].sum())(xs["a"]),
          t(np.ones((1, 3)) * (XS[:, 0] * 0.5 ** np.arange(7)[::1 if reverse else -1])[:, None]))


def test_scan_against_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    for reverse in (False, True):
        def loss(lib: Any, loop: Any, w: Any, h: Any, xs: Any, reverse: bool = reverse) -> Any:
            carry, ys = loop(lambda h, x: (lib.tanh(w @ h + x), (lib.sin(h), x * h)), h, xs, reverse=reverse)
            return (carry * carry).sum() + (ys[0] * ys[1]).sum()
        given = [np.float32(a) for a in (W, XS[0], XS)]
        ours = tl.value_and_grad(lambda *a: loss(tl, partial(scan, snapshots=2), *a), (0, 1, 2))(*map(tl.tensor, given))
        theirs = jax.value_and_grad(lambda *a: loss(jnp, jax.lax.scan, *a), (0, 1, 2))(*map(jnp.asarray, given))
        for a, b in zip(leaves([ours[0], ours[1]]), jax.tree.leaves(theirs)):
            np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=2e-5, atol=2e-5)


def test_scan_without_xs_without_ys_and_of_nothing() -> None:
    carry, ys = scan(lambda c, _: (c * 2, None), t(1.0), None, length=5)
    assert carry.item() == 32 and ys is None
    carry, ys = scan(lambda c, x: (c + x.sum(), {"y": x * c}), t(1.0), t(np.zeros((0, 4))))
    assert carry.item() == 1 and ys["y"].shape == (0, 4) and ys["y"].dtype == tl.float64
    assert scan(lambda c, x: (c + x, c), 0.0, t([1.0, 2.0]).to(tl.float32))[1].tolist() == [0, 1]


def test_scan_mistakes() -> None:
    keep = lambda c, x: (c, x)
    with pytest.raises(ShapeError, match=r"shapes \(2,\), \(3,\) and length is None"):
        scan(keep, t(0.0), (tl.ones(2), tl.ones(3)))
    with pytest.raises(ShapeError, match="no tensors and there is no length"):
        scan(keep, t(0.0), None)
    with pytest.raises(ShapeError, match="leaf 0 of xs has no axis"):
        scan(keep, t(0.0), t(1.0))
    with pytest.raises(GradError, match="expected a pair"):
        scan(lambda c, x: c, t(0.0), tl.ones(2))
    with pytest.raises(ShapeError, match=r"leaf 0 of the state with shape \(2,\), it was given with shape \(\)"):
        scan(lambda c, x: (tl.stack([c, c]), None), t(0.0), tl.ones(2))
    with pytest.raises(DTypeError, match="with dtype float32, it was given with dtype float64"):
        scan(lambda c, x: (c.to(tl.float32), None), t(0.0), tl.ones(2))
    with pytest.raises(ShapeError, match="built alike"):
        scan(lambda c, x: ((c, c), None), t(0.0), tl.ones(2))
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(GradError, match=f"snapshots is {wrong!r}; expected how many states"):
            scan(keep, t(0.0), tl.ones(2), snapshots=wrong)


# ---- while_loop --------------------------------------------------------------------------------------------------------

def python_while(cond: Any, body: Any, state: Any, **_: Any) -> Any:
    while cond(state):
        state = body(state)
    return state


@pytest.mark.parametrize("name", [n for n in PROGRAMS if "vmap" not in n and "jac" not in n])
@pytest.mark.parametrize("snapshots", [None, 1, 2, 4, 50])
def test_while_loop_in_any_transform(name: str, snapshots: int | None) -> None:
    found = []
    for loop in (python_while, while_loop):
        w = t(W).requires_grad_()

        def f(x: Any, loop: Any = loop, w: Any = w) -> Any:
            scaled = w * x
            body = lambda s: (s[0] + 1, 1.5 * s[1] + scaled @ tl.sin(s[1]) + s[2], s[2])
            k, h, same = loop(lambda s: (s[1] * s[1]).sum() < 300, body, (0, tl.sin(x), x * 0.1), snapshots=snapshots)
            assert 4 < int(k) < 20
            return h * same
        out = leaves(PROGRAMS[name](f, t([0.5, -0.2, 0.8])))
        sum((o * o).sum() for o in out).backward()
        found.append([*out, w.grad])
    close(found[1], found[0])


@pytest.mark.parametrize("snapshots", [None, 2])
@pytest.mark.parametrize("name", [n for n in PROGRAMS if "vmap" in n or "jac" in n])
def test_while_loop_in_a_batch(name: str, snapshots: int | None) -> None:
    """Examples end after different numbers of steps."""
    found = []
    for own in (False, True):
        w = t(W).requires_grad_()

        def f(x: Any, own: bool = own, w: Any = w) -> Any:
            cond, body = lambda s: (s[1] * s[1]).sum() < 300, lambda s: (s[0] + 1, 1.5 * s[1] + (w * x) @ tl.sin(s[1]))
            loop = while_loop if own else python_while
            k, h = loop(cond, body, (0, tl.sin(x)), snapshots=snapshots)
            return h * (1 + k)
        with pytest.MonkeyPatch.context() as patch:
            if not own:   # Python's own loop, in groups
                patch.setitem(globals(), "vmap", lambda f: tl.vmap(f, branching="group"))
            out = leaves(PROGRAMS[name](f, t([0.5, -0.2, 0.8])))
        sum((o * o).sum() for o in out).backward()
        found.append([*out, w.grad])
    close(found[1], found[0])


def test_while_loop_in_nested_batches_and_against_jax() -> None:
    f = lambda a: while_loop(lambda s: s[0] < 100, lambda s: (s[0] * 2 + a, s[1] + 1), (a, 0))
    values, counts = vmap(vmap(f))(t([[1.0, 3.0], [50.0, 200.0]]))
    assert counts.tolist() == [[6, 5], [1, 0]]
    np.testing.assert_array_equal(values.numpy(), [[127, 189], [150, 200]])
    jax = pytest.importorskip("jax")
    g = lambda a: jax.lax.while_loop(lambda s: s[0] < 100, lambda s: (s[0] * 2 + a, s[1] + 1), (a, 0))
    for ours, theirs in zip((values, counts), jax.vmap(jax.vmap(g))(np.float32([[1.0, 3.0], [50.0, 200.0]]))):
        np.testing.assert_array_equal(ours.numpy(), np.asarray(theirs))


def test_finished_examples_give_no_nan() -> None:
    """Steps that an example does not take cannot spoil its gradient, even where they would give inf or nan."""
    body = lambda s: tl.sqrt(s - 0.1) / 2
    f = lambda x: while_loop(lambda s: s > 0.1, body, x)
    x = t([0.05, 0.5, 0.09])
    close(vmap(f)(x), t([0.05, *[python_while(lambda s: s > 0.1, body, t(0.5)).item()], 0.09]))
    g = vmap(grad(f))(x)
    assert np.isfinite(g.numpy()).all() and g[0].item() == g[2].item() == 1
    assert g[1].item() == pytest.approx(grad(f)(t(0.5)).item())


def test_while_loop_mistakes() -> None:
    with pytest.raises(ShapeError, match=r"cond returned shape \(2,\); expected a single truth value"):
        while_loop(lambda s: s > 0, lambda s: s, tl.ones(2))
    with pytest.raises(ShapeError, match="body returned"):
        while_loop(lambda s: s[0] < 3, lambda s: [s[0] + 1], (t(0.0),))
    kept: list[Any] = []

    def body(s: Any) -> Any:
        kept.append(s * 2)
        return s * 1.5 + kept[0]
    with pytest.raises(GradError, match="an earlier step left by a side effect"):
        grad(lambda x: while_loop(lambda s: s < 100, body, x, snapshots=2))(t(1.0))
    assert while_loop(lambda s: False, lambda s: 1 / 0, t(1.0), snapshots=1).item() == 1


# ---- what is kept, and what is run again -----------------------------------------------------------------------------------

def optimal(n: int, s: int) -> int:
    """Griewank and Walther's least number of steps that are run again."""
    r = next(r for r in range(n) if comb(s + r, s) >= n)
    return r * n - comb(s + r, s + 1)


def least(n: int, s: int, known: dict[Any, int]) -> int:
    """The same by trying all: where the next state is kept, then the right side with one state less, then the left again."""
    if n == 1:
        return 0
    if s == 1:
        return n * (n - 1) // 2
    if (n, s) not in known:
        known[n, s] = min(m + least(n - m, s - 1, known) + least(m, s, known) for m in range(1, n))
    return known[n, s]


def test_the_schedule_is_optimal() -> None:
    known: dict[Any, int] = {}

    def runs(n: int, s: int) -> int:
        return sum(m + runs(m, states) for m, states in parts(n, s)[:-1])
    for s in range(1, 9):
        for n in range(s + 1, 60):
            assert runs(n, s) == optimal(n, s) == least(n, s, known)
            assert sum(m for m, _ in parts(n, s)) == n and parts(n, s)[-1][0] == 1 and len(parts(n, s)) <= s + 1
    assert (optimal(66, 10), optimal(286, 10), _ahead(66, 10)) == (2 * 66 - 12, 3 * 286 - 78, 11)


@pytest.mark.parametrize(("n", "s"), [(10, 1), (10, 2), (50, 3), (66, 10), (100, 5), (40, 40)])
def test_steps_are_run_again_as_often_as_said(n: int, s: int) -> None:
    calls = 0

    def step(c: Any, x: Any) -> Any:
        nonlocal calls
        calls += 1
        return tl.sin(c) * x, None
    x = t(np.full(n, 1.1)).requires_grad_()
    out, _ = scan(step, t(0.5), x, snapshots=s)
    assert calls == n
    out.backward()
    assert calls == n + (0 if s >= n else optimal(n, s))

    calls = 0
    out = while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, step(c[1], 1.1)[0]), (0, t(0.5).requires_grad_()), snapshots=s)[1]
    assert calls == n
    out.backward()
    assert calls == 2 * n + (0 if s >= n else optimal(n, s))


def nodes(x: Any) -> int:
    return sum(not isinstance(n.node, tl.Tensor) for n in tl.debug.graph(x))


def peak(f: Callable[[], Any]) -> int:
    f()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most - before


def looped(x: Any, steps: int, snapshots: int | None) -> Any:
    return scan(lambda c, _: (tl.sin(tl.sin(c)) * 1.5, None), x, None, length=steps, snapshots=snapshots)[0].sum()


def looped_while(x: Any, steps: int, snapshots: int | None) -> Any:
    body = lambda s: (s[0] + 1, tl.sin(tl.sin(s[1])) * 1.5)
    return while_loop(lambda s: s[0] < steps, body, (0, x), snapshots=snapshots)[1].sum()


@pytest.mark.parametrize("loop", [looped, looped_while])
def test_the_tape_is_bounded(loop: Any) -> None:
    x = tl.randn(5000, dtype=tl.float64)
    array = x.numpy().nbytes
    tracked = x.clone().requires_grad_()
    for steps, snapshots, most in ((100, 100, 301), (100, 4, 12), (1000, 4, 12), (1000, 10, 24), (1000, None, 300)):
        kept = nodes(loop(tracked, steps, snapshots))
        assert kept <= (most if loop is looped or snapshots is not None else 900)
    whole = peak(lambda: grad(lambda x: loop(x, 150, 150))(x))
    few = [peak(lambda n=n: grad(lambda x: loop(x, n, 4))(x)) for n in (50, 150)]
    assert whole > 300 * array and max(few) < 25 * array
    assert few[1] - few[0] < 3 * array   # whatever the number of steps
    assert peak(lambda: grad(lambda x: loop(x, 600, None))(x)) < (150 if loop is looped else 700) * array   # all: 1200
    assert peak(lambda: jvp(lambda x: loop(x, 150, None), (x,), (x,))) < 10 * array   # forward mode keeps nothing
    with tl.no_grad():
        assert loop(tracked, 10, 2).grad_fn is None


def test_long_loops_are_right() -> None:
    x = t([0.3, 0.9])
    whole = grad(lambda x: looped(x, 2000, 2000))(x)
    close(grad(lambda x: looped(x, 2000, None))(x), whole)
    close(grad(lambda x: looped_while(x, 2000, None))(x), whole)
    close(grad(lambda x: looped(x, 2000, 12))(x), whole)


def test_random_numbers_in_loops_are_the_same_again() -> None:
    x = t(1.0)
    f = lambda x, s: scan(lambda c, _: (c * tl.rand((), dtype=tl.float64) * 2, None), x, None, length=30, snapshots=s)[0]
    tl.manual_seed(3)
    value, gradient = tl.value_and_grad(lambda x: f(x, 3))(x)
    after = tl.rand(2).tolist()
    assert gradient.item() == pytest.approx(value.item(), rel=1e-12)   # linear in x = 1
    tl.manual_seed(3)
    assert f(x, 30).item() == value.item() and tl.rand(2).tolist() == after
