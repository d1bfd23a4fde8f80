"""Gradients divided by the loss scale on CUDA: one launch for all of them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._cuda import Runtime, Source
from .._cuda.plans import THREADS

__all__ = ["SOURCE", "unscale"]

SOURCE = Source(__file__, "kernel.cu")


def unscale(runtime: Runtime, grads: Sequence[Any], scale: Any, *, write: bool = True, check: bool = True) -> Any:
    """See :func:`.reference.unscale`. ``scale`` is on the device and is not waited for."""
    cupy = runtime.cupy
    if all(g is None for g in grads):
        return cupy.zeros((), cupy.float32) if check else None
    found = cupy.empty((), cupy.float32) if check else None
    table = runtime.lists.find(grads)
    table.fill(grads)
    for _, blocks, places, chunk in table.launches:
        runtime.function(SOURCE, "unscale")((blocks,), (THREADS,), (
            table.words, len(grads), places, chunk, scale, scale.dtype.itemsize, 0 if found is None else found, table.scratch,
            int(write)))
    if write:
        table.give_back(grads)
    return found
