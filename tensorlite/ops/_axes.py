"""Axes of reductions: how many elements they cover, what shape is left, and errors that say what is wrong with them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError

Axis = int | tuple[int, ...] | None


def count_along(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements each result of a reduction over ``axis`` is made of."""
    if axis.__class__ is int:
        return shape[axis]
    n = 1
    for length in shape if axis is None else (shape[a] for a in axis):
        n *= length
    return n


def kept_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape that reducing over ``axis`` with ``keepdims`` leaves."""
    if axis is None:
        return (1,) * len(shape)
    out = list(shape)
    for a in (axis,) if axis.__class__ is int else axis:
        out[a] = 1
    return tuple(out)


def check_axes(name: str, needs_elements: bool = False, one: bool = False) -> Callable[..., None]:
    """A primitive's ``check``: the axes exist, no axis is named twice, and (``needs_elements``) there is something along them."""
    wanted = "an integer" if one else "an integer, a tuple of integers or None"

    def check(x: Any, *rest: Any, axis: Any = None, **options: Any) -> None:
        shape = tuple(x.shape)
        if hasattr(axis, "shape") and not isinstance(axis, int):
            raise DTypeError(f"{name}: axis is an array; expected {wanted}. The larger and the smaller of two "
                             "arrays, element by element, are maximum and minimum")
        if one and isinstance(axis, tuple):
            raise DTypeError(f"{name}: axis = {axis}; expected {wanted}")
        axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
        seen = set()
        for a in axes:
            if not hasattr(a, "__index__"):
                raise DTypeError(f"{name}: axis = {axis!r}; expected {wanted}")
            a = a.__index__()
            if not -len(shape) <= a < len(shape):
                if not shape:
                    raise OutOfRangeError(f"{name}: axis = {a}, but x has no axes (shape ()); leave axis out")
                raise OutOfRangeError(f"{name}: axis = {a} is out of range for x of shape {shape}; "
                                      f"expected {-len(shape)} to {len(shape) - 1}")
            if a % len(shape) in seen:
                raise ShapeError(f"{name}: axis = {axis} names the axis {a % len(shape)} of x twice; name each once")
            seen.add(a % len(shape))
        if needs_elements and (0 in shape if axis is None else any(shape[a] == 0 for a in axes)):
            raise ShapeError(f"{name}: x has shape {shape}, so there is nothing to reduce over axis = {axis}, and {name} of "
                             "nothing is not defined; give x elements there, or reduce over another axis")
    return check
