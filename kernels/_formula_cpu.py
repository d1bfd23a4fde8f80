"""What formulas call in code that Numba compiles."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ._activations import _tanh, erf, erfc, like
from ._formula import VECTORS
from ._math import exp_nonpositive, exp_parts, inline, log_above_one

__all__ = ["compiled"]


@inline
def _exp(x: Any) -> Any:
    """e^x; above 0 the square of the reciprocal of e^(-x/2), so that only the exponential of what is not positive is taken."""
    zero = like(x, 0.0)
    e = exp_nonpositive(x if x <= zero else like(x, -0.5) * x)
    r = like(x, 1.0) / e
    return e if x <= zero else r * r


@inline
def _expm1(x: Any) -> Any:
    """e^x - 1: with E = e^-|x| it is (1 - E) / E above 0, where 1 - E comes without a cancellation."""
    far = like(x, 80.0)   # e^far + 1 is e^far in float64 too
    y = abs(x)
    p, power = exp_parts(-(far if y > far else y), like(x, -0.0))
    less = p * power + (power - like(x, 1.0))
    near = less if x <= like(x, 0.0) else -less / ((p + like(x, 1.0)) * power)
    return near if y <= far else _exp(x) - like(x, 1.0)


@inline
def _log(x: Any) -> Any:
    """The logarithm of any number: 0 gives -inf, what is negative NaN."""
    zero, small = like(x, 0.0), x < like(x, 1e-37)   # below the normal numbers the algorithm does not work
    y = log_above_one(x * like(x, 2.0**54) if small else x)   # nor does it mind what is below one
    y = y - like(x, 54 * math.log(2)) if small else y
    y = y if x < like(x, math.inf) else x
    return y if x > zero else (like(x, -math.inf) if x == zero else like(x, math.nan))


@inline
def _log1p(x: Any) -> Any:
    """log(1 + x), with what the sum's rounding lost."""
    u = like(x, 1.0) + x
    lost = (x - (u - like(x, 1.0))) / u
    y = _log(u)
    return y + lost if abs(lost) < like(x, 1.0) else y   # 0, inf and NaN have none


@inline
def _log2(x: Any) -> Any:
    return _log(x) * like(x, 1 / math.log(2))


@inline
def _log10(x: Any) -> Any:
    return _log(x) * like(x, 1 / math.log(10))


@inline
def _largest(a: Any, b: Any) -> Any:
    return a if a > b or a != a else b


@inline
def _smallest(a: Any, b: Any) -> Any:
    return a if a < b or a != a else b


_FUNCTIONS = {
    "abs": abs, "ceil": np.ceil, "erf": erf, "erfc": erfc, "exp": _exp, "expm1": _expm1, "floor": np.floor, "log": _log,
    "log10": _log10, "log1p": _log1p, "log2": _log2, "max": _largest, "min": _smallest, "sqrt": math.sqrt, "tanh": _tanh,
}
assert _FUNCTIONS.keys() == VECTORS


def compiled(code: str, name: str, number: type) -> Callable[..., None]:
    """The function ``name`` of that source, compiled when first called; ``A`` in it is ``number``."""
    names: dict[str, Any] = {"A": number, "inf": math.inf, **{f"f_{f}": run for f, run in _FUNCTIONS.items()}}
    exec(code, names)
    found: Callable[..., None] = njit(nogil=True, error_model="numpy")(names[name])
    return found
