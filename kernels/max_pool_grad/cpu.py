"""The gradient of max pooling for the CPU: a plane is cleared and filled while it is in the nearest cache."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._math import jit
from .._parallel import run
from .._windows import back, laid_out, same_layout
from .reference import max_pool_grad as reference

__all__ = ["max_pool_grad"]

GRAIN = 100_000   # elements worth a thread: 100 us of work


@jit(nogil=True)
def _planes(low: Any, high: Any, g: Any, index: Any, out: Any) -> None:
    for n in range(low, high):
        plane, values, places = out[n], g[n], index[n]
        for p in range(plane.size):
            plane[p] = 0
        for o in range(values.size):
            plane[places[o]] += values[o]


@jit(nogil=True)
def _channels(low: Any, high: Any, g: Any, index: Any, out: Any) -> None:
    for n in range(low, high):
        image, values, places = out[n], g[n], index[n]
        for p in range(image.shape[0]):
            for c in range(image.shape[1]):
                image[p, c] = 0
        for o in range(values.shape[0]):
            for c in range(values.shape[1]):
                image[places[o, c], c] += values[o, c]


def max_pool_grad(g: Any, index: Any, *, windows: tuple[Any, ...]) -> Any:
    """See :func:`.reference.max_pool_grad`; other dtypes than float32 and float64 are left to it. Channels last stay so."""
    axes, dtype = len(windows), g.dtype
    if dtype.char not in "fd" or index.dtype != np.int32 or not g.size:
        return reference(np, g, index, windows=windows)
    places, last, outer, _, inner = laid_out(index, axes, np.ascontiguousarray)
    g = same_layout(g, axes, last, np.ascontiguousarray)
    sizes = tuple([w.size for w in windows])
    size = prod(sizes)
    if last:
        out = np.empty((*places.shape[:-axes - 1], *sizes, inner), dtype)
        run(_channels, outer, max(1, GRAIN // (size * inner)), g.reshape(outer, -1, inner), places.reshape(outer, -1, inner),
            out.reshape(outer, size, inner))
        return back(out, axes, True)
    out = np.empty((*g.shape[:-axes], *sizes), dtype)
    run(_planes, outer, max(1, GRAIN // size), g.reshape(outer, -1), places.reshape(outer, -1), out.reshape(outer, size))
    return out
