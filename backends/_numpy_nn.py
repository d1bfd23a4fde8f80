"""NumPy's faster ways for what layers and optimizers need."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends import _numpy_normalization
from tensorlite.kernels import philox

LARGE = 1 << 22   # bytes of an embedding that several threads copy faster than one


def embedding(weight: Any, indices: Any, *, padding_idx: int | None = None) -> Any:
    """NumPy's own check would let negative indices count from the end. The kernel's threads pay for large results."""
    rows = weight.shape[0]
    if indices.size and (indices.min() < 0 or indices.max() >= rows):
        raise IndexError
    if indices.size * weight.nbytes >= LARGE * rows and (run := kernels.load("take_rows").cpu) is not None:
        return run(weight, indices)
    return weight.take(indices, 0)


def embedding_grad(g: Any, indices: Any, *, rows: int, padding_idx: int | None) -> Any:
    """The compiled kernel; without it, sorted by row (stably, so that the order is that of the indices) and summed run by run."""
    run = kernels.load("embedding_grad").cpu
    if run is not None:
        return run(g, indices, rows=rows, padding_idx=padding_idx)
    width = g.shape[indices.ndim:]
    flat, g = indices.reshape(-1), g.reshape(-1, *width)
    out = np.zeros((rows, *width), g.dtype)
    if padding_idx is not None:
        kept = np.flatnonzero(flat != padding_idx)
        flat, g = flat[kept], g[kept]
    if not flat.size:
        return out
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    wide = g.astype(np.float32) if g.dtype.itemsize == 2 else g
    out[ordered[starts]] = np.add.reduceat(wide[order], starts, axis=0)
    return out


def dropout(x: Any, *, p: float, place: tuple[int, int, int]) -> Any:
    """The compiled kernel, once enough has been drawn; the results are the same."""
    kernel = kernels.load("dropout")
    if philox.worth_compiling(x.size) and kernel.cpu is not None:
        return kernel.cpu(x, p=p, place=place)
    return kernel.reference(np, x, p=p, place=place)


def _plan(name: str) -> Any:
    def make(*states: Any) -> Any:
        kernel = kernels.load(name)
        return kernel.reference(np, *states) if kernel.cpu is None else kernel.cpu(*states)
    return make


def _kernel(name: str) -> Any:
    def run(*arrays: Any, **options: Any) -> Any:
        kernel = kernels.load(name)
        return kernel.reference(np, *arrays, **options) if kernel.cpu is None else kernel.cpu(*arrays, **options)
    return run


IMPLEMENTATIONS: dict[str, Any] = {**_numpy_normalization.IMPLEMENTATIONS, "embedding": embedding,
                                   "embedding_grad": embedding_grad, "dropout": dropout,
                                   "sgd_plan": _plan("sgd"), "adam_plan": _plan("adam"), "rmsprop_plan": _plan("rmsprop"),
                                   **{name: _kernel(name) for name in (
                                       "grad_norm", "unscale", "update_scale", "max_pool", "max_pool_grad", "resample")}}
