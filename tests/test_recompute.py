"""Parts of a computation that are run again in backward: gradients through all that they use, memory, randomness, mistakes."""
from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.engine.recompute import recompute
from tensorlite.errors import GradError, GraphFreedError, InplaceError
from tensorlite.func import grad, hvp, jacfwd, jacrev, jvp, linearize, vjp, vmap

W = np.random.default_rng(3).normal(size=(4, 4))


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


def nodes(x: Any) -> int:
    return sum(not isinstance(n.node, tl.Tensor) for n in tl.debug.graph(x))


class Net:
    """A function that closes over parameters, leaves and a result of theirs."""

    def __init__(self) -> None:
        self.w, self.b = t(W).requires_grad_(), t(W[0]).requires_grad_()
        self.scaled = self.w * 0.5

    def plain(self, x: Any, more: Any = 1.0) -> Any:
        h = tl.tanh(self.scaled @ x + self.b) * more
        return tl.sin(h * h) + h * (self.w @ h)

    def again(self, x: Any, more: Any = 1.0) -> Any:
        return recompute(self.plain, x, more)


def test_backward_is_the_same_and_one_node_is_kept() -> None:
    found = []
    for name in ("plain", "again"):
        net, x = Net(), t(W[1]).requires_grad_()
        y = getattr(net, name)(x * 2)
        if name == "again":
            assert nodes(y) == 2 + 2   # its own and its result's; what x and scaled are results of
            assert y.grad_fn.name == "RecomputeBackward"
        y.sum().backward()
        found.append([y.detach().numpy(), *[p.grad.numpy() for p in (x, net.w, net.b)]])
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: grad(lambda x: f(x).sum())(x),
    "grad of grad": lambda f, x: grad(lambda x: grad(lambda x: f(x).prod())(x).prod())(x),
    "grad thrice": lambda f, x: grad(lambda x: grad(lambda x: grad(lambda x: f(x).prod())(x).prod())(x).sum())(x),
    "jvp": lambda f, x: jvp(f, (x,), (x + 1,)),
    "jvp of grad": lambda f, x: hvp(lambda x: f(x).prod(), (x,), (x + 1,)),
    "grad of jvp": lambda f, x: grad(lambda x: jvp(f, (x,), (x + 1,))[1].prod())(x),
    "jvp of jvp": lambda f, x: jvp(lambda x: jvp(f, (x,), (x + 1,))[1], (x,), (x * 2,)),
    "vjp": lambda f, x: vjp(f, x)[1](x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "linearize": lambda f, x: linearize(f, x)[1](x),
    "hessian": lambda f, x: tl.hessian(lambda x: f(x).sum())(x),
    "reverse over reverse": lambda f, x: jacrev(jacrev(f))(x),
    "vmap": lambda f, x: vmap(f)(tl.stack([x, 2 * x])),
    "vmap of grad": lambda f, x: vmap(grad(lambda x: f(x).prod()))(tl.stack([x, 2 * x])),
    "grad of vmap": lambda f, x: grad(lambda x: vmap(f)(tl.stack([x, 2 * x])).prod())(x),
    "grad of vmap of grad": lambda f, x: grad(lambda x: vmap(grad(lambda x: f(x).sum()))(tl.stack([x, 2 * x])).prod())(x),
    "vmap of vmap": lambda f, x: vmap(vmap(f))(tl.stack([x, 2 * x])[None]),
}


def leaves(tree: Any) -> list[Any]:
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (tuple, list)) else [tree]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_in_any_transform(name: str) -> None:
    """The same values, and through them the same gradients of the parameters at level 0, as without."""
    found = []
    for way in ("plain", "again"):
        net = Net()
        out = leaves(TRANSFORMS[name](getattr(net, way), t(W[1])))
        sum((o * o).sum() for o in out).backward()
        found.append([*[o.detach().numpy() for o in out], net.w.grad.numpy(), net.b.grad.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-14)


def test_parameters_of_a_transform_closed_over() -> None:
    def loss(w: Any, x: Any, way: Any) -> Any:
        v = tl.sin(w)
        return way(lambda x: tl.tanh(v @ x) * w[0], x).sum()
    plain, again = (grad(lambda w, way=way: loss(w, t(W[1]), way))(t(W)) for way in (lambda f, x: f(x), recompute))
    np.testing.assert_array_equal(again.numpy(), plain.numpy())
    plain, again = (grad(lambda w, way=way: grad(lambda x: loss(w, x, way))(t(W[1])).prod())(t(W))
                    for way in (lambda f, x: f(x), recompute))
    np.testing.assert_allclose(again.numpy(), plain.numpy(), rtol=1e-12)


def test_create_graph_to_the_third_order() -> None:
    found = []
    for way in (lambda f, x: f(x), recompute):
        w, x = t(1.3).requires_grad_(), t(0.7).requires_grad_()
        y = way(lambda x, w=w: tl.exp(w * x) * tl.sin(x), x * 1.0)
        (first,) = tl.autograd.grad(y, x, create_graph=True)
        second = tl.autograd.grad(first, (x, w), create_graph=True)
        found.append([first.item(), *[s.item() for s in second], *[g.item() for g in tl.autograd.grad(second[0], (x, w))]])
    assert found[1] == pytest.approx(found[0], rel=1e-13)


def test_trees_keywords_numbers_and_what_passes_through() -> None:
    def f(pair: Any, *, scale: Any) -> Any:
        a, b = pair["a"], pair["b"]
        return {"sum": a + scale * b, "same": a, "twice": [a * b] * 2, "number": 5, "none": None}
    a, b = t([1.0, 2.0]).requires_grad_(), t([3.0, 4.0]).requires_grad_()
    out = recompute(f, {"a": a, "b": b}, scale=2.0)
    assert out["number"] == 5 and out["none"] is None and out["same"] is a and out["twice"][0] is out["twice"][1]
    (out["sum"] + out["same"] + out["twice"][0] * out["twice"][1]).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 + 2 * a.detach().numpy() * b.detach().numpy() ** 2)


def test_nested_parts() -> None:
    x = t(0.5).requires_grad_()

    def deep(x: Any, n: int) -> Any:
        return tl.sin(x) * 1.1 if not n else recompute(deep, recompute(deep, x, n - 1), n - 1)
    y = deep(x, 5)
    assert nodes(y) == 4   # two parts, at most
    y.backward()
    expected = t(0.5).requires_grad_()
    z = expected
    for _ in range(32):
        z = tl.sin(z) * 1.1
    z.backward()
    assert (y.item(), x.grad.item()) == pytest.approx((z.item(), expected.grad.item()), rel=1e-13)


def test_random_numbers_are_the_same_and_go_on() -> None:
    tl.manual_seed(0)
    mine = tl.Generator(5)
    x = tl.ones(1000, requires_grad=True)
    drop = lambda x, generator: tl.nn.functional.dropout(x, 0.5) * tl.randn(1000) * tl.rand(1000, generator=generator)
    y = recompute(drop, x, mine)
    after, place = tl.rand(3), mine.get_state()
    state = tl.random.get_rng_state()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())   # linear in x = 1
    assert tl.random.get_rng_state() == state and mine.get_state() == place
    tl.manual_seed(0)
    drop(x, tl.Generator(5))
    assert after.tolist() == tl.rand(3).tolist()


def test_random_numbers_inside_of_vmap() -> None:
    x = t(np.ones((5, 3)))
    f = lambda x: recompute(lambda x: tl.nn.functional.dropout(x, 0.5) * tl.randn(3, dtype=tl.float64), x)
    for randomness in ("same", "different"):
        out, pullback = vjp(vmap(f, randomness=randomness), x)
        np.testing.assert_array_equal(pullback(tl.ones_like(out))[0].numpy(), out.numpy())
    g = vmap(grad(lambda x: f(x).sum()), randomness="different")(x)
    assert len(np.unique(g.numpy()[g.numpy() != 0])) > 3


def chain(x: Any, steps: int) -> Any:
    for _ in range(steps):
        x = tl.sin(x)
    return x


def peak(f: Callable[[], Any]) -> int:
    f()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most - before


def test_peak_memory_of_parts() -> None:
    """100 operations in 10 parts: 10 states and the tape of 10 operations, in place of 100; also of higher orders."""
    x = tl.randn(20_000, dtype=tl.float64)

    def parts(x: Any) -> Any:
        for _ in range(10):
            x = recompute(chain, x, 10)
        return x.sum()
    whole = lambda x: chain(x, 100).sum()
    array = x.numpy().nbytes
    assert peak(lambda: grad(whole)(x)) > 95 * array
    assert peak(lambda: grad(parts)(x)) < 30 * array
    second = [peak(lambda f=f: grad(lambda x: grad(f)(x).sum())(x)) for f in (whole, parts)]
    assert second[0] > 280 * array and second[1] < 100 * array
    tracked = x.clone().requires_grad_()
    assert peak(lambda: parts(tracked).backward()) < 30 * array
    assert peak(lambda: jvp(parts, (x,), (x,))) < 8 * array   # forward mode keeps nothing


def test_states_are_freed_as_backward_goes_and_not_kept_without_need() -> None:
    x = tl.ones(10, requires_grad=True)
    h = tl.exp(x)
    held = weakref.ref(h.value)
    y = recompute(lambda h: tl.sin(h) * h, h * 1.0)
    kept = weakref.ref(y.grad_fn.next_functions[0].saved[0])
    y.sum().backward()
    gc.collect()
    assert kept() is None and held() is not None
    with pytest.raises(GraphFreedError):
        y.sum().backward()
    with tl.no_grad():
        assert recompute(tl.sin, x).grad_fn is None
    assert recompute(tl.sin, tl.ones(2)).grad_fn is None


def test_changes_in_place_are_noticed() -> None:
    x, w = t([1.0, 2.0]).requires_grad_(), t([3.0, 4.0]).requires_grad_()
    h = x * 2
    y = recompute(lambda h: tl.sin(h * w), h)
    with tl.no_grad():
        w.add_(1.0)
    with pytest.raises(InplaceError, match="an argument or parameter"):
        y.sum().backward()
    y = recompute(lambda h: tl.sin(h * w), h)
    h.mul_(2.0)
    with pytest.raises(InplaceError, match="changed in place by mul_"):
        y.sum().backward()
    with pytest.raises(InplaceError):   # by the part itself: it could not run again
        recompute(lambda h: tl.sin(h.mul_(2.0)), x * 2)
    h = x * 2
    y = recompute(lambda h: tl.sin(h), h).mul_(2.0)   # of its result: as any other
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.cos(2 * x.detach().numpy()))


def test_a_second_run_that_differs_is_refused() -> None:
    x = tl.ones(3, requires_grad=True)
    runs: list[int] = []

    def shapes(x: Any) -> Any:
        runs.append(1)
        return tl.sin(x)[:4 - len(runs)]
    with pytest.raises(GradError, match=r"the shape \(3,\) and dtype float32, the second, for backward, shape \(2,\)"):
        recompute(shapes, x).sum().backward()
    runs.clear()
    older = x * 2

    def uses(x: Any) -> Any:
        runs.append(1)
        return tl.sin(x) * (older if len(runs) > 1 else 1.0)
    with pytest.raises(GradError, match="uses tensors that the first did not"):
        recompute(uses, x).sum().backward()


def test_autocast_and_profiles() -> None:
    w = tl.tensor(W, dtype=tl.float32, requires_grad=True)
    x = tl.tensor(W, dtype=tl.float32)
    found = []
    for way in (lambda f, x: f(x), recompute):
        w.grad = None
        with tl.autocast(tl.float16):
            y = way(lambda x: tl.nn.functional.linear(x, w), x)
            y = way(lambda x: tl.nn.functional.linear(tl.tanh(x), w), y)
            loss = y.sum()
        loss.backward()
        found.append(w.grad.numpy())
        assert y.dtype == tl.float16
    np.testing.assert_allclose(*found, rtol=2e-3)   # one cast of w for both uses adds their gradients in float16
    with tl.debug.profile() as counted:
        recompute(chain, x.requires_grad_(), 5).sum().backward()
    assert counted.rows["sin"][0] == 10 and counted.rows["cos"][0] == 5


def test_modules_and_optimizers() -> None:
    """Two training runs of a network, one with its layers run again."""
    losses = []
    for way in (lambda f, x: f(x), recompute):
        tl.manual_seed(0)
        model = tl.nn.Sequential(*[tl.nn.Sequential(tl.nn.Linear(8, 8), tl.nn.Tanh(), tl.nn.Dropout(0.2)) for _ in range(3)])
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x = tl.randn(16, 8)
        seen = []
        for _ in range(5):
            h = x
            for block in model:
                h = way(block, h)
            loss = ((h - x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(seen)
    assert losses[0] == losses[1]
