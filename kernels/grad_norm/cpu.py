"""The norm of all gradients for the CPU: BLAS dot products."""
from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np

__all__ = ["grad_norm"]


def _norm(g: Any) -> float:
    """The norm of one array; what overflows or vanishes on the way is scaled first."""
    g = g.reshape(-1)
    if g.dtype not in (np.float32, np.float64):
        g = g.astype(np.float64)
    total = float(np.dot(g, g))
    if isfinite(total) and total >= 1e-30:
        return sqrt(total)
    top = float(np.abs(g).max())
    g = g / top if 0 < top < inf else g
    return top * sqrt(float(np.dot(g, g))) if 0 < top < inf else top


def grad_norm(grads: Sequence[Any], *, max_norm: float = inf) -> tuple[Any, Any]:
    """See :func:`.reference.grad_norm`."""
    with np.errstate(all="ignore"):
        norms = [_norm(g) for g in grads if g.size]
        top = max(norms, default=0.0)
        norm = np.float64(top * sqrt(sum((n / top) ** 2 for n in norms)) if 0 < top < inf else sum(norms))
        return np.asarray(norm), np.asarray(np.maximum(1.0, (norm + 1e-6) / np.float64(max_norm)))
