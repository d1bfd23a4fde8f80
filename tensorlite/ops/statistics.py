"""Products, variances and norms: reductions whose gradients need care at zeros."""
from __future__ import annotations

from math import isinf
from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import along, pointwise, shaped
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.errors import DTypeError
from tensorlite.ops._axes import Axis, check_axes, count_along
from tensorlite.ops._names import torch_names
from tensorlite.ops.creation import zeros_p
from tensorlite.ops.cumulative import cumprod_p, slide_p
from tensorlite.ops.elementwise import add_p, div_p, mul_p, neg_p, sub_p
from tensorlite.ops.functions import conj, conj_p, real
from tensorlite.ops.reduction import _cast, axes, floating, mean_p, shares_p, spread_p, sum_p

Array = Any


# ---- safe_div: x / d, and 0 where d is 0 ---------------------------------------------------------------------------------
# Norms and standard deviations are cones at 0; every subgradient there is as good as 0, and 0/0 would be nan.

def _safe_div(xp: Any, x: Any, d: Any) -> Any:
    zero = d == 0
    out = x / xp.where(zero, xp.ones_like(d), d)
    return xp.where(zero, xp.zeros_like(out), out)


safe_div_p = primitive("safe_div", _safe_div, elementwise=True, linear_in="x")
safe_div_p.vjp(x=lambda g, d: safe_div_p(g, d), d=lambda g, out, d: neg_p(mul_p(g, safe_div_p(out, d))))


# ---- prod --------------------------------------------------------------------------------------------------------------
# The gradient is the product of the others: those before times those after. Dividing by x instead would fail at zeros.

def _prod(xp: Any, x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return xp.prod(xp.astype(x, xp.int64) if xp.isdtype(x.dtype, "bool") else x, axis=axis, keepdims=keepdims)


def _prod_rule(g: Any, x: Any, axis: Any, keepdims: bool, x_shape: tuple[int, ...]) -> Any:
    g = spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims)
    return mul_p(g, others_p(x, axis=_positive(axis, len(x_shape))))


def _positive(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if axis.__class__ is int else axis))


prod_p = primitive("prod", _prod, check=check_axes("prod"))
prod_p.batch(along("axis"))
prod_p.vjp(x=_prod_rule)


# The reduced axes moved to the end and joined into one, and back again.
def _flatten_axes(xp: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    front = _front(x.ndim, axis)
    return xp.reshape(xp.permute_dims(x, front + axis), (*[x.shape[a] for a in front], count_along(x.shape, axis)))


flatten_axes_p = primitive("flatten_axes", _flatten_axes, linear_in="x")
flatten_axes_p.batch(along("axis"))
flatten_axes_p.vjp(x=lambda g, axis, x_shape: restore_axes_p(g, axis=axis, shape=x_shape))


def _restore_axes(xp: Any, g: Any, *, axis: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    order = _front(len(shape), axis) + axis
    back = tuple(order.index(a) for a in range(len(shape)))
    return xp.permute_dims(xp.reshape(g, tuple(shape[a] for a in order)), back)


restore_axes_p: Primitive = primitive("restore_axes", _restore_axes, linear_in="g")
restore_axes_p.batch(shaped("shape", axes="axis"))
restore_axes_p.vjp(g=lambda h, axis: flatten_axes_p(h, axis=axis))


def _front(ndim: int, axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a for a in range(ndim) if a not in axis)


def others_p(x: Any, *, axis: tuple[int, ...]) -> Any:
    """At each element, the product of all others over ``axis``."""
    shape = tuple(x.shape)
    flat = x if len(axis) == 1 else flatten_axes_p(x, axis=axis)
    along = axis[0] if len(axis) == 1 else flat.ndim - 1
    before = slide_p(cumprod_p(flat, axis=along), axis=along, before=1, after=-1, fill=1)
    behind = slide_p(cumprod_p(flat, axis=along, reverse=True), axis=along, before=-1, after=1, fill=1)
    out = mul_p(before, behind)
    return out if len(axis) == 1 else restore_axes_p(out, axis=axis, shape=shape)


@torch_names
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """Π x over ``axis``; of nothing, 1. The gradient is exact with zeros among the factors.

    >>> import tensorlite as tl
    >>> x = tl.tensor([2.0, 0.0, 5.0], requires_grad=True)
    >>> x.prod().backward(); x.grad
    tensor([ 0., 10.,  0.])
    """
    return prod_p(x if dtype is None else _cast(x, dtype), axis=axes(axis), keepdims=keepdims)


# ---- var, std ----------------------------------------------------------------------------------------------------------

def _var(xp: Any, x: Any, *, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Any:
    x = floating(xp, x)
    n = count_along(x.shape, axis)
    if _dtypes.kind(x.dtype) == "c":   # the standard's is of real numbers
        x = x - xp.sum(x, axis=axis, keepdims=True) / n
        x = xp.real(x) ** 2 + xp.imag(x) ** 2
        return xp.sum(x, axis=axis, keepdims=keepdims) / (n - correction if n > correction else xp.nan)
    if n <= correction:   # nan as from the library, without its warning
        return xp.sum(x, axis=axis, keepdims=keepdims) + xp.nan
    return xp.var(x, axis=axis, correction=correction, keepdims=keepdims)


def _std(xp: Any, x: Any, *, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Any:
    return xp.sqrt(_var(xp, x, axis=axis, correction=correction, keepdims=keepdims))


def _deviation(x: Any, axis: Any) -> Any:
    return sub_p(x, mean_p(x, axis=axis, keepdims=True))


def _freedom(shape: tuple[int, ...], axis: Any, correction: float) -> float:
    n = count_along(shape, axis) - correction
    return 1 / n if n > 0 else float("nan")


def _along(t: Any, d: Any, axis: Any, keepdims: bool) -> Any:
    """Σ Re(t conj(d)): the derivative, along t, of what has the vjp g conj(d)."""
    return sum_p(real(mul_p(t, conj(d))), axis=axis, keepdims=keepdims)


var_p = primitive("var", _var, check=check_axes("var"))
var_p.batch(along("axis"))
var_p.vjp(x=lambda g, x, axis, correction, keepdims, x_shape: mul_p(
    spread_p(mul_p(g, 2 * _freedom(x_shape, axis, correction)), shape=x_shape, axis=axis, keepdims=keepdims),
    conj_p(_deviation(x, axis))))
var_p.jvp(x=lambda t, x, axis, correction, keepdims, x_shape: mul_p(
    _along(t, _deviation(x, axis), axis, keepdims), 2 * _freedom(x_shape, axis, correction)))

std_p = primitive("std", _std, check=check_axes("std"))
std_p.batch(along("axis"))
std_p.vjp(x=lambda g, x, out, axis, correction, keepdims, x_shape: mul_p(
    spread_p(safe_div_p(mul_p(g, _freedom(x_shape, axis, correction)), out), shape=x_shape, axis=axis, keepdims=keepdims),
    conj_p(_deviation(x, axis))))
std_p.jvp(x=lambda t, x, out, axis, correction, keepdims, x_shape: safe_div_p(
    mul_p(_along(t, _deviation(x, axis), axis, keepdims), _freedom(x_shape, axis, correction)), out))


def _correction(correction: float, unbiased: bool | None) -> float:
    return correction if unbiased is None else int(unbiased)


def _flag(axis: Any, unbiased: bool | None) -> tuple[Any, bool | None]:
    """PyTorch's ``std(False)``, where the one argument is ``unbiased``."""
    return (None, axis) if axis is True or axis is False else (axes(axis), unbiased)


@torch_names
def var(x: Array, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False, unbiased: bool | None = None) -> Array:
    """Σ |x - mean|² / (n - correction) over ``axis``; nan where n <= correction.

    ``correction`` is 0 as in the array API and NumPy (PyTorch's default is 1, which ``unbiased=True`` gives).

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0, 2.0, 3.0, 4.0]); tl.var(x), tl.var(x, correction=1)
    (tensor(1.25), tensor(1.6667))
    """
    axis, unbiased = _flag(axis, unbiased)
    return var_p(x, axis=axis, correction=_correction(correction, unbiased), keepdims=keepdims)


@torch_names
def std(x: Array, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False, unbiased: bool | None = None) -> Array:
    """sqrt(var(x)) over ``axis``; see ``var``. Its gradient where all elements are equal is the subgradient 0."""
    axis, unbiased = _flag(axis, unbiased)
    return std_p(x, axis=axis, correction=_correction(correction, unbiased), keepdims=keepdims)


@torch_names
def var_mean(x: Array, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False,
             unbiased: bool | None = None) -> tuple[Array, Array]:
    """(var(x), mean(x)) over ``axis``."""
    axis, unbiased = _flag(axis, unbiased)
    return (var_p(x, axis=axis, correction=_correction(correction, unbiased), keepdims=keepdims),
            mean_p(x, axis=axis, keepdims=keepdims))


@torch_names
def std_mean(x: Array, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False,
             unbiased: bool | None = None) -> tuple[Array, Array]:
    """(std(x), mean(x)) over ``axis``."""
    axis, unbiased = _flag(axis, unbiased)
    return (std_p(x, axis=axis, correction=_correction(correction, unbiased), keepdims=keepdims),
            mean_p(x, axis=axis, keepdims=keepdims))


# ---- vector_norm -------------------------------------------------------------------------------------------------------
# |x|^e (even) and sign(x) |x|^e (odd) are each other's derivatives; both are 0 at 0 where e < 0, the subgradient.

def _signed_power(xp: Any, x: Any, *, exponent: float, odd: bool) -> Any:
    size = xp.abs(x)
    if exponent == 0:
        return _unit(xp, x, size) if odd else xp.ones_like(size)
    if exponent < 0:
        zero = size == 0
        power = xp.where(zero, xp.zeros_like(size), xp.where(zero, xp.ones_like(size), size) ** exponent)
    else:
        power = size if exponent == 1 else size ** exponent
    return power * _unit(xp, x, size) if odd else power


def _unit(xp: Any, x: Any, size: Any) -> Any:
    """x / |x|, and 0 at 0."""
    return x / xp.where(size == 0, xp.ones_like(size), size) if _dtypes.kind(x.dtype) == "c" else xp.sign(x)


def _power_vjp(g: Any, x: Any, exponent: float, odd: bool) -> Any:
    if _dtypes.kind(x.dtype) == "c" and odd:   # it turns with x, and grows with |x|
        unit = signed_power_p(x, exponent=0, odd=True)
        grown = mul_p(real(mul_p(g, unit)), mul_p(conj(unit), exponent - 1))
        return mul_p(add_p(g, grown), signed_power_p(x, exponent=exponent - 1, odd=False))
    return mul_p(g, mul_p(conj(signed_power_p(x, exponent=exponent - 1, odd=not odd)), exponent)) if exponent else None


def _power_jvp(t: Any, x: Any, exponent: float, odd: bool) -> Any:
    if _dtypes.kind(x.dtype) != "c":
        return _power_vjp(t, x, exponent, odd)
    if odd:
        unit = signed_power_p(x, exponent=0, odd=True)
        grown = mul_p(real(mul_p(t, conj(unit))), mul_p(unit, exponent - 1))
        return mul_p(add_p(t, grown), signed_power_p(x, exponent=exponent - 1, odd=False))
    return real(_power_vjp(t, x, exponent, odd)) if exponent else None


signed_power_p = primitive("signed_power", _signed_power)
signed_power_p.vjp(x=_power_vjp)
signed_power_p.jvp(x=_power_jvp)
signed_power_p.batch(pointwise)


def _vector_norm(xp: Any, x: Any, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    size = xp.abs(floating(xp, x))
    if ord == 0:
        return xp.sum(xp.astype(size != 0, size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return xp.sum(size, axis=axis, keepdims=keepdims)
    if 0 in x.shape and ord > 0:
        return xp.sum(size, axis=axis, keepdims=keepdims)
    if isinf(ord):
        return (xp.max if ord > 0 else xp.min)(size, axis=axis, keepdims=keepdims)
    scale = (xp.max if ord > 0 else xp.min)(size, axis=axis, keepdims=True)   # so that no power overflows, or all underflow
    scale = xp.where((scale == 0) | xp.isinf(scale), xp.ones_like(scale), scale)
    total = xp.sum((size / scale) ** ord, axis=axis, keepdims=True)
    out = (xp.sqrt(total) if ord == 2 else total ** (1 / ord)) * scale
    return out if keepdims else xp.reshape(out, xp.sum(scale, axis=axis).shape)


def _growth(x: Any, out: Any, axis: Any, keepdims: bool, ord: float, x_shape: tuple[int, ...]) -> Any:
    """The direction in which the norm grows fastest, at that rate."""
    if ord == 0:
        return zeros_p(x, dtype=None)
    if ord == 1:
        return signed_power_p(x, exponent=0, odd=True)
    if isinf(ord):
        sizes = signed_power_p(x, exponent=1, odd=False)
        return mul_p(signed_power_p(x, exponent=0, odd=True), shares_p(sizes, out, axis=axis, keepdims=keepdims))
    unit = safe_div_p(x, spread_p(out, shape=x_shape, axis=axis, keepdims=keepdims))
    return unit if ord == 2 else signed_power_p(unit, exponent=ord - 1, odd=True)


vector_norm_p = primitive("vector_norm", _vector_norm, check=check_axes("vector_norm"))
vector_norm_p.batch(along("axis"))
vector_norm_p.vjp(x=lambda g, x, out, axis, keepdims, ord, x_shape: mul_p(
    spread_p(g, shape=x_shape, axis=axis, keepdims=keepdims), conj_p(_growth(x, out, axis, keepdims, ord, x_shape))))
vector_norm_p.jvp(x=lambda t, x, out, axis, keepdims, ord, x_shape: _along(
    t, _growth(x, out, axis, keepdims, ord, x_shape), axis, keepdims))


@torch_names
def vector_norm(x: Array, /, axis: Axis = None, keepdims: bool = False, *, ord: float = 2) -> Array:
    """(Σ |x|^ord)^(1/ord) over ``axis``: ord 2, 1, any other number, inf (max |x|), -inf (min |x|), 0 (how many are not zero).

    Squares neither overflow nor underflow. The gradient at 0 is the subgradient 0; with ord = inf, ties share it equally.

    >>> import tensorlite as tl
    >>> x = tl.tensor([3.0, 4.0], requires_grad=True)
    >>> n = tl.vector_norm(x); n.backward(); n, x.grad
    (tensor(5., grad_fn=<VectorNormBackward>), tensor([0.6, 0.8]))
    """
    if isinstance(ord, str) or not hasattr(ord, "__float__"):
        raise DTypeError(f"vector_norm: ord = {ord!r}; expected a number, inf or -inf; norms of matrices are in "
                         "tensorlite.linalg.matrix_norm")
    return vector_norm_p(x, axis=axes(axis), keepdims=keepdims, ord=ord)


@torch_names
def norm(x: Array, /, p: float | str | None = "fro", axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """PyTorch's ``norm``: the vector norm of order ``p`` over ``axis`` (all of x, if None); "fro" is 2. See ``vector_norm``."""
    if isinstance(p, str):
        if p != "fro":
            raise DTypeError(f"norm: p = {p!r}; expected a number, inf, -inf or 'fro'; other norms of matrices are in "
                             "tensorlite.linalg.matrix_norm")
        p = None
    return vector_norm(x if dtype is None else _cast(x, dtype), axis, keepdims, ord=2 if p is None else p)


# ---- without nan -------------------------------------------------------------------------------------------------------

# x with 0 where y is nan
drop_nan_p = primitive("drop_nan", lambda xp, x, y: xp.where(xp.isnan(y), xp.zeros_like(x), x), linear_in="x")
drop_nan_p.batch(pointwise)
drop_nan_p.vjp(x=lambda g, y: drop_nan_p(g, y), y=lambda g: None)


def _count_numbers(xp: Any, x: Any, *, axis: Axis, keepdims: bool) -> Any:
    count = xp.sum(xp.astype(~xp.isnan(x), x.dtype), axis=axis, keepdims=keepdims)
    return xp.where(count == 0, xp.full_like(count, xp.nan), count)   # a division by nan does not warn


count_numbers_p = primitive("count_numbers", _count_numbers, discrete=True, check=check_axes("nanmean"))
count_numbers_p.batch(along("axis"))


@torch_names
def nansum(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """Σ x over ``axis``, with nan counted as 0.

    >>> import tensorlite as tl
    >>> tl.nansum(tl.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    x = x if dtype is None else _cast(x, dtype)
    return sum_p(drop_nan_p(x, x), axis=axes(axis), keepdims=keepdims)


@torch_names
def nanmean(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Array:
    """The mean over ``axis`` of what is not nan; nan where nothing is left."""
    x, axis = x if dtype is None else _cast(x, dtype), axes(axis)
    return div_p(sum_p(drop_nan_p(x, x), axis=axis, keepdims=keepdims), count_numbers_p(x, axis=axis, keepdims=keepdims))
