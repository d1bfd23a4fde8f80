"""bfloat16 in CuPy 14, which has few functions for it and makes float32 of it in others: such operations run in float32 here, and
round once, at the end. The fused kernels take it as it is."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROUNDED_ONCE = frozenset({
    "argmax", "argmin", "argsort", "argtopk", "bincount", "clip", "cumprod", "cumsum", "einsum", "erfinv", "exp_base", "hardtanh",
    "log_softmax", "log_softmax_grad", "logsumexp", "logsumexp_weights", "max", "mean", "min", "pow_scalar", "prod", "round",
    "searchsorted", "shares", "softmax", "softmax_grad", "sort", "std", "sum", "tril", "triu", "var", "vecdot", "vector_norm",
    "unique_all", "unique_counts", "unique_inverse", "unique_values", "where",
})


def rounded_once(function: Callable[..., Any], array_type: Any) -> Callable[..., Any]:
    """``function``, computed in float32 where an argument is bfloat16."""
    def wide(value: Any) -> Any:
        return value.astype("float32") if value.__class__ is array_type and value.dtype.kind == "V" else value

    def run(*args: Any, **options: Any) -> Any:
        low = None
        for a in args:
            if a.__class__ is array_type:
                if a.dtype.kind == "V":
                    low = a.dtype
                elif a.dtype.kind == "f":   # promotes it anyway
                    low = None
                    break
        if low is None:
            return function(*args, **options)
        out = function(*map(wide, args), **options)
        if out.__class__ is tuple:
            return tuple([o.astype(low) if o.dtype.kind == "f" else o for o in out])
        return out.astype(low) if out.dtype.kind == "f" else out
    return run
