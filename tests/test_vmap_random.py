"""Random numbers inside of vmap: different for each example or the same for all, in nested vmaps, with keys, and in dropout."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_vmap import array, draw, normal, same

import tensorlite as tl
from tensorlite.errors import VmapError
from tensorlite.func import grad, jacfwd, jacrev, jvp, vmap
from tensorlite.nn import functional as F

DRAWS: dict[str, Any] = {
    "rand": lambda *n: tl.rand(*n, 2),
    "randn": lambda *n: tl.randn(*n, 2),
    "uniform": lambda *n: tl.random.uniform((*n, 3), minval=-1.0),
    "normal": lambda *n: tl.random.normal(1.0, 2.0, (*n, 3)),
    "randint": lambda *n: tl.random.randint(0, 100, (*n, 5)),
    "bernoulli": lambda *n: tl.random.bernoulli(0.5, (*n, 9)),
    "dropout": lambda *n: F.dropout(tl.ones(*n, 8), 0.5),
    "rand_like": lambda *n: tl.rand_like(tl.zeros(*n, 2)),
    "float64": lambda *n: tl.rand(*n, 2, dtype=tl.float64),
}


@pytest.mark.parametrize("name", DRAWS)
def test_different_is_one_draw_of_the_whole_batch(name: str) -> None:
    one, x = DRAWS[name], tl.zeros(5)
    same(draw(lambda: vmap(lambda v: one(), randomness="different")(x)), draw(lambda: one(5)))
    same(draw(lambda: vmap(lambda v: vmap(lambda w: one(), randomness="different")(tl.zeros(3)), randomness="different")(x)),
         draw(lambda: one(5, 3)))


@pytest.mark.parametrize("name", DRAWS)
def test_same_is_one_draw_for_all(name: str) -> None:
    one, x = DRAWS[name], tl.zeros(5)
    expected = array(draw(one))
    same(draw(lambda: vmap(lambda v: one(), randomness="same")(x)), np.stack([expected] * 5))
    of_inner = array(draw(lambda: one(3)))
    same(draw(lambda: vmap(lambda v: vmap(lambda w: one(), randomness="different")(tl.zeros(3)), randomness="same")(x)),
         np.stack([of_inner] * 5))
    same(draw(lambda: vmap(lambda v: vmap(lambda w: one(), randomness="same")(tl.zeros(3)), randomness="different")(x)),
         np.repeat(array(draw(lambda: one(5)))[:, None], 3, axis=1))


@pytest.mark.parametrize("name", [*DRAWS, "permutation"])
def test_random_numbers_need_a_mode(name: str) -> None:
    one = DRAWS.get(name, lambda: tl.random.permutation(3))
    for call in (lambda: vmap(lambda v: one())(tl.zeros(2)),
                 lambda: vmap(lambda v: vmap(lambda w: one(), randomness="same")(tl.zeros(3)))(tl.zeros(2)),
                 lambda: vmap(lambda v: vmap(lambda w: one())(tl.zeros(3)), randomness="same")(tl.zeros(2))):
        with pytest.raises(VmapError, match="'different' for each example or the 'same' for all"):
            call()


def test_keys() -> None:
    key, x = tl.random.key(3), tl.zeros(4)
    different = vmap(lambda v: tl.random.normal(key, (2,)), randomness="different")(x)
    same(different, tl.random.normal(key, (4, 2)))
    shared = vmap(lambda v: tl.random.normal(key, (2,)), randomness="same")(x)
    same(shared, np.stack([array(tl.random.normal(key, (2,)))] * 4))
    orders = vmap(lambda v: tl.random.permutation(key, 20), randomness="different")(x)
    assert len({tuple(o) for o in orders.tolist()}) == 4
    assert all(sorted(o) == list(range(20)) for o in orders.tolist())
    same(vmap(lambda v: tl.random.permutation(key, 20), randomness="same")(x)[2], tl.random.permutation(key, 20))


def test_parameters_of_draws_that_differ_along_the_batch() -> None:
    mean = tl.tensor([0.0, 100.0, -100.0])
    out = draw(lambda: vmap(lambda m: tl.random.normal(m, tl.ones(4)), randomness="different")(mean))
    assert (np.abs(array(out) - array(mean)[:, None]) < 10).all()
    g = vmap(grad(lambda m: tl.random.normal(m, tl.ones(4)).sum()), randomness="different")(mean)
    same(g, [4.0, 4.0, 4.0])
    p = tl.tensor([0.0, 1.0])
    same(vmap(lambda q: tl.random.bernoulli(q, (5,)), randomness="different")(p), [[0.0] * 5, [1.0] * 5])
    with pytest.raises(tl.random.RandomError, match="0 <= p <= 1"):
        vmap(lambda q: tl.random.bernoulli(q, (5,)), randomness="different")(tl.tensor([0.5, 1.5]))
    with pytest.raises(tl.random.RandomError, match="std >= 0"):
        vmap(lambda s: tl.random.normal(0.0, s), randomness="different")(tl.tensor([0.5, -1.5]))


@pytest.mark.parametrize("mode", ["different", "same"])
def test_dropout_and_its_derivatives_use_one_mask(mode: str) -> None:
    x = normal(4, 6)
    one = lambda v: F.dropout(v, 0.5)
    mask = array(draw(lambda: vmap(lambda v: one(tl.ones_like(v)), randomness=mode)(x)))
    assert len({tuple(m) for m in mask.tolist()}) == (4 if mode == "different" else 1)
    same(draw(lambda: vmap(one, randomness=mode)(x)), array(x) * mask)
    same(draw(lambda: vmap(grad(lambda v: one(v).sum()), randomness=mode)(x)), mask)
    same(draw(lambda: vmap(jacrev(one), randomness=mode)(x)), np.stack([np.diag(m) for m in mask]))
    same(draw(lambda: vmap(jacfwd(one), randomness=mode)(x)), np.stack([np.diag(m) for m in mask]))
    same(draw(lambda: vmap(lambda v: jvp(one, (v,), (tl.ones_like(v),))[1], randomness=mode)(x)), mask)
    same(draw(lambda: grad(lambda v: vmap(one, randomness=mode)(v).sum())(x)), mask)
    same(draw(lambda: jacrev(lambda v: vmap(one, randomness=mode)(v).sum(1))(x)), np.eye(4)[:, :, None] * mask)
    leaf = tl.tensor(array(x), requires_grad=True)
    draw(lambda: vmap(one, randomness=mode)(leaf)).sum().backward()
    same(leaf.grad, mask)


def test_dropout_of_what_is_infinite_drops_it() -> None:
    x = tl.full((3, 40), float("inf"))
    out = array(draw(lambda: vmap(lambda v: F.dropout(v, 0.5), randomness="same")(x)))
    assert set(out.reshape(-1).tolist()) == {0.0, np.inf}


def test_dropout_of_what_all_share_differs() -> None:
    shared = tl.ones(50)
    out = draw(lambda: vmap(lambda v: F.dropout(shared, 0.5) * v, randomness="different")(tl.ones(3)))
    assert len({tuple(row) for row in out.tolist()}) == 3
