"""The logistic function in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any

from .._half import is_half

__all__ = ["sigmoid"]


def sigmoid(xp: Any, x: Any) -> Any:
    r"""``1 / (1 + exp(-x))`` element by element, for an array of any shape; float16 is computed in float32.

    Only the exponential of a number that is not positive is taken, so that neither tail overflows or loses digits.
    Compiled versions return 0 where the result is below the smallest normal number.
    """
    z = xp.astype(x, xp.float32) if is_half(x) else x
    e = xp.exp(-xp.abs(z))
    out = xp.where(z < 0, e, xp.ones_like(e)) / (1.0 + e)
    return xp.astype(out, x.dtype)
