"""Looking for elements: extremes' places, order, sorting. Sets are in ``ops/sets.py``."""
from __future__ import annotations

from typing import Any, NamedTuple

from tensorlite.engine.batching import agreed, along, data_dependent
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.ops import _batching
from tensorlite.ops._axes import check_axes
from tensorlite.ops._names import torch_aliases, torch_names

Array = Any


# ---- take_along_axis and its adjoint -----------------------------------------------------------------------------------

def _check_along(name: str) -> Any:
    axes = check_axes(name, one=True)

    def check(x: Any, indices: Any, *, axis: int, **options: Any) -> None:
        axes(x, axis=axis)
        if not hasattr(indices, "dtype") or str(indices.dtype).rpartition(".")[2][:3] not in ("int", "uin"):
            raise DTypeError(f"{name}: indices have dtype {getattr(indices, 'dtype', type(indices).__name__)}; expected integers")
        if indices.ndim != x.ndim:
            raise ShapeError(f"{name}: indices have shape {tuple(indices.shape)} and x {tuple(x.shape)}; expected as many axes, "
                             f"all but axis {axis} of equal length or 1")
    return check


take_along_axis_p = primitive("take_along_axis", lambda xp, x, indices, *, axis=-1, unique=False: xp.take_along_axis(
    x, indices, axis=axis), linear_in="x", check=_check_along("take_along_axis"))
take_along_axis_p.batch(_batching.along_axis)
take_along_axis_p.vjp(x=lambda g, indices, axis, unique, x_shape: put_along_axis_p(
    g, indices, axis=axis, size=x_shape[axis], unique=unique))


def _put_along_axis(xp: Any, g: Any, indices: Any, *, axis: int = -1, size: int, unique: bool = False) -> Any:
    axis %= g.ndim
    places = xp.reshape(xp.arange(size, dtype=indices.dtype), (size,) + (1,) * (g.ndim - axis - 1))
    wrapped = xp.expand_dims(xp.where(indices < 0, indices + size, indices), axis=axis + 1)
    chosen = xp.astype(wrapped == places, g.dtype)   # one-hot: the standard has no scatter
    return xp.sum(chosen * xp.expand_dims(g, axis=axis + 1), axis=axis, dtype=g.dtype)


# out[..., indices[..., j, ...], ...] += g[..., j, ...] from zeros; ``unique`` promises that no place is named twice
put_along_axis_p: Primitive = primitive("put_along_axis", _put_along_axis, linear_in="g")
put_along_axis_p.batch(_batching.along_axis)
put_along_axis_p.vjp(g=lambda h, indices, axis, unique: take_along_axis_p(h, indices, axis=axis, unique=unique))


@torch_names
def take_along_axis(x: Array, indices: Array, /, axis: int = -1) -> Array:
    """out[..., j, ...] = x[..., indices[..., j, ...], ...] along ``axis``; the other axes of ``x`` and ``indices`` broadcast.

    Negative indices count from the end; ``OutOfRangeError`` (an IndexError) for those outside.

    >>> import tensorlite as tl
    >>> x = tl.tensor([[3.0, 1.0, 2.0]])
    >>> tl.take_along_axis(x, tl.argsort(x, axis=1), axis=1)
    tensor([[1., 2., 3.]])
    """
    return take_along_axis_p(x, indices, axis=axis)


@torch_names
def take_along_dim(x: Array, indices: Array, /, axis: int | None = None) -> Array:
    """PyTorch's name for :func:`take_along_axis`; without an axis the elements of x flattened are taken."""
    if axis is None:
        from tensorlite.ops.manipulation import ravel
        return take_along_axis_p(ravel(x), ravel(indices), axis=0)
    return take_along_axis_p(x, indices, axis=axis)


# ---- argmax, argmin ----------------------------------------------------------------------------------------------------

argmax_p = primitive("argmax", lambda xp, x, *, axis=None, keepdims=False: xp.argmax(x, axis=axis, keepdims=keepdims),
                     discrete=True, check=check_axes("argmax", needs_elements=True, one=True))
argmax_p.batch(_batching.arg_extreme)
argmin_p = primitive("argmin", lambda xp, x, *, axis=None, keepdims=False: xp.argmin(x, axis=axis, keepdims=keepdims),
                     discrete=True, check=check_axes("argmin", needs_elements=True, one=True))
argmin_p.batch(_batching.arg_extreme)


@torch_names
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the largest element along ``axis`` (of x flattened, if None), the first where several tie.

    >>> import tensorlite as tl
    >>> tl.argmax(tl.tensor([[1.0, 3.0], [5.0, 4.0]]), axis=1)
    tensor([1, 0])
    """
    return argmax_p(x, axis=axis, keepdims=keepdims)


@torch_names
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the smallest element along ``axis``; see ``argmax``."""
    return argmin_p(x, axis=axis, keepdims=keepdims)


# ---- nonzero -----------------------------------------------------------------------------------------------------------

nonzero_p = primitive("nonzero", lambda xp, x: xp.nonzero(x), discrete=True, outputs=0)
nonzero_p.batch(data_dependent)
argwhere_p = primitive("argwhere", lambda xp, x: xp.stack(xp.nonzero(x), axis=-1), discrete=True)
argwhere_p.batch(data_dependent)


@torch_names
def nonzero(x: Array, /, *, as_tuple: bool = True) -> Any:
    """The indices of the elements that are not zero, one array an axis; ``argwhere(x)`` with PyTorch's ``as_tuple=False``.

    >>> import tensorlite as tl
    >>> tl.nonzero(tl.tensor([0.0, 2.0, 0.0, 3.0]))
    (tensor([1, 3]),)
    """
    if x.ndim == 0:
        raise ShapeError("nonzero: x has no axes (shape ()), so its elements have no indices; reshape x to (1,) first")
    return nonzero_p(x) if as_tuple else argwhere_p(x)


@torch_names
def argwhere(x: Array, /) -> Array:
    """The indices of the elements that are not zero, one row an element."""
    return argwhere_p(x)


# ---- searchsorted ------------------------------------------------------------------------------------------------------

searchsorted_p = primitive("searchsorted", lambda xp, x1, x2, *, side="left": xp.searchsorted(x1, x2, side=side), discrete=True)
searchsorted_p.batch(_batching.searchsorted)


@torch_aliases(sorted_sequence="x1", input="x2")
def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None, right: bool | None = None) -> Array:
    """Where in the sorted ``x1`` each element of ``x2`` would go: before its equals (``side="left"``) or behind (``"right"``).

    >>> import tensorlite as tl
    >>> tl.searchsorted(tl.tensor([1.0, 3.0, 5.0]), tl.tensor([3.0, 4.0]))
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise DTypeError(f"searchsorted: side = {side!r}; expected 'left' or 'right'")
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: x1 has shape {tuple(x1.shape)}; expected one axis")
    if sorter is not None:
        x1 = take_along_axis_p(x1, sorter, axis=0)
    return searchsorted_p(x1, x2, side="right" if right else side)


# ---- sort, argsort -----------------------------------------------------------------------------------------------------

argsort_p = primitive("argsort", lambda xp, x, *, axis=-1, descending=False, stable=True: xp.argsort(
    x, axis=axis, descending=descending, stable=stable), discrete=True, check=check_axes("argsort", one=True))
argsort_p.batch(along("axis"))

# Sorting values is several times as fast as sorting indices, so those are found only once there is a backward.
sort_p = primitive("sort", lambda xp, x, *, axis=-1, descending=False, stable=True: xp.sort(
    x, axis=axis, descending=descending, stable=stable), check=check_axes("sort", one=True))
sort_p.batch(along("axis"))
sort_p.vjp(x=lambda g, x, axis, descending, x_shape: put_along_axis_p(
    g, argsort_p(x, axis=axis, descending=descending), axis=axis, size=x_shape[axis], unique=True) if x_shape else g)
sort_p.jvp(x=lambda t, x, axis, descending: take_along_axis_p(
    t, argsort_p(x, axis=axis, descending=descending), axis=axis, unique=True))


@torch_names
def sort(x: Array, /, axis: int = -1, descending: bool = False, *, stable: bool = True) -> Array:
    """x in ascending order along ``axis`` (nan last), or descending; only the values (PyTorch's gives indices too: ``argsort``).

    >>> import tensorlite as tl
    >>> tl.sort(tl.tensor([2.0, 3.0, 1.0]), descending=True)
    tensor([3., 2., 1.])
    """
    return sort_p(x, axis=axis, descending=descending, stable=stable)


@torch_names
def argsort(x: Array, /, axis: int = -1, descending: bool = False, *, stable: bool = True) -> Array:
    """The indices that sort x along ``axis``; equal elements keep their order if ``stable``.

    >>> import tensorlite as tl
    >>> tl.argsort(tl.tensor([2.0, 3.0, 1.0]))
    tensor([2, 0, 1])
    """
    return argsort_p(x, axis=axis, descending=descending, stable=stable)


# ---- topk --------------------------------------------------------------------------------------------------------------

class TopK(NamedTuple):
    """What ``topk`` and ``kthvalue`` return."""

    values: Any
    indices: Any


def _argtopk(xp: Any, x: Any, *, k: int, axis: int, largest: bool, sorted: bool) -> Any:
    axis %= x.ndim
    order = xp.argsort(x, axis=axis, descending=largest)
    return order[(slice(None),) * axis + (slice(0, k), ...)]


argtopk_p = primitive("argtopk", _argtopk, discrete=True)
argtopk_p.batch(along("axis"))


@torch_names
def topk(x: Array, /, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> TopK:
    """The ``k`` largest (or smallest) elements along ``axis`` and their indices, in order if ``sorted``.

    Which ones of equal elements is left open. ``OutOfRangeError`` if there are fewer than ``k``. nan counts as the largest.

    >>> import tensorlite as tl
    >>> tl.topk(tl.tensor([1.0, 4.0, 3.0]), 2)
    TopK(values=tensor([4., 3.]), indices=tensor([1, 2]))
    """
    check_axes("topk", one=True)(x, axis=axis)
    if not 0 <= k <= x.shape[axis]:
        raise OutOfRangeError(f"topk: k = {k}, but axis {axis} of x (shape {tuple(x.shape)}) has {x.shape[axis]} elements; "
                              f"expected 0 to {x.shape[axis]}")
    indices = argtopk_p(x, k=k, axis=axis, largest=largest, sorted=sorted)
    return TopK(take_along_axis_p(x, indices, axis=axis, unique=True), indices)


@torch_names
def kthvalue(x: Array, /, k: int, axis: int = -1, keepdims: bool = False) -> TopK:
    """The ``k``-th smallest element along ``axis`` (counted from 1) and its index.

    >>> import tensorlite as tl
    >>> tl.kthvalue(tl.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    from tensorlite.ops.reduction import sum_p
    check_axes("kthvalue", one=True)(x, axis=axis)
    if not 1 <= k <= x.shape[axis]:
        raise OutOfRangeError(f"kthvalue: k = {k}, but axis {axis} of x (shape {tuple(x.shape)}) has {x.shape[axis]} elements; "
                              f"expected 1 to {x.shape[axis]}")
    places = argtopk_p(x, k=k, axis=axis, largest=False, sorted=True)
    # the last of the k smallest, by a sum over one element so that the axis goes without an indexing operation
    from tensorlite.ops.cumulative import slide_p
    place = slide_p(places, axis=axis, before=1 - k, after=0)
    value = take_along_axis_p(x, place, axis=axis, unique=True)
    return TopK(value, place) if keepdims else TopK(sum_p(value, axis=axis), sum_p(place, axis=axis))


# ---- bincount ----------------------------------------------------------------------------------------------------------

bincount_p = primitive("bincount", lambda xp, x, *, size: xp.sum(
    xp.astype(xp.expand_dims(x, axis=1) == xp.arange(size, dtype=x.dtype), xp.int64), axis=0), discrete=True)
bincount_p.batch(_batching.bincount)


@torch_names
def bincount(x: Array, /, weights: Array | None = None, minlength: int = 0) -> Array:
    """out[i] = how often i is in ``x`` (one axis, integers from 0), or the sum of the ``weights`` there; ``minlength`` or longer.

    >>> import tensorlite as tl
    >>> tl.bincount(tl.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if x.ndim != 1 or str(x.dtype).rpartition(".")[2][:3] not in ("int", "uin"):
        raise ShapeError(f"bincount: x has shape {tuple(x.shape)} and dtype {x.dtype}; expected one axis of integers")
    size = minlength
    if x.shape[0]:
        from tensorlite.ops.elementwise import add_p, maximum
        from tensorlite.ops.reduction import max_p, min_p
        below = raw(x)
        if int(min_p(below)) < 0:
            raise OutOfRangeError(f"bincount: x has the negative number {int(min_p(below))}; expected 0 and above")
        size = agreed(maximum(add_p(max_p(x), 1), minlength),
                      "bincount's length depends on the largest number: give a minlength above it")
    if weights is None:
        return bincount_p(x, size=size)
    if tuple(weights.shape) != tuple(x.shape):
        raise ShapeError(f"bincount: weights have shape {tuple(weights.shape)}; expected that of x, {tuple(x.shape)}")
    return put_along_axis_p(weights, x, axis=0, size=size)


