"""Eigenvalues and eigenvectors of square matrices that need not be Hermitian."""
from __future__ import annotations

from typing import Any, NamedTuple

from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import LinAlgError
from tensorlite.ops._linalg_checks import matrices
from tensorlite.ops._names import torch_aliases
from tensorlite.ops.elementwise import add_p, mul_p, sub_p
from tensorlite.ops.functions import conj, imag, real
from tensorlite.ops.linalg_gauge import (
    columns,
    diagonal,
    dot,
    dot_h,
    expect_zero,
    h_dot,
    inverse_gaps_p,
    is_complex,
    mH,
    on_diagonal,
    repeats_p,
    synchronous,
)
from tensorlite.ops.linalg_solve import solve_p
from tensorlite.ops.linalg_spectral import differentiated

Array = Any


def _complex(xp: Any, x: Any) -> Any:
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    return xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)


def _check(name: str) -> Any:
    def check(x: Any) -> None:
        matrices(name, x, square=True)
        raise LinAlgError(f"{name}: the iteration did not converge for x of shape {tuple(x.shape)}; is there nan or inf in it?")
    return check


# NumPy's are real where all eigenvalues are
eig_p: Primitive = primitive("eig", lambda xp, x: tuple(_complex(xp, o) for o in xp.linalg.eig(x)), outputs=2,
                             check=_check("eig"))
eigvals_p: Primitive = primitive("eigvals", lambda xp, x: _complex(xp, xp.linalg.eigvals(x)), discrete=True,
                                 check=_check("eigvals"))
_PHASE = ("eig: the loss depends on the phases of eigenvectors, which are arbitrary: no derivative exists there, and that part "
          "is left out. Make the loss independent of them")
_REPEATED = ("eig: the loss depends on the eigenvectors of a repeated eigenvalue, which are arbitrary and have no derivative; "
             "that part is left out")


def _eig_vjp(g: Any, needs: Any, x: Any, out: Any) -> Any:
    (gw, gv), (w, v) = g, out
    p = None if gw is None else on_diagonal(conj(gw))
    if gv is not None:
        c = dot_h(v, conj(gv))
        on = diagonal(c)
        c = sub_p(c, columns(dot_h(v, v), real(on)))   # of length 1 they are before and after
        if synchronous(w):
            expect_zero(imag(on), conj(gv), _PHASE)
            expect_zero(mul_p(repeats_p(w), c), conj(gv), _REPEATED)
        turn = mul_p(c, conj(inverse_gaps_p(w)))
        p = turn if p is None else add_p(p, turn)
    bar = conj(solve_p(mH(v), h_dot(p, v)))
    return (bar if is_complex(x) else real(bar),)


def _eig_jvp(t: Any, out: Any) -> Any:
    w, v = out
    m = solve_p(v, dot(t, v))
    dv = dot(v, mul_p(inverse_gaps_p(w), m))
    return diagonal(m), sub_p(dv, columns(v, real(diagonal(dot_h(v, dv)))))


eig_p.vjp_all(_eig_vjp)
eig_p.jvp(x=_eig_jvp)
eig_p.batch(leading)
eigvals_p.batch(leading)


class EigResult(NamedTuple):
    """The eigenvalues, in no order, and the eigenvectors of length 1 as columns; both complex."""

    eigenvalues: Array
    eigenvectors: Array


@torch_aliases(A="x")
def eig(x: Array, /) -> EigResult:
    """x V = V diag(w) of square matrices, with complex w and V. (..., n, n) -> (..., n), (..., n, n)

    Derivatives: with M = V^-1 dx V, dw_i = M_ii and dV = V (F * M) with columns kept at length 1, F_ij = 1 / (w_j - w_i) and 0
    for repeated eigenvalues. (Giles 2008, section 3.1.) ``LinAlgError`` where V is singular, ``GaugeWarning`` if the loss depends
    on the phases of the columns or on the vectors of a repeated eigenvalue. For Hermitian matrices take :func:`eigh`.
    On CUDA it needs CuPy 14 and CUDA 12.6.

    >>> import tensorlite as tl
    >>> tl.linalg.eig(tl.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j], dtype=complex64)
    """
    return EigResult(*eig_p(matrices("eig", x, square=True)))


@torch_aliases(A="x")
def eigvals(x: Array, /) -> Array:
    """The eigenvalues of square matrices, complex and in no order; see :func:`eig`.

    >>> import tensorlite as tl
    >>> tl.linalg.eigvals(tl.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    tensor([0.+1.j, 0.-1.j], dtype=complex64)
    """
    x = matrices("eigvals", x, square=True)
    return eig_p(x)[0] if differentiated(x) else eigvals_p(x)
