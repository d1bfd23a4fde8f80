"""Dropout. It keeps no mask: backward recomputes it from its place in the random sequence."""
from __future__ import annotations

from math import prod
from typing import Any

from tensorlite import _philox, backends
from tensorlite._philox import RandomError
from tensorlite._state import current
from tensorlite.engine import batching
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import new, raw
from tensorlite.ops import _batching
from tensorlite.ops._names import torch_names

Array = Any


def mask(x: Any, p: float, place: Any) -> Any:
    """The raw boolean array of what is kept."""
    return _philox.draw(_philox.Place(*place), kind="bernoulli", shape=tuple(x.shape), dtype="bool", p=1.0 - p,
                        device=backends.backend_of(x).device_of(x))


def _dropout(xp: Any, x: Any, *, p: float, place: tuple[int, int, int], levels: tuple[int, ...] = ()) -> Any:
    zeros = xp.zeros_like(x)
    return zeros if p == 1 else xp.where(mask(x, p, place), x * (1.0 / (1.0 - p)), zeros)


dropout_p = primitive("dropout", _dropout, linear_in="x")
dropout_p.batch(_batching.dropout)
dropout_p.vjp(x=lambda g, p, place, levels: _same_mask(g, p, place, levels))
dropout_p.jvp(x=lambda t, p, place, levels: _same_mask(t, p, place, levels))


def _same_mask(g: Any, p: float, place: Any, levels: tuple[int, ...]) -> Any:
    """g with the mask of the forward; where that differs along a batch, g does too."""
    if not levels:
        return dropout_p(g, p=p, place=place)
    for level in levels:
        g = batching.lifted(g, batching.opened(level))
    return dropout_p(g, p=p, place=place, levels=levels)


def check_p(name: str, p: float) -> None:
    """The probability is one."""
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise RandomError(f"{name}: p is {p}; expected a probability, 0 <= p <= 1")


@torch_names
def dropout(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Any = None) -> Array:
    """Each element is 0 with probability p, and otherwise x / (1 - p), if ``training``; else x (Srivastava et al. 2014).

    ``generator``: where the randomness comes from (a ``Generator`` or a key) if not from the default generator.

    >>> import tensorlite as tl
    >>> tl.nn.functional.dropout(tl.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    check_p("dropout", p)
    if not training or p == 0:
        return input
    reserve = lambda sizes: _philox.reserve(generator, kind="bernoulli", shape=(prod(sizes) * prod(input.shape),), dtype="bool")
    if not current().batches:
        return dropout_p(input, p=float(p), place=tuple(reserve(())))
    drawn, batches = batching.drawing("dropout", reserve, ("dropout", tuple(input.shape)))
    if not drawn.whole:
        return _dropout_of_part(input, float(p), drawn, batches)
    for one in batches:
        input = batching.lifted(input, one)
    levels = {"levels": tuple([one.level for one in batches])} if batches else {}
    return dropout_p(input, p=float(p), place=tuple(drawn.place), **levels)


def _dropout_of_part(input: Array, p: float, drawn: batching.Drawn, batches: list[Any]) -> Array:
    """Dropout by a mask that was drawn for more examples than there are."""
    from tensorlite.ops.elementwise import mul_p, where_p
    bottom = raw(input)
    device = backends.backend_of(bottom).device_of(bottom)
    shape = (*drawn.sizes, *input.shape)
    kept = new(drawn.chosen(_philox.draw(drawn.place, kind="bernoulli", shape=shape, dtype="bool", p=1.0 - p, device=device)))
    for one in batches:
        kept = batching.batch(kept, one.level)
    return where_p(kept, mul_p(input, 1.0 / (1.0 - p) if p < 1 else 0.0), 0)


__all__ = ["check_p", "dropout", "dropout_p", "mask"]
