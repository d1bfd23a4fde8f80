"""The tape's promises: backward, accumulation, freeing, orders of differentiation, hooks, modes, memory."""
from __future__ import annotations

import gc
import os
import threading
import tracemalloc
import weakref
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, GraphFreedError, NotDifferentiableError, ShapeError

SLOW = bool(os.environ.get("TENSORLITE_TEST_SLOW"))


def leaf(*values: float) -> Any:
    return tl.tensor(values[0] if len(values) == 1 else list(values), dtype=tl.float64, requires_grad=True)


# ---- backward --------------------------------------------------------------------------------------------------------

def chain_seconds(length: int) -> float:
    """Time of a chain's forward and backward, without Python's collections, whose cost depends on what else the process holds."""
    x = y = leaf(1.0)
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        for _ in range(length):
            y = y + 0.0
        y.backward()
        seconds = perf_counter() - start
    finally:
        gc.enable()
    assert x.grad.item() == 1
    return seconds


def test_long_chains_are_linear() -> None:
    """10^6 operations with TENSORLITE_TEST_SLOW=1, else 10^5."""
    short, long = (100_000, 1_000_000) if SLOW else (10_000, 100_000)
    base = min(chain_seconds(short) for _ in range(2))
    assert min(chain_seconds(long) for _ in range(1 if SLOW else 2)) < 20 * base


def test_freeing_a_long_chain_does_not_recurse() -> None:
    y = leaf(1.0)
    for _ in range(50_000):
        y = tl.exp(y * 0.0)
    del y


def test_gradients_add_at_branches_and_over_calls() -> None:
    x = leaf(2.0)
    (x * x + 3 * x).backward()
    assert x.grad.item() == 7
    first = x.grad
    (x * x).backward()
    assert x.grad.item() == 11
    assert first.item() == 7   # a gradient that was read stays what it was
    x.grad = None
    (x * 1).backward()
    assert x.grad.item() == 1


def test_diamonds_are_walked_once() -> None:
    x = y = leaf(1.0)
    for _ in range(200):   # 2^200 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == 1


def test_second_backward_raises_where_values_were_freed() -> None:
    x = leaf(2.0)
    y = tl.exp(x)
    y.backward()
    with pytest.raises(GraphFreedError, match=r"through exp \(called at .*test_engine.py:\d+\) a second time.*retain_graph=True"):
        y.backward()
    y = tl.exp(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == pytest.approx(3 * np.exp(2))


def test_only_reached_values_are_freed() -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = tl.exp(x)
    z = y * w
    tl.autograd.grad(z, w)
    assert tl.autograd.grad(y, x)[0].item() == pytest.approx(np.exp(2))


def test_backward_of_what_is_no_scalar() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradError, match=r"only for a scalar, and this tensor has shape \(2,\).*\.sum\(\).*gradient="):
        (x * 2).backward()
    for gradient in ([1.0, 10.0], np.array([1.0, 10.0]), tl.tensor([1.0, 10.0])):
        x.grad = None
        (x * 2).backward(gradient)
        assert x.grad.tolist() == [2, 20]
    x.grad = None
    (x[:1] * 2).backward()   # one element is enough
    assert x.grad.tolist() == [2, 0]


def test_gradient_of_another_shape() -> None:
    x = leaf(1.0, 2.0)
    for wrong in (tl.ones(3), tl.ones((1, 2)), tl.ones(())):
        with pytest.raises(ShapeError, match=r"backward: the gradient has shape .* but the tensor has shape \(2,\)"):
            (x * 2).backward(wrong)
    with pytest.raises(ValueError, match="same"):
        (x * 2).backward(tl.ones(3))


def test_backward_of_a_leaf_and_of_a_constant() -> None:
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1
    for constant in (tl.ones(()), x.detach(), (x > 1).to(tl.float64)):
        with pytest.raises(GradError, match=r"does not require a gradient.*no_grad.*detach"):
            constant.backward()


def test_several_roots() -> None:
    x = leaf(2.0)
    a = x * x
    b = a * x
    tl.autograd.backward([a, b])
    assert x.grad.item() == 4 + 12
    x.grad = None
    tl.autograd.backward([x * x, x * 3], [tl.tensor(10.0), tl.tensor(1.0)])
    assert x.grad.item() == 43


def test_inputs_limits_where_gradients_go() -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    z = tl.exp(y)
    z.backward(inputs=[x, y])
    assert w.grad is None
    assert x.grad.item() == pytest.approx(3 * np.exp(6)) and y.grad.item() == pytest.approx(np.exp(6))
    with pytest.raises(GradError, match=r"inputs\[0\] does not require"):
        (x * w).backward(inputs=[tl.ones(())])


def test_broadcast_and_dtype_come_back_as_they_were() -> None:
    x, y = tl.ones((3, 1), requires_grad=True), tl.ones((2, 1, 4), dtype=tl.float64, requires_grad=True)
    out = x * y
    assert out.dtype == tl.float64
    out.sum().backward()
    assert (x.grad.shape, x.grad.dtype) == ((3, 1), tl.float32)
    assert (y.grad.shape, y.grad.dtype) == ((2, 1, 4), tl.float64)
    assert x.grad.tolist() == [[8.0]] * 3


# ---- autograd.grad ---------------------------------------------------------------------------------------------------

def test_grad_returns_and_touches_nothing() -> None:
    x, w = leaf(2.0), leaf(3.0)
    gx, gw = tl.autograd.grad(x * w, (x, w))
    assert (gx.item(), gw.item(), x.grad, w.grad) == (3, 2, None, None)
    (g,) = tl.autograd.grad([x * 2, x * 3], x, [tl.tensor(1.0), tl.tensor(10.0)])
    assert g.item() == 32


def test_grad_of_intermediates() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * x
    gy, gx = tl.autograd.grad(z, (y, x))
    assert (gy.item(), gx.item()) == (2, 12)
    assert tl.autograd.grad(y, y)[0].item() == 1


def test_unused_inputs() -> None:
    x, w = leaf(2.0), leaf(3.0)
    with pytest.raises(GradError, match=r"do not depend on inputs\[1\].*allow_unused=True"):
        tl.autograd.grad(x * 2, (x, w))
    assert tl.autograd.grad(x * 2, (x, w), allow_unused=True)[1] is None
    assert tl.autograd.grad(x * 2, (x, w), materialize_grads=True)[1].item() == 0
    with pytest.raises(GradError, match=r"inputs\[0\] does not require a gradient"):
        tl.autograd.grad(x * 2, tl.ones(()))


def test_results_are_not_shared() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a, b = tl.autograd.grad((x + w).sum(), (x, w))
    with tl.no_grad():
        a.add_(100.0)
    assert b.tolist() == [1, 1]
    (x + w).sum().backward()
    with tl.no_grad():
        x.grad.add_(100.0)
    assert w.grad.tolist() == [1, 1]


# ---- higher orders ---------------------------------------------------------------------------------------------------

ORDERS: dict[str, tuple[Any, Any]] = {
    "exp": (tl.exp, lambda x, n: np.exp(x)),
    "sin": (tl.sin, lambda x, n: np.sin(x + n * np.pi / 2)),
    "reciprocal": (lambda x: 1 / x, lambda x, n: (-1) ** n * [1, 1, 2, 6, 24][n] / x ** (n + 1)),
    "log": (tl.log, lambda x, n: [np.log(x), 1 / x, -1 / x ** 2, 2 / x ** 3, -6 / x ** 4][n]),
    "x^5": (lambda x: x ** 5, lambda x, n: [1, 5, 20, 60, 120][n] * x ** (5 - n)),
    "product": (lambda x: x * tl.exp(x), lambda x, n: (x + n) * np.exp(x)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_fourth_order(name: str) -> None:
    f, closed = ORDERS[name]
    at = np.array([0.3, 1.7])
    x = tl.tensor(at, requires_grad=True)
    y = f(x)
    for order in range(1, 5):
        (y,) = tl.autograd.grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.detach().numpy(), closed(at, order), rtol=1e-11)
    g = f
    for order in range(1, 5):
        g = tl.grad(g)
        np.testing.assert_allclose(g(tl.tensor(1.7, dtype=tl.float64)).item(), closed(1.7, order), rtol=1e-11)


def test_create_graph_through_backward() -> None:
    x = leaf(3.0)
    (x ** 3).backward(create_graph=True)
    assert x.grad.requires_grad and x.grad.item() == 27
    g, x.grad = x.grad, None
    g.backward()
    assert x.grad.item() == 18


def test_gradient_penalty() -> None:
    w, x = leaf(0.5, -1.0), leaf(2.0, 1.0)
    (g,) = tl.autograd.grad(tl.tanh(w @ x), x, create_graph=True)
    penalty = (g * g).sum()
    penalty.backward()

    def by_hand(v: Any) -> float:
        s = 1 - np.tanh(v @ [2.0, 1.0]) ** 2
        return float(s * s * (v @ v))
    at, eps = np.array([0.5, -1.0]), 1e-6
    numeric = [(by_hand(at + eps * e) - by_hand(at - eps * e)) / (2 * eps) for e in np.eye(2)]
    np.testing.assert_allclose(w.grad.numpy(), numeric, rtol=1e-8)


def test_gradient_with_respect_to_grad_outputs() -> None:
    x, v = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = tl.autograd.grad(x * x, x, v, create_graph=True)
    assert tl.autograd.grad(g.sum(), v)[0].tolist() == [2, 4]   # the jvp by two vjps


# ---- hooks, retain_grad, what a tensor knows of itself --------------------------------------------------------------

def test_hooks_run_in_order_replace_and_are_removed() -> None:
    x = leaf(1.0)
    seen: list[tuple[str, float]] = []
    first = x.register_hook(lambda g: seen.append(("a", g.item())) or g * 2)
    x.register_hook(lambda g: seen.append(("b", g.item())))
    (x * 3).backward()
    assert seen == [("a", 3), ("b", 6)] and x.grad.item() == 6
    first.remove()
    first.remove()
    x.grad = None
    (x * 3).backward()
    assert seen[2:] == [("b", 3)] and x.grad.item() == 3


def test_hooks_on_intermediates_see_the_whole_gradient_once() -> None:
    x = leaf(2.0)
    y = x * x
    seen: list[float] = []
    with y.register_hook(lambda g: seen.append(g.item()) or g * 10):
        (y * 3 + y * 4).backward(retain_graph=True)
    assert seen == [7] and x.grad.item() == 280
    x.grad = None
    (y * 1).backward()
    assert x.grad.item() == 4


def test_hooks_of_a_leaf_run_once_for_several_uses_and_in_grad() -> None:
    x = leaf(2.0)
    seen: list[float] = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 3 + x * 4).backward()
    assert seen == [7]
    tl.autograd.grad(x * 5, x)
    assert seen == [7, 5]


def test_hooks_that_return_another_shape_or_are_pointless() -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    with pytest.raises(GradError, match=r"hook returned a gradient of shape \(1,\); expected \(2,\)"):
        x.sum().backward()
    with pytest.raises(GradError, match="register_hook"):
        tl.ones(2).register_hook(lambda g: None)


def test_retain_grad() -> None:
    x = leaf(2.0)
    y, z = x * x, x * 5
    y.retain_grad()
    assert y.retains_grad and not z.retains_grad
    (y * 3 + z).backward()
    assert y.grad.item() == 3 and z.grad is None
    with pytest.raises(GradError, match="retain_grad"):
        tl.ones(2).retain_grad()


def test_leaves_and_grad_fn() -> None:
    x = leaf(2.0)
    y = x * 2
    assert x.is_leaf and x.grad_fn is None and x.requires_grad
    assert not y.is_leaf and y.requires_grad
    assert tl.ones(2).is_leaf and not tl.ones(2).requires_grad
    assert (y.grad_fn.name, repr(y.grad_fn)) == ("MulBackward", "<MulBackward>")
    assert (tl.log_softmax(leaf(1.0, 2.0), 0).grad_fn.name) == "LogSoftmaxBackward"
    assert y.grad_fn.next_functions == (x,) and (y + 1).grad_fn.next_functions == (y.grad_fn,)


def test_detach_shares_memory_and_cuts() -> None:
    x = leaf(1.0, 2.0)
    d = (x * 2).detach()
    assert not d.requires_grad and d.is_leaf
    e = x.detach()
    with tl.no_grad():
        e[0] = 7.0
    assert x.tolist() == [7, 2]
    y = x * 2
    y.detach_()
    assert y.is_leaf and not y.requires_grad


def test_requires_grad_() -> None:
    x = tl.ones(2)
    assert x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad and not (x * 2).requires_grad
    y = tl.ones(2, requires_grad=True) * 2
    with pytest.raises(GradError, match=r"only be switched off on leaves.*detach\(\)"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y
    for dtype in (tl.int64, tl.bool, tl.uint8):
        with pytest.raises(DTypeError, match=f"floating.*dtype {dtype}.*to"):
            tl.ones(2, dtype=dtype).requires_grad_()
        with pytest.raises(TypeError):
            tl.tensor([1], dtype=dtype, requires_grad=True)


def test_nothing_is_recorded_of_constants() -> None:
    assert (tl.ones(2) * 2).grad_fn is None
    assert not (leaf(1.0) > 0).requires_grad and not leaf(1.0, 2.0).argmax().requires_grad
    assert not leaf(1.0).to(tl.int64).requires_grad


# ---- modes -----------------------------------------------------------------------------------------------------------

def test_no_grad_and_enable_grad() -> None:
    x = leaf(2.0)
    with tl.no_grad():
        assert not tl.is_grad_enabled() and not (x * 2).requires_grad
        with tl.enable_grad():
            assert (x * 2).requires_grad
        with tl.set_grad_enabled(True):
            assert tl.is_grad_enabled()
        assert not tl.is_grad_enabled()
        assert tl.ones(2, requires_grad=True).requires_grad   # leaves may be made
    assert (x * 2).requires_grad

    @tl.no_grad()
    def constant(x: Any, depth: int = 1) -> Any:
        """Says so."""
        return constant(x, depth - 1) if depth else x * 2
    assert not constant(x).requires_grad and constant.__doc__ == "Says so."

    @tl.enable_grad()
    def recorded(x: Any) -> Any:
        return x * 2
    with tl.no_grad():
        assert recorded(x).requires_grad


def test_modes_survive_exceptions_and_reuse() -> None:
    mode = tl.no_grad()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), mode, mode:
            raise ZeroDivisionError
        assert tl.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        tl.grad(lambda x: 1 / 0)(tl.tensor(1.0))
    assert (leaf(1.0) * 2).requires_grad and not (tl.ones(1) * 2).requires_grad


def test_modes_belong_to_their_thread() -> None:
    seen: list[bool] = []
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with tl.no_grad():
            inside.set()
            done.wait(10)
        seen.append(tl.is_grad_enabled())
    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    assert tl.is_grad_enabled()
    done.set()
    thread.join()
    assert seen == [True]


def test_threads_differentiate_side_by_side() -> None:
    w = leaf(*np.linspace(0.1, 1.0, 50))
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        for _ in range(20):
            found[k] = tl.autograd.grad((tl.sin(w * k)).sum(), w)[0].numpy()
    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(1, 5):
        np.testing.assert_allclose(found[k], k * np.cos(k * np.linspace(0.1, 1.0, 50)), rtol=1e-12)


# ---- operations with several results --------------------------------------------------------------------------------

def test_unused_results() -> None:
    x = leaf(3.0, 1.0, 2.0)
    a, _, c = tl.unstack(x)
    (a * c).backward()
    assert x.grad.tolist() == [2, 0, 3]
    x.grad = None
    parts = tl.split(x * 1, [1, 2])
    parts[1].sum().backward()
    assert x.grad.tolist() == [0, 1, 1]


def test_results_without_a_gradient() -> None:
    x = leaf(3.0, 1.0, 2.0)
    values, indices = tl.topk(x, 2)
    assert values.requires_grad and not indices.requires_grad
    (values * tl.tensor([10.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [10, 0, 1]


def test_hooks_on_one_result_of_several() -> None:
    x = leaf(1.0, 2.0, 3.0)
    a, b, _ = tl.unstack(x * 1)
    a.register_hook(lambda g: g * 100)
    (a + b).backward()
    assert x.grad.tolist() == [100, 1, 0]


# ---- zero cotangents -------------------------------------------------------------------------------------------------

SAFE: dict[str, tuple[Any, float, float]] = {
    "where sqrt": (lambda a: tl.where(a > 0, tl.sqrt(a), a), 0.0, 1.0),
    "where log": (lambda a: tl.where(a > 0, tl.log(a), 2 * a), 0.0, 2.0),
    "where 1/a": (lambda a: tl.where(a != 0, 1 / a, 3 * a), 0.0, 3.0),
    "where pow": (lambda a: tl.where(a > 0, a ** 0.5, a), 0.0, 1.0),
    "norm": (lambda a: a.norm(), 0.0, 0.0),
    "product with 0": (lambda a: tl.sqrt(a) * 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("name", SAFE)
def test_zero_cotangents_do_not_make_nan(name: str) -> None:
    f, at, slope = SAFE[name]
    with np.errstate(all="ignore"):
        a = leaf(at)
        f(a).backward()
        assert a.grad.item() == slope
        assert tl.grad(f)(tl.tensor(at, dtype=tl.float64)).item() == slope
        (g,) = tl.autograd.grad(f(a), a, create_graph=True)
        assert g.item() == slope


def test_strict_nan_opts_out() -> None:
    a = leaf(0.0)
    with tl.config(strict_nan=True):
        tl.where(a > 0, tl.sqrt(a), a).backward()
    assert np.isnan(a.grad.item())
    a.grad = None
    tl.where(a > 0, tl.sqrt(a), a).backward()
    assert a.grad.item() == 1


def test_true_infinities_stay() -> None:
    a = leaf(0.0)
    tl.sqrt(a).backward()
    assert a.grad.item() == np.inf


# ---- errors ----------------------------------------------------------------------------------------------------------

def test_operations_without_a_rule_say_so() -> None:
    from tensorlite.engine.primitive import REGISTRY, primitive
    before = dict(REGISTRY)
    try:
        ruleless = primitive("ruleless_for_test", lambda xp, x: x * 2)
        with pytest.raises(NotDifferentiableError, match=r"ruleless_for_test has no derivative with respect to x.*detach"):
            ruleless(leaf(1.0)).backward()
        with pytest.raises(TypeError, match="asks for 'nonsense', which is no argument"):
            ruleless.vjp(x=lambda g, nonsense: g)
            ruleless(leaf(1.0))
    finally:
        REGISTRY.clear()
        REGISTRY.update(before)


def test_shapes_that_do_not_broadcast_are_named() -> None:
    with pytest.raises(ShapeError, match=r"^add: y has shape \(4,\), which does not broadcast with x of shape \(2, 3\); reshape"):
        tl.ones((2, 3)) + tl.ones(4)
    with pytest.raises(DTypeError, match="mul: y is a list; expected a tensor"):
        tl.ones(2) * [1.0, 2.0]


# ---- memory ----------------------------------------------------------------------------------------------------------

def test_no_reference_cycles() -> None:
    """Everything goes when the last name does, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        x = leaf(*range(1, 101))
        y = tl.exp(x)
        a, b = tl.split(y, 50)
        y.retain_grad()
        handle = y.register_hook(lambda g: g)
        loss = (a * b).sum()
        alive = [weakref.ref(t.value) for t in (y, a)] + [weakref.ref(n) for n in (y, a, loss)]
        del y, a, b, handle
        loss.backward(retain_graph=True)
        del loss
        assert [r for r in alive if r() is not None] == []
        (g,) = tl.autograd.grad(tl.exp(x).sum(), x, create_graph=True)
        held = weakref.ref(g)
        del g
        assert held() is None
        out, pullback = tl.vjp(lambda x: tl.exp(x), x.detach())
        held = weakref.ref(out.value)
        del out, pullback
        assert held() is None
    finally:
        gc.enable()


def test_buffers_are_freed_as_backward_goes() -> None:
    """Twenty saved arrays of 8 MB, and backward needs hardly more than a few besides."""
    size = 1_000_000
    y = tl.ones(size, dtype=tl.float64).requires_grad_()
    tracemalloc.start()
    try:
        for _ in range(20):
            y = tl.tanh(y)
        loss = y.sum()
        del y
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        loss.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert before > 19 * 8 * size
    assert peak - before < 5 * 8 * size
    assert after < 3 * 8 * size


def test_only_what_rules_ask_for_is_kept() -> None:
    x, c = leaf(*range(1000)), tl.ones(1000, dtype=tl.float64)
    y = x + c
    held = weakref.ref(y.value)
    z = (y * 2.0).sum()
    del y
    assert held() is None   # neither add nor a product with a number keeps it
    assert tl.debug.graph(z).saved_bytes == 0
