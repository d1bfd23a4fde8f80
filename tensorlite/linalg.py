"""Linear algebra under the array API's and PyTorch's names: products, norms, solvers, decompositions, functions of matrices.

All take batches of matrices in the last two axes, real and complex, and differentiate in both modes to any order; docs/linalg.md
says what holds at repeated and at zero singular values.
"""
from __future__ import annotations

from typing import Any

from tensorlite.errors import DTypeError, LinAlgError, ShapeError
from tensorlite.ops import rearrange, statistics
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.contraction import matmul, outer, tensordot, vecdot
from tensorlite.ops.elementwise import divide, multiply
from tensorlite.ops.functions import abs as _abs
from tensorlite.ops.linalg_eig import EigResult, eig, eigvals
from tensorlite.ops.linalg_functions import cross, kron, matrix_exp, matrix_power, matrix_rank, multi_dot
from tensorlite.ops.linalg_least_squares import LstsqResult, QRResult, lstsq, pinv, qr
from tensorlite.ops.linalg_solve import SlogdetResult, cholesky, det, inv, slogdet, solve, solve_triangular
from tensorlite.ops.linalg_spectral import EighResult, SVDResult, eigh, eigvalsh, svd, svdvals
from tensorlite.ops.manipulation import axes_of, expand_dims, matrix_transpose, moveaxis, squeeze
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
    absolute values of a column; inf or -inf, of a row; 2 or -2, the largest or smallest singular value; "nuc", their sum.

    >>> import tensorlite as tl
    >>> tl.linalg.matrix_norm(tl.tensor([[1.0, -2.0], [3.0, 4.0]]), ord=1)
    tensor(6.)
    """
    rows, columns = _two(axis, x)
    if ord == "fro":
        return vector_norm(x, (rows, columns), keepdims)
    if ord == "nuc" or (isinstance(ord, (int, float)) and ord in (2, -2)):
        s = svdvals(moveaxis(x, (rows, columns), (-2, -1)))
        out = sum(s, axis=-1) if ord == "nuc" else (max if ord == 2 else min)(s, axis=-1)
        return expand_dims(out, (rows, columns)) if keepdims else out
    if not isinstance(ord, (int, float)) or ord not in (1, -1, float("inf"), -float("inf")):
        raise DTypeError(f"matrix_norm: ord = {ord!r}; expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf (vector_norm takes any "
                         "order)")
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


@torch_aliases(A="x")
def cond(x: Array, /, p: float | str | None = None) -> Array:
    """The condition number |x| |x^-1| in a norm of :func:`matrix_norm`; None is 2, the quotient of the extreme singular values.

    Errors: ``LinAlgError`` for singular matrices, for which the orders None, 2 and -2 give inf and 0.

    >>> import tensorlite as tl
    >>> tl.linalg.cond(tl.tensor([[2.0, 0.0], [0.0, 8.0]]))
    tensor(4.)
    """
    if p is None or p in (2, -2):
        s = svdvals(x)
        out = divide(s[..., 0], s[..., -1])
        return divide(s[..., -1], s[..., 0]) if p == -2 else out
    return multiply(matrix_norm(x, p), matrix_norm(inv(x), p))


__all__ = [
    "EigResult", "EighResult", "LinAlgError", "LstsqResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky",
    "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "kron", "lstsq", "matmul",
    "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer",
    "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]
