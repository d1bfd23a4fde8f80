"""The error function in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .. import _erf
from .._half import is_half

__all__ = ["erf"]


def erf(xp: Any, x: Any, *, complement: bool = False) -> Any:
    """``erf(x) = 2 / sqrt(pi)`` times the integral of exp(-t^2) from 0 to x; with ``complement`` ``1 - erf(x)``, which keeps its
    digits where x is large. x of any shape; float16 and bfloat16 are computed in float32.

    Compiled versions may return 0 where the complement is below the smallest normal number.
    """
    z = xp.astype(x, xp.float32) if is_half(x) else x
    out = (_erf.erfc if complement else _erf.erf)(xp, z)
    return xp.astype(out, x.dtype) if is_half(x) else out
