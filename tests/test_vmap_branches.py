"""vmap(branching="group"): every example takes its own path, with the values and derivatives of a loop, in few runs."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import ShapeError, VmapError
from tensorlite.func import grad, jacrev, jvp, vmap

SEED = 0


class Counted:
    """A function that counts its runs and notes the paths."""

    def __init__(self, function: Any) -> None:
        self.function, self.runs = function, 0

    def __call__(self, *args: Any) -> Any:
        self.runs += 1
        return self.function(*args)


def control_flow(a: Any) -> Any:
    """Doubling until the norm reaches 1000: the textbook example of a gradient through control flow."""
    b = 2 * a
    while tl.linalg.norm(b) < 1000:
        b = 2 * b
    return b if b.sum() > 0 else 100 * b


def doublings(a: float) -> tuple[int, bool]:
    b, count = 2 * a, 0
    while abs(b) < 1000:
        b, count = 2 * b, count + 1
    return count, b > 0


def scalars(count: int = 1000) -> np.ndarray[Any, Any]:
    print(f"seed {SEED}")
    return np.random.default_rng(SEED).standard_normal(count)


def loop(f: Any, *batches: Any) -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(f(*[tl.tensor(x) for x in row]).detach().numpy()) for row in zip(*batches)])


# ---- the textbook function -------------------------------------------------------------------------------------------------

def test_control_flow_of_a_thousand_scalars_is_the_loops() -> None:
    a = scalars()
    f = Counted(control_flow)
    out = vmap(f, branching="group")(tl.tensor(a))
    np.testing.assert_array_equal(out.numpy(), loop(control_flow, a))
    paths = len({doublings(x) for x in a.tolist()})
    assert paths > 10
    assert f.runs <= 2 * paths - 1


def test_control_flow_known_value() -> None:
    out = vmap(control_flow, branching="group")(tl.tensor(np.array([-0.71852928, 0.71852928])))
    assert out.shape == (2,)
    np.testing.assert_allclose(out.numpy(), [-0.71852928 * 204800, 0.71852928 * 2048], rtol=1e-15)


def test_gradient_of_control_flow_is_d_over_a() -> None:
    a = scalars()
    d = vmap(control_flow, branching="group")(tl.tensor(a)).numpy()
    f = Counted(grad(control_flow))
    g = vmap(f, branching="group")(tl.tensor(a)).numpy()
    np.testing.assert_array_equal(g, loop(grad(control_flow), a))
    np.testing.assert_allclose(g, d / a, rtol=1e-15)
    assert f.runs <= 2 * len({doublings(x) for x in a.tolist()}) - 1


def test_gradient_of_the_batch_is_the_same() -> None:
    a = scalars(50)
    whole = grad(lambda x: vmap(control_flow, branching="group")(x).sum())(tl.tensor(a))
    np.testing.assert_array_equal(whole.numpy(), loop(grad(control_flow), a))
    leaf = tl.tensor(a, requires_grad=True)
    vmap(control_flow, branching="group")(leaf).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), whole.numpy())


def test_tangent_of_control_flow() -> None:
    a = scalars(50)
    one = lambda x: jvp(control_flow, (x,), (tl.ones_like(x),))[1]
    np.testing.assert_array_equal(vmap(one, branching="group")(tl.tensor(a)).numpy(), loop(one, a))
    whole = jvp(vmap(control_flow, branching="group"), (tl.tensor(a),), (tl.ones(50, dtype=tl.float64),))[1]
    np.testing.assert_array_equal(whole.numpy(), loop(one, a))


def test_jacobian_inside() -> None:
    a = scalars(20).reshape(10, 2)
    one = jacrev(lambda x: x * x if x.sum() > 0 else tl.sin(x))
    np.testing.assert_allclose(vmap(one, branching="group")(tl.tensor(a)).numpy(), loop(one, a), rtol=1e-15)


# ---- questions -------------------------------------------------------------------------------------------------------------

def check(f: Any, *batches: Any, runs: int | None = None, **options: Any) -> None:
    counted = Counted(f)
    out = vmap(counted, branching="group", **options)(*[tl.tensor(x) for x in batches])
    np.testing.assert_allclose(out.numpy(), loop(f, *batches), rtol=1e-14)
    assert runs is None or counted.runs == runs, f"{counted.runs} runs, expected {runs}"


def test_one_path_is_one_run() -> None:
    check(lambda x: x * 2 if x < 100 else x, scalars(10), runs=1)


def test_two_paths_are_three_runs() -> None:
    check(lambda x: x * 2 if x > 0 else x - 1, scalars(10), runs=3)


def test_integers_split_into_one_group_a_value() -> None:
    check(lambda x, n: x * sum(range(int(n))), scalars(6), np.array([3, 1, 3, 2, 2, 1]), runs=4)
    check(lambda x, n: x * n.item(), scalars(6), np.array([3, 1, 3, 2, 2, 1]), runs=4)
    check(lambda x, n: tl.stack([x * k for k in range(n)]).sum(), scalars(4), np.array([3, 1, 3, 2]))
    check(lambda x, n: x[:n].sum(), scalars(12).reshape(4, 3), np.array([3, 1, 3, 2]))
    check(lambda x, n: [x, x * 2, x * 3][n], scalars(4), np.array([0, 1, 2, 1]))


def test_truth_asks_no_more_than_whether_it_is_zero() -> None:
    check(lambda x: x * 2 if x else x - 1, np.array([0.0, 1.5, 2.5, -3.0, -0.0, np.inf]), runs=3)
    check(lambda x: x * int(x), np.array([0.5, 1.5, 1.25, -0.75]), runs=3)
    check(lambda x: grad(lambda y: y * y if y else y)(x), np.array([0.0, 1.5, 2.5]), runs=3)


def test_floats_split_by_value() -> None:
    check(lambda x: x * float(x), np.array([0.5, 1.5, 0.5]), runs=3)
    check(lambda x: tl.tensor(np.asarray(x) + 1), scalars(6).reshape(3, 2)[[0, 1, 0]], runs=3)


def test_nan_is_like_itself_and_takes_its_own_path() -> None:
    a = np.array([np.nan, 1.0, np.nan, -1.0])
    check(lambda x: x * 2 if x > 0 else (x - 1 if x < 0 else tl.zeros_like(x) + 7), a, runs=5)
    check(lambda x: tl.tensor(float(x)) * 2, np.array([np.nan, 1.0, np.nan]), runs=3)


def test_several_values_in_one_comparison() -> None:
    check(lambda x, y: x if 0 < x < y else y if x <= 0 and y <= 0 else x + y, scalars(20), scalars(40)[20:])
    check(lambda x: x.sum() if bool((x > 0).all()) else (x * 2).sum() if (x > 0).any() else x.prod(), scalars(60).reshape(20, 3))
    check(lambda x: x.sum() if 1.0 in x else x.prod(), np.array([[1.0, 2.0], [3.0, 4.0]]), runs=3)


def test_what_differs_in_shape_splits_too() -> None:
    a = scalars(40).reshape(10, 4)
    check(lambda x: x[x > 0].sum(), a)
    check(lambda x: tl.masked_select(x, x > 0).prod(), a)
    check(lambda x: tl.unique_values(tl.round(x)).sum(), a)
    check(lambda x: x[tl.nonzero(x > 0)[0]].sum(), a)
    check(lambda x: tl.bincount(x).shape[0] * tl.ones(()), np.array([[1, 2], [3, 0], [0, 2]]), runs=3)
    check(lambda x: grad(lambda y: (y[y > 0] ** 2).sum())(x), a)


def test_values_that_agree_do_not_split() -> None:
    check(lambda x: tl.nn.functional.one_hot(x).sum(0), np.array([[1, 2, 0], [2, 0, 0]]), runs=1)


def test_a_branch_on_what_all_share_is_python() -> None:
    n = tl.tensor(3)
    check(lambda x: x * 2 if n > 2 else x, scalars(5), runs=1)
    f = vmap(lambda x, m: x * int(m), in_axes=(0, None), branching="group")
    assert f(tl.tensor([1.0, 2.0]), tl.tensor(4)).tolist() == [4.0, 8.0]


def test_chunks_and_axes() -> None:
    a = scalars(20).reshape(2, 10)
    f = lambda x: x * 2 if x.sum() > 0 else x - 1
    out = vmap(f, in_axes=1, out_axes=1, branching="group", chunk_size=3)(tl.tensor(a))
    np.testing.assert_array_equal(out.numpy().T, loop(f, a.T))
    sometimes = vmap(lambda x: x if x > 0 else tl.zeros((), dtype=tl.float64), branching="group", chunk_size=2)
    np.testing.assert_array_equal(sometimes(tl.tensor([-1.0, -2.0, 3.0, -4.0], dtype=tl.float64)).numpy(), [0, 0, 3, 0])


# ---- nested ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("outer", ["group", "error"])
def test_groups_in_groups(outer: str) -> None:
    a = scalars(30).reshape(5, 6)
    one = lambda x: x * 2 if x > 0 else x - 1
    inner = vmap(one, branching="group")
    expected = np.where(a > 0, a * 2, a - 1)
    if outer == "error":
        with pytest.raises(VmapError, match="asked for its value"):
            vmap(inner)(tl.tensor(a))
        return
    np.testing.assert_array_equal(vmap(inner, branching="group")(tl.tensor(a)).numpy(), expected)
    mixed = lambda row: vmap(one, branching="group")(row) if row.sum() > 0 else vmap(lambda x: x * 3)(row)
    np.testing.assert_array_equal(vmap(mixed, branching="group")(tl.tensor(a)).numpy(),
                                  np.where(a.sum(1, keepdims=True) > 0, expected, a * 3))


def test_plain_vmap_inside_a_group() -> None:
    a = scalars(30).reshape(5, 6)
    f = lambda row: vmap(lambda x: x * row.sum())(row) if row.sum() > 0 else row
    np.testing.assert_allclose(vmap(f, branching="group")(tl.tensor(a)).numpy(),
                               np.where(a.sum(1, keepdims=True) > 0, a * a.sum(1, keepdims=True), a), rtol=1e-14)


def test_an_inner_question_about_the_outer_batch() -> None:
    """The inner vmap sees one value for all; the outer one splits by it."""
    a, b = scalars(5), scalars(15)[5:].reshape(5, 2)
    f = lambda x, row: vmap(lambda y: y * 2 if x > 0 else y)(row)
    np.testing.assert_array_equal(vmap(f, branching="group")(tl.tensor(a), tl.tensor(b)).numpy(),
                                  np.where(a[:, None] > 0, b * 2, b))


# ---- results, errors -------------------------------------------------------------------------------------------------------

def test_results_of_other_structures_are_named() -> None:
    with pytest.raises(VmapError, match=r"differently built.*\(\*, \*\)"):
        vmap(lambda x: (x, x) if x > 0 else x, branching="group")(tl.tensor([1.0, -1.0]))
    with pytest.raises(VmapError, match="differently built"):
        vmap(lambda x: {"a": x} if x > 0 else {"b": x}, branching="group")(tl.tensor([1.0, -1.0]))
    with pytest.raises(VmapError, match="differently built"):
        vmap(lambda x: (x, None) if x > 0 else (x, x), branching="group")(tl.tensor([1.0, -1.0]))
    with pytest.raises(VmapError, match=r"result 0 has different shapes.*\(\), \(2,\)"):
        vmap(lambda x: tl.stack([x, x]) if x > 0 else x, branching="group")(tl.tensor([1.0, -1.0]))


def test_results_that_do_not_depend_on_the_batch() -> None:
    out = vmap(lambda x: (1.5, x) if x > 0 else (2.5, x), branching="group")(tl.tensor([1.0, -1.0, 2.0]))
    assert out[0].tolist() == [1.5, 2.5, 1.5]
    kept = vmap(lambda x: (tl.ones(2), x), out_axes=(None, 0), branching="group")(tl.tensor([1.0, -1.0]))
    assert kept[0].shape == (2,)


def test_an_error_of_some_examples_comes_through() -> None:
    def f(x: Any) -> Any:
        if x < 0:
            raise ValueError("negative")
        return x
    with pytest.raises(ValueError, match="negative"):
        vmap(f, branching="group")(tl.tensor([1.0, -1.0]))
    assert vmap(f, branching="group")(tl.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_the_functions_own_handlers_do_not_see_the_split() -> None:
    def f(x: Any) -> Any:
        try:
            return x * 2 if x > 0 else x * (1 // int(x * 0))
        except ZeroDivisionError:
            return x * 0
        except Exception:
            return x * 100
    assert vmap(f, branching="group")(tl.tensor([1.0, -1.0])).tolist() == [2.0, 0.0]


def test_without_group_a_question_is_an_error_that_says_so() -> None:
    for ask in (bool, int, float, lambda x: x.item(), range, lambda x: x.tolist()):
        with pytest.raises(VmapError, match="branching='group'"):
            vmap(lambda x, ask=ask: (ask(x), x)[1])(tl.tensor([1, 2]))
    with pytest.raises(ShapeError, match="ambiguous"):
        vmap(lambda x: x if x else x + 1, branching="group")(tl.tensor([[1.0, 2.0]]))


def test_a_function_that_does_not_repeat_itself_is_found_out() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            x = x + tl.rand(())
        y = x * 2 if x > -100 else x
        return y if x > 0 else -y
    with pytest.raises(VmapError, match="same again"):
        vmap(f, branching="group", randomness="different")(tl.tensor([1.0, -1.0]))


# ---- random numbers ----------------------------------------------------------------------------------------------------------

def test_a_draw_that_decides_is_the_draw_that_is_used() -> None:
    tl.manual_seed(SEED)

    def f(x: Any) -> Any:
        u = tl.rand(())
        return tl.stack([x, u, tl.ones(())]) if u < x else tl.stack([x, u, tl.zeros(())])
    out = vmap(f, branching="group", randomness="different")(tl.full((200,), 0.3)).numpy()
    np.testing.assert_array_equal(out[:, 1] < out[:, 0], out[:, 2] == 1)
    assert 0.2 < out[:, 2].mean() < 0.4
    assert len(set(out[:, 1].tolist())) == 200


def test_rejection_sampling() -> None:
    tl.manual_seed(SEED)

    def positive(x: Any) -> Any:
        while (z := tl.random.normal(0.0, 1.0, ())) < x:
            pass
        return z
    out = vmap(positive, branching="group", randomness="different")(tl.full((300,), 0.5)).numpy()
    assert out.min() >= 0.5
    assert len(set(out.tolist())) == 300
    assert abs(out.mean() - 1.141) < 0.1   # the mean of a normal number above 0.5: phi(0.5) / (1 - Phi(0.5))


def test_before_the_first_split_it_is_one_draw_of_the_batch() -> None:
    def f(x: Any) -> Any:
        u, order = tl.rand(2), tl.random.permutation(4)
        kept = tl.nn.functional.dropout(tl.ones(8), 0.5)
        return (u, order, kept) if x > 0 else (u * 1, order, kept)
    x = tl.tensor([1.0, -1.0, 2.0, -3.0, 0.5])
    tl.manual_seed(SEED)
    split = vmap(f, branching="group", randomness="different")(x)
    tl.manual_seed(SEED)
    whole = vmap(f, branching="group", randomness="different")(tl.abs(x))
    for a, b in zip(split, whole):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_dropout_that_decides_is_differentiated_with_its_mask() -> None:
    tl.manual_seed(SEED)

    def f(x: Any) -> Any:
        y = tl.nn.functional.dropout(x, 0.5)
        return (y * 2 if y.sum() > 1 else y * 3).sum(), y
    g, y = vmap(grad(f, has_aux=True), branching="group", randomness="different")(tl.ones(50, 4))
    factor = np.where(y.numpy().sum(1) > 1, 2, 3)[:, None]
    np.testing.assert_array_equal(g.numpy(), y.numpy() * factor)
    assert 0 < (y.numpy() == 0).mean() < 1


def test_the_same_for_all_is_the_same_along_all_paths() -> None:
    tl.manual_seed(SEED)

    def f(x: Any) -> Any:
        u = tl.rand(())
        v = tl.rand(2) if x > 0 else tl.rand(2) + 0
        return u, v
    u, v = vmap(f, branching="group", randomness="same")(tl.tensor([1.0, -1.0, 2.0]))
    assert len(set(u.tolist())) == 1
    assert v[0].tolist() == v[1].tolist() == v[2].tolist()


def test_random_numbers_of_nested_groups() -> None:
    tl.manual_seed(SEED)

    def inner(x: Any, t: Any) -> Any:
        u = tl.rand(())
        return tl.stack([u, tl.ones(())]) if u < t else tl.stack([u, tl.zeros(())])

    def outer(row: Any) -> Any:
        t = tl.rand(())
        out = vmap(lambda x: inner(x, t), branching="group", randomness="different")(row)
        return (out, t) if t > 0.5 else (out * 1, t)
    out, t = vmap(outer, branching="group", randomness="different")(tl.zeros(7, 11))
    np.testing.assert_array_equal(out.numpy()[..., 0] < t.numpy()[:, None], out.numpy()[..., 1] == 1)
    assert len(set(out.numpy()[..., 0].reshape(-1).tolist())) == 77
    assert len(set(t.tolist())) == 7
