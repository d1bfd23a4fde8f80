"""Philox over an array namespace with the array API standard's names; the layout is documented in the package."""
from __future__ import annotations

from math import ceil, factorial, isqrt, log, pi, prod
from typing import Any

__all__ = ["COS", "LOG", "LOW", "MULTIPLIER", "SIN", "WEYL", "blocks", "elements_per_block", "reference"]

MULTIPLIER = (0xD2511F53, 0xCD9E8D57)   # the paper's table 2
WEYL = (0x9E3779B9, 0xBB67AE85)         # golden ratio and sqrt(3) - 1: the key's step from round to round
LOW = 0xFFFFFFFF

# Series to the first term below half a unit in the last place on the reduced range, highest power first.
# ln(1+f) = 2s (1 + z/3 + z^2/5 + ...), |s| <= 0.172; sine and cosine on [-pi/4, pi/4], in powers of the square.
LOG = {"float32": tuple(1 / (2 * i + 1) for i in range(4, -1, -1)), "float64": tuple(1 / (2 * i + 1) for i in range(9, -1, -1))}
SIN = {"float32": tuple((-1) ** i / factorial(2 * i + 1) for i in range(4, -1, -1)),
       "float64": tuple((-1) ** i / factorial(2 * i + 1) for i in range(7, -1, -1))}
COS = {"float32": tuple((-1) ** i / factorial(2 * i) for i in range(4, -1, -1)),
       "float64": tuple((-1) ** i / factorial(2 * i) for i in range(8, -1, -1))}


def elements_per_block(kind: str, dtype: str, low: int = 0, high: int = 1) -> int:
    """How many elements one block of four words gives."""
    if kind == "integers":
        return 2 if high - low <= 1 << 32 else 1
    return {"bool": 4, "uint32": 4, "float32": 4, "uint64": 2, "float64": 2}[dtype]


def blocks(*, kind: str, shape: tuple[int, ...], dtype: str, low: Any = 0, high: Any = 1, **options: Any) -> int:
    """How many blocks a draw uses: what an offset must advance by so that the next draw does not overlap it."""
    return -(-prod(shape) // elements_per_block(kind, dtype, low, high))


def reference(xp: Any, *, kind: str, shape: tuple[int, ...], dtype: str, seed: int, stream: int = 0, offset: int = 0,
              low: Any = 0, high: Any = 1, bits: int = 24, mean: float = 0.0, std: float = 1.0, p: float = 0.5,
              device: Any = None) -> Any:
    """One draw; ``kind``, ``dtype`` and what the rest means: see the table in the package.

    >>> import numpy as np
    >>> [hex(w) for w in reference(np, kind="bits", shape=(2,), dtype="uint32", seed=0)]
    ['0x6627e8d5', '0xe169c58d']
    """
    count = blocks(kind=kind, shape=shape, dtype=dtype, low=low, high=high)
    words = philox(xp, count, seed, stream, offset, device)
    if kind == "bits":
        out = xp.astype(words if dtype == "uint32" else _pairs(words), getattr(xp, dtype))
    elif kind == "uniform":
        out = _uniform(xp, words, dtype, low, high, bits)
    elif kind == "normal":
        out = _normal(xp, words, dtype, mean, std)
    elif kind == "integers":
        out = xp.astype(_integers(xp, words, low, high), getattr(xp, dtype))
    elif kind == "bernoulli":
        out = words < ceil(p * 2**32)
    else:
        raise ValueError(f"philox: kind is {kind!r}, expected bits, uniform, normal, integers or bernoulli")
    return xp.reshape(xp.reshape(out, (-1,))[:prod(shape)], shape)


def philox(xp: Any, count: int, seed: int, stream: int, offset: int, device: Any = None) -> Any:
    """``count`` blocks from block ``offset`` on: an array (count, 4) of uint64 that hold 32-bit words."""
    where = {} if device is None else {"device": device}
    block = xp.arange(count, dtype=xp.uint64, **where) + offset
    keys = [[(seed + i * WEYL[0]) & LOW, ((seed >> 32) + i * WEYL[1]) & LOW] for i in range(10)]
    table = xp.reshape(xp.asarray([list(MULTIPLIER), *keys], dtype=xp.uint64, **where), (11, 2, 1))
    even = xp.stack([block & LOW, xp.full_like(block, stream & LOW)])   # words 0 and 2
    odd = xp.stack([block >> 32, xp.full_like(block, stream >> 32)])    # words 1 and 3
    for i in range(1, 11):
        product = xp.flip(even * table[0, ...], axis=0)
        even, odd = (product >> 32) ^ odd ^ table[i, ...], product & LOW
    return xp.stack([even[0, :], odd[0, :], even[1, :], odd[1, :]], axis=1)


def _pairs(words: Any) -> Any:
    return words[:, 0::2] | (words[:, 1::2] << 32)


def _uniform(xp: Any, words: Any, dtype: str, low: float, high: float, bits: int) -> Any:
    draws = words >> (32 - bits) if dtype == "float32" else _pairs(words) >> 11
    u = xp.astype(draws, getattr(xp, dtype)) * 2.0 ** -(bits if dtype == "float32" else 53)
    out = u * float(high - low) + float(low)
    return xp.where(out < float(high), out, xp.full_like(out, low))


def _horner(coefficients: tuple[float, ...], z: Any) -> Any:
    out = z * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        out = out * z + c
    return out


def _normal(xp: Any, words: Any, dtype: str, mean: float, std: float) -> Any:
    size, draws = (32, words) if dtype == "float32" else (64, _pairs(words))
    real = getattr(xp, dtype)
    r = _radius(xp, draws[:, 0::2], size, dtype) * std
    b = draws[:, 1::2]
    quadrant = b >> (size - 2)
    t = xp.astype(xp.astype(b & ((1 << size - 2) - 1), xp.int64) - (1 << size - 3), real) * (pi * 2.0 ** (1 - size))
    z = t * t
    sin, cos = t * _horner(SIN[dtype], z), _horner(COS[dtype], z)
    odd = (quadrant & 1) == 1
    cos, sin = xp.where(odd, -sin, cos), xp.where(odd, cos, sin)
    r = xp.where(quadrant < 2, r, -r)
    return xp.stack([r * cos, r * sin], axis=2) + mean


def _radius(xp: Any, a: Any, size: int, dtype: str) -> Any:
    """``sqrt(-2 ln(a / 2^size))``."""
    real = getattr(xp, dtype)
    a = xp.where(a == 0, xp.ones_like(a), a)
    zeros = xp.zeros_like(a)
    for shift in (32, 16, 8, 4, 2, 1)[size == 32:]:
        small = xp.astype(a < (1 << size - shift), xp.uint64) * shift
        a, zeros = a << small, zeros + small
    lower = a < isqrt(2 << 2 * size - 2)
    d = xp.astype(a & ((1 << size - 1) - 1), xp.int64)
    d = xp.where(lower, d, d - ((1 << size - 1) - 1) - 1)   # in two steps, because 2^63 is no int64
    f = xp.astype(d, real) * ((xp.astype(lower, real) + 1.0) * 2.0**-size)
    s = f / (f + 2.0)
    k = xp.astype(zeros + xp.astype(lower, xp.uint64), real)
    return xp.sqrt(k * (2 * log(2)) - (s * _horner(LOG[dtype], s * s)) * 4.0)


def _integers(xp: Any, words: Any, low: int, high: int) -> Any:
    span, base = high - low, low % 2**64
    if span <= 1 << 32:
        return ((words[:, 1::2] * span + (words[:, 0::2] * span >> 32)) >> 32) + base
    pairs = _pairs(words)
    if span == 1 << 64:
        return pairs[:, 1] + base
    (carry, _), (upper, part) = _multiply(pairs[:, 0], span), _multiply(pairs[:, 1], span)
    return upper + xp.astype(part + carry < part, xp.uint64) + base


def _multiply(a: Any, b: int) -> tuple[Any, Any]:
    """The upper and lower 64 bits of a 64 by 64 bit product."""
    a1, a0, b1, b0 = a >> 32, a & LOW, b >> 32, b & LOW
    first = a0 * b0
    second = a1 * b0 + (first >> 32)
    third = a0 * b1 + (second & LOW)
    return a1 * b1 + (second >> 32) + (third >> 32), (third << 32) | (first & LOW)
