"""The row of the op table: all that the tests need to know of an operation."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call: arrays (NumPy, made from the generator) or plain values in ``args``, everything else in ``kwargs``."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One operation.

    ``function``: the public function, called with tensors. ``reference``: the same of NumPy arrays in float64, the oracle.
    ``cases``: ``cases(rng)`` yields ``Case``s; between them they show broadcasting, zero-dimensional and empty arrays, axes and
    options.
    ``grad``: the positions of the arguments whose gradients are checked, empty for what has none.
    ``second``: whether second-order gradients are checked too; a string is the reason why not.
    ``dtypes``: beyond float64, the types whose forward result is compared (with the tolerance of the type).
    ``covers``: the names of the primitives it exercises, checked against what actually ran.
    ``smooth``: False where finite differences need samples away from kinks and the cases see to it.
    ``skip``: backend name -> reason, where a backend cannot run the row.
    """

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    cases: Callable[[np.random.Generator], Any]
    grad: tuple[int, ...] = ()
    second: bool | str = True
    dtypes: tuple[str, ...] = ("float32", "float64")
    covers: tuple[str, ...] = ()
    rtol: float = 1e-12
    skip: dict[str, str] = field(default_factory=dict)
