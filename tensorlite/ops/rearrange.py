"""Rearranging elements: flipping, rolling, repeating, padding, triangles and diagonals, grids."""
from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from tensorlite.engine.batching import along, in_a_batch, leading
from tensorlite.engine.primitive import primitive
from tensorlite.errors import DTypeError, ShapeError, VmapError
from tensorlite.ops import _batching
from tensorlite.ops._index import to_host
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import expand
from tensorlite.ops.indexing import ARRAY, getitem_p, index_array, put_add_p, take
from tensorlite.ops.manipulation import axes_of, axis_of, clone_p, permute_p, reshape_p, sizes_of

Array = Any
_ALL = slice(None)


# ---- flip, roll, rot90 ---------------------------------------------------------------------------------------------------

flip_p = primitive("flip", lambda xp, x, *, axis: xp.flip(x, axis=axis), linear_in="x", view=True)
flip_p.batch(along("axis"))
flip_p.vjp(x=lambda g, axis: flip_p(g, axis=axis))


@torch_names
def flip(x: Array, /, axis: Any = None, *more: int) -> Array:
    """The order along the axes (all, if none is given) reversed: ``flip(x, (0, 1))`` or ``x.flip(0, 1)``."""
    axis = (axis, *more) if more else axis
    return flip_p(x, axis=tuple(range(x.ndim)) if axis is None else axes_of("flip", axis, x.ndim))


@torch_names
def fliplr(x: Array, /) -> Array:
    """The second axis reversed."""
    return flip(x, axis=1)


@torch_names
def flipud(x: Array, /) -> Array:
    """The first axis reversed."""
    return flip(x, axis=0)


roll_p = primitive("roll", lambda xp, x, *, shift, axis: xp.roll(x, shift, axis=axis), linear_in="x")
roll_p.batch(along("axis"))
roll_p.vjp(x=lambda g, shift, axis: roll_p(g, shift=tuple([-s for s in shift]), axis=axis))


@torch_names
def roll(x: Array, /, shift: Any = None, axis: Any = None, *, shifts: Any = None) -> Array:
    """The elements moved by ``shift`` places along ``axis``, those that leave coming in at the other end.

    Without an axis the flattened elements move.

    >>> import tensorlite as tl
    >>> tl.roll(tl.arange(4), 1).tolist()
    [3, 0, 1, 2]
    """
    shift = shifts if shift is None else shift
    moves = sizes_of("roll", (shift if isinstance(shift, (tuple, list)) else (shift,),))
    if axis is None:
        flat = roll_p(reshape_p(x, shape=(prod(x.shape),)), shift=(sum(moves),), axis=(0,))
        return reshape_p(flat, shape=tuple(x.shape))
    axes = tuple([axis_of("roll", a, x.ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))])
    if len(moves) == 1:
        moves *= len(axes)
    if len(moves) != len(axes):
        raise ShapeError(f"roll: {len(moves)} shifts for {len(axes)} axes; give one for each")
    return roll_p(x, shift=moves, axis=axes)


@torch_names
def rot90(x: Array, k: int = 1, dims: tuple[int, int] = (0, 1)) -> Array:
    """``x`` turned k quarters in the plane of the two axes, from the first towards the second."""
    a, b = axes_of("rot90", dims, x.ndim)
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    k %= 4
    if k == 2:
        return flip_p(x, axis=(a, b))
    if k == 1:
        return flip_p(permute_p(x, axes=tuple(order)), axis=(a,))
    if k == 3:
        return permute_p(flip_p(x, axis=(a,)), axes=tuple(order))
    return clone_p(x)


# ---- tile, repeat --------------------------------------------------------------------------------------------------------

@torch_names
def tile(x: Array, /, *repetitions: Any, dims: Any = None) -> Array:
    """``x`` laid out as often as ``repetitions`` says along each axis; missing ones are 1.

    >>> import tensorlite as tl
    >>> tl.tile(tl.tensor([1, 2]), (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    times = list(sizes_of("tile", (dims,) if dims is not None else repetitions))
    shape = [1] * (len(times) - x.ndim) + list(x.shape)
    times = [1] * (len(shape) - len(times)) + times
    if min(times, default=1) < 0:
        raise ShapeError(f"tile: repetitions {tuple(times)} must not be negative")
    apart = tuple([n for pair in zip([1] * len(shape), shape) for n in pair])
    wide = tuple([n for pair in zip(times, shape) for n in pair])
    out = expand(reshape_p(x, shape=apart), shape=wide)
    return clone_p(reshape_p(out, shape=tuple([t * n for t, n in zip(times, shape)])))


@torch_names
def repeat(x: Array, repeats: Any, /, axis: int | None = None) -> Array:
    """Each element ``repeats`` times along ``axis`` (without one: of the flattened x). A number, or one for each element.

    This is the array API standard's and NumPy's ``repeat``; PyTorch's is :func:`tile`.

    >>> import tensorlite as tl
    >>> tl.repeat(tl.tensor([1, 2]), 2).tolist()
    [1, 1, 2, 2]
    """
    if axis is None:
        x, axis = reshape_p(x, shape=(prod(x.shape),)), 0
    axis = axis_of("repeat", axis, x.ndim)
    if in_a_batch(repeats):
        raise VmapError("vmap: repeat by numbers that differ along the batch gives results of different lengths; use take with "
                        "indices of one length, or repeat outside of vmap")
    counts = np.asarray(to_host(repeats))
    if counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise ShapeError(f"repeat: repeats are integers of at least 0, got {repeats!r}")
    if counts.size == 1:
        n, shape = int(counts.reshape(())), tuple(x.shape)
        before, after = shape[:axis + 1], shape[axis + 1:]
        out = expand(reshape_p(x, shape=(*before, 1, *after)), shape=(*before, n, *after))
        return clone_p(reshape_p(out, shape=(*shape[:axis], shape[axis] * n, *shape[axis + 1:])))
    if counts.shape != (x.shape[axis],):
        raise ShapeError(f"repeat: repeats of shape {counts.shape} for axis {axis} of length {x.shape[axis]}; "
                         "give one number for each element")
    return take(x, index_array(x, np.repeat(np.arange(counts.size), counts)), axis=axis)


repeat_interleave = repeat


# ---- pad -----------------------------------------------------------------------------------------------------------------

def _pad(xp: Any, x: Any, *, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    out = xp.full(tuple([n + a + b for n, (a, b) in zip(x.shape, widths)]), value, dtype=x.dtype)
    out[tuple([slice(a, a + n) for n, (a, _) in zip(x.shape, widths)])] = x
    return out


pad_p = primitive("pad", _pad)
pad_p.batch(_batching.pad)
pad_p.vjp(x=lambda g, widths, x_shape: getitem_p(g, spec=(*[slice(a, a + n) for n, (a, _) in zip(x_shape, widths)], Ellipsis)))
pad_p.jvp(x=lambda t, widths: pad_p(t, widths=widths, value=0))


@torch_names
def pad(x: Array, pad: Any, mode: str = "constant", value: float | None = None) -> Array:
    """``x`` with more elements at its ends. ``pad`` is PyTorch's: (before, after) of the last axis, then of the one before, ...

    ``mode``: "constant" (filled with ``value``, 0 unless given; negative widths cut off), "reflect", "replicate", "circular".

    >>> import tensorlite as tl
    >>> tl.pad(tl.tensor([1, 2, 3]), (1, 2)).tolist(), tl.pad(tl.tensor([1, 2, 3]), (1, 1), mode="reflect").tolist()
    ([0, 1, 2, 3, 0, 0], [2, 1, 2, 3, 2])
    """
    given = sizes_of("pad", (tuple(pad),))
    if len(given) % 2 or len(given) > 2 * x.ndim:
        raise ShapeError(f"pad: {len(given)} widths for {x.ndim} axes; expected two for each axis, from the last on")
    pairs = [(given[k], given[k + 1]) for k in range(0, len(given), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    if mode == "constant":
        if any(n + a + b < 0 for n, (a, b) in zip(x.shape, widths)):
            raise ShapeError(f"pad: widths {given} cut off more than there is of shape {tuple(x.shape)}")
        if any(w < 0 for pair in pairs for w in pair):
            x = getitem_p(x, spec=(*[slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths)], Ellipsis))
        return pad_p(x, widths=tuple([(max(a, 0), max(b, 0)) for a, b in widths]), value=0 if value is None else value)
    places = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}.get(mode)
    if places is None:
        raise ShapeError(f"pad: mode {mode!r} is unknown; expected 'constant', 'reflect', 'replicate' or 'circular'")
    if value is not None:
        raise DTypeError(f"pad: value is for mode 'constant', and mode is {mode!r}")
    for axis, (a, b) in enumerate(widths):
        if a or b:
            n = x.shape[axis]
            limit = {"reflect": n - 1, "replicate": n * 1000000000, "circular": n}[mode]
            if max(a, b) > limit:
                raise ShapeError(f"pad: mode {mode!r} can add at most {limit} to axis {axis} of length {n}, not {max(a, b)}")
            index = index_array(x, places(np.arange(-a, n + b), n))
            x = getitem_p(x, index, spec=(*[_ALL] * axis, ARRAY, Ellipsis), op="pad")
    return x


def _reflect(index: Any, n: int) -> Any:
    index = np.abs(index)
    return np.where(index >= n, 2 * (n - 1) - index, index)


def _replicate(index: Any, n: int) -> Any:
    return np.clip(index, 0, n - 1)


def _circular(index: Any, n: int) -> Any:
    return index % n


# ---- triangles -----------------------------------------------------------------------------------------------------------

tril_p = primitive("tril", lambda xp, x, *, k: xp.tril(x, k=k), linear_in="x")
tril_p.batch(leading)
tril_p.vjp(x=lambda g, k: tril_p(g, k=k))

triu_p = primitive("triu", lambda xp, x, *, k: xp.triu(x, k=k), linear_in="x")
triu_p.batch(leading)
triu_p.vjp(x=lambda g, k: triu_p(g, k=k))


def _matrix(op: str, x: Array) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{op}: expected at least 2 axes, got shape {tuple(x.shape)}")


@torch_names
def tril(x: Array, /, k: int = 0, *, diagonal: int | None = None) -> Array:
    """The lower triangle of the last two axes, zeros above its k-th diagonal."""
    _matrix("tril", x)
    return tril_p(x, k=k if diagonal is None else diagonal)


@torch_names
def triu(x: Array, /, k: int = 0, *, diagonal: int | None = None) -> Array:
    """The upper triangle of the last two axes, zeros below its k-th diagonal."""
    _matrix("triu", x)
    return triu_p(x, k=k if diagonal is None else diagonal)


# ---- diagonals -----------------------------------------------------------------------------------------------------------

def _corner(shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> tuple[Any, Any]:
    """Rows and columns of a diagonal."""
    length = max(min(shape[axis1] + min(offset, 0), shape[axis2] - max(offset, 0)), 0)
    steps = np.arange(length)
    return steps - min(offset, 0), steps + max(offset, 0)


def _last(ndim: int, axis1: int, axis2: int) -> tuple[int, ...]:
    return (*[a for a in range(ndim) if a not in (axis1, axis2)], axis1, axis2)


def _diagonal(xp: Any, x: Any, *, offset: int, axis1: int, axis2: int) -> Any:
    rows, columns = _corner(tuple(x.shape), offset, axis1, axis2)
    x = xp.permute_dims(x, _last(x.ndim, axis1, axis2))
    flat = xp.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))
    return xp.take(flat, xp.asarray(rows * x.shape[-1] + columns), axis=-1)


diagonal_p = primitive("diagonal", _diagonal, linear_in="x", view=True)
diagonal_p.batch(along("axis1", "axis2"))


def _on_diagonal(g: Array, offset: int, axis1: int, axis2: int, x_shape: tuple[int, ...]) -> Array:
    order = _last(len(x_shape), axis1, axis2)
    rows, columns = (index_array(g, i) for i in _corner(x_shape, offset, axis1, axis2))
    out = put_add_p(g, rows, columns, spec=(Ellipsis, ARRAY, ARRAY), shape=tuple([x_shape[a] for a in order]))
    return permute_p(out, axes=tuple(sorted(range(len(order)), key=order.__getitem__)))


diagonal_p.vjp(x=_on_diagonal)


@torch_names
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: int | None = None,
             dim2: int | None = None) -> Array:
    """The elements x[..., i, i + offset] of two axes, as the last axis of the result. A view."""
    _matrix("diagonal", x)
    pair = axes_of("diagonal", (axis1 if dim1 is None else dim1, axis2 if dim2 is None else dim2), x.ndim)
    return diagonal_p(x, offset=offset, axis1=pair[0], axis2=pair[1])


@torch_names
def diag_embed(x: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Matrices of zeros with the last axis of ``x`` on a diagonal. (..., n) -> (..., n + |offset|, n + |offset|)"""
    n = x.shape[-1] + abs(offset)
    ndim = x.ndim + 1
    a, b = axes_of("diag_embed", (dim1, dim2), ndim)
    shape = iter(x.shape[:-1])
    return _on_diagonal(x, offset, a, b, tuple([n if k in (a, b) else next(shape) for k in range(ndim)]))


@torch_names
def diag(x: Array, /, k: int = 0, *, diagonal: int | None = None) -> Array:
    """A vector's matrix with it on the k-th diagonal; a matrix's k-th diagonal.

    >>> import tensorlite as tl
    >>> tl.diag(tl.tensor([1, 2])).tolist(), tl.diag(tl.tensor([[1, 2], [3, 4]])).tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    k = k if diagonal is None else diagonal
    if x.ndim == 1:
        return diag_embed(x, k)
    if x.ndim != 2:
        raise ShapeError(f"diag: expected 1 or 2 axes, got shape {tuple(x.shape)}; use diagonal or diag_embed")
    return clone_p(diagonal_p(x, offset=k, axis1=0, axis2=1))


# ---- grids ---------------------------------------------------------------------------------------------------------------

@torch_names
def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Coordinates of the grid that vectors span, one array for each;
    "xy" (the standard's default) exchanges the first two axes."""
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        arrays = tuple(arrays[0])
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing {indexing!r} is unknown; expected 'xy' or 'ij'")
    if any(a.ndim > 1 for a in arrays):
        raise ShapeError(f"meshgrid: expected vectors, got shapes {[tuple(a.shape) for a in arrays]}")
    count = len(arrays)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[0], order[1] = 1, 0
    lengths = [prod(arrays[k].shape) for k in order]
    out = []
    for k, a in enumerate(arrays):
        shape = [1] * count
        shape[order.index(k)] = lengths[order.index(k)]
        out.append(clone_p(expand(reshape_p(a, shape=tuple(shape)), shape=tuple(lengths))))
    return out


# ---- parts ---------------------------------------------------------------------------------------------------------------

@torch_names
def narrow(x: Array, axis: int, start: int, length: int) -> Array:
    """``length`` elements along ``axis`` from ``start`` on. A view."""
    axis = axis_of("narrow", axis, x.ndim)
    n = x.shape[axis]
    first = start + n if start < 0 else start
    if not (0 <= first <= n and 0 <= length <= n - first):
        from tensorlite.errors import OutOfRangeError
        raise OutOfRangeError(f"narrow: {length} elements from {start} on do not lie in axis {axis} of length {n}")
    return getitem_p(x, spec=(*[_ALL] * axis, slice(first, first + length), Ellipsis))


@torch_names
def select(x: Array, axis: int, index: int) -> Array:
    """The slice of ``x`` at ``index`` of ``axis``, without it. A view."""
    return getitem_p(x, spec=(*[_ALL] * axis_of("select", axis, x.ndim), operator.index(index), Ellipsis))


@torch_names
def atleast_1d(*arrays: Array) -> Any:
    """The arrays with at least one axis."""
    return _each(arrays, lambda x: x if x.ndim else reshape_p(x, shape=(1,)))


@torch_names
def atleast_2d(*arrays: Array) -> Any:
    """The arrays with at least two axes, new ones in front."""
    return _each(arrays, lambda x: x if x.ndim > 1 else reshape_p(x, shape=(1,) * (2 - x.ndim) + tuple(x.shape)))


def _each(arrays: tuple[Any, ...], function: Any) -> Any:
    out = [function(a) for a in arrays]
    return out[0] if len(out) == 1 else out


