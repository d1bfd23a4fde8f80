"""custom_vjp, custom_jvp and autograd.Function in nested transforms, against the plain composition; and their mistakes."""
from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import _tree
from tensorlite.errors import GradError, LeakError, ShapeError
from tensorlite.func import grad, hessian, hvp, jacfwd, jacrev, jvp, linearize, vjp, vmap
from tensorlite.func._custom import custom_jvp, custom_vjp

Tensor = Any


def tensor(*values: float) -> Tensor:
    return tl.tensor(list(values), dtype=tl.float64)


X, A, T = tensor(0.3, 0.7, 1.1), tensor(2.0, 3.0, 4.0), tensor(1.0, -1.0, 0.5)


def plain(x: Tensor, p: Any) -> Tensor:
    return tl.sin(x) * p["a"]


def summed(v: Tensor, like: Tensor) -> Tensor:
    while v.ndim > like.ndim:
        v = v.sum(0)
    return v


@custom_vjp
def by_vjp(x: Tensor, p: Any) -> Tensor:
    return tl.sin(x) * p["a"]


by_vjp.defvjp(lambda x, p: (tl.sin(x) * p["a"], [tl.cos(x), p["a"], tl.sin(x), "a note"]),
              lambda r, g: (summed(g * r[0] * r[1], r[0]), {"a": summed(g * r[2], r[1])}))


@custom_jvp
def by_jvp(x: Tensor, p: Any) -> Tensor:
    return tl.sin(x) * p["a"]


@by_jvp.defjvp
def _by_jvp_rule(primals: Any, tangents: Any) -> Any:
    (x, p), (t, q) = primals, tangents
    return by_jvp(x, p), tl.cos(x) * p["a"] * t + tl.sin(x) * q["a"]


@custom_jvp
def by_jvps(x: Tensor, a: Tensor) -> Tensor:
    return tl.sin(x) * a


by_jvps.defjvps(lambda t, out, x, a: tl.cos(x) * a * t, lambda t, out, x, a: out / a * t)


class Function(tl.autograd.Function):
    """Forward mode by transposing backward, vmap by running both on the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor) -> Tensor:
        ctx.save_for_backward(x, a)
        return tl.sin(x) * a

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, a = ctx.saved_tensors
        return g * tl.cos(x) * a, g * tl.sin(x)


class Attributes(tl.autograd.Function):
    """setup_context, tensors kept as attributes, a jvp."""

    @staticmethod
    def forward(x: Tensor, a: Tensor) -> Tensor:
        return tl.sin(x) * a

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.x, ctx.held = inputs[0], {"a": inputs[1], "n": 1}

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * tl.cos(ctx.x) * ctx.held["a"], g * tl.sin(ctx.x)

    @staticmethod
    def jvp(ctx: Any, t: Tensor, q: Tensor) -> Any:
        return tl.cos(ctx.x) * ctx.held["a"] * t + tl.sin(ctx.x) * q


class InNumPy(tl.autograd.Function):
    """Leaves tensorlite; with a vmap rule, and derivatives made of another such."""

    @staticmethod
    def forward(x: Tensor, a: Tensor) -> Tensor:
        return tl.from_numpy(np.sin(x.numpy()) * a.numpy())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, a = ctx.saved_tensors
        return g * tl.cos(x) * a, g * tl.sin(x)

    @staticmethod
    def jvp(ctx: Any, t: Tensor, q: Tensor) -> Any:
        x, a = ctx.saved_tensors
        return tl.cos(x) * a * t + tl.sin(x) * q

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, a: Tensor) -> Any:
        assert info.batch_size == 3 and info.randomness == "error"
        if in_dims[0] is None:
            x = tl.expand_dims(x, 0)
        if in_dims[1] is None:
            a = tl.expand_dims(a, 0)
        n = max(x.ndim, a.ndim)
        x, a = (v.reshape((v.shape[0],) + (1,) * (n - v.ndim) + v.shape[1:]) for v in (x, a))
        x, a = tl.broadcast_arrays(x, a)
        return InNumPy.apply(x, a), 0


FORMS: dict[str, Callable[..., Tensor]] = {
    "custom_vjp": by_vjp, "custom_jvp": by_jvp, "defjvps": lambda x, p: by_jvps(x, p["a"]),
    "Function": lambda x, p: Function.apply(x, p["a"]), "setup_context and jvp": lambda x, p: Attributes.apply(x, p["a"]),
    "NumPy and vmap": lambda x, p: InNumPy.apply(x, p["a"]),
}


def nestings(f: Callable[..., Tensor]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Compositions of transforms of f, as functions without arguments."""
    each = lambda x, a: f(x, {"a": a}) ** 2
    s = lambda x, a: each(x, a).sum()
    first, both = vmap(each, in_axes=(0, None)), vmap(each)
    second = vmap(each, in_axes=(None, 0))

    def tape(f: Callable[..., Tensor], order: int) -> Any:
        leaves = [X.clone().requires_grad_(), A.clone().requires_grad_()]
        out = f(*leaves)
        for _ in range(order):
            g = tl.autograd.grad(out, leaves, create_graph=True, materialize_grads=True)
            out = (g[0] * T).sum() + (g[1] ** 2).sum()
        return g
    yield "grad", lambda: grad(s, (0, 1))(X, A)
    yield "jvp", lambda: jvp(s, (X, A), (T, T))
    yield "jvp of one argument", lambda: jvp(s, (X, A), (T, None))
    yield "linearize", lambda: linearize(s, X, A)[1](T, T)
    yield "vjp", lambda: vjp(each, X, A)[1](T)
    yield "vmap", lambda: (both(X, A), first(X, A), second(X, A))
    yield "vmap of grad", lambda: vmap(grad(each, (0, 1)))(X, A)
    yield "vmap of grad, shared", lambda: vmap(grad(lambda x, a: each(x, a).sum(), (0, 1)), in_axes=(None, 0))(X, A)
    yield "grad of vmap", lambda: grad(lambda x, a: both(x, a).sum(), (0, 1))(X, A)
    yield "jvp of vmap", lambda: jvp(both, (X, A), (T, T))
    yield "linearize of vmap", lambda: linearize(both, X, A)[1](T, T)
    yield "vmap of jvp", lambda: vmap(lambda x, a, t: jvp(each, (x, a), (t, t)))(X, A, T)
    yield "vmap of linearize", lambda: vmap(lambda x, a, t: linearize(each, x, a)[1](t, t))(X, A, T)
    yield "hvp", lambda: hvp(s, (X, A), (T, T))
    yield "hessian", lambda: hessian(s, (0, 1))(X, A)
    yield "jacrev of jacrev", lambda: jacrev(jacrev(s, (0, 1)), (0, 1))(X, A)
    yield "jacrev of jacfwd", lambda: jacrev(jacfwd(s, (0, 1)), (0, 1))(X, A)
    yield "jacfwd of jacfwd", lambda: jacfwd(jacfwd(s, (0, 1)), (0, 1))(X, A)
    yield "third order", lambda: grad(lambda x: grad(lambda x: grad(s)(x, A).sum())(x).sum())(X)
    yield "vmap of vmap", lambda: vmap(lambda x: vmap(lambda a: each(x, a))(A))(X)
    yield "grad of vmap of vmap", lambda: grad(lambda x: vmap(lambda x: vmap(lambda a: each(x, a))(A))(x).sum())(X)
    yield "grad of vmap of grad", lambda: grad(lambda x, a: (vmap(grad(each))(x, a) ** 2).sum(), (0, 1))(X, A)
    yield "vmap of grad of vmap", lambda: vmap(grad(lambda x: vmap(lambda a: each(x, a))(A).sum()))(X)
    yield "vmap of hessian", lambda: vmap(hessian(each, (0, 1)))(X, A)
    yield "grad of vmap of jvp", lambda: grad(lambda x: vmap(lambda x, a: jvp(each, (x, a), (x, a))[1])(x, A).sum())(X)
    yield "jvp of grad of vmap", lambda: jvp(grad(lambda x, a: both(x, a).sum(), (0, 1)), (X, A), (T, T))
    yield "grad of linearize", lambda: grad(lambda x: linearize(s, x, A)[1](T, T))(X)
    yield "tape", lambda: tape(s, 1)
    yield "tape, second order", lambda: tape(s, 2)
    yield "tape, third order", lambda: tape(s, 3)
    yield "tape below grad", lambda: tape(lambda x, a: grad(lambda a: s(x, a))(a).sum(), 1)
    yield "tape below vmap", lambda: tape(lambda x, a: both(x, a).sum(), 2)
    yield "tape below jvp", lambda: tape(lambda x, a: jvp(lambda x: s(x, a), (x,), (T,))[1], 2)
    yield "tape below hvp of vmap", lambda: tape(lambda x, a: hvp(lambda a: both(x, a).sum(), (a,), (T,))[1].sum(), 1)


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(x.detach().numpy()) for x in _tree.flatten(tree)[0]])


REFERENCE = {name: flat(compute()) for name, compute in nestings(plain)}


@pytest.mark.parametrize("nesting", REFERENCE)
@pytest.mark.parametrize("form", FORMS)
def test_every_nesting(form: str, nesting: str) -> None:
    found = flat(dict(nestings(FORMS[form]))[nesting]())
    np.testing.assert_allclose(found, REFERENCE[nesting], rtol=1e-12, atol=1e-14)


# ---- the rule is what is used --------------------------------------------------------------------------------------------

@custom_vjp
def doubled(x: Tensor) -> Tensor:
    """x, with twice the gradient."""
    return x * 1.0


doubled.defvjp(lambda x: (x * 1.0, None), lambda residuals, g: (2.0 * g,))


@custom_jvp
def doubled_forward(x: Tensor) -> Tensor:
    return x * 1.0


doubled_forward.defjvp(lambda primals, tangents: (primals[0] * 1.0, 2.0 * tangents[0]))


@pytest.mark.parametrize("f", [doubled, doubled_forward], ids=["custom_vjp", "custom_jvp"])
def test_the_rule_is_what_counts(f: Any) -> None:
    ones = tl.ones(3, dtype=tl.float64)
    assert grad(lambda x: f(x).sum())(X).tolist() == [2, 2, 2]
    assert jvp(f, (X,), (ones,))[1].tolist() == [2, 2, 2]
    assert linearize(f, X)[1](ones).tolist() == [2, 2, 2]
    assert vmap(grad(f))(X).tolist() == grad(lambda x: vmap(f)(x).sum())(X).tolist() == [2, 2, 2]
    x = X.clone().requires_grad_()
    f(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert f(X).tolist() == X.tolist() and f.__name__.startswith("doubled")


@pytest.mark.parametrize("make", ["tl", "jax"])
def test_second_derivatives_are_those_of_what_the_rules_do(make: str) -> None:
    """As in JAX: what fwd computes is differentiated as it is at the levels below; the same program run by both."""
    np_, decorator, transform, at = (tl, custom_vjp, grad, tl.tensor(1.7, dtype=tl.float64)) if make == "tl" else _jax()

    @decorator
    def through(x: Any) -> Any:
        return np_.round(x)
    through.defvjp(lambda x: (np_.round(x), None), lambda residuals, g: (g,))
    f = lambda x: through(x) * x
    assert float(transform(f)(at)) == pytest.approx(3.7)
    assert float(transform(transform(f))(at)) == 1.0


def _jax() -> Any:
    jax = pytest.importorskip("jax")
    return jax.numpy, jax.custom_vjp, jax.grad, 1.7


# ---- arguments -----------------------------------------------------------------------------------------------------------

def test_trees_several_results_and_integers() -> None:
    seen: list[Any] = []

    @custom_vjp
    def f(p: Any, n: int, index: Tensor) -> Any:
        return {"y": p[0] * n, "z": (p[1][0][index], n)}

    def backward(residuals: Any, g: Any) -> Any:
        seen.append((g["y"].tolist(), g["z"][0].tolist()))
        return (g["y"] * residuals, [None]), None, None
    f.defvjp(lambda p, n, index: (f(p, n, index), n), backward)
    p = (X, [A])
    index = tl.tensor([1])
    out, pullback = vjp(lambda p: f(p, 3, index), p)
    assert out["z"][1].item() == 3 and out["y"].tolist() == (X * 3).tolist()
    ((gx, (ga,)),) = pullback({"y": T, "z": (None, None)})
    assert gx.tolist() == (3 * T).tolist() and ga.tolist() == [0, 0, 0] and seen == [(T.tolist(), [0.0])]
    assert jvp(lambda p: f(p, 3, index)["y"], (p,), ((T, [None]),))[1].tolist() == (3 * T).tolist()


@pytest.mark.parametrize("named", [False, True])
def test_nondiff_arguments(named: bool) -> None:
    chosen: dict[str, Any] = {"nondiff_argnames": ("f", "scale")} if named else {"nondiff_argnums": (0, 2)}

    def call(f: Any, x: Tensor, scale: float = 2.0) -> Tensor:
        return scale * f(x)
    v, j = custom_vjp(call, **chosen), custom_jvp(call, **chosen)
    v.defvjp(lambda f, x, scale: (scale * f(x), x), lambda f, scale, x, g: (scale * tl.cos(x) * g,))
    j.defjvp(lambda f, scale, primals, tangents: (scale * f(*primals), scale * tl.cos(primals[0]) * tangents[0]))
    for f in (v, j):
        for found in (grad(lambda x, f=f: f(tl.sin, x, 3.0).sum())(X),
                      jvp(lambda x, f=f: f(tl.sin, x, scale=3.0), (X,), (tl.ones_like(X),))[1],
                      vmap(grad(lambda x, f=f: f(tl.sin, x) * 1.5))(X)):
            np.testing.assert_allclose(found.numpy(), 3 * np.cos(X.numpy()), rtol=1e-14)
        with pytest.raises(GradError, match="argument 2 is among nondiff_argnums and holds a value of a running transform"):
            grad(lambda s, f=f: f(tl.sin, X, s).sum())(tl.tensor(2.0))


def test_keywords_defaults_and_raw_arrays() -> None:
    @custom_jvp
    def f(x: Any, scale: Any = 2.0) -> Any:
        return x * scale
    f.defjvps(lambda t, out, x, scale: t * scale, None)
    assert f(X, scale=3.0).tolist() == (X * 3).tolist() and f(x=X).tolist() == (X * 2).tolist()
    assert f(np.ones(2), 4.0).tolist() == [4, 4]
    assert grad(lambda x: f(scale=5.0, x=x).sum())(X).tolist() == [5, 5, 5]
    assert grad(lambda s: f(X, s).sum())(tl.tensor(2.0, dtype=tl.float64)).item() == 0   # None: no rule, no derivative


# ---- captured values -----------------------------------------------------------------------------------------------------

def scaled_by(a: Any, kind: str) -> Any:
    """x -> a x with a captured."""
    if kind == "custom_vjp":
        f = custom_vjp(lambda x: x * a)
        f.defvjp(lambda x: (x * a, ()), lambda residuals, g: (g * a,))
        return f
    h = custom_jvp(lambda x: x * a)
    h.defjvp(lambda primals, tangents: (primals[0] * a, tangents[0] * a))
    return h


@pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp"])
def test_captured_values(kind: str) -> None:
    """What JAX gives too: an error where the captured value is differentiated, its value where it is only batched."""
    two, three = tl.tensor(2.0), tl.tensor(3.0)
    for f in (lambda a: scaled_by(a, kind)(a), lambda a: scaled_by(a, kind)(three)):
        with pytest.raises(GradError, match="which is not among its arguments"):
            grad(f)(two)
        with pytest.raises(GradError, match="which is not among its arguments"):
            jvp(f, (two,), (two,))
    assert grad(lambda a: grad(scaled_by(a, kind))(three))(two).item() == 1
    batch = tl.arange(3.0)
    assert vmap(lambda a: scaled_by(a, kind)(three))(batch).tolist() == [0, 3, 6]
    assert vmap(lambda a: scaled_by(a, kind)(a))(batch).tolist() == [0, 1, 4]
    assert vmap(lambda a: grad(scaled_by(a, kind))(three))(batch).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp"])
def test_captured_tensors_that_require_a_gradient(kind: str) -> None:
    w = tl.tensor(2.0, requires_grad=True)
    for x in (tl.tensor(3.0, requires_grad=True), tl.tensor(3.0)):
        with pytest.raises(GradError, match="tensor that requires a gradient which is not among its arguments"):
            scaled_by(w, kind)(x)
    with tl.no_grad():
        assert scaled_by(w, kind)(tl.tensor(3.0)).item() == 6


def test_a_value_kept_too_long() -> None:
    kept: list[Any] = []
    vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(LeakError):
        by_vjp(kept[0], {"a": A})


# ---- mistakes ------------------------------------------------------------------------------------------------------------

def test_mistakes_are_named() -> None:
    no_vjp, no_jvp = custom_vjp(lambda x: x), custom_jvp(lambda x: x)
    with pytest.raises(GradError, match=r"custom_vjp function without a rule; give it one with .*defvjp"):
        no_vjp(X)
    with pytest.raises(GradError, match=r"custom_jvp function without a rule; give it one with .*defjvp"):
        no_jvp(X)
    with pytest.raises(GradError, match="symbolic_zeros is not supported"):
        no_vjp.defvjp(plain, plain, symbolic_zeros=True)
    with pytest.raises(GradError, match="symbolic_zeros is not supported"):
        no_jvp.defjvp(plain, symbolic_zeros=True)
    with pytest.raises(GradError, match="not with nondiff_argnums"):
        custom_jvp(lambda x: x, nondiff_argnums=(0,)).defjvps(None)

    def vjp_of(fwd: Any, bwd: Any) -> Any:
        @custom_vjp
        def f(x: Tensor, y: Tensor) -> Tensor:
            return x * y
        f.defvjp(fwd, bwd)
        return lambda: grad(lambda x: f(x, A).sum())(X)
    good = lambda x, y: (x * y, None)
    for fwd, bwd, error, says in [
        (lambda x, y: x * y, lambda r, g: (g, g), GradError, "f: the forward rule returned a .*; expected a pair"),
        (good, lambda r, g: g, GradError, "f: the backward rule returned a .*; expected a tuple with one for each of"),
        (good, lambda r, g: (g,), GradError, "f: the backward rule returned 1 cotangents"),
        (good, lambda r, g: (g.sum(), None), ShapeError, r"a cotangent of shape \(\) for leaf 0 of the arguments"),
        (good, lambda r, g: ([g], None), ShapeError, r"built as \[\*\], but what they belong to as \*"),
    ]:
        with pytest.raises(error, match=says):
            vjp_of(fwd, bwd)()

    def jvp_of(rule: Any) -> Any:
        f = custom_jvp(lambda x: {"y": x * 2})
        f.defjvp(rule)
        return lambda: jvp(f, (X,), (T,))
    for rule, error, says in [
        (lambda p, t: {"y": p[0]}, GradError, "the rule returned a dict; expected a pair"),
        (lambda p, t: ({"y": p[0]}, t[0]), ShapeError, r"the tangents of the rule are built as \*, but .* as \{'y': \*\}"),
        (lambda p, t: ({"y": p[0]}, {"y": t[0].sum()}), ShapeError, r"a tangent of shape \(\) for leaf 0 of the result"),
    ]:
        with pytest.raises(error, match=says):
            jvp_of(rule)()


@pytest.mark.parametrize("f", [by_vjp, by_jvp, FORMS["Function"]], ids=["custom_vjp", "custom_jvp", "Function"])
def test_nothing_holds_itself(f: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        x = X.clone().requires_grad_()
        y = f(x, {"a": A})
        held = weakref.ref(y), weakref.ref(y.value)
        del y
        assert [r() for r in held] == [None, None]
        y = f(x, {"a": A})
        held = weakref.ref(y), weakref.ref(y.value)
        loss = y.sum()
        del y
        loss.backward()
        assert [r() for r in held] == [None, None]
    finally:
        gc.enable()
