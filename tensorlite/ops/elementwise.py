"""Elementwise arithmetic: one operation, one section. Functions of one argument are in ``ops/functions.py``."""
from __future__ import annotations

from typing import Any

from tensorlite import backends
from tensorlite.engine.primitive import primitive
from tensorlite._state import current
from tensorlite.engine.value import provide
from tensorlite.ops._names import torch_names

Array = Any   # a Tensor, or a raw array of a backend: what goes in decides what comes out


# ---- chain: the product of a cotangent and a local derivative ----------------------------------------------------------
# A zero cotangent says that the path does not matter, so 0 x inf and 0 x nan are 0 there: d/da where(a > 0, sqrt(a), a) is
# finite at 0. A NaN shows up in the sum of squares; testing it is one fast pass, and where() runs only if there is one.

def _chain(xp: Any, g: Any, d: Any) -> Any:
    out = g * d
    flat = xp.reshape(out, (-1,))
    if not current().strict_nan and bool(xp.isnan(xp.sum(flat * flat))):
        out = xp.where(xp.broadcast_to(g, out.shape) == 0, xp.zeros_like(out), out)
    return out


chain = primitive("chain", _chain, elementwise=True, linear_in="g d")
chain.vjp(g=lambda h, d: chain(h, d), d=lambda h, g: chain(h, g))


# ---- sum_to: the adjoint of broadcasting -------------------------------------------------------------------------------

def _sum_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    extra = x.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    if not axes:
        return xp.reshape(x, shape)
    return xp.reshape(xp.sum(x, axis=axes, dtype=x.dtype), shape)


sum_to = primitive("sum_to", _sum_to, linear_in="x")
sum_to.vjp(x=lambda g, x_shape: expand(g, shape=x_shape))

expand = primitive("expand", lambda xp, x, *, shape: xp.broadcast_to(x, shape), linear_in="x", view=True)
expand.vjp(x=lambda g, x_shape: sum_to(g, shape=x_shape))


# ---- add ---------------------------------------------------------------------------------------------------------------

add_p = primitive("add", "add", args="x y", elementwise=True, linear_in="x y")
add_p.vjp(x=lambda g: g, y=lambda g: g)


@torch_names
def add(x: Array, y: Array, /, *, alpha: float = 1) -> Array:
    """x + alpha y, broadcast.

    >>> import tensorlite as tl
    >>> tl.add(tl.tensor([1.0, 2.0]), 3.0)
    tensor([4., 5.])
    """
    return add_p(x, y if alpha == 1 else mul_p(y, alpha))


# ---- subtract ----------------------------------------------------------------------------------------------------------

sub_p = primitive("sub", "subtract", args="x y", elementwise=True, linear_in="x y")
sub_p.vjp(x=lambda g: g, y=lambda g: neg_p(g))


@torch_names
def subtract(x: Array, y: Array, /, *, alpha: float = 1) -> Array:
    """x - alpha y, broadcast."""
    return sub_p(x, y if alpha == 1 else mul_p(y, alpha))


# ---- multiply ----------------------------------------------------------------------------------------------------------

mul_p = primitive("mul", "multiply", args="x y", elementwise=True, linear_in="x y")
mul_p.vjp(x=lambda g, y: chain(g, y), y=lambda g, x: chain(g, x))


@torch_names
def multiply(x: Array, y: Array, /) -> Array:
    """x y, elementwise and broadcast.

    >>> import tensorlite as tl
    >>> tl.multiply(tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return mul_p(x, y)


# ---- negative ----------------------------------------------------------------------------------------------------------

neg_p = primitive("neg", "negative", linear_in="x")
neg_p.deriv(x=lambda g: neg_p(g))


@torch_names
def negative(x: Array, /) -> Array:
    """-x."""
    return neg_p(x)


# ---- what the tape itself needs ----------------------------------------------------------------------------------------

def _move(xp: Any, x: Any, *, device: str) -> Any:
    target = backends.backend_for_device(device)
    return target.asarray(backends.backend_of(x).to_numpy(x), device=device)


cast_p = primitive("cast", lambda xp, x, *, dtype: xp.astype(x, dtype, copy=False), linear_in="x", casts=True)
cast_p.vjp(x=lambda g, x_dtype: cast_p(g, dtype=x_dtype))

move_p = primitive("move", _move, linear_in="x")
move_p.vjp(x=lambda g, x_device: move_p(g, device=x_device))

provide(add=add_p, sum_to=sum_to, cast=cast_p)
