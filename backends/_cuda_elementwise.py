"""Elementwise operations whose references are several array operations, as one kernel each."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tensorlite._state import current
from tensorlite.kernels._cuda.pointwise import Pointwise

_MASKED = "A p = {}; return p != p && g == A(0) ? A(0) : p;"   # what the reference's rule for zero cotangents says
_GAUSS = "A(0.39894228040143267794) * exp(A(-0.5) * x * x)"
_LOGISTIC = "A e = exp(-fabs(x)), s = (x < A(0) ? e : A(1)) / (A(1) + e); "
_HALF_ROOT, _CUBIC, _SCALE = "A(0.70710678118654752440)", "A(0.044715)", "A(0.79788456080286535588)"

FORMULAS = {f.name: f for f in (
    Pointwise("chain", "g d", _MASKED.format("g * d")),
    Pointwise("chain_div", "g d", _MASKED.format("g / d")),
    Pointwise("tanh_backward", "g y", "return g * (A(1) - y * y);"),
    Pointwise("relu", "x", "return x > A(0) || x != x ? x : A(0);"),
    Pointwise("leaky_relu", "x", "return x > A(0) ? x : x * slope;", "slope"),
    Pointwise("elu", "x", "return x > A(0) ? x * scale : expm1(x * rate) * alpha * scale;", "alpha scale rate"),
    Pointwise("silu", "x", _LOGISTIC + "return x * s;"),
    Pointwise("softplus", "x", "A z = x * beta; return z > threshold ? x : (fmax(z, A(0)) + log1p(exp(-fabs(z)))) / beta;",
              "beta threshold"),
    Pointwise("logsigmoid", "x", "return fmin(x, A(0)) - log1p(exp(-fabs(x)));"),
    Pointwise("gelu", "x", f"return A(0.5) * x * erfc(-x * {_HALF_ROOT});"),
    Pointwise("gelu_tanh", "x", f"return A(0.5) * x * (A(1) + tanh({_SCALE} * (x + {_CUBIC} * x * x * x)));"),
    Pointwise("erf", "x", "return erf(x);"),
    Pointwise("erfc", "x", "return erfc(x);"),
)}


# what the gradient of an activation function is multiplied with
SLOPES = {kind: Pointwise(f"{kind}_backward", "g x", body + " " + _MASKED.format("g * slope")) for kind, body in {
    "silu": _LOGISTIC + "A slope = s * (A(1) + x * (A(1) - s));",
    "gelu": f"A slope = A(0.5) * erfc(-x * {_HALF_ROOT}) + x * {_GAUSS};",
    "gelu_tanh": f"A t = tanh({_SCALE} * (x + {_CUBIC} * x * x * x)); A slope = A(0.5) * (A(1) + t)"
                 f" + A(0.5) * {_SCALE} * x * (A(1) + A(3) * {_CUBIC} * x * x) * (A(1) - t * t);",
}.items()}


def slope(backend: Any, reference: Callable[..., Any]) -> Callable[..., Any]:
    """``activation_backward``."""
    def run(g: Any, x: Any, *, kind: str) -> Any:
        out = None if current().strict_nan or kind not in SLOPES else SLOPES[kind](backend.runtime, g, x)
        return reference(g, x, kind=kind) if out is None else out
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
