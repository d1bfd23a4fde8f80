"""NumPy's faster ways for what layers and optimizers need."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import kernels
from tensorlite.backends import _numpy_normalization
from tensorlite.kernels import philox


def embedding(weight: Any, indices: Any, *, padding_idx: int | None = None) -> Any:
    """NumPy's own check would let negative indices count from the end."""
    rows = weight.shape[0]
    if indices.size and (indices.min() < 0 or indices.max() >= rows):
        raise IndexError
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
    """One scaled copy, and zeros where the mask says so."""
    if p == 1:
        return np.zeros_like(x)
    seed, stream, offset = place
    mask = philox.on_host(kind="bernoulli", shape=x.shape, dtype="bool", p=1.0 - p, seed=seed, stream=stream, offset=offset)
    return np.where(mask, np.multiply(x, x.dtype.type(1.0 / (1.0 - p))), x.dtype.type(0))


def _plan(name: str) -> Any:
    def make(*states: Any) -> Any:
        kernel = kernels.load(name)
        return kernel.reference(np, *states) if kernel.cpu is None else kernel.cpu(*states)
    return make


IMPLEMENTATIONS: dict[str, Any] = {**_numpy_normalization.IMPLEMENTATIONS, "embedding": embedding,
                                   "embedding_grad": embedding_grad, "dropout": dropout,
                                   "sgd_plan": _plan("sgd"), "adam_plan": _plan("adam"), "rmsprop_plan": _plan("rmsprop")}
