"""Transforms of functions: values, arguments, trees, nesting, and how they live with the tape of level 0."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, InplaceError, ShapeError
from tensorlite.func import grad, jacrev, stop_gradient, value_and_grad, vjp


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


def test_value_and_gradient_and_aux() -> None:
    value, g = value_and_grad(lambda x: (x ** 2).sum())(t([1.0, 2.0]))
    assert value.item() == 5 and g.tolist() == [2, 4]
    (value, aux), g = value_and_grad(lambda x: (x ** 2, {"twice": 2 * x}), has_aux=True)(t(3.0))
    assert (value.item(), aux["twice"].item(), g.item()) == (9, 6, 6)
    g, aux = grad(lambda x: (x ** 2, "anything"), has_aux=True)(t(3.0))
    assert (g.item(), aux) == (6, "anything")
    assert not value.requires_grad and not g.requires_grad


def test_argnums() -> None:
    f = lambda x, y: x ** 2 * y
    assert grad(f, 1)(t(3.0), t(5.0)).item() == 9
    assert [g.item() for g in grad(f, (0, 1))(t(3.0), t(5.0))] == [30, 9]
    assert grad(f, -1)(t(3.0), t(5.0)).item() == 9
    with pytest.raises(GradError, match="argnums has 2, but the function was called with 2"):
        grad(f, 2)(t(3.0), t(5.0))
    assert grad(lambda x, *, k: k * x)(t(3.0), k=7.0).item() == 7


def test_plain_numbers_and_arrays_are_taken() -> None:
    assert grad(lambda x: x * x)(3.0).item() == 6
    assert grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).tolist() == [2, 4]
    assert grad(lambda x: 5.0)(t(1.0)).item() == 0


def test_trees() -> None:
    params = {"layers": [(t([1.0, 2.0]), t(3.0)), (t([4.0, 5.0]), t(6.0))], "scale": t(2.0)}

    def f(p: Any, x: Any) -> Any:
        return p["scale"] * sum((w * x).sum() + b * b for w, b in p["layers"])
    g = grad(f)(params, t([1.0, 10.0]))
    assert isinstance(g["layers"][0], tuple)
    assert g["layers"][0][0].tolist() == [2, 20] and g["layers"][1][1].item() == 24
    assert g["scale"].item() == 21 + 9 + 54 + 36


def test_vjp() -> None:
    out, pullback = vjp(lambda x, y: (x * y, {"sum": x + y}), t([1.0, 2.0]), t([3.0, 4.0]))
    assert out[0].tolist() == [3, 8]
    gx, gy = pullback((t([1.0, 1.0]), {"sum": t([10.0, 0.0])}))
    assert gx.tolist() == [13, 4] and gy.tolist() == [11, 2]
    gx, _ = pullback((t([0.0, 1.0]), {"sum": t([0.0, 0.0])}))   # as often as one likes
    assert gx.tolist() == [0, 4]
    with pytest.raises(ShapeError, match=r"cotangent 0 has shape \(3,\), but what it belongs to has shape \(2,\)"):
        vjp(tl.exp, t([1.0, 2.0]))[1](tl.ones(3))
    with pytest.raises(ShapeError, match=r"the cotangents are .* they must be built alike"):
        vjp(tl.exp, t([1.0, 2.0]))[1](t([1.0, 1.0]), t([1.0, 1.0]))
    out, pullback, aux = vjp(lambda x: (x * 2, "aux"), t(1.0), has_aux=True)
    assert aux == "aux" and pullback(t(1.0))[0].item() == 2


def test_jacrev() -> None:
    a = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(jacrev(lambda x: t(a) @ x)(t([1.0, 2.0, 3.0, 4.0])).numpy(), a)
    assert jacrev(lambda x, y: x.reshape(2, 2) * y.sum(), 1)(t([1.0, 2.0, 3.0, 4.0]), t([1.0, 2.0, 3.0])).shape == (2, 2, 3)
    hessian = jacrev(grad(lambda x: (x ** 3).sum() + x[0] * x[1]))(t([1.0, 2.0]))
    assert hessian.tolist() == [[6, 1], [1, 12]]


def test_orders_nest() -> None:
    f = tl.sin
    for n in range(1, 7):
        f = grad(f)
        assert f(t(0.7)).item() == pytest.approx(np.sin(0.7 + n * np.pi / 2), abs=1e-14)


def test_perturbations_are_not_confused() -> None:
    """d/dx (x d/dy (x + y)) at 1 is 1; an engine that mixes its levels says 2 (Siskind and Pearlmutter, 2005)."""
    assert grad(lambda x: x * grad(lambda y: x + y)(t(1.0)))(t(1.0)).item() == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(t(2.0)))(t(3.0)).item() == 6


def test_inner_gradient_at_the_outer_variable() -> None:
    """h(x) = d/dy (x^2 y^3) at y = x is 3 x^4, so h'(x) = 12 x^3."""
    assert grad(lambda x: grad(lambda y: x ** 2 * y ** 3)(x))(t(2.0)).item() == pytest.approx(96)


def test_closure_over_the_outer_variable_in_vjp() -> None:
    def f(x: Any) -> Any:
        _, pullback = vjp(lambda y: x * y * y, x)
        return pullback(x)[0]   # 2 x^2 x
    assert grad(f)(t(3.0)).item() == 54


def test_under_no_grad() -> None:
    with tl.no_grad():
        assert grad(lambda x: x ** 3)(t(2.0)).item() == 12
        assert grad(grad(lambda x: x ** 3))(t(2.0)).item() == 12
        assert not grad(lambda x: x ** 3)(tl.tensor(2.0, requires_grad=True)).requires_grad


def test_no_grad_inside_cuts() -> None:
    def f(x: Any) -> Any:
        with tl.no_grad():
            y = x * x
        return y * x
    assert grad(f)(t(3.0)).item() == 9
    assert grad(lambda x: stop_gradient(x * x) * x)(t(3.0)).item() == 9
    assert grad(lambda x: (x * x).detach() * x)(t(3.0)).item() == 9
    assert grad(grad(lambda x: stop_gradient(x) * x * x))(t(3.0)).item() == 6


def test_captured_tensors_of_the_tape() -> None:
    w = tl.tensor(3.0, dtype=tl.float64, requires_grad=True)
    g = grad(lambda x: w * w * x)(t(2.0))
    assert g.requires_grad
    g.backward()
    assert w.grad.item() == 6
    w.grad = None
    value, g = value_and_grad(lambda x: w * x ** 2)(t(2.0))
    (value + g).backward()
    assert w.grad.item() == 4 + 4


def test_arguments_that_are_on_the_tape() -> None:
    x = tl.tensor(2.0, dtype=tl.float64, requires_grad=True)
    g = grad(lambda x: x ** 3)(x)
    g.backward()
    assert x.grad.item() == 12 and g.item() == 12


def test_backward_inside_is_refused() -> None:
    def f(x: Any) -> Any:
        (x * 2).backward()
        return x
    with pytest.raises(GradError, match="belongs to a transform that is running"):
        grad(f)(t(1.0))


def test_the_tape_works_inside_on_tensors_of_its_own() -> None:
    def f(x: Any) -> Any:
        w = tl.tensor(2.0, dtype=tl.float64, requires_grad=True)
        (w * w).backward()
        return x * w.grad
    assert grad(f)(t(1.0)).item() == 4


def test_control_flow_indexing_and_in_place() -> None:
    def f(x: Any) -> Any:
        out = tl.zeros_like(x)
        for i in range(x.shape[0]):
            out[i] = x[i] ** 2 if x[i] > 0 else -x[i]
        return out.sum()
    assert grad(f)(t([3.0, -2.0])).tolist() == [6, -1]


def test_what_cannot_be_differentiated() -> None:
    with pytest.raises(DTypeError, match=r"grad: an input of dtype int64.*floating"):
        grad(lambda x: x)(tl.tensor(3))
    with pytest.raises(GradError, match=r"returned shape \(2,\); expected a scalar"):
        grad(lambda x: x)(t([1.0, 2.0]))
    with pytest.raises(GradError, match="returned a str"):
        grad(lambda x: "no")(t(1.0))
    with pytest.raises(GradError, match="has_aux the function must return a pair"):
        grad(lambda x: x, has_aux=True)(t(1.0))


def test_names_are_kept() -> None:
    def loss(x: Any) -> Any:
        """The loss."""
        return x
    assert grad(loss).__name__ == "loss" and grad(loss).__doc__ == "The loss."


def test_a_gradient_may_be_changed_in_place() -> None:
    for f in (lambda x: x, lambda x: x + 0.0, lambda x: x.reshape(()), lambda x: x * 1.0):
        for _ in range(2):
            x = t([3.0]) if f(t([3.0])).ndim == 0 else t(3.0)
            g = grad(f)(x)
            g.mul_(5.0)
            assert g.item() == 5 and grad(f)(x).item() == 1
        leaf = t(3.0).requires_grad_()
        leaf.backward()
        leaf.grad.mul_(7.0)
        assert grad(f)(t(3.0)).item() == 1


def test_what_transforms_return_shares_no_memory() -> None:
    x, v = t([1.0, 2.0, 3.0]), t([4.0, 5.0, 6.0])
    labels = tl.tensor(1)
    results = [
        lambda: grad(lambda a, b: (a + b).sum(), (0, 1))(x, x),
        lambda: vjp(lambda a, b: a + b, x, x)[1](v),
        lambda: vjp(lambda a: (a, a.reshape(3)), x)[1]((v, v)),
        lambda: (tl.jvp(lambda a: a, (x,), (v,))[1], tl.jvp(lambda a: (a, a), (x,), (v,))[1]),
        lambda: tl.linearize(lambda a: (a, a, a.reshape(3, 1)), x)[1](v),
        lambda: tl.hvp(lambda a: (a * a).sum() / 2, (x,), (v,))[1:],
        lambda: tl.vmap(lambda a: vjp(lambda b: (b, b), a)[1]((a, a)))(x),
    ]
    for run in results:
        arrays = [a.numpy() for a in tl._tree.flatten(run())[0]]
        for i, a in enumerate(arrays):
            for other in (x.numpy(), v.numpy(), *arrays[:i]):
                assert not np.shares_memory(a, other)
    for f in (lambda a: tl.nn.functional.cross_entropy(a, labels), lambda a: tl.dot(a, v)):   # what was kept is given away
        pullback = vjp(f, x)[1]
        first = pullback(t(1.0))[0]
        kept = first.numpy().copy()
        first.mul_(2.0)
        np.testing.assert_array_equal(pullback(t(1.0))[0].numpy(), kept)
    assert v.tolist() == [4, 5, 6]


def test_a_gradient_given_twice_is_two_inside_of_a_transform() -> None:
    def f(x: Any) -> Any:
        a, b = grad(lambda p, q: p * x + q * x, (0, 1))(x, x)
        a += x
        return a * b
    assert grad(f)(t(3.0)).item() == 12


def test_linearize_refuses_what_was_changed() -> None:
    x = t([1.0, 2.0])
    out, push = tl.linearize(lambda x: tl.exp(x) * x, x)
    out.add_(1.0)   # not kept
    push(x)
    x.add_(1.0)
    with pytest.raises(InplaceError, match=r"linear part of mul needs .* changed in place by add_"):
        push(x)
    out, push = tl.linearize(tl.exp, t([1.0, 2.0]))
    out.mul_(2.0)
    with pytest.raises(InplaceError, match="linear part of exp"):
        push(x)
