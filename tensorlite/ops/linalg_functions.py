"""Functions of matrices: the exponential, powers, rank, condition, products of several."""
from __future__ import annotations

from itertools import pairwise
from math import factorial
from typing import Any

from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops import manipulation, rearrange
from tensorlite.ops._linalg_checks import matrices
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.comparison import gt_p
from tensorlite.ops.contraction import matmul
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.elementwise import add_p, div_p, mul_p, sub_p
from tensorlite.ops.linalg_gauge import dot, mT, on_diagonal, rank_tolerance
from tensorlite.ops.linalg_solve import inv
from tensorlite.ops.linalg_spectral import svdvals_p
from tensorlite.ops.reduction import sum_p

Array = Any


# ---- matrix_exp ----------------------------------------------------------------------------------------------------------
# Higham, "The scaling and squaring method for the matrix exponential revisited" (2005): the Pade approximant of the least degree
# that is exact to rounding for the norm, or that of the highest degree for x / 2^s, squared s times.

_LIMITS = {64: ((3, 1.495585217958292e-2), (5, 2.539398330063230e-1), (7, 9.504178996162932e-1), (9, 2.097847961257068),
                (13, 5.371920351148152)),
           32: ((3, 4.258730016922831e-1), (5, 1.880152677804762), (7, 3.925724783138660))}


def _pade(xp: Any, x: Any, degree: int) -> Any:
    """The diagonal Pade approximant of e^x."""
    c = [factorial(2 * degree - j) * factorial(degree) / (factorial(2 * degree) * factorial(degree - j) * factorial(j))
         for j in range(degree + 1)]
    eye = xp.eye(x.shape[-1], dtype=x.dtype)
    x2 = x @ x
    if degree < 13:
        power, even, odd = x2, c[0] * eye + c[2] * x2, c[1] * eye + c[3] * x2
        for j in range(4, degree, 2):
            power = power @ x2
            even, odd = even + c[j] * power, odd + c[j + 1] * power
    else:
        x4 = x2 @ x2
        x6 = x4 @ x2
        even = x6 @ (c[12] * x6 + c[10] * x4 + c[8] * x2) + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * eye
        odd = x6 @ (c[13] * x6 + c[11] * x4 + c[9] * x2) + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * eye
    odd = x @ odd
    return xp.linalg.solve(even - odd, even + odd)


def _column_norm(xp: Any, x: Any) -> Any:
    return xp.max(xp.sum(xp.abs(x), axis=-2), axis=-1)


def _matrix_exp(xp: Any, x: Any) -> Any:
    if 0 in x.shape:
        return x + 0
    sizes = _column_norm(xp, x)
    largest = float(xp.max(sizes))   # on CUDA the host waits here
    if largest != largest or largest == float("inf"):
        return x * xp.nan
    limits = _LIMITS[32 if xp.finfo(x.dtype).bits == 32 else 64]
    for degree, limit in limits:
        if largest <= limit:
            return _pade(xp, x, degree)
    top, limit = limits[-1]
    times = xp.ceil(xp.log2(xp.where(sizes > limit, sizes, xp.full_like(sizes, limit)) / limit))
    out = _pade(xp, x / (2.0 ** times)[..., None, None], top)
    for k in range(int(xp.max(times))):
        square = out @ out
        out = xp.where((times > k)[..., None, None], square, out) if x.ndim > 2 else square
    return out


def _check_exp(x: Any) -> None:
    matrices("matrix_exp", x, square=True)


def _balance(xp: Any, x: Any, e: Any) -> Any:
    """A power of two times e is about as large as x: then e does not make the scaling of the block matrix finer."""
    size, wanted = _column_norm(xp, e), _column_norm(xp, x)
    wanted = xp.where(wanted > 0.01, wanted, xp.full_like(wanted, 0.01))
    known = (size > 0) & xp.isfinite(size)
    ratio = xp.where(known, wanted / xp.where(known, size, xp.ones_like(size)), xp.ones_like(size))
    return (2.0 ** xp.floor(xp.log2(ratio)))[..., None, None]


balance_p = primitive("balance", _balance, discrete=True)
balance_p.batch(leading)
matrix_exp_p: Primitive = primitive("matrix_exp", _matrix_exp, check=_check_exp)


def _along(x: Array, e: Array) -> Array:
    """The derivative of e^x along e: the upper right block of exp [[x, e], [0, x]] (Al-Mohy and Higham, "Computing the Frechet
    derivative of the matrix exponential", 2009, (1.6)). Its transpose along g is that at x^T."""
    n = x.shape[-1]
    if 0 in x.shape:
        return e
    scale = balance_p(x, e)
    upper = manipulation.concat([x, mul_p(e, scale)], axis=-1)
    lower = manipulation.concat([zeros_p(x, dtype=None), x], axis=-1)
    block = matrix_exp_p(manipulation.concat([upper, lower], axis=-2))
    return div_p(block[..., :n, n:], scale)


matrix_exp_p.vjp(x=lambda g, x: _along(mT(x), g))
matrix_exp_p.jvp(x=lambda t, x: _along(x, t))
matrix_exp_p.batch(leading)


@torch_aliases(A="x")
def matrix_exp(x: Array, /) -> Array:
    """e^x = 1 + x + x^2 / 2 + ... of square matrices, by scaling and squaring. (..., n, n) -> (..., n, n)

    >>> import tensorlite as tl
    >>> tl.linalg.matrix_exp(tl.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return matrix_exp_p(matrices("matrix_exp", x, square=True))


# ---- matrix_power ----------------------------------------------------------------------------------------------------------

@torch_aliases(A="x")
def matrix_power(x: Array, n: int, /) -> Array:
    """x x ... x (n times), of x^-1 for negative n, by squaring. (..., m, m) -> (..., m, m)

    >>> import tensorlite as tl
    >>> tl.linalg.matrix_power(tl.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    x = matrices("matrix_power", x, square=True)
    if not hasattr(n, "__index__"):
        raise DTypeError(f"matrix_power: n = {n!r}; expected an integer")
    n = n.__index__()
    if n == 0:
        return add_p(zeros_p(x, dtype=None), on_diagonal(add_p(zeros_p(x[..., 0], dtype=None), 1)) if x.shape[-1] else 0)
    square, out = (inv(x) if n < 0 else x), None
    for bit in reversed(bin(abs(n))[2:]):
        if bit == "1":
            out = square if out is None else dot(out, square)
        n = abs(n) >> 1
        if n:
            square = dot(square, square)
    return out


# ---- matrix_rank -----------------------------------------------------------------------------------------------------------

@torch_aliases(A="x")
def matrix_rank(x: Array, /, *, rtol: Any = None) -> Array:
    """How many singular values are larger than ``rtol`` (by default max(m, n) eps) times the largest. An integer, with no
    gradient.

    >>> import tensorlite as tl
    >>> tl.linalg.matrix_rank(tl.ones(3, 3))
    tensor(1)
    """
    x = matrices("matrix_rank", x)
    s = svdvals_p(x)
    if not s.shape[-1]:
        return sum_p(gt_p(s, 0), axis=-1, keepdims=False)
    rtol = rank_tolerance(x.shape, x.dtype) if rtol is None else rtol
    rtol = manipulation.expand_dims(rtol, -1) if hasattr(rtol, "shape") else rtol
    return sum_p(gt_p(s, mul_p(s[..., :1], rtol)), axis=-1, keepdims=False)


# ---- products --------------------------------------------------------------------------------------------------------------

@torch_names
def kron(x: Array, y: Array, /) -> Array:
    """The Kronecker product: every element of x, times y. (..., m, n) and (..., p, q) -> (..., m p, n q)

    >>> import tensorlite as tl
    >>> tl.linalg.kron(tl.tensor([[1.0, 2.0]]), tl.tensor([[1.0], [3.0]]))
    tensor([[1., 2.],
            [3., 6.]])
    """
    ndim = max(x.ndim, y.ndim)
    sizes = [(1,) * (ndim - a.ndim) + tuple(a.shape) for a in (x, y)]
    wide = manipulation.reshape(x, tuple(k for n in sizes[0] for k in (n, 1)))
    narrow = manipulation.reshape(y, tuple(k for n in sizes[1] for k in (1, n)))
    return manipulation.reshape(mul_p(wide, narrow), tuple(m * n for m, n in zip(*sizes)))


@torch_names
def cross(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """The vector product of vectors of three elements along ``axis``; the other axes broadcast.

    >>> import tensorlite as tl
    >>> tl.linalg.cross(tl.tensor([1.0, 0.0, 0.0]), tl.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    for name, a in (("x", x), ("y", y)):
        if a.shape[manipulation.axis_of("cross", axis, a.ndim)] != 3:
            raise ShapeError(f"cross: {name} has shape {tuple(a.shape)}; expected 3 elements along axis {axis}")

    def turned(a: Array, by: int) -> Array:
        return rearrange.roll(a, -by, axis)
    return sub_p(mul_p(turned(x, 1), turned(y, 2)), mul_p(turned(x, 2), turned(y, 1)))


@torch_aliases(tensors="arrays")
def multi_dot(arrays: Any, /) -> Array:
    """The product of two or more matrices in the order of multiplications that costs least; the first and the last may be
    vectors.

    Cormen, Leiserson, Rivest and Stein, "Introduction to algorithms", section 15.2.

    >>> import tensorlite as tl
    >>> tl.linalg.multi_dot([tl.ones(2, 3), tl.ones(3, 4), tl.ones(4)])
    tensor([12., 12.])
    """
    arrays = list(arrays)
    if len(arrays) < 2 or any(not hasattr(a, "ndim") for a in arrays):
        raise ShapeError(f"multi_dot: {len(arrays)} arrays were given; expected at least two tensors or arrays")
    last = len(arrays) - 1
    for i, a in enumerate(arrays):
        if a.ndim != 2 and not (a.ndim == 1 and i in (0, last)):
            raise ShapeError(f"multi_dot: arrays[{i}] has shape {tuple(a.shape)}; expected a matrix"
                             + (" or a vector" if i in (0, last) else ""))
    sizes = [1 if arrays[0].ndim == 1 else arrays[0].shape[0], *(a.shape[0] for a in arrays[1:]),
             1 if arrays[last].ndim == 1 else arrays[last].shape[1]]
    for i, (a, b) in enumerate(pairwise(arrays)):
        if a.shape[-1] != b.shape[0]:
            raise ShapeError(f"multi_dot: arrays[{i}] has shape {tuple(a.shape)} and arrays[{i + 1}] has shape {tuple(b.shape)}; "
                             f"{a.shape[-1]} columns do not meet {b.shape[0]} rows")
    return _chain(arrays, _cuts(sizes), 0, last)


def _cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where the product of the matrices i to j is best cut in two."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cut = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], cut[i, j] = min((cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                                        for k in range(i, j))
    return cut


def _chain(arrays: list[Array], cut: dict[tuple[int, int], int], i: int, j: int) -> Array:
    if i == j:
        return arrays[i]
    k = cut[i, j]
    return matmul(_chain(arrays, cut, i, k), _chain(arrays, cut, k + 1, j))


