"""Rows 4, 20-21, 25, 28, 30-32, 36-41 and 45-47 of the acceptance table (modes, Jacobians, costs): a test for each claim."""
from __future__ import annotations

import io
import math
import pdb
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.engine import tape
from tensorlite.errors import GaugeWarning, LinAlgError
from tensorlite.func import _compressed as sparse
from tensorlite.func import _jacobian as jacobians
from tensorlite.func import hvp, jacfwd, jacobian, jacrev, jvp, linearize, vjp

RNG = np.random.default_rng(11)


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


def peak(f: Callable[[], Any]) -> int:
    """The most bytes that were alive at once while ``f`` ran, beyond those before it."""
    f()   # whatever is made once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most - before


# ---- the derivative is a linear map ----------------------------------------------------------------------------------

def test_row_04_derivative_is_a_linear_map() -> None:
    """y = f(x), R^D -> R^K: dy = J dx with J of K x D; for K = 1 the gradient is the row, transposed."""
    K, D = 3, 5
    w, x, dx, other = t(RNG.normal(size=(K, D))), t(RNG.normal(size=D)), t(RNG.normal(size=D)), t(RNG.normal(size=D))
    f = lambda x: tl.tanh(w @ x) + (w @ x) ** 2
    y, derivative = linearize(f, x)
    np.testing.assert_array_equal(y.numpy(), f(x).numpy())
    for J in (jacrev(f)(x), jacfwd(f)(x), jacobian(f)(x)):
        assert J.shape == (K, D)
        np.testing.assert_allclose(derivative(dx).numpy(), (J @ dx).numpy(), rtol=1e-12)
    np.testing.assert_allclose(derivative(2 * dx - other).numpy(), (2 * derivative(dx) - derivative(other)).numpy(), rtol=1e-12)
    h = 1e-6
    np.testing.assert_allclose((f(x + h * dx) - f(x)).numpy(), h * derivative(dx).numpy(), rtol=1e-4)

    scalar = lambda x: f(x).sum()
    row = jacfwd(lambda x: scalar(x).reshape(1))(x)
    gradient = tl.grad(scalar)(x)
    assert row.shape == (1, D) and gradient.shape == (D,)
    np.testing.assert_allclose(gradient.numpy(), row.T[:, 0].numpy(), rtol=1e-12)
    np.testing.assert_allclose(linearize(scalar, x)[1](dx).item(), tl.dot(gradient, dx).item(), rtol=1e-12)


# ---- node tables -------------------------------------------------------------------------------------------------------

S1 = [(lambda x1, x2: x1 * x2 + tl.sin(x2), 9.04108, (5, 2.28366), 3),
      (lambda x1, x2: tl.log(x1) + x1 * x2 - tl.sin(x2), 11.65207, (5.5, 1.71634), 5)]


@pytest.mark.parametrize(("f", "value", "gradient", "operations"), S1, ids=["x1 x2 + sin x2", "ln x1 + x1 x2 - sin x2"])
def test_rows_20_and_21_both_modes(f: Any, value: float, gradient: tuple[float, float], operations: int) -> None:
    at = t(2.0), t(5.0)
    _, pullback = vjp(f, *at)
    assert [g.item() for g in pullback(t(1.0))] == pytest.approx(gradient, abs=5e-6)
    for k, seed in enumerate([(1.0, 0.0), (0.0, 1.0)]):   # one pass for each input
        out, dot = jvp(f, at, tuple(t(s) for s in seed))
        assert out.item() == pytest.approx(value, abs=5e-6) and dot.item() == pytest.approx(gradient[k], abs=5e-6)
    for mode in ("forward", "reverse"):
        table = tl.debug.trace_table(f, *at, mode=mode)
        assert len(table) == 2 + operations
        assert table[-1].value.item() == pytest.approx(value, abs=5e-6)
        assert [g.item() for g in table.gradient.values()] == pytest.approx(gradient, abs=5e-6)


def test_row_21_table_of_tangents() -> None:
    """The rules of the dotted values: (x1 x2)' = x2 x1' + x1 x2', (sin x2)' = cos x2 x2', each by a pass for each input."""
    table = tl.debug.trace_table(S1[0][0], t(2.0), t(5.0), mode="forward")
    assert [r.name for r in table] == ["x1", "x2", "v1", "v2", "v3"]
    assert [r.expression for r in table] == ["", "", "x1 * x2", "sin(x2)", "v1 + v2"]
    assert table.columns == ("d/dx1", "d/dx2")
    tangents = [[d.item() for d in r.derivatives] for r in table]
    np.testing.assert_allclose(tangents, [[1, 0], [0, 1], [5, 2], [0, math.cos(5)], [5, 2 + math.cos(5)]], rtol=1e-14)


def test_row_25_three_paths_in_both_modes(example: Any) -> None:
    f, y = example("three_paths")["f"], t(0.7)
    gradient = tl.grad(f)(y).item()
    for mode in ("forward", "reverse"):
        paths = tl.debug.explain(f, y, mode=mode)
        assert sorted(p.steps for p in paths) == [("y", "u", "a", "f"), ("y", "u", "f"), ("y", "v", "b", "f")]
        assert sum(p.product for p in paths) == pytest.approx(gradient, rel=1e-14)
    assert jvp(f, (y,), (t(1.0),))[1].item() == pytest.approx(gradient, rel=1e-14)


def test_row_28_jacobian_of_squares_in_both_modes() -> None:
    x = t([1.0, 2.0, 3.0])
    for transform in (jacfwd, jacrev, jacobian):
        assert transform(lambda x: x ** 2)(x).tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    assert vjp(lambda x: x ** 2, x)[1](tl.ones(3, dtype=tl.float64))[0].tolist() == [2, 4, 6]


def test_row_31_trace_of_five_values() -> None:
    """log(x^2) sin x + 1/x at 2: v1 = x^2, v2 = log v1, v3 = sin x, v4 = v2 v3, v5 = 1/x, f = v4 + v5."""
    f = lambda x: tl.log(x ** 2) * tl.sin(x) + 1 / x
    log4, s, c = math.log(4), math.sin(2), math.cos(2)
    values = [2, 4, log4, s, log4 * s, 0.5, log4 * s + 0.5]
    tangents = [1, 4, 1, c, s + log4 * c, -0.25, s + log4 * c - 0.25]
    adjoints = [s + log4 * c - 0.25, s / 4, s, log4, 1, 1, 1]
    for mode, derivatives in (("forward", tangents), ("reverse", adjoints)):
        table = tl.debug.trace_table(f, t(2.0), mode=mode)
        assert [r.name for r in table] == ["x", "v1", "v2", "v3", "v4", "v5", "v6"]
        np.testing.assert_allclose([r.value.item() for r in table], values, rtol=1e-14)
        np.testing.assert_allclose([r.derivatives[0].item() for r in table], derivatives, rtol=1e-13)
        assert table[-1].value.item() == pytest.approx(1.760554, abs=5e-7)
        assert table.gradient["x"].item() == pytest.approx(0.0823954, abs=5e-8)
        assert [r.expression for r in table[1:]] == ["square(x)", "log(v1)", "sin(x)", "v2 * v3", "1 / x", "v4 + v5"]


def test_row_37_product_and_root() -> None:
    """w2 ln w1 + sqrt(w2 ln w1) at (e, 4): 6, with the gradient (1.839397, 1.25)."""
    f = lambda w1, w2: (lambda v: v + tl.sqrt(v))(w2 * tl.log(w1))
    at = t(math.e), t(4.0)
    for mode in ("forward", "reverse"):
        table = tl.debug.trace_table(f, *at, mode=mode)
        assert [r.expression for r in table] == ["", "", "log(w1)", "w2 * v1", "sqrt(v2)", "v2 + v3"]
        np.testing.assert_allclose([r.value.item() for r in table], [math.e, 4, 1, 4, 2, 6], rtol=1e-14)
        assert [g.item() for g in table.gradient.values()] == pytest.approx([1.839397, 1.25], abs=5e-7)
        if mode == "forward":
            expected = [[1, 0], [0, 1], [1 / math.e, 0], [4 / math.e, 1], [1 / math.e, 0.25], [5 / math.e, 1.25]]
        else:
            expected = [[5 / math.e], [1.25], [5], [1.25], [1], [1]]
        np.testing.assert_allclose([[d.item() for d in r.derivatives] for r in table], expected, rtol=1e-13)


# ---- control flow ------------------------------------------------------------------------------------------------------

def test_row_30_the_static_graphs_function_in_python(example: Any) -> None:
    """.48851716 -> 1000.48315 with the gradient 2048. (That compiled code gives the same belongs to tl.compile's tests.)"""
    f = example("control_flow")["f"]
    a = tl.tensor(0.48851716, requires_grad=True)
    d = f(a)
    d.backward()
    assert d.item() == pytest.approx(1000.48315, abs=5e-5) and a.grad.item() == 2048
    assert tl.grad(f)(tl.tensor(0.48851716)).item() == 2048
    assert jvp(f, (tl.tensor(0.48851716),), (tl.tensor(1.0),))[1].item() == 2048


@pytest.mark.parametrize("transform", [lambda f, a: tl.grad(f)(a), lambda f, a: jvp(f, (a,), (tl.ones(()),))[1]],
                         ids=["grad", "jvp"])
def test_row_30_print_and_the_debugger_inside_of_loops(transform: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said, typed = io.StringIO(), "p b.item()\np float(b) / float(a)\ncontinue\n"

    def f(a: Any) -> Any:
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
            print("b =", b.item())
            if 100 < b.item() < 200:
                debugger = pdb.Pdb(stdin=io.StringIO(typed), stdout=said, nosigint=True, readrc=False)
                debugger.use_rawinput = False
                debugger.set_trace()
        return b
    assert transform(f, tl.tensor(0.48851716)).item() == 2048
    printed = [float(line[4:]) for line in capsys.readouterr().out.splitlines() if line.startswith("b = ")]
    assert len(printed) == 10 and printed[-1] == pytest.approx(1000.48315, abs=5e-5)
    assert f"(Pdb) {printed[-4]}" in said.getvalue() and "(Pdb) 256.0" in said.getvalue()


# ---- costs -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("n", "m"), [(3, 5), (5, 3), (4, 1), (1, 4)])
def test_row_32_passes_in_proportion_to_inputs_or_to_outputs(n: int, m: int) -> None:
    """A Jacobian is n passes of forward mode, one for each input, or m of reverse mode, one for each output."""
    w, x = t(RNG.normal(size=(m, n))), t(RNG.normal(size=n))
    f = lambda x: tl.sin(w @ x)
    columns = [jvp(f, (x,), (e,))[1] for e in tl.eye(n, dtype=tl.float64)]
    y, pullback = vjp(f, x)
    rows = [pullback(e)[0] for e in tl.eye(m, dtype=tl.float64)]
    assert (len(columns), len(rows)) == (n, m) and y.shape == (m,)
    np.testing.assert_allclose(tl.stack(columns, axis=1).numpy(), tl.stack(rows).numpy(), rtol=1e-12)
    np.testing.assert_allclose(jacobian(f)(x).numpy(), tl.stack(rows).numpy(), rtol=1e-12)


def chain(x: Any, depth: int) -> Any:
    for _ in range(depth):
        x = tl.sin(x) * 1.5
    return x.sum()


def test_row_32_forward_mode_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Any] = []
    record = tape.record
    monkeypatch.setattr(tape, "record", lambda *args, **more: recorded.append(args[0]) or record(*args, **more))
    x = tl.randn(20_000, dtype=tl.float64)
    out, tangent = jvp(lambda x: chain(x, 50), (x,), (tl.ones_like(x),))
    assert not recorded and out.grad_fn is None and tangent.grad_fn is None   # a tape of 0 bytes
    tl.value_and_grad(lambda x: chain(x, 50))(x)
    assert len(recorded) == 101

    tracked = x.clone().requires_grad_()
    array = x.numpy().nbytes
    assert tl.debug.graph(chain(tracked, 50)).saved_bytes >= 50 * array
    shallow, deep = lambda x: chain(x, 5), lambda x: chain(x, 50)
    plain = [peak(lambda f=f: f(x)) for f in (shallow, deep)]
    forward = [peak(lambda f=f: jvp(f, (x,), (tl.ones_like(x),))) for f in (shallow, deep)]
    reverse = [peak(lambda f=f: tl.grad(f)(x)) for f in (shallow, deep)]
    small = 20_000
    assert abs(plain[1] - plain[0]) < small and abs(forward[1] - forward[0]) < small   # whatever the depth
    assert forward[1] < 2 * plain[1] + 3 * array   # a tangent beside each value, and one local derivative
    assert reverse[1] - reverse[0] > 40 * array


def work(f: Callable[[], Any]) -> int:
    """Elements computed by all operations: what time is in proportion to, for large arrays."""
    with tl.debug.profile() as counted:
        f()
    return sum(row[2] for row in counted.rows.values()) // 8


@pytest.mark.parametrize("d", [10, 1000, 10 ** 5, 10 ** 6])
def test_row_36_a_gradient_costs_less_than_five_evaluations(d: int) -> None:
    """The theorem says a constant factor for any d; the times are in bench/."""
    f = lambda x: (tl.sin(x) * tl.exp(-x * x) + tl.log(1 + x * x)).sum()
    x = tl.linspace(-1, 1, d, dtype=tl.float64)
    assert work(lambda: tl.grad(f)(x)) <= 5 * work(lambda: f(x))


def test_row_36_finite_differences_cost_two_evaluations_for_each_input() -> None:
    calls = 0

    def f(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return (tl.sin(x) * x).sum()
    for d in (5, 50):
        x, h, calls = tl.linspace(0, 1, d, dtype=tl.float64), 1e-5, 0
        units = h * tl.eye(d, dtype=tl.float64)
        central = tl.stack([(f(x + e) - f(x - e)) / (2 * h) for e in units])
        assert calls == 2 * d
        calls = 0
        gradient = tl.grad(f)(x)
        assert calls == 1
        np.testing.assert_allclose(central.numpy(), gradient.numpy(), rtol=1e-8, atol=1e-9)


def passes(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[str, int, Any]:
    """Whether a Jacobian was computed by columns or rows, how many, and the Jacobian."""
    seen: list[tuple[str, int]] = []
    with monkeypatch.context() as patch:
        for name, at in (("_columns", "columns"), ("_rows", "rows")):
            original = getattr(jacobians, name)

            def spy(outs: Any, *rest: Any, original: Any = original, at: str = at) -> Any:
                found = original(outs, *rest)
                given = jacobians._tensors(rest[1] if at == "columns" else outs)[0]
                seen.append((at, sum(math.prod(x.shape) for x in given)))
                return found
            patch.setattr(jacobians, name, spy)
        found = call()
    assert len(seen) == 1
    return *seen[0], found


@pytest.mark.parametrize("m", [10, 50, 100, 101, 300, 1000])
def test_row_38_the_mode_is_chosen_by_shape(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """n = 100 inputs: rows up to m = 100 results, columns beyond. That it is within 1.2 of the better is timed in bench/."""
    n = 100
    w, x = t(RNG.normal(size=(m, n)) / 10), t(RNG.normal(size=n))
    at, count, found = passes(monkeypatch, lambda: jacobian(lambda x: tl.tanh(w @ x))(x))
    assert (at, count) == (("rows", m) if m <= n else ("columns", n)) and count == min(n, m)
    by_hand = (1 - np.tanh(w.numpy() @ x.numpy()) ** 2)[:, None] * w.numpy()
    np.testing.assert_allclose(found.numpy(), by_hand, rtol=1e-12, atol=1e-15)


STRUCTURES: dict[str, tuple[Any, int, int, int]] = {   # f, inputs, results, the most passes it is to take
    "elementwise": (lambda x: tl.sin(x) * x, 30, 30, 1),
    "a band": (lambda x: x[1:-1] * x[:-2] + tl.exp(x[2:]), 30, 28, 3),
    "an arrow": (lambda x: tl.concat([(x * x).sum().reshape(1), x[1:] ** 2 * x[0]]), 30, 30, 3),
    "blocks": (lambda x: tl.softmax(x.reshape(6, 5), axis=1).reshape(-1), 30, 30, 5),
    "a narrow waist": (lambda x: tl.sin(x.sum() * tl.linspace(0, 1, 25, dtype=tl.float64)), 30, 25, 25),
    "few results": (lambda x: tl.stack([x.sum(), x.prod()]), 30, 2, 2),
    "few inputs": (lambda x: tl.concat([x, x ** 2, tl.sin(x)]), 4, 12, 1),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_row_39_passes_depend_on_the_structure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows for some results and columns for others, as the pattern of zeros has it: never more passes than min(n, m)."""
    f, n, m, most = STRUCTURES[name]
    x = t(RNG.normal(size=n))
    seeds, original = [], sparse._seeds
    monkeypatch.setattr(sparse, "_seeds", lambda colors, leaves: seeds.append(original(colors, leaves)) or seeds[-1])
    found = jacobian(f, sparsity="detect")(x)
    taken = sum(s.shape[0] for (s,) in seeds)
    np.testing.assert_allclose(found.numpy(), jacrev(f)(x).numpy(), rtol=1e-12, atol=1e-15)
    assert found.shape == (m, n) and taken <= most <= min(n, m)
    _, count, _ = passes(monkeypatch, lambda: jacobian(f)(x))   # without a pattern: the smaller of both
    assert count == min(n, m)


# ---- through solvers -----------------------------------------------------------------------------------------------------

def both_modes(f: Any, *xs: Any) -> None:
    """Forward and reverse mode of any results agree with central differences, to the second order."""
    assert tl.testing.gradcheck(f, xs, modes=("rev", "fwd", "double"))
    for a, b in zip(jacfwd(f, tuple(range(len(xs))))(*xs), jacrev(f, tuple(range(len(xs))))(*xs)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [(6, 3), (3, 3), (3, 5)], ids=["tall", "square", "wide"])
def test_row_46_through_least_squares(shape: tuple[int, int]) -> None:
    A, b = t(RNG.normal(size=shape)), t(RNG.normal(size=shape[0]))
    solve = lambda A, b: tl.linalg.lstsq(A, b).solution
    both_modes(solve, A, b)
    x = solve(A, b)
    np.testing.assert_allclose(x.numpy(), np.linalg.lstsq(A.numpy(), b.numpy())[0], rtol=1e-11)
    if shape[0] >= shape[1]:   # dx = A^+ (db - dA x) + (A^T A)^-1 dA^T (b - A x), by hand
        dA, db = t(RNG.normal(size=shape)), t(RNG.normal(size=shape[0]))
        gram, r = np.linalg.inv((A.T @ A).numpy()), (b - A @ x).numpy()
        by_hand = gram @ (A.numpy().T @ (db.numpy() - dA.numpy() @ x.numpy()) + dA.numpy().T @ r)
        np.testing.assert_allclose(jvp(solve, (A, b), (dA, db))[1].numpy(), by_hand, rtol=1e-10)


def test_row_46_deficient_rank_is_refused() -> None:
    A = t([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    with pytest.raises(LinAlgError, match="rank"):
        tl.grad(lambda A: tl.linalg.lstsq(A, tl.ones(3, dtype=tl.float64)).solution.sum())(A)


@pytest.mark.parametrize("shape", [(4, 3), (3, 3), (2, 4)])
def test_row_47_through_the_svd(shape: tuple[int, int]) -> None:
    A = t(RNG.normal(size=shape))
    both_modes(tl.linalg.svdvals, A)
    low = lambda A: (lambda u, s, vh: (u[:, :1] * s[:1]) @ vh[:1])(*tl.linalg.svd(A, full_matrices=False))   # of rank 1
    both_modes(low, A)
    u, _, vh = tl.linalg.svd(A, full_matrices=False)
    np.testing.assert_allclose(tl.grad(lambda A: tl.linalg.svdvals(A).sum())(A).numpy(), (u @ vh).numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("values", [(2.0, 2.0, 2.0), (3.0, 1.0, 1.0)], ids=str)
def test_row_47_repeated_singular_values(values: tuple[float, ...]) -> None:
    """U s^3 V^T = A A^T A is smooth: its derivatives are exact where 1 / (s_i^2 - s_j^2) has no value, and peers give nan.

    Forward mode would have to know the direction before it chooses the vectors: it says so where the direction parts them.
    """
    q = [np.linalg.qr(RNG.normal(size=(3, 3)))[0] for _ in range(2)]
    A = t(q[0] * values @ q[1])
    cube = lambda A: (lambda u, s, vh: (u * s ** 3) @ vh)(*tl.linalg.svd(A))
    exact = lambda A: A @ A.T @ A
    np.testing.assert_allclose(jacrev(cube)(A).numpy(), jacrev(exact)(A).numpy(), rtol=1e-9, atol=1e-9)
    assert tl.testing.gradcheck(cube, (A,), modes=("rev",))
    np.testing.assert_allclose(jvp(cube, (A,), (A,))[1].numpy(), jvp(exact, (A,), (A,))[1].numpy(), rtol=1e-9, atol=1e-9)
    with pytest.warns(GaugeWarning, match="repeated"):
        jvp(cube, (A,), (t(RNG.normal(size=(3, 3))),))
    np.testing.assert_allclose(tl.grad(lambda A: (tl.linalg.svdvals(A) ** 2).sum())(A).numpy(), 2 * A.numpy(), rtol=1e-10)


# ---- a chain of layers, a snippet, and what differentiation by program is not -----------------------------------------------

def test_row_40_jacobians_of_a_chain_of_layers() -> None:
    """v_k = sigmoid(v_{k-1} W_k): each gradient has W_k's shape n_{k-1} x n_k, by both modes and by finite differences."""
    sizes = (4, 3, 5, 2)
    weights = [t(RNG.normal(size=s)) for s in pairwise(sizes)]
    x = t(RNG.normal(size=sizes[0]))

    def loss(*weights: Any) -> Any:
        v = x
        for w in weights:
            v = tl.sigmoid(v @ w)
        return (v ** 2).sum()
    everything = tuple(range(len(weights)))
    for transform in (tl.grad, jacfwd, jacrev):
        found = transform(loss, everything)(*weights)
        assert [g.shape for g in found] == list(pairwise(sizes))
        for g, r in zip(found, tl.grad(loss, everything)(*weights)):
            np.testing.assert_allclose(g.numpy(), r.numpy(), rtol=1e-11, atol=1e-16)
    assert tl.testing.gradcheck(loss, weights)


def test_row_41_hvp_as_in_the_jax_snippet(example: Any) -> None:
    snippet = example("hvp")
    f = lambda x: (x ** 3).sum() * x[0] + tl.sin(x[1] * x[2])
    x, v = t(RNG.normal(size=4)), t(RNG.normal(size=4))
    by_snippet = snippet["hvp"](f, x, v)
    np.testing.assert_allclose(by_snippet.numpy(), (tl.hessian(f)(x) @ v).numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_snippet.numpy(), hvp(f, (x,), (v,))[1].numpy(), rtol=1e-12)


def test_row_45_neither_finite_differences_nor_symbolic(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """To rounding against the formula, where finite differences lose half of the digits; and the tape it is paid with."""
    three = example("accuracy")
    errors, kept = three["errors"](), three["peak_bytes"]()
    assert errors["reverse"] < 1e-12 and errors["forward"] < 1e-12
    assert errors["central differences"] > 1e-12 and errors["forward differences"] > 1e-9
    assert kept["reverse"] > 10 * kept["plain"] and kept["forward"] < 4 * kept["plain"]
    print(kept)
    assert str(kept["reverse"]) in capsys.readouterr().out
