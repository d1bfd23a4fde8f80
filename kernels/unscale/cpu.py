"""Gradients divided by the loss scale for the CPU: one pass that looks and divides."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .reference import inverse
from .reference import unscale as reference

__all__ = ["unscale"]

GRAIN = 1_000_000  # elements worth a thread: 100 us of work


@jit(nogil=True)
def _look(low: Any, high: Any, g: Any, factor: Any, found: Any) -> None:
    g, bad = g[low:high], False
    for i in range(g.size):
        bad |= not np.abs(g[i]) < np.inf
    if bad:
        found[()] = 1.0


@jit(nogil=True)
def _divide(low: Any, high: Any, g: Any, factor: Any, found: Any) -> None:
    g, factor, bad = g[low:high], g.dtype.type(factor), False
    for i in range(g.size):
        bad |= not np.abs(g[i]) < np.inf
        g[i] *= factor
    if bad:
        found[()] = 1.0


def unscale(grads: Sequence[Any], scale: Any, *, write: bool = True, check: bool = True) -> Any:
    """See :func:`.reference.unscale`; arrays that are not contiguous float32 or float64 are left to it."""
    factor, found = inverse(scale), np.zeros((), np.float32)
    write = write and factor != 1.0
    if not (write or check):
        return None
    with np.errstate(all="ignore"):   # inf * 0
        for g in grads:
            if g is None:
                continue
            if type(g) is np.ndarray and g.dtype in (np.float32, np.float64) and g.flags.carray:
                run(_divide if write else _look, g.size, GRAIN, g.reshape(-1), factor, found)
            elif (part := reference(np, (g,), scale, write=write, check=check)) is not None:
                found[...] = max(found, part)
    return found if check else None
