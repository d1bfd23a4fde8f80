"""Batching rules of single operations; what serves many is in ``engine/batching.py``."""
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite.engine.batching import Args, _shifted, aligned, along, everywhere, looped, moved, rank
from tensorlite.engine.value import Provided
from tensorlite.errors import VmapError
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
    from tensorlite.ops.contraction import matmul_p
    from tensorlite.ops.elementwise import mul_p
    from tensorlite.ops.reduction import sum_p
    needs, outs = options["needs"], []
    g, x, w = [everywhere(a, b, size) if i < 2 else a for i, (a, b) in enumerate(zip(args, batched))]
    g3 = Provided.reshape(g, shape=(size, prod(g.shape[1:-1]), g.shape[-1]))
    if needs[0]:
        dx = matmul_p(g3, w) if batched[2] else matmul_p(Provided.reshape(g3, shape=(size * g3.shape[1], g3.shape[2])), w)
        outs.append(Provided.reshape(dx, shape=(*g.shape[:-1], w.shape[-1])))
    if needs[1]:
        x3 = Provided.reshape(x, shape=(size, g3.shape[1], x.shape[-1]))
        outs.append(mul_p(_transposed(g3), x3) if g3.shape[1] == 1 else matmul_p(g3, x3, tx=True))
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

    ``of_x``: whether what is indexed has the batch axis (``ndim`` axes without it). NumPy puts the axes that arrays make where the
    first array stands if the arrays stand together, else in front; a batch of indices is one more array.
    """
    from tensorlite.ops.indexing import index_array
    if any(b and _is_mask(i) for i, b in zip(indices, batched)):
        raise VmapError(f"vmap: {what} by a boolean mask that differs along the batch gives results of different lengths; use "
                        "where(mask, x, 0), or x[mask] = number")
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


def getitem(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    x, *indices = args
    spec, arrays, move = _index(op.name, batched[0], indices, batched[1:], options["spec"], size, rank(x, batched[0]))
    return _shift(op(x, *arrays, **{**options, "spec": spec}), move)


def put(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    from tensorlite.ops.elementwise import where_p
    from tensorlite.ops.indexing import getitem_p
    x, v, *indices = args
    ndim = rank(x, batched[0])
    if len(indices) == 1 and batched[2] and _is_mask(indices[0]) and rank(v, batched[1]) == 0 and options["spec"][0] is ARRAY:
        mask = indices[0]
        mask = Provided.reshape(mask, shape=(*mask.shape, *(1,) * (ndim + 1 - mask.ndim)))
        x = everywhere(x, batched[0], size)
        return where_p(mask, Provided.cast(aligned(v, batched[1], ndim), dtype=x.dtype) if hasattr(v, "dtype") else v, x)
    x = everywhere(x, batched[0], size)
    spec, arrays, move = _index(op.name, True, indices, batched[2:], options["spec"], size, ndim)
    if hasattr(v, "shape") and (batched[1] or move[1]):
        part = getitem_p(x, *arrays, spec=spec)
        shape = tuple(_shift(part, move).shape)
        v = aligned(v, batched[1], len(shape) - 1)
        v = _shift(Provided.expand(v, shape=shape), move, back=True) if move[1] else v
    return op(x, v, *arrays, **{**options, "spec": spec})


def put_add(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    v, *indices = args
    shape = options["shape"]
    spec, arrays, move = _index(op.name, True, indices, batched[1:], options["spec"], size, len(shape))
    v = _shift(everywhere(v, batched[0], size), move, back=True)
    return op(v, *arrays, **{**options, "spec": spec, "shape": (size, *shape)})


def winners(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    x, *indices = args
    shape = options["shape"]
    spec, arrays, move = _index(op.name, True, indices, batched[1:], options["spec"], size, len(shape))
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


def second_alone(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """What takes any shape for its second argument, and one first argument for all; otherwise one by one."""
    return looped(op, args, batched, options, size) if batched[0] else op(*args, **options)


def first_alone(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """What takes any shape for its first argument, and one second argument for all; otherwise one by one."""
    return looped(op, args, batched, options, size) if batched[1] else op(*args, **options)


# ---- losses --------------------------------------------------------------------------------------------------------------

def cross_entropy(op: Any, args: Args, batched: Flags, options: Options, size: int) -> Any:
    """All rows of all examples at once; then each example's own sum or mean."""
    from tensorlite.ops.comparison import ne_p
    from tensorlite.ops.elementwise import cast_p, div_p, mul_p
    from tensorlite.ops.indexing import take
    from tensorlite.ops.reduction import sum_p
    logits, labels, weight = args
    if weight is not None and batched[2]:
        return looped(op, args, batched, options, size)
    logits, labels = everywhere(logits, batched[0], size), everywhere(labels, batched[1], size)
    rows, classes = logits.shape[1:]
    flat, at = Provided.reshape(logits, shape=(size * rows, classes)), Provided.reshape(labels, shape=(size * rows,))
    reduction = options.get("reduction", "mean")
    out = op(flat, at, weight, **{**options, "reduction": "none"})
    several = isinstance(out, tuple)
    loss, grad = out if several else (out, None)
    loss = Provided.reshape(loss, shape=(size, rows))
    grad = None if grad is None else Provided.reshape(grad, shape=(size, rows, classes))
    if reduction != "none":
        loss = sum_p(loss, axis=1)
    if reduction == "mean":
        kept = ne_p(labels, options["ignore_index"])
        share = cast_p(kept, dtype=loss.dtype)
        if weight is not None:
            from tensorlite.ops.elementwise import where_p
            share = mul_p(share, cast_p(take(weight, where_p(kept, labels, 0)), dtype=loss.dtype))
        count = sum_p(share, axis=1)
        loss = div_p(loss, count)
        grad = None if grad is None else div_p(grad, cast_p(Provided.reshape(count, shape=(size, 1, 1)), dtype=grad.dtype))
    return (loss, grad) if several else loss


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
    from tensorlite.ops.creation import ones_p
    from tensorlite.ops.elementwise import chain
    from tensorlite.ops.indexing import getitem_p
    (x,), levels = args, options.get("levels", ())
    if level in levels:
        rest = tuple([one for one in levels if one != level])
        return op(x, p=options["p"], place=options["place"], **({"levels": rest} if rest else {}))
    return chain(x, op(ones_p(getitem_p(x, spec=(0, Ellipsis)), dtype=None), **options))


dropout.of_level = True   # type: ignore[attr-defined]
