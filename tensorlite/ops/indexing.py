"""Indexing: ``x[...]`` and ``x[...] = v`` in every form, take, gather, scatter and their kin.

All of it is three operations and one helper: ``getitem_p`` reads, ``put_p`` writes into a copy, ``put_add_p`` adds into zeros
(the adjoint of reading). Each takes a static description of the index, ``spec``, in which :data:`ARRAY` stands for an array that
is passed beside it, so that the tape, the checks for changes in place and every transform see those arrays.
"""
from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite._state import current
from tensorlite.engine import inplace, tape
from tensorlite.engine.batching import anywhere, in_a_batch, shaped
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import KIND, RAW, Provided, Value, new, provide, raw
from tensorlite.errors import DeviceError, DTypeError, OutOfRangeError, ShapeError, TensorliteError, VmapError
from tensorlite.ops import _batching
from tensorlite.ops._index import (
    ALL,
    ARRAY,
    add_into,
    check_index,
    check_put,
    fill,
    index_array,
    parse,
    put_into,
    select,
    to_host,
    winners,
)
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.elementwise import add_p, cast_p, expand, mul_p, where_p
from tensorlite.ops.functions import conj

Array = Any


# ---- the operations ----------------------------------------------------------------------------------------------------

getitem_p: Primitive = primitive("getitem", select, linear_in="x", view=True, check=check_index)
getitem_p.batch(_batching.getitem)
getitem_p.vjp(x=lambda g, indices, spec, x_shape: put_add_p(g, *indices, spec=spec, shape=x_shape))

put_add_p: Primitive = primitive(
    "put_add", add_into, linear_in="v",
    check=lambda v, *indices, spec, shape, op="put_add": check_index(v, *indices, spec=spec, op=op, shape=shape))
put_add_p.batch(_batching.put_add)
put_add_p.vjp(v=lambda g, indices, spec: getitem_p(g, *indices, spec=spec))

put_p: Primitive = primitive("put", put_into, linear_in="x v", check=check_put)
put_p.batch(_batching.put)


def _put_v(g: Any, indices: Any, spec: tuple[Any, ...], x_shape: tuple[int, ...], v_shape: tuple[int, ...]) -> Any:
    if current().batches and len(indices) == 1 and spec == (ARRAY, Ellipsis) and _dtypes.kind(indices[0].dtype) == "b":
        return _put_v_by_mask(g, indices[0], v_shape)
    g = getitem_p(g, *indices, spec=spec)
    if any(_dtypes.kind(i.dtype) != "b" for i in indices):   # where an element was written twice, only the last value counts
        g = where_p(winners_p(g, *indices, spec=spec, shape=x_shape), g, 0)
    return g


def _put_v_by_mask(g: Any, mask: Any, v_shape: tuple[int, ...]) -> Any:
    """The same inside of vmap, where masks may differ: the number of places is known from v's shape, or it does not matter."""
    from tensorlite.ops.manipulation import reshape_p
    rest = tuple(g.shape)[mask.ndim:]
    rows, mask = reshape_p(g, shape=(prod(mask.shape), *rest)), reshape_p(mask, shape=(prod(mask.shape),))
    if len(v_shape) <= len(rest) or v_shape[-len(rest) - 1] == 1:   # one value for all places: a sum over them
        return where_p(reshape_p(mask, shape=(*mask.shape, *[1] * len(rest))), rows, 0)
    from tensorlite.ops.comparison import not_p
    from tensorlite.ops.searching import argsort_p
    order = argsort_p(not_p(mask), axis=0)
    return take(rows, getitem_p(order, spec=(slice(v_shape[-len(rest) - 1]), Ellipsis)), axis=0)


put_p.vjp(x=lambda g, indices, spec: put_p(g, 0, *indices, spec=spec), v=_put_v)
put_p.jvp(x=lambda t, indices, spec: put_p(t, 0, *indices, spec=spec),
          v=lambda t, x, indices, spec: put_p(zeros_of_p(x, shape=tuple(x.shape)), t, *indices, spec=spec))

# which of the values an index assigns stay: those not overwritten later
winners_p: Primitive = primitive("winners", winners, discrete=True)
winners_p.batch(_batching.winners)

zeros_of_p: Primitive = primitive("zeros_of", lambda xp, x, *, shape: xp.zeros(shape, dtype=x.dtype), discrete=True)
zeros_of_p.batch(shaped("shape"))


def _write_view(xp: Any, x: Any, v: Any, *, replay: Any) -> Any:
    if _dtypes.kind(x.dtype) == "c":   # places of parts: a view of a complex array may be real
        numbers = xp.reshape(xp.arange(prod(x.shape), dtype=xp.float64), x.shape)
        places = replay(2 * numbers + (2 * numbers + 1) * xp.asarray(1j, dtype=xp.complex128))
        if _dtypes.kind(places.dtype) != "c":
            parts = xp.reshape(xp.stack([xp.real(x), xp.imag(x)], axis=-1), (-1,))
            parts = xp.reshape(put_into(xp, parts, v, xp.astype(places, xp.int64), spec=(ARRAY, Ellipsis)), (*x.shape, 2))
            return xp.astype(parts[..., 0], x.dtype) + parts[..., 1] * xp.asarray(1j, dtype=x.dtype)
    places = replay(xp.reshape(xp.arange(prod(x.shape), dtype=xp.int64), x.shape))
    return xp.reshape(put_into(xp, xp.reshape(x, (-1,)), v, places, spec=(ARRAY, Ellipsis)), x.shape)


def _seen(g: Any, replay: Any, dtype: Any) -> Any:
    """The part of g that replay picks; the transpose of a part's place conjugates (docs/complex.md)."""
    if _dtypes.kind(g.dtype) == _dtypes.kind(dtype):
        return replay(g)
    return conj(replay(conj(g)))


# x with the part that replay(x) picks replaced by v
write_view_p: Primitive = primitive("write_view", _write_view, linear_in="x v")
write_view_p.batch(_batching.write_view)
write_view_p.vjp(x=lambda g, replay: write_view_p(g, 0, replay=replay), v=lambda g, replay, v_dtype: _seen(g, replay, v_dtype))
write_view_p.jvp(x=lambda t, replay: write_view_p(t, 0, replay=replay),
                 v=lambda t, x, replay: write_view_p(zeros_of_p(x, shape=tuple(x.shape)), t, replay=replay))

provide(write_view=write_view_p)


# ---- x[...] ------------------------------------------------------------------------------------------------------------

def getitem(x: Array, key: Any) -> Array:
    """``x[key]`` for every form of basic, integer-array, boolean-array and mixed index, with NumPy's rules.

    Basic indices give a view: changing it in place changes ``x``. Errors: ``OutOfRangeError`` (an IndexError) that names
    the axis, ``DTypeError`` (a TypeError) for an index that is no integer.

    >>> import tensorlite as tl
    >>> x = tl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[1, 0].item(), x[[1, 0, 1], 1].tolist(), x[x > 2.5].tolist()
    (3.0, [4.0, 2.0, 4.0], [3.0, 4.0])
    """
    spec, arrays = parse(x, key)
    return getitem_p(x, *arrays, spec=spec)


# ---- x[...] = v --------------------------------------------------------------------------------------------------------

def setitem(x: Any, key: Any, value: Any) -> None:
    """``x[key] = value`` in place: the value is broadcast and cast to x's dtype, and gradients flow to it and to the rest of x.

    Where an array of integers names an element twice, the last value stays, and it alone gets a gradient.

    >>> import tensorlite as tl
    >>> v = tl.tensor(2.0, requires_grad=True)
    >>> out = tl.zeros(3)
    >>> out[1] = v * v
    >>> out.sum().backward()
    >>> out.tolist(), v.grad.item()
    ([0.0, 4.0, 0.0], 4.0)
    """
    spec, arrays = parse(x, key)
    write(x, value, arrays, spec, "setitem")


def write(x: Any, value: Any, arrays: tuple[Any, ...], spec: tuple[Any, ...], op: str) -> Any:
    """Put ``value`` where ``spec`` says, into x's own memory: nothing of x's size is computed."""
    inplace.guard(x, op)
    if isinstance(value, (list, tuple)):
        value = index_array(x, np.asarray(value, dtype=None))
    _fits(op, x, value)
    if x.level:
        return inplace.become(x, put_p(x, value, *arrays, spec=spec, op=op), op)
    for other in (value, *arrays):
        if isinstance(other, Value) and other.level:
            inplace.outside(op)
    tracked = (x.tracked or (isinstance(value, Value) and value.tracked)) and not current().record_from
    tracked = tracked and Provided.is_differentiable(x.dtype)
    if isinstance(value, Value) and value.tracked and value.value.ndim and value.value.shape[0] == 1:
        value = _without_leading_ones(value)
    values = [raw(a) for a in (x, value, *arrays)]
    target = values[0]
    backend = backends.backend_of(target)
    for given in values[1:]:
        if KIND.get(given.__class__) == RAW and backends.backend_of(given) is not backend:
            raise DeviceError(f"{op}: the tensor is on {backend.device_of(target)}, what is written into it or indexes it on "
                              f"{backends.backend_of(given).device_of(given)}; move them to one device with .to(device)")
    inplace.writable(x, op)
    try:
        if "inplace" in backend.capabilities:
            backend.assign(target, fill(spec, values[2:]), values[1])
        else:
            backend.assign(target, Ellipsis, put_p(*values, spec=spec, op=op))
    except TensorliteError:
        raise
    except (IndexError, ValueError, TypeError) as error:
        check_put(*values, spec=spec, op=op)
        raise DTypeError(f"{op}: {error}") from error
    result = new(target)
    if tracked:
        args = (x, value, *arrays)
        mask = sum(1 << i for i, a in enumerate(args[:2]) if isinstance(a, Value) and a.tracked)
        result.node = tape.record(put_p, args, values, mask, target, {"spec": spec})
        result.tracked = True
    return inplace.become(x, result, op, written=True)


def _fits(op: str, x: Any, value: Any) -> Any:
    """``value``, which is to be written among the elements of x: not complex numbers among real ones."""
    dtype = getattr(value, "dtype", None)
    if (value.__class__ is complex or (dtype is not None and dtype != x.dtype and _dtypes.kind(dtype) == "c")) \
            and _dtypes.kind(x.dtype) != "c":
        raise DTypeError(f"{op}: the values are complex, and x has dtype {x.dtype}, which holds no imaginary parts; convert x "
                         "first, or write .real")
    return value


def _without_leading_ones(value: Any) -> Any:
    from tensorlite.ops.manipulation import reshape_p
    shape = value.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    return reshape_p(value, shape=shape)


@torch_names
def put(x: Array, key: Any, value: Any) -> Array:
    """A copy of ``x`` with ``x[key]`` replaced by ``value``: ``x[key] = value`` without changing ``x``."""
    spec, arrays = parse(x, key)
    return put_p(x, _fits("put", x, value), *arrays, spec=spec)


# ---- along an axis -----------------------------------------------------------------------------------------------------

def _axis(op: str, x: Any, axis: Any) -> int:
    try:
        number = operator.index(axis)
    except TypeError:
        raise DTypeError(f"{op}: axis is an integer, and this is {axis!r}") from None
    ndim = max(x.ndim, 1)
    if not -ndim <= number < ndim:
        raise OutOfRangeError(f"{op}: axis {number} is out of range for {x.ndim} axes (shape {tuple(x.shape)})")
    return number % ndim


def _indices(op: str, x: Array, indices: Any, *, kinds: str = "iu") -> Any:
    """Index arrays given as tensors, arrays or lists, as something x's operations take."""
    if not isinstance(indices, Value) and KIND.get(type(indices)) != RAW:
        indices = np.asarray(indices, dtype=np.int64 if isinstance(indices, (list, tuple, range)) and not len(indices) else None)
    if isinstance(indices, (np.ndarray, np.generic)):
        indices = index_array(x, np.asarray(indices))
    if _dtypes.kind(indices.dtype) not in kinds:
        raise DTypeError(f"{op}: the indices have dtype {indices.dtype}; expected {'integers' if kinds == 'iu' else 'booleans'}")
    return indices


@torch_aliases(index="indices")
def take(x: Array, indices: Any, /, *, axis: int | None = None) -> Array:
    """The elements of ``x`` at ``indices`` along ``axis`` (without one: of the flattened x).

    Shapes: (..., n, ...) -> (..., *indices.shape, ...)

    >>> import tensorlite as tl
    >>> tl.take(tl.tensor([[1, 2], [3, 4]]), tl.tensor([1, 1, 0]), axis=1).tolist()
    [[2, 2, 1], [4, 4, 3]]
    """
    indices = _indices("take", x, indices)
    if axis is None:
        if x.ndim != 1:
            from tensorlite.ops.manipulation import reshape_p
            x = reshape_p(x, shape=(prod(x.shape),))
        axis = 0
    return getitem_p(x, indices, spec=(*[ALL] * _axis("take", x, axis), ARRAY, Ellipsis), op="take")


@torch_names
def index_select(x: Array, axis: int, index: Any) -> Array:
    """PyTorch's order of arguments for :func:`take`: index_select(x, dim, index)."""
    return take(x, index, axis=axis)


def _along(op: str, x: Array, axis: int, index: Array) -> tuple[tuple[Any, ...], tuple[Any, ...], int]:
    """The arrays that pick, for each place of ``index``, the element of x there but at the index along the axis."""
    axis = _axis(op, x, axis)
    if index.ndim != x.ndim:
        raise ShapeError(f"{op}: index has {index.ndim} axes and x has {x.ndim}; they need the same number")
    if not x.ndim:
        return (index,), (None, ARRAY, Ellipsis), axis
    if any(n > m for a, (n, m) in enumerate(zip(index.shape, x.shape)) if a != axis):
        raise ShapeError(f"{op}: index has shape {tuple(index.shape)}, which apart from axis {axis} reaches beyond x's "
                         f"{tuple(x.shape)}")
    arrays = []
    for a, n in enumerate(index.shape):
        shape = [1] * x.ndim
        shape[a] = n
        arrays.append(index if a == axis else index_array(x, np.arange(n).reshape(shape)))
    return tuple(arrays), (*[ARRAY] * x.ndim, Ellipsis), axis


@torch_names
def gather(x: Array, axis: int | None = None, index: Any = None, *, dim: int | None = None) -> Array:
    """out[i][j][k] = x[index[i][j][k]][j][k] for axis 0, and so on: as many axes as x, as long as index.

    >>> import tensorlite as tl
    >>> tl.gather(tl.tensor([[1, 2], [3, 4]]), 1, tl.tensor([[0], [1]])).tolist()
    [[1], [4]]
    """
    axis = dim if axis is None else axis
    index = _indices("gather", x, index)
    arrays, spec, _ = _along("gather", x, axis, index)   # type: ignore[arg-type]
    return getitem_p(x, *arrays, spec=spec, op="gather")


def _source(op: str, index: Array, src: Any) -> Any:
    """What is scattered: a number, or the part of src that index has a place for."""
    if not hasattr(src, "shape") or not src.ndim:
        return src
    if src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape)):
        raise ShapeError(f"{op}: src has shape {tuple(src.shape)}, which does not cover index of shape {tuple(index.shape)}")
    if tuple(src.shape) == tuple(index.shape):
        return src
    return getitem_p(src, spec=(*[slice(n) for n in index.shape], Ellipsis))


@torch_names
def scatter(x: Array, axis: int, index: Any, src: Any = None, *, value: Any = None) -> Array:
    """A copy of x with out[index[i][j]][j] = src[i][j] (for axis 0); where an element is named twice the last one stays."""
    src = value if src is None else src
    index = _indices("scatter", x, index)
    arrays, spec, _ = _along("scatter", x, axis, index)
    return put_p(x, _fits("scatter", x, _source("scatter", index, src)), *arrays, spec=spec, op="scatter")


@torch_names
def scatter_add(x: Array, axis: int, index: Any, src: Any) -> Array:
    """A copy of x with out[index[i][j]][j] += src[i][j] (for axis 0), in an order that is always the same.

    >>> import tensorlite as tl
    >>> tl.scatter_add(tl.zeros(3), 0, tl.tensor([0, 2, 0]), tl.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    index = _indices("scatter_add", x, index)
    arrays, spec, _ = _along("scatter_add", x, axis, index)
    src = _fits("scatter_add", x, _source("scatter_add", index, src))
    if not hasattr(src, "shape") or not src.ndim:
        src = src if hasattr(src, "shape") else index_array(x, np.asarray(src))
        src = expand(cast_p(src, dtype=x.dtype), shape=tuple(index.shape))
    return add_p(x, put_add_p(src, *arrays, spec=spec, shape=tuple(x.shape), op="scatter_add"))


@torch_aliases(source="src")
def index_add(x: Array, axis: int, index: Any, src: Array, *, alpha: float = 1) -> Array:
    """A copy of x with alpha src[i] added to x[index[i]] along ``axis``."""
    index = _indices("index_add", x, index)
    spec = (*[ALL] * _axis("index_add", x, axis), ARRAY, Ellipsis)
    if alpha != 1:
        src = mul_p(src, alpha)
    return add_p(x, put_add_p(src, index, spec=spec, shape=tuple(x.shape), op="index_add"))


@torch_aliases(source="src")
def index_copy(x: Array, axis: int, index: Any, src: Array) -> Array:
    """A copy of x with x[index[i]] replaced by src[i] along ``axis``."""
    index = _indices("index_copy", x, index)
    _fits("index_copy", x, src)
    return put_p(x, src, index, spec=(*[ALL] * _axis("index_copy", x, axis), ARRAY, Ellipsis), op="index_copy")


@torch_names
def index_fill(x: Array, axis: int, index: Any, value: Any) -> Array:
    """A copy of x with x[index[i]] along ``axis`` filled with ``value``."""
    index = _indices("index_fill", x, index)
    _fits("index_fill", x, value)
    return put_p(x, value, index, spec=(*[ALL] * _axis("index_fill", x, axis), ARRAY, Ellipsis), op="index_fill")


@torch_names
def index_put(x: Array, indices: tuple[Any, ...], values: Any, accumulate: bool = False) -> Array:
    """A copy of x with x[indices] = values, or with ``accumulate`` x[indices] += values where repeated indices add up."""
    spec, arrays = parse(x, tuple(indices))
    _fits("index_put", x, values)
    if not accumulate:
        return put_p(x, values, *arrays, spec=spec, op="index_put")
    if any(in_a_batch(a) and _dtypes.kind(a.dtype) == "b" for a in arrays):
        raise VmapError("vmap: index_put with accumulate=True by a boolean mask that differs along the batch takes values of "
                        "different numbers; add where(mask, value, 0)")
    hosts = [np.asarray(to_host(new(raw(a)))) if _dtypes.kind(a.dtype) == "b" else np.zeros(tuple(a.shape), np.int64)
             for a in arrays]
    part = np.broadcast_to(np.zeros(()), tuple(x.shape))[fill(spec, hosts)].shape
    values = cast_p(values if hasattr(values, "shape") else index_array(x, np.asarray(values)), dtype=x.dtype)
    return add_p(x, put_add_p(expand(values, shape=part), *arrays, spec=spec, shape=tuple(x.shape), op="index_put"))


# ---- by a mask ---------------------------------------------------------------------------------------------------------

@torch_names
def masked_select(x: Array, mask: Array, /) -> Array:
    """The elements of x where the mask is true, as one axis; x and mask are broadcast against each other."""
    mask = _indices("masked_select", x, mask, kinds="b")
    if tuple(mask.shape) != tuple(x.shape):
        shape = np.broadcast_shapes(tuple(x.shape), tuple(mask.shape))
        x, mask = expand(x, shape=shape), expand(mask, shape=shape)
    return getitem_p(x, mask, spec=(ARRAY, Ellipsis), op="masked_select")


@torch_names
def masked_fill(x: Array, mask: Array, value: Any, /) -> Array:
    """``value`` (a number or a zero-dimensional tensor) where the mask is true, x elsewhere; the mask is broadcast to x."""
    mask = _indices("masked_fill", x, mask, kinds="b")
    _fits("masked_fill", x, value)
    return where_p(mask, cast_p(value, dtype=x.dtype) if hasattr(value, "dtype") and value.dtype != x.dtype else value, x)


@torch_names
def masked_scatter(x: Array, mask: Array, source: Array, /) -> Array:
    """x with the elements where the mask is true replaced, in order, by the first elements of ``source``."""
    mask = _indices("masked_scatter", x, mask, kinds="b")
    if tuple(mask.shape) != tuple(x.shape):
        mask = expand(mask, shape=tuple(x.shape))
    from tensorlite.ops.manipulation import reshape_p
    flat = reshape_p(_fits("masked_scatter", x, source), shape=(prod(source.shape),))
    if in_a_batch(mask):
        return _masked_scatter_in_a_batch(x, mask, flat)
    count = int(raw(mask).sum()) if hasattr(raw(mask), "sum") else int(np.asarray(raw(mask)).sum())
    return put_p(x, getitem_p(flat, spec=(slice(count), Ellipsis)), mask, spec=(ARRAY, Ellipsis), op="masked_scatter")


def _masked_scatter_in_a_batch(x: Array, mask: Array, flat: Array) -> Array:
    """The same with masks that differ along a batch: each place takes the element that the mask's running count names."""
    from tensorlite.ops.cumulative import cumsum_p
    from tensorlite.ops.elementwise import clip, sub_p
    from tensorlite.ops.manipulation import reshape_p
    count = cumsum_p(cast_p(reshape_p(mask, shape=(prod(mask.shape),)), dtype=_dtypes.int64), axis=0)
    available = flat.shape[0]
    if anywhere(count > available):
        raise ShapeError(f"masked_scatter: source has {available} elements, but in the batch there is a mask that is true for "
                         "more places; give as many as the fullest mask needs")
    if not available:
        return x
    picked = cast_p(take(flat, clip(sub_p(count, 1), 0, available - 1)), dtype=x.dtype)
    return where_p(mask, reshape_p(picked, shape=tuple(mask.shape)), x)
