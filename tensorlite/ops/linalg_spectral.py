"""Eigenvalues of Hermitian matrices and singular values, with their vectors.

The rules are those of Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), sections 3.1 and 3.2, of Seeger et al., "Auto-differentiating linear algebra" (2017), and for complex matrices of Wan and
Zhang, "Automatic differentiation for complex valued SVD" (2019); those of repeated values are in ``linalg_gauge``.
"""
from __future__ import annotations

from typing import Any, NamedTuple

from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Value
from tensorlite.errors import LinAlgError
from tensorlite.ops import manipulation
from tensorlite.ops._linalg_checks import matrices
from tensorlite.ops._names import torch_aliases
from tensorlite.ops.elementwise import add_p, mul_p, neg_p, sub_p
from tensorlite.ops.functions import conj, imag, real
from tensorlite.ops.linalg_gauge import (
    adjoint,
    any_nonzero,
    block_of,
    column,
    columns,
    diagonal,
    dot,
    dot_h,
    expect_zero,
    h_dot,
    hermitian,
    inverse_gaps_p,
    inverse_nonzero_p,
    inverse_sums_p,
    is_complex,
    mH,
    mT,
    on_diagonal,
    rank_tolerance,
    repeats_p,
    row,
    size_of,
    skew,
    synchronous,
    total,
    zeros_among_p,
)
from tensorlite.ops.rearrange import tril_p, triu_p

Array = Any
_CHOICE = ("depends on the choice of {what}, which is arbitrary: no derivative exists there, and that part is left out. Make the "
           "loss independent of it (of {how})")


_TANGENT = ("the tangents of the {what} of a {value} have no limit that all directions share; they are 0 among themselves, which "
            "is right for what does not depend on the choice of {what}")


# ---- eigh ----------------------------------------------------------------------------------------------------------------

def _check_square(name: str) -> Any:
    def check(x: Any) -> None:
        matrices(name, x, square=True)
        raise LinAlgError(f"{name}: the iteration did not converge for x of shape {tuple(x.shape)}; is there nan or inf in it?")
    return check


eigh_p: Primitive = primitive("eigh", lambda xp, x: tuple(xp.linalg.eigh((x + adjoint(xp, x)) / 2)), outputs=2,
                              check=_check_square("eigh"))
eigvalsh_p: Primitive = primitive("eigvalsh", lambda xp, x: xp.linalg.eigvalsh((x + adjoint(xp, x)) / 2),
                                  discrete=True, check=_check_square("eigvalsh"))
_EIGH = "eigh: the loss " + _CHOICE.format(
    what="eigenvectors", how="their phases, and of rotations among those of equal eigenvalues")


def _eigh_vjp(g: Any, needs: Any, out: Any) -> Any:
    gw, gv = g
    w, v = out
    if gv is None:
        return (conj(h_dot(columns(v, gw), v)),)
    vbar = conj(gv)
    c = dot_h(v, vbar)
    turn = skew(c)
    p = mul_p(turn, inverse_gaps_p(w))
    near, read = repeats_p(w), synchronous(w)
    repeated = not read or any_nonzero(near)
    if read and is_complex(v):
        expect_zero(imag(diagonal(c)), c, _EIGH)
    if read and repeated:
        expect_zero(mul_p(near, turn), c, _EIGH)
    if repeated and gw is not None:
        p = add_p(p, block_of(w, hermitian(c), gw, "eigh"))
    if gw is not None:
        p = add_p(p, on_diagonal(gw))
    return (conj(h_dot(dot(v, p), v)),)


def _eigh_jvp(t: Any, out: Any) -> Any:
    w, v = out
    m = dot(dot_h(v, hermitian(t)), v)
    if synchronous(w):
        expect_zero(mul_p(repeats_p(w), m), m, _TANGENT.format(what="eigenvectors", value="repeated eigenvalue"))
    return real(diagonal(m)), dot(v, mul_p(inverse_gaps_p(w), m))


eigh_p.vjp_all(_eigh_vjp)
eigh_p.jvp(x=_eigh_jvp)
eigh_p.batch(leading)


eigvalsh_p.batch(leading)


def differentiated(x: Array) -> bool:
    """Whether a derivative may be asked for: then values come with their vectors, from one operation, so that its rule sees the
    cotangents of both."""
    while isinstance(x, Value):
        if x.tracked:
            return True
        x = x.value
    return False


class EighResult(NamedTuple):
    """The eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


def _half(x: Array, UPLO: str | None) -> Array:
    if UPLO is None:
        return x
    if UPLO not in ("L", "U", "l", "u"):
        from tensorlite.errors import DTypeError
        raise DTypeError(f"eigh: UPLO = {UPLO!r}; expected 'L', 'U' or None")
    kept = tril_p(x, k=0) if UPLO in "Ll" else triu_p(x, k=0)
    strict = tril_p(x, k=-1) if UPLO in "Ll" else triu_p(x, k=1)
    return add_p(kept, mH(strict))


@torch_aliases(A="x")
def eigh(x: Array, /, *, UPLO: str | None = None) -> EighResult:
    """x = V diag(w) V^H of Hermitian matrices: w ascending and real, V unitary. (..., n, n) -> (..., n), (..., n, n)

    (x + x^H) / 2 is what is decomposed, so that the gradient is Hermitian; with ``UPLO`` "L" or "U" that triangle alone is read.

    Derivatives: with M = V^H dx V, dw_i = M_ii and dV = V (F * M), F_ij = 1 / (w_j - w_i). V is determined up to phases, and for
    repeated eigenvalues up to rotations: the derivative of what does not depend on that choice is exact there too for
    functions of the matrix, V f(w) V^H, for symmetric functions of the eigenvalues and for projectors on the eigenspaces;
    otherwise ``GaugeWarning`` says what is missing (see docs/linalg.md).

    Errors: ``ShapeError`` for what is not square, ``LinAlgError`` where there is no convergence (nan may give nan or this).

    >>> import tensorlite as tl
    >>> w, v = tl.linalg.eigh(tl.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> w
    tensor([1., 3.])
    """
    return EighResult(*eigh_p(_half(matrices("eigh", x, square=True), UPLO)))


@torch_aliases(A="x")
def eigvalsh(x: Array, /, *, UPLO: str | None = None) -> Array:
    """The eigenvalues of Hermitian matrices, ascending; see :func:`eigh`. Its gradient is V diag(g) V^H.

    At repeated eigenvalues a loss that treats them differently has no gradient; this one is then one of its one-sided ones.

    >>> import tensorlite as tl
    >>> tl.linalg.eigvalsh(tl.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    x = _half(matrices("eigvalsh", x, square=True), UPLO)
    return eigh_p(x)[0] if differentiated(x) else eigvalsh_p(x)


# ---- svd -----------------------------------------------------------------------------------------------------------------

def _check_svd(x: Any, full: bool = False) -> None:
    matrices("svd", x)
    raise LinAlgError(f"svd: the iteration did not converge for x of shape {tuple(x.shape)}; is there nan or inf in it?")


svd_p: Primitive = primitive("svd", lambda xp, x, *, full: tuple(xp.linalg.svd(x, full_matrices=full)), outputs=3,
                             check=_check_svd)
svdvals_p: Primitive = primitive("svdvals", lambda xp, x: xp.linalg.svdvals(x), discrete=True,
                                 check=_check_svd)
_SVD = "svd: the loss " + _CHOICE.format(
    what="singular vectors", how="their common phases, and of rotations among those of equal or zero singular values")
_EXTRA = "svd: the loss " + _CHOICE.format(what="the vectors that full_matrices adds", how="rotations among them")
_ZERO = ("svd: the loss depends on singular values that are zero, beside their vectors; there it is the length of something, "
         "whose gradient at 0 is any of a ball's: it is incomplete")


def _split(x: Array, k: int) -> tuple[Array, Array | None]:
    """The first k columns, and the others if there are any."""
    return (x, None) if x.shape[-1] == k else (x[..., :k], x[..., k:])


def _inner(bar: Array | None, u: Array, extra: Array | None, k: int) -> Array | None:
    """The cotangent of the first k columns that does what that of all of them does: U2 turns against U1 as U1 against U2."""
    if bar is None or extra is None:
        return bar
    first, other = bar[..., :k], bar[..., k:]
    if synchronous(bar):
        turn = dot_h(extra, other)
        expect_zero(skew(turn), bar, _EXTRA)
    return sub_p(first, dot(extra, dot_h(other, u)))


def _svd_vjp(g: Any, needs: Any, x_shape: tuple[int, ...], out: Any) -> Any:
    (gu, gs, gvh), (u, s, vh) = g, out
    m, n = x_shape[-2:]
    k = min(m, n)
    u, u2 = _split(u, k)
    v, v2 = _split(mH(vh), k)
    if gu is None and gvh is None:
        return (conj(h_dot(columns(u, gs), v)),)
    ubar = _inner(None if gu is None else conj(gu), u, u2, k)
    vbar = _inner(None if gvh is None else mT(gvh), v, v2, k)
    tolerance = rank_tolerance(x_shape, s.dtype)
    cu, cv = (None if bar is None else dot_h(vectors, bar) for vectors, bar in ((u, ubar), (v, vbar)))
    turn_u, turn_v = (None if c is None else skew(c) for c in (cu, cv))
    together = total(turn_u, turn_v)
    apart = total(turn_u, None if turn_v is None else neg_p(turn_v))
    p = add_p(mul_p(together, inverse_gaps_p(s)), mul_p(apart, inverse_sums_p(s, tolerance=tolerance)))
    near, read = repeats_p(s), synchronous(s)
    repeated = not read or any_nonzero(near)
    if repeated and gs is not None:
        p = add_p(p, block_of(s, hermitian(total(cu, cv)), gs, "svd"))
    left, right = (None if bar is None or rows == k else sub_p(bar, dot(vectors, c))
                   for bar, vectors, c, rows in ((ubar, u, cu, m), (vbar, v, cv, n)))
    zero = zeros_among_p(s, tolerance=tolerance)
    if read and (repeated or is_complex(u) or any_nonzero(zero)):
        _svd_expectations(gs, near, zero, together, apart, left, right, (ubar, vbar), m != n)
    if gs is not None:
        p = add_p(p, on_diagonal(gs))
    out = h_dot(dot(u, p), v)
    if left is not None or right is not None:
        rest = inverse_nonzero_p(s, tolerance=tolerance)
        if left is not None:
            out = add_p(out, h_dot(columns(left, rest), v))
        if right is not None:
            out = add_p(out, h_dot(columns(u, rest), right))
    return (conj(out),)


def _svd_expectations(gs: Any, near: Array, zero: Array, together: Array, apart: Array, left: Any, right: Any,
                      bars: tuple[Any, Any], oblong: bool) -> None:
    """``GaugeWarning`` for what the loss must not depend on."""
    scale = max([together, *(bar for bar in bars if bar is not None)], key=size_of)
    if is_complex(together):
        expect_zero(diagonal(together), scale, _SVD)
    expect_zero(mul_p(near, together), scale, _SVD)
    both = mul_p(column(zero), row(zero))
    expect_zero(mul_p(both, apart), scale, _SVD)
    for part in (left, right):
        if part is not None:
            expect_zero(columns(part, zero), scale, _SVD)
    if gs is not None and (oblong or any_nonzero(mul_p(near, both))):
        expect_zero(mul_p(gs, zero), gs, _ZERO)


def _svd_jvp(t: Any, out: Any) -> Any:
    u, s, vh = out
    m, n = t.shape[-2:]
    k = min(m, n)
    u, u2 = _split(u, k)
    v, v2 = _split(mH(vh), k)
    tv, tu = dot(t, v), dot_h(t, u)
    p = dot_h(u, tv)
    tolerance = rank_tolerance(t.shape, s.dtype)
    together, apart = mul_p(hermitian(p), inverse_gaps_p(s)), mul_p(skew(p), inverse_sums_p(s, tolerance=tolerance))
    left = sub_p(tv, dot(u, p)) if m > k else None
    right = sub_p(tu, dot(v, mH(p))) if n > k else None
    if synchronous(s):
        message = _TANGENT.format(what="singular vectors", value="repeated or zero singular value")
        expect_zero(mul_p(repeats_p(s), hermitian(p)), t, message)
        zero = zeros_among_p(s, tolerance=tolerance)
        for part in (left, right):
            if part is not None:
                expect_zero(columns(part, zero), t, message)
    du, dv = dot(u, add_p(together, apart)), dot(v, sub_p(together, apart))
    rest = inverse_nonzero_p(s, tolerance=tolerance)
    du = du if left is None else add_p(du, columns(left, rest))
    dv = dv if right is None else add_p(dv, columns(right, rest))
    du, dv = _with_extra(du, u, u2), _with_extra(dv, v, v2)
    return du, real(diagonal(p)), mH(dv)


def _with_extra(d: Array, u: Array, extra: Array | None) -> Array:
    return d if extra is None else manipulation.concat([d, neg_p(dot(u, dot_h(d, extra)))], axis=-1)


svd_p.vjp_all(_svd_vjp)
svd_p.jvp(x=_svd_jvp)
svd_p.batch(leading)


svdvals_p.batch(leading)


class SVDResult(NamedTuple):
    """U with the left singular vectors as columns, the singular values in descending order, Vh with the right ones as rows."""

    U: Array
    S: Array
    Vh: Array


@torch_aliases(A="x")
def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U diag(S) Vh: S descending and not negative, the columns of U and the rows of Vh orthonormal.

    (..., m, n) -> U (..., m, m), S (..., k), Vh (..., n, n) with k = min(m, n); U (..., m, k) and Vh (..., k, n) unless
    ``full_matrices``. Singular vectors are determined up to a common phase, those of repeated singular values up to a common
    rotation, those of the value zero and those ``full_matrices`` adds up to any. The derivative of what does not depend on that
    choice is exact, at repeated values as for :func:`eigh`; ``GaugeWarning`` says where it is not.

    Errors: ``ShapeError`` for what has no two axes, ``LinAlgError`` where there is no convergence (nan).

    >>> import tensorlite as tl
    >>> x = tl.tensor([[3.0, 0.0], [0.0, 3.0]], requires_grad=True)   # a singular value twice
    >>> u, s, vh = tl.linalg.svd(x)
    >>> (((u * s) @ vh) ** 2).sum().backward()   # which is the sum of x^2
    >>> x.grad
    tensor([[6., 0.],
            [0., 6.]])
    """
    return SVDResult(*svd_p(matrices("svd", x), full=bool(full_matrices)))


@torch_aliases(A="x")
def svdvals(x: Array, /) -> Array:
    """The singular values, descending; see :func:`svd`. Their gradient is U diag(g) Vh.

    At repeated singular values a loss that treats them differently has no gradient, nor has one that depends on zero
    singular values; this one is then a subgradient.

    >>> import tensorlite as tl
    >>> tl.linalg.svdvals(tl.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """
    x = matrices("svdvals", x)
    return svd_p(x, full=False)[1] if differentiated(x) else svdvals_p(x)
