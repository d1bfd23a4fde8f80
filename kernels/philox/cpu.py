"""Philox for the CPU: one Numba loop over blocks for each kind of draw.

The loops count blocks in unsigned integers: with signed ones LLVM keeps the wrap-around of negative indices and does not
vectorise (2.1 against 0.28 nanoseconds a word). No fast-math anywhere: the results are the reference's, bit for bit.
"""
from __future__ import annotations

from math import ceil, isqrt, log, pi
from typing import Any

import numpy as np
from numba import njit

from tensorlite.kernels.philox.reference import COS, LOG, MULTIPLIER, SIN, WEYL, elements_per_block

__all__ = ["block", "philox"]

u64, i64, f32, f64 = np.uint64, np.int64, np.float32, np.float64
M0, M1, W0, W1 = u64(MULTIPLIER[0]), u64(MULTIPLIER[1]), u64(WEYL[0]), u64(WEYL[1])
LOW, ONE, TWO, THREE, FOUR = u64(0xFFFFFFFF), u64(1), u64(2), u64(3), u64(4)
B11, B32 = u64(11), u64(32)
jit = njit(nogil=True, cache=True, error_model="numpy")
inline = njit(nogil=True, error_model="numpy", forceinline=True)


@inline
def block(i: Any, stream: Any, seed: Any) -> Any:
    """The four words of block i, each in a uint64."""
    c0, c1, c2, c3 = i & LOW, i >> B32, stream & LOW, stream >> B32
    k0, k1 = seed & LOW, seed >> B32
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> B32) ^ c1 ^ k0, p1 & LOW, (p0 >> B32) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@jit
def _bits32(out: Any, first: Any, stream: Any, seed: Any) -> None:
    for i in range(u64(out.size // 4)):
        j = FOUR * i
        out[j], out[j + ONE], out[j + TWO], out[j + THREE] = block(first + i, stream, seed)


@jit
def _bits64(out: Any, first: Any, stream: Any, seed: Any) -> None:
    for i in range(u64(out.size // 2)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        out[TWO * i], out[TWO * i + ONE] = w0 | w1 << B32, w2 | w3 << B32


@jit
def _uniform32(out: Any, first: Any, stream: Any, seed: Any, shift: Any, scale: Any, low: Any, high: Any, span: Any) -> None:
    for i in range(u64(out.size // 4)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        j = FOUR * i
        x0, x1 = f32(i64(w0 >> shift)) * scale * span + low, f32(i64(w1 >> shift)) * scale * span + low
        x2, x3 = f32(i64(w2 >> shift)) * scale * span + low, f32(i64(w3 >> shift)) * scale * span + low
        out[j], out[j + ONE] = x0 if x0 < high else low, x1 if x1 < high else low
        out[j + TWO], out[j + THREE] = x2 if x2 < high else low, x3 if x3 < high else low


@jit
def _uniform64(out: Any, first: Any, stream: Any, seed: Any, low: Any, high: Any, span: Any) -> None:
    scale = f64(2.0**-53)
    for i in range(u64(out.size // 2)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        x0 = f64(i64((w0 | w1 << B32) >> B11)) * scale * span + low
        x1 = f64(i64((w2 | w3 << B32) >> B11)) * scale * span + low
        out[TWO * i], out[TWO * i + ONE] = x0 if x0 < high else low, x1 if x1 < high else low


@jit
def _integers(out: Any, first: Any, stream: Any, seed: Any, low: Any, span: Any) -> None:
    for i in range(u64(out.size // 2)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        out[TWO * i] = ((w1 * span + (w0 * span >> B32)) >> B32) + low
        out[TWO * i + ONE] = ((w3 * span + (w2 * span >> B32)) >> B32) + low


@inline
def _multiply(a: Any, b: Any) -> Any:
    """The upper and lower 64 bits of a 64 by 64 bit product."""
    a1, a0, b1, b0 = a >> B32, a & LOW, b >> B32, b & LOW
    first = a0 * b0
    second = a1 * b0 + (first >> B32)
    third = a0 * b1 + (second & LOW)
    return a1 * b1 + (second >> B32) + (third >> B32), third << B32 | first & LOW


@jit
def _wide_integers(out: Any, first: Any, stream: Any, seed: Any, low: Any, span: Any) -> None:
    for i in range(u64(out.size)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        carry, _ = _multiply(w0 | w1 << B32, span)
        upper, part = _multiply(w2 | w3 << B32, span)
        out[i] = upper + u64(part + carry < part) + low if span else (w2 | w3 << B32) + low


@jit
def _bernoulli(out: Any, first: Any, stream: Any, seed: Any, threshold: Any) -> None:
    for i in range(u64(out.size // 4)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        j = FOUR * i
        out[j], out[j + ONE], out[j + TWO], out[j + THREE] = w0 < threshold, w1 < threshold, w2 < threshold, w3 < threshold


def _box_muller(size: int, real: Any, name: str) -> Any:
    """The function (a, b, mean, std) -> two normals for draws of ``size`` bits; the steps are numbered in the package's text."""
    shifts = tuple(u64(s) for s in (32, 16, 8, 4, 2, 1) if s < size)
    logs, sines, cosines = (tuple(real(c) for c in table[name]) for table in (LOG, SIN, COS))
    bits, quadrant, root = u64(size), u64(size - 2), u64(isqrt(2 << 2 * size - 2))
    half, quarter, eighth = u64((1 << size - 1) - 1), u64((1 << size - 2) - 1), i64(1 << size - 3)
    unit, angle, two_ln2 = real(2.0**-size), real(pi * 2.0 ** (1 - size)), real(2 * log(2))
    one, two, four, half_signed = real(1), real(2), real(4), i64(half)

    @inline
    def horner(coefficients: Any, z: Any) -> Any:
        out = coefficients[0]
        for c in coefficients[1:]:
            out = out * z + c
        return out

    @inline
    def radius(a: Any) -> Any:
        a, zeros = max(a, ONE), u64(0)
        for s in shifts:
            small = u64(a < ONE << bits - s) * s
            a, zeros = a << small, zeros + small
        lower = a < root
        d = i64(a & half)
        f = real(d if lower else d - half_signed - i64(1)) * ((two if lower else one) * unit)
        s = f / (f + two)
        k = real(i64(zeros + u64(lower)))
        return np.sqrt(k * two_ln2 - s * horner(logs, s * s) * four)

    @inline
    def pair(a: Any, b: Any, mean: Any, std: Any) -> Any:
        r, q = radius(a) * std, b >> quadrant
        t = real(i64(b & quarter) - eighth) * angle
        sin, cos = t * horner(sines, t * t), horner(cosines, t * t)
        r = r if q < TWO else -r
        c, s = (-sin, cos) if q & ONE else (cos, sin)
        return r * c + mean, r * s + mean

    return pair


_pair32, _pair64 = _box_muller(32, f32, "float32"), _box_muller(64, f64, "float64")


@jit
def _normal32(out: Any, first: Any, stream: Any, seed: Any, mean: Any, std: Any) -> None:
    for i in range(u64(out.size // 4)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        j = FOUR * i
        out[j], out[j + ONE] = _pair32(w0, w1, mean, std)
        out[j + TWO], out[j + THREE] = _pair32(w2, w3, mean, std)


@jit
def _normal64(out: Any, first: Any, stream: Any, seed: Any, mean: Any, std: Any) -> None:
    for i in range(u64(out.size // 2)):
        w0, w1, w2, w3 = block(first + i, stream, seed)
        out[TWO * i], out[TWO * i + ONE] = _pair64(w0 | w1 << B32, w2 | w3 << B32, mean, std)


def _plan(kind: str, dtype: str, low: Any, high: Any, bits: int, mean: float, std: float,
          p: float) -> tuple[Any, tuple[Any, ...]]:
    """The loop that makes this draw, and its last arguments."""
    if kind == "bits":
        return _bits32 if dtype == "uint32" else _bits64, ()
    if kind == "bernoulli":
        return _bernoulli, (u64(ceil(p * 2**32)),)
    if kind == "integers":
        return _integers if high - low <= 1 << 32 else _wide_integers, (u64(low % 2**64), u64((high - low) % 2**64))
    if kind == "normal":
        return (_normal32, (f32(mean), f32(std))) if dtype == "float32" else (_normal64, (f64(mean), f64(std)))
    if dtype == "float64":
        return _uniform64, (f64(low), f64(high), f64(high - low))
    return _uniform32, (u64(32 - bits), f32(2.0**-bits), f32(low), f32(high), f32(high - low))


def philox(*, kind: str, shape: tuple[int, ...], dtype: str, seed: int, stream: int = 0, offset: int = 0, low: Any = 0,
           high: Any = 1, bits: int = 24, mean: float = 0.0, std: float = 1.0, p: float = 0.5, device: Any = None) -> Any:
    """One draw, as in :func:`tensorlite.kernels.philox.reference.reference`."""
    fill, last = _plan(kind, dtype, low, high, bits, mean, std, p)
    out = np.empty(shape, dtype)
    flat = out.reshape(-1).view(u64) if kind == "integers" else out.reshape(-1)
    per = elements_per_block(kind, dtype, low, high)
    whole, rest = divmod(flat.size, per)
    if whole:
        fill(flat[:whole * per], u64(offset), u64(stream), u64(seed), *last)
    if rest:
        end = np.empty(per, flat.dtype)
        fill(end, u64(offset + whole), u64(stream), u64(seed), *last)
        flat[whole * per:] = end[:rest]
    return out
