"""What the rules of eigenvectors and singular vectors share: quotients without poles, and the choices no derivative depends on.

Eigenvectors are determined up to their phases, and those of a repeated eigenvalue up to a rotation among themselves. A loss that
does not depend on that choice has a derivative, though 1 / (w_j - w_i) has none. Two values count as repeated if they differ by
at most eps^(3/4) times the largest (1.8e-12 in float64, 6.4e-6 in float32): rounding puts repeated values a few eps apart, and
any closer the quotient would keep fewer digits than its limit.

Let V' be the cotangent of V, and C the block of V^H V' that belongs to a repeated value w. The skew part of C is what depends on
the choice of vectors: where it does not vanish there is no derivative, and ``GaugeWarning`` says so. For a function of the
matrix, V f(W) V^H, the Hermitian part of C is f(w) B, and the cotangent of the block is f'(w) B, of which the values' cotangents
are the diagonal. ``repeated`` finds f'/f from the two diagonals, up to a multiple of the identity, which a function of the values
alone may add. So the rule is exact for one such function at repeated values too. ``GaugeWarning`` says where the diagonals are
not proportional, or leave f'/f open because they are constant (then it is their quotient).

From a device that works asynchronously (CUDA) nothing is read: there the rules are the same, without the warnings.
"""
from __future__ import annotations

import math
import os
import sys
import warnings
from typing import Any

from tensorlite import _dtypes, backends
from tensorlite._site import _is_library
from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import raw
from tensorlite.errors import GaugeWarning
from tensorlite.ops import manipulation
from tensorlite.ops.contraction import matmul_p
from tensorlite.ops.elementwise import add_p, mul_p, neg_p, sub_p
from tensorlite.ops.functions import abs_p, conj
from tensorlite.ops.rearrange import diagonal_p
from tensorlite.ops.reduction import sum_p

Array = Any


# ---- the algebra of rules ------------------------------------------------------------------------------------------------

def is_complex(x: Array) -> bool:
    return _dtypes.kind(x.dtype) == "c"


def mT(x: Array) -> Array:
    return manipulation.matrix_transpose(x)


def mH(x: Array) -> Array:
    return conj(manipulation.matrix_transpose(x))


def dot(x: Array, y: Array, *, tx: bool = False, ty: bool = False) -> Array:
    """x y, of x or y the transpose where asked for."""
    return matmul_p(x, y, tx=tx, ty=ty)


def dot_h(x: Array, y: Array) -> Array:
    """x^H y."""
    return matmul_p(conj(x), y, tx=True)


def h_dot(x: Array, y: Array) -> Array:
    """x y^H."""
    return matmul_p(x, conj(y), ty=True)


def adjoint(xp: Any, x: Any) -> Any:
    """x^H, for references."""
    h = xp.matrix_transpose(x)
    return xp.conj(h) if xp.isdtype(x.dtype, "complex floating") else h


# Parts of a matrix. In the pairing Re(g t) each is its own transpose.
hermitian: Primitive = primitive("hermitian", lambda xp, x: (x + adjoint(xp, x)) / 2, linear_in="x")   # (x + x^H) / 2
hermitian.vjp(x=lambda g: hermitian(g))

skew: Primitive = primitive("skew", lambda xp, x: (x - adjoint(xp, x)) / 2, linear_in="x")   # (x - x^H) / 2
skew.vjp(x=lambda g: skew(g))

half_lower: Primitive = primitive("half_lower", lambda xp, x: (xp.tril(x) + xp.tril(x, k=-1)) / 2, linear_in="x")
half_lower.vjp(x=lambda g: half_lower(g))   # the lower triangle with half the diagonal


def _on_diagonal(xp: Any, w: Any) -> Any:
    eye = xp.eye(w.shape[-1], dtype=w.dtype)
    return xp.where(eye == 1, xp.expand_dims(w, axis=-1), xp.zeros_like(eye))


on_diagonal: Primitive = primitive("on_diagonal", _on_diagonal, linear_in="w")
on_diagonal.vjp(w=lambda g: diagonal(g))


def row(w: Array) -> Array:
    """w_j at (i, j)."""
    return manipulation.expand_dims(w, -2)


def column(w: Array) -> Array:
    """w_i at (i, j)."""
    return manipulation.expand_dims(w, -1)


def columns(x: Array, w: Array) -> Array:
    """x diag(w)."""
    return mul_p(x, row(w))


def diagonal(x: Array) -> Array:
    return diagonal_p(x, offset=0, axis1=x.ndim - 2, axis2=x.ndim - 1)


def total(*terms: Array | None) -> Array:
    """The sum of those that are not None."""
    out = None
    for term in terms:
        if term is not None:
            out = term if out is None else add_p(out, term)
    return out


# ---- quotients without poles ---------------------------------------------------------------------------------------------

def repeat_tolerance(xp: Any, dtype: Any) -> float:
    """How far apart repeated values may lie, relative to the largest."""
    return float(xp.finfo(dtype).eps) ** 0.75


def rank_tolerance(shape: tuple[int, ...], dtype: Any) -> float:
    """Below which part of the largest a singular value counts as zero: max(m, n) eps, as for ``matrix_rank``."""
    import numpy as np
    return max(shape[-2:]) * float(np.finfo(str(dtype).rpartition(".")[2]).eps)


def _largest(xp: Any, w: Any) -> Any:
    return xp.max(xp.abs(w), axis=-1, keepdims=True) if w.shape[-1] else xp.zeros((*w.shape[:-1], 1), dtype=w.dtype)


def _differences(xp: Any, w: Any) -> tuple[Any, Any]:
    """w_j - w_i, and where it is 0 or as good as 0."""
    d = xp.expand_dims(w, axis=-2) - xp.expand_dims(w, axis=-1)
    return d, xp.abs(d) <= repeat_tolerance(xp, w.dtype) * xp.expand_dims(_largest(xp, w), axis=-1)


def _inverse(xp: Any, d: Any, absent: Any) -> Any:
    one = xp.ones_like(d)
    return xp.where(absent, xp.zeros_like(d), one / xp.where(absent, one, d))


def _inverse_gaps(xp: Any, w: Any) -> Any:
    return _inverse(xp, *_differences(xp, w))


def _inverse_sums(xp: Any, s: Any, *, tolerance: float) -> Any:
    d = xp.expand_dims(s, axis=-2) + xp.expand_dims(s, axis=-1)
    return _inverse(xp, d, d <= 2 * tolerance * xp.expand_dims(_largest(xp, s), axis=-1))


def _inverse_nonzero(xp: Any, s: Any, *, tolerance: float) -> Any:
    return _inverse(xp, s, xp.abs(s) <= tolerance * _largest(xp, s))


def _by_axis(x: Array, sign: int) -> Array:
    """Sums over the rows, plus or minus the sums over the columns."""
    over_rows, over_columns = sum_p(x, axis=-2, keepdims=False), sum_p(x, axis=-1, keepdims=False)
    return add_p(over_rows, over_columns) if sign > 0 else sub_p(over_rows, over_columns)


def _slope(out: Array) -> Array:
    return neg_p(mul_p(out, out))


inverse_gaps_p: Primitive = primitive("inverse_gaps", _inverse_gaps)   # 1 / (w_j - w_i), 0 for repeated values
inverse_gaps_p.vjp(w=lambda g, out: _by_axis(mul_p(g, _slope(out)), -1))
inverse_gaps_p.jvp(w=lambda t, out: mul_p(_slope(out), sub_p(row(t), column(t))))

inverse_sums_p: Primitive = primitive("inverse_sums", _inverse_sums)   # 1 / (s_i + s_j), 0 where both are zero
inverse_sums_p.vjp(s=lambda g, out: _by_axis(mul_p(g, _slope(out)), 1))
inverse_sums_p.jvp(s=lambda t, out: mul_p(_slope(out), add_p(row(t), column(t))))

inverse_nonzero_p: Primitive = primitive("inverse_nonzero", _inverse_nonzero)   # 1 / s, 0 where s is zero
inverse_nonzero_p.deriv(s=lambda g, out: mul_p(g, _slope(out)))


# ---- blocks of repeated values -------------------------------------------------------------------------------------------

def _repeats(xp: Any, w: Any) -> Any:
    near = _differences(xp, w)[1]
    n = w.shape[-1]
    off = xp.eye(n, dtype=_real_dtype(xp, w)) == 0
    return xp.astype(near & off, _real_dtype(xp, w))


def _real_dtype(xp: Any, w: Any) -> Any:
    return xp.abs(w).dtype if xp.isdtype(w.dtype, "complex floating") else w.dtype


repeats_p = primitive("repeats", _repeats, discrete=True)   # 1 at (i, j), i != j, if w_i and w_j are repeated

zeros_among_p = primitive("zeros_among", lambda xp, s, *, tolerance: xp.astype(s <= tolerance * _largest(xp, s), s.dtype),
                          discrete=True)   # 1 where s is zero


def _repeated(xp: Any, w: Any, herm: Any, g: Any) -> Any:
    near = _repeats(xp, w)
    eye = xp.eye(w.shape[-1], dtype=w.dtype)
    block = near + eye
    size = xp.abs(herm)
    c = xp.sum((xp.real(herm) if xp.isdtype(herm.dtype, "complex floating") else herm) * eye, axis=-1)

    def within(x: Any) -> Any:
        return xp.squeeze(block @ xp.expand_dims(x, axis=-1), axis=-1)
    count = xp.sum(block, axis=-1)
    mean_g, mean_c = within(g) / count, within(c) / count
    dg, dc = g - mean_g, c - mean_c
    spread = within(dc * dc)
    least = float(xp.finfo(w.dtype).eps) * within(xp.sum(block * size * size, axis=-1))
    known, guessed = spread > least, mean_c * mean_c > least
    top = xp.where(known, within(dg * dc), xp.where(guessed, mean_g, xp.zeros_like(spread)))
    rate = top / xp.where(known, spread, xp.where(guessed, mean_c, xp.ones_like(spread)))
    known = xp.astype(known, w.dtype)
    return near * xp.expand_dims(rate, axis=-1), dg - rate * dc, near * size * xp.expand_dims(1 - known, axis=-1)


# f'/f within a block of repeated values; what of the values' cotangents g does not fit; what of the block leaves f'/f open
repeated_p = primitive("repeated", _repeated, outputs=3, discrete=True)

for _one in (hermitian, skew, half_lower, on_diagonal, inverse_gaps_p, inverse_sums_p, inverse_nonzero_p, repeats_p,
             zeros_among_p, repeated_p):
    _one.batch(leading)


# ---- warnings ------------------------------------------------------------------------------------------------------------

def synchronous(x: Array) -> bool:
    """Whether values may be read without waiting for a device."""
    return not backends.backend_of(raw(x)).asynchronous


def block_of(w: Array, herm: Array, g: Array, what: str) -> Array:
    """The cotangent within blocks of repeated values w, but for the diagonal: see the top of the module. g is the values'; where
    they have none the loss depends on the vectors alone, and there is nothing to add."""
    rate, odd, open_ = repeated_p(w, herm, g)
    if synchronous(w):
        expect_zero(odd, g, f"{what}: the loss treats equal values differently, and not as a function of the matrix does; at "
                    "repeated values its derivative is known only in part")
        expect_zero(open_, herm, f"{what}: at these repeated values the gradients of values and vectors leave open what the loss "
                    "does with the values; it is taken for a function of the matrix alone")
    return mul_p(rate, herm)


def any_nonzero(x: Array) -> bool:
    """Read at the bottom, whatever transforms are open."""
    array = raw(x)
    xp = backends.backend_of(array).xp
    return bool(xp.any(array != 0))


def size_of(x: Array) -> float:
    """The largest absolute value."""
    array = raw(abs_p(x))
    if not math.prod(array.shape):
        return 0.0
    return float(backends.backend_of(array).xp.max(array))


def expect_zero(part: Array, whole: Array, message: str) -> None:
    """``GaugeWarning`` unless ``part`` is no more than what rounding leaves of ``whole``."""
    import numpy as np
    eps = float(np.finfo(str(raw(part).dtype).rpartition(".")[2]).eps)
    left = size_of(part)
    if left > math.sqrt(eps) * size_of(whole) and left > 0:
        warnings.warn(message, GaugeWarning, stacklevel=_outside())


def _outside() -> int:
    """How many frames up from the warning the user's program is."""
    frame, depth = sys._getframe(2), 2
    while frame.f_back is not None and _is_library(os.path.abspath(frame.f_code.co_filename)):
        frame, depth = frame.f_back, depth + 1
    return depth
