"""Comparisons, logic and bits: operations whose results carry no gradient."""
from __future__ import annotations

from typing import Any

from tensorlite import backends
from tensorlite.engine.batching import pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Value, raw
from tensorlite.ops._names import torch_names

Array = Any


def _pair(name: str, forward: Any) -> Primitive:
    return primitive(name, forward, args="x y", elementwise=True, discrete=True)


# ---- order -------------------------------------------------------------------------------------------------------------

eq_p = _pair("equal", "equal")
ne_p = _pair("not_equal", "not_equal")
lt_p: Primitive = _pair("less", "less")
le_p = _pair("less_equal", "less_equal")
gt_p: Primitive = _pair("greater", "greater")
ge_p = _pair("greater_equal", "greater_equal")


@torch_names
def equal(x: Array, y: Array, /) -> Array:
    """x == y, elementwise and broadcast: the array API's (PyTorch's ``equal`` is one bool: ``bool(tl.all(tl.equal(x, y)))``).

    >>> import tensorlite as tl
    >>> tl.equal(tl.tensor([1.0, 2.0]), 2.0)
    tensor([False,  True])
    """
    return eq_p(x, y)


@torch_names
def not_equal(x: Array, y: Array, /) -> Array:
    """x != y, elementwise and broadcast."""
    return ne_p(x, y)


@torch_names
def less(x: Array, y: Array, /) -> Array:
    """x < y, elementwise and broadcast."""
    return lt_p(x, y)


@torch_names
def less_equal(x: Array, y: Array, /) -> Array:
    """x <= y, elementwise and broadcast."""
    return le_p(x, y)


@torch_names
def greater(x: Array, y: Array, /) -> Array:
    """x > y, elementwise and broadcast."""
    return gt_p(x, y)


@torch_names
def greater_equal(x: Array, y: Array, /) -> Array:
    """x >= y, elementwise and broadcast."""
    return ge_p(x, y)


eq, ne, lt, le, gt, ge = equal, not_equal, less, less_equal, greater, greater_equal


# ---- closeness ---------------------------------------------------------------------------------------------------------

def _isclose(xp: Any, x: Any, y: Any, *, rtol: float, atol: float, equal_nan: bool) -> Any:
    finite = xp.logical_and(xp.isfinite(x), xp.isfinite(y))
    zero = xp.zeros_like(finite)
    a, b = xp.where(finite, x, xp.astype(zero, x.dtype)), xp.where(finite, y, xp.astype(zero, y.dtype))
    close = xp.logical_or(xp.logical_and(finite, xp.abs(a - b) <= atol + rtol * xp.abs(b)), x == y)
    return xp.logical_or(close, xp.logical_and(xp.isnan(x), xp.isnan(y))) if equal_nan else close


isclose_p = primitive("isclose", _isclose, elementwise=True, discrete=True)


@torch_names
def isclose(x: Array, y: Array, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """abs(x - y) <= atol + rtol abs(y); equal infinities are close, and with ``equal_nan`` NaNs are.

    >>> import tensorlite as tl
    >>> tl.isclose(tl.tensor([1.0, 1.1]), 1.0)
    tensor([ True, False])
    """
    from tensorlite.ops.elementwise import lift
    x, y = lift(x, y)
    return isclose_p(x, y, rtol=float(rtol), atol=float(atol), equal_nan=equal_nan)


@torch_names
def allclose(x: Array, y: Array, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds everywhere, as a Python bool."""
    close = isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if isinstance(close, Value) and close.level:
        from tensorlite.ops.reduction import all_p
        return bool(all_p(close))
    array = raw(close)
    return bool(backends.backend_of(array).to_numpy(array).all())


# ---- logic -------------------------------------------------------------------------------------------------------------

and_p = _pair("logical_and", "logical_and")
or_p = _pair("logical_or", "logical_or")
xor_p = _pair("logical_xor", "logical_xor")
not_p = primitive("logical_not", "logical_not", discrete=True)
not_p.batch(pointwise)


@torch_names
def logical_and(x: Array, y: Array, /) -> Array:
    """Whether x and y are both true (for numbers: not zero)."""
    return and_p(x, y)


@torch_names
def logical_or(x: Array, y: Array, /) -> Array:
    """Whether x or y is true."""
    return or_p(x, y)


@torch_names
def logical_xor(x: Array, y: Array, /) -> Array:
    """Whether exactly one of x and y is true."""
    return xor_p(x, y)


@torch_names
def logical_not(x: Array, /) -> Array:
    """Whether x is false (for numbers: zero)."""
    return not_p(x)


# ---- bits --------------------------------------------------------------------------------------------------------------

bit_and_p = _pair("bitwise_and", "bitwise_and")
bit_or_p = _pair("bitwise_or", "bitwise_or")
bit_xor_p = _pair("bitwise_xor", "bitwise_xor")
left_p = _pair("bitwise_left_shift", "bitwise_left_shift")
right_p = _pair("bitwise_right_shift", "bitwise_right_shift")
invert_p = primitive("bitwise_invert", "bitwise_invert", discrete=True)
invert_p.batch(pointwise)


@torch_names
def bitwise_and(x: Array, y: Array, /) -> Array:
    """x & y of integers or bools."""
    return bit_and_p(x, y)


@torch_names
def bitwise_or(x: Array, y: Array, /) -> Array:
    """x | y of integers or bools."""
    return bit_or_p(x, y)


@torch_names
def bitwise_xor(x: Array, y: Array, /) -> Array:
    """x ^ y of integers or bools."""
    return bit_xor_p(x, y)


@torch_names
def bitwise_invert(x: Array, /) -> Array:
    """~x of integers or bools."""
    return invert_p(x)


@torch_names
def bitwise_left_shift(x: Array, y: Array, /) -> Array:
    """x << y of integers."""
    return left_p(x, y)


@torch_names
def bitwise_right_shift(x: Array, y: Array, /) -> Array:
    """x >> y of integers; the sign is kept."""
    return right_p(x, y)


bitwise_not = bitwise_invert


# ---- what a number is --------------------------------------------------------------------------------------------------

isfinite_p = primitive("isfinite", "isfinite", discrete=True)
isfinite_p.batch(pointwise)
isnan_p = primitive("isnan", "isnan", discrete=True)
isnan_p.batch(pointwise)
isinf_p = primitive("isinf", "isinf", discrete=True)
isinf_p.batch(pointwise)
signbit_p = primitive("signbit", "signbit", discrete=True)
signbit_p.batch(pointwise)


@torch_names
def isfinite(x: Array, /) -> Array:
    """Whether each element is neither infinite nor NaN."""
    return isfinite_p(x)


@torch_names
def isnan(x: Array, /) -> Array:
    """Whether each element is NaN."""
    return isnan_p(x)


@torch_names
def isinf(x: Array, /) -> Array:
    """Whether each element is an infinity."""
    return isinf_p(x)


@torch_names
def signbit(x: Array, /) -> Array:
    """Whether the sign bit is set: true for -0.0."""
    return signbit_p(x)
