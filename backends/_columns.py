"""Convolution by columns: the windows of a few images copied side by side, and a product of matrices. What runs where there is
no compiled kernel (NumPy) or no cuDNN (CuPy)."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from tensorlite.kernels import _convolution as _reference

__all__ = ["Columns"]

Shape = tuple[int, ...]


class Columns:
    """The three convolutions on one array library.

    ``library``: NumPy or CuPy. ``matmul``: its product of stacks of matrices, ``matmul(x, y, tx=False, ty=False)``. ``block``:
    bytes of windows that are copied at once. ``xp``: the library under the array API standard's names, for what has no columns:
    other dtypes than ``types``, and nothing to sum.
    """

    def __init__(self, library: Any, xp: Any, matmul: Callable[..., Any], block: int, types: tuple[str, ...]) -> None:
        self.library, self.xp, self.matmul, self.block, self.types = library, xp, matmul, block, types

    def _plain(self, *arrays: Any) -> bool:
        name = arrays[0].dtype.name
        return name in self.types and all(a is None or (a.dtype.name == name and a.size) for a in arrays)

    def _windows(self, x: Any, groups: int, window: Shape, out: Shape, stride: Shape, padding: Any, dilation: Shape) -> Any:
        """The windows of images (n, c, ...) as matrices (n, groups, c / groups * window, out), copied."""
        x = _reference._padded(self.library if hasattr(self.library, "concat") else self.xp, x, padding)
        steps = x.strides[2:]
        strides = (*x.strides[:2], *[s * d for s, d in zip(steps, dilation)], *[s * d for s, d in zip(steps, stride)])
        view = self.library.lib.stride_tricks.as_strided(x, (*x.shape[:2], *window, *out), strides)
        return view.reshape(x.shape[0], groups, x.shape[1] // groups * prod(window), prod(out))

    def _some(self, n: int, bytes_each: int) -> Iterator[slice]:
        count = max(1, self.block // max(1, bytes_each))
        for i in range(0, n, count):
            yield slice(i, min(n, i + count))

    def conv(self, x: Any, w: Any, b: Any, *, stride: Shape, padding: Any, dilation: Shape, groups: int) -> Any:
        """The windows as columns, times the weights as a matrix."""
        if not self._plain(x, w, b):
            return _reference.conv(self.xp, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
        n, o, window = x.shape[0], w.shape[0], w.shape[2:]
        rows = w.shape[1] * prod(window)
        out = tuple([_reference.out_size(*axis) for axis in zip(x.shape[2:], window, stride, padding, dilation)])
        result, matrix = self.library.empty((n, groups, o // groups, prod(out)), x.dtype), w.reshape(groups, o // groups, rows)
        for some in self._some(n, groups * rows * prod(out) * x.itemsize):
            result[some] = self.matmul(matrix, self._windows(x[some], groups, window, out, stride, padding, dilation))
        result = result.reshape(n, o, *out)
        if b is not None:
            result += b.reshape(-1, *[1] * len(out))
        return result

    def conv_weight_grad(self, g: Any, x: Any, *, window: Shape, stride: Shape, padding: Any, dilation: Shape,
                         groups: int) -> Any:
        """Cotangents as a matrix, times the windows as columns."""
        if not self._plain(g, x) or not prod(window):
            return _reference.conv_weight_grad(self.xp, g, x, window=window, stride=stride, padding=padding, dilation=dilation,
                                               groups=groups)
        n, o, out = g.shape[0], g.shape[1], g.shape[2:]
        rows = x.shape[1] // groups * prod(window)
        g = g.reshape(n, groups, o // groups, prod(out))
        total: Any = None
        for some in self._some(n, groups * rows * prod(out) * x.itemsize):
            part = self.matmul(g[some], self._windows(x[some], groups, window, out, stride, padding, dilation), ty=True)
            part = part.sum(axis=0, dtype="float32" if x.itemsize == 2 else None)
            total = part if total is None else total + part
        return total.reshape(o, -1, *window).astype(g.dtype, copy=False)

    def conv_input_grad(self, g: Any, w: Any, *, size: Shape, stride: Shape, padding: Any, dilation: Shape, groups: int) -> Any:
        """The weights as a matrix, transposed, times the cotangents, and each column added where its window lay."""
        if not self._plain(g, w) or not prod(size):
            return _reference.conv_input_grad(self.xp, g, w, size=size, stride=stride, padding=padding, dilation=dilation,
                                              groups=groups)
        n, o, out, c, window = g.shape[0], g.shape[1], g.shape[2:], w.shape[1], w.shape[2:]
        wide = "float32" if g.itemsize == 2 else g.dtype
        total = self.library.zeros((n, groups * c, *[s + low + high for s, (low, high) in zip(size, padding)]), wide)
        g, matrix = g.reshape(n, groups, o // groups, prod(out)), w.reshape(groups, o // groups, c * prod(window))
        for some in self._some(n, groups * c * prod(window) * prod(out) * g.itemsize):
            columns = self.matmul(matrix, g[some], tx=True).reshape(-1, groups * c, prod(window), *out)
            for k, tap in enumerate(_reference._taps(window)):
                total[some][_reference._seen(tap, out, stride, dilation)] += columns[:, :, k]
        inside = total[(..., *[slice(low, low + s) for s, (low, _) in zip(size, padding)])]
        return inside.astype(g.dtype, copy=False)
