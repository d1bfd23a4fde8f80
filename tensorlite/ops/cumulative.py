"""Running sums and products, differences, and the linear recurrence that their derivatives are made of."""
from __future__ import annotations

from typing import Any

from tensorlite.engine.batching import along
from tensorlite.engine.primitive import primitive
from tensorlite.errors import ShapeError
from tensorlite.ops._axes import check_axes
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import mul_p, sub_p
from tensorlite.ops.reduction import _cast

Array = Any


# ---- slide: elements added (or with negative numbers, taken away) at the ends of an axis -------------------------------

def _slide(xp: Any, x: Any, *, axis: int, before: int, after: int, fill: float = 0) -> Any:
    axis, n = axis % x.ndim, x.shape[axis]
    if not n and before + after <= 0:
        return x
    cut = [slice(None)] * x.ndim
    cut[axis] = slice(max(-before, 0), max(n - max(-after, 0), 0))
    part = x[tuple(cut)]
    if before <= 0 and after <= 0:
        return part

    def fillers(count: int) -> list[Any]:
        return [xp.full((*x.shape[:axis], count, *x.shape[axis + 1:]), fill, dtype=x.dtype)] if count > 0 else []

    return xp.concat([*fillers(before), part, *fillers(after)], axis=axis)


slide_p = primitive("slide", _slide, view=True, check=check_axes("diff", one=True))
slide_p.batch(along("axis"))
slide_p.vjp(x=lambda g, axis, before, after: slide_p(g, axis=axis, before=-before, after=-after))
slide_p.jvp(x=lambda t, axis, before, after: slide_p(t, axis=axis, before=before, after=after))


# ---- recur: s[i] = a[i] s[i-1] + b[i], with s[-1] = 0; from the other end with reverse -----------------------------------
# Closed under differentiation, and without a division: running products with zeros in them are differentiated by it.

def _recur(xp: Any, a: Any, b: Any, *, axis: int, reverse: bool = False) -> Any:
    def times(u: Any, v: Any) -> Any:   # a zero wins over products that have overflowed
        return xp.where((u == 0) | (v == 0), xp.zeros_like(u), u * v)

    step, n = 1, a.shape[axis]
    while step < n:   # each s covers twice as many terms as before: log2(n) passes
        before, after = (-step, step) if reverse else (step, -step)
        b = b + times(a, _slide(xp, b, axis=axis, before=before, after=after))
        a = times(a, _slide(xp, a, axis=axis, before=before, after=after))
        step *= 2
    return b


def _next(x: Any, axis: int, reverse: bool, fill: float = 0) -> Any:
    """The element that comes next in the direction of the recurrence; ``fill`` at the end."""
    step = 1 if reverse else -1
    return slide_p(x, axis=axis, before=step, after=-step, fill=fill)


def _recur_a(g: Any, a: Any, out: Any, axis: int, reverse: bool) -> Any:
    return mul_p(recur_p(_next(a, axis, reverse), g, axis=axis, reverse=not reverse), _next(out, axis, not reverse))


recur_p = primitive("recur", _recur, linear_in="b")
recur_p.batch(along("axis"))
recur_p.vjp(b=lambda g, a, axis, reverse: recur_p(_next(a, axis, reverse), g, axis=axis, reverse=not reverse), a=_recur_a)


# ---- cumulative_sum ----------------------------------------------------------------------------------------------------

def _cumsum(xp: Any, x: Any, *, axis: int, reverse: bool = False) -> Any:
    if reverse:
        return xp.flip(xp.cumulative_sum(xp.flip(x, axis=axis), axis=axis), axis=axis)
    return xp.cumulative_sum(x, axis=axis)


cumsum_p = primitive("cumsum", _cumsum, linear_in="x", check=check_axes("cumulative_sum", one=True))
cumsum_p.batch(along("axis"))
cumsum_p.vjp(x=lambda g, axis, reverse: cumsum_p(g, axis=axis, reverse=not reverse))


def _along(name: str, x: Any, axis: int | None) -> int:
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"{name}: x has shape {tuple(x.shape)}, so it must be said along which axis; give axis")
        return 0
    return axis


@torch_names
def cumulative_sum(x: Array, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False) -> Array:
    """out[i] = x[0] + ... + x[i] along ``axis`` (which may be left out for one axis only); ``include_initial`` puts a 0 in front.

    >>> import tensorlite as tl
    >>> tl.cumulative_sum(tl.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    axis = _along("cumulative_sum", x, axis)
    out = cumsum_p(x if dtype is None else _cast(x, dtype), axis=axis)
    return slide_p(out, axis=axis, before=1, after=0) if include_initial else out


cumsum = cumulative_sum


# ---- cumulative_prod ---------------------------------------------------------------------------------------------------

def _cumprod(xp: Any, x: Any, *, axis: int, reverse: bool = False) -> Any:
    if reverse:
        return xp.flip(xp.cumulative_prod(xp.flip(x, axis=axis), axis=axis), axis=axis)
    return xp.cumulative_prod(x, axis=axis)


# out[i] = x[i] out[i-1] with out[-1] = 1: a recurrence too
cumprod_p = primitive("cumprod", _cumprod, check=check_axes("cumulative_prod", one=True))
cumprod_p.batch(along("axis"))
cumprod_p.vjp(x=lambda g, x, out, axis, reverse: mul_p(
    recur_p(_next(x, axis, reverse), g, axis=axis, reverse=not reverse), _next(out, axis, not reverse, fill=1)))


@torch_names
def cumulative_prod(x: Array, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False) -> Array:
    """out[i] = x[0] ... x[i] along ``axis`` (which may be left out for one axis only); ``include_initial`` puts a 1 in front.

    The gradient is exact with zeros among the factors.

    >>> import tensorlite as tl
    >>> tl.cumulative_prod(tl.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.])
    """
    axis = _along("cumulative_prod", x, axis)
    out = cumprod_p(x if dtype is None else _cast(x, dtype), axis=axis)
    return slide_p(out, axis=axis, before=1, after=0, fill=1) if include_initial else out


cumprod = cumulative_prod


# ---- diff --------------------------------------------------------------------------------------------------------------

@torch_names
def diff(x: Array, /, n: int = 1, axis: int = -1, *, prepend: Array | None = None, append: Array | None = None) -> Array:
    """x[i+1] - x[i] along ``axis``, ``n`` times over, after ``prepend`` and ``append`` (arrays) were put at the ends.

    >>> import tensorlite as tl
    >>> tl.diff(tl.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    if n < 0:
        raise ShapeError(f"diff: n = {n}; expected how many times to take differences, 0 or more")
    if prepend is not None or append is not None:
        from tensorlite.ops.manipulation import concat
        x = concat([part for part in (prepend, x, append) if part is not None], axis=axis)
    for _ in range(n):
        if not x.shape[axis]:
            break
        x = sub_p(slide_p(x, axis=axis, before=-1, after=0), slide_p(x, axis=axis, before=0, after=-1))
    return x
