"""Philox: known answers, the CPU version against the reference bit for bit, the layout, and the distributions."""
from __future__ import annotations

import importlib
import math
import subprocess
import sys
from typing import Any

import array_api_strict
import numpy as np
import pytest

from tensorlite import kernels
from tensorlite.kernels import philox
from tensorlite.kernels.philox.reference import reference

module = importlib.import_module("tensorlite.kernels.philox.reference")
SEED, STREAM = 0x123456789ABCDEF0, 0xFEDCBA9876543210

# The kat_vectors of the Random123 distribution for philox4x32, 10 rounds: counter, key, result
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]
DRAWS: list[dict[str, Any]] = [
    {"kind": "bits", "dtype": "uint32"},
    {"kind": "bits", "dtype": "uint64"},
    {"kind": "uniform", "dtype": "float32"},
    {"kind": "uniform", "dtype": "float32", "low": -0.3, "high": 1e3},
    {"kind": "uniform", "dtype": "float32", "bits": 8},
    {"kind": "uniform", "dtype": "float64", "low": -2.0, "high": 0.1},
    {"kind": "normal", "dtype": "float32"},
    {"kind": "normal", "dtype": "float32", "mean": 3.0, "std": 0.02},
    {"kind": "normal", "dtype": "float64"},
    {"kind": "integers", "dtype": "int64", "low": -5, "high": 1000},
    {"kind": "integers", "dtype": "int64", "low": 0, "high": 1 << 32},
    {"kind": "integers", "dtype": "int64", "low": -(1 << 62), "high": (1 << 62) + 12345},
    {"kind": "integers", "dtype": "int64", "low": -(1 << 63), "high": 1 << 63},
    {"kind": "integers", "dtype": "uint64", "low": 1, "high": (1 << 64) - 1},
    {"kind": "bernoulli", "dtype": "bool", "p": 0.1},
    {"kind": "bernoulli", "dtype": "bool", "p": 1.0},
    {"kind": "bernoulli", "dtype": "bool", "p": 0.0},
]


def variants() -> list[Any]:
    found = [lambda **options: reference(np, **options)]
    return [*found, philox.kernel.cpu] if philox.kernel.cpu is not None else found


@pytest.mark.parametrize("run", variants(), ids=lambda run: run.__module__.rpartition(".")[2])
@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_known_answers(run: Any, counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]) -> None:
    words = run(kind="bits", dtype="uint32", shape=(4,), seed=key[0] | key[1] << 32, offset=counter[0] | counter[1] << 32,
                stream=counter[2] | counter[3] << 32)
    assert tuple(words.tolist()) == expected


@pytest.mark.parametrize("draw", DRAWS, ids=lambda d: "-".join(str(v) for v in d.values()))
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 64, 100_003])
def test_cpu_is_the_reference_bit_for_bit(draw: dict[str, Any], n: int) -> None:
    if philox.kernel.cpu is None:
        pytest.skip("Numba is not installed")
    where = {"seed": SEED, "stream": STREAM, "offset": (1 << 32) - 20}
    ours, expected = philox.kernel.cpu(shape=(n,), **where, **draw), reference(np, shape=(n,), **where, **draw)
    assert ours.dtype == expected.dtype == np.dtype(draw["dtype"])
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda d: "-".join(str(v) for v in d.values()))
def test_reference_needs_only_the_array_api_standard(draw: dict[str, Any]) -> None:
    options = {"shape": (3, 5), "seed": SEED, "stream": STREAM, "offset": 9, **draw}
    if draw["kind"] == "integers" and draw["dtype"] == "int64":
        options["dtype"] = "uint64"   # the standard leaves the wrap-around to negative integers open
    strict = reference(array_api_strict, **options)
    np.testing.assert_array_equal(np.asarray(strict), reference(np, **options))


@pytest.mark.parametrize("draw", DRAWS, ids=lambda d: "-".join(str(v) for v in d.values()))
def test_shape_division_and_offset_play_no_part(draw: dict[str, Any]) -> None:
    run = lambda shape, offset=0: philox.on_host(shape=shape, seed=SEED, stream=3, offset=offset, **draw)
    whole = run((24,))
    np.testing.assert_array_equal(run((2, 3, 4)).ravel(), whole)
    np.testing.assert_array_equal(run((5,)), whole[:5])
    per = 24 // philox.blocks(shape=(24,), **draw)
    np.testing.assert_array_equal(np.concatenate([run((12,)), run((12,), 12 // per)]), whole)


@pytest.mark.parametrize("run", variants(), ids=lambda run: run.__module__.rpartition(".")[2])
def test_counter_carries_into_its_high_word(run: Any) -> None:
    def words(block: int) -> list[int]:
        return run(kind="bits", dtype="uint32", shape=(4,), seed=SEED, offset=block).tolist()

    across = run(kind="bits", dtype="uint32", shape=(16,), seed=SEED, offset=(1 << 32) - 2)
    assert across.tolist() == words((1 << 32) - 2) + words((1 << 32) - 1) + words(1 << 32) + words((1 << 32) + 1)
    assert words(1 << 32) != words(0)
    element = (1 << 33) + 1   # of a float64 draw: two in a block, so that it lies in block 2^32
    there = run(kind="uniform", dtype="float64", shape=(2,), seed=SEED, offset=element // 2)
    w = np.array(words(1 << 32), np.uint64)
    assert there[element % 2] == float((w[2] | w[3] << np.uint64(32)) >> np.uint64(11)) * 2.0**-53


def philox_in_plain_integers(counter: list[int], key: list[int]) -> list[int]:
    """The paper's section 3.3, word by word, to check the arrays against."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def test_layout_is_what_the_text_says() -> None:
    """The table of the package, in exact integers and in the mathematics library's float64."""
    offset, n = (5 << 32) - 1, 8
    key, stream = [SEED % 2**32, SEED >> 32], [STREAM % 2**32, STREAM >> 32]
    w = [philox_in_plain_integers([(offset + b) % 2**32, (offset + b) >> 32, *stream], key) for b in range(n)]

    def run(kind: str, dtype: str, **more: Any) -> np.ndarray:
        return reference(np, kind=kind, dtype=dtype, shape=(n,), seed=SEED, stream=STREAM, offset=offset, **more)

    words = [w[i // 4][i % 4] for i in range(n)]
    pairs = [w[i // 2][2 * (i % 2)] | w[i // 2][2 * (i % 2) + 1] << 32 for i in range(n)]
    wide = [sum(w[i][k] << 32 * k for k in range(4)) for i in range(n)]
    assert run("bits", "uint32").tolist() == words
    assert run("bits", "uint64").tolist() == pairs
    assert run("uniform", "float32").tolist() == [(v >> 8) / 2**24 for v in words]
    assert run("uniform", "float32", bits=11).tolist() == [(v >> 21) / 2**11 for v in words]
    assert run("uniform", "float64").tolist() == [(v >> 11) / 2**53 for v in pairs]
    assert run("integers", "int64", low=-7, high=93).tolist() == [-7 + (v * 100 >> 64) for v in pairs]
    assert run("integers", "int64", low=0, high=1 << 32).tolist() == [v >> 32 for v in pairs]
    span = (1 << 63) + 12345
    low = -(1 << 62)
    assert run("integers", "int64", low=low, high=low + span).tolist() == [low + (v * span >> 128) for v in wide]
    assert run("integers", "uint64", low=0, high=1 << 64).tolist() == [v >> 64 for v in wide]
    assert run("bernoulli", "bool", p=0.3).tolist() == [v < 0.3 * 2**32 for v in words]
    for dtype, draws, size in (("float32", words, 32), ("float64", pairs, 64)):
        expected = []
        for a, b in zip(draws[::2], draws[1::2]):
            radius, angle = math.sqrt(-2 * math.log(a / 2**size)), 2 * math.pi * ((b - 2 ** (size - 3)) / 2**size)
            expected += [radius * math.cos(angle), radius * math.sin(angle)]
        np.testing.assert_allclose(run("normal", dtype), expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype, limit", [("float32", 2.0), ("float64", 2.0)])
def test_box_muller_accuracy(dtype: str, limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against extended precision, also at the ends of the draw's range: the error in units in the last place of the radius."""
    size = 32 if dtype == "float32" else 64
    top = (1 << size) - 1
    edges = [0, 1, 2, 3, 1 << size // 2, top, top - 1, 1 << size - 1, (1 << size - 1) - 1, math.isqrt(2 << 2 * size - 2)]
    random = reference(np, kind="bits", shape=(20_000,), dtype=f"uint{size}", seed=1).tolist()
    a = np.array(edges + random, np.uint64)
    b = np.array(random[::-1] + edges, np.uint64)
    words = np.stack([a, b], axis=1)
    if size == 64:
        words = np.stack([words & np.uint64(module.LOW), words >> np.uint64(32)], axis=2).reshape(-1, 4)
    else:
        words = words.reshape(-1, 4)
    monkeypatch.setattr(module, "philox", lambda *args: words)
    z = reference(np, kind="normal", dtype=dtype, shape=(2 * a.size,), seed=0).reshape(-1, 2)
    real = np.longdouble
    radius = np.sqrt(-2 * np.log(np.maximum(a, 1).astype(real) * real(2.0) ** -size))
    angle = (b.astype(real) - real(2.0) ** (size - 3)) * (2 * real("3.14159265358979323846264338327950288") * real(2.0) ** -size)
    error = np.abs(z - np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)) / radius[:, None] / np.finfo(dtype).eps
    print(f"{dtype}: {float(error.max()):.2f} ulp")
    assert np.isfinite(z).all() and float(error.max()) < limit, f"{float(error.max()):.2f} ulp"
    assert np.abs(z).max() < (6.67 if size == 32 else 9.42)


# ---- distributions: seeds are fixed, so nothing here can fail by chance; each limit has a probability of about 1e-6 ---------

N = 1 << 20


def uniform_distance(x: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance from the uniform distribution on [0, 1], times sqrt(n); 2.7 has a probability of 1e-6."""
    x = np.sort(x.astype(np.float64).ravel())
    i = np.arange(x.size)
    return float(max(np.max((i + 1) / x.size - x), np.max(x - i / x.size)) * math.sqrt(x.size))


def excess(counts: np.ndarray, expected: Any) -> float:
    """Pearson's chi-square in standard deviations from its mean."""
    k = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - k) / math.sqrt(2 * k))


def normal_cdf(z: np.ndarray) -> np.ndarray:
    grid = np.linspace(-7, 7, 200_001)
    return np.interp(z, grid, np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in grid]))


@pytest.mark.parametrize("seed, stream", [(0, 0), (1, 0), (0, 1), (SEED, STREAM)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniforms_and_normals_are_distributed_so(seed: int, stream: int, dtype: str) -> None:
    u = philox.on_host(kind="uniform", dtype=dtype, shape=(N,), seed=seed, stream=stream).astype(np.float64)
    z = philox.on_host(kind="normal", dtype=dtype, shape=(N,), seed=seed, stream=stream).astype(np.float64)
    print(f"seed {seed}, stream {stream}: KS {uniform_distance(u):.2f} {uniform_distance(normal_cdf(z)):.2f}")
    assert u.min() >= 0 and u.max() < 1
    assert uniform_distance(u) < 2.7 and uniform_distance(normal_cdf(z)) < 2.7
    for moment, mean, variance in ((z, 0, 1), (z**2, 1, 2), (z**3, 0, 15), (z**4, 3, 96), (u, 1 / 2, 1 / 12),
                                   (u**2, 1 / 3, 4 / 45)):
        assert abs(moment.mean() - mean) < 5 * math.sqrt(variance / N)
    for lag in range(1, 9):   # neighbours in a block and in the next, also of the squares, as Box-Muller's pairs share a radius
        assert abs(np.mean(z[lag:] * z[:-lag])) < 5 / math.sqrt(N)
        assert abs(np.mean((z[lag:] ** 2 - 1) * (z[:-lag] ** 2 - 1))) < 5 * 2 / math.sqrt(N)


def test_tail_of_the_normals() -> None:
    z = np.abs(philox.on_host(kind="normal", dtype="float32", shape=(1 << 23,), seed=7))
    for limit in (3.0, 4.0, 5.0):
        expected = z.size * math.erfc(limit / math.sqrt(2))
        assert abs((z > limit).sum() - expected) < 5 * math.sqrt(expected)


def test_every_bit_is_fair_and_independent_of_its_neighbours() -> None:
    w = philox.on_host(kind="bits", dtype="uint32", shape=(N,), seed=11)
    bits = (w[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    assert np.all(np.abs(bits.mean(axis=0) - 0.5) < 5 * 0.5 / math.sqrt(N))
    signs = bits.astype(np.float32) * 2 - 1
    assert np.abs(signs.T @ signs / N - np.eye(32)).max() < 5.5 / math.sqrt(N)
    assert abs(excess(np.bincount(w >> 16, minlength=1 << 16), N / (1 << 16))) < 5
    assert abs(excess(np.bincount(w & 0xFFFF, minlength=1 << 16), N / (1 << 16))) < 5


@pytest.mark.parametrize("high", [2, 3, 10, 1000])
def test_integers_are_uniform(high: int) -> None:
    x = philox.on_host(kind="integers", dtype="int64", shape=(N,), seed=13, low=0, high=high)
    assert abs(excess(np.bincount(x, minlength=high), N / high)) < 5
    assert x.min() == 0 and x.max() == high - 1


def test_wide_integers_are_uniform() -> None:
    """With 64 bits and a span of 3 x 2^62 a third of the values would come twice as often as the rest."""
    x = philox.on_host(kind="integers", dtype="uint64", shape=(N,), seed=17, low=0, high=3 << 62)
    assert uniform_distance(x / (3 * 2.0**62)) < 2.7
    assert abs(excess(np.bincount((x % np.uint64(3)).astype(np.int64), minlength=3), N / 3)) < 5


@pytest.mark.parametrize("p", [1e-4, 0.1, 0.5, 0.9])
def test_bernoulli_rate(p: float) -> None:
    mask = philox.on_host(kind="bernoulli", dtype="bool", shape=(N,), seed=19, p=p)
    assert abs(mask.mean() - p) < 5 * math.sqrt(p * (1 - p) / N)


def test_streams_and_seeds_are_independent() -> None:
    places = [(0, 0), (0, 1), (0, 1 << 32), (1, 0), (1 << 32, 0), (1 << 63, 1 << 63)]
    z = np.stack([philox.on_host(kind="normal", dtype="float32", shape=(N,), seed=s, stream=t) for s, t in places])
    correlation = z @ z.T / N
    assert np.abs(correlation - np.eye(len(places))).max() < 6 / math.sqrt(N)
    words = np.concatenate([philox.on_host(kind="bits", dtype="uint64", shape=(1 << 18,), seed=s, stream=t) for s, t in places])
    assert np.unique(words).size == words.size   # 1.5 million of 2^64: the chance of a collision is 1e-7


# ---- the kernel as a kernel -------------------------------------------------------------------------------------------------

def test_kernel_contract() -> None:
    assert "philox" in kernels.names() and kernels.load("philox") is philox.kernel
    assert philox.kernel.cost(kind="normal", shape=(10, 10), dtype="float32", seed=0) == (400, 2200)
    with pytest.raises(ValueError, match="kind is 'nonsense', expected bits"):
        reference(np, kind="nonsense", shape=(1,), dtype="float32", seed=0)


@pytest.mark.parametrize("draw, used", [({"kind": "bits", "dtype": "uint32"}, 3), ({"kind": "bits", "dtype": "uint64"}, 5),
                                        ({"kind": "normal", "dtype": "float64"}, 5),
                                        ({"kind": "integers", "dtype": "int64", "low": 0, "high": 9}, 5),
                                        ({"kind": "integers", "dtype": "int64", "low": 0, "high": 1 << 33}, 9)])
def test_blocks_counts_what_a_draw_uses(draw: dict[str, Any], used: int) -> None:
    assert philox.blocks(shape=(3, 3), **draw) == used


def test_small_draws_do_not_import_numba() -> None:
    code = ("import sys, numpy as np; from tensorlite.kernels import philox\n"
            "for _ in range(20): philox.on_host(kind='normal', shape=(1000,), dtype='float32', seed=0)\n"
            "print('numba' in sys.modules)\n"
            "philox.on_host(kind='normal', shape=(1 << 22,), dtype='float32', seed=0); print('numba' in sys.modules)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["False", str(philox.kernel.cpu is not None)]
