"""Keys, generators and the functions that draw; the distributions themselves are tested in kernels/test_philox.py."""
from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import pytest

from tensorlite import _philox, random
from tensorlite.engine.value import raw
from tensorlite.errors import DeviceError, DTypeError, OutOfRangeError, ShapeError, TensorliteError
from tensorlite.random import Generator, RandomError

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def host(x: Any) -> np.ndarray:
    return np.asarray(raw(x))


def same(x: Any, y: Any) -> bool:
    return np.array_equal(host(x), host(y))


# ---- keys -------------------------------------------------------------------------------------------------------------------

def test_a_key_always_gives_the_same_numbers() -> None:
    key = random.key(0)
    for draw in (lambda k: random.uniform(k, (5,)), lambda k: random.normal(k, (5,)), lambda k: random.randint(k, (5,), 0, 99),
                 lambda k: random.permutation(k, 20), lambda k: random.bernoulli(k, 0.5, (40,))):
        assert same(draw(key), draw(random.key(0)))
        assert not same(draw(key), draw(random.key(1)))
        assert not same(draw(key), draw(random.split(key)[0]))


def test_split_and_fold_in_make_distinct_keys() -> None:
    root = random.key(42)
    keys = [root, *random.split(root, 1000), *(random.fold_in(root, i) for i in range(1000))]
    keys += random.split(random.split(root)[0], 1000)
    assert len(set(keys)) == len(keys)
    assert random.split(root, 3) == random.split(root, 5)[:3]
    assert random.fold_in(root, 7) == random.fold_in(random.key(42), 7) != random.fold_in(root, 8)
    assert random.split(root, 0) == ()


def test_split_keys_draw_independent_numbers() -> None:
    n = 1 << 16
    root = random.key(5)
    z = np.stack([host(random.normal(k, (n,))) for k in (root, *random.split(root, 6), random.fold_in(root, 0))])
    assert np.abs(z @ z.T / n - np.eye(len(z))).max() < 6 / math.sqrt(n)
    first = np.array([float(host(random.uniform(k))) for k in random.split(random.key(6), 4096)])
    assert abs(first.mean() - 0.5) < 5 / math.sqrt(12 * first.size) and np.unique(first).size > 4090


def test_keys_are_immutable_values() -> None:
    key = random.key(-1)
    assert key == random.key((1 << 64) - 1) and hash(key) == hash(random.key(-1))
    assert pickle.loads(pickle.dumps(key)) == copy.deepcopy(key) == key
    with pytest.raises(AttributeError, match="immutable"):
        key.seed = 3
    assert key != 3


def test_keys_and_generators_are_unrelated() -> None:
    assert not same(random.uniform(random.key(0), (8,)), random.rand(8, generator=Generator(0)))


# ---- generators -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("draw", [
    lambda g, n: random.rand(n, generator=g), lambda g, n: random.randn(n, generator=g),
    lambda g, n: random.rand(n, generator=g, dtype="float64"), lambda g, n: random.randint(0, 2**32, (n,), generator=g),
    lambda g, n: random.randint(0, 2**60, (n,), generator=g), lambda g, n: random.randperm(n, generator=g)])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 1, 8), (0, 4)])
def test_successive_draws_never_overlap(draw: Callable[[Generator, int], Any], sizes: tuple[int, ...],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks that the draws used are neighbours without gap or overlap."""
    generator, reached = Generator(3), 0
    used: list[range] = []
    original = _philox._philox.on_host

    def spy(**options: Any) -> Any:
        used.append(range(options["offset"], options["offset"] + _philox._philox.blocks(**options)))
        return original(**options)

    monkeypatch.setattr(_philox._philox, "on_host", spy)
    for n in sizes:
        draw(generator, n)
        assert used[-1].start == reached
        reached = used[-1].stop
    assert generator.get_state()["offset"] == reached


def test_a_stream_of_draws_is_one_sequence() -> None:
    """Draws of whole blocks, one after the other, are the one long draw."""
    a, b = Generator(9), Generator(9)
    parts = [host(random.randn(n, generator=a)) for n in (4, 16, 8, 100)]
    assert np.array_equal(np.concatenate(parts), host(random.randn(128, generator=b)))
    values = np.concatenate([host(random.rand(3, generator=a, dtype="float64")) for _ in range(1000)])
    assert np.unique(values).size == values.size


def test_state_is_saved_and_restored_through_json() -> None:
    generator = Generator(123)
    random.rand(1001, generator=generator)
    state = json.loads(json.dumps(generator.get_state()))
    expected = random.randn(7, generator=generator)
    assert not same(random.randn(7, generator=generator), expected)
    generator.set_state(state)
    assert same(random.randn(7, generator=generator), expected)
    other = Generator()
    other.set_state(state)
    assert same(random.randn(7, generator=other), expected) and other.initial_seed() == 123


def test_generators_are_copied_and_pickled_with_their_state() -> None:
    generator = Generator(1)
    random.rand(5, generator=generator)
    twins = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    expected = random.rand(5, generator=generator)
    assert all(same(random.rand(5, generator=g), expected) for g in twins)


def test_seeds() -> None:
    generator = Generator(5)
    assert generator.initial_seed() == 5 and generator.manual_seed(-1) is generator
    assert generator.initial_seed() == (1 << 64) - 1
    assert generator.seed() == generator.initial_seed() and Generator().initial_seed() != Generator().initial_seed()
    assert repr(Generator(7)) == "Generator(seed=7, offset=0)"


def test_default_generator() -> None:
    before = random.get_rng_state()
    try:
        assert random.manual_seed(17) is random.default_generator and random.initial_seed() == 17
        a = random.randn(3)
        state = random.get_rng_state()
        b = random.randn(3)
        random.set_rng_state(state)
        assert same(random.randn(3), b) and not same(a, b)
        assert same(random.randn(3, generator=Generator(17)), a)
    finally:
        random.set_rng_state(before)


def test_threads_share_a_generator_without_overlap() -> None:
    generator, drawn = Generator(11), []
    threads = [Thread(target=lambda: drawn.extend(host(random.rand(4, generator=generator, dtype="float64")) for _ in range(100)))
               for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    values = np.concatenate(drawn)
    assert values.size == 3200 == np.unique(values).size
    assert set(values.tolist()) == set(host(random.rand(3200, generator=Generator(11), dtype="float64")).tolist())


# ---- places: what dropout keeps instead of a mask ---------------------------------------------------------------------------

def test_a_mask_is_drawn_again_from_its_place() -> None:
    generator, draw = Generator(2), {"kind": "bernoulli", "shape": (64, 33), "dtype": "bool"}
    place = _philox.reserve(generator, **draw)
    mask = _philox.draw(place, p=0.9, **draw)
    random.rand(100, generator=generator)
    assert np.array_equal(_philox.draw(place, p=0.9, **draw), mask) and mask.dtype == np.bool_
    assert abs(mask.mean() - 0.9) < 5 * math.sqrt(0.09 / mask.size)
    assert not np.array_equal(_philox.draw(_philox.reserve(generator, **draw), p=0.9, **draw), mask)


# ---- the functions ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("function", [random.rand, random.randn])
def test_sizes(function: Callable[..., Any]) -> None:
    for args, named, shape in (((), {}, ()), ((), {"size": ()}, ()), ((2, 3), {}, (2, 3)), (((2, 3),), {}, (2, 3)),
                               (([2, 3],), {}, (2, 3)), ((5,), {}, (5,)), ((), {"size": 4}, (4,)), ((np.int64(2),), {}, (2,))):
        assert host(function(*args, **named, generator=Generator(0))).shape == shape
    for args, error, text in (((-1,), ShapeError, "no negative"), ((2.5,), DTypeError, r"2\.5"), (("a",), DTypeError, "'a'"),
                              ((1 << 40, 1 << 40), ShapeError, "fewer than")):
        with pytest.raises(error, match=text):
            function(*args)
    with pytest.raises(ShapeError, match="given twice"):
        function(2, size=(3,))


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_dtypes(dtype: str) -> None:
    u, z = (f(40_000, dtype=dtype, generator=Generator(1)) for f in (random.rand, random.randn))
    assert u.dtype.name == z.dtype.name == dtype
    u, z = host(u).astype(np.float64), host(z).astype(np.float64)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.01 and abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.02


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 0.3), (1000.0, 1001.0), (-3.0, -1e-3), (2.0, 2.0)])
def test_uniform_never_reaches_its_upper_bound(dtype: str, low: float, high: float) -> None:
    x = host(random.uniform(random.key(3), (100_000,), dtype, low, high)).astype(np.float64)
    assert (x < high).all() or low == high
    assert x.min() >= low - abs(low) / 256 and x.dtype == np.float64


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_integer_dtypes(dtype: str) -> None:
    x = random.randint(random.key(0), (1000,), 0, 100, dtype)
    assert x.dtype.name == dtype and set(host(x).tolist()) <= set(range(100)) and len(set(host(x).tolist())) == 100
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        extreme = host(random.randint(int(limits.min), int(limits.max) + 1, (10_000,), dtype=dtype)).astype(np.float64)
        middle, width = (limits.max + limits.min) / 2, float(limits.max) - float(limits.min)
        assert abs(extreme.mean() - middle) < width * 6 / math.sqrt(12 * 10_000)


def test_randint_forms() -> None:
    expected = random.randint(0, 10, (3, 4), generator=Generator(0))
    for x in (random.randint(10, (3, 4), generator=Generator(0)), random.randint(10, size=(3, 4), generator=Generator(0)),
              random.randint(high=10, size=(3, 4), generator=Generator(0)),
              random.randint(low=0, high=10, size=(3, 4), generator=Generator(0)),
              random.randint(0, 10, size=[3, 4], generator=Generator(0))):
        assert same(x, expected)
    assert same(random.randint(random.key(1), (5,), -3, 3), random.randint(key=random.key(1), shape=(5,), minval=-3, maxval=3))
    assert host(expected).dtype == np.int64


def test_normal_with_mean_and_deviation() -> None:
    x = host(random.normal(5.0, 0.5, (100_000,), generator=Generator(0)))
    assert abs(x.mean() - 5) < 0.01 and abs(x.std() - 0.5) < 0.01
    z = host(random.randn(4, generator=Generator(1)))
    np.testing.assert_allclose(host(random.normal(3.0, 2.0, 4, generator=Generator(1))), 3 + 2 * z, rtol=1e-6)
    mean, std = np.arange(4, dtype=np.float32), np.full((2, 1), 2, np.float32)
    z = host(random.randn(2, 4, generator=Generator(1)))
    np.testing.assert_allclose(host(random.normal(mean, std, generator=Generator(1))), mean + std * z, rtol=1e-6)
    assert host(random.normal(mean, 1.0)).shape == (4,) and host(random.normal(0.0, std)).shape == (2, 1)


def test_permutation_is_one_and_every_one_comes_as_often() -> None:
    for n in (0, 1, 2, 3, 17, 1000, 65_536, 65_537):
        assert np.array_equal(np.sort(host(random.randperm(n, generator=Generator(n)))), np.arange(n))
    generator, count = Generator(8), np.zeros(24)
    met: dict[tuple[int, ...], int] = {}
    for _ in range(4800):
        order = tuple(host(random.randperm(4, generator=generator)).tolist())
        count[met.setdefault(order, len(met))] += 1
    chi = ((count - 200) ** 2 / 200).sum()
    print(f"seed 8: chi-square {chi:.1f} of 23 degrees of freedom")
    assert len(met) == 24 and abs(chi - 23) < 5 * math.sqrt(46)
    big = host(random.permutation(random.key(4), 1 << 18)).astype(np.float64)
    assert abs(np.corrcoef(big, np.arange(big.size))[0, 1]) < 5 / math.sqrt(big.size)
    orders = [host(random.permutation(k, 100)) for k in random.split(random.key(0), 400)]
    fixed = sum(int((order == np.arange(100)).sum()) for order in orders)
    assert abs(fixed - 400) < 5 * 20   # one fixed point on average, variance 1


def test_bernoulli() -> None:
    mask = random.bernoulli(random.key(0), 0.25, (40_000,))
    assert host(mask).dtype == np.bool_ and abs(host(mask).mean() - 0.25) < 5 * math.sqrt(0.1875 / 40_000)
    p = np.full(40_000, 0.25, np.float32)
    assert same(random.bernoulli(random.key(0), p), mask), "a number and an array of that number pick the same elements"
    torch_like = host(random.bernoulli(p, generator=Generator(0)))
    assert torch_like.dtype == np.float32 and set(torch_like.tolist()) == {0.0, 1.0}
    assert host(random.bernoulli(0.5)).shape == () and host(random.bernoulli(random.key(0), np.ones(3), (2, 3))).all()
    assert not host(random.bernoulli(random.key(0), np.zeros((2, 1)), (2, 3))).any()


def test_permutation_reorders_slices() -> None:
    x = np.arange(24).reshape(2, 4, 3)
    for axis in (0, 1, -1):
        order = host(random.permutation(random.key(3), x.shape[axis]))
        assert np.array_equal(host(random.permutation(random.key(3), x, axis)), np.take(x, order, axis=axis))
    tensor = random.randn(5, 2, requires_grad=True)
    assert random.permutation(random.key(3), tensor).requires_grad
    order = host(random.randperm(5, generator=Generator(1)))
    assert np.array_equal(host(random.permutation(tensor, generator=Generator(1))), host(tensor)[order])


def test_gradients_flow_to_the_mean_and_the_deviation() -> None:
    mean, std = random.rand(3, requires_grad=True), random.rand(3, requires_grad=True)
    z = random.randn(3, generator=Generator(1))
    random.normal(mean, std, generator=Generator(1)).sum().backward()
    assert np.array_equal(host(mean.grad), np.ones(3)) and same(std.grad, z)


@pytest.mark.parametrize("dtype", FLOATS)
def test_like(dtype: str) -> None:
    x = random.rand(2, 3, dtype=dtype)
    for y in (random.rand_like(x), random.randn_like(x), random.randint_like(x, 5), random.randint_like(x, 3, 5)):
        assert host(y).shape == (2, 3) and host(y).dtype == host(x).dtype
    assert host(random.rand_like(x, dtype="float64")).dtype == np.float64
    assert set(host(random.randint_like(x, 3, 5)).astype(np.int64).ravel().tolist()) <= {3, 4}
    assert same(random.randn_like(x, generator=Generator(0)), random.randn(2, 3, dtype=dtype, generator=Generator(0)))


def test_requires_grad() -> None:
    assert random.randn(3, requires_grad=True).requires_grad and not random.randn(3).requires_grad
    with pytest.raises(DTypeError, match="int64"):
        random.randint(0, 3, (2,), requires_grad=True)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: random.randint(5, 5, (2,)), ValueError, r"low is 5 and high is 5, expected low < high"),
    (lambda: random.randint(0, 300, (2,), dtype="int8"), ValueError, r"from 0 to 299 do not fit dtype int8"),
    (lambda: random.randint(-1, 3, (2,), dtype="uint64"), ValueError, r"from -1 to 2 do not fit dtype uint64"),
    (lambda: random.randint(0, 2**65, (2,)), ValueError, r"do not fit dtype int64"),
    (lambda: random.randint(0.5, 3, (2,)), TypeError, r"0\.5 and 3, expected integers"),
    (lambda: random.rand(2, dtype="int32"), TypeError, r"dtype is int32, expected one of bfloat16"),
    (lambda: random.rand(2, generator=5), TypeError, r"generator is 5 of type int"),
    (lambda: random.rand(2, device="tpu"), ValueError, r"device 'tpu' is unknown"),
    (lambda: random.normal(0.0, -1.0, (2,)), ValueError, r"std is -1\.0"),
    (lambda: random.normal(0.0, float("nan"), (2,)), ValueError, r"std is nan"),
    (lambda: random.normal(np.zeros(3), np.ones(2)), ValueError, r"mean of shape \(3,\) does not broadcast with std"),
    (lambda: random.normal(np.zeros(3), 1.0, (3,)), ValueError, r"leave it out"),
    (lambda: random.uniform((2,), minval=2.0, maxval=1.0), ValueError, r"expected minval <= maxval"),
    (lambda: random.uniform((2,), maxval=math.inf), ValueError, r"both finite"),
    (lambda: random.uniform(key=3), TypeError, r"key is 3 of type int"),
    (lambda: random.uniform(random.key(0), (2,), generator=Generator(0)), TypeError, r"a key and a generator"),
    (lambda: random.bernoulli(1.5), ValueError, r"p is 1\.5"),
    (lambda: random.bernoulli(np.array([0.5, np.nan])), ValueError, r"p is .*nan"),
    (lambda: random.bernoulli(random.key(0), np.zeros(3), (2,)), ValueError, r"p of shape \(3,\) does not broadcast"),
    (lambda: random.permutation(np.zeros((2, 3)), axis=2), IndexError, r"axis is 2, but x has shape \(2, 3\)"),
    (lambda: random.randperm(-1), ValueError, r"randperm: the size is \(-1,\)"),
    (lambda: random.split(3), TypeError, r"split: key is 3 of type int"),
    (lambda: random.split(random.key(0), -1), ValueError, r"n is -1"),
    (lambda: random.split(random.key(0), 1.5), TypeError, r"n is 1\.5"),
    (lambda: random.fold_in(random.key(0), -1), ValueError, r"data is -1"),
    (lambda: random.key(1.5), TypeError, r"seed is 1\.5 of type float"),
    (lambda: random.key(1 << 64), ValueError, r"seed < 2\^64"),
    (lambda: Generator(0).set_state({"seed": 1}), ValueError, r"expected the dictionary that get_state"),
    (lambda: Generator(0).set_state({"algorithm": "mt19937", "seed": 1, "offset": 0}), ValueError, r"is of 'mt19937'"),
    (lambda: Generator(0).set_state({"algorithm": "philox4x32-10", "seed": 1, "offset": -1}), ValueError, r"offset is -1"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[e[2] for e in ERRORS])
def test_errors_say_what_was_given_and_what_to_do(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, TensorliteError)
    assert issubclass(RandomError, ValueError) and issubclass(OutOfRangeError, IndexError)


def test_a_failed_call_draws_nothing() -> None:
    generator = Generator(0)
    with pytest.raises(RandomError):
        random.randint(3, 3, (5,), generator=generator)
    with pytest.raises(ShapeError):
        random.bernoulli(np.zeros(3), (2,), generator=generator)
    with pytest.raises(DeviceError):
        random.rand(3, device="tpu", generator=generator)
    assert generator.get_state()["offset"] == 0


def test_importing_loads_no_numba() -> None:
    code = "import sys, tensorlite.random as r; r.randn(3); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
