"""bfloat16 in NumPy (by ml_dtypes): beside a Python number it becomes float32, so operations that use numbers inside run in
float32 and round once, at the end. Numbers that are arguments need none of this: the engine makes them bfloat16 first."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ROUNDED_ONCE = {"clip", "einsum", "elu", "erfinv", "exp_base", "gelu", "gelu_tanh", "hardtanh", "leaky_relu", "pow_scalar",
                "softplus", "vecdot"}


def _wide(value: Any) -> Any:
    return value.astype(np.float32) if value.__class__ is np.ndarray and value.dtype.kind == "V" else value


def rounded_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, computed in float32 where its first array is bfloat16."""
    def run(x: Any, *more: Any, **options: Any) -> Any:
        if x.dtype.kind != "V":
            return function(x, *more, **options)
        out = function(_wide(x), *map(_wide, more), **options)
        return out.astype(x.dtype) if out.dtype.kind == "f" else out
    return run
