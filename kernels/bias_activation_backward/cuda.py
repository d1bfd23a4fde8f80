"""The gradient of a bias and an activation function on CUDA: g and what was saved are read once, the bias's sums on the way.

The sums are taken in an order that depends on the shape alone: equal on every device, and from run to run.
"""
from __future__ import annotations

from functools import cache
from math import gcd
from typing import Any

from .._cuda import Runtime, Source, suffix
from ..bias_activation.reference import ACTIVATIONS
from .reference import FROM_OUTPUT, check_backward
from .reference import bias_activation_backward as reference

__all__ = ["SOURCES", "SUMS", "bias_activation_backward", "geometry"]

SOURCES = {name: Source(__file__, "kernel.cu", options=(f"-DACTIVATION=act_{name}",)) for name in ACTIVATIONS}
SUMS = Source(__file__, "sums.cu")
BLOCKS = 512      # four for each multiprocessor of the largest devices, which saturates their memory
WARPS = 8         # of a block


@cache
def geometry(rows: int, columns: int, width: int) -> tuple[int, int, int]:
    """(rows taken as one, strips of 32 packs, parts of the rows) for packs of ``width`` numbers.

    As many rows as make a whole number of packs; more where that leaves fewer lanes idle in the last strip.
    """
    least, strip = width // gcd(columns, width), 32 * width
    first = max(least, strip // columns // least * least)
    idle = lambda times: -(times * columns) % strip / (times * columns)
    choices = range(first, first + 16 * least, least)
    times = next((t for t in choices if idle(t) < 0.1), 0) or min(choices, key=idle)
    times = min(times, rows)
    strips = -(-times * columns // strip)
    return times, strips, max(1, min(BLOCKS // strips, -(-rows // times) // (2 * WARPS)))


def bias_activation_backward(runtime: Runtime, g: Any, saved: Any, b: Any = None, *, activation: str = "none",
                             needs_db: bool = True) -> tuple[Any, Any]:
    """See :func:`.reference.bias_activation_backward`; dtypes but float16, bfloat16, float32 and float64 are left to it."""
    check_backward(g, saved, b, activation, needs_db)
    plain = activation == "none"
    b = None if activation in FROM_OUTPUT else b
    kind = suffix(*(a for a in (g, None if plain else saved, b) if a is not None))
    if kind is None or not g.size:
        return reference(runtime.xp, g, saved, b, activation=activation, needs_db=needs_db)
    if plain and not needs_db:
        return g, None
    cupy, shape, columns = runtime.cupy, g.shape, g.shape[-1] if g.ndim else 1
    times, strips, parts = geometry(g.size // columns, columns, 16 // g.dtype.itemsize)
    period = times * columns
    partial = cupy.empty((parts * times, columns), "float64" if kind == "f64" else "float32") if needs_db else 0
    given = runtime.contiguous(g)
    kept = given if plain else runtime.contiguous(saved)
    dx = 0 if plain else cupy.empty(shape, g.dtype)
    bias = 0 if b is None else runtime.contiguous(b)
    runtime.function(SOURCES[activation], f"bias_activation_backward_{kind}")(
        (strips * parts,), (32 * WARPS,), (dx, partial, given, kept, bias, g.size, columns, -(-g.size // period), period, parts))
    db = None
    if needs_db:
        db = cupy.empty((columns,), g.dtype)
        runtime.function(SUMS, f"bias_activation_backward_sum_{kind}")(
            (-(-columns // 32),), (256,), (db, partial, parts * times, columns))
    return (g if plain else dx), db
