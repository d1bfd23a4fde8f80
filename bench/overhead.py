"""What one operation costs when there is almost nothing to compute: 4 x 4 arrays."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

CHAIN = 20


def _cases(lib: Any, tensor: Callable[[Any], Any], leaf: Callable[[Any], Any]) -> dict[str, Callable[[], Any]]:
    a = np.linspace(0.5, 1.5, 16, dtype=np.float32).reshape(4, 4)
    x, y, w = tensor(a), tensor(a), leaf(a)

    def chain() -> Any:
        z = w
        for _ in range(CHAIN // 2):
            z = lib.tanh(z) + y
        return z

    def both() -> Any:
        chain().sum().backward()
        w.grad = None
    return {"add, no gradient": lambda: x + y, "mul, recorded": lambda: w * y,
            "matmul, recorded": lambda: w @ y, "sum, recorded": lambda: w.sum(),
            f"{CHAIN} ops forward and backward": both}


def run(peers: list[str]) -> list[Result]:
    """Every case."""
    ours = _cases(tl, tl.tensor, lambda a: tl.tensor(a, requires_grad=True))
    theirs: dict[str, Any] = {}
    if "torch" in peers:
        import torch
        theirs = _cases(torch, torch.tensor, lambda a: torch.tensor(a, requires_grad=True))
    return [compare(f"op overhead: {name}", {"tensorlite": run_, **({"torch": theirs[name]} if theirs else {})})
            for name, run_ in ours.items()]
