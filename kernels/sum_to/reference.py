"""Sums to a broadcast shape in plain array code, and how the compiled versions take them apart."""
from __future__ import annotations

from itertools import groupby
from math import prod
from typing import Any

from .._half import is_half

__all__ = ["steps", "sum_to"]


def sum_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    """The sum over the axes along which broadcasting ``shape`` to x's shape repeats it: (N, C) -> (C,), (N, C, H) -> (1, C, 1).

    float16 and bfloat16 are summed in float32. Raises ``ValueError`` if ``shape`` does not broadcast to x's.
    """
    axes = _repeated(tuple(x.shape), tuple(shape))
    if not axes:
        return xp.reshape(x, shape)
    if is_half(x):
        return xp.reshape(xp.astype(xp.sum(xp.astype(x, xp.float32), axis=axes), x.dtype), shape)
    return xp.reshape(xp.sum(x, axis=axes, dtype=x.dtype), shape)


def _repeated(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...]:
    extra = len(shape) - len(to)
    if extra < 0 or any(m not in (1, n) for n, m in zip(shape[extra:], to)):
        raise ValueError(f"sum_to: shape {to} does not broadcast to x's shape, {shape}")
    return (*range(extra), *(a for a, m in enumerate(to, extra) if m == 1 and shape[a] != 1))


def steps(shape: tuple[int, ...], to: tuple[int, ...]) -> list[tuple[str, int, int, int]]:
    """The sum as a few sums over one or two axes of three, each over the result of the one before.

    ``("columns", k, r, c)``: (k, r, c) -> (k, c). ``("rows", r, k, l)``: (r, k, l) -> (k,). Empty if nothing is to be summed.

    >>> steps((64, 32, 28, 28), (1, 32, 1, 1)), steps((8, 512), (512,)), steps((8, 4, 6, 5), (8, 1, 6, 1))
    ([('rows', 64, 32, 784)], [('columns', 1, 8, 512)], [('rows', 1, 192, 5), ('columns', 8, 4, 6)])
    """
    repeated = set(_repeated(shape, to))
    axes = [(n, a in repeated) for a, n in enumerate(shape) if n != 1]
    runs = [(prod(n for n, _ in run), summed) for summed, run in groupby(axes, key=lambda axis: axis[1])]
    out: list[tuple[str, int, int, int]] = []
    while any(summed for _, summed in runs):
        lengths, kinds = [n for n, _ in runs], [summed for _, summed in runs]
        if kinds == [True, False, True]:
            return [*out, ("rows", *lengths)]   # type: ignore[list-item]
        last = len(runs) - 1 - kinds[::-1].index(True)
        before = prod(lengths[:last])
        if last == len(runs) - 1:
            out.append(("rows", 1, before, lengths[last]))
            runs.pop()
        else:
            out.append(("columns", before, lengths[last], lengths[last + 1]))
            runs[last - (last > 0):last + 2] = [(prod(lengths[max(last - 1, 0):last]) * lengths[last + 1], False)]
    return out
