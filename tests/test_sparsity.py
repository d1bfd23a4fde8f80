"""Sparse Jacobians: patterns that hold all entries for every operation, few passes, and what wrong patterns do."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_optable import SEED, cases, differentiated, flat, with_gradient

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.func import grad, jacfwd, jacobian, jacobian_plan, jacobian_sparsity, jacrev, jvp, vmap
from tensorlite.func._compressed import color

RNG = np.random.default_rng(17)


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


@with_gradient
def test_every_operation_keeps_to_its_pattern(row: Any) -> None:
    """Soundness: whatever an operation's Jacobian has is in the pattern found for it."""
    for number, case in cases(row):
        arrays, function = differentiated(row, case)
        if not arrays or sum(a.size for a in arrays) > 200 or not sum(a.size for a in arrays):
            continue
        xs = [tl.tensor(a) for a in arrays]
        result = lambda *given, f=function: tuple(o for o in flat(f(*given)) if np.dtype(o.dtype).kind == "f")
        if not sum(o.numel() for o in result(*xs)) or sum(o.numel() for o in result(*xs)) > 300:
            continue
        found = jacobian_sparsity(result, *xs)
        blocks = jacrev(result, tuple(range(len(xs))))(*xs)
        J = np.concatenate([np.concatenate([b.numpy().reshape(o.numel(), x.numel()) for b, x in zip(blocks_of, xs)], axis=1)
                            for blocks_of, o in zip(blocks, result(*xs))])
        outside = (J != 0) & ~found
        assert not outside.any(), f"{row.name}, case {number} (seed {SEED}): {outside.sum()} entries outside of the pattern"


@pytest.mark.parametrize(("kind", "name"), [("EACH", "softmax"), ("MOVES", "cumprod"), ("REDUCTIONS", "cumprod")])
def test_a_wrong_rule_would_be_found(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """softmax taken for elementwise; a running product for a running sum, and for a reduction."""
    from tensorlite.func import _sparsity
    monkeypatch.setattr(_sparsity, kind, getattr(_sparsity, kind) | {name})
    rows = [row for row in with_gradient.args[1] if name in (row.name, *row.covers)]
    assert rows
    with pytest.raises((AssertionError, ShapeError, ValueError, IndexError)):
        for row in rows:
            test_every_operation_keeps_to_its_pattern(row)


EXACT: dict[str, tuple[Any, Any]] = {
    "elementwise": (lambda x: tl.sin(x) * x + 1, np.eye(6)),
    "neighbours": (lambda x: x[1:] * x[:-1], np.eye(5, 6) + np.eye(5, 6, 1)),
    "differences cancel in no pattern": (lambda x: tl.diff(x), np.eye(5, 6) + np.eye(5, 6, 1)),
    "sum": (lambda x: x.sum(), np.ones((1, 6))),
    "rows": (lambda x: x.reshape(2, 3).sum(axis=1), np.kron(np.eye(2), np.ones((1, 3)))),
    "softmax of rows": (lambda x: tl.softmax(x.reshape(2, 3), axis=1), np.kron(np.eye(2), np.ones((3, 3)))),
    "maximum of columns": (lambda x: x.reshape(2, 3).max(axis=0), np.kron(np.ones((1, 2)), np.eye(3))),
    "cumsum": (lambda x: tl.cumsum(x, axis=0), np.tril(np.ones((6, 6)))),
    "a banded matrix": (lambda x: t(np.diag(np.arange(6.0))) @ x, np.diag(np.arange(6) > 0)),
    "two factors": (lambda x: x.reshape(2, 3) @ x.reshape(3, 2), None),
    "concat, flip, pad": (lambda x: tl.concat([tl.flip(x[:2]), tl.zeros(1, dtype=tl.float64), x[4:]]),
                          [[0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]),
    "indices of values": (lambda x: x[tl.argsort(-x)[:2]], None),
    "in place": (lambda x: written(x), np.diag([1, 1, 0, 1, 1, 1]) + np.eye(6)[2][:, None] * np.eye(6)[5]),
    "detached": (lambda x: x * x.detach().sum(), np.eye(6)),
    "branches": (lambda x: x * 2 if x[0] > 0 else x.sum() + x, None),
    "a loop": (lambda x: looped(x), None),
}


def written(x: Any) -> Any:
    y = x * 1.0
    y[2] = x[5] ** 2
    return y


def looped(x: Any) -> Any:
    while (x * x).sum() < 500:
        x = x * 2 + tl.roll(x, 1)
    return x


@pytest.mark.parametrize("name", EXACT)
def test_patterns_of_common_structures_are_exact(name: str) -> None:
    f, expected = EXACT[name]
    x = t(RNG.normal(size=6))
    found = jacobian_sparsity(f, x)
    J = jacfwd(f)(x).numpy().reshape(found.shape)
    expected = J if expected is None else np.asarray(expected)
    np.testing.assert_array_equal(found, expected != 0)
    assert not ((J != 0) & ~found).any()


def test_patterns_of_trees_many_inputs_and_rules_of_the_users() -> None:
    f = lambda p: {"a": p["u"] * 2, "b": p["u"].sum() + p["v"]}
    found = jacobian_sparsity(f, {"u": t(np.ones(2)), "v": t(np.ones(3))})
    np.testing.assert_array_equal(found, np.block([[np.eye(2), np.zeros((2, 3))], [np.ones((3, 2)), np.eye(3)]]) != 0)
    found = jacobian_sparsity(lambda x: tl.roll(x, 1) * 2, t(np.ones(700)))   # in three runs
    np.testing.assert_array_equal(found, np.roll(np.eye(700), 1, axis=0) != 0)

    class Double(tl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2
    assert jacobian_sparsity(lambda x: Double.apply(x) + x, t(np.ones(3))).all()   # nothing is known of it
    assert not jacobian_sparsity(lambda x: tl.ones(2), t(np.ones(3))).any()
    with pytest.raises(DTypeError, match="int64 cannot be differentiated"):
        jacobian_sparsity(lambda x: x, tl.arange(3))


# ---- colors ------------------------------------------------------------------------------------------------------------

def test_colors_do_not_clash_and_bands_take_their_width() -> None:
    for width in (1, 2, 3, 5, 8):
        band = np.abs(np.subtract.outer(np.arange(40), np.arange(40)) + (width - 1) // 2 * 2 - width // 2 * 1) <= (width - 1) / 2
        assert color(band).max() + 1 <= width
    for density in (0.02, 0.1, 0.3, 1.0):
        pattern = RNG.random((30, 50)) < density
        colors = color(pattern)
        for c in range(colors.max() + 1):
            assert (pattern[:, colors == c].sum(axis=1) <= 1).all()
        assert ((colors < 0) == ~pattern.any(axis=0)).all()
        assert pattern.sum(axis=1).max() <= colors.max() + 1 <= 50


def arrow(n: int) -> Any:
    pattern = np.eye(n, dtype=bool)
    pattern[0], pattern[:, 0] = True, True
    return pattern


def test_plans_take_what_is_fewest() -> None:
    n = 30
    assert jacobian_plan(arrow(n), "fwd").passes == jacobian_plan(arrow(n), "rev").passes == n
    assert jacobian_plan(arrow(n), "auto").passes <= 3   # the full row by rows, the full column and the diagonal by columns
    assert jacobian_plan(np.ones((3, 8), bool), "auto").passes == 3 and jacobian_plan(np.ones((8, 3), bool), "auto").passes == 3
    assert jacobian_plan(np.zeros((3, 8), bool), "auto").passes == 0
    for seed in range(20):
        pattern = np.random.default_rng(seed).random((12, 9)) < seed / 20
        for mode in ("fwd", "rev", "auto"):
            plan = jacobian_plan(pattern, mode)
            assert plan.passes <= (9 if mode == "fwd" else 12 if mode == "rev" else 9)
            by_columns = pattern & ~plan.by_rows   # each entry can be read off
            for i, j in zip(*np.nonzero(by_columns)):
                assert plan.columns[j] >= 0 and (pattern[i] & (plan.columns == plan.columns[j])).sum() == 1
            for i, j in zip(*np.nonzero(plan.by_rows)):
                assert plan.rows[i] >= 0 and (pattern[:, j] & (plan.rows == plan.rows[i])).sum() == 1


# ---- the Jacobian ------------------------------------------------------------------------------------------------------

def band(x: Any) -> Any:
    return tl.concat([x[:1] ** 2, x[1:-1] * x[:-2] + tl.sin(x[2:]), x[-1:] * x[-2:-1]])


def arrowhead(x: Any) -> Any:
    return tl.concat([(x * x).sum().reshape(1), x[1:] ** 3 + x[0] * x[1:]])


@pytest.mark.parametrize("mode", ["auto", "fwd", "rev"])
@pytest.mark.parametrize("f", [band, arrowhead, lambda x: x.sum().reshape(1), lambda x: tl.outer(x[:3], x[:2])],
                         ids=["band", "arrow", "row", "outer"])
def test_the_jacobian_is_the_same(f: Any, mode: str) -> None:
    x = t(RNG.normal(size=12))
    expected = jacrev(f)(x)
    found = jacobian(f, mode=mode, sparsity="detect")(x)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)
    pattern = jacobian_sparsity(f, x)
    given = pattern.reshape(expected.shape)
    for sparsity in (pattern, given, tl.asarray(pattern)):
        np.testing.assert_allclose(jacobian(f, mode=mode, sparsity=sparsity)(x).numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(jacobian(f, mode=mode, sparsity=pattern, chunk_size=1)(x).numpy(), expected.numpy(), rtol=1e-12,
                               atol=1e-14)


def test_trees_arguments_and_aux() -> None:
    f = lambda a, p: ({"s": a * p["u"], "t": (p["u"].sum() + p["v"], a)}, "aux")
    args = t(RNG.normal(size=3)), {"u": t(RNG.normal(size=3)), "v": t(RNG.normal(size=2))}
    for argnums in (0, 1, (0, 1), (1,)):
        expected, _ = jacrev(f, argnums, has_aux=True)(*args)
        found, aux = jacobian(f, argnums, has_aux=True, sparsity="detect")(*args)
        assert aux == "aux"
        for a, b in zip(flat_tree(found), flat_tree(expected), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)


def flat_tree(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = [tree[k] for k in sorted(tree)]
    return [leaf for part in tree for leaf in flat_tree(part)] if isinstance(tree, (list, tuple)) else [tree]


def test_it_nests() -> None:
    x = t(RNG.normal(size=5))
    pattern = jacobian_sparsity(band, x)
    for sparsity in ("detect", pattern):
        sparse = lambda x, sparsity=sparsity: (jacobian(band, sparsity=sparsity)(x) ** 3).sum()
        dense = lambda x: (jacrev(band)(x) ** 3).sum()
        np.testing.assert_allclose(grad(sparse)(x).numpy(), grad(dense)(x).numpy(), rtol=1e-11)
        np.testing.assert_allclose(jvp(sparse, (x,), (x,))[1].numpy(), jvp(dense, (x,), (x,))[1].numpy(), rtol=1e-11)
        hessian = jacobian(grad(lambda x: (x[1:] * x[:-1] ** 2).sum()), sparsity="detect")(x)
        np.testing.assert_allclose(hessian.numpy(), tl.hessian(lambda x: (x[1:] * x[:-1] ** 2).sum())(x).numpy(), rtol=1e-12)
    many = t(RNG.normal(size=(3, 5)))
    found = vmap(lambda x: jacobian(band, sparsity=pattern)(x))(many)
    np.testing.assert_allclose(found.numpy(), vmap(jacrev(band))(many).numpy(), rtol=1e-12, atol=1e-15)


def test_patterns_and_traces_go_through_loops_that_run_again() -> None:
    f = lambda x: tl.scan(lambda c, v: (c + v, c * v), x[0], x, snapshots=2)[1]
    x = t(RNG.normal(size=6))
    np.testing.assert_array_equal(jacobian_sparsity(f, x), np.tril(np.ones((6, 6))) > 0)
    np.testing.assert_allclose(jacobian(f, sparsity="detect")(x).numpy(), jacrev(f)(x).numpy(), rtol=1e-12)
    last = lambda x: tl.while_loop(lambda s: s.sum() < 50, lambda s: s * 2, tl.exp(x), snapshots=1).sum()
    assert jacobian_sparsity(last, x).all()
    table = tl.debug.trace_table(last, x)
    np.testing.assert_allclose(table.gradient["x"].numpy(), grad(last)(x).numpy(), rtol=1e-13)


def test_wrong_patterns_are_noticed() -> None:
    x = t(RNG.normal(size=12))
    pattern = jacobian_sparsity(band, x)
    lacking = pattern.copy()
    lacking[5, 6] = False
    for mode in ("auto", "fwd", "rev"):
        with pytest.raises(GradError, match="sparsity pattern lacks entries"):
            jacobian(band, mode=mode, sparsity=lacking)(x)
    more = pattern | (RNG.random(pattern.shape) < 0.1)   # more than needed is no mistake
    np.testing.assert_allclose(jacobian(band, sparsity=more)(x).numpy(), jacrev(band)(x).numpy(), rtol=1e-12, atol=1e-14)
    with pytest.raises(GradError, match="expected 'detect' or a boolean array"):
        jacobian(band, sparsity="guess")
    with pytest.raises(GradError, match="expected booleans, a row of 12 inputs"):
        jacobian(band, sparsity=pattern.astype(float))(x)
    with pytest.raises(ShapeError, match="has 24 rows of 12 inputs, but the function has 12 results"):
        jacobian(band, sparsity=np.concatenate([pattern, pattern]))(x)
