"""An operation of your own with versions for the CPU and for CUDA: x sigmoid(scale x + shift), in one pass each way.

The reference defines it; the formulas are compiled for both; ``check`` compares everything, and ``bench`` times it.
"""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tensorlite as tl


def reference(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    """x sigmoid(scale x + shift), element by element."""
    return x / (1 + xp.exp(-(scale * x + shift)))


SIGMOID = """z = scale * x + shift
e = exp(-abs(z))
s = (e if z < 0 else 1) / (1 + e)
"""
backward = tl.kernel("scale_shift_silu_dx", formula=SIGMOID + "upper * s * (1 + x * scale * (1 - s))")


def vjp(g: Any, x: Any, scale: Any, shift: Any) -> tuple[Any, Any, Any]:
    """dx is a kernel's, whose arguments are its formula's names in their order; d is g x times the sigmoid's slope."""
    s = tl.sigmoid(scale * x + shift)
    d = g * x * s * (1 - s)
    return backward(scale, x, shift, g), d * x, d


scale_shift_silu = tl.kernel("scale_shift_silu", reference=reference, formula=SIGMOID + "x * s", vjp=vjp)

if __name__ == "__main__":
    device = next((a for a in sys.argv[1:] if a in ("cpu", "cuda")), "cpu")
    rng = np.random.default_rng(0)
    print(scale_shift_silu.check(*rng.normal(size=(3, 4, 5)), device=device))
    print()
    print(scale_shift_silu.bench(*rng.normal(size=(3, 1000, 1000)).astype(np.float32), device=device))
    print()
    x = tl.tensor([-1.0, 0.0, 2.0], device=device, requires_grad=True)
    scale_shift_silu(x, tl.ones_like(x), tl.zeros_like(x)).sum().backward()
    print("gradient:", x.grad)
