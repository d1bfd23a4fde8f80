"""Linear algebra under the array API's and PyTorch's names: products and norms (decompositions join in a later version)."""
from __future__ import annotations

from typing import Any

from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops import rearrange, statistics
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.contraction import matmul, outer, tensordot, vecdot
from tensorlite.ops.functions import abs as _abs
from tensorlite.ops.manipulation import axes_of, matrix_transpose, squeeze
from tensorlite.ops.reduction import max, min, sum
from tensorlite.ops.statistics import vector_norm

Array = Any


@torch_names
def diagonal(x: Array, /, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """The elements x[..., i, i + offset] of the last two axes (of ``dim1`` and ``dim2``). A view.

    >>> import tensorlite as tl
    >>> tl.linalg.diagonal(tl.ones(5, 2, 3)).shape
    (5, 2)
    """
    return rearrange.diagonal(x, offset, dim1, dim2)


@torch_names
def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of the diagonal of the last two axes.

    >>> import tensorlite as tl
    >>> tl.linalg.trace(tl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def _two(axis: Any, x: Array) -> tuple[int, int]:
    if not isinstance(axis, (tuple, list)) or len(axis) != 2:
        raise DTypeError(f"matrix_norm: axis = {axis!r}; expected the two axes of the matrices")
    if x.ndim < 2:
        raise ShapeError(f"matrix_norm: x has shape {tuple(x.shape)}; expected at least two axes (vector_norm takes any)")
    first, second = axes_of("matrix_norm", axis, x.ndim)
    return first, second


@torch_aliases(A="x")
def matrix_norm(x: Array, /, ord: float | str = "fro", axis: Any = (-2, -1), keepdims: bool = False) -> Array:
    """The norm of the matrices in two axes: "fro", the root of the sum of squares; 1 or -1, the largest or smallest sum of the
    absolute values of a column; inf or -inf, of a row. (2, -2 and "nuc" need singular values, which join in a later version.)

    >>> import tensorlite as tl
    >>> tl.linalg.matrix_norm(tl.tensor([[1.0, -2.0], [3.0, 4.0]]), ord=1)
    tensor(6.)
    """
    rows, columns = _two(axis, x)
    if ord == "fro":
        return vector_norm(x, (rows, columns), keepdims)
    if not isinstance(ord, (int, float)) or ord not in (1, -1, float("inf"), -float("inf")):
        raise DTypeError(f"matrix_norm: ord = {ord!r}; expected 'fro', 1, -1, inf or -inf (2, -2 and 'nuc' need singular values, "
                         "which this version does not have; vector_norm takes any order)")
    along, over = (rows, columns) if abs(ord) == 1 else (columns, rows)
    out = (max if ord > 0 else min)(sum(_abs(x), axis=along, keepdims=True), axis=over, keepdims=True)
    return out if keepdims else squeeze(out, (rows, columns))


@torch_aliases(A="x")
def norm(x: Array, /, ord: float | str | None = None, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """NumPy's and PyTorch's ``linalg.norm``: without ``ord`` the root of the sum of squares; with it the ``vector_norm`` of a
    vector (one axis), the ``matrix_norm`` of a matrix (two axes).

    >>> import tensorlite as tl
    >>> tl.linalg.norm(tl.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    x = x if dtype is None else statistics._cast(x, dtype)
    axis = tuple(axis) if isinstance(axis, list) else axis
    if ord is None:
        return vector_norm(x, axis, keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis
    if isinstance(axes, tuple) and len(axes) == 2:
        return matrix_norm(x, ord, axes, keepdims)
    if isinstance(axes, tuple) and len(axes) != 1:
        raise ShapeError(f"norm: ord = {ord!r} with x of shape {tuple(x.shape)} and axis = {axis}; with ord, give one axis for "
                         "the norms of vectors, or two for those of matrices")
    return vector_norm(x, axes, keepdims, ord=ord)   # type: ignore[arg-type]   # which refuses strings


__all__ = ["diagonal", "matmul", "matrix_norm", "matrix_transpose", "norm", "outer", "tensordot", "trace", "vecdot",
           "vector_norm"]
