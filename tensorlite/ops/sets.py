"""Distinct elements and membership."""
from __future__ import annotations

from typing import Any, NamedTuple

from tensorlite.engine.batching import data_dependent
from tensorlite.engine.primitive import primitive
from tensorlite.errors import DTypeError
from tensorlite.ops import _batching
from tensorlite.ops._names import torch_aliases, torch_names

Array = Any


class UniqueAll(NamedTuple):
    """What ``unique_all`` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What ``unique_counts`` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What ``unique_inverse`` returns."""

    values: Any
    inverse_indices: Any


unique_values_p = primitive("unique_values", lambda xp, x: xp.sort(xp.unique_values(x)), discrete=True)
unique_values_p.batch(data_dependent)
unique_counts_p = primitive("unique_counts", lambda xp, x: xp.unique_counts(x), discrete=True, outputs=2)
unique_counts_p.batch(data_dependent)
unique_inverse_p = primitive("unique_inverse", lambda xp, x: xp.unique_inverse(x), discrete=True, outputs=2)
unique_inverse_p.batch(data_dependent)
unique_all_p = primitive("unique_all", lambda xp, x: xp.unique_all(x), discrete=True, outputs=4)
unique_all_p.batch(data_dependent)


@torch_names
def unique_values(x: Array, /) -> Array:
    """The distinct elements of x, in ascending order; every nan is distinct.

    >>> import tensorlite as tl
    >>> tl.unique_values(tl.tensor([2, 1, 2]))
    tensor([1, 2])
    """
    return unique_values_p(x)


@torch_names
def unique_counts(x: Array, /) -> UniqueCounts:
    """The distinct elements of x, and how often each is there."""
    return UniqueCounts(*unique_counts_p(x))


@torch_names
def unique_inverse(x: Array, /) -> UniqueInverse:
    """The distinct elements of x, and for each element of x which of them it is (in x's shape)."""
    return UniqueInverse(*unique_inverse_p(x))


@torch_names
def unique_all(x: Array, /) -> UniqueAll:
    """The distinct elements of x, where each is first in x flattened, which of them each element of x is, and their counts."""
    return UniqueAll(*unique_all_p(x))


@torch_names
def unique(x: Array, /, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None) -> Any:
    """PyTorch's ``unique``: the distinct elements in ascending order, then if asked for the inverse indices and the counts.

    >>> import tensorlite as tl
    >>> tl.unique(tl.tensor([2, 1, 2]), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    if axis is not None:
        raise DTypeError("unique: distinct slices along an axis are not supported; leave dim out for distinct elements")
    if not (return_inverse or return_counts):
        return unique_values_p(x)
    values, _, inverse, counts = unique_all_p(x)
    return (values, *((inverse,) if return_inverse else ()), *((counts,) if return_counts else ()))


def _isin(xp: Any, x1: Any, x2: Any, *, invert: bool = False) -> Any:
    found = xp.any(xp.expand_dims(x1, axis=-1) == xp.reshape(x2, (-1,)), axis=-1)
    return xp.logical_not(found) if invert else found


isin_p = primitive("isin", _isin, discrete=True)
isin_p.batch(_batching.isin)


@torch_aliases(elements="x1", test_elements="x2")
def isin(x1: Array, x2: Array, /, *, invert: bool = False) -> Array:
    """For each element of ``x1`` whether it is anywhere in ``x2`` (or with ``invert`` is not).

    >>> import tensorlite as tl
    >>> tl.isin(tl.tensor([1, 2, 3]), tl.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    return isin_p(x1, x2, invert=invert)
