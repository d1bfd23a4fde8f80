"""Convolution of any number of axes in plain array code (the oracle), and its geometry: which pixel meets which weight.

Along one axis an output o sees the inputs ``o stride - low + t dilation`` for t < k. Turned round, input i is seen by outputs
``(i + low - t dilation) / stride`` where that is whole, which depends on i modulo the stride only: its *phase*.
"""
from __future__ import annotations

from math import prod
from typing import Any

__all__ = ["Options", "conv", "conv_input_grad", "conv_weight_grad", "out_size"]

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Options = Any


def out_size(size: int, k: int, stride: int, pad: tuple[int, int], dilation: int) -> int:
    """How many outputs there are along an axis."""
    return (size + pad[0] + pad[1] - (k - 1) * dilation - 1) // stride + 1


def _wide(xp: Any, *arrays: Any) -> tuple[list[Any], Any]:
    """The arrays in the type to compute in (float32 for 16-bit ones), and the result's."""
    given = [a for a in arrays if a is not None]
    dtype = given[0].dtype
    for a in given[1:]:
        if a.dtype != dtype:
            dtype = xp.result_type(dtype, a.dtype)
    kind = getattr(xp, "float32", None) if "16" in str(dtype) else dtype
    return [a if a is None or a.dtype == kind else xp.astype(a, kind) for a in arrays], dtype


def _taps(window: Shape) -> list[Shape]:
    """Every position in the window, the last axis first."""
    found: list[Shape] = [()]
    for k in window:
        found = [(*t, i) for t in found for i in range(k)]
    return found


def _seen(tap: Shape, out: Shape, stride: Shape, dilation: Shape) -> tuple[Any, ...]:
    """Where in the padded input the outputs see that weight."""
    return (..., *[slice(t * d, t * d + (o - 1) * s + 1, s) for t, o, s, d in zip(tap, out, stride, dilation)])


def _padded(xp: Any, x: Any, padding: Pairs) -> Any:
    for axis, pair in enumerate(padding, 2):
        zeros = [xp.zeros((*x.shape[:axis], n, *x.shape[axis + 1:]), dtype=x.dtype) for n in pair]
        if any(pair):
            x = xp.concat([zeros[0], x, zeros[1]], axis=axis)
    return x


def conv(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Shape, padding: Pairs, dilation: Shape, groups: int = 1) -> Any:
    """``out[n, o, p] = b[o] + sum_{c, t} x[n, c, p stride - low + t dilation] w[o, c, t]``, what lies outside of x being 0.

    x (N, C, *size), w (O, C / groups, *window), b (O,) or None; the o-th of ``groups`` parts of O sees the o-th part of C.
    ``padding``: (low, high) for each axis. 16-bit types are summed in float32.
    """
    (x, w, b), dtype = _wide(xp, x, w, b)
    window, (n, c), o = tuple(w.shape[2:]), x.shape[:2], w.shape[0]
    out = tuple([out_size(*axis) for axis in zip(x.shape[2:], window, stride, padding, dilation)])
    x = _padded(xp, x, padding)
    total = xp.zeros((n, groups, o // groups, prod(out)), dtype=x.dtype)
    for tap in _taps(window):
        seen = xp.reshape(x[_seen(tap, out, stride, dilation)], (n, groups, c // groups, prod(out)))
        total = total + xp.matmul(xp.reshape(w[(..., *tap)], (groups, o // groups, c // groups)), seen)
    total = xp.reshape(total, (n, o, *out))
    total = total if b is None else total + xp.reshape(b, (-1, *[1] * len(out)))
    return total if total.dtype == dtype else xp.astype(total, dtype)


def conv_input_grad(xp: Any, g: Any, w: Any, *, size: Shape, stride: Shape, padding: Pairs, dilation: Shape,
                    groups: int = 1) -> Any:
    """The gradient of :func:`conv` by x, of spatial ``size``: each output's cotangent spread over the inputs that it saw.

    g (N, O, *out), w (O, C / groups, *window) give (N, C, *size).
    """
    (g, w), dtype = _wide(xp, g, w)
    window, out, n, o, c = tuple(w.shape[2:]), tuple(g.shape[2:]), g.shape[0], g.shape[1], w.shape[1]
    total = xp.zeros((n, groups * c, *[s + low + high for s, (low, high) in zip(size, padding)]), dtype=g.dtype)
    g = xp.reshape(g, (n, groups, o // groups, prod(out)))
    for tap in _taps(window):
        part = xp.matmul(xp.matrix_transpose(xp.reshape(w[(..., *tap)], (groups, o // groups, c))), g)
        at = _seen(tap, out, stride, dilation)
        total[at] = total[at] + xp.reshape(part, (n, groups * c, *out))
    inside = total[(..., *[slice(low, low + s) for s, (low, _) in zip(size, padding)])]
    return xp.astype(inside, dtype) if inside.dtype != dtype else inside


def conv_weight_grad(xp: Any, g: Any, x: Any, *, window: Shape, stride: Shape, padding: Pairs, dilation: Shape,
                     groups: int = 1) -> Any:
    """The gradient of :func:`conv` by w: ``sum_{n, p} g[n, o, p] x[n, c, p stride - low + t dilation]``.

    g (N, O, *out), x (N, C, *size) give (O, C / groups, *window).
    """
    (g, x), dtype = _wide(xp, g, x)
    out, n, o, c = tuple(g.shape[2:]), g.shape[0], g.shape[1], x.shape[1]
    x, g = _padded(xp, x, padding), xp.reshape(g, (n, groups, o // groups, prod(out)))
    parts = []
    for tap in _taps(window):
        seen = xp.reshape(x[_seen(tap, out, stride, dilation)], (n, groups, c // groups, prod(out)))
        part = xp.sum(xp.matmul(g, xp.matrix_transpose(seen)), axis=0, dtype=g.dtype)
        parts.append(xp.reshape(part, (o, c // groups)))
    total = xp.reshape(xp.stack(parts, axis=-1), (o, c // groups, *window))
    return xp.astype(total, dtype) if total.dtype != dtype else total
