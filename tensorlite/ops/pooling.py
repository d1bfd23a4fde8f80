"""Pooling: the maximum, the mean or a norm of windows that slide along the last axes, or that share them out."""
from __future__ import annotations

import operator
from functools import lru_cache
from math import inf, prod
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import Value, wrap
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.kernels import _windows
from tensorlite.kernels.max_pool.reference import max_pool as _max_pool
from tensorlite.kernels.max_pool_grad.reference import max_pool_grad as _max_pool_grad
from tensorlite.kernels.resample.reference import resample as _resample
from tensorlite.ops._index import ARRAY, index_array
from tensorlite.ops._names import torch_names
from tensorlite.ops.binary import pow as _pow
from tensorlite.ops.elementwise import add_p, cast_p, mul_p
from tensorlite.ops.functions import abs as _abs
from tensorlite.ops.functions import sign
from tensorlite.ops.indexing import put_p, zeros_of_p
from tensorlite.ops.manipulation import reshape_p
from tensorlite.ops.reduction import mean_p
from tensorlite.ops.searching import take_along_axis_p

Array = Any
Size = Any   # an integer, or one for each spatial axis
Windows = tuple[Any, ...]


# ---- resample ------------------------------------------------------------------------------------------------------------
# Weighted sums along the last axes: average pooling and interpolation, and, with the taps transposed, the gradients of both.

resample_p = primitive("resample", _resample, linear_in="x")
resample_p.batch(leading)
resample_p.vjp(x=lambda g, taps: resample_p(g, taps=tuple([t if t is None else t.transposed for t in taps])))


# ---- max_pool ------------------------------------------------------------------------------------------------------------

def _max_rule(g: Any, needs: Any, hidden: Any, windows: Windows) -> Any:
    if isinstance(g, list):   # of both results, of which the places have no gradient
        g = g[0]
    (index,) = hidden
    if isinstance(g, Value) and not isinstance(index, Value):
        index = wrap(index, 0)
    return (max_pool_grad_p(g, index, windows=windows),)


# (maxima, their places); the places are for the rule, and for those who ask for them
max_pool_p = primitive("max_pool", _max_pool, outputs=2, visible=1)
max_pool_p.batch(leading)
max_pool_p.vjp_all(_max_rule)
max_pool_with_indices_p: Any = max_pool_p.full


def _at_places(h: Any, index: Any, windows: Windows) -> Any:
    """h's elements at the places where the windows' maxima were: the transpose of ``max_pool_grad``."""
    lead = tuple(h.shape[:h.ndim - len(windows)])
    at = cast_p(reshape_p(index, shape=(*lead, prod([w.count for w in windows]))), dtype=_dtypes.int64)
    found = take_along_axis_p(reshape_p(h, shape=(*lead, prod([w.size for w in windows]))), at, axis=-1)
    return reshape_p(found, shape=tuple(index.shape))


max_pool_grad_p = primitive("max_pool_grad", _max_pool_grad, linear_in="g")
max_pool_grad_p.batch(leading)
max_pool_grad_p.vjp(g=lambda h, index, windows: _at_places(h, index, windows))


# ---- arguments -----------------------------------------------------------------------------------------------------------

def _check(name: str, x: Any, axes: int, kinds: str = "f") -> None:
    if not hasattr(x, "dtype") or _dtypes.kind(x.dtype) not in kinds:
        raise DTypeError(f"{name}: input has dtype {getattr(x, 'dtype', type(x).__name__)}; expected a floating one")
    if x.ndim not in (axes + 1, axes + 2):
        letters = ", ".join("DHW"[-axes:]) if axes > 1 else "L"
        raise ShapeError(f"{name}: input has shape {tuple(x.shape)}; expected {axes + 2} axes, (N, C, {letters}), or "
                         f"{axes + 1}, (C, {letters}): reshape it, or use the pooling of another dimension")


def each_axis(name: str, what: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """An integer for each spatial axis, out of one for all or of as many."""
    given = value if isinstance(value, (tuple, list)) else (value,)
    try:
        numbers = tuple([operator.index(n) for n in given])
    except TypeError:
        raise DTypeError(f"{name}: {what} is {value!r}; expected an integer, or {axes} of them") from None
    numbers = numbers * axes if len(numbers) == 1 else numbers
    if len(numbers) != axes or min(numbers) < least:
        raise ShapeError(f"{name}: {what} is {value!r}; expected an integer of at least {least}, or {axes} of them")
    return numbers


def _sliding(name: str, x: Any, axes: int, *sizes: Size, ceil_mode: bool) -> Windows:
    """The windows for kernel_size, stride, padding and dilation."""
    return _found(name, tuple(x.shape), axes, *[tuple(s) if s.__class__ is list else s for s in sizes], bool(ceil_mode))


@lru_cache(1024, typed=True)
def _found(name: str, shape: tuple[int, ...], axes: int, kernel_size: Size, stride: Size, padding: Size, dilation: Size,
           ceil_mode: bool) -> Windows:
    kernel = each_axis(name, "kernel_size", kernel_size, axes, 1)
    step = kernel if stride is None or stride == () else each_axis(name, "stride", stride, axes, 1)
    pad, dilate = each_axis(name, "padding", padding, axes, 0), each_axis(name, "dilation", dilation, axes, 1)
    for k, p in zip(kernel, pad):
        if p > k // 2:
            raise ShapeError(f"{name}: padding {padding} is more than half of kernel_size {kernel_size}, so that a window could "
                             f"see padding alone; pad by at most {k // 2}, or pad the input first with nn.functional.pad")
    found = []
    for n, k, s, p, d in zip(shape[len(shape) - axes:], kernel, step, pad, dilate):
        try:
            found.append(_windows.sliding(n, k, s, p, d, ceil_mode))
        except ValueError:
            reach, room = d * (k - 1) + 1, n + 2 * p
            what = f"is larger than the padded input, {room}" if reach > room else "has a window that sees padding alone"
            raise ShapeError(f"{name}: kernel_size {k} with dilation {d} reaches over {reach} elements and {what}: the input has "
                             f"shape {shape} and padding is {p}; use a smaller kernel or dilation, or a larger input"
                             ) from None
    return tuple(found)


def _adaptive(name: str, x: Any, axes: int, output_size: Size) -> Windows:
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    sizes = tuple(x.shape[x.ndim - axes:])
    if len(given) != axes:
        raise ShapeError(f"{name}: output_size is {output_size!r}; expected an integer, or {axes} of them (None: as the input)")
    counts = each_axis(name, "output_size", tuple([n if c is None else c for n, c in zip(sizes, given)]), axes, 0)
    if 0 in sizes and any(counts):
        raise ShapeError(f"{name}: input has shape {tuple(x.shape)}, with nothing to pool; expected lengths of at least 1")
    return tuple([_windows.adaptive(n, c) for n, c in zip(sizes, counts)])


def _maxima(x: Any, windows: Windows, return_indices: bool) -> Any:
    if return_indices:
        out, index = max_pool_with_indices_p(x, windows=windows)
        return out, cast_p(index, dtype=_dtypes.int64)
    out = max_pool_p(x, windows=windows)
    return out[0] if isinstance(out, tuple) else out   # raw arrays: both


# ---- max_pool, what users call ---------------------------------------------------------------------------------------------

def _max(name: str, x: Any, axes: int, kernel_size: Size, stride: Size, padding: Size, dilation: Size, ceil_mode: bool,
         return_indices: bool) -> Any:
    _check(name, x, axes, "fiu")
    return _maxima(x, _sliding(name, x, axes, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode), return_indices)


@torch_names
def max_pool1d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, dilation: Size = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window along the last axis of (N, C, L); see :func:`max_pool2d`."""
    return _max("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@torch_names
def max_pool2d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, dilation: Size = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window of (N, C, H, W), or (C, H, W): out[i, j] = max over a, b of x[s i - p + d a, s j - p + d b].

    ``kernel_size`` k, ``stride`` s (k unless given), ``padding`` p (of -inf, at most k // 2), ``dilation`` d: integers, or one
    for each axis. There are floor((n + 2 p - d (k - 1) - 1) / s) + 1 windows along an axis of n; with ``ceil_mode`` the ceiling
    counts, but no window begins in the padding behind. With ``return_indices`` also where the maxima are, as int64 places in
    the H W elements of a plane.

    The gradient goes to the maximum; of equal elements to the first in the order of the plane. NaN is larger than anything.
    Errors: ``ShapeError`` for a kernel larger than the padded input, padding of more than half a kernel, a wrong number of axes.

    >>> import tensorlite as tl
    >>> tl.nn.functional.max_pool2d(tl.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@torch_names
def max_pool3d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, dilation: Size = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window of (N, C, D, H, W); see :func:`max_pool2d`."""
    return _max("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _adaptive_max(name: str, x: Any, axes: int, output_size: Size, return_indices: bool) -> Any:
    _check(name, x, axes, "fiu")
    return _maxima(x, _adaptive(name, x, axes, output_size), return_indices)


@torch_names
def adaptive_max_pool1d(input: Array, output_size: Size, return_indices: bool = False) -> Array:
    """The maxima of ``output_size`` windows that share out the last axis; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_max("adaptive_max_pool1d", input, 1, output_size, return_indices)


@torch_names
def adaptive_max_pool2d(input: Array, output_size: Size, return_indices: bool = False) -> Array:
    """The maxima of ``output_size`` windows that share out the last two axes; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_max("adaptive_max_pool2d", input, 2, output_size, return_indices)


@torch_names
def adaptive_max_pool3d(input: Array, output_size: Size, return_indices: bool = False) -> Array:
    """The maxima of ``output_size`` windows that share out the last three axes; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_max("adaptive_max_pool3d", input, 3, output_size, return_indices)


# ---- max_unpool ------------------------------------------------------------------------------------------------------------

def _unpool(name: str, x: Any, indices: Any, axes: int, kernel_size: Size, stride: Size, padding: Size,
            output_size: Any) -> Any:
    _check(name, x, axes, "fiu")
    if tuple(indices.shape) != tuple(x.shape):
        raise ShapeError(f"{name}: indices have shape {tuple(indices.shape)}; expected input's, {tuple(x.shape)}: give what "
                         "max_pool returned with return_indices=True")
    kernel = each_axis(name, "kernel_size", kernel_size, axes, 1)
    step = kernel if stride is None else each_axis(name, "stride", stride, axes, 1)
    pad = each_axis(name, "padding", padding, axes, 0)
    lead, counts = tuple(x.shape[:x.ndim - axes]), tuple(x.shape[x.ndim - axes:])
    usual = tuple([(n - 1) * s - 2 * p + k for n, k, s, p in zip(counts, kernel, step, pad)])
    sizes = usual if output_size is None else tuple(output_size)[-axes:]
    if len(sizes) != axes or any(abs(n - u) >= s for n, u, s in zip(sizes, usual, step)):
        raise ShapeError(f"{name}: output_size is {output_size!r}; expected {usual}, each within its stride {step}")
    rows, size = prod(lead), prod(sizes)
    base = index_array(x, np.arange(rows).reshape(-1, 1) * size)
    at = reshape_p(add_p(reshape_p(indices, shape=(rows, prod(counts))), base), shape=(rows * prod(counts),))
    flat = put_p(zeros_of_p(x, shape=(rows * size,)), reshape_p(x, shape=(rows * prod(counts),)), at, spec=(ARRAY,))
    return reshape_p(flat, shape=(*lead, *sizes))


@torch_names
def max_unpool1d(input: Array, indices: Array, kernel_size: Size, stride: Size = None, padding: Size = 0,
                 output_size: Any = None) -> Array:
    """Each element at the place that ``max_pool1d`` found it at, zeros elsewhere; see :func:`max_unpool2d`."""
    return _unpool("max_unpool1d", input, indices, 1, kernel_size, stride, padding, output_size)


@torch_names
def max_unpool2d(input: Array, indices: Array, kernel_size: Size, stride: Size = None, padding: Size = 0,
                 output_size: Any = None) -> Array:
    """Each element at the place that ``max_pool2d`` found it at, zeros elsewhere; of several at one place the last counts.

    ``output_size``: the lengths, where (n - 1) stride - 2 padding + kernel_size is not what they were before pooling.
    """
    return _unpool("max_unpool2d", input, indices, 2, kernel_size, stride, padding, output_size)


@torch_names
def max_unpool3d(input: Array, indices: Array, kernel_size: Size, stride: Size = None, padding: Size = 0,
                 output_size: Any = None) -> Array:
    """Each element at the place that ``max_pool3d`` found it at, zeros elsewhere; see :func:`max_unpool2d`."""
    return _unpool("max_unpool3d", input, indices, 3, kernel_size, stride, padding, output_size)


# ---- avg_pool --------------------------------------------------------------------------------------------------------------

def _avg(name: str, x: Any, axes: int, kernel_size: Size, stride: Size, padding: Size, ceil_mode: bool, count_include_pad: bool,
         divisor_override: float | None = None) -> Any:
    _check(name, x, axes, "fc")
    if divisor_override == 0:
        raise ShapeError(f"{name}: divisor_override is 0; expected another number, or None for the number of elements")
    windows = _sliding(name, x, axes, kernel_size, stride, padding, 1, ceil_mode=ceil_mode)
    divisors = [None] * axes if divisor_override is None else [*[1.0] * (axes - 1), float(divisor_override)]
    return resample_p(x, taps=tuple([_windows.mean(w, bool(count_include_pad), d) for w, d in zip(windows, divisors)]))


@torch_names
def avg_pool1d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Array:
    """The mean of each window along the last axis of (N, C, L); see :func:`avg_pool2d`."""
    return _avg("avg_pool1d", input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad)


@torch_names
def avg_pool2d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: float | None = None) -> Array:
    """The mean of each window of (N, C, H, W), or (C, H, W); windows are those of :func:`max_pool2d`.

    Padding is with zeros, which are counted unless ``count_include_pad`` is false; what is beyond it (``ceil_mode``) never is.
    ``divisor_override``: what sums are divided by instead. Errors: those of ``max_pool2d``.

    >>> import tensorlite as tl
    >>> tl.nn.functional.avg_pool2d(tl.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg("avg_pool2d", input, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@torch_names
def avg_pool3d(input: Array, kernel_size: Size, stride: Size = None, padding: Size = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: float | None = None) -> Array:
    """The mean of each window of (N, C, D, H, W); see :func:`avg_pool2d`."""
    return _avg("avg_pool3d", input, 3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_avg(name: str, x: Any, axes: int, output_size: Size) -> Any:
    _check(name, x, axes, "fc")
    windows = _adaptive(name, x, axes, output_size)
    if all(w.count == 1 for w in windows):   # the mean of all there is
        return mean_p(x, axis=tuple(range(x.ndim - axes, x.ndim)), keepdims=True)
    return resample_p(x, taps=tuple([_windows.mean(w, False, None) for w in windows]))


@torch_names
def adaptive_avg_pool1d(input: Array, output_size: Size) -> Array:
    """The means of ``output_size`` windows that share out the last axis; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_avg("adaptive_avg_pool1d", input, 1, output_size)


@torch_names
def adaptive_avg_pool2d(input: Array, output_size: Size) -> Array:
    """The means of ``output_size`` windows that share out the last two axes of (N, C, H, W), or (C, H, W).

    Along an axis of n elements, window i of m is [floor(i n / m), ceil((i + 1) n / m)). ``output_size``: m, or one for each
    axis, None for as many as there are elements. 1 is global average pooling (Lin et al. 2014).

    >>> import tensorlite as tl
    >>> tl.nn.functional.adaptive_avg_pool2d(tl.arange(9.0).reshape(1, 1, 3, 3), (1, 2)).tolist()
    [[[[3.5, 4.5]]]]
    """
    return _adaptive_avg("adaptive_avg_pool2d", input, 2, output_size)


@torch_names
def adaptive_avg_pool3d(input: Array, output_size: Size) -> Array:
    """The means of ``output_size`` windows that share out the last three axes; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_avg("adaptive_avg_pool3d", input, 3, output_size)


# ---- lp_pool -----------------------------------------------------------------------------------------------------------------

def _lp(name: str, x: Any, axes: int, norm_type: float, kernel_size: Size, stride: Size, ceil_mode: bool) -> Any:
    _check(name, x, axes)
    if norm_type == inf:
        return _max(name, x, axes, kernel_size, stride, 0, 1, ceil_mode, False)
    if norm_type == 0:
        raise ShapeError(f"{name}: norm_type is 0; expected a number whose inverse is one, or inf for the maximum")
    count = prod(each_axis(name, "kernel_size", kernel_size, axes, 1))
    sums = mul_p(_avg(name, _pow(x, norm_type), axes, kernel_size, stride, 0, ceil_mode, True), count)
    return _pow(mul_p(sign(sums), _abs(sums)), 1.0 / norm_type)


@torch_names
def lp_pool1d(input: Array, norm_type: float, kernel_size: Size, stride: Size = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p)^(1/p) of each window along the last axis; see :func:`lp_pool2d`."""
    return _lp("lp_pool1d", input, 1, norm_type, kernel_size, stride, ceil_mode)


@torch_names
def lp_pool2d(input: Array, norm_type: float, kernel_size: Size, stride: Size = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p)^(1/p) of each window of (N, C, H, W), with p = ``norm_type``: 1 is the sum, inf the maximum.

    A window that hangs over the end (``ceil_mode``) counts as one of full size with the same mean, as in PyTorch.
    """
    return _lp("lp_pool2d", input, 2, norm_type, kernel_size, stride, ceil_mode)


@torch_names
def lp_pool3d(input: Array, norm_type: float, kernel_size: Size, stride: Size = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p)^(1/p) of each window of (N, C, D, H, W); see :func:`lp_pool2d`."""
    return _lp("lp_pool3d", input, 3, norm_type, kernel_size, stride, ceil_mode)


# ---- local response norm -----------------------------------------------------------------------------------------------------

@torch_names
def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha mean(x^2 of the ``size`` channels around))^beta, axis 1 of (N, C, ...) being the channels (Krizhevsky et
    al. 2012, section 3.3). The window is [c - size // 2, c + (size - 1) // 2]; channels that are not there count as 0.
    """
    if input.ndim < 3 or size < 1:
        raise ShapeError(f"local_response_norm: input has shape {tuple(input.shape)} and size is {size}; expected (N, C, L, ...) "
                         "and a size of at least 1")
    shape = tuple(input.shape)
    square = reshape_p(mul_p(input, input), shape=(shape[0], shape[1], prod(shape[2:])))
    mean = reshape_p(resample_p(square, taps=(_neighbours(shape[1], size), None)), shape=shape)
    return mul_p(input, _pow(add_p(mul_p(mean, alpha), k), -beta))


@lru_cache(1024)
def _neighbours(channels: int, size: int) -> Any:
    at = np.arange(channels)[:, None] + np.arange(size) - size // 2
    there = (at >= 0) & (at < channels)
    return _windows.weighted(channels, np.where(there, at, 0), there / size)


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "local_response_norm", "lp_pool1d", "lp_pool2d",
    "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]
