"""Complex numbers and their parts: made of two real arrays, seen as pairs, told apart. ``real``, ``imag``, ``conj``, ``abs`` and
``sign`` are in ``ops/functions.py``; what gradients of complex functions mean is in docs/complex.md."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops._names import torch_names
from tensorlite.ops.binary import atan2_p, lift
from tensorlite.ops.comparison import eq_p, ne_p
from tensorlite.ops.elementwise import mul_p, neg_p
from tensorlite.ops.functions import conj, conj_p, cos_p, imag, real, sin_p
from tensorlite.ops.manipulation import matrix_transpose

Array = Any


# ---- complex: x + i y ----------------------------------------------------------------------------------------------------

def _complex(xp: Any, x: Any, y: Any) -> Any:
    dtype = complex_type(xp, xp.result_type(x, y))
    return xp.astype(x, dtype) + xp.astype(y, dtype) * xp.asarray(1j, dtype=dtype)


def complex_type(xp: Any, dtype: Any) -> Any:
    """The complex type whose parts hold what ``dtype`` does; complex64 for 16-bit floats."""
    return xp.complex64 if dtype == xp.float32 or (getattr(dtype, "itemsize", 8) == 2 and _dtypes.kind(dtype) == "f") \
        else xp.complex128


complex_p = primitive("complex", _complex, elementwise=True)
complex_p.vjp(x=lambda g: real(g), y=lambda g: neg_p(imag(g)))
complex_p.jvp(x=lambda t: t, y=lambda t: mul_p(t, 1j))


def _real_only(name: str, **arrays: Any) -> None:
    for what, array in arrays.items():
        if _dtypes.kind(array.dtype) == "c":
            raise DTypeError(f"{name}: {what} has dtype {array.dtype}; expected a real one")


@torch_names
def complex(real: Array, imag: Array, /) -> Array:
    """real + i imag, broadcast: complex64 of float32, complex128 of float64 (and of integers).

    >>> import tensorlite as tl
    >>> tl.complex(tl.tensor([1.0, 2.0]), tl.tensor([0.0, -1.0]))
    tensor([1.+0.j, 2.-1.j], dtype=complex64)
    """
    real, imag = lift(real, imag)
    _real_only("complex", real=real, imag=imag)
    return complex_p(real, imag)


@torch_names
def polar(abs: Array, angle: Array, /) -> Array:
    """abs (cos angle + i sin angle), the angle in radians.

    >>> import tensorlite as tl
    >>> tl.polar(tl.tensor([2.0]), tl.tensor([0.0]))
    tensor([2.+0.j], dtype=complex64)
    """
    abs, angle = lift(abs, angle)
    _real_only("polar", abs=abs, angle=angle)
    return complex_p(mul_p(abs, cos_p(angle)), mul_p(abs, sin_p(angle)))


@torch_names
def angle(x: Array, /) -> Array:
    """The angle of x with the positive axis, in (-pi, pi]: 0 or pi of a real number. Its gradient at 0 is 0.

    >>> import tensorlite as tl
    >>> tl.angle(tl.tensor([1j, -1.0]))
    tensor([1.5708, 3.1416])
    """
    return atan2_p(imag(x), real(x))


# ---- pairs -----------------------------------------------------------------------------------------------------------------
# A complex number lies in memory as its real part and then its imaginary part. Each is the other's inverse, and but for a
# conjugation its transpose.

view_as_real_p: Primitive = primitive("view_as_real", lambda xp, x: xp.stack([xp.real(x), xp.imag(x)], axis=-1), linear_in="x",
                                      view=True)
view_as_real_p.vjp(x=lambda g: conj_p(view_as_complex_p(g)))
view_as_real_p.batch(leading)

view_as_complex_p: Primitive = primitive("view_as_complex", lambda xp, x: _complex(xp, x[..., 0], x[..., 1]), linear_in="x",
                                         view=True)
view_as_complex_p.vjp(x=lambda g: view_as_real_p(conj_p(g)))
view_as_complex_p.batch(leading)


@torch_names
def view_as_real(x: Array, /) -> Array:
    """The real and the imaginary part of a complex x side by side, in a last axis of length 2. A view, where memory allows it.

    >>> import tensorlite as tl
    >>> tl.view_as_real(tl.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if _dtypes.kind(x.dtype) != "c":
        raise DTypeError(f"view_as_real: x has dtype {x.dtype}; expected a complex one")
    return view_as_real_p(x)


@torch_names
def view_as_complex(x: Array, /) -> Array:
    """The inverse of ``view_as_real``: x[..., 0] + i x[..., 1] of a float32 or float64 x. A view, where the memory allows it."""
    if str(x.dtype).rpartition(".")[2] not in ("float32", "float64"):
        raise DTypeError(f"view_as_complex: x has dtype {x.dtype}; expected float32 or float64")
    if not x.ndim or x.shape[-1] != 2:
        raise ShapeError(f"view_as_complex: x has shape {tuple(x.shape)}; expected a last axis of length 2, for the real and the "
                         "imaginary part")
    return view_as_complex_p(x)


# ---- adjoint ---------------------------------------------------------------------------------------------------------------

@torch_names
def adjoint(x: Array, /) -> Array:
    """The last two axes exchanged, and complex numbers conjugated.

    >>> import tensorlite as tl
    >>> tl.adjoint(tl.tensor([[1 + 2j, 3.0]]))
    tensor([[1.-2.j],
            [3.-0.j]], dtype=complex64)
    """
    return conj(matrix_transpose(x))


def hermitian(x: Array, /) -> Array:
    """The conjugate transpose of a matrix; ``ShapeError`` for what is none (mH transposes the last two axes)."""
    if x.ndim != 2:
        raise ShapeError(f"H: the tensor has shape {tuple(x.shape)}; expected a matrix (mH transposes the last two axes)")
    return adjoint(x)


# ---- what is real ------------------------------------------------------------------------------------------------------------

@torch_names
def isreal(x: Array, /) -> Array:
    """Whether the imaginary part of each element is 0."""
    return eq_p(imag(x), 0)


@torch_names
def iscomplex(x: Array, /) -> Array:
    """Whether the imaginary part of each element is not 0 (``is_complex`` is about the dtype)."""
    return ne_p(imag(x), 0)


@torch_names
def is_complex(x: Array, /) -> bool:
    """Whether the dtype of ``x`` is a complex one."""
    return _dtypes.kind(x.dtype) == "c"


__all__ = ["adjoint", "angle", "complex", "is_complex", "iscomplex", "isreal", "polar", "view_as_complex", "view_as_real"]
