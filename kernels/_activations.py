"""Activation functions and their slopes for compiled CPU code, a block of numbers at a time.

float32 is branch-free with one exponential an element, so that LLVM turns the loops into vector code; float64 takes the exact
GELU's erfc from the C library. All are accurate relative to the result, also in the tails: GELU of -5 is -1.43e-6, where
``0.5 x (1 + erf(x / sqrt(2)))`` in float32 has one digit left.
"""
from __future__ import annotations

import math
from typing import Any

from numba import float32, float64
from numba.extending import overload

from ._arrays import view
from ._math import exp_nonpositive, exp_parts, fma, inline, jit, where_positive

__all__ = ["BLOCK", "KINDS", "activate", "add_rows", "differentiate", "erf_block", "erfc_block", "unowned"]

BLOCK = 2048   # elements that stay in the first cache between one loop and the next
KINDS = {name: i for i, name in enumerate(("none", "relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh"))}
RELU, SIGMOID, TANH, SILU, GELU, GELU_TANH = range(1, 7)
ROOT_HALF, DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
RATE, CUBIC = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715   # gelu_tanh: x sigmoid(x (RATE + CUBIC x^2))


def like(x: Any, constant: Any) -> Any:
    """The constant in the type of x."""
    raise NotImplementedError("compiled code only")


@overload(like, jit_options={"fastmath": False, "forceinline": True})
def _like(x: Any, constant: Any) -> Any:
    T = x

    def call(x: Any, constant: Any) -> Any:
        return T(constant)

    return call


@inline
def _limited(x: Any, limit: Any) -> Any:
    """x brought into [-limit, limit]; NaN stays."""
    x = like(x, limit) if x > like(x, limit) else x
    return like(x, -limit) if x < like(x, -limit) else x


# ---- the error function ------------------------------------------------------------------------------------------------

@inline
def _gauss(y: Any, half: Any) -> Any:
    """exp(-half y^2) for 0 <= y <= 20 and half 1 or 1/2; with what rounding the square loses."""
    square = y * y
    lost = fma(y, y, -square)
    x = -half * square
    p, power = exp_parts(x, -half * lost)
    return float32(0) if x < float32(-87.33654) else (p + float32(1)) * power


@inline
def _scaled_erfc(z: Any) -> Any:
    """exp(z^2) erfc(z) for z >= 0: over 1 + 1.5 z a polynomial in (z - 3) / (z + 3), interpolation in 40 digits at Chebyshev
    nodes for z up to 10; relative error 2.8e-9."""
    q = (z - float32(3)) / (z + float32(3))
    p = fma(q, float32(-0.00019527260388), float32(-0.00059461212663))
    p = fma(p, q, float32(0.001345541262))
    p = fma(p, q, float32(0.0021146621644))
    p = fma(p, q, float32(-0.016774332703))
    p = fma(p, q, float32(0.045121516592))
    p = fma(p, q, float32(-0.07153822228))
    p = fma(p, q, float32(0.059705975473))
    p = fma(p, q, float32(0.025729249891))
    p = fma(p, q, float32(-0.18327424796))
    return fma(p, q, float32(0.9845063311)) / fma(z, float32(1.5), float32(1))


@inline
def _erf_near(x: Any) -> Any:
    """erf(x) for abs(x) <= 0.85: x times a polynomial in x^2, interpolation at Chebyshev nodes; relative error 6.5e-9."""
    s = x * x
    p = fma(s, float32(-0.000632550160917), float32(0.00505298519295))
    p = fma(p, s, float32(-0.0268037567404))
    p = fma(p, s, float32(0.112827490841))
    p = fma(p, s, float32(-0.376125747615))
    return x * fma(p, s, float32(1.12837916067))


@inline
def _erf32(x: Any) -> Any:
    y = abs(x)
    z = _limited(y, 10.0)
    near, tail = _erf_near(x), float32(1) - _gauss(z, float32(1)) * _scaled_erfc(z)
    tail = -tail if x < float32(0) else tail
    return near if y <= float32(0.85) else tail


@inline
def _erfc32(x: Any) -> Any:
    z = _limited(abs(x), 10.0)
    tail = _gauss(z, float32(1)) * _scaled_erfc(z)
    return float32(2) - tail if x < float32(0) else tail


def normal(x: Any) -> Any:
    """``(Phi(x), x phi(x))``, the normal distribution's function and x times its density."""
    raise NotImplementedError("compiled code only")


@inline
def _normal32(x: Any) -> Any:
    y = abs(x)
    y = float32(16) if y > float32(16) else y
    e = _gauss(y, float32(0.5))
    tail = float32(0.5) * e * _scaled_erfc(y * float32(ROOT_HALF))
    return tail if x < float32(0) else float32(1) - tail, _limited(x, 16.0) * e * float32(DENSITY)


@inline
def _normal64(x: Any) -> Any:
    y = _limited(x, 40.0)
    return 0.5 * math.erfc(y * -ROOT_HALF), y * exp_nonpositive(-0.5 * y * y) * DENSITY


def erf(x: Any) -> Any:
    """The error function."""
    raise NotImplementedError("compiled code only")


def erfc(x: Any) -> Any:
    """``1 - erf(x)``."""
    raise NotImplementedError("compiled code only")


@inline
def _erf64(x: Any) -> Any:
    return math.erf(x)


@inline
def _erfc64(x: Any) -> Any:
    return math.erfc(x)


def _by_type(name: Any, kernel32: Any, kernel64: Any) -> None:
    @overload(name, jit_options={"fastmath": False, "forceinline": True})
    def choose(x: Any) -> Any:
        kernel: Any = {float32: kernel32, float64: kernel64}.get(x)

        def call(x: Any) -> Any:
            return kernel(x)

        return None if kernel is None else call


_by_type(normal, _normal32, _normal64)
_by_type(erf, _erf32, _erf64)
_by_type(erfc, _erfc32, _erfc64)


# ---- sigmoid and tanh --------------------------------------------------------------------------------------------------

@inline
def _logistic(x: Any) -> Any:
    """``(sigmoid(x), sigmoid(-x))``."""
    e = exp_nonpositive(-abs(x))
    r = like(x, 1.0) / (like(x, 1.0) + e)
    return (e * r, r) if x < like(x, 0.0) else (r, e * r)


@inline
def _tanh(x: Any) -> Any:
    """``-m / (2 + m)`` with ``m = exp(-2 abs(x)) - 1``, which loses no digits near 0."""
    y = abs(_limited(x, 20.0))   # 1 in both types
    p, power = exp_parts(like(x, -2.0) * y, like(x, -0.0))
    m = p * power + (power - like(x, 1.0))
    t = m / (like(x, 2.0) + m)
    return t if x < like(x, 0.0) else -t


@inline
def _inner(x: Any) -> Any:
    """(x, its square, sigmoid(2u), sigmoid(-2u)) of gelu_tanh, x limited to where nothing changes any more."""
    x = _limited(x, 32.0)
    square = x * x
    s, c = _logistic(x * (like(x, RATE) + like(x, CUBIC) * square))
    return x, square, s, c


@inline
def _relu(x: Any) -> Any:
    return like(x, 0.0) if x <= like(x, 0.0) else x


@inline
def _silu(x: Any) -> Any:
    return x * _logistic(x)[0]


@inline
def _silu_slope(x: Any) -> Any:
    s, c = _logistic(x)
    return s * (like(x, 1.0) + _limited(x, 1000.0) * c)


@inline
def _gelu_slope(x: Any) -> Any:
    p, bump = normal(x)
    return p + bump


@inline
def _gelu_tanh(x: Any) -> Any:
    return x * _inner(x)[2]


@inline
def _gelu_tanh_slope(x: Any) -> Any:
    x, square, s, c = _inner(x)
    return s * (like(x, 1.0) + x * c * (like(x, RATE) + like(x, 3 * CUBIC) * square))


# ---- blocks of numbers: arrays of one length ---------------------------------------------------------------------------

@jit
def unowned(x: Any) -> Any:
    """The memory of a contiguous array, with no owner: slices count no references then. A count is an atomic write, which two
    threads fight over; it took longer than what is done with a block."""
    return view(x.ctypes.data, 0, x.size, x.dtype.type(0))


@jit
def erf_block(x: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = erf(x[i])


@jit
def erfc_block(x: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = erfc(x[i])


@jit
def activate(kind: Any, x: Any, b: Any, out: Any) -> None:
    """``out = activation(x + b)``."""
    if kind == RELU:
        for i in range(out.size):
            out[i] = _relu(x[i] + b[i])
    elif kind == SIGMOID:
        for i in range(out.size):
            out[i] = _logistic(x[i] + b[i])[0]
    elif kind == TANH:
        for i in range(out.size):
            out[i] = _tanh(x[i] + b[i])
    elif kind == SILU:
        for i in range(out.size):
            out[i] = _silu(x[i] + b[i])
    elif kind == GELU:
        for i in range(out.size):
            z = x[i] + b[i]
            out[i] = z * normal(z)[0]
    elif kind == GELU_TANH:
        for i in range(out.size):
            out[i] = _gelu_tanh(x[i] + b[i])
    else:
        for i in range(out.size):
            out[i] = x[i] + b[i]


@jit
def differentiate(kind: Any, g: Any, saved: Any, b: Any, dx: Any) -> None:
    """``dx = g slope``; the slope from the result for relu, sigmoid and tanh, else from ``saved + b``."""
    T = dx.dtype.type
    if kind == RELU:
        for i in range(dx.size):
            dx[i] = where_positive(saved[i], g[i])
    elif kind == SIGMOID:
        for i in range(dx.size):
            dx[i] = g[i] * saved[i] * (T(1) - saved[i])
    elif kind == TANH:
        for i in range(dx.size):
            dx[i] = g[i] * (T(1) - saved[i] * saved[i])
    elif kind == SILU:
        for i in range(dx.size):
            dx[i] = g[i] * _silu_slope(saved[i] + b[i])
    elif kind == GELU:
        for i in range(dx.size):
            dx[i] = g[i] * _gelu_slope(saved[i] + b[i])
    else:
        for i in range(dx.size):
            dx[i] = g[i] * _gelu_tanh_slope(saved[i] + b[i])


@jit
def add_rows(x: Any, period: Any, total: Any) -> None:
    """Add to ``total`` what begins at every ``period``-th element of x. Eight at a time: stores, which are done in order, would
    have to wait for those of what was written to x just before."""
    first, n = 0, total.size
    while first + 7 * period + n <= x.size:
        a, b, c, d = x[first:first + n], x[first + period:], x[first + 2 * period:], x[first + 3 * period:]
        e, f, g, h = x[first + 4 * period:], x[first + 5 * period:], x[first + 6 * period:], x[first + 7 * period:]
        for j in range(n):
            total[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))
        first += 8 * period
    while first < x.size:
        a = x[first:first + n]
        for j in range(a.size):
            total[j] += a[j]
        first += period
