"""Normalisation in plain array code: what any array library runs that has nothing better."""
from __future__ import annotations

from typing import Any

from tensorlite.kernels._half import is_half

__all__ = ["moments", "normalize", "normalize_grad", "sum_to"]

Axes = tuple[int, ...]


def _wide(xp: Any, x: Any) -> Any:
    return xp.astype(x, xp.float32) if is_half(x) else x


def moments(xp: Any, x: Any, *, axes: Axes, center: bool) -> Any:
    x = _wide(xp, x)
    if not center:
        square = xp.mean(x * x, axis=axes, keepdims=True)
        return xp.zeros_like(square), square
    mean = xp.mean(x, axis=axes, keepdims=True)
    d = x - mean
    return mean, xp.mean(d * d, axis=axes, keepdims=True)


def sum_to(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """The sum over what broadcasting ``shape`` to x's shape has repeated."""
    extra = x.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return xp.reshape(xp.sum(x, axis=axes, dtype=x.dtype) if axes else x, shape)


def normalize(xp: Any, x: Any, w: Any, b: Any, mean: Any, var: Any, *, axes: Axes, eps: float, center: bool) -> Any:
    out = (_wide(xp, x) - mean) / xp.sqrt(var + eps)
    out = out if w is None else out * w
    out = out if b is None else out + b
    return xp.astype(out, x.dtype) if is_half(x) else out


def normalize_grad(xp: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, *, axes: Axes, eps: float, center: bool,
                   shape: Any) -> Any:
    g, x = _wide(xp, g), _wide(xp, x)
    rstd = 1 / xp.sqrt(var + eps)
    xhat = (x - mean) * rstd
    q = g if w is None else g * w
    gx = q - xhat * xp.mean(q * xhat, axis=axes, keepdims=True)
    gx = (gx - xp.mean(q, axis=axes, keepdims=True) if center else gx) * rstd
    return (gx,) if shape is None else (gx, sum_to(xp, g * xhat, shape), sum_to(xp, g, shape))
