"""The error function in array code, to full float64 accuracy.

W. J. Cody, Rational Chebyshev approximations for the error function, Mathematics of Computation 23 (1969) 631-637: one
rational function on each of |x| <= 0.46875, up to 4, and beyond.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

NEAR, FAR = 0.46875, 4.0
A = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
C = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)
D = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)
P = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4)
Q = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)


def ratio(x: Any, top: Sequence[float], bottom: Sequence[float]) -> Any:
    """One polynomial over another, highest coefficients first."""
    p, q = x * top[0] + top[1], x * bottom[0] + bottom[1]
    for a, b in zip(top[2:], bottom[2:]):
        p, q = p * x + a, q * x + b
    return p / q


def near(x: Any) -> Any:
    """erf(x) for abs(x) <= NEAR."""
    return x * ratio(x * x, A, B)


def gauss(xp: Any, y: Any) -> Any:
    """exp(-y^2) with the square split, so that its rounding is not magnified."""
    head = xp.trunc(y * 16.0) / 16.0
    return xp.exp(-head * head) * xp.exp(-(y - head) * (y + head))


def middle(xp: Any, y: Any) -> Any:
    """erfc(y) for NEAR <= y <= FAR."""
    return gauss(xp, y) * ratio(y, C, D)


def far(xp: Any, y: Any) -> Any:
    """erfc(y) for y >= FAR."""
    z = 1.0 / (y * y)
    return gauss(xp, y) * (1 / math.sqrt(math.pi) - z * ratio(z, P, Q)) / y


def _parts(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """abs(x), erf near 0 and erfc of abs(x) elsewhere, each computed where it holds."""
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError("it is computed for real numbers only")
    y = xp.abs(x)
    bounded = xp.clip(y, NEAR, FAR)
    beyond = xp.clip(y, FAR, 30.0)   # erfc(30) is 0 in float64
    tail = xp.where(y <= FAR, middle(xp, bounded), far(xp, beyond))
    return y, near(xp.clip(x, -NEAR, NEAR)), xp.where(xp.isnan(x), x, tail)


def erf(xp: Any, x: Any) -> Any:
    """The error function."""
    y, small, tail = _parts(xp, x)
    return xp.where(y <= NEAR, small, xp.where(x < 0, tail - 1.0, 1.0 - tail))


def erfc(xp: Any, x: Any) -> Any:
    """1 - erf(x)."""
    y, small, tail = _parts(xp, x)
    return xp.where(y <= NEAR, 1.0 - small, xp.where(x < 0, 2.0 - tail, tail))


def erfinv(xp: Any, x: Any) -> Any:
    """The inverse of erf: a first guess (S. Winitzki, 2008), then three steps of Halley's method on erf, in the tails on erfc."""
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError("it is computed for real numbers only")
    size = xp.abs(x)
    inside = xp.where(size < 1, x, xp.zeros_like(x))
    a = 0.147
    left = xp.log1p(-inside * inside)
    b = 2 / (math.pi * a) + left / 2
    z = xp.sqrt(xp.sqrt(b * b - left / a) - b)
    rest = 1.0 - xp.abs(inside)   # exact for abs(x) >= 0.5
    for _ in range(3):
        error = xp.where(size < 0.5, erf(xp, z) - xp.abs(inside), rest - erfc(xp, z))
        step = error * xp.exp(z * z) * (math.sqrt(math.pi) / 2)
        z = z - step / (1.0 + z * step)
    z = xp.where(size < 1, z, xp.where(size == 1, xp.full_like(x, xp.inf), xp.full_like(x, xp.nan)))
    return xp.where(x < 0, -z, z)
