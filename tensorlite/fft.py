"""Discrete Fourier transforms, with the names and arguments of the array API, NumPy and PyTorch; differentiable to any order.

out_k = Σ_j x_j e^(-2πi jk/n), k = 0 ... n-1. ``norm`` says where the factor 1/n goes: ``"backward"`` (the default), into the
inverse transform; ``"forward"``, into the transform; ``"ortho"``, 1/√n into both. float32 gives complex64, float64 complex128.

``n`` (``s`` for several axes) is the length of the transform: x is cut off there, or continued with zeros. ``dim=`` is taken for
``axis=`` and ``axes=``. Errors: ``ShapeError`` for a transform of nothing, ``OutOfRangeError`` for an axis that is not there,
``DTypeError`` for a complex x where it must be real, or another ``norm``.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite._dtypes import get_default_dtype, kind
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops._names import torch_aliases
from tensorlite.ops.creation import arange
from tensorlite.ops.cumulative import slide_p
from tensorlite.ops.elementwise import div_p
from tensorlite.ops.fft import TRANSPOSED, fft_p, irfft_p, rfft_p
from tensorlite.ops.functions import conj
from tensorlite.ops.manipulation import axes_of
from tensorlite.ops.rearrange import roll

Array = Any
Axes = Sequence[int] | int | None
Lengths = Sequence[int] | int | None
of_one, of_several = torch_aliases(), torch_aliases(dim="axes")


# ---- arguments ---------------------------------------------------------------------------------------------------------

def _norm(name: str, norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in TRANSPOSED:
        raise DTypeError(f"{name}: norm = {norm!r}; expected 'backward', 'ortho' or 'forward'")
    return norm


def _axes(name: str, x: Array, axes: Any, s: Lengths, one: bool = False) -> tuple[tuple[int, ...], list[int | None]]:
    """The axes, counted from the end, and for each the length that was asked for."""
    shape = tuple(x.shape)
    lengths: Any = None if s is None else list(s) if hasattr(s, "__iter__") else [s]
    if axes is None:
        axes = tuple(range(-(len(shape) if lengths is None else len(lengths)), 0))
    chosen = axes_of(name, (axes,) if hasattr(axes, "__index__") else tuple(axes), len(shape))
    if lengths is None:
        lengths = [None] * len(chosen)
    if len(lengths) != len(chosen):
        raise ShapeError(f"{name}: s = {s} has {len(lengths)} lengths for {len(chosen)} axes; give one for each")
    if not chosen:
        raise ShapeError(f"{name}: x has shape {shape} and axes = {axes}; expected at least one axis")
    for n in lengths:
        if n is not None and (not hasattr(n, "__index__") or n < 1):
            raise ShapeError(f"{name}: {'n' if one else 's'} = {s}; expected lengths of at least 1, or None for those of x")
    return tuple([a - len(shape) for a in chosen]), lengths


def _fitted(name: str, x: Array, axes: tuple[int, ...], lengths: Sequence[int | None]) -> Array:
    """``x`` cut off or continued with zeros to the lengths."""
    for axis, n in zip(axes, lengths):
        if n is not None and n != x.shape[axis]:
            x = slide_p(x, axis=axis, before=0, after=n - x.shape[axis])
        if not x.shape[axis]:
            raise ShapeError(f"{name}: x has shape {tuple(x.shape)}, so there is nothing to transform along axis {axis}; give x "
                             "elements there, or a length")
    return x


def _complex(name: str, x: Array, s: Any, axes: Any, norm: str | None, inverse: bool, one: bool = False) -> Array:
    axes, lengths = _axes(name, x, axes, s, one)
    return fft_p(_fitted(name, x, axes, lengths), axes=axes, norm=_norm(name, norm), inverse=inverse)


def _of_real(name: str, x: Array, s: Any, axes: Any, norm: str | None, one: bool = False) -> Array:
    if kind(x.dtype) == "c":
        raise DTypeError(f"{name}: x has dtype {x.dtype}; expected a real one (x.real is the real part; fft takes complex ones)")
    axes, lengths = _axes(name, x, axes, s, one)
    return rfft_p(_fitted(name, x, axes, lengths), axes=axes, norm=_norm(name, norm))


def _to_real(name: str, x: Array, s: Any, axes: Any, norm: str | None, one: bool = False) -> Array:
    axes, lengths = _axes(name, x, axes, s, one)
    n = 2 * (x.shape[axes[-1]] - 1) if lengths[-1] is None else lengths[-1]
    if n < 1:
        raise ShapeError(f"{name}: x has {x.shape[axes[-1]]} elements along axis {axes[-1]}, the spectrum of {n}; give the "
                         f"length of the result ({'n' if one else 's'})")
    return irfft_p(_fitted(name, x, axes, [*lengths[:-1], n // 2 + 1]), n=n, axes=axes, norm=_norm(name, norm))


def _other(name: str, norm: str | None) -> str:
    return TRANSPOSED[_norm(name, norm)]


# ---- complex transforms ------------------------------------------------------------------------------------------------

@of_one
def fft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """out_k = Σ_j x_j e^(-2πi jk/n) along ``axis``.

    >>> import tensorlite as tl
    >>> tl.fft.fft(tl.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64)
    """
    return _complex("fft", x, n, axis, norm, False, True)


@of_one
def ifft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of ``fft``: out_j = (1/n) Σ_k x_k e^(2πi jk/n) along ``axis``."""
    return _complex("ifft", x, n, axis, norm, True, True)


@of_several
def fft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """``fft`` along two axes."""
    return _complex("fft2", x, s, axes, norm, False)


@of_several
def ifft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """The inverse of ``fft2``."""
    return _complex("ifft2", x, s, axes, norm, True)


@of_several
def fftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """``fft`` along several axes (all, or with ``s`` the last ones, if ``axes`` is None).

    >>> import tensorlite as tl
    >>> tl.fft.fftn(tl.ones(2, 2)).real
    tensor([[4., 0.],
            [0., 0.]])
    """
    return _complex("fftn", x, s, axes, norm, False)


@of_several
def ifftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """The inverse of ``fftn``."""
    return _complex("ifftn", x, s, axes, norm, True)


# ---- real transforms: half of the spectrum, which determines the other half ----------------------------------------------

@of_one
def rfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The first n // 2 + 1 elements of ``fft(x)`` for a real x; the others are their conjugates.

    >>> import tensorlite as tl
    >>> tl.fft.rfft(tl.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    return _of_real("rfft", x, n, axis, norm, True)


@of_one
def irfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The real array of ``n`` elements along ``axis`` whose ``rfft`` is x; n is 2 (m - 1) for m elements of x unless given, so
    give it where it is odd.

    The imaginary parts of x_0 and, for even n, of x_(n/2) would be 0 for a real array: they are not looked at.

    >>> import tensorlite as tl
    >>> tl.fft.irfft(tl.fft.rfft(tl.tensor([1.0, 2.0, 3.0])), n=3)
    tensor([1., 2., 3.])
    """
    return _to_real("irfft", x, n, axis, norm, True)


@of_several
def rfft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """``rfft`` along the last of two axes, then ``fft`` along the first."""
    return _of_real("rfft2", x, s, axes, norm)


@of_several
def irfft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """The inverse of ``rfft2``."""
    return _to_real("irfft2", x, s, axes, norm)


@of_several
def rfftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """``rfft`` along the last of the axes, then ``fft`` along the others."""
    return _of_real("rfftn", x, s, axes, norm)


@of_several
def irfftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """The inverse of ``rfftn``; ``s`` are the lengths of the result, whose last is 2 (m - 1) unless given."""
    return _to_real("irfftn", x, s, axes, norm)


# ---- Hermitian transforms: of an array whose other half is conjugate, so that the spectrum is real -----------------------

@of_one
def hfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The real spectrum, of length ``n``, of a signal whose first n // 2 + 1 elements are x and whose others are conjugate.

    >>> import tensorlite as tl
    >>> tl.fft.hfft(tl.tensor([1.0, 2.0, 3.0]))
    tensor([ 8., -2.,  0., -2.])
    """
    return _to_real("hfft", conj(x), n, axis, _other("hfft", norm), True)


@of_one
def ihfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of ``hfft``: the first n // 2 + 1 elements of the signal whose spectrum is the real x."""
    return conj(_of_real("ihfft", x, n, axis, _other("ihfft", norm), True))


@of_several
def hfft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """``hfft`` along the last of two axes, after ``fft`` along the first."""
    return _to_real("hfft2", conj(x), s, axes, _other("hfft2", norm))


@of_several
def ihfft2(x: Array, /, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None) -> Array:
    """The inverse of ``hfft2``."""
    return conj(_of_real("ihfft2", x, s, axes, _other("ihfft2", norm)))


@of_several
def hfftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """``hfft`` along the last of the axes, after ``fft`` along the others."""
    return _to_real("hfftn", conj(x), s, axes, _other("hfftn", norm))


@of_several
def ihfftn(x: Array, /, s: Lengths = None, axes: Axes = None, norm: str | None = None) -> Array:
    """The inverse of ``hfftn``."""
    return conj(_of_real("ihfftn", x, s, axes, _other("ihfftn", norm)))


# ---- frequencies and the order of the spectrum ---------------------------------------------------------------------------

def _length(name: str, n: Any) -> int:
    if not hasattr(n, "__index__") or n < 1:
        raise ShapeError(f"{name}: n = {n!r}; expected a length of at least 1")
    return int(n)


@of_one
def fftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies that belong to ``fft``'s elements, in cycles per unit of the sample spacing ``d``:
    0, 1, ..., -2, -1 over n d.

    >>> import tensorlite as tl
    >>> tl.fft.fftfreq(4, 0.5)
    tensor([ 0. ,  0.5, -1. , -0.5])
    """
    n = _length("fftfreq", n)
    first = (n + 1) // 2
    return div_p(roll(arange(first - n, first, dtype=dtype or get_default_dtype(), device=device), first), n * d)


@of_one
def rfftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies that belong to ``rfft``'s elements: 0, 1, ..., n // 2 over n d.

    >>> import tensorlite as tl
    >>> tl.fft.rfftfreq(5)
    tensor([0. , 0.2, 0.4])
    """
    n = _length("rfftfreq", n)
    return div_p(arange(n // 2 + 1, dtype=dtype or get_default_dtype(), device=device), n * d)


def _shift(name: str, x: Array, axes: Axes, amount: Callable[[int], int]) -> Array:
    shape = tuple(x.shape)
    chosen = axes_of(name, tuple(range(len(shape))) if axes is None else axes, len(shape))
    return roll(x, tuple(amount(shape[a]) for a in chosen), tuple(chosen)) if chosen else x


@of_several
def fftshift(x: Array, /, axes: Axes = None) -> Array:
    """The elements rotated along ``axes`` (all) so that the frequency 0 is in the middle, at n // 2.

    >>> import tensorlite as tl
    >>> tl.fft.fftshift(tl.fft.fftfreq(4))
    tensor([-0.5 , -0.25,  0.  ,  0.25])
    """
    return _shift("fftshift", x, axes, lambda n: n // 2)


@of_several
def ifftshift(x: Array, /, axes: Axes = None) -> Array:
    """The inverse of ``fftshift``; another one where the length is odd."""
    return _shift("ifftshift", x, axes, lambda n: -(n // 2))


__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft",
           "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn"]
