"""Convolution on CUDA: cuDNN where its frontend is installed, else columns and cuBLASLt."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

from tensorlite.backends._columns import Columns
from tensorlite.backends._cuda_contraction import Products
from tensorlite.backends._cudnn import Cudnn
from tensorlite.kernels._convolution import out_size

__all__ = ["Convolutions", "table"]

BLOCK = 128 << 20   # bytes of windows copied at once
INSTALL = 'pip install "tensorlite[cudnn12]" for CUDA 12, "tensorlite[cudnn13]" for CUDA 13'


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    convolutions = Convolutions(backend)
    return {name: getattr(convolutions, name) for name in ("conv", "conv_input_grad", "conv_weight_grad")}


class Convolutions:
    """The operations of ``tensorlite.ops.convolution`` on one backend."""

    def __init__(self, backend: Any) -> None:
        self.runtime, self.cupy = backend.runtime, backend.cupy
        self.columns = Columns(backend.cupy, backend.xp, Products(backend.runtime).matmul, BLOCK,
                               ("float16", "bfloat16", "float32", "float64", "complex64", "complex128"))

    @cached_property
    def library(self) -> Cudnn | None:
        """cuDNN, loaded when first asked for."""
        try:
            return Cudnn(self.cupy)
        except (ImportError, OSError, RuntimeError) as error:
            warnings.warn(f"convolutions copy windows into columns and are slow: cuDNN cannot be used ({error}); {INSTALL}",
                          RuntimeWarning, stacklevel=5)
            return None

    @property
    def _tf32(self) -> bool:
        return bool(getattr(self.runtime, "tf32", False))

    def conv(self, x: Any, w: Any, b: Any, *, groups: int, **options: Any) -> Any:
        """x with w, plus b, in one launch."""
        if self.library is not None:
            out = tuple([out_size(*axis) for axis in zip(x.shape[2:], w.shape[2:], options["stride"], options["padding"],
                                                         options["dilation"])])
            found = self.library.fprop(x, w, b, out, self._tf32, **options)
            if found is None and b is not None:   # no plan has the bias in it
                found = self.library.fprop(x, w, None, out, self._tf32, **options)
                if found is not None and b.dtype == found.dtype:
                    found += b.reshape(-1, *(1,) * (x.ndim - 2))
                elif found is not None:
                    found = found + b.reshape(-1, *(1,) * (x.ndim - 2))
            if found is not None:
                return found
        return self.columns.conv(x, w, b, groups=groups, **options)

    def conv_input_grad(self, g: Any, w: Any, *, size: Any, groups: int, **options: Any) -> Any:
        """The gradient by x."""
        found = None if self.library is None else self.library.dgrad(g, w, size, self._tf32, groups=groups, **options)
        return self.columns.conv_input_grad(g, w, size=size, groups=groups, **options) if found is None else found

    def conv_weight_grad(self, g: Any, x: Any, *, window: Any, groups: int, **options: Any) -> Any:
        """The gradient by w."""
        found = None if self.library is None else self.library.wgrad(g, x, window, self._tf32, groups=groups, **options)
        return self.columns.conv_weight_grad(g, x, window=window, groups=groups, **options) if found is None else found
