"""Rows of a table, looked up by integers."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes, backends
from tensorlite.engine.batching import agreed, leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.kernels.embedding_grad.reference import embedding_grad as _reference
from tensorlite.ops import _batching, comparison, manipulation
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.elementwise import cast_p, mul_p
from tensorlite.ops.reduction import max_p

Array = Any


def _check_rows(weight: Any, indices: Any, *, padding_idx: int | None = None) -> None:
    xp = backends.backend_of(indices).xp
    low, high, rows = int(xp.min(indices)), int(xp.max(indices)), weight.shape[0]
    raise OutOfRangeError(f"embedding: indices reach from {low} to {high}, but weight has {rows} rows; expected 0 <= index < "
                          f"{rows}")


def _embedding(xp: Any, weight: Any, indices: Any, *, padding_idx: int | None = None) -> Any:
    if 0 not in indices.shape and (int(xp.min(indices)) < 0 or int(xp.max(indices)) >= weight.shape[0]):
        raise IndexError   # also for negative ones, which are mostly a mistake
    flat = xp.reshape(indices, (-1,))
    return xp.reshape(xp.take(weight, flat, axis=0), (*indices.shape, *weight.shape[1:]))


def _embedding_grad_rule(h: Any, indices: Any, padding_idx: int | None) -> Any:
    out = embedding_p(h, indices, padding_idx=padding_idx)
    if padding_idx is None:
        return out
    kept = cast_p(comparison.not_equal(indices, padding_idx), dtype=h.dtype)
    return mul_p(out, manipulation.reshape(kept, (*kept.shape, *(1,) * (out.ndim - kept.ndim))))


embedding_p = primitive("embedding", _embedding, linear_in="weight", check=_check_rows)
embedding_p.batch(_batching.embedding)
embedding_p.vjp(weight=lambda g, indices, weight_shape, padding_idx: embedding_grad_p(
    g, indices, rows=weight_shape[0], padding_idx=padding_idx))
embedding_grad_p: Primitive = primitive("embedding_grad", lambda xp, g, indices, *, rows, padding_idx: _reference(
    xp, g, indices, rows=rows, padding_idx=padding_idx), linear_in="g")
embedding_grad_p.batch(_batching.embedding_grad)
embedding_grad_p.vjp(g=_embedding_grad_rule)


@torch_names
def embedding(input: Array, weight: Array, padding_idx: int | None = None) -> Array:
    """weight[input]: (...) integers and a table (V, D) give (..., D).

    ``padding_idx``: a row that gets no gradient. Errors: ``IndexError`` for an index outside 0..V-1.

    >>> import tensorlite as tl
    >>> tl.nn.functional.embedding(tl.tensor([2, 0]), tl.tensor([[1.0], [2.0], [3.0]]))
    tensor([[3.],
            [1.]])
    """
    if not hasattr(input, "dtype") or _dtypes.kind(input.dtype) not in "iu":
        raise DTypeError(f"embedding: input has dtype {getattr(input, 'dtype', type(input).__name__)}; expected integers")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight has shape {tuple(weight.shape)}; expected (V, D)")
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise OutOfRangeError(f"embedding: padding_idx is {padding_idx}, but weight has {rows} rows")
        padding_idx %= rows
    return embedding_p(weight, input, padding_idx=padding_idx)


# ---- one_hot -----------------------------------------------------------------------------------------------------------

one_hot_p = primitive("one_hot", lambda xp, x, *, classes: xp.astype(
    x[..., None] == xp.arange(classes, dtype=x.dtype), xp.int64), discrete=True)
one_hot_p.batch(leading)


@torch_aliases(input="tensor")
def one_hot(tensor: Array, num_classes: int = -1) -> Array:
    """1 at the class and 0 elsewhere: (...) integers give (..., num_classes); as many classes as the largest needs unless given.

    Errors: ``IndexError`` for a class outside 0..num_classes-1.

    >>> import tensorlite as tl
    >>> tl.nn.functional.one_hot(tl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if not hasattr(tensor, "dtype") or _dtypes.kind(tensor.dtype) not in "iu":
        raise DTypeError(f"one_hot: input has dtype {getattr(tensor, 'dtype', type(tensor).__name__)}; expected integers")
    empty = 0 in tensor.shape
    if empty and num_classes < 0:
        raise ShapeError("one_hot: of no classes at all the number cannot be told; give num_classes")
    xp = backends.backend_of(raw(tensor)).xp
    low, high = (0, -1) if empty else (int(xp.min(raw(tensor))), int(xp.max(raw(tensor))))
    if num_classes >= 0:
        classes = num_classes
    else:
        classes = agreed(max_p(tensor), "one_hot's number of classes is that of the largest class: give num_classes") + 1
    if low < 0 or high >= classes:
        raise OutOfRangeError(f"one_hot: classes reach from {low} to {high}; expected 0 <= class < {classes}")
    return one_hot_p(tensor, classes=classes)


__all__ = ["embedding", "embedding_grad_p", "embedding_p", "one_hot"]
