"""Discrete Fourier transforms as operations: complex, of real arrays, and back to real ones. The public functions are in
``tensorlite.fft``.

``axes`` count from the end, so that leading axes are always a batch. The lengths are those of the array: zeros are added and
elements cut off before.
"""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import DTypeError
from tensorlite.ops.functions import conj_p

Array = Any
Axes = tuple[int, ...]

# The transpose has the same factor in front, and its sum goes the other way: the name that gives an inverse the factor of a
# forward transform, and the other way round.
TRANSPOSED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _floating(xp: Any, x: Any) -> Any:
    """``x`` in a type that has a complex one beside it: integers as float64, 16-bit floats as float32."""
    kind = _dtypes.kind(x.dtype)
    if kind in "biu":
        return xp.astype(x, xp.float64)
    return xp.astype(x, xp.float32) if kind == "f" and x.dtype not in (xp.float32, xp.float64) else x


# ---- fft: out_k = sum_j x_j e^(-2 pi i j k / n), over each of the axes ---------------------------------------------------------
# The matrix is symmetric: the transpose of the transform is the transform.

def _fft(xp: Any, x: Any, *, axes: Axes, norm: str, inverse: bool = False) -> Any:
    x = _floating(xp, x)
    if _dtypes.kind(x.dtype) == "f":   # the standard's take complex arrays only
        x = xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)
    if len(axes) == 1:
        return (xp.fft.ifft if inverse else xp.fft.fft)(x, axis=axes[0], norm=norm)
    return (xp.fft.ifftn if inverse else xp.fft.fftn)(x, axes=axes, norm=norm)


fft_p: Primitive = primitive("fft", _fft, linear_in="x")
fft_p.vjp(x=lambda g, axes, norm, inverse: fft_p(g, axes=axes, norm=norm, inverse=inverse))
fft_p.batch(leading)


# ---- rfft: of a real array, the first n // 2 + 1 of the n numbers along the last axis, which determine the others -----------
# Transposed: x_j = Re sum_k g_k e^(-2 pi i j k / n), over the numbers there are. irfft adds to each of them but the first (and
# for even n the last) its conjugate, which doubles it.

def _rfft(xp: Any, x: Any, *, axes: Axes, norm: str) -> Any:
    x = _floating(xp, x)
    if len(axes) == 1:
        return xp.fft.rfft(x, axis=axes[0], norm=norm)
    return xp.fft.rfftn(x, axes=axes, norm=norm)


def _check_real(x: Any, axes: Axes = (), norm: str = "") -> None:
    if _dtypes.kind(x.dtype) == "c":
        raise DTypeError(f"rfft: x has dtype {x.dtype}; expected a real one (x.real is the real part; fft takes complex ones)")


rfft_p: Primitive = primitive("rfft", _rfft, linear_in="x", check=_check_real)
rfft_p.vjp(x=lambda g, axes, norm, x_shape: irfft_p(scale_inner(conj_p(g), axis=axes[-1], n=x_shape[axes[-1]], factor=0.5),
                                                    n=x_shape[axes[-1]], axes=axes, norm=TRANSPOSED[norm]))
rfft_p.batch(leading)


# ---- irfft: the real array of n elements along the last of the axes, whose first n // 2 + 1 numbers are x -------------------

def _irfft(xp: Any, x: Any, *, n: int, axes: Axes, norm: str) -> Any:
    x = _floating(xp, x)
    if _dtypes.kind(x.dtype) == "f":
        x = xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)
    if len(axes) > 1:   # the complex axes first: what a library's own irfftn makes of x that belongs to no real array is its own
        x = xp.fft.ifftn(x, axes=axes[:-1], norm=norm) if len(axes) > 2 else xp.fft.ifft(x, axis=axes[0], norm=norm)
    return xp.fft.irfft(x, n=n, axis=axes[-1], norm=norm)


irfft_p: Primitive = primitive("irfft", _irfft, linear_in="x")
irfft_p.vjp(x=lambda g, n, axes, norm: scale_inner(conj_p(rfft_p(g, axes=axes, norm=TRANSPOSED[norm])), axis=axes[-1], n=n,
                                                   factor=2.0))
irfft_p.batch(leading)


# ---- scale_inner: the numbers that stand for their conjugates too, times a factor -------------------------------------------

def _scale_inner(xp: Any, x: Any, *, axis: int, n: int, factor: float) -> Any:
    """``x``, of n // 2 + 1 elements along ``axis``, times ``factor`` except at 0 and (n even) at n / 2."""
    count = x.shape[axis]
    inner = (n - 1) // 2
    ones = xp.ones((1,), dtype=x.dtype)
    weights = xp.concat([ones, xp.full((inner,), factor, dtype=x.dtype), *([ones] if count > inner + 1 else [])])
    return x * xp.reshape(weights, (count,) + (1,) * (-axis - 1))


scale_inner: Primitive = primitive("scale_inner", _scale_inner, linear_in="x")
scale_inner.vjp(x=lambda g, axis, n, factor: scale_inner(g, axis=axis, n=n, factor=factor))
scale_inner.batch(leading)
