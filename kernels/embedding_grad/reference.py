"""The gradient of a look-up table in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from math import prod
from typing import Any

from .._half import is_half

__all__ = ["embedding_grad"]


def embedding_grad(xp: Any, g: Any, indices: Any, *, rows: int, padding_idx: int | None = None) -> Any:
    """``out[indices[i]] += g[i]`` for all i, on zeros of ``rows`` rows; ``g`` has the shape of ``indices`` and then a row's.

    Rows whose index is ``padding_idx`` count for nothing; half precision is summed in float32. The indices must be within 0 and
    ``rows``. As a product with a matrix of zeros and ones, so that the standard's functions do and the order of summation is '
                                                                                'fixed.
    """
    width = tuple(g.shape[indices.ndim:])
    flat, rest = xp.reshape(indices, (-1,)), xp.reshape(g, (indices.size, prod(width)))
    if is_half(g):
        rest = xp.astype(rest, xp.float32)
    hit = xp.arange(rows, dtype=flat.dtype)[:, None] == flat[None, :]
    if padding_idx is not None:
        hit = hit & (flat != padding_idx)[None, :]
    out = xp.matmul(xp.astype(hit, rest.dtype), rest)
    return xp.reshape(xp.astype(out, g.dtype, copy=False), (rows, *width))
