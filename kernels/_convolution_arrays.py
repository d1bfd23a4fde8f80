"""The CPU's convolutions of NumPy arrays: which plan, which layout, and what is left to the reference."""
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ._convolution import Pairs, Shape, out_size
from ._convolution_cpu import arranged, summed_over_pixels, swept
from ._convolution_plan import Axis, Plan, backward_axis, forward_axis, plan
from ._half import is_half

__all__ = ["channels_last", "fits", "input_gradient", "outputs", "weight_gradient"]


def channels_last(x: Any) -> bool:
    """Whether the channels, axis 1, lie side by side in memory, and the pixels one after the other."""
    return not x.flags.c_contiguous and np.moveaxis(x, 1, -1).flags.c_contiguous


def _flat(x: Any) -> tuple[Any, bool]:
    """The memory in order, and whether channels are last."""
    if channels_last(x):
        return np.moveaxis(x, 1, -1).reshape(-1), True
    return np.ascontiguousarray(x).reshape(-1), False


def _empty(shape: Shape, dtype: Any, last: bool) -> tuple[Any, Any]:
    """A new array, and its memory in order."""
    if last:
        out = np.empty((shape[0], *shape[2:], shape[1]), dtype)
        return np.moveaxis(out, -1, 1), out.reshape(-1)
    out = np.empty(shape, dtype)
    return out, out.reshape(-1)


def fits(*arrays: Any) -> bool:
    """Whether the arrays are of one type that is compiled, with something in each of them, of one to three spatial axes."""
    given = [a for a in arrays if a is not None]
    first = given[0]
    return first.dtype.char in "fd" and first.ndim <= 5 and all(a.dtype == first.dtype and a.size for a in given)


def half(*arrays: Any) -> bool:
    """Whether the arrays are of one 16-bit type."""
    return all(a is None or (is_half(a) and a.dtype == arrays[0].dtype) for a in arrays)


def widened(*arrays: Any) -> list[Any]:
    """The arrays in float32."""
    return [None if a is None else a.astype(np.float32) for a in arrays]


def _three(values: Any, fill: Any) -> Any:
    return (*values, *(fill,) * (3 - len(values)))


def _axes(make: Any, size: Shape, out: Shape, window: Shape, stride: Shape, padding: Pairs,
          dilation: Shape) -> tuple[Axis, Axis, Axis]:
    lows = [low for low, _ in padding]
    first, second, third = (make(*axis) for axis in zip(*[_three(v, 0 if v is lows else 1) for v in (
        size, out, window, stride, lows, dilation)]))
    return first, second, third


@lru_cache(maxsize=512)
def _out(size: Shape, window: Shape, stride: Shape, padding: Pairs, dilation: Shape) -> Shape:
    return tuple([out_size(*axis) for axis in zip(size, window, stride, padding, dilation)])


@lru_cache(maxsize=512)
def _plan(make: Any, size: Shape, out: Shape, window: Shape, batch: int, groups: int, inputs: int, outputs: int, itemsize: int,
          options: tuple[Shape, Pairs, Shape], summed: bool = False) -> Plan:
    """The plan; depthwise convolution has one of its own."""
    if inputs == outputs == 1 and groups > 1:
        groups, inputs, outputs = 1, groups, 0
    axes = _axes(make, size, out, window, *options)
    return plan(axes, _three(window, 1), batch, groups, inputs, outputs, itemsize, summed)


def _columns(found: Plan, b: Any, dtype: Any) -> Any:
    """The bias as the columns of each group; zeros if there is none."""
    shape = found.sizes
    out = np.zeros(shape.groups * shape.columns, dtype)
    if b is not None:
        out.reshape(shape.groups, -1)[:, :shape.outputs] = b.reshape(shape.groups, -1)
    return out


def outputs(x: Any, w: Any, b: Any, stride: Shape, padding: Pairs, dilation: Shape, groups: int, relu: bool = False) -> Any:
    """:func:`._convolution.conv`, and then a ReLU if wanted; channels last if x's are."""
    (n, c), o, window = x.shape[:2], w.shape[0], w.shape[2:]
    out = _out(x.shape[2:], window, stride, padding, dilation)
    found = _plan(forward_axis, x.shape[2:], out, window, n, groups, c // groups, o // groups, x.itemsize,
                     (stride, padding, dilation))
    source, last = _flat(x)
    result, memory = _empty((n, o, *out), x.dtype, last)
    swept(found, source, last, arranged(found, np.ascontiguousarray(w), False), _columns(found, b, x.dtype), relu,
          memory, last)
    return result


def input_gradient(g: Any, w: Any, size: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int) -> Any:
    """:func:`._convolution.conv_input_grad`; channels last if g's are."""
    (n, o), c, window = g.shape[:2], w.shape[1], w.shape[2:]
    found = _plan(backward_axis, size, g.shape[2:], window, n, groups, o // groups, c, g.itemsize,
                     (stride, padding, dilation))
    source, last = _flat(g)
    result, memory = _empty((n, groups * c, *size), g.dtype, last)
    swept(found, source, last, arranged(found, np.ascontiguousarray(w), True), _columns(found, None, g.dtype), False,
          memory, last)
    return result


def weight_gradient(g: Any, x: Any, window: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int) -> Any:
    """:func:`._convolution.conv_weight_grad`."""
    (n, o), c = g.shape[:2], x.shape[1]
    found = _plan(forward_axis, x.shape[2:], g.shape[2:], window, n, groups, c // groups, o // groups, g.itemsize,
                     (stride, padding, dilation), summed=True)
    (memory, last), (cotangents, g_last) = _flat(x), _flat(g)
    out = np.empty((o, c // groups, *window), g.dtype)
    summed_over_pixels(found, memory, last, cotangents, g_last, out.reshape(-1))
    return out
