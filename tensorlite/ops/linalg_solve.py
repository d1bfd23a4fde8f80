"""Square systems: inverse, solutions, determinants, and the Cholesky factor."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorlite.engine.batching import leading, pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import LinAlgError, ShapeError
from tensorlite.ops import manipulation
from tensorlite.ops._linalg_checks import matrices, refused
from tensorlite.ops._names import torch_aliases
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.cumulative import cumulative_prod
from tensorlite.ops.elementwise import add_p, mul_p, neg_p, sub_p
from tensorlite.ops.functions import conj, imag, real
from tensorlite.ops.linalg_gauge import (
    adjoint,
    column,
    diagonal,
    dot,
    dot_h,
    half_lower,
    hermitian,
    is_complex,
    mH,
    mT,
    on_diagonal,
    row,
    total,
)
from tensorlite.ops.linalg_spectral import svd_p
from tensorlite.ops.rearrange import flip, tril_p, triu_p
from tensorlite.ops.reduction import sum_p

Array = Any
_SINGULAR = "; pinv and lstsq take singular matrices too"


# ---- inv -----------------------------------------------------------------------------------------------------------------

def _check_inv(x: Any) -> None:
    matrices("inv", x, square=True)
    raise LinAlgError(f"inv: {refused(x, np.linalg.inv)} of x of shape {tuple(x.shape)} is singular{_SINGULAR}")


inv_p: Primitive = primitive("inv", lambda xp, x: xp.linalg.inv(x), check=_check_inv)
inv_p.vjp(x=lambda g, out: neg_p(dot(dot(out, g, tx=True), out, ty=True)))
inv_p.jvp(x=lambda t, out: neg_p(dot(dot(out, t), out)))
inv_p.batch(leading)


@torch_aliases(A="x")
def inv(x: Array, /) -> Array:
    """The inverse of square matrices. (..., n, n) -> (..., n, n); where it multiplies something, ``solve`` is faster and more
    exact.

    Errors: ``ShapeError`` for what is not square, ``LinAlgError`` for a singular matrix (on CUDA, where a check would wait for
    the device, the result is then inf or nan).

    >>> import tensorlite as tl
    >>> tl.linalg.inv(tl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return inv_p(matrices("inv", x, square=True))


# ---- solve ---------------------------------------------------------------------------------------------------------------

def _fitting(op: str, a: Any, b: Any, square: bool = True) -> None:
    """Raise if b's rows are not a's, or the batches do not broadcast."""
    matrices(op, a, square=square, name="a")
    matrices(op, b, name="b")
    if a.shape[-2] != b.shape[-2]:
        raise ShapeError(f"{op}: a has shape {tuple(a.shape)} and b has shape {tuple(b.shape)}; the matrices of b must have "
                         f"{a.shape[-2]} rows, as those of a have")
    if any(m != n and 1 not in (m, n) for m, n in zip(a.shape[-3::-1], b.shape[-3::-1])):
        raise ShapeError(f"{op}: the batch axes of a {tuple(a.shape[:-2])} and b {tuple(b.shape[:-2])} do not broadcast")


def _check_solve(a: Any, b: Any) -> None:
    _fitting("solve", a, b)
    raise LinAlgError(f"solve: {refused(a, np.linalg.inv, 'a')} of a of shape {tuple(a.shape)} is "
                      f"singular{_SINGULAR}")


def _solve_rule(g: Any, needs: Any, a: Any, out: Any) -> Any:
    gb = solve_p(mT(a), g)
    return neg_p(dot(gb, out, ty=True)) if needs[0] else None, gb


def _solve_push(ts: Any, a: Any, out: Any) -> Any:
    ta, tb = ts
    return solve_p(a, total(tb, None if ta is None else neg_p(dot(ta, out))))


solve_p: Primitive = primitive("solve", lambda xp, a, b: xp.linalg.solve(a, b), check=_check_solve)
solve_p.vjp_all(_solve_rule)
solve_p.jvp_all(_solve_push)
solve_p.batch(pointwise)


def with_columns(op: str, a: Array, b: Array) -> tuple[Array, bool]:
    """b as matrices, and whether it was a vector."""
    if hasattr(b, "shape") and len(b.shape) == 1:
        if b.shape[0] != a.shape[-2]:
            raise ShapeError(f"{op}: a has shape {tuple(a.shape)} and b has shape {tuple(b.shape)}; expected b of length "
                             f"{a.shape[-2]}")
        return matrices(op, manipulation.expand_dims(b, -1), name="b"), True
    return matrices(op, b, name="b"), False


def without_columns(x: Array, vector: bool) -> Array:
    return manipulation.reshape(x, tuple(x.shape[:-1])) if vector else x


@torch_aliases(A="a", B="b", x1="a", x2="b")
def solve(a: Array, b: Array, /, *, left: bool = True) -> Array:
    """x with a x = b (x a = b, if not ``left``), by LU factors. a (..., n, n), b (..., n, k) or (n,); batch axes broadcast.

    Errors: ``ShapeError`` for shapes that do not fit, ``LinAlgError`` for a singular a (on CUDA x is then inf or nan).

    >>> import tensorlite as tl
    >>> tl.linalg.solve(tl.tensor([[2.0, 0.0], [0.0, 4.0]]), tl.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    a = matrices("solve", a, square=True, name="a")
    b, vector = with_columns("solve", a, b)
    if not left and not vector:
        return mT(solve_p(mT(a), mT(b)))
    return without_columns(solve_p(a if left else mT(a), b), vector)


# ---- solve_triangular ------------------------------------------------------------------------------------------------------

def _triangle(xp: Any, a: Any, upper: bool, unit: bool) -> Any:
    if unit:
        eye = xp.eye(a.shape[-1], dtype=a.dtype)
        return (xp.triu(a, k=1) if upper else xp.tril(a, k=-1)) + eye
    return xp.triu(a) if upper else xp.tril(a)


def _solve_triangular(xp: Any, a: Any, b: Any, *, upper: bool, unit: bool = False) -> Any:
    return xp.linalg.solve(_triangle(xp, a, upper, unit), b)


def _check_triangular(a: Any, b: Any, upper: bool = False, unit: bool = False) -> None:
    _fitting("solve_triangular", a, b)
    raise LinAlgError(f"solve_triangular: {refused(a, _nonzero_diagonal, 'a')} of a of shape {tuple(a.shape)} has a zero on its "
                      "diagonal, so it is singular")


def _nonzero_diagonal(a: Any) -> None:
    if (np.diagonal(a) == 0).any():
        raise np.linalg.LinAlgError


def _kept(x: Array, upper: bool, unit: bool) -> Array:
    return triu_p(x, k=int(unit)) if upper else tril_p(x, k=-int(unit))


def _triangular_rule(g: Any, needs: Any, a: Any, out: Any, upper: bool, unit: bool) -> Any:
    gb = solve_triangular_p(mT(a), g, upper=not upper, unit=unit)
    return _kept(neg_p(dot(gb, out, ty=True)), upper, unit) if needs[0] else None, gb


def _triangular_push(ts: Any, a: Any, out: Any, upper: bool, unit: bool) -> Any:
    ta, tb = ts
    t = total(tb, None if ta is None else neg_p(dot(_kept(ta, upper, unit), out)))
    return solve_triangular_p(a, t, upper=upper, unit=unit)


solve_triangular_p: Primitive = primitive("solve_triangular", _solve_triangular, check=_check_triangular)
solve_triangular_p.vjp_all(_triangular_rule)
solve_triangular_p.jvp_all(_triangular_push)
solve_triangular_p.batch(pointwise)


@torch_aliases(A="a", B="b")
def solve_triangular(a: Array, b: Array, /, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Array:
    """x with a x = b (x a = b, if not ``left``) for triangular a, by substitution. The other triangle is not read, and with
    ``unitriangular`` the diagonal is not either: it counts as ones. a (..., n, n), b (..., n, k) or (n,); batch axes broadcast.

    Errors: ``ShapeError`` for shapes that do not fit, ``LinAlgError`` for a zero on the diagonal (on CUDA x is then inf or nan).

    >>> import tensorlite as tl
    >>> tl.linalg.solve_triangular(tl.tensor([[2.0, 0.0], [1.0, 1.0]]), tl.tensor([2.0, 3.0]), upper=False)
    tensor([1., 2.])
    """
    a = matrices("solve_triangular", a, square=True, name="a")
    b, vector = with_columns("solve_triangular", a, b)
    if not left and not vector:
        return mT(solve_triangular_p(mT(a), mT(b), upper=not upper, unit=bool(unitriangular)))
    a, upper = (a, bool(upper)) if left else (mT(a), not upper)
    return without_columns(solve_triangular_p(a, b, upper=upper, unit=bool(unitriangular)), vector)


# ---- det -----------------------------------------------------------------------------------------------------------------
# The gradient is the matrix of cofactors, det(x) x^-T, which exists for singular matrices too. By x = U S V^H, with d the phase
# det(U) det(V^H), it is d conj(U) C(S) V^T, where C of a diagonal matrix has the products of the other elements, and C'(S) the
# products of all but two: nothing is divided by a determinant. From the third derivative on the vectors are differentiated too,
# which is incomplete where singular values are repeated.

def _cofactors(xp: Any, x: Any) -> Any:
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    n = s.shape[-1]
    others = xp.where(xp.eye(n, dtype=s.dtype) == 1, xp.ones_like(s[..., :1, None]), xp.expand_dims(s, axis=-2))
    c = (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None] * xp.prod(others, axis=-1)[..., None, :]
    if not xp.isdtype(x.dtype, "complex floating"):
        return (u * c) @ vh
    return (xp.conj(u) * c) @ xp.conj(vh)


def _check_det(name: str) -> Any:
    def check(x: Any) -> None:
        matrices(name, x, square=True)
        raise LinAlgError(f"{name}: of x of shape {tuple(x.shape)} there is no decomposition; is there nan or inf in it?")
    return check


det_p: Primitive = primitive("det", lambda xp, x: xp.linalg.det(x), check=_check_det("det"))
cofactors_p: Primitive = primitive("cofactors", _cofactors, check=_check_det("det"))


def _times(x: Array, scalar: Array) -> Array:
    """Matrices times a number each."""
    return mul_p(x, manipulation.reshape(scalar, (*scalar.shape, 1, 1)))


det_p.vjp(x=lambda g, x: _times(cofactors_p(x), g))
det_p.jvp(x=lambda t, x: sum_p(mul_p(cofactors_p(x), t), axis=(-2, -1), keepdims=False))
det_p.batch(leading)


def all_but_two(s: Array) -> Array:
    """At (i, j), i != j, the product of all s_k but s_i and s_j; 0 on the diagonal. (..., n) -> (..., n, n)"""
    n = s.shape[-1]
    if n < 2:
        return column(zeros_p(s, dtype=None))
    one = add_p(zeros_p(s[..., :1], dtype=None), 1)
    before = cumulative_prod(manipulation.concat([one, s[..., :-1]], axis=-1), axis=-1)
    after = flip(cumulative_prod(flip(manipulation.concat([s[..., 1:], one], axis=-1), -1), axis=-1), -1)
    gaps = triu_p(add_p(zeros_p(mul_p(column(s), row(s)), dtype=None), 1), k=2)   # 1 at (i, j) if j - 1 > i
    last = row(manipulation.concat([one, s[..., :-1]], axis=-1))                  # s_(j - 1) in column j
    between = cumulative_prod(add_p(mul_p(gaps, sub_p(last, 1)), 1), axis=-1)
    upper = triu_p(mul_p(mul_p(column(before), row(after)), between), k=1)
    return add_p(upper, mT(upper))


def _turned_cofactors(t: Array, x: Array) -> Array:
    """The derivative of the cofactors of x along t: the second derivative of the determinant, so a symmetric map."""
    u, s, vh = svd_p(x, full=False)
    phase = mul_p(det_p(u), det_p(vh))
    m = dot(dot(conj(vh), t, ty=True), conj(u))   # V^T t^T conj(U)
    pairs = all_but_two(s)
    on = sum_p(mul_p(pairs, row(diagonal(m))), axis=-1, keepdims=False)
    inner = sub_p(on_diagonal(on), mul_p(pairs, m))
    return _times(dot(dot(conj(u), inner), conj(vh)), phase)


cofactors_p.vjp(x=lambda g, x: _turned_cofactors(g, x))
cofactors_p.jvp(x=lambda t, x: _turned_cofactors(t, x))
cofactors_p.batch(leading)


@torch_aliases(A="x")
def det(x: Array, /) -> Array:
    """The determinant of square matrices. (..., n, n) -> (...)

    Its gradient is the matrix of cofactors, and finite for singular matrices too; so is the second derivative.

    >>> import tensorlite as tl
    >>> x = tl.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)   # singular
    >>> tl.linalg.det(x).backward()
    >>> tl.round(x.grad, decimals=4)
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """
    return det_p(matrices("det", x, square=True))


# ---- slogdet -------------------------------------------------------------------------------------------------------------

slogdet_p: Primitive = primitive("slogdet", lambda xp, x: tuple(xp.linalg.slogdet(x)), outputs=2, check=_check_det("slogdet"))


def _slogdet_vjp(g: Any, needs: Any, x: Any, out: Any) -> Any:
    gs, gl = g
    if gs is not None and is_complex(x):   # a sign e^(i t): t moves by Im tr(x^-1 dx)
        gl = total(gl, mul_p(imag(mul_p(gs, out[0])), 1j))
    if gl is None:
        return (zeros_p(x, dtype=None),)
    return (_times(mT(inv_p(x)), gl),)


def _slogdet_jvp(t: Any, x: Any, out: Any) -> Any:
    z = sum_p(mul_p(mT(inv_p(x)), t), axis=(-2, -1), keepdims=False)
    return mul_p(mul_p(out[0], imag(z)), 1j) if is_complex(x) else None, real(z)


slogdet_p.vjp_all(_slogdet_vjp)
slogdet_p.jvp(x=_slogdet_jvp)
slogdet_p.batch(leading)


class SlogdetResult(NamedTuple):
    """The sign (of complex matrices, the phase) and the logarithm of the absolute value of a determinant."""

    sign: Array
    logabsdet: Array


@torch_aliases(A="x")
def slogdet(x: Array, /) -> SlogdetResult:
    """sign and log |det x|, where the determinant itself would overflow. The gradient of the logarithm is x^-T.

    Of a singular matrix they are 0 and -inf, and there is no gradient: asked for, it raises ``LinAlgError``.

    >>> import tensorlite as tl
    >>> tl.linalg.slogdet(-1e30 * tl.eye(3))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(207.2327))
    """
    return SlogdetResult(*slogdet_p(matrices("slogdet", x, square=True)))


# ---- cholesky --------------------------------------------------------------------------------------------------------------

def _check_cholesky(x: Any) -> None:
    matrices("cholesky", x, square=True)
    raise LinAlgError(f"cholesky: {refused(x, lambda one: np.linalg.cholesky((one + one.conj().T) / 2))} of x of "
                      f"shape {tuple(x.shape)} is not positive definite; a small multiple of the identity added to it may help")


def _cholesky_vjp(g: Any, out: Any) -> Any:
    # Murray, "Differentiation of the Cholesky decomposition" (2016), section 3: L^-H phi(L^H L') L^-1
    p = hermitian(half_lower(dot_h(out, conj(g))))
    p = solve_triangular_p(mH(out), p, upper=True, unit=False)
    return conj(mH(solve_triangular_p(mH(out), mH(p), upper=True, unit=False)))


def _cholesky_jvp(t: Any, out: Any) -> Any:
    s = solve_triangular_p(out, hermitian(t), upper=False, unit=False)
    s = mH(solve_triangular_p(out, mH(s), upper=False, unit=False))
    return dot(out, half_lower(s))


cholesky_p: Primitive = primitive("cholesky", lambda xp, x: xp.linalg.cholesky((x + adjoint(xp, x)) / 2), check=_check_cholesky)
cholesky_p.vjp(x=_cholesky_vjp)
cholesky_p.jvp(x=_cholesky_jvp)
cholesky_p.batch(leading)


@torch_aliases(A="x")
def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """L, lower triangular with a positive diagonal, with x = L L^H for Hermitian positive definite x; if ``upper``, L^H.

    (x + x^H) / 2 is what is decomposed, so that the gradient is Hermitian.
    Errors: ``ShapeError`` for what is not square, ``LinAlgError`` for what is not positive definite (on CUDA: nan).

    >>> import tensorlite as tl
    >>> tl.linalg.cholesky(tl.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    out = cholesky_p(matrices("cholesky", x, square=True))
    return mH(out) if upper else out
