"""Implicit differentiation: against explicit solutions and unrolled iterations, in both modes, to any order, and in batches."""
from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import _tree
from tensorlite.engine import tape
from tensorlite.errors import ConvergenceError, GradError, LinAlgError, ShapeError
from tensorlite.func import grad, hessian, hvp, jacfwd, jacrev, jvp, linearize, vmap
from tensorlite.func._functional import functional_call
from tensorlite.func._implicit import custom_root, fixed_point, solve_bicgstab, solve_cg
from tensorlite.ops.linalg_solve import solve as linear_solve

Tensor = Any
RNG = np.random.default_rng(11)
BASE, W = tl.tensor(RNG.normal(size=(3, 3))), tl.tensor(0.06 * RNG.normal(size=(3, 3)))
A, B, T = (tl.tensor(v, dtype=tl.float64) for v in ([1.0, 1.5, 2.0], [0.3, -0.2, 0.8], [1.0, -1.0, 0.5]))
MANY_A, MANY_B = tl.tensor(RNG.uniform(1, 2, size=(4, 3))), tl.tensor(RNG.normal(size=(4, 3)))
START = tl.zeros(3, dtype=tl.float64)


def tight(matvec: Any, b: Any) -> Any:
    return solve_bicgstab(matvec, b, tol=1e-13)


# ---- a linear root with a known solution, and a fixed point --------------------------------------------------------------

def matrix(a: Tensor) -> Tensor:
    return 3 * tl.diag_embed(a) + tl.tanh(a[:, None] * a[None, :]) + 0.1 * BASE


def explicit(a: Tensor, b: Tensor) -> Tensor:
    return linear_solve(matrix(a), tl.sin(b))


def residual(x: Any, a: Tensor, b: Any) -> Any:
    return {"u": matrix(a) @ x["u"] - tl.sin(b[0])}


def step(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return tl.tanh((W * a) @ x + b)


def unrolled(a: Tensor, b: Tensor) -> Tensor:
    x = START
    for _ in range(40):
        x = step(x, a, b)
    return x


def rooted(tangent_solve: Any) -> Callable[..., Tensor]:
    root = custom_root(residual, lambda x, a, b: {"u": explicit(a, b[0])}, tangent_solve=tangent_solve)
    return lambda a, b: root({"u": START}, a, (b, None))["u"]


def fixed(tangent_solve: Any) -> Callable[..., Tensor]:
    return lambda a, b: fixed_point(step, START, a, b, tol=1e-15, tangent_solve=tangent_solve)


FORMS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "root, dense": (rooted(None), explicit), "root, matrix-free": (rooted(tight), explicit),
    "fixed point, dense": (fixed(None), unrolled), "fixed point, matrix-free": (fixed(tight), unrolled),
}


def nestings(h: Callable[..., Tensor]) -> Iterator[tuple[str, Callable[[], Any]]]:
    s = lambda a, b: (h(a, b) ** 2).sum()
    shared = vmap(h, in_axes=(None, 0))

    def tape_twice() -> Any:
        leaves = [A.clone().requires_grad_(), B.clone().requires_grad_()]
        g = tl.autograd.grad(s(*leaves), leaves, create_graph=True)
        return g, tl.autograd.grad((g[0] * T).sum() + (g[1] ** 2).sum(), leaves)
    yield "value", lambda: h(A, B)
    yield "grad", lambda: grad(s, (0, 1))(A, B)
    yield "grad of one argument", lambda: grad(s, 1)(A, B)
    yield "jvp", lambda: jvp(h, (A, B), (T, T))
    yield "jvp of one argument", lambda: jvp(h, (A, B), (None, T))
    yield "linearize", lambda: linearize(h, A, B)[1](T, T)
    yield "jacobians", lambda: (jacfwd(h, (0, 1))(A, B), jacrev(h, (0, 1))(A, B))
    yield "hvp", lambda: hvp(s, (A, B), (T, T))
    yield "hessian", lambda: hessian(s, (0, 1))(A, B)
    yield "jacrev of jacrev", lambda: jacrev(jacrev(s, (0, 1)), (0, 1))(A, B)
    yield "third order", lambda: grad(lambda a: hvp(lambda b: s(a, b), (B,), (T,))[1].sum())(A)
    yield "vmap", lambda: (vmap(h)(MANY_A, MANY_B), shared(A, MANY_B))
    yield "vmap of grad", lambda: vmap(grad(s, (0, 1)))(MANY_A, MANY_B)
    yield "grad of vmap", lambda: grad(lambda a, b: (vmap(h)(a, b) ** 2).sum(), (0, 1))(MANY_A, MANY_B)
    yield "grad of vmap, shared", lambda: grad(lambda a, b: (shared(a, b) ** 2).sum(), (0, 1))(A, MANY_B)
    yield "jvp of vmap", lambda: jvp(shared, (A, MANY_B), (T, MANY_B))
    yield "hvp of vmap", lambda: hvp(lambda a, b: (shared(a, b) ** 2).sum(), (A, MANY_B), (T, MANY_B))
    yield "tape, twice", tape_twice


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(x.detach().numpy()) for x in _tree.flatten(tree)[0]])


REFERENCES = {f: {name: flat(compute()) for name, compute in nestings(f)} for f in (explicit, unrolled)}


@pytest.mark.parametrize("nesting", REFERENCES[explicit])
@pytest.mark.parametrize("form", FORMS)
def test_every_nesting(form: str, nesting: str) -> None:
    f, reference = FORMS[form]
    np.testing.assert_allclose(flat(dict(nestings(f))[nesting]()), REFERENCES[reference][nesting], rtol=1e-9, atol=1e-12)


# ---- what it is for ------------------------------------------------------------------------------------------------------

def nodes_behind(out: Tensor) -> int:
    return len(tape.reachable([out.node]))


def test_no_iteration_is_on_the_tape() -> None:
    """One node, and memory that does not grow with the number of iterations."""
    a, b = A.clone().requires_grad_(), B.clone().requires_grad_()
    assert nodes_behind(fixed(None)(a, b)) == 1
    assert nodes_behind(unrolled(a, b)) > 100
    big = tl.tensor(RNG.normal(size=100_000)).requires_grad_()

    def held(damping: float) -> tuple[int, int]:
        count = [0]

        def slow(x: Tensor, c: Tensor) -> Tensor:
            count[0] += 1
            return x + damping * (c - x)
        tracemalloc.start()
        out = fixed_point(slow, tl.zeros_like(big.detach()), big, tol=1e-6, tangent_solve=tight)
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert out.requires_grad
        return count[0], grown
    (few, small), (many, large) = held(0.5), held(0.05)
    assert many > 5 * few and large < small + 100_000 and large < 3 * 8 * 100_000 + 100_000


def test_the_jacobian_is_not_formed_without_need() -> None:
    """100 000 unknowns, of which a dense Jacobian would take 80 GB."""
    c = tl.tensor(RNG.normal(size=100_000))
    x = lambda c: fixed_point(lambda x, c: 0.3 * tl.cos(x) + c, tl.zeros_like(c), c, tangent_solve=tight)
    g = grad(lambda c: x(c).sum())(c)
    np.testing.assert_allclose(g.numpy(), 1 / (1 + 0.3 * np.sin(x(c).numpy())), rtol=1e-9)


def test_newton_for_a_batch_of_scalars_with_aux() -> None:
    """Kepler's equation E - e sin E = M: dE/dM = 1 / (1 - e cos E), dE/de = sin E / (1 - e cos E)."""
    def newton(x: Tensor, m: Tensor, e: Tensor) -> Any:
        for _ in range(10):
            x = x - (x - e * tl.sin(x) - m) / (1 - e * tl.cos(x))
        return x, {"steps": 10}
    root = custom_root(lambda x, m, e: x - e * tl.sin(x) - m, newton, has_aux=True)
    m, e = tl.linspace(0.1, 3.0, 7, dtype=tl.float64), tl.tensor(0.4, dtype=tl.float64)
    anomaly = lambda m, e: root(m, m, e)[0]
    x = vmap(anomaly, in_axes=(0, None))(m, e).numpy()
    np.testing.assert_allclose(x - 0.4 * np.sin(x), m.numpy(), rtol=1e-14)
    dm, de = vmap(grad(anomaly, (0, 1)), in_axes=(0, None))(m, e)
    np.testing.assert_allclose(dm.numpy(), 1 / (1 - 0.4 * np.cos(x)), rtol=1e-12)
    np.testing.assert_allclose(de.numpy(), np.sin(x) / (1 - 0.4 * np.cos(x)), rtol=1e-12)
    value, aux = root(m[0], m[0].clone().requires_grad_(), e)
    assert value.requires_grad and aux["steps"].item() == 10 and not aux["steps"].requires_grad


def test_each_example_stops_for_itself() -> None:
    """The batch gives what each example gives alone, bit by bit, although they take different numbers of steps."""
    f = lambda x, c: tl.cos(c * x)
    cs = tl.tensor([0.1, 0.5, 0.9], dtype=tl.float64)
    start = tl.tensor(0.5, dtype=tl.float64)
    alone = [fixed_point(f, start, c, tol=1e-8).item() for c in cs]
    assert vmap(lambda c: fixed_point(f, start, c, tol=1e-8))(cs).tolist() == alone


def test_against_jax() -> None:
    jax = pytest.importorskip("jax")
    np_ = jax.numpy

    def solve(f: Any, x: Any) -> Any:
        for _ in range(30):
            x = x - f(x) / jax.grad(f)(x)
        return x
    theirs = lambda a: jax.lax.custom_root(lambda x: x ** 3 + np_.sin(a) * x - a, np_.asarray(1.0), solve,
                                           lambda g, y: y / g(1.0))

    def newton(x: Tensor, a: Tensor) -> Tensor:
        for _ in range(30):
            x = x - (x ** 3 + tl.sin(a) * x - a) / (3 * x ** 2 + tl.sin(a))
        return x
    mine = custom_root(lambda x, a: x ** 3 + tl.sin(a) * x - a, newton)
    at = tl.tensor(1.3, dtype=tl.float64)
    ours = lambda a: mine(tl.tensor(1.0, dtype=tl.float64), a)
    rtol = 1e-10 if jax.config.jax_enable_x64 else 1e-5
    for f, g in ((ours, theirs), (grad(ours), jax.grad(theirs)), (grad(grad(ours)), jax.grad(jax.grad(theirs)))):
        assert float(f(at)) == pytest.approx(float(g(1.3)), rel=rtol)


def test_a_module_s_equilibrium() -> None:
    """The parameters go in as arguments, by functional_call."""
    cell = tl.nn.Linear(3, 3).double()
    params = {name: 0.3 * p.detach() for name, p in cell.named_parameters()}

    def loss(params: Any, iterate: Callable[..., Tensor]) -> Tensor:
        return (iterate(lambda z, p, x: tl.tanh(functional_call(cell, p, z) + x), START, params, B) ** 2).sum()

    def forty(f: Any, z: Tensor, *args: Any) -> Tensor:
        for _ in range(40):
            z = f(z, *args)
        return z
    mine, theirs = grad(loss)(params, fixed_point), grad(loss)(params, forty)
    for name in params:
        np.testing.assert_allclose(mine[name].numpy(), theirs[name].numpy(), rtol=1e-9, atol=1e-13)
    with pytest.raises(GradError, match=r"custom_root uses .* tensor that requires a gradient which is not among its arguments"):
        fixed_point(lambda z, x: tl.tanh(0.3 * cell(z) + x), START, B.clone().requires_grad_())


# ---- linear solvers ------------------------------------------------------------------------------------------------------

def test_linear_solvers() -> None:
    m = RNG.normal(size=(6, 6))
    spd, any_ = tl.tensor(m @ m.T + np.eye(6)), tl.tensor(m + 6 * np.eye(6))
    b = {"p": tl.tensor(RNG.normal(size=(2, 2))), "q": [tl.tensor(RNG.normal(size=2))]}
    vector = lambda t: tl.concat([t["p"].reshape(4), t["q"][0]])
    tree = lambda v: {"p": v[:4].reshape(2, 2), "q": [v[4:]]}
    for solver, a in ((solve_cg, spd), (solve_bicgstab, spd), (solve_bicgstab, any_)):
        x = solver(lambda v, a=a: tree(a @ vector(v)), b, tol=1e-13)
        np.testing.assert_allclose(vector(x).numpy(), np.linalg.solve(a.numpy(), vector(b).numpy()), rtol=1e-9, atol=1e-12)
        many = tl.tensor(np.concatenate([RNG.normal(size=(3, 6)), np.zeros((1, 6))]))   # the last one is done before it starts
        found = vmap(lambda v, a=a, solver=solver: solver(lambda u: a @ u, v, tol=1e-13))(many)
        np.testing.assert_allclose(found.numpy(), np.linalg.solve(a.numpy(), many.numpy().T).T, rtol=1e-9, atol=1e-12)
        with pytest.raises(ConvergenceError, match=rf"{solver.__name__}: .* after 1 iterations, and tol is 1e-12"):
            solver(lambda v, a=a: a @ v, vector(b), tol=1e-12, max_iterations=1)
    h = tl.tensor(m @ m.T + np.eye(6) + 0.5j * (m - m.T))
    c = tl.tensor(RNG.normal(size=6) + 1j * RNG.normal(size=6))
    np.testing.assert_allclose(solve_cg(lambda v: h @ v, c, tol=1e-13).numpy(), np.linalg.solve(h.numpy(), c.numpy()), rtol=1e-8)


# ---- mistakes ------------------------------------------------------------------------------------------------------------

def test_mistakes_are_named() -> None:
    one = tl.tensor(1.0)
    with pytest.raises(ConvergenceError, match=r"fixed_point: \|f\(x\) - x\| is 1 after 7 iterations, and tol .*max_iterations"):
        fixed_point(lambda x: 1 - x, tl.tensor(0.0), max_iterations=7)
    with np.errstate(over="ignore"), pytest.raises(ConvergenceError, match=r"x is not finite after .* f is no contraction"):
        fixed_point(lambda x: x * x, tl.tensor(3.0))
    with pytest.raises(ConvergenceError, match="is 1 after"):
        vmap(lambda c: fixed_point(lambda x: 1 - c * x, tl.tensor(0.0), max_iterations=50))(tl.tensor([0.1, 1.0]))
    with pytest.raises(ShapeError, match=r"fixed_point: f returned the shapes \(2,\) for x of \(\)"):
        fixed_point(lambda x: tl.ones(2), one)
    with pytest.raises(ShapeError, match=r"custom_root: f returned the shapes \(2,\), and the root has \(\)"):
        grad(custom_root(lambda x, a: tl.ones(2) * a * x, lambda x, a: x), argnums=1)(one, one)
    with pytest.raises(LinAlgError):
        grad(custom_root(lambda x, a: a * x ** 2, lambda x, a: x * 0), argnums=1)(one, one)
    with pytest.raises(GradError, match="with has_aux, solve must return a pair"):
        custom_root(lambda x: x, lambda x: x, has_aux=True)(one)
    with pytest.raises(GradError, match="which is not among its arguments"):
        grad(lambda a: fixed_point(lambda x: 0.5 * x + a, one))(one)
    initial = tl.tensor(1.0, requires_grad=True)
    out = fixed_point(lambda x, a: 0.5 * x + a, initial, tl.tensor(2.0, requires_grad=True))
    out.backward()
    assert out.item() == pytest.approx(4, rel=1e-4) and (initial.grad is None or initial.grad.item() == 0)
