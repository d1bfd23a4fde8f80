"""What an index means: its parts, the reference implementations over the array API standard, and what is wrong with it."""
from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite.engine.batching import in_a_batch
from tensorlite.engine.value import KIND, RAW, Value, raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError

Array = Any


class _Placeholder:
    """What stands in a spec for an index array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ARRAY"


ARRAY = _Placeholder()
_BASIC = frozenset((int, slice, type(None), type(Ellipsis)))
ALL = slice(None)


# ---- from what stands between the brackets to (spec, arrays) -----------------------------------------------------------

def parse(x: Array, key: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The spec of an index and the arrays in it; lists become arrays, numbers are checked, an Ellipsis ends what has none."""
    kind = key.__class__
    if kind is int or kind is slice:
        return (key, Ellipsis), ()
    if kind is not tuple:
        key = (key,)
    spec: list[Any] = []
    arrays: list[Any] = []
    dots = False
    for entry in key:
        kind = entry.__class__
        if kind not in _BASIC:
            entry = _entry(x, entry)
            if isinstance(entry, Value) or KIND.get(entry.__class__) == RAW:
                arrays.append(entry)
                entry = ARRAY
        elif kind is slice and not _plain_slice(entry):
            entry = slice(_bound(entry.start), _bound(entry.stop), _bound(entry.step))
        if entry is Ellipsis:
            if dots:
                raise OutOfRangeError("getitem: an index can have one ellipsis ('...'), and this has several")
            dots = True
        spec.append(entry)
    if not dots:
        spec.append(Ellipsis)
    return tuple(spec), tuple(arrays)


def _plain_slice(s: slice) -> bool:
    return all(bound is None or bound.__class__ is int for bound in (s.start, s.stop, s.step))


def _bound(bound: Any) -> Any:
    if bound is None:
        return None
    if isinstance(bound, Value) and bound.level:
        return operator.index(bound)   # type: ignore[arg-type]
    value = raw(bound)
    try:
        return operator.index(value.item() if getattr(value, "ndim", None) == 0 else value)
    except TypeError:
        raise DTypeError(f"getitem: a slice is bounded by integers, and this is a {type(bound).__name__}: {bound!r}") from None


def _entry(x: Array, entry: Any) -> Any:
    """One entry that is neither integer, slice, None nor Ellipsis: an integer, or an array that x's operations take."""
    if isinstance(entry, (bool, np.bool_)):
        return index_array(x, np.asarray(entry))
    if isinstance(entry, (list, tuple)) and any(in_a_batch(e) for e in entry):
        from tensorlite.ops.manipulation import stack
        entry = stack([e if isinstance(e, Value) else index_array(x, np.asarray(e)) for e in entry])
    if isinstance(entry, (list, tuple, range)):
        try:
            host = np.asarray([to_host(e) for e in entry])
        except ValueError:
            raise ShapeError(f"getitem: the index {entry!r} is ragged; every row needs the same length") from None
        entry = host.astype(np.int64) if not host.size else host
    value = entry if isinstance(entry, Value) else raw(entry)
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        try:
            return operator.index(entry)
        except TypeError:
            raise DTypeError(f"getitem: an index is an integer, a slice, None, '...', or integers or booleans; this is "
                             f"{entry!r} of type {type(entry).__name__}") from None
    kind = _dtypes.kind(dtype)
    if kind not in "biu":
        raise DTypeError(f"getitem: an index array holds integers or booleans, and this has dtype {dtype}; round and "
                         "convert it first, for example with .long()")
    if not value.ndim and kind != "b" and not (isinstance(entry, Value) and entry.level):
        return int(raw(value))
    if isinstance(entry, (np.ndarray, np.generic)):
        return index_array(x, entry)
    return entry


def to_host(entry: Any) -> Any:
    if isinstance(entry, (list, tuple)):
        return [to_host(e) for e in entry]
    return np.asarray(backends.backend_of(raw(entry)).to_numpy(raw(entry))) if isinstance(entry, Value) else entry


def index_array(x: Array, host: Any) -> Any:
    """A NumPy array as an array of the library that ``x`` is of."""
    backend = backends.backend_of(raw(x))
    return backend.asarray(host, device=backend.device_of(raw(x)))


def fill(spec: tuple[Any, ...], arrays: Any) -> tuple[Any, ...]:
    """The spec with its arrays in their places."""
    arrays = iter(arrays)
    return tuple([next(arrays) if s is ARRAY else s for s in spec])


# ---- the reference, over any array library -----------------------------------------------------------------------------

def _axes_of(ndim: int, spec: tuple[Any, ...], indices: Any) -> list[tuple[int, Any]]:
    """(first axis of x, entry) for each entry of the spec that takes axes, the arrays in place."""
    entries = fill(spec, indices)
    taken = sum(_width(e) for e in entries)
    out, axis = [], 0
    for entry in entries:
        if entry is Ellipsis:
            axis += ndim - taken
        elif entry is not None:
            out.append((axis, entry))
            axis += _width(entry)
    return out


def _width(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    return int(entry.ndim) if hasattr(entry, "dtype") and _dtypes.kind(entry.dtype) == "b" else 1


def _within(s: slice, n: int) -> slice:
    """The same slice with bounds inside the axis: beyond them the standard leaves the result open."""
    start, stop, step = s.indices(n)
    if not len(range(start, stop, step)):
        return slice(0, 0)
    return slice(start, None if stop < 0 else stop, step)


def _standard(shape: tuple[int, ...], spec: tuple[Any, ...]) -> tuple[Any, ...]:
    """A basic index as the standard takes it: an entry for each axis."""
    lengths = iter(shape)
    taken = sum(_width(e) for e in spec)
    out: list[Any] = []
    for entry in spec:
        if entry is Ellipsis:
            out += [ALL] * (len(shape) - taken)
            for _ in range(len(shape) - taken):
                next(lengths)
        else:
            out.append(_within(entry, next(lengths)) if entry.__class__ is slice else entry)
            if entry.__class__ is int:
                next(lengths)
    return tuple(out)


def select(xp: Any, x: Any, *indices: Any, spec: tuple[Any, ...], op: str = "getitem") -> Any:
    if not indices:
        check_index(x, spec=spec, op=op)
        return x[_standard(x.shape, spec)]
    check_index(x, *indices, spec=spec, op=op)
    taken = sum(_width(e) for e in fill(spec, indices))
    key: list[Any] = []        # what x is indexed with first: slices and new axes only
    advanced: list[Any] = []   # (axis of x[key], integer array)
    positions: list[int] = []  # where in the spec they stand
    axis = 0
    for position, entry in enumerate(fill(spec, indices)):
        if entry is Ellipsis:
            key += [ALL] * (x.ndim - taken)
            axis += x.ndim - taken
        elif entry is None or entry.__class__ is slice:
            key.append(entry if entry is None else _within(entry, x.shape[len(key) - key.count(None)]))
            axis += 1
        elif entry.__class__ is int:
            key.append(ALL)
            advanced.append((axis, xp.asarray(entry)))
            positions.append(position)
            axis += 1
        elif _dtypes.kind(entry.dtype) == "b":
            found = xp.nonzero(entry) if entry.ndim else (xp.zeros((int(bool(entry)),), dtype=xp.int64),)
            key += [ALL] * entry.ndim if entry.ndim else [None]
            for index in found:
                advanced.append((axis, index))
                positions.append(position)
                axis += 1
        else:
            key.append(ALL)
            advanced.append((axis, entry))
            positions.append(position)
            axis += 1
    x = x[tuple(key)]
    axes = [a for a, _ in advanced]
    rest = [a for a in range(x.ndim) if a not in axes]
    together = positions[-1] - positions[0] + 1 == len(set(positions))
    first = axes[0] if together else 0
    lengths = [x.shape[a] for a in axes]
    linear = None
    for (_, index), n in zip(advanced, lengths):
        index = xp.astype(index, xp.int64)
        index = xp.where(index < 0, index + n, index)
        linear = index if linear is None else linear * n + index
    shape = tuple(linear.shape)   # type: ignore[union-attr]
    flat = xp.reshape(xp.permute_dims(x, tuple(axes + rest)), (prod(lengths), *[x.shape[a] for a in rest]))
    out = xp.take(flat, xp.reshape(linear, (-1,)), axis=0)
    out = xp.reshape(out, (*shape, *[x.shape[a] for a in rest]))
    many = len(shape)
    order = [*range(many, many + first), *range(many), *range(many + first, out.ndim)]
    return xp.permute_dims(out, tuple(order))


def _places(xp: Any, shape: tuple[int, ...], indices: Any, spec: tuple[Any, ...], op: str) -> Any:
    """Which elements of an array of this shape the index picks, as numbers into the flattened array."""
    return select(xp, xp.reshape(xp.arange(prod(shape), dtype=xp.int64), shape), *indices, spec=spec, op=op)


def put_into(xp: Any, x: Any, v: Any, *indices: Any, spec: tuple[Any, ...], op: str = "setitem") -> Any:
    out = xp.asarray(x, copy=True)
    if not hasattr(v, "shape"):
        v = xp.asarray(v, dtype=x.dtype)
    v = xp.astype(v, x.dtype, copy=False)
    if not indices:
        check_index(x, spec=spec, op=op)
        _assign(xp, out, spec, v)
        return out
    places = _places(xp, tuple(x.shape), indices, spec, op)
    v = xp.reshape(xp.broadcast_to(_drop_ones(xp, v, places.ndim), places.shape), (-1,))
    out = xp.reshape(out, (-1,))
    for k, place in enumerate(_ints(xp, places)):   # one by one: the standard assigns to no array of integers; the last one wins
        out[place] = v[k]
    return xp.reshape(out, x.shape)


def _assign(xp: Any, out: Any, spec: tuple[Any, ...], v: Any) -> None:
    spec = _standard(out.shape, spec)
    v = xp.broadcast_to(_drop_ones(xp, v, out[spec].ndim), out[spec].shape)
    spec = tuple([s for s in spec if s is not None])   # the standard assigns to no new axes
    out[spec] = xp.reshape(v, out[spec].shape)


def _drop_ones(xp: Any, v: Any, ndim: int) -> Any:
    return xp.reshape(v, v.shape[v.ndim - ndim:]) if v.ndim > ndim and set(v.shape[:v.ndim - ndim]) == {1} else v


def _ints(xp: Any, places: Any) -> list[int]:
    flat = xp.reshape(places, (-1,))
    return [int(flat[k]) for k in range(flat.shape[0])]


def add_into(xp: Any, v: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "put_add") -> Any:
    out = xp.zeros(shape, dtype=v.dtype)
    if not indices:
        _assign(xp, out, spec, v)
        return out
    places = _places(xp, shape, indices, spec, op)
    out, v = xp.reshape(out, (-1,)), xp.reshape(xp.broadcast_to(v, places.shape), (-1,))
    for k, place in enumerate(_ints(xp, places)):
        out[place] = out[place] + v[k]
    return xp.reshape(out, shape)


def winners(xp: Any, x: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "setitem") -> Any:
    places = _ints(xp, found := _places(xp, shape, indices, spec, op))
    last = {place: k for k, place in enumerate(places)}
    won = xp.asarray([last[place] == k for k, place in enumerate(places)], dtype=xp.bool)
    return xp.reshape(won, found.shape)


# ---- errors ------------------------------------------------------------------------------------------------------------

def check_index(x: Any, *indices: Any, spec: tuple[Any, ...], op: str = "getitem", shape: Any = None) -> None:
    """Raise the error that says which axis and which index, if the index does not fit ``x``."""
    shape = tuple(x.shape) if shape is None else shape
    entries = fill(spec, indices)
    taken = sum(_width(e) for e in entries)
    if taken > len(shape):
        raise OutOfRangeError(f"{op}: too many indices: {taken} for a tensor with {len(shape)} axes (shape {shape}); "
                              "drop some, or reshape the tensor first")
    common: tuple[int, ...] = ()
    for axis, entry in _axes_of(len(shape), spec, indices):
        if entry.__class__ is int:
            _check_range(op, entry, entry, axis, shape[axis], shape)
        elif entry.__class__ is slice:
            if entry.step == 0:
                raise ShapeError(f"{op}: a slice's step cannot be 0 (axis {axis})")
        elif _dtypes.kind(entry.dtype) == "b":
            part = shape[axis:axis + entry.ndim]
            if tuple(entry.shape) != part:
                raise OutOfRangeError(f"{op}: the boolean index has shape {tuple(entry.shape)}, but the axes it indexes "
                                      f"({axis} to {axis + entry.ndim - 1}) have shape {part} of {shape}; they must be equal")
        else:
            host = np.asarray(backends.backend_of(entry).to_numpy(entry))
            if host.size:
                _check_range(op, int(host.min()), int(host.max()), axis, shape[axis], shape)
            try:
                common = np.broadcast_shapes(common, host.shape)
            except ValueError:
                raise OutOfRangeError(f"{op}: the index arrays do not broadcast with each other: {host.shape} with "
                                      f"{common}") from None


def _check_range(op: str, low: int, high: int, axis: int, length: int, shape: tuple[int, ...]) -> None:
    if low < -length or high >= length:
        bad = low if low < -length else high
        allowed = f"valid are {-length} to {length - 1}" if length else "no index is valid in an axis of length 0"
        raise OutOfRangeError(f"{op}: index {bad} is out of range for axis {axis} of length {length} (shape {shape}); {allowed}")


def check_put(x: Any, v: Any, *indices: Any, spec: tuple[Any, ...], op: str = "setitem") -> None:
    check_index(x, *indices, spec=spec, op=op)
    host = np.broadcast_to(np.zeros(()), tuple(x.shape))
    part = host[fill(spec, [np.asarray(backends.backend_of(i).to_numpy(i)) for i in indices])].shape
    if hasattr(v, "shape") and tuple(v.shape) != part:
        raise ShapeError(f"{op}: the value has shape {tuple(v.shape)}, which does not broadcast to the shape {part} that "
                         "the index picks; reshape the value first")
