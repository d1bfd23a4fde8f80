"""Batching rules of single operations; what serves many is in ``engine/batching.py``."""
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite.engine.batching import Args, _shifted, aligned, along, anywhere, everywhere, moved, opened, rank
from tensorlite.engine.levels import held
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import ShapeError, VmapError
from tensorlite.ops._index import ALL, ARRAY

Flags = Sequence[bool]
Options = dict[str, Any]


# ---- shapes and axes -----------------------------------------------------------------------------------------------------

def expand(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    shape = options["shape"]
    return op(aligned(args[0], True, len(shape)), shape=(size, *shape))


def sum_to(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.reduction import sum_p
    (x,), shape = args, options["shape"]
    extra = x.ndim - 1 - len(shape)
    if extra > 0:
        x = sum_p(x, axis=tuple(range(1, extra + 1)))
    return op(x, shape=(size, *shape))


def permute(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    return op(args[0], axes=(0, *[a + 1 for a in options["axes"]]))


def stack(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    arrays = [everywhere(a, b, size) for a, b in zip(args, batched)]
    return op(*arrays, axis=options["axis"] % arrays[0].ndim + 1)


def pad(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    return op(args[0], **{**options, "widths": ((0, 0), *options["widths"])})


def arg_extreme(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    if options.get("axis") is not None:
        return along("axis")(op, args, batched, options, size)
    (x,) = args
    out = op(Provided.reshape(x, shape=(size, prod(x.shape[1:]))), axis=1)
    return Provided.reshape(out, shape=(size, *(1,) * (x.ndim - 1))) if options.get("keepdims") else out


def along_axis(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """take_along_axis and its adjoint: the arrays broadcast, and a negative axis is counted from their common end."""
    most = max(rank(a, b) for a, b in zip(args, batched))
    arrays = [aligned(everywhere(a, b, size), True, most) for a, b in zip(args, batched)]
    return op(*arrays, **{**options, "axis": _shifted(options.get("axis", -1), most)})


# ---- products ------------------------------------------------------------------------------------------------------------

def matmul(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.elementwise import mul_p
    (x, y), tx, ty = args, options.get("tx", False), options.get("ty", False)
    if batched[0] and not batched[1] and x.ndim == 3 and y.ndim == 2 and not tx:   # one product instead of many
        out = op(Provided.reshape(x, shape=(size * x.shape[1], x.shape[2])), y, **options)
        return Provided.reshape(out, shape=(size, x.shape[1], out.shape[-1]))
    if batched[1] and not batched[0] and x.ndim == 2 and y.ndim == 3 and y.shape[1 if ty else 2] == 1:   # a matrix times columns
        rows = Provided.reshape(y, shape=(size, y.shape[2 if ty else 1]))
        return Provided.reshape(op(rows, x, ty=not tx), shape=(size, x.shape[1 if tx else 0], 1))
    most = max(rank(x, batched[0]), rank(y, batched[1]))
    x, y = aligned(x, batched[0], most), aligned(y, batched[1], most)
    if x.shape[-2 if tx else -1] == 1 and y.shape[-1 if ty else -2] == 1:   # outer products: nothing to sum over
        return mul_p(_transposed(x) if tx else x, _transposed(y) if ty else y)
    return op(x, y, **options)


def matvec(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.contraction import matmul_p
    (x, y), tx = args, options.get("tx", False)
    if not batched[0]:   # the vectors are the rows of one matrix
        return matmul_p(y, x, ty=not tx)
    if not batched[1] and not tx:
        return Provided.reshape(op(Provided.reshape(x, shape=(size * x.shape[1], x.shape[2])), y), shape=(size, x.shape[1]))
    column = Provided.reshape(y, shape=(*y.shape, 1))
    out = matmul_p(x, column, tx=tx)
    return Provided.reshape(out, shape=tuple(out.shape)[:-1])


def _transposed(x: Any) -> Any:
    return moved(x, x.ndim - 1, x.ndim - 2)


def einsum(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    left, right = options["equation"].split("->")
    letter = next(c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in left and c not in right)
    terms = [letter + t if b else t for t, b in zip(left.split(","), batched)]
    return op(*args, equation=f"{','.join(terms)}->{letter}{right}")


def linear(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.contraction import linear_p, matmul_p
    from tensorlite.ops.elementwise import add_p
    (x, w, b), (of_x, of_w, of_b) = args, batched
    if not of_w:
        out = linear_p(x, w, None if of_b else b)
        if not of_b or b is None:
            return out
        return add_p(aligned(out, of_x, 1) if of_x else out, aligned(b, True, rank(out, of_x)))
    x = everywhere(x, of_x, size)
    rows = Provided.reshape(x, shape=(size, prod(x.shape[1:-1]), x.shape[-1]))
    out = Provided.reshape(matmul_p(rows, w, ty=True), shape=(size, *x.shape[1:-1], w.shape[1]))
    return out if b is None else add_p(out, aligned(b, of_b, out.ndim - 1))


def linear_backward(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.contraction import matmul_p, outer_p
    from tensorlite.ops.reduction import sum_p
    needs, outs = options["needs"], []
    g, x, w = [everywhere(a, b, size) if i < 2 else a for i, (a, b) in enumerate(zip(args, batched))]
    g3 = Provided.reshape(g, shape=(size, prod(g.shape[1:-1]), g.shape[-1]))
    if needs[0]:
        dx = matmul_p(g3, w) if batched[2] else matmul_p(Provided.reshape(g3, shape=(size * g3.shape[1], g3.shape[2])), w)
        outs.append(Provided.reshape(dx, shape=(*g.shape[:-1], w.shape[-1])))
    if needs[1]:
        if g3.shape[1] == 1:
            outs.append(outer_p(Provided.reshape(g3, shape=(size, g3.shape[2])), Provided.reshape(x, shape=(size, x.shape[-1]))))
        else:
            outs.append(matmul_p(g3, Provided.reshape(x, shape=(size, g3.shape[1], x.shape[-1])), tx=True))
    if needs[2]:
        outs.append(Provided.reshape(g3, shape=(size, g3.shape[2])) if g3.shape[1] == 1 else sum_p(g3, axis=1))
    return tuple(outs)


def linear_relu(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.activation import relu_p
    from tensorlite.ops.contraction import linear_p
    return relu_p(linear(linear_p, args, batched, options, size))


def linear_relu_backward(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.activation import relu_backward
    from tensorlite.ops.contraction import linear_backward_p
    g, x, w, y = [everywhere(a, b, size) if i != 2 else a for i, (a, b) in enumerate(zip(args, batched))]
    return linear_backward(linear_backward_p, (relu_backward(g, y), x, w), (True, True, batched[2]), options, size)


# ---- indexing ------------------------------------------------------------------------------------------------------------

def _is_mask(index: Any) -> bool:
    return _dtypes.kind(index.dtype) == "b"


def _index(what: str, of_x: bool, indices: Args, batched: Flags, spec: tuple[Any, ...], size: int,
           ndim: int) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[int, int, int]]:
    """The index of a batch: spec, arrays, and where (first, count, target) the result's axes that the arrays make must move.

    ``of_x``: whether what is indexed has the batch axis (``ndim`` axes without it). NumPy puts the axes that arrays make where
    the first array stands if the arrays stand together, else in front; a batch of indices is one more array.
    """
    from tensorlite.ops.indexing import index_array
    if any(b and _is_mask(i) for i, b in zip(indices, batched)):
        raise VmapError(f"vmap: {what} by a boolean mask that differs along the batch, with other entries beside it in the "
                        "index; use where(mask, ...), or a mask alone")
    if not indices:
        return ((ALL, *spec) if of_x else spec), (), (0, 0, 0)
    places = [p for p, s in enumerate(spec) if s is ARRAY or s.__class__ is int]
    together = places[-1] - places[0] + 1 == len(places)
    wide = sum(int(i.ndim) if _is_mask(i) else 1 for i in indices) + sum(s.__class__ is int for s in spec)
    taken = wide + sum(s.__class__ is slice for s in spec)
    before = sum((ndim - taken) if s is Ellipsis else s is None or s.__class__ is slice for s in spec[:places[0]])
    count = max(1 if _is_mask(i) else rank(i, b) for i, b in zip(indices, batched))
    arrays = tuple([i if _is_mask(i) else aligned(i, b, count) for i, b in zip(indices, batched)])
    first = before if together else 0
    if not any(batched):
        return (ALL, *spec), arrays, (0, 0, 0) if together else (count, 1, 0)   # the batch axis comes behind the arrays' axes
    if not of_x:
        return spec, arrays, (first, 1, 0)
    numbers = index_array(indices[0], np.arange(size).reshape((size,) + (1,) * count))
    return (ARRAY, *spec), (numbers, *arrays), (1, count, 1 + first)


def _shift(x: Any, move: tuple[int, int, int], *, back: bool = False) -> Any:
    """``count`` axes moved from ``first`` to ``target``, or back."""
    first, count, target = move
    if not count or first == target:
        return x
    axes = list(range(x.ndim))
    block = axes[first:first + count]
    rest = axes[:first] + axes[first + count:]
    order = rest[:target] + block + rest[target:]
    if back:
        order = sorted(range(len(order)), key=order.__getitem__)
    return Provided.permute(x, axes=tuple(order))


def _mask_at(spec: tuple[Any, ...], indices: Args, batched: Flags) -> int:
    """How many whole axes are before the one boolean mask that differs along the batch; -1 of any other index."""
    alone = len(indices) == 1 and batched[0] and spec[-2:] == (ARRAY, Ellipsis) and _is_mask(indices[0])
    return len(spec) - 2 if alone and all(s == ALL for s in spec[:-2]) else -1


def _forward(x: Any, at: int, count: int) -> Any:
    """A batch with ``count`` axes, ``at`` places behind the first of an example, moved to the front of these."""
    return x if not at else Provided.permute(x, axes=(0, *range(1 + at, 1 + at + count), *range(1, 1 + at),
                                                      *range(1 + at + count, x.ndim)))


def _backward(x: Any, at: int, count: int) -> Any:
    """The opposite."""
    return x if not at else Provided.permute(x, axes=(0, *range(1 + count, 1 + count + at), *range(1, 1 + count),
                                                      *range(1 + count + at, x.ndim)))


def _rows_of(x: Any, mask: Any) -> tuple[Any, Any]:
    """A batch with the axes that a mask has joined, and the mask with one axis for each example."""
    axes = mask.ndim
    return (Provided.reshape(x, shape=(x.shape[0], prod(x.shape[1:axes]), *x.shape[axes:])),
            Provided.reshape(mask, shape=(mask.shape[0], prod(mask.shape[1:]))))


def getitem(op: Any, args: Args, batched: Flags, options: Options, size: int, level: int) -> Any:
    from tensorlite.ops.reduction import count_nonzero_p
    x, *indices = args
    at = _mask_at(options["spec"], indices, batched[1:])
    if at >= 0:
        branches = opened(level).branches
        if branches is None:
            raise VmapError(f"vmap: {options.get('op', op.name)} by a boolean mask that differs along the batch gives results of "
                            "different lengths; use where(mask, x, 0), x[mask] = v, or vmap(f, branching='group'), which splits "
                            "the batch")
        rows, mask = _rows_of(_forward(everywhere(x, batched[0], size), at, indices[0].ndim - 1), indices[0])
        count = int(branches.decide(held(count_nonzero_p(mask, axis=1))._host()))
        return _backward(chosen(rows, mask, count), at, 1)
    spec, arrays, move = _index(op.name, batched[0], indices, batched[1:], options["spec"], size, rank(x, batched[0]))
    return _shift(op(x, *arrays, **{**options, "spec": spec}), move)


getitem.of_level = True   # type: ignore[attr-defined]


def chosen(rows: Any, mask: Any, count: int) -> Any:
    """Of each example's rows, (size, n, ...), those that its mask (size, n) is true for, of which it has ``count`` or more."""
    from tensorlite.ops.comparison import not_p
    from tensorlite.ops.indexing import getitem_p, index_array
    from tensorlite.ops.searching import argsort_p
    order = getitem_p(argsort_p(not_p(mask), axis=1), spec=(ALL, slice(count), Ellipsis))
    numbers = index_array(mask, np.arange(mask.shape[0]).reshape(-1, 1))
    return getitem_p(rows, numbers, order, spec=(ARRAY, ARRAY, Ellipsis))


def put(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.indexing import getitem_p
    x, v, *indices = args
    ndim = rank(x, batched[0])
    x = everywhere(x, batched[0], size)
    at = _mask_at(options["spec"], indices, batched[2:])
    if at >= 0:
        return _put_by_mask(x, v, indices[0], batched[1], at)
    spec, arrays, move = _index(op.name, True, indices, batched[2:], options["spec"], size, ndim)
    if hasattr(v, "shape") and (batched[1] or move[1]):
        part = getitem_p(x, *arrays, spec=spec)
        shape = tuple(_shift(part, move).shape)
        v = aligned(v, batched[1], len(shape) - 1)
        v = _shift(Provided.expand(v, shape=shape), move, back=True) if move[1] else v
    return op(x, v, *arrays, **{**options, "spec": spec})


def _put_by_mask(x: Any, v: Any, mask: Any, of_v: bool, at: int) -> Any:
    """x[mask] = v: the k-th of the places where an example's mask is true gets the k-th of its values. The mask is of the axes
    behind the first ``at``."""
    from tensorlite.ops.cumulative import cumsum_p
    from tensorlite.ops.elementwise import cast_p, clip, sub_p, where_p
    from tensorlite.ops.indexing import getitem_p, index_array
    size, axes = x.shape[0], mask.ndim - 1
    behind = x.ndim - 1 - at - axes
    if at and rank(v, of_v) > behind:
        v, of_v = _forward(aligned(everywhere(v, of_v, size), True, at + 1 + behind), at, 1), True
    x = _forward(x, at, axes)
    shape = tuple(x.shape)
    rows, mask = _rows_of(x, mask)
    ndim = rows.ndim - 1
    if hasattr(v, "dtype"):
        v = cast_p(v, dtype=x.dtype) if v.dtype != x.dtype else v
        if rank(v, of_v) > ndim or (rank(v, of_v) == ndim and v.shape[of_v] != 1):
            v = everywhere(v, of_v, size)
            _check_counts(mask, v.shape[1])
            place = clip(sub_p(cumsum_p(cast_p(mask, dtype=_dtypes.int64), axis=1), 1), 0, max(v.shape[1] - 1, 0))
            numbers = index_array(mask, np.arange(size).reshape(-1, 1))
            v = getitem_p(v, numbers, place, spec=(ARRAY, ARRAY, Ellipsis)) if v.shape[1] else 0
        else:
            v = aligned(v, of_v, ndim)
    mask = Provided.reshape(mask, shape=(*mask.shape, *(1,) * (ndim - 1)))
    return _backward(Provided.reshape(where_p(mask, v, rows), shape=shape), at, axes)


def _check_counts(mask: Any, count: int) -> None:
    from tensorlite.ops.comparison import ne_p
    from tensorlite.ops.reduction import count_nonzero_p
    if anywhere(ne_p(count_nonzero_p(mask, axis=1), count)):
        raise ShapeError(f"setitem: the value has {count} elements along its first axis, but in the batch there is a mask that "
                         "is true for more or fewer places; give each example as many values as its mask picks, or one for all")


def put_add(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.indexing import zeros_of_p
    v, *indices = args
    shape = options["shape"]
    at = _mask_at(options["spec"], indices, batched[1:])
    if at >= 0:   # a mask names no place twice
        return _put_by_mask(zeros_of_p(v, shape=(size, *shape)), v, indices[0], batched[0], at)
    spec, arrays, move = _index(op.name, True, indices, batched[1:], options["spec"], size, len(shape))
    v = _shift(everywhere(v, batched[0], size), move, back=True)
    return op(v, *arrays, **{**options, "spec": spec, "shape": (size, *shape)})


def winners(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    x, *indices = args
    shape = options["shape"]
    spec, arrays, move = _index(op.name, True, indices, batched[1:], options["spec"], size, len(shape))
    x = _shift(everywhere(x, batched[0], size), move, back=True)
    return _shift(op(x, *arrays, **{**options, "spec": spec, "shape": (size, *shape)}), move)


def write_view(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.indexing import index_array, put_p
    x, v = args
    x = everywhere(x, batched[0], size)
    shape = tuple(x.shape)
    places = options["replay"](index_array(x, np.arange(prod(shape[1:])).reshape(shape[1:])))
    flat = Provided.reshape(x, shape=(size, prod(shape[1:])))
    v = aligned(v, batched[1], places.ndim) if hasattr(v, "shape") else v
    return Provided.reshape(put_p(flat, v, places, spec=(ALL, ARRAY)), shape=shape)


def _offsets(indices: Any, size: int, stride: int) -> Any:
    """A batch of indices into a batch of tables of ``stride`` rows, as indices into the tables joined."""
    from tensorlite.ops.elementwise import add_p
    from tensorlite.ops.indexing import index_array
    steps = np.arange(size).reshape((size,) + (1,) * (indices.ndim - 1)) * stride
    return add_p(Provided.cast(indices, dtype=_dtypes.int64), index_array(indices, steps))


def embedding(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.comparison import lt_p
    from tensorlite.ops.elementwise import where_p
    from tensorlite.ops.indexing import getitem_p, index_array
    weight, indices = args
    if not batched[0]:
        return op(weight, indices, **options)
    rows = weight.shape[1]
    indices = everywhere(indices, batched[1], size)
    indices = where_p(lt_p(indices, 0), rows, indices)   # a negative one is out of range here
    numbers = index_array(indices, np.arange(size).reshape((size,) + (1,) * (indices.ndim - 1)))
    return getitem_p(weight, numbers, indices, spec=(ARRAY, ARRAY, Ellipsis), op="embedding")


def embedding_grad(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.indexing import put_p
    g, indices = [everywhere(a, b, size) for a, b in zip(args, batched)]
    rows, padding = options["rows"], options["padding_idx"]
    out = op(g, _offsets(indices, size, rows), rows=size * rows, padding_idx=None)
    out = Provided.reshape(out, shape=(size, rows, out.shape[-1]))
    return out if padding is None else put_p(out, 0, spec=(ALL, padding, Ellipsis))


def bincount(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    (x,), length = args, options["size"]
    out = op(Provided.reshape(_offsets(x, size, length), shape=(prod(x.shape),)), size=size * length)
    return Provided.reshape(out, shape=(size, length))


def searchsorted(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """One sorted array takes any shape to look for; a batch of them is merged with what is looked for by one stable sort."""
    from tensorlite.ops.comparison import lt_p
    from tensorlite.ops.cumulative import cumsum_p
    from tensorlite.ops.elementwise import cast_p
    from tensorlite.ops.indexing import getitem_p
    from tensorlite.ops.manipulation import concat_p
    from tensorlite.ops.searching import argsort_p, take_along_axis_p
    if not batched[0]:
        return op(*args, **options)
    table, x = [everywhere(a, b, size) for a, b in zip(args, batched)]
    flat = Provided.reshape(x, shape=(size, prod(x.shape[1:])))
    n, m, first = table.shape[1], flat.shape[1], options.get("side", "left") == "left"
    order = argsort_p(concat_p(*((flat, table) if first else (table, flat)), axis=1), axis=1)   # equals stay in this order
    of_table = cast_p(lt_p(m - 1, order) if first else lt_p(order, n), dtype=_dtypes.int64)
    where = getitem_p(argsort_p(order, axis=1), spec=(ALL, slice(0, m) if first else slice(n, n + m), Ellipsis))
    return Provided.reshape(take_along_axis_p(cumsum_p(of_table, axis=1), where, axis=1), shape=tuple(x.shape))


def isin(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """One set takes any shape to look for; of a batch of sets every element is compared with those of its own."""
    from tensorlite.ops.comparison import eq_p, not_p
    from tensorlite.ops.reduction import any_p
    if not batched[1]:
        return op(*args, **options)
    x, known = everywhere(args[0], batched[0], size), args[1]
    known = Provided.reshape(known, shape=(size, *(1,) * (x.ndim - 1), prod(known.shape[1:])))
    found = any_p(eq_p(Provided.reshape(x, shape=(*x.shape, 1)), known), axis=-1)
    return not_p(found) if options.get("invert") else found


# ---- losses --------------------------------------------------------------------------------------------------------------

def cross_entropy(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """All rows of all examples at once; then each example's own weights, and its own sum or mean."""
    from tensorlite.ops.elementwise import add_p, cast_p, div_p, mul_p
    from tensorlite.ops.reduction import sum_p
    (logits, labels, weight), smoothing = args, options.get("label_smoothing", 0.0)
    logits, labels = everywhere(logits, batched[0], size), everywhere(labels, batched[1], size)
    rows, classes = logits.shape[1:]
    flat, at = Provided.reshape(logits, shape=(size * rows, classes)), Provided.reshape(labels, shape=(size * rows,))
    given = {**options, "reduction": "none", "wide": True}   # half is summed in float32
    out = op(flat, at, None, **{**given, "label_smoothing": 0.0}) if batched[2] else op(flat, at, weight, **given)
    several = isinstance(out, tuple)
    loss, grad = out if several else (out, None)
    loss = Provided.reshape(loss, shape=(size, rows))
    grad = None if grad is None else Provided.reshape(grad, shape=(size, rows, classes))
    reduction = options.get("reduction", "mean")
    share = None if reduction != "mean" and not batched[2] else _shares(labels, weight, batched[2], classes, loss.dtype, options)
    if batched[2]:
        factor = mul_p(share, 1 - smoothing)
        loss = mul_p(loss, factor)
        grad = None if grad is None else mul_p(grad, cast_p(Provided.reshape(factor, shape=(size, rows, 1)), dtype=grad.dtype))
        if smoothing:
            of_loss, of_grad = _smoothed(cast_p(logits, dtype=loss.dtype), labels, weight, smoothing, options)
            loss = add_p(loss, of_loss)
            grad = None if grad is None else add_p(grad, cast_p(of_grad, dtype=grad.dtype))
    if reduction != "none":
        loss = sum_p(loss, axis=1)
    if reduction == "mean":
        count = sum_p(share, axis=1)
        loss = div_p(loss, _counts(count, float("nan")))   # of nothing: nan, and no warning
        if grad is not None:
            grad = div_p(grad, cast_p(Provided.reshape(_counts(count, 1), shape=(size, 1, 1)), dtype=grad.dtype))
    loss = loss if options.get("wide") or loss.dtype == logits.dtype else cast_p(loss, dtype=logits.dtype)
    return (loss, grad) if several else loss


def _smoothed(logits: Any, labels: Any, weight: Any, smoothing: float, options: Options) -> tuple[Any, Any]:
    """What label smoothing adds to the rows' losses and gradients, by class weights of each example:
    -s/C sum_c w_c log p_c and s/C (p sum_c w_c - w)."""
    from tensorlite.ops.elementwise import mul_p, neg_p, sub_p
    from tensorlite.ops.functions import exp_p
    from tensorlite.ops.reduction import sum_p
    from tensorlite.ops.softmax import log_softmax_p
    w, kept = _spread(labels, weight, smoothing, logits.dtype, options)
    log_p = log_softmax_p(logits, axis=-1)
    loss = neg_p(mul_p(sum_p(mul_p(log_p, w), axis=-1), kept))
    kept = Provided.reshape(kept, shape=(*kept.shape, 1))
    return loss, mul_p(sub_p(mul_p(exp_p(log_p), sum_p(w, axis=-1, keepdims=True)), w), kept)


def _spread(labels: Any, weight: Any, smoothing: float, dtype: Any, options: Options) -> tuple[Any, Any]:
    """Each example's class weights as (size, 1, C), and s/C for the rows that count, 0 for the others."""
    from tensorlite.ops.comparison import ne_p
    from tensorlite.ops.elementwise import cast_p, mul_p
    w = cast_p(Provided.reshape(weight, shape=(weight.shape[0], 1, weight.shape[1])), dtype=dtype)
    return w, mul_p(cast_p(ne_p(labels, options["ignore_index"]), dtype=dtype), smoothing / max(weight.shape[1], 1))


def _shares(labels: Any, weight: Any, of_weight: bool, classes: int, dtype: Any, options: Options) -> Any:
    """The weight of each row's class, 0 for rows to ignore: what a mean divides by the sum of."""
    from tensorlite.ops.comparison import ne_p
    from tensorlite.ops.elementwise import cast_p, mul_p, where_p
    from tensorlite.ops.indexing import take
    from tensorlite.ops.searching import take_along_axis_p
    kept = ne_p(labels, options["ignore_index"])
    share = cast_p(kept, dtype=dtype)
    if weight is None or not classes:
        return share
    at = where_p(kept, labels, 0)
    found = take_along_axis_p(weight, cast_p(at, dtype=_dtypes.int64), axis=1) if of_weight else take(weight, at)
    return mul_p(share, cast_p(found, dtype=dtype))


def _counts(count: Any, of_nothing: float) -> Any:
    """A mean's counts as divisors: ``of_nothing`` where no row counts, whose gradients are 0 as they are."""
    from tensorlite.ops.comparison import eq_p
    from tensorlite.ops.elementwise import where_p
    return where_p(eq_p(count, 0), of_nothing, count)


def cross_entropy_terms(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """As in :func:`cross_entropy`."""
    from tensorlite.ops.elementwise import add_p, div_p, mul_p
    from tensorlite.ops.reduction import sum_p
    (labels, weight), classes, smoothing = args, options["classes"], options["label_smoothing"]
    labels = everywhere(labels, batched[0], size)
    rows, at = labels.shape[1], Provided.reshape(labels, shape=(prod(labels.shape),))
    given = {**options, "reduction": "none"}
    a, b = op(at, None, **{**given, "label_smoothing": 0.0}) if batched[1] else op(at, weight, **given)
    a, b = Provided.reshape(a, shape=(size, rows, 1)), Provided.reshape(b, shape=(size, rows, classes))
    share = _shares(labels, weight, batched[1], classes, options["dtype"], options)
    if batched[1]:
        factor = Provided.reshape(mul_p(share, 1 - smoothing), shape=(size, rows, 1))
        w, kept = _spread(labels, weight, smoothing, options["dtype"], options)
        kept = Provided.reshape(kept, shape=(size, rows, 1))
        a = add_p(mul_p(a, factor), mul_p(kept, sum_p(w, axis=-1, keepdims=True)))
        b = add_p(mul_p(b, factor), mul_p(kept, w))
    if options["reduction"] == "mean":
        count = Provided.reshape(_counts(sum_p(share, axis=1), 1), shape=(size, 1, 1))
        a, b = div_p(a, count), div_p(b, count)
    return a, b


# ---- normalisation -------------------------------------------------------------------------------------------------------

def normalize(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """Weight and bias that differ along the batch are applied behind."""
    from tensorlite.ops.elementwise import add_p, mul_p
    x, w, b = args
    apart = batched[1] or batched[2]
    axes = tuple([a + batched[0] for a in options["axes"]])
    out, mean, var = op(x, None if apart else w, None if apart else b, **{**options, "axes": axes})
    ndim = rank(x, batched[0])
    if apart:
        out = out if w is None else mul_p(out, aligned(w, batched[1], ndim))
        out = out if b is None else add_p(out, aligned(b, batched[2], ndim))
    return out, everywhere(mean, batched[0], size), everywhere(var, batched[0], size)


def normalize_grad(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """By x for all examples at once; by weight and bias a sum for each example."""
    from tensorlite.ops.elementwise import add_p, mul_p, sub_p, sum_to
    from tensorlite.ops.functions import rsqrt_p
    from tensorlite.ops.normalization import moments
    w, (g, x, mean, var) = args[2], [everywhere(a, b, size) for k, (a, b) in enumerate(zip(args, batched)) if k != 2]
    shape, ndim = options["shape"], x.ndim - 1
    q = g if w is None else mul_p(g, aligned(w, batched[2], ndim))
    (by_x,) = op(q, x, None, mean, var, **{**options, "axes": tuple([a + 1 for a in options["axes"]]), "shape": None})
    if shape is None:
        return (by_x,)
    wide = (size, *(1,) * (ndim - len(shape)), *shape)
    if isinstance(x, Value):   # to be differentiated further, and x is in its moments
        mean, var = moments(x, mean, var, tuple([a + 1 for a in options["axes"]]), options["center"])
    xhat = mul_p(sub_p(x, mean), rsqrt_p(add_p(var, options["eps"])))
    return by_x, *[Provided.reshape(sum_to(a, shape=wide), shape=(size, *shape)) for a in (mul_p(g, xhat), g)]


def scale_rows(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.elementwise import chain
    g, grad = args
    axes = rank(grad, batched[1]) - rank(g, batched[0])
    if not hasattr(g, "shape"):
        return chain(g, grad)
    g = Provided.reshape(g, shape=(*g.shape, *(1,) * axes))
    return chain(g, grad)


def dropout(op: Any, args: Args, batched: Flags, options: Options, size: int, level: int) -> Any:
    """A mask that was drawn for this level's batch is as long as the batch; any other is the same for all of it."""
    from tensorlite.ops.comparison import ne_p
    from tensorlite.ops.creation import ones_p
    from tensorlite.ops.elementwise import mul_p, where_p
    from tensorlite.ops.indexing import getitem_p
    (x,), levels = args, options.get("levels", ())
    if level in levels:
        rest = tuple([one for one in levels if one != level])
        return op(x, p=options["p"], place=options["place"], **({"levels": rest} if rest else {}))
    factor = op(ones_p(getitem_p(x, spec=(0, Ellipsis)), dtype=None), **options)
    return mul_p(where_p(ne_p(factor, 0), x, 0), factor)   # what is dropped may be infinite


dropout.of_level = True   # type: ignore[attr-defined]
