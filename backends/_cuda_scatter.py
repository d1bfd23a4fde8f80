"""Writing by index on CUDA, and the sums that are its adjoint: of several values for one place the last one stays, or they add
up in an order that is always the same. CuPy leaves the former open and does the latter by atomics."""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tensorlite.backends._cuda_indexing import checked, fill
from tensorlite.kernels.check_indices.cuda import kind_of_fault
from tensorlite.kernels.embedding_grad.cuda import sum_by_row
from tensorlite.kernels.put_rows.cuda import winners as winning_rows
from tensorlite.kernels.put_rows.cuda import write_rows
from tensorlite.kernels.take_rows.cuda import take_rows

_FULL = slice(None)


def table(backend: Any) -> dict[str, Callable[..., Any] | None]:
    """Operation -> function of raw arrays."""
    cupy, runtime = backend.cupy, backend.runtime

    def put(x: Any, v: Any, *indices: Any, spec: tuple[Any, ...], op: str = "setitem") -> Any:
        out = x.copy(order="C")
        write(backend, out, fill(spec, indices), v, op)
        return out

    def put_add(v: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "put_add") -> Any:
        key = fill(spec, indices)
        if not any(map(_is_integers, key)):   # nothing is named twice
            out = cupy.zeros(shape, v.dtype)
            out[key] = v
            return out
        return _add(backend, v, checked(backend, shape, spec, indices, op), shape)

    def winners(x: Any, *indices: Any, spec: tuple[Any, ...], shape: tuple[int, ...], op: str = "setitem") -> Any:
        at = places(backend, shape, checked(backend, shape, spec, indices, op))
        return winning_rows(runtime, at.reshape(-1), rows=prod(shape), what=op).reshape(at.shape)

    def write_view(x: Any, v: Any, *, replay: Any) -> Any:
        out = x.copy(order="K")
        part = replay(out)
        if backend.owner(part) is backend.owner(out):
            part[...] = v
            return out
        at = replay(cupy.arange(x.size).reshape(x.shape))
        flat = x.copy(order="C").reshape(-1)
        _write_places(backend, flat, at, v, "write_view")
        return flat.reshape(x.shape)

    def embedding(weight: Any, indices: Any, *, padding_idx: int | None = None) -> Any:
        return take_rows(runtime, weight, indices, what="embedding")

    return {"put": put, "put_add": put_add, "winners": winners, "write_view": write_view, "embedding": embedding}


def write(backend: Any, target: Any, key: Any, value: Any, op: str = "setitem") -> None:
    """``target[key] = value`` in place."""
    key = key if key.__class__ is tuple else (key,)
    if not any(map(_is_integers, key)):
        target[key] = value
        return
    shape = tuple(target.shape)
    key = checked(backend, shape, key, tuple(filter(_is_array, key)), op)
    if not getattr(value, "ndim", 0):   # the same everywhere: it does not matter who comes last
        target[key] = value
    elif target.flags.c_contiguous:
        leading = _indexed_axes(backend, shape, key)
        if leading is not None and leading[1] == 0:
            rows, _, lengths = leading
            out = target.reshape(prod(lengths), *shape[len(lengths):])
            value = _fitting(backend, value, (*rows.shape, *shape[len(lengths):]), target.dtype)
            write_rows(backend.runtime, out, value.reshape(rows.size, *out.shape[1:]), rows.reshape(-1), what=op)
        else:
            _write_places(backend, target.reshape(-1), places(backend, shape, key), value, op)
    else:
        whole = target.copy(order="C")
        _write_places(backend, whole.reshape(-1), places(backend, shape, key), value, op)
        target[...] = whole


def _write_places(backend: Any, flat: Any, at: Any, value: Any, op: str) -> None:
    value = _fitting(backend, value if hasattr(value, "shape") else backend.cupy.asarray(value), at.shape, flat.dtype)
    write_rows(backend.runtime, flat, value.reshape(-1), at.reshape(-1), what=op)


def _fitting(backend: Any, value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The value broadcast to the shape that the index picks, as NumPy does: leading axes of length 1 are dropped."""
    extra = value.ndim - len(shape)
    if extra > 0 and set(value.shape[:extra]) == {1}:
        value = value.reshape(value.shape[extra:])
    return backend.cupy.ascontiguousarray(backend.cupy.broadcast_to(value.astype(dtype, copy=False), shape))


def _add(backend: Any, v: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros with ``out[key] += v``, repeated places adding up."""
    cupy, kind = backend.cupy, kind_of_fault(0, "put_add")
    found = _indexed_axes(backend, shape, key)
    if found is None:
        at = places(backend, shape, key)
        v = cupy.broadcast_to(v, at.shape).reshape(-1)
        return sum_by_row(backend.runtime, v, at.reshape(-1), rows=prod(shape), low=0, kind=kind).reshape(shape)
    rows, first, lengths = found   # the indexed axes come first, and stay there until the sums are done
    before, after = shape[:first], shape[first + len(lengths):]
    v = cupy.broadcast_to(v, (*before, *rows.shape, *after))
    v = v.reshape(prod(before), rows.size, prod(after)).transpose(1, 0, 2)
    out = sum_by_row(backend.runtime, cupy.ascontiguousarray(v), rows.reshape(-1), rows=prod(lengths), low=0, kind=kind)
    return cupy.ascontiguousarray(out.transpose(1, 0, 2)).reshape(shape)


# ---- which elements an index names --------------------------------------------------------------------------------------

def _is_array(entry: Any) -> bool:
    return hasattr(entry, "dtype")


def _is_integers(entry: Any) -> bool:
    return hasattr(entry, "dtype") and entry.dtype.kind != "b"


def _entries(backend: Any, ndim: int, key: tuple[Any, ...]) -> list[Any]:
    """The key without an Ellipsis, and with boolean arrays as the integers they stand for (which the host waits for); one without
    axes is zeros along none, in a tuple."""
    taken = sum(0 if e is None or e is Ellipsis else e.ndim if _is_array(e) and e.dtype.kind == "b" else 1 for e in key)
    out: list[Any] = []
    for entry in key:
        if entry is Ellipsis:
            out += [_FULL] * (ndim - taken)
        elif _is_array(entry) and entry.dtype.kind == "b":
            out += backend.cupy.nonzero(entry) if entry.ndim else [(backend.cupy.zeros(int(entry), "int64"),)]
        else:
            out.append(entry)
    return out + [_FULL] * (ndim - sum(e is not None and e.__class__ is not tuple for e in out))


def _parted(key: tuple[Any, ...]) -> bool:
    """Whether an Ellipsis stands between arrays or integers: their axes come first then, even if it stands for no axis."""
    at = next((i for i, e in enumerate(key) if e is Ellipsis), 0)
    parts = key[:at], key[at + 1:]
    return all(any(e is not None and e.__class__ is not slice for e in part) for part in parts)


def _linear(backend: Any, indices: list[Any], lengths: list[int]) -> Any:
    """Indices into neighbouring axes as one into these axes flattened."""
    out: Any = 0
    for index, n in zip(indices, lengths):
        if _is_array(index):
            index = index.astype("int64", copy=False)
            index = backend.cupy.where(index < 0, index + n, index)
        else:
            index = index + n if index < 0 else index
        out = out * n + index
    return out


def _indexed_axes(backend: Any, shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[Any, int, list[int]] | None:
    """(index into the indexed axes flattened, the first of them, their lengths), if they are neighbours and the others whole."""
    entries = _entries(backend, len(shape), key)
    axes = [a for a, e in enumerate(entries) if e.__class__ is not slice]
    neighbours = axes == list(range(axes[0], axes[-1] + 1)) and not _parted(key)
    odd = any(e is None or e.__class__ is tuple or (e.__class__ is slice and e != _FULL) for e in entries)
    if odd or not neighbours:
        return None
    lengths = [shape[a] for a in axes]
    return _linear(backend, [entries[a] for a in axes], lengths), axes[0], lengths


def places(backend: Any, shape: tuple[int, ...], key: tuple[Any, ...]) -> Any:
    """The picked elements' numbers in the flattened array, in the shape that the index picks."""
    cupy, strides = backend.cupy, [prod(shape[a + 1:]) for a in range(len(shape))]
    basic: list[Any] = []        # offsets along each axis of the result that a slice or None makes
    advanced: list[Any] = []     # offsets that index arrays, and integers beside them, name together
    positions: list[int] = []
    first, axis = 0, 0
    for position, entry in enumerate(_entries(backend, len(shape), key)):
        if entry is None:
            basic.append(cupy.zeros(1, "int64"))
        elif entry.__class__ is slice:
            basic.append(cupy.arange(*entry.indices(shape[axis]), dtype="int64") * strides[axis])
        else:
            first = first if advanced else len(basic)
            advanced.append(entry[0] if entry.__class__ is tuple else _linear(backend, [entry], [shape[axis]]) * strides[axis])
            positions.append(position)
        axis += entry is not None and entry.__class__ is not tuple
    together = positions[-1] - positions[0] + 1 == len(positions) and not _parted(key)
    first = first if together else 0
    total: Any = sum(advanced)
    many, count = total.ndim, len(basic)
    total = total.reshape((1,) * first + total.shape + (1,) * (count - first))
    for number, offsets in enumerate(basic):
        at = number if number < first else number + many
        total = total + offsets.reshape([-1 if a == at else 1 for a in range(many + count)])
    return total
