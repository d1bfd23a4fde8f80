"""What runs each operation on CUDA: the fused kernels, and CuPy's functions where the standard's composition would do worse.

Everything else runs its reference on :class:`~tensorlite.backends._cuda_namespace.Namespace`.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tensorlite import kernels
from tensorlite.backends import (
    _cuda_complex,
    _cuda_contraction,
    _cuda_convolution,
    _cuda_indexing,
    _cuda_linalg,
    _cuda_normalization,
    _cuda_scatter,
)

# operation -> kernel, where the host code takes the operation's own arguments
_KERNELS = ("sigmoid", "sigmoid_backward", "relu_backward", "embedding_grad", "dropout", "philox", "grad_norm", "unscale",
            "update_scale", "sum_to", "gather_batch", "augment_batch", "take_rows", "max_pool", "max_pool_grad", "resample")
_PLANS = ("sgd", "adam", "rmsprop")


def kernel(runtime: Any, name: str) -> Callable[..., Any] | None:
    """The CUDA version of a kernel with its first argument given; None where it has none."""
    run = kernels.load(name).cuda if name in kernels.names() else None
    return None if run is None else partial(run, runtime)


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    runtime, xp, cupy = backend.runtime, backend.xp, backend.cupy
    found: dict[str, Callable[..., Any] | None] = {name: kernel(runtime, name) for name in _KERNELS}
    run_sigmoid: Any = found["sigmoid"]
    found |= {f"{name}_plan": kernel(runtime, name) for name in _PLANS}
    found |= _cuda_contraction.table(backend) | _cuda_convolution.table(backend)
    found |= _cuda_indexing.table(backend) | _cuda_scatter.table(backend)
    found |= _cuda_linalg.table(backend)
    found |= _cuda_normalization.table(backend) | _losses(backend) | _cuda_complex.table(backend)

    def sigmoid(x: Any) -> Any:
        if x.dtype.kind == "c":
            return 1 / (1 + cupy.exp(-x))
        return run_sigmoid(x.astype("float64") if x.dtype.kind in "biu" else x)

    def cast(x: Any, *, dtype: Any) -> Any:
        return (x.real if x.dtype.kind == "c" and dtype.kind in "iuf" else x).astype(dtype, copy=False)

    def clip(x: Any, *, low: Any, high: Any) -> Any:
        out = x if low is None else cupy.maximum(x, low)
        return out if high is None else cupy.minimum(out, high)

    def whole(function: Any) -> Any:   # CuPy 13 makes floats of integers
        return lambda x: x.copy(order="K") if x.dtype.kind in "biu" else function(x)

    def truth(function: Any) -> Any:   # CuPy's take no complex numbers
        def run(*args: Any) -> Any:
            return function(*[a != 0 if getattr(getattr(a, "dtype", None), "kind", "") == "c" or a.__class__ is complex else a
                              for a in args])
        return run

    found |= {name: whole(getattr(cupy, name)) for name in ("floor", "ceil", "trunc")}
    found |= {name: truth(getattr(cupy, name)) for name in ("logical_and", "logical_or", "logical_xor", "logical_not")}
    found |= {
        "sigmoid": sigmoid, "reciprocal": lambda x: 1 / x if x.dtype.kind in "biu" else cupy.reciprocal(x),
        "relu": lambda x: cupy.maximum(x, 0), "clip": clip, "hardtanh": clip, "square": cupy.square, "exp2": cupy.exp2,
        "rsqrt": lambda x: 1 / cupy.sqrt(x), "fmod": cupy.fmod, "clone": lambda x: x.copy(order="K"),
        "contiguous": lambda x: x.copy(order="C"), "zeros_of": lambda x, *, shape: xp.zeros(shape, dtype=x.dtype),
        "cast": cast,
    }
    return {name: run for name, run in found.items() if run is not None}


def _losses(backend: Any) -> dict[str, Callable[..., Any] | None]:
    fused = kernel(backend.runtime, "softmax_cross_entropy")
    if fused is None:
        return {}

    def cross_entropy(logits: Any, labels: Any, weight: Any, **options: Any) -> Any:
        return fused(logits, labels, weight=weight, **options)

    def loss_alone(logits: Any, labels: Any, weight: Any, **options: Any) -> Any:
        return fused(logits, labels, weight=weight, want_grad=False, **options)[0]

    def scale_rows(g: Any, grad: Any) -> Any:
        if backend.is_unit(g):   # the cotangent of the loss itself
            return grad
        return g * grad if g.ndim == 0 else g.reshape(-1, 1) * grad
    return {"softmax_cross_entropy": cross_entropy, "cross_entropy_loss": loss_alone, "scale_rows": scale_rows}
