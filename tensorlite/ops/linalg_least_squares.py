"""QR factors, the pseudoinverse and least squares."""
from __future__ import annotations

from typing import Any, NamedTuple

from tensorlite.engine.batching import aligned, everywhere, leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Provided
from tensorlite.errors import DTypeError, LinAlgError
from tensorlite.ops import manipulation
from tensorlite.ops._linalg_checks import matrices
from tensorlite.ops._names import torch_aliases
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.elementwise import add_p, mul_p, neg_p, sub_p, sum_to
from tensorlite.ops.functions import abs_p, conj, imag, real, square_p
from tensorlite.ops.linalg_gauge import (
    any_nonzero,
    columns,
    diagonal,
    dot,
    dot_h,
    expect_zero,
    h_dot,
    is_complex,
    mH,
    mT,
    on_diagonal,
    rank_tolerance,
    skew,
    synchronous,
    total,
)
from tensorlite.ops.linalg_solve import _fitting, solve_triangular_p, with_columns, without_columns
from tensorlite.ops.linalg_spectral import svd_p
from tensorlite.ops.rearrange import tril_p, triu_p
from tensorlite.ops.reduction import sum_p

Array = Any


# ---- qr ------------------------------------------------------------------------------------------------------------------
# Seeger et al., "Auto-differentiating linear algebra" (2017), and for wide matrices Roberts and Roberts, "QR and LQ decomposition
# matrix backpropagation algorithms for square, wide, and deep matrices and their software implementation" (2020).

def _check_qr(x: Any, mode: str = "reduced") -> None:
    matrices("qr", x)


qr_p: Primitive = primitive("qr", lambda xp, x, *, mode: tuple(xp.linalg.qr(x, mode=mode)), outputs=2, check=_check_qr)


def _over(x: Array, r: Array) -> Array:
    """x R^-1."""
    return mT(_checked_triangle(mT(r), mT(x), False))


def _over_h(x: Array, r: Array) -> Array:
    """x R^-H."""
    return mH(_checked_triangle(r, mH(x), True))


def _checked_triangle(r: Array, b: Array, upper: bool) -> Array:
    try:
        return solve_triangular_p(r, b, upper=upper, unit=False)
    except LinAlgError as error:
        raise LinAlgError("qr: the first min(m, n) columns of x are linearly dependent; there Q and R have no "
                          "derivative") from error


def _skew_of(s: Array) -> Array:
    """The skew matrix whose lower triangle is that of s, and whose diagonal is s's imaginary part."""
    low = tril_p(s, k=-1)
    out = sub_p(low, mH(low))
    return add_p(out, on_diagonal(mul_p(imag(diagonal(s)), 1j))) if is_complex(s) else out


def _hermitian_of(m: Array) -> Array:
    """The Hermitian matrix whose lower triangle is that of m, and whose diagonal is m's real part."""
    low = tril_p(m, k=-1)
    return total(low, mH(low), on_diagonal(real(diagonal(m))))


def _qr_vjp(g: Any, needs: Any, x: Any, out: Any) -> Any:
    (gq, gr), (q, r) = g, out
    m, n = x.shape[-2:]
    k = min(m, n)
    qbar, rbar = None if gq is None else conj(gq), None if gr is None else conj(gr)
    if q.shape[-1] > k:   # complete
        q, extra = q[..., :k], q[..., k:]
        r, rbar = r[..., :k, :], None if rbar is None else rbar[..., :k, :]
        if qbar is not None:
            first, other = qbar[..., :k], qbar[..., k:]
            if synchronous(q):
                expect_zero(skew(dot_h(extra, other)), qbar, "qr: the loss depends on the choice of the columns that "
                            "mode='complete' adds, which is arbitrary: no derivative exists there, and that part is left out. "
                            "Make the loss independent of rotations among them")
            qbar = sub_p(first, dot(extra, dot_h(other, q)))
    if n > k:
        right = x[..., k:]
        r, rbar_left = r[..., :k], None if rbar is None else rbar[..., :k]
        if rbar is None:
            xbar_right = zeros_p(right, dtype=None)
        else:
            rest = rbar[..., k:]
            qbar, xbar_right = total(qbar, h_dot(right, rest)), dot(q, rest)
        return (conj(manipulation.concat([_tall(q, r, qbar, rbar_left), xbar_right], axis=-1)),)
    return (conj(_tall(q, r, qbar, rbar)),)


def _tall(q: Array, r: Array, qbar: Array | None, rbar: Array | None) -> Array:
    m = total(None if rbar is None else h_dot(r, rbar), None if qbar is None else neg_p(dot_h(qbar, q)))
    return _over_h(total(qbar, dot(q, _hermitian_of(m))), r)


def _qr_jvp(t: Any, x: Any, out: Any) -> Any:
    q, r = out
    m, n = x.shape[-2:]
    k = min(m, n)
    extra = None
    if q.shape[-1] > k:
        q, extra, r = q[..., :k], q[..., k:], r[..., :k, :]
    left = r[..., :k]
    tr = _over(t[..., :k], left)
    s = dot_h(q, tr)
    turn = _skew_of(s)
    dq = dot(q, turn)
    if m > k:
        dq = add_p(dq, sub_p(tr, dot(q, s)))
    dr = triu_p(dot(sub_p(s, turn), left), k=0)
    if n > k:
        dr = manipulation.concat([dr, add_p(dot_h(dq, x[..., k:]), dot_h(q, t[..., k:]))], axis=-1)
    if extra is not None:
        dq = manipulation.concat([dq, neg_p(dot(q, dot_h(dq, extra)))], axis=-1)
        dr = manipulation.concat([dr, zeros_p(t[..., k:, :], dtype=None)], axis=-2)
    return dq, dr


qr_p.vjp_all(_qr_vjp)
qr_p.jvp(x=_qr_jvp)
qr_p.batch(leading)


class QRResult(NamedTuple):
    """Q with orthonormal columns, and R, upper triangular."""

    Q: Array
    R: Array


@torch_aliases(A="x")
def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R, Q with orthonormal columns and R upper triangular. (..., m, n) -> (..., m, k), (..., k, n) with k = min(m, n), or
    with ``mode="complete"`` (..., m, m), (..., m, n).

    The columns that "complete" adds are determined up to rotations: the derivative of what depends on that choice does not exist,
    and ``GaugeWarning`` says so. Errors: ``ShapeError`` for what has no two axes; ``LinAlgError`` if a derivative is asked for
    where the first k columns are linearly dependent.

    >>> import tensorlite as tl
    >>> q, r = tl.linalg.qr(tl.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> tl.round(abs(r), decimals=4)
    tensor([[5. , 2.2],
            [0. , 0.4]])
    """
    if mode not in ("reduced", "complete"):
        raise DTypeError(f"qr: mode = {mode!r}; expected 'reduced' or 'complete'")
    return QRResult(*qr_p(matrices("qr", x), mode=mode))


# ---- pinv ------------------------------------------------------------------------------------------------------------------
# Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables separate"
# (1973), theorem 4.3: the derivative among matrices of the same rank.

def _check_pinv(x: Any, rtol: float = 0.0) -> None:
    matrices("pinv", x)
    raise LinAlgError(f"pinv: of x of shape {tuple(x.shape)} there is no decomposition; is there nan or inf in it?")


def _pinv_vjp(g: Any, x: Any, out: Any) -> Any:
    bar = conj(g)
    ph = mH(out)
    one = neg_p(dot(dot(ph, bar), ph))
    barh = mH(bar)
    a = dot(dot(barh, out), ph)
    two = sub_p(a, dot(x, dot(out, a)))             # (1 - x P) P'^H P P^H
    b = dot(dot(ph, out), barh)
    three = sub_p(b, dot(dot(b, out), x))           # P^H P P'^H (1 - P x)
    return conj(total(one, two, three))


def _pinv_jvp(t: Any, x: Any, out: Any) -> Any:
    ph, th = mH(out), mH(t)
    a = dot(dot(out, ph), th)
    b = dot(dot(th, ph), out)
    return total(neg_p(dot(dot(out, t), out)), sub_p(a, dot(dot(a, x), out)), sub_p(b, dot(out, dot(x, b))))


pinv_p: Primitive = primitive("pinv", lambda xp, x, *, rtol: xp.linalg.pinv(x, rtol=rtol), check=_check_pinv)
pinv_p.vjp(x=_pinv_vjp)
pinv_p.jvp(x=_pinv_jvp)
pinv_p.batch(leading)


@torch_aliases(A="x", rcond="rtol")
def pinv(x: Array, /, *, rtol: float | None = None) -> Array:
    """The Moore-Penrose pseudoinverse. (..., m, n) -> (..., n, m)

    Singular values up to ``rtol`` (by default max(m, n) eps) times the largest count as zero. The derivative is that among
    matrices of the same rank; where the rank changes the pseudoinverse jumps.

    >>> import tensorlite as tl
    >>> tl.linalg.pinv(tl.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    x = matrices("pinv", x)
    return pinv_p(x, rtol=rank_tolerance(x.shape, x.dtype) if rtol is None else float(rtol))


# ---- lstsq -----------------------------------------------------------------------------------------------------------------

def _lstsq(xp: Any, a: Any, b: Any, *, rtol: float) -> Any:
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    keep = s > rtol * s[..., :1]
    rest = xp.where(keep, 1 / xp.where(keep, s, xp.ones_like(s)), xp.zeros_like(s))
    rank = xp.sum(xp.astype(keep, xp.int64), axis=-1)
    uh, v = xp.matrix_transpose(u), xp.matrix_transpose(vh)
    if xp.isdtype(a.dtype, "complex floating"):
        uh, v = xp.conj(uh), xp.conj(v)
    return v @ (rest[..., None] * (uh @ b)), rank, s


def _check_lstsq(a: Any, b: Any, rtol: float = 0.0) -> None:
    _fitting("lstsq", a, b, square=False)
    raise LinAlgError(f"lstsq: of a of shape {tuple(a.shape)} there is no decomposition; is there nan or inf in it?")


def _full_rank(rank: Array, a: Array) -> None:
    least = min(a.shape[-2:])
    if synchronous(rank) and any_nonzero(sub_p(rank, least)):
        raise LinAlgError(f"lstsq: a of shape {tuple(a.shape)} has matrices of rank below {least}; there the solution jumps, and "
                          "has no derivative. Leave dependent columns out, add to a x = b the rows of sqrt(lambda) x = 0 (ridge "
                          "regression), or use pinv, whose derivative is that among matrices of the same rank")


def _solution(a: Array, b: Array, rtol: float) -> Array:
    return lstsq_p(a, b, rtol=rtol)[0]


def _lstsq_vjp(g: Any, needs: Any, a: Any, b: Any, out: Any, rtol: float) -> Any:
    gx, gs = g[0], g[2]
    x, rank = out[:2]
    of_s = None
    if gs is not None and needs[0]:
        u, _, vh = svd_p(a, full=False)
        of_s = conj(dot(columns(u, gs), vh))
    if gx is None:
        return of_s, None
    _full_rank(rank, a)
    m, n = a.shape[-2:]
    xbar, ah = conj(gx), mH(a)
    y = _solution(ah, xbar, rtol)
    abar = None
    if needs[0]:
        abar = neg_p(h_dot(y, x))
        if m > n:
            abar = add_p(abar, h_dot(sub_p(b, dot(a, x)), _solution(a, y, rtol)))
        elif m < n:
            abar = add_p(abar, h_dot(_solution(ah, x, rtol), sub_p(xbar, dot(ah, y))))
        abar = total(sum_to(conj(abar), shape=tuple(a.shape)), of_s)   # b may have more batch axes, s has a's
    return abar, conj(y)


def _lstsq_jvp(ts: Any, a: Any, b: Any, out: Any, rtol: float) -> Any:
    ta, tb = ts
    x, rank, _ = out
    _full_rank(rank, a)
    m, n = a.shape[-2:]
    if ta is None:
        return _solution(a, tb, rtol), None, None
    ah, th = mH(a), mH(ta)
    right = total(tb, neg_p(dot(ta, x)))
    if m > n:
        right = add_p(right, _solution(ah, dot(th, sub_p(b, dot(a, x))), rtol))
    dx = _solution(a, right, rtol)
    if m < n:
        z = dot(th, _solution(ah, x, rtol))
        dx = add_p(dx, sub_p(z, _solution(a, dot(a, z), rtol)))
    u, _, vh = svd_p(a, full=False)
    return dx, None, real(diagonal(dot(dot_h(u, ta), mH(vh))))


def _lstsq_batch(op: Any, args: Any, batched: Any, options: Any, size: int) -> Any:
    """Every result has the batch axis, also those that depend on a alone."""
    (a, b), most = args, max(x.ndim - y for x, y in zip(args, batched))
    own = tuple(a.shape[batched[0]:-2])
    x, rank, s = op(aligned(everywhere(a, batched[0], size), True, most), aligned(b, batched[1], most), **options)
    return x, Provided.reshape(rank, shape=(size, *own)), Provided.reshape(s, shape=(size, *own, s.shape[-1]))


lstsq_p: Primitive = primitive("lstsq", _lstsq, outputs=3, check=_check_lstsq)
lstsq_p.vjp_all(_lstsq_vjp)
lstsq_p.jvp_all(_lstsq_jvp)
lstsq_p.batch(_lstsq_batch)


class LstsqResult(NamedTuple):
    """The solution; the squared length of the residual of each column of b (none where a has no more rows than columns); the rank
    and the singular values of a."""

    solution: Array
    residuals: Array
    rank: Array
    singular_values: Array


@torch_aliases(A="a", B="b", input="a", rcond="rtol")
def lstsq(a: Array, b: Array, /, *, rtol: float | None = None) -> LstsqResult:
    """The x of least length that makes |a x - b| least. a (..., m, n), b (..., m, k) or (m,); batch axes broadcast.

    Singular values of a up to ``rtol`` (by default max(m, n) eps) times the largest count as zero.
    Derivatives in both modes for matrices of full rank, tall and wide; ``LinAlgError`` where they are asked for and the rank is
    lower (on CUDA, where a check would wait for the device, they are those among matrices of the same rank, in part). Golub and
    Pereyra (1973). Errors: ``ShapeError`` for shapes that do not fit.

    >>> import tensorlite as tl
    >>> a, b = tl.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), tl.tensor([1.0, 3.0, 5.0])
    >>> tl.round(tl.linalg.lstsq(a, b).solution, decimals=4)
    tensor([1., 2.])
    """
    a = matrices("lstsq", a, name="a")
    b, vector = with_columns("lstsq", a, b)
    x, rank, s = lstsq_p(a, b, rtol=rank_tolerance(a.shape, a.dtype) if rtol is None else float(rtol))
    r = sub_p(b, dot(a, x)) if a.shape[-2] > a.shape[-1] else x[..., :0]
    size = square_p(abs_p(r)) if not is_complex(r) else add_p(square_p(real(r)), square_p(imag(r)))
    residuals = sum_p(size, axis=-2, keepdims=False)
    return LstsqResult(without_columns(x, vector), residuals, rank, s)
