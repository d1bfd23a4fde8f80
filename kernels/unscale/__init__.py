"""Gradients divided by the loss scale, and a look for inf and nan among them."""
from __future__ import annotations

from typing import Any

from .. import Cost, Kernel
from .reference import unscale

__all__ = ["kernel"]


def cost(grads: Any, scale: Any, *, write: bool = True, check: bool = True) -> Cost:
    """Every gradient read and, if it is to be, written once."""
    size = sum(g.size for g in grads if g is not None)
    moved = sum(g.size * g.dtype.itemsize for g in grads if g is not None)
    return Cost(moved * (1 + write), size * (write + check))


kernel = Kernel("unscale", unscale, cost, cpu=f"{__name__}.cpu:unscale", cuda=f"{__name__}.cuda:unscale")
