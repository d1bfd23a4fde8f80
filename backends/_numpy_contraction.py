"""NumPy's faster ways for the products, and the fused loss."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends._numpy_elementwise import _relu_backward as relu_backward
from tensorlite.errors import OutOfRangeError, ShapeError
from tensorlite.kernels.softmax_cross_entropy.reference import softmax_cross_entropy as _reference


def _matmul(x: Any, y: Any) -> Any:
    """``np.matmul``, which of bfloat16 gives float32."""
    out = np.matmul(x, y)
    return out.astype(x.dtype) if x.dtype.kind == "V" and y.dtype == x.dtype else out


def linear(x: Any, w: Any, b: Any) -> Any:
    """x w^T + b, the bias added in place."""
    out = x.dot(w.T) if x.ndim == 2 else _matmul(x, w.T)   # dot is 0.3 us less than matmul
    if b is None:
        return out
    if out.dtype is b.dtype:
        return np.add(out, b, out=out) if out.__class__ is np.ndarray else out + b
    return out + b


def linear_relu(x: Any, w: Any, b: Any) -> Any:
    """max(x w^T + b, 0), in the memory of the product."""
    out = linear(x, w, b)
    if out.__class__ is np.ndarray:
        return np.maximum(out, _zero(out.dtype), out=out)
    return np.maximum(out, 0)


@cache
def _zero(dtype: Any) -> Any:
    return np.zeros((), dtype)   # a number would be made an array at every call


@lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Any:
    return np.ones(n, dtype)


def _sum_rows(x: Any) -> Any:
    """The sum of a matrix's rows: by BLAS for as many as batches have, which takes half the time of ``add.reduce``."""
    if x.dtype.char in "fd" and 0 < x.shape[0] <= 4096:
        return _ones(x.shape[0], x.dtype).dot(x)
    return np.add.reduce(x, axis=0, dtype=x.dtype)


def linear_backward(g: Any, x: Any, w: Any, *, needs: tuple[bool, ...]) -> Any:
    """(g w, g^T x, the sum of g's rows), as far as they are needed."""
    if g.ndim == 2 and x.ndim == 2:
        rows, inputs = g, x
    else:
        n = prod(g.shape[:-1])   # not -1: there may be no columns
        rows, inputs = g.reshape(n, g.shape[-1]), x.reshape(n, x.shape[-1])
    out = []
    if needs[0]:
        out.append(g.dot(w))
    if needs[1]:
        out.append(rows.T.dot(inputs))
    if needs[2]:
        out.append(_sum_rows(rows))
    return out


def linear_relu_backward(g: Any, x: Any, w: Any, y: Any, *, needs: tuple[bool, ...]) -> Any:
    return linear_backward(relu_backward(g, y), x, w, needs=needs)


def matmul(x: Any, y: Any, *, tx: bool = False, ty: bool = False) -> Any:
    if x.ndim == 2 and y.ndim == 2:
        return (x.T if tx else x).dot(y.T if ty else y)
    return _matmul(x.mT if tx else x, y.mT if ty else y)


def matvec(x: Any, y: Any, *, tx: bool = False) -> Any:
    return (x.T if tx else x).dot(y)


_LARGE = 1 << 17   # elements from which on the compiled sum's 5 us of Python pay


@cache
def _sum_kernel() -> Callable[..., Any]:
    kernel = kernels.load("sum_to")
    return kernel.cpu or partial(kernel.reference, np)


def outer(x: Any, y: Any) -> Any:
    """The compiled kernel where there is enough to write."""
    run = kernels.load("outer").cpu if x.size * y.shape[-1] >= _LARGE else None
    return x[..., None] * y[..., None, :] if run is None else run(x, y)


def sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The common cases without a look at every axis: leading axes, and nothing but them."""
    if x.size >= _LARGE or x.dtype.itemsize == 2:
        return _sum_kernel()(x, shape=shape)
    extra = x.ndim - len(shape)
    if extra == 1 and x.shape[1:] == shape:
        return np.add.reduce(x, axis=0, dtype=x.dtype)
    axes = tuple(range(extra)) + tuple([i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1])
    return np.add.reduce(x, axis=axes, dtype=x.dtype).reshape(shape) if axes else x.reshape(shape)


def ones_like(x: Any, *, dtype: Any) -> Any:
    return np.ones(x.shape, x.dtype if dtype is None else dtype)   # np.ones_like takes three times as long for a small one


def einsum(*operands: Any, equation: str) -> Any:
    """By pairs and through BLAS where NumPy finds a way."""
    return np.einsum(equation, *operands, optimize=len(operands) > 1)


@cache
def _cross_entropy_kernel() -> Callable[..., Any]:
    return kernels.load("softmax_cross_entropy").cpu or partial(_reference, np)


def softmax_cross_entropy(logits: Any, labels: Any, weight: Any, **options: Any) -> Any:
    """The compiled kernel where there is one."""
    try:
        return _cross_entropy_kernel()(logits, labels, weight=weight, **options)
    except IndexError as error:   # the kernel's own words say it all
        raise OutOfRangeError(str(error)) from None
    except ValueError as error:
        raise ShapeError(str(error)) from None


def cross_entropy_loss(logits: Any, labels: Any, weight: Any, **options: Any) -> Any:
    """The same without the gradient."""
    return softmax_cross_entropy(logits, labels, weight, want_grad=False, **options)[0]


def scale_rows(g: Any, grad: Any) -> Any:
    if g.ndim == 0:
        return grad if g.item() == 1.0 else np.multiply(g, grad)
    return np.multiply(g.reshape(-1, 1), grad)


IMPLEMENTATIONS: dict[str, Any] = {
    "matmul": matmul, "matvec": matvec, "outer": outer,
    "linear": linear, "linear_backward": linear_backward, "linear_relu": linear_relu,
    "linear_relu_backward": linear_relu_backward, "einsum": einsum, "sum_to": sum_to, "ones_like": ones_like,
    "softmax_cross_entropy": softmax_cross_entropy, "cross_entropy_loss": cross_entropy_loss, "scale_rows": scale_rows,
}
