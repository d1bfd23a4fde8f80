"""Products on CUDA: cuBLASLt with bias, ReLU and bias gradient in the same launch, CuPy's where it does not do them."""
from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends import _cublaslt_library as lt
from tensorlite.backends._cublaslt import CublasLt

__all__ = ["Products", "table"]


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    products = Products(backend.runtime)
    return {name: getattr(products, name) for name in (
        "matmul", "linear", "linear_backward", "linear_relu", "linear_relu_backward", "einsum")}


class Products:
    """The operations of ``tensorlite.ops.contraction`` on one runtime, whose ``tf32`` says whether float32 products may round
    their factors to TF32.

    ``sum_in_product``: a bias gradient is summed by the product that reads the same matrix (BGRADB), where the library can.
    """

    sum_in_product = True

    def __init__(self, runtime: Any) -> None:
        self.runtime, self.cupy = runtime, runtime.cupy

    @cached_property
    def library(self) -> CublasLt | None:
        """cuBLASLt, loaded when first asked for."""
        try:
            return CublasLt(self.cupy)
        except (OSError, RuntimeError) as error:
            warnings.warn(f"CuPy's matmul does all products, with nothing fused into them and not in CUDA graphs: {error}",
                          RuntimeWarning, stacklevel=4)
            return None

    def fused(self, x: Any, y: Any, tx: bool = False, ty: bool = False, epilogue: int = lt.DEFAULT, bias: Any = None) -> Any:
        """:meth:`CublasLt.matmul`, or None."""
        library = self.library
        if library is None:
            return None
        return library.matmul(x, y, tx, ty, epilogue, bias, tf32=getattr(self.runtime, "tf32", False))

    def matmul(self, x: Any, y: Any, *, tx: bool = False, ty: bool = False) -> Any:
        out = self.fused(x, y, tx, ty)
        return self._by_cupy(x, y, tx, ty) if out is None else out

    def _by_cupy(self, x: Any, y: Any, tx: bool, ty: bool) -> Any:
        """What cuBLASLt does not do: other dtypes, two dtypes, nothing to sum."""
        dtype = np.result_type(x.dtype, y.dtype)
        if x.dtype != y.dtype:
            return self.matmul(x.astype(dtype, copy=False), y.astype(dtype, copy=False), tx=tx, ty=ty)
        x, y = x.swapaxes(-1, -2) if tx else x, y.swapaxes(-1, -2) if ty else y
        if 0 in x.shape or 0 in y.shape:
            return self.cupy.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]), dtype)
        return self.cupy.matmul(x, y)

    # ---- linear ------------------------------------------------------------------------------------------------------------

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        """x w^T + b in one launch."""
        if x.ndim == 1:
            return self.linear(x[None], w, b)[0]
        out = None if b is None else self.fused(x, w, False, True, lt.BIAS, b)
        if out is None:
            out = self.matmul(x, w, ty=True)
            if b is not None:
                out = self.cupy.add(out, b, out=out if out.dtype == b.dtype else None)
        return out

    def linear_relu(self, x: Any, w: Any, b: Any) -> Any:
        """max(x w^T + b, 0) in one launch."""
        if x.ndim == 1:
            return self.linear_relu(x[None], w, b)[0]
        out = self.fused(x, w, False, True, lt.RELU if b is None else lt.RELU_BIAS, b)
        if out is None:
            out = self.linear(x, w, b)
            out = self.cupy.maximum(out, 0, out=out)
        return out

    def linear_backward(self, g: Any, x: Any, w: Any, *, needs: tuple[bool, ...]) -> list[Any]:
        """(g w, g^T x, the sum of g's rows), as far as they are needed; the sum in the launch of g^T x."""
        rows, inputs = self._rows(g), self._rows(x)
        out = []
        if needs[0]:
            dx = self.matmul(rows, w)
            out.append(dx if x.ndim == 2 else dx.reshape(x.shape))
        if needs[1]:
            db = self.cupy.empty(rows.shape[1:], g.dtype) if needs[2] and self.sum_in_product else None
            dw = None if db is None else self.fused(rows, inputs, True, False, lt.BGRADB, db)
            if dw is not None:
                return [*out, dw, db]
            out.append(self.matmul(rows, inputs, tx=True))
        if needs[2]:
            out.append(self._bias_gradient(rows, None, "none")[1])
        return out

    def linear_relu_backward(self, g: Any, x: Any, w: Any, y: Any, *, needs: tuple[bool, ...]) -> list[Any]:
        """The same of ``linear_relu``, whose result was y: one pass masks g and sums its rows, then the two products."""
        dz, db = self._bias_gradient(g, y, "relu", needs_db=needs[2])
        out = self.linear_backward(dz, x, w, needs=(needs[0], needs[1], False))
        return [*out, db] if needs[2] else out

    def _rows(self, x: Any) -> Any:
        """Every axis but the last as one. What was broadcast is written out, once for all products that read it."""
        if 0 in x.strides:
            x = self.cupy.ascontiguousarray(x)
        return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

    def _bias_gradient(self, g: Any, saved: Any, activation: str, needs_db: bool = True) -> Any:
        """The gradient behind an activation function, and its sum over the rows."""
        kernel = kernels.load("bias_activation_backward")
        run = partial(kernel.reference, self.runtime.xp) if kernel.cuda is None else partial(kernel.cuda, self.runtime)
        return run(g, saved, activation=activation, needs_db=needs_db)

    # ---- einsum ------------------------------------------------------------------------------------------------------------

    def einsum(self, *operands: Any, equation: str) -> Any:
        """By pairs, each a product of matrices."""
        left, right = equation.split("->")
        terms = left.split(",")
        shapes = tuple([tuple(x.shape) for x in operands])
        if len(operands) == 1:
            return self.cupy.einsum(equation, *operands)
        parts = list(zip(terms, operands))
        for chosen in _path(equation, shapes):
            group = [parts.pop(i) for i in sorted(chosen, reverse=True)]
            while len(group) > 1:
                wanted = right + "".join(term for term, _ in (*group[2:], *parts))
                group[:2] = [self._pair(group[0], group[1], wanted)]
            parts += group
        term, out = parts[0]
        return out if term == right else self.cupy.einsum(f"{term}->{right}", out)

    def _pair(self, one: tuple[str, Any], other: tuple[str, Any], wanted: str) -> tuple[str, Any]:
        """The product of two operands, summed over the letters that neither ``wanted`` nor anything else names."""
        lengths: dict[str, int] = {}
        for term, x in (one, other):
            for letter, n in zip(term, x.shape):
                lengths[letter] = n if lengths.get(letter, 1) == 1 else lengths[letter]
        (s, x), (t, y) = (self._plain(term, x, lengths, wanted + rest) for (term, x), rest in ((one, other[0]), (other, one[0])))
        batch = [c for c in s if c in t and c in wanted]
        inner = [c for c in s if c in t and c not in wanted]
        rows, columns = [c for c in s if c not in t], [c for c in t if c not in s]

        def matrices(term: str, x: Any, *groups: list[str]) -> Any:
            x = x.transpose([term.index(c) for group in groups for c in group])
            return x.reshape([lengths[c] for c in batch] + [math.prod([lengths[c] for c in group]) for group in groups[1:]])

        out = self.matmul(matrices(s, x, batch, rows, inner), matrices(t, y, batch, inner, columns))
        letters = [*batch, *rows, *columns]
        return "".join(letters), out.reshape([lengths[c] for c in letters])

    def _plain(self, term: str, x: Any, lengths: dict[str, int], elsewhere: str) -> tuple[str, Any]:
        """The operand with each letter once: diagonals taken, axes that only broadcast dropped, letters of nobody else summed."""
        keep = "".join(dict.fromkeys(c for c, n in zip(term, x.shape) if n == lengths[c] and c in elsewhere))
        return keep, x if keep == term else self.cupy.einsum(f"{term}->{keep}", x)


@lru_cache(maxsize=1024)
def _path(equation: str, shapes: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """Which operands to multiply in turn, as NumPy finds it."""
    views = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    path: list[tuple[int, ...]] = np.einsum_path(equation, *views, optimize="greedy")[0][1:]
    return path
