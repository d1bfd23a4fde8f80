"""Triangular systems where the array library has no solver for them: block by block."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

BLOCK = 64


def substitute(library: Any, solve: Callable[..., Any], triangle: Callable[..., Any], a: Any, b: Any, *, upper: bool,
               unit: bool) -> Any:
    """x with T x = b, T the triangle of a (with ones on its diagonal, if ``unit``), as ``triangle(block, upper, unit)`` makes it
    of a block. ``library`` is NumPy or CuPy.

    The blocks on the diagonal are solved by LU factors, what is beside them goes by products; batch axes broadcast.
    """
    n = a.shape[-1]
    if n <= BLOCK:
        return solve(triangle(a, upper, unit), b)
    batch = library.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = library.empty((*batch, *b.shape[-2:]), library.result_type(a, b))
    starts = range(0, n, BLOCK)
    for start in reversed(starts) if upper else starts:
        stop = min(start + BLOCK, n)
        known = slice(stop, n) if upper else slice(0, start)
        rest = b[..., start:stop, :]
        if known.start != known.stop:
            rest = rest - a[..., start:stop, known] @ x[..., known, :]
        x[..., start:stop, :] = solve(triangle(a[..., start:stop, start:stop], upper, unit), rest)
    return x
