"""0 x inf: where the gradient that flows in is zero, the local derivative does not matter, even if it is infinite."""
from __future__ import annotations

from typing import Any

import tensorlite as tl


def safe_sqrt(a: Any) -> Any:
    """sqrt(a) where a > 0, else a. At 0 the branch not taken has an infinite derivative."""
    return tl.where(a > 0, tl.sqrt(a), a)


if __name__ == "__main__":
    zero = tl.tensor(0.0)
    print("d/da where(a > 0, sqrt(a), a) at 0:  ", tl.grad(safe_sqrt)(zero))
    with tl.config(strict_nan=True):
        print("with strict_nan, as elsewhere:       ", tl.grad(safe_sqrt)(zero))
    print("gradient of norm(x) at 0:            ", tl.grad(lambda x: x.norm())(tl.zeros(3)))
    print("gradient of where(x > 0, x ** 0.5, x):", tl.grad(lambda x: tl.where(x > 0, x ** 0.5, x).sum())(tl.tensor([0.0, 4.0])))
