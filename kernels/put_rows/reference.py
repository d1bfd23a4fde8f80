"""Rows written where indices say, in plain array code: the oracle of the compiled version."""
from __future__ import annotations

from typing import Any

from ..check_indices.reference import check_indices

__all__ = ["put_rows"]


def put_rows(xp: Any, x: Any, v: Any, indices: Any, *, wrap: bool = False, what: str = "put_rows") -> Any:
    """A copy of ``x`` (n, ...) with ``out[indices[k]] = v[k]`` for k in order: of several for one row the last one stays.

    ``v`` is (k, ...) for (k,) indices. ``wrap`` and errors: see :func:`...take_rows.reference.take_rows`.
    """
    rows = x.shape[0]
    check_indices(xp, indices, low=-rows if wrap else 0, high=rows, what=what, axis=0, shape=tuple(x.shape))
    out = xp.asarray(x, copy=True)
    for k in range(indices.shape[0]):
        out[int(indices[k]), ...] = v[k, ...]
    return out
