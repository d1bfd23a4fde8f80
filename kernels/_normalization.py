"""Normalisation in plain array code: what any array library runs that has nothing better."""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tensorlite.kernels._half import is_half

__all__ = ["by_kernels", "moments", "normalize", "normalize_grad", "running_moments", "sum_to"]

Axes = tuple[int, ...]


def _wide(xp: Any, x: Any) -> Any:
    return xp.astype(x, xp.float32) if is_half(x) else x


def moments(xp: Any, x: Any, *, axes: Axes, center: bool) -> Any:
    """Mean and biased variance with their axes kept; without ``center`` zero and the mean square. Of half: float32."""
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


def normalize(xp: Any, x: Any, w: Any, b: Any, *, axes: Axes, eps: float, center: bool) -> Any:
    """((x - mean) / sqrt(var + eps) w + b, mean, var) with x's :func:`moments`; b only where there is a w."""
    mean, var = moments(xp, x, axes=axes, center=center)
    out = (_wide(xp, x) - mean) / xp.sqrt(var + eps)
    out = out if w is None else out * w
    out = out if b is None else out + b
    return (xp.astype(out, x.dtype) if is_half(x) else out), mean, var


def normalize_grad(xp: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, *, axes: Axes, eps: float, center: bool,
                   shape: Any) -> Any:
    """The gradients of :func:`normalize` by x, w and b for the cotangent g; ``shape`` is w's, or None: that by x alone."""
    g, x = _wide(xp, g), _wide(xp, x)
    rstd = 1 / xp.sqrt(var + eps)
    xhat = (x - mean) * rstd
    q = g if w is None else g * w
    gx = q - xhat * xp.mean(q * xhat, axis=axes, keepdims=True)
    gx = (gx - xp.mean(q, axis=axes, keepdims=True) if center else gx) * rstd
    return (gx,) if shape is None else (gx, sum_to(xp, g * xhat, shape), sum_to(xp, g, shape))


def running_moments(xp: Any, mean: Any, var: Any, running_mean: Any, running_var: Any, counter: Any, *, momentum: float | None,
                    correction: float) -> Any:
    """Move the running moments, in place, towards a batch's mean and ``correction`` var by the fraction ``momentum``; count it.

    ``momentum`` None: by 1 / (1 + counter), which makes them the mean of all batches. Any array but the first two may be None.
    """
    fraction = 1 / (1.0 + xp.astype(counter, mean.dtype)) if momentum is None else momentum
    for running, batch in ((running_mean, mean), (running_var, var * correction)):
        if running is not None:
            running *= xp.astype(1.0 - fraction, running.dtype) if momentum is None else 1.0 - fraction
            running += xp.astype(xp.reshape(batch * fraction, tuple(running.shape)), running.dtype)
    if counter is not None:
        counter += 1
    return mean


# ---- the same by the kernels for rows and for channels -----------------------------------------------------------------------

def _arranged(x: Any, axes: Axes, *affine: Any) -> tuple[str, Any, bool] | None:
    """Which kernels normalise over these axes, and x as they take it: "row" and (..., m), or "channel" and (N, C, ...); whether
    x was made a matrix as its channels lie together."""
    last = False
    first, shape = x.ndim - len(axes), tuple(x.shape)
    if axes == tuple(range(first, x.ndim)):
        expected = shape[first:]
        found = "row", x if len(axes) == 1 else x.reshape(*shape[:first], prod(expected))
    elif axes == (0, *range(2, x.ndim)):
        expected = shape[1], *[1] * (x.ndim - 2)
        last = _channels_last(x)
        found = "channel", _rows(x) if last else x
    elif axes == tuple(range(x.ndim - 1)):   # channels last
        expected = shape[-1:]
        found = "channel", x.reshape(prod(shape[:-1]), shape[-1])
    else:
        return None
    return None if any(a is not None and tuple(a.shape) != expected for a in affine) else (*found, last)


def _channels_last(x: Any) -> bool:
    """Whether x (N, C, ...) lies in memory as (N, ..., C), and not as it is."""
    flags = getattr(x, "flags", None)
    return flags is not None and x.ndim > 2 and not flags.c_contiguous and bool(
        x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous)


def _rows(x: Any) -> Any:
    """x (N, C, ...) as the matrix of its N ... rows of C channels."""
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _back(a: Any, shape: tuple[int, ...], last: bool) -> Any:
    """What a kernel made of an array of this shape, as such; ``last``: of its :func:`_rows`."""
    if not last:
        return _shaped(a, shape)
    return a.reshape(shape[0], *shape[2:], shape[1]).transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


def _shaped(a: Any, shape: tuple[int, ...]) -> Any:
    """``a`` with this shape; itself where it has it, as a view of it would be copied where it becomes a leaf's gradient."""
    return a if a.shape == shape else a.reshape(shape)


def _flat(a: Any) -> Any:
    return a if a is None or a.ndim == 1 else a.reshape(-1)


def by_kernels(xp: Any, variant: Callable[[str], Callable[..., Any] | None]) -> dict[str, Callable[..., Any]]:
    """The operations ``normalize`` and ``normalize_grad`` by ``variant("row_normalize")`` and so on, which take the kernels'
    arguments; by the reference over ``xp`` where there is no such variant, or the axes or shapes are none of the kernels'."""

    def forward(x: Any, w: Any, b: Any, *, axes: Axes, eps: float, center: bool) -> Any:
        found = _arranged(x, axes, w, b) if x.size else None
        run = None if found is None else variant(f"{found[0]}_normalize")
        if found is None or run is None:
            return normalize(xp, x, w, b, axes=axes, eps=eps, center=center)
        out, mean, var = run(found[1], _flat(w), _flat(b), eps=eps, center=center)
        kept = tuple([1 if i in axes else length for i, length in enumerate(x.shape)])
        return _back(out, x.shape, found[2]), mean.reshape(kept), var.reshape(kept)

    def backward(g: Any, x: Any, w: Any, mean: Any, var: Any, *, axes: Axes, eps: float, center: bool, shape: Any) -> Any:
        found = _arranged(x, axes, w) if x.size else None
        run = None if found is None else variant(f"{found[0]}_normalize_grad")
        if found is None or run is None:
            return normalize_grad(xp, g, x, w, mean, var, axes=axes, eps=eps, center=center, shape=shape)
        kind, seen, last = found
        of = seen.shape[:-1] if kind == "row" else (-1,)
        g = _rows(g) if last else _shaped(g, seen.shape)
        out = run(g, seen, _flat(w), mean.reshape(of), var.reshape(of), eps=eps, center=center)
        return (_back(out[0], x.shape, last), *[_shaped(a, shape) for a in out[1:]])

    return {"normalize": forward, "normalize_grad": backward}
