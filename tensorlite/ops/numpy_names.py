"""Further functions under NumPy's names, which programs for ``numpy`` and ``jax.numpy`` use: compositions of the others."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.value import Value
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops import creation, manipulation, rearrange
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import equal
from tensorlite.ops.contraction import tensordot
from tensorlite.ops.reduction import all_p, mean
from tensorlite.ops.reduction import sum as sum_

Array = Any

__all__ = ["array", "array_equal", "average", "column_stack", "identity", "inner", "ndim", "polyval", "shape", "trace",
           "trapezoid"]


def _tensors(value: Any) -> list[Any]:
    """The tensors in nested lists."""
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _tensors(v)]
    return [value] if isinstance(value, Value) else []


def _stacked(value: Any, dtype: Any, device: str) -> Array:
    if isinstance(value, Value):
        return value if value.dtype == dtype else manipulation.astype(value, dtype)
    if isinstance(value, (list, tuple)) and value:
        return manipulation.stack([_stacked(v, dtype, device) for v in value])
    return creation.asarray(value, dtype=dtype, device=device)


@torch_names
def array(object: Any, dtype: Any = None, *, copy: bool = True, device: Any = None) -> Array:
    """A tensor of numbers, of an array, or of nested lists in which there may be tensors; these keep their gradients.

    >>> import tensorlite as tl
    >>> tl.grad(lambda x: tl.array([x ** 2, 3 * x]).sum())(tl.array(2.0))
    tensor(7.)
    """
    inside = _tensors(object) if isinstance(object, (list, tuple)) else []
    if inside:
        found = manipulation.result_type(*inside) if dtype is None else _dtypes.as_dtype(dtype)
        return _stacked(object, found, inside[0].device)
    if isinstance(object, Value):
        out = object if dtype is None else manipulation.astype(object, dtype, copy=False)
        return manipulation.clone(out) if copy and out is object else out
    return creation.asarray(object, dtype=dtype, device=device, copy=copy or None)


@torch_names
def identity(n: int, dtype: Any = None) -> Array:
    """The n x n matrix with ones on the diagonal."""
    return creation.eye(n, dtype=dtype)


@torch_names
def inner(x: Array, y: Array) -> Array:
    """Σ x y over the last axis of both; the result has the other axes of x, then those of y.

    >>> import tensorlite as tl
    >>> tl.inner(tl.ones((2, 3)), tl.ones((4, 3))).shape
    (2, 4)
    """
    x, y = creation.asarray(x), creation.asarray(y)
    return x * y if not x.ndim or not y.ndim else tensordot(x, y, axes=([x.ndim - 1], [y.ndim - 1]))


@torch_names
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Σ_i x[i, i + offset] of the axes ``axis1`` and ``axis2``.

    >>> import tensorlite as tl
    >>> tl.trace(tl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return sum_(rearrange.diagonal(x, offset, axis1, axis2), axis=-1)


@torch_names
def average(x: Array, axis: Any = None, weights: Array | None = None) -> Array:
    """Σ w x / Σ w over ``axis``; the mean without weights.

    ``weights`` has the shape of x, or for one axis its length. Errors: ``ShapeError`` for other weights.
    """
    if weights is None:
        return mean(x, axis=axis)
    x, w = creation.asarray(x), creation.asarray(weights)
    if tuple(w.shape) != tuple(x.shape):
        if not isinstance(axis, int) or w.ndim != 1 or w.shape[0] != x.shape[axis]:
            raise ShapeError(f"average: weights has shape {tuple(w.shape)}; expected x's shape {tuple(x.shape)}, or with one "
                             "axis its length")
        w = manipulation.reshape(w, tuple([w.shape[0] if i == axis % x.ndim else 1 for i in range(x.ndim)]))
        return sum_(x * w, axis=axis) / sum_(w)
    return sum_(x * w, axis=axis) / sum_(w, axis=axis)


@torch_names
def trapezoid(y: Array, x: Array | None = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integral of y over x (or with the step ``dx``) by the trapezoidal rule: Σ (x_{i+1} - x_i) (y_i + y_{i+1}) / 2.

    >>> import tensorlite as tl
    >>> tl.trapezoid(tl.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    y = manipulation.moveaxis(creation.asarray(y), axis, -1)
    step: Any = dx
    if x is not None:
        x = creation.asarray(x)
        x = manipulation.moveaxis(x, axis, -1) if x.ndim > 1 else x
        step = x[..., 1:] - x[..., :-1]
    return sum_(step * (y[..., 1:] + y[..., :-1]), axis=-1) / 2


@torch_names
def polyval(p: Array, x: Array) -> Array:
    """p[0] x^(n-1) + ... + p[n-1], by Horner's rule.

    >>> import tensorlite as tl
    >>> tl.polyval(tl.tensor([1.0, 2.0, 3.0]), tl.tensor(2.0))
    tensor(11.)
    """
    p, x = creation.asarray(p), creation.asarray(x)
    if p.ndim != 1:
        raise ShapeError(f"polyval: p has shape {tuple(p.shape)}; expected one axis, the highest power first")
    out = creation.zeros_like(x)
    for i in range(p.shape[0]):
        out = out * x + p[i]
    return out


@torch_names
def column_stack(tensors: Any) -> Array:
    """Vectors as the columns of a matrix; matrices side by side."""
    if not isinstance(tensors, (list, tuple)):
        raise DTypeError(f"column_stack: tensors is a {type(tensors).__name__}; expected a list or tuple of tensors")
    columns = [creation.asarray(t) for t in tensors]
    return manipulation.concat([manipulation.reshape(t, (-1, 1)) if t.ndim < 2 else t for t in columns], 1)


@torch_names
def array_equal(x: Array, y: Array) -> Array:
    """Whether both have the same shape and elements: a tensor of one bool.

    >>> import tensorlite as tl
    >>> bool(tl.array_equal(tl.ones(2), tl.ones(3)))
    False
    """
    x, y = creation.asarray(x), creation.asarray(y)
    if tuple(x.shape) != tuple(y.shape):
        return creation.asarray(False)
    return all_p(equal(x, y), axis=None, keepdims=False)


@torch_names
def shape(x: Array) -> tuple[int, ...]:
    """The shape of a tensor, an array, a number or nested lists."""
    return tuple(creation.asarray(x).shape)


@torch_names
def ndim(x: Array) -> int:
    """How many axes it has."""
    return int(creation.asarray(x).ndim)
