"""Shapes and axes: reshaping, reordering, joining, splitting. What only looks at memory differently gives a view."""
from __future__ import annotations

import operator
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite._dtypes import as_dtype
from tensorlite.engine.batching import along, pointwise, shaped
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import Value, provide, raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.ops import _batching
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.elementwise import cast, expand
from tensorlite.ops.indexing import getitem_p, zeros_of_p

Array = Any
_ALL = slice(None)


# ---- axes and shapes as they are given -----------------------------------------------------------------------------------

def axis_of(op: str, axis: Any, ndim: int) -> int:
    """``axis`` counted from the front; ``OutOfRangeError`` if there is no such axis."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise DTypeError(f"{op}: an axis is an integer, and this is {axis!r}") from None
    if not -ndim <= number < ndim:
        raise OutOfRangeError(f"{op}: axis {number} is out of range for {ndim} axes; valid are {-ndim} to {ndim - 1}")
    return number % ndim if ndim else 0


def axes_of(op: str, axes: Any, ndim: int) -> tuple[int, ...]:
    """Several axes counted from the front, each at most once."""
    if not isinstance(axes, (tuple, list)):
        axes = (axes,)
    out = tuple([axis_of(op, a, ndim) for a in axes])
    if len(set(out)) != len(out):
        raise ShapeError(f"{op}: an axis is named twice in {tuple(axes)}")
    return out


def sizes_of(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The numbers meant by ``f(x, 2, 3)`` and by ``f(x, (2, 3))``."""
    if len(sizes) == 1:
        if sizes[0].__class__ is int:
            return sizes
        if isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
    try:
        return tuple([operator.index(n) for n in sizes])
    except TypeError:
        raise DTypeError(f"{op}: expected integers, got {sizes!r}") from None


# ---- reshape -------------------------------------------------------------------------------------------------------------

def _check_reshape(x: Any, *, shape: tuple[int, ...]) -> None:
    raise ShapeError(f"reshape: shape {shape} does not hold the {prod(x.shape)} elements of a tensor of shape {tuple(x.shape)}; "
                     "the product of the lengths must be the same, and one of them may be -1")


reshape_p = primitive("reshape", lambda xp, x, *, shape: xp.reshape(x, shape), linear_in="x", view=True, check=_check_reshape)
reshape_p.batch(shaped("shape"))
reshape_p.vjp(x=lambda g, x_shape: reshape_p(g, shape=x_shape))


@torch_names
def reshape(x: Array, /, *sizes: Any, shape: Any = None, copy: bool | None = None) -> Array:
    """``x`` with the same elements in order in another shape; one length may be -1. A view where the memory's layout allows.

    >>> import tensorlite as tl
    >>> tl.reshape(tl.arange(6), (2, -1)).shape
    (2, 3)
    """
    out = reshape_p(x, shape=sizes_of("reshape", sizes if shape is None else (shape,)))
    return clone_p(out) if copy else out


@torch_names
def view(x: Array, *shape: Any) -> Array:
    """:func:`reshape` by PyTorch's name. (Another dtype for the same bytes is not offered.)"""
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)) and not hasattr(shape[0], "__index__"):
        raise DTypeError(f"view: expected lengths, got {shape[0]!r}; to convert the elements use .to(dtype)")
    return reshape_p(x, shape=sizes_of("view", shape))


@torch_names
def view_as(x: Array, other: Array) -> Array:
    """``x`` in the shape of ``other``."""
    return reshape_p(x, shape=tuple(other.shape))


reshape_as = view_as


@torch_names
def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """The axes from ``start_dim`` to ``end_dim`` as one. (a, b, c) -> (a b c)"""
    if not x.ndim:
        return reshape_p(x, shape=(1,))
    first, last = axis_of("flatten", start_dim, x.ndim), axis_of("flatten", end_dim, x.ndim)
    if first > last:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} for {x.ndim} axes")
    shape = tuple(x.shape)
    return reshape_p(x, shape=(*shape[:first], prod(shape[first:last + 1]), *shape[last + 1:]))


@torch_names
def unflatten(x: Array, axis: int, sizes: Any) -> Array:
    """The axis ``axis`` as several of the given lengths, one of which may be -1."""
    axis, shape = axis_of("unflatten", axis, x.ndim), tuple(x.shape)
    sizes = list(sizes_of("unflatten", (sizes,)))
    if -1 in sizes:
        known = -prod(sizes)
        sizes[sizes.index(-1)] = shape[axis] // known if known > 0 else 0
    if prod(sizes) != shape[axis]:
        raise ShapeError(f"unflatten: lengths {tuple(sizes)} do not multiply to the length {shape[axis]} of axis {axis}")
    return reshape_p(x, shape=(*shape[:axis], *sizes, *shape[axis + 1:]))


@torch_names
def ravel(x: Array, /) -> Array:
    """All axes as one."""
    return reshape_p(x, shape=(-1,)) if prod(x.shape) else reshape_p(x, shape=(0,))


# ---- the order of axes ---------------------------------------------------------------------------------------------------

permute_p = primitive("permute", lambda xp, x, *, axes: xp.permute_dims(x, axes), linear_in="x", view=True)
permute_p.batch(_batching.permute)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


provide(reshape=reshape_p, permute=permute_p)
permute_p.vjp(x=lambda g, axes: permute_p(g, axes=_inverse(axes)))


@torch_names
def permute_dims(x: Array, /, *order: Any, axes: Any = None, dims: Any = None) -> Array:
    """Axis i of the result is axis ``axes[i]`` of x: ``permute_dims(x, (2, 0, 1))`` or ``x.permute(2, 0, 1)``."""
    if axes is not None or dims is not None:
        order = (axes if axes is not None else dims,)
    order = axes_of("permute_dims", sizes_of("permute_dims", order), x.ndim)
    if len(order) != x.ndim:
        raise ShapeError(f"permute_dims: axes {order} are {len(order)}, and x has {x.ndim} axes (shape {tuple(x.shape)}); "
                         "name each once")
    return permute_p(x, axes=order)


permute = permute_dims


@torch_names
def transpose(x: Array, /, *axes: Any, dim0: int | None = None, dim1: int | None = None) -> Array:
    """Two axes exchanged: ``transpose(x, dim0, dim1)``. Without axes all are reversed; with a tuple it is ``permute_dims``."""
    if dim0 is not None and dim1 is not None:
        axes = (dim0, dim1)
    if not axes or axes == (None,):
        return permute_p(x, axes=tuple(range(x.ndim - 1, -1, -1)))
    if len(axes) == 1:
        return permute_dims(x, *axes)
    return swapaxes(x, *axes)


@torch_aliases(dim0="axis0", dim1="axis1")
def swapaxes(x: Array, axis0: int, axis1: int, /) -> Array:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    a, b = axis_of("swapaxes", axis0, x.ndim), axis_of("swapaxes", axis1, x.ndim)
    if order:
        order[a], order[b] = b, a
    return permute_p(x, axes=tuple(order))


swapdims = swapaxes


@torch_names
def t(x: Array, /) -> Array:
    """The transposed matrix; what has fewer than two axes as it is."""
    if x.ndim > 2:
        raise ShapeError(f"t: expected at most 2 axes, got shape {tuple(x.shape)}; use .mT or .transpose(dim0, dim1)")
    return permute_p(x, axes=(1, 0)) if x.ndim == 2 else x


@torch_names
def matrix_transpose(x: Array, /) -> Array:
    """The last two axes exchanged. (..., m, n) -> (..., n, m)"""
    ndim = x.ndim
    if ndim < 2:
        raise ShapeError(f"matrix_transpose: expected at least 2 axes, got shape {tuple(x.shape)}")
    return permute_p(x, axes=(1, 0) if ndim == 2 else (*range(ndim - 2), ndim - 1, ndim - 2))



@torch_names
def moveaxis(x: Array, source: Any, destination: Any, /) -> Array:
    """The axes ``source`` moved to ``destination``; the others keep their order."""
    sources, places = axes_of("moveaxis", source, x.ndim), axes_of("moveaxis", destination, x.ndim)
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis: {len(sources)} axes cannot move to {len(places)} places")
    order = [a for a in range(x.ndim) if a not in sources]
    for place, source_ in sorted(zip(places, sources)):
        order.insert(place, source_)
    return permute_p(x, axes=tuple(order))


movedim = moveaxis


# ---- axes of length one --------------------------------------------------------------------------------------------------

@torch_names
def expand_dims(x: Array, /, axis: Any = 0) -> Array:
    """``x`` with a new axis of length 1 at ``axis`` (or at several)."""
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = x.ndim + len(given)
    new = axes_of("expand_dims", given, ndim)
    rest = iter(x.shape)
    return reshape_p(x, shape=tuple([1 if a in new else next(rest) for a in range(ndim)]))


unsqueeze = expand_dims


@torch_names
def squeeze(x: Array, /, axis: Any = None) -> Array:
    """``x`` without its axes of length 1, or without ``axis``, which must have length 1 (the standard;
    PyTorch ignores others)."""
    shape = tuple(x.shape)
    if axis is None:
        return reshape_p(x, shape=tuple([n for n in shape if n != 1]))
    gone = axes_of("squeeze", axis, x.ndim)
    for a in gone:
        if shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} has length {shape[a]}, and only axes of length 1 can go (shape {shape})")
    return reshape_p(x, shape=tuple([n for a, n in enumerate(shape) if a not in gone]))


# ---- broadcasting --------------------------------------------------------------------------------------------------------

@torch_names
def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to."""
    shapes = tuple([s if isinstance(s, (tuple, list)) else (s,) for s in shapes])
    try:
        return tuple(np.broadcast_shapes(*[tuple(s) for s in shapes]))
    except ValueError:
        raise ShapeError(f"broadcast_shapes: {', '.join(map(str, shapes))} do not broadcast with each other") from None


@torch_aliases(size="shape")
def broadcast_to(x: Array, /, shape: Any) -> Array:
    """``x`` repeated along new axes and axes of length 1 to ``shape``, without copying."""
    shape = sizes_of("broadcast_to", (shape,))
    mine = tuple(x.shape)
    if len(mine) > len(shape) or any(m not in (n, 1) for m, n in zip(reversed(mine), reversed(shape))):
        raise ShapeError(f"broadcast_to: x has shape {mine}, which does not broadcast to {shape}")
    return expand(x, shape=shape)


@torch_names
def expand_(x: Array, /, *sizes: Any, size: Any = None) -> Array:
    """:func:`broadcast_to` with lengths as arguments; -1 keeps the axis's length."""
    shape = sizes_of("expand", sizes if size is None else (size,))
    extra = len(shape) - x.ndim
    if extra >= 0:
        shape = tuple([x.shape[a - extra] if n == -1 and a >= extra else n for a, n in enumerate(shape)])
    if -1 in shape:
        raise ShapeError("expand: -1 keeps the length of an axis, and a new axis has none "
                         f"(x has shape {tuple(x.shape)}, sizes {shape})")
    return broadcast_to(x, shape)


@torch_names
def expand_as(x: Array, other: Array, /) -> Array:
    """``x`` broadcast to the shape of ``other``."""
    return broadcast_to(x, tuple(other.shape))


@torch_names
def broadcast_arrays(*arrays: Array) -> list[Array]:
    """The arrays broadcast against each other."""
    shape = broadcast_shapes(*[tuple(a.shape) for a in arrays])
    return [a if tuple(a.shape) == shape else expand(a, shape=shape) for a in arrays]


broadcast_tensors = broadcast_arrays


# ---- concat, stack -------------------------------------------------------------------------------------------------------

def _check_concat(*arrays: Any, axis: int) -> None:
    first = tuple(arrays[0].shape)
    for i, a in enumerate(arrays):
        shape = tuple(a.shape)
        if len(shape) != len(first) or any(m != n for k, (m, n) in enumerate(zip(shape, first)) if k != axis):
            raise ShapeError(f"concat: arrays[{i}] has shape {shape}, which apart from axis {axis} must equal arrays[0]'s "
                             f"{first}")


concat_p = primitive("concat", lambda xp, *arrays, axis: xp.concat(arrays, axis=axis), check=_check_concat)
concat_p.batch(along("axis"))


def _part(g: Array, i: int, shapes: list[tuple[int, ...]], axis: int) -> Array:
    start = sum([s[axis] for s in shapes[:i]])
    return getitem_p(g, spec=(*[_ALL] * axis, slice(start, start + shapes[i][axis]), Ellipsis))


concat_p.vjp(arrays=_part)


@torch_aliases(tensors="arrays")
def concat(arrays: Any, /, axis: int | None = 0) -> Array:
    """The arrays one after another along ``axis``; no axis: flattened first. (n1, ...), (n2, ...) -> (n1 + n2, ...)

    >>> import tensorlite as tl
    >>> tl.concat([tl.ones(2), tl.zeros(1)])
    tensor([1., 1., 0.])
    """
    arrays = _given("concat", arrays)
    if axis is None:
        arrays, axis = [reshape_p(a, shape=(prod(a.shape),)) for a in arrays], 0
    return concat_p(*arrays, axis=axis_of("concat", axis, max(a.ndim for a in arrays)))


@torch_names
def cat(tensors: Any, dim: int = 0, *, axis: int | None = None) -> Array:
    """PyTorch's name for :func:`concat`."""
    return concat(tensors, axis=dim if axis is None else axis)


concatenate = concat


def _given(op: str, arrays: Any) -> list[Any]:
    if isinstance(arrays, Value):
        arrays = unbind(arrays)
    arrays = list(arrays)
    if not arrays:
        raise ShapeError(f"{op}: expected at least one array, got none")
    if any(not hasattr(a, "shape") for a in arrays):
        raise DTypeError(f"{op}: expected arrays or tensors, got {', '.join(sorted({type(a).__name__ for a in arrays}))}")
    return arrays


def _check_stack(*arrays: Any, axis: int) -> None:
    first = tuple(arrays[0].shape)
    for i, a in enumerate(arrays):
        if tuple(a.shape) != first:
            raise ShapeError(f"stack: arrays[{i}] has shape {tuple(a.shape)}, which must equal arrays[0]'s {first}")


stack_p = primitive("stack", lambda xp, *arrays, axis: xp.stack(arrays, axis=axis), check=_check_stack)
stack_p.batch(_batching.stack)
stack_p.vjp(arrays=lambda g, i, axis: getitem_p(g, spec=(*[_ALL] * axis, i, Ellipsis)))


@torch_aliases(tensors="arrays")
def stack(arrays: Any, /, axis: int = 0) -> Array:
    """The arrays side by side along a new axis. k times (n, m) -> (k, n, m)"""
    arrays = _given("stack", arrays)
    return stack_p(*arrays, axis=axis_of("stack", axis, arrays[0].ndim + 1))


def _at_least(x: Array, ndim: int) -> Array:
    shape = tuple(x.shape)
    if len(shape) >= ndim:
        return x
    if ndim == 3:
        return reshape_p(x, shape=((1, 1, 1), (1, *shape, 1), (*shape, 1))[len(shape)])
    return reshape_p(x, shape=(1,) * (ndim - len(shape)) + shape)


@torch_aliases(tensors="arrays")
def vstack(arrays: Any, /) -> Array:
    """The arrays as rows, one under another."""
    return concat([_at_least(a, 2) for a in _given("vstack", arrays)], axis=0)


@torch_aliases(tensors="arrays")
def hstack(arrays: Any, /) -> Array:
    """The arrays next to each other along the second axis (the first, for vectors)."""
    arrays = [_at_least(a, 1) for a in _given("hstack", arrays)]
    return concat(arrays, axis=0 if arrays[0].ndim == 1 else 1)


@torch_aliases(tensors="arrays")
def dstack(arrays: Any, /) -> Array:
    """The arrays behind each other along the third axis."""
    return concat([_at_least(a, 3) for a in _given("dstack", arrays)], axis=2)


row_stack = vstack


# ---- split, unstack ------------------------------------------------------------------------------------------------------

def _split(xp: Any, x: Any, *, lengths: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    start, before, after = 0, (_ALL,) * axis, (_ALL,) * (x.ndim - axis - 1)
    parts = []
    for n in lengths:
        parts.append(x[(*before, slice(start, start + n), *after)])
        start += n
    return tuple(parts)


split_p = primitive("split", _split, outputs=0, view=True, linear_in="x")
split_p.batch(along("axis"))


def _joined(g: list[Any], lengths: tuple[int, ...], axis: int, x_shape: tuple[int, ...]) -> Array:
    some = next(part for part in g if part is not None)
    return concat_p(*[zeros_of_p(some, shape=(*x_shape[:axis], n, *x_shape[axis + 1:])) if part is None else part
                      for part, n in zip(g, lengths)], axis=axis)


split_p.vjp(x=_joined)


@torch_aliases(tensor="x", split_size="split_size_or_sections", sections="split_size_or_sections")
def split(x: Array, split_size_or_sections: Any, /, axis: int = 0) -> tuple[Array, ...]:
    """Pieces along ``axis``: of one length (the last may be shorter), or of the lengths in a list. Each is a view.

    >>> import tensorlite as tl
    >>> [p.tolist() for p in tl.split(tl.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    axis = axis_of("split", axis, x.ndim)
    n = x.shape[axis]
    if isinstance(split_size_or_sections, (tuple, list)):
        lengths = sizes_of("split", (split_size_or_sections,))
        if sum(lengths) != n or min(lengths, default=0) < 0:
            raise ShapeError(f"split: lengths {lengths} sum to {sum(lengths)}, and axis {axis} has length {n}")
    else:
        size = operator.index(split_size_or_sections)
        if size <= 0:
            raise ShapeError(f"split: pieces of length {size}; expected at least 1")
        lengths = tuple([min(size, n - start) for start in range(0, n, size)]) or (0,)
    return split_p(x, lengths=lengths, axis=axis)


@torch_names
def chunk(x: Array, chunks: int, /, axis: int = 0) -> tuple[Array, ...]:
    """At most ``chunks`` pieces of equal length along ``axis``, the last possibly shorter."""
    n = x.shape[axis_of("chunk", axis, x.ndim)]
    if chunks <= 0:
        raise ShapeError(f"chunk: {chunks} pieces; expected at least 1")
    return split(x, max(-(-n // chunks), 1), axis=axis)


@torch_aliases(sections="indices_or_sections", indices="indices_or_sections")
def tensor_split(x: Array, indices_or_sections: Any, /, axis: int = 0) -> tuple[Array, ...]:
    """Pieces along ``axis``: that many, as equal as can be, or cut at the given indices (NumPy's ``array_split``)."""
    axis = axis_of("tensor_split", axis, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [slice(None, c).indices(n)[1] for c in sizes_of("tensor_split", (indices_or_sections,))]
        if any(b < a for a, b in pairwise(cuts)):
            return tuple([getitem_p(x, spec=(*[_ALL] * axis, slice(a, b), Ellipsis)) for a, b in zip([0, *cuts], [*cuts, n])])
        edges = [0, *cuts, n]
        lengths = tuple([b - a for a, b in pairwise(edges)])
    else:
        count = operator.index(indices_or_sections)
        if count <= 0:
            raise ShapeError(f"tensor_split: {count} pieces; expected at least 1")
        lengths = tuple([n // count + (k < n % count) for k in range(count)])
    return split_p(x, lengths=lengths, axis=axis)


unstack_p = primitive("unstack", lambda xp, x, *, axis: tuple(
    [x[(*[_ALL] * axis, k, Ellipsis)] for k in range(x.shape[axis])]), outputs=0, view=True, linear_in="x")
unstack_p.batch(along("axis"))


def _stacked(g: list[Any], axis: int) -> Array:
    some = next(part for part in g if part is not None)
    return stack_p(*[zeros_of_p(some, shape=tuple(some.shape)) if part is None else part for part in g], axis=axis)


unstack_p.vjp(x=_stacked)


@torch_names
def unstack(x: Array, /, axis: int = 0) -> tuple[Array, ...]:
    """The slices along ``axis``, without it. Each is a view. (k, n, m) -> k times (n, m)"""
    if not x.ndim:
        raise ShapeError("unstack: a zero-dimensional tensor has no axis to go along")
    return unstack_p(x, axis=axis_of("unstack", axis, x.ndim))


unbind = unstack


# ---- clone, astype -------------------------------------------------------------------------------------------------------

clone_p = primitive("clone", lambda xp, x: xp.asarray(x, copy=True), linear_in="x")
clone_p.batch(pointwise)
clone_p.vjp(x=lambda g: g)


@torch_names
def clone(x: Array, /) -> Array:
    """A copy, through which gradients flow."""
    return clone_p(x)


@torch_names
def contiguous(x: Array, /) -> Array:
    """``x`` if its memory is in C order, else a copy that is."""
    flags = getattr(raw(x), "flags", None)
    if flags is None or flags.c_contiguous:
        return x
    return contiguous_p(x)


def _contiguous(xp: Any, x: Any) -> Any:
    out = xp.empty(x.shape, dtype=x.dtype)   # a copy by asarray would keep the order
    out[...] = x
    return out


contiguous_p = primitive("contiguous", _contiguous, linear_in="x")
contiguous_p.batch(pointwise)
contiguous_p.vjp(x=lambda g: g)


@torch_names
def astype(x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    """``x`` with elements of ``dtype``; gradients come back in x's dtype, and none through integers and booleans.

    From a complex type to a real one it drops the imaginary parts, with NumPy's ``ComplexWarning``.

    >>> import tensorlite as tl
    >>> tl.astype(tl.tensor([1.5, -2.5]), tl.int64)
    tensor([ 1, -2])
    """
    dtype = as_dtype(dtype)
    if x.dtype == dtype:
        return clone_p(x) if copy else x
    return cast(x, dtype)


@torch_names
def type_(x: Array, dtype: Any, /) -> Array:
    """``x`` with elements of ``dtype``; itself if it has them."""
    return astype(x, dtype, copy=False)


@torch_names
def type_as(x: Array, other: Array, /) -> Array:
    """``x`` in the dtype of ``other``."""
    return astype(x, other.dtype, copy=False)


def _to(name: str, dtype: Any) -> Any:
    def convert(x: Array, /) -> Array:
        return astype(x, dtype() if callable(dtype) and not isinstance(dtype, type) else dtype, copy=False)
    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"``x`` with elements of {getattr(dtype, 'name', name)}; itself if it has them."
    return convert


float_, double, half = _to("float", _dtypes.float32), _to("double", _dtypes.float64), _to("half", _dtypes.float16)
bfloat16 = _to("bfloat16", _dtypes.bfloat16)
long, int_, short = _to("long", _dtypes.int64), _to("int", _dtypes.int32), _to("short", _dtypes.int16)
char, byte, bool_ = _to("char", _dtypes.int8), _to("byte", _dtypes.uint8), _to("bool", _dtypes.bool_)


def dtype_of(given: Any) -> Any:
    """The dtype of an array, or of what names a dtype. (NumPy's dtypes have a ``shape``, and its types a ``dtype``.)"""
    if isinstance(given, (np.dtype, type)) or not hasattr(given, "dtype"):
        return as_dtype(given)
    return as_dtype(raw(given).dtype)


@torch_names
def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that an operation of these has: NumPy's promotion, with Python numbers weak."""
    given = [a if isinstance(a, (bool, int, float, complex)) else dtype_of(a) for a in arrays_and_dtypes]
    if not given:
        raise DTypeError("result_type: expected at least one array or dtype, got none")
    if all(isinstance(a, (bool, int, float, complex)) for a in given):
        given.append(np.bool_)
    return np.result_type(*given)


@torch_names
def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether every value of dtype (or array) ``from_`` is one of dtype ``to``, by NumPy's promotion rules."""
    return bool(np.can_cast(dtype_of(from_), as_dtype(to)))
