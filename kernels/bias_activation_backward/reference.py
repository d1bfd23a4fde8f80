"""The gradient of a bias and an activation function in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

import math
from typing import Any

from .._erf import erfc
from .._half import is_half
from ..bias_activation.reference import CUBIC, RATE, check, gelu_tanh_exponent, logistic

__all__ = ["FROM_OUTPUT", "bias_activation_backward", "check_backward"]

FROM_OUTPUT = ("none", "relu", "sigmoid", "tanh")   # their slope follows from the result


def check_backward(g: Any, saved: Any, b: Any, activation: str, needs_db: bool) -> None:
    name = "bias_activation_backward"
    check(name, g, b, activation)
    if activation != "none" and tuple(g.shape) != tuple(saved.shape):
        raise ValueError(f"{name}: saved has shape {tuple(saved.shape)}, expected that of g, {tuple(g.shape)}")
    if needs_db and g.ndim == 0:
        raise ValueError(f"{name}: g has no axes, expected one for the bias at the least; or needs_db=False")


def _slope(xp: Any, z: Any, activation: str) -> Any:
    if activation == "sigmoid":
        return z * (1.0 - z)
    if activation == "tanh":
        return 1.0 - z * z
    if activation == "silu":
        s = logistic(xp, z)
        return s * (1.0 + z * (1.0 - s))
    if activation == "gelu":
        return 0.5 * erfc(xp, z * -math.sqrt(0.5)) + z * xp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
    s = logistic(xp, gelu_tanh_exponent(z))
    return s * (1.0 + z * (1.0 - s) * (RATE + 3 * CUBIC * (z * z)))


def bias_activation_backward(xp: Any, g: Any, saved: Any, b: Any = None, *, activation: str = "none",
                             needs_db: bool = True) -> tuple[Any, Any]:
    """``(dx, db)`` of ``activation(x + b)``: ``dx = g * slope``, ``db`` its sum over all axes but the last, or None.

    ``saved``: the result for relu, sigmoid and tanh, the argument x for silu, gelu and gelu_tanh, anything for none. ``b`` is
    added to the argument again, and not looked at where the result was saved. g, saved and b have one floating dtype; float16 and
    bfloat16 are computed, and summed, in float32. relu's gradient is 0 where the result is, whatever g is there.

    Raises ``ValueError`` if the shapes do not fit.
    """
    check_backward(g, saved, b, activation, needs_db)
    half, dtype = is_half(g), g.dtype
    wide = lambda a: xp.astype(a, xp.float32) if half else a
    if activation == "none":
        dx = wide(g)
    elif activation == "relu":
        dx = xp.where(saved > 0, wide(g), xp.zeros_like(wide(g)))
    else:
        z = wide(saved) if b is None or activation in FROM_OUTPUT else wide(saved) + wide(b)
        dx = wide(g) * _slope(xp, z, activation)
    db = None
    if needs_db:
        db = xp.sum(dx, axis=tuple(range(g.ndim - 1)), dtype=dx.dtype) if g.ndim > 1 else dx
        db = xp.astype(db, dtype)
    return (g if activation == "none" else xp.astype(dx, dtype)), db
