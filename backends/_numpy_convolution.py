"""Convolution on the CPU: the compiled kernels; without Numba, windows copied into columns and products by BLAS."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.kernels import _convolution as _reference

BLOCK = 1 << 22   # bytes of windows copied at once: they stay in the last-level cache until the product has read them


def _kernel(name: str, otherwise: Any) -> Any:
    def run(*arrays: Any, **options: Any) -> Any:
        kernel = kernels.load(name)
        return otherwise(*arrays, **options) if kernel.cpu is None else kernel.cpu(*arrays, **options)
    return run


def _columns(x: Any, window: Any, out: Any, stride: Any, dilation: Any) -> Any:
    """The windows of padded images (n, c, ...) as a view (n, c, *window, *out)."""
    steps = x.strides[2:]
    strides = (*x.strides[:2], *[s * d for s, d in zip(steps, dilation)], *[s * d for s, d in zip(steps, stride)])
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *window, *out), strides, writeable=False)


def _blocks(n: int, bytes_each: int) -> Any:
    count = max(1, BLOCK // max(1, bytes_each))
    return [slice(i, min(n, i + count)) for i in range(0, n, count)]


def _plain(*arrays: Any) -> bool:
    first = arrays[0]
    return all(a is None or (a.dtype == first.dtype and a.size) for a in arrays) and first.dtype.char in "fdFD"


def conv(x: Any, w: Any, b: Any, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """A few images at a time: their windows as columns, times the weights as a matrix."""
    if not _plain(x, w, b):
        return _reference.conv(np, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    n, c, o, window = x.shape[0], w.shape[1], w.shape[0], w.shape[2:]
    out = tuple([_reference.out_size(*axis) for axis in zip(x.shape[2:], window, stride, padding, dilation)])
    result, matrix = np.empty((n, groups, o // groups, prod(out)), x.dtype), w.reshape(groups, o // groups, c * prod(window))
    for some in _blocks(n, groups * c * prod(window) * prod(out) * x.itemsize):
        columns = _columns(_reference._padded(np, x[some], padding), window, out, stride, dilation)
        np.matmul(matrix, columns.reshape(-1, groups, c * prod(window), prod(out)), out=result[some])
    result = result.reshape(n, o, *out)
    return result if b is None else np.add(result, b.reshape(-1, *[1] * len(out)), out=result)


def conv_weight_grad(g: Any, x: Any, *, window: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """A few images at a time: cotangents as a matrix, times the windows as columns."""
    if not _plain(g, x):
        return _reference.conv_weight_grad(np, g, x, window=window, stride=stride, padding=padding, dilation=dilation,
                                           groups=groups)
    n, o, out, c = g.shape[0], g.shape[1], g.shape[2:], x.shape[1] // groups
    g = g.reshape(n, groups, o // groups, prod(out))
    total: Any = 0
    for some in _blocks(n, groups * c * prod(window) * prod(out) * x.itemsize):
        columns = _columns(_reference._padded(np, x[some], padding), window, out, stride, dilation)
        part = np.matmul(g[some], columns.reshape(-1, groups, c * prod(window), prod(out)).mT)
        total = total + np.add.reduce(part, 0, x.dtype)
    return total.reshape(o, c, *window)


def conv_input_grad(g: Any, w: Any, **options: Any) -> Any:
    """Weight by weight: a product for each, added where its outputs saw the input."""
    return _reference.conv_input_grad(np, g, w, **options)


IMPLEMENTATIONS: dict[str, Any] = {name: _kernel(name, otherwise) for name, otherwise in (
    ("conv", conv), ("conv_input_grad", conv_input_grad), ("conv_weight_grad", conv_weight_grad))}
