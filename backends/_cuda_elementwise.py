"""Elementwise operations whose references are several array operations, as one kernel each."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tensorlite import kernels
from tensorlite._state import current
from tensorlite.kernels._cuda import suffix
from tensorlite.kernels._cuda.pointwise import Pointwise

_MASKED = "A p = {}; return p != p && g == A(0) ? A(0) : p;"   # what the reference's rule for zero cotangents says

FORMULAS = {f.name: f for f in (
    Pointwise("chain", "g d", _MASKED.format("g * d")),
    Pointwise("chain_div", "g d", _MASKED.format("g / d")),
    Pointwise("tanh_backward", "g y", "return g * (A(1) - y * y);"),
    Pointwise("relu", "x", "return x > A(0) || x != x ? x : A(0);"),
    Pointwise("leaky_relu", "x", "return x > A(0) ? x : x * slope;", "slope"),
    Pointwise("elu", "x", "return x > A(0) ? x * scale : expm1(x * rate) * alpha * scale;", "alpha scale rate"),
    Pointwise("softplus", "x", "A z = x * beta; return z > threshold ? x : (fmax(z, A(0)) + log1p(exp(-fabs(z)))) / beta;",
              "beta threshold"),
    Pointwise("logsigmoid", "x", "return fmin(x, A(0)) - log1p(exp(-fabs(x)));"),
    Pointwise("erf", "x", "return erf(x);"),
    Pointwise("erfc", "x", "return erfc(x);"),
)}


ACTIVATIONS = ("gelu", "gelu_tanh", "silu", "activation_backward")


def activation(backend: Any, name: str, reference: Callable[..., Any]) -> Callable[..., Any]:
    """``gelu`` and its like, and ``activation_backward``, by the kernels that also add a bias."""
    forward, backward = (kernels.load(k).cuda for k in ("bias_activation", "bias_activation_backward"))
    assert forward is not None and backward is not None
    runtime = backend.runtime
    if name != "activation_backward":
        return lambda x: forward(runtime, x, activation=name) if suffix(x) else reference(x)

    def run(g: Any, x: Any, *, kind: str) -> Any:
        if current().strict_nan or suffix(g, x) is None or g.shape != x.shape:
            return reference(g, x, kind=kind)
        return backward(runtime, g, x, activation=kind, needs_db=False)[0]
    return run


def fused(backend: Any, name: str, reference: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel where it takes the arguments, else ``reference`` (of arrays alone)."""
    formula, runtime = FORMULAS[name], backend.runtime
    otherwise = _masked(backend, name) if name in ("chain", "chain_div") else reference

    @wraps(otherwise)
    def run(*arrays: Any, **options: Any) -> Any:
        out = formula(runtime, *arrays, **options)
        return otherwise(*arrays, **options) if out is None else out

    if name not in ("chain", "chain_div"):
        return run
    product = backend.cupy.multiply if name == "chain" else backend.cupy.divide
    return lambda g, d: product(g, d) if current().strict_nan else run(g, d)


def _masked(backend: Any, name: str) -> Callable[..., Any]:
    """``chain`` and ``chain_div`` of arrays that broadcast, or of a number; the reference looks for a NaN on the host."""
    cupy = backend.cupy
    product = cupy.multiply if name == "chain" else cupy.divide

    def run(g: Any, d: Any) -> Any:
        out = product(g, d)
        if d.__class__ in (int, float) and d - d == 0 and d != 0:   # finite and not 0: a zero stays one
            return out
        return cupy.where(cupy.logical_and(out != out, g == 0), out.dtype.type(0), out)
    return run
