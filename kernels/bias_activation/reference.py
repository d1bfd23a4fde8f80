"""A bias and an activation function in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

import math
from typing import Any

from .._erf import erfc
from .._half import is_half

__all__ = ["ACTIVATIONS", "FLOPS", "bias_activation", "check", "gelu_tanh_exponent", "logistic"]

# operations an element, an exponential, a division and an error function counted as one each
FLOPS = {"none": 0, "relu": 1, "sigmoid": 4, "tanh": 4, "silu": 5, "gelu": 4, "gelu_tanh": 8}
ACTIVATIONS = tuple(FLOPS)
RATE, CUBIC = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715


def check(name: str, x: Any, b: Any, activation: str) -> None:
    if activation not in FLOPS:
        raise ValueError(f"{name}: activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    if b is not None and (x.ndim == 0 or tuple(b.shape) != (x.shape[-1],)):
        raise ValueError(f"{name}: b has shape {tuple(b.shape)} and x has shape {tuple(x.shape)}; expected one number in b for "
                         "each place of x's last axis")


def logistic(xp: Any, x: Any) -> Any:
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, xp.ones_like(e)) / (1.0 + e)


def gelu_tanh_exponent(x: Any) -> Any:
    """2u, as ``(1 + tanh(u)) / 2 = sigmoid(2u)``; u is GELU's inner cubic."""
    return x * (RATE + CUBIC * (x * x))


def _activated(xp: Any, z: Any, activation: str) -> Any:
    if activation == "relu":
        return xp.clip(z, 0, None)
    if activation == "sigmoid":
        return logistic(xp, z)
    if activation == "tanh":
        return xp.tanh(z)
    if activation == "silu":
        return z * logistic(xp, z)
    if activation == "gelu":
        return z * (0.5 * erfc(xp, z * -math.sqrt(0.5)))
    if activation == "gelu_tanh":
        return z * logistic(xp, gelu_tanh_exponent(z))
    return z


def bias_activation(xp: Any, x: Any, b: Any = None, *, activation: str = "none") -> Any:
    r"""``activation(x + b)``; x of any shape, b one number for each place of x's last axis, or None; one floating dtype.

    ==============  ==========================================================================================
    ``none``        z
    ``relu``        max(z, 0)
    ``sigmoid``     1 / (1 + e^-z)
    ``tanh``        tanh(z)
    ``silu``        z sigmoid(z)
    ``gelu``        z Phi(z), Phi the normal distribution's function (Hendrycks and Gimpel, 2016)
    ``gelu_tanh``   z (1 + tanh(u)) / 2, u = sqrt(2 / pi) (z + 0.044715 z^3) (the same paper's approximation)
    ==============  ==========================================================================================

    float16 and bfloat16 are computed in float32 and rounded once. Raises ``ValueError`` for another activation, or a b that does
    not fit.
    """
    check("bias_activation", x, b, activation)
    half = is_half(x)
    z = xp.astype(x, xp.float32) if half else x
    if b is not None:
        z = z + (xp.astype(b, xp.float32) if half else b)
    elif activation == "none":
        z = xp.asarray(z, copy=True)
    out = _activated(xp, z, activation)
    return xp.astype(out, x.dtype) if half else out
