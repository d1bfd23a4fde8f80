"""Data sets: things with a length and samples by number; those made of arrays give whole batches at once."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise
from math import isclose
from typing import Any, Protocol, Self, cast, runtime_checkable

import numpy as np

from tensorlite import backends
from tensorlite.data.transforms import Normalize, moves_of
from tensorlite.engine.value import new, raw
from tensorlite.errors import DataError, DTypeError, OutOfRangeError
from tensorlite.kernels.augment_batch.reference import augment_batch
from tensorlite.kernels.gather_batch.reference import gather_batch
from tensorlite.kernels.take_rows.reference import take_rows
from tensorlite.ops.creation import asarray
from tensorlite.random import Generator, Key, permutation

__all__ = ["ArrayDataset", "Dataset", "Subset", "TensorDataset", "random_split"]

Array = Any
Batch = tuple[Array, ...]


@runtime_checkable
class Dataset(Protocol):
    """A length, and samples by number: all that :class:`DataLoader` needs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@runtime_checkable
class ArrayDataset(Protocol):
    """A data set that can hand out many samples as arrays at once; the loader uses that instead of asking for one by one.

    ``take(indices)`` gathers raw arrays, one axis-0 gather each; ``finish(arrays)`` is what comes after augmentation (such as the
    step from uint8 to normalised floats). It may have two more: ``batch(indices)``, which is ``finish(take(indices))`` at once,
    and ``augmented(indices, transforms, keys)``, the same with transforms before ``finish``, or None where it cannot.
    """

    def __len__(self) -> int: ...

    def take(self, indices: Any) -> Batch: ...

    def finish(self, batch: Batch) -> Batch: ...


class TensorDataset:
    """Samples along the first axis of one or several tensors or arrays, kept as they are.

    ``normalize`` is applied to the first of them, a batch at a time: images can stay uint8 in memory (a quarter of float32's, and
    quicker to gather). Tensors on a GPU stay there: batches are gathered where the data are, and the host never waits for them.

    >>> import tensorlite as tl
    >>> data = tl.data.TensorDataset(tl.arange(10), tl.arange(10) * 2)
    >>> len(data), data[3]
    (10, (tensor(3), tensor(6)))
    """

    def __init__(self, *tensors: Any, normalize: Callable[[Array], Array] | None = None) -> None:
        if not tensors:
            raise DataError("TensorDataset: no tensors were given; expected at least one")
        self.arrays = tuple(_as_array(t) for t in tensors)
        self.normalize = normalize
        for i, a in enumerate(self.arrays):
            if not a.ndim or a.shape[0] != self.arrays[0].shape[0]:
                raise DataError(f"TensorDataset: tensor {i} has shape {tuple(a.shape)}, tensor 0 has "
                                f"{tuple(self.arrays[0].shape)}; expected the same number of samples along the first axis")

    @property
    def tensors(self) -> tuple[Any, ...]:
        """The data as tensors, before normalisation."""
        return tuple(asarray(a) for a in self.arrays)

    def __len__(self) -> int:
        return int(self.arrays[0].shape[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if isinstance(index, slice):
            return tuple(new(a) for a in self.finish(self.take(np.arange(len(self))[index])))
        i = _checked(index, len(self))
        return tuple(new(a[0, ...]) for a in self.finish(self.take(np.asarray([i]))))

    def take(self, indices: Any) -> Batch:
        """The arrays' rows, not normalised."""
        return tuple(_gather(a, indices) for a in self.arrays)

    def finish(self, batch: Batch) -> Batch:
        """The batch with its first array normalised."""
        return batch if self.normalize is None else (self.normalize(batch[0]), *batch[1:])

    def to(self, device: Any) -> Self:
        """The same data set with its data on a device, where its batches are then made (and augmented)."""
        moved = copy(self)
        moved.arrays = tuple([raw(new(a).to(device=str(device))) for a in self.arrays])
        return moved

    def batch(self, indices: Any) -> Batch:
        """``finish(take(indices))``, with the same bits, in one pass over the images where nothing was overridden."""
        f = self._normalized_in_one_pass()
        return self.finish(self.take(indices)) if f is None else self._fused("gather_batch", gather_batch, f, indices)

    def augmented(self, indices: Any, transforms: Sequence[Any], keys: Sequence[Key]) -> Batch | None:
        """The batch with the transforms applied before normalisation, in one pass over the images; None where that cannot be."""
        f, images = self._normalized_in_one_pass(), self.arrays[0]
        if f is None:
            return None
        shape = (len(indices), *images.shape[1:])
        found = moves_of(transforms, keys, shape, backends.backend_of(images).device_of(images))
        if found is None:
            return None
        return self._fused("augment_batch", augment_batch, f, indices, found.table, size=found.size, cut=found.cut,
                           fill=found.fill)

    def _normalized_in_one_pass(self) -> Normalize | None:
        f, cls = self.normalize, type(self)
        plain = f.__class__ is Normalize and cls.take is TensorDataset.take and cls.finish is TensorDataset.finish
        return cast(Normalize, f) if plain else None

    def _fused(self, name: str, reference: Any, f: Normalize, indices: Any, *moves: Any, **options: Any) -> Batch:
        images = self.arrays[0]
        run = backends.backend_of(images).implementation(name, reference)
        first = run(images, _beside(images, indices), *moves, factor=f.factor, offset=f.offset, **options)
        return (first, *[_gather(a, indices) for a in self.arrays[1:]])


class Subset:
    """The samples of ``dataset`` whose numbers are ``indices``."""

    def __new__(cls, dataset: Any = None, indices: Any = None) -> Subset:
        return super().__new__(_ArraySubset if cls is Subset and isinstance(dataset, ArrayDataset) else cls)

    def __init__(self, dataset: Any, indices: Sequence[int] | Any) -> None:
        self.dataset = dataset
        numbers = np.asarray(raw(indices))
        if numbers.dtype.kind not in "iu" and numbers.size:   # a mask of bools would be taken for the numbers 0 and 1
            hint = "; of a mask, pass np.flatnonzero(mask)" if numbers.dtype.kind == "b" else ""
            raise DTypeError(f"Subset: indices are of the type {numbers.dtype}; expected integers, a sample's number each{hint}")
        self.indices = numbers.astype(np.int64).reshape(-1)
        n = len(dataset)
        if self.indices.size and not (-n <= self.indices.min() and self.indices.max() < n):
            raise OutOfRangeError(f"Subset: indices go from {self.indices.min()} to {self.indices.max()}, but the data set "
                                  f"has {n} samples")

    def __len__(self) -> int:
        return int(self.indices.size)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[_checked(index, len(self))])]


class _ArraySubset(Subset):
    """The subset of a data set made of arrays is one itself; :func:`source` looks through it."""

    def take(self, indices: Any) -> Batch:
        """The data set's rows, not normalised."""
        batch: Batch = self.dataset.take(self.indices[indices])
        return batch

    def finish(self, batch: Batch) -> Batch:
        """What the data set does after augmentation."""
        finished: Batch = self.dataset.finish(batch)
        return finished


def source(dataset: Any, order: Any) -> tuple[Any, Any]:
    """The data set that samples are taken of in the end, and their numbers there, on the device where its data are.

    ``order``: the samples' numbers in ``dataset``; None: all, as they come.
    """
    while dataset.__class__ is _ArraySubset:
        order = dataset.indices if order is None else dataset.indices[order]
        dataset = dataset.dataset
    first = getattr(dataset, "arrays", (None,))[0]
    if first is not None and first.__class__ is not np.ndarray:
        order = _beside(first, np.arange(len(dataset)) if order is None else order)
    return dataset, order


def batch_of(dataset: Any, indices: Any, transforms: Sequence[Any] = (), keys: Sequence[Key] = ()) -> Batch:
    """A finished batch, in one pass where the data set has a way."""
    if not transforms:
        run = getattr(dataset, "batch", None)
        found: Batch = dataset.finish(dataset.take(indices)) if run is None else run(indices)
        return found
    one_pass = getattr(dataset, "augmented", None)
    fused: Batch | None = None if one_pass is None else one_pass(indices, transforms, keys)
    if fused is not None:
        return fused
    batch = dataset.take(indices)
    for transform, key in zip(transforms, keys):
        batch = (raw(transform(batch[0], key)), *batch[1:])
    finished: Batch = dataset.finish(batch)
    return finished


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Disjoint random subsets with the given lengths, or with fractions that sum to 1 (remainders go to the first ones in turn).

    >>> import tensorlite as tl
    >>> train, val = tl.data.random_split(tl.data.TensorDataset(tl.arange(10)), [0.8, 0.2], generator=tl.Generator(0))
    >>> len(train), len(val)
    (8, 2)
    """
    n = len(dataset)
    fractions = any(isinstance(x, (float, np.floating)) for x in lengths) and isclose(sum(lengths), 1) and min(lengths) >= 0
    if fractions:
        counts = [int(n * x + 1e-9) for x in lengths]
        for k in range(n - sum(counts)):
            counts[k % len(counts)] += 1
    elif sum(lengths) == n and all(x == int(x) and x >= 0 for x in lengths):
        counts = [int(x) for x in lengths]
    else:
        raise DataError(f"random_split: lengths are {list(lengths)}, expected lengths that sum to {n} (the size of the data "
                        "set), or fractions that sum to 1")
    order = np.asarray(raw(permutation(n, generator=generator)))
    edges = np.cumsum([0, *counts])
    return [Subset(dataset, order[a:b]) for a, b in pairwise(edges)]


def _as_array(data: Any) -> Array:
    array = raw(data)
    array = array if backends.of_type(type(array)) is not None else np.asarray(array)
    if array.__class__ is np.ndarray and array.dtype.kind in "OUSMm":
        raise DataError(f"TensorDataset: the data has the type {array.dtype}; expected numbers (give strings and such numbers of "
                        "their own, or write a data set with __len__ and __getitem__)")
    return array


def _gather(array: Array, indices: Any) -> Array:
    if array.__class__ is np.ndarray:
        return array.take(indices, axis=0)
    run = backends.backend_of(array).implementation("take_rows", take_rows)
    return run(array, _beside(array, indices), wrap=True, what="take")


def _beside(array: Array, indices: Any) -> Any:
    """The indices as an array of the library, and on the device, that ``array`` is of."""
    if indices.__class__ is array.__class__:
        return indices
    backend = backends.backend_of(array)
    return backend.asarray(indices, device=backend.device_of(array))


def _checked(index: Any, n: int) -> int:
    i = int(index)
    if not -n <= i < n:
        raise OutOfRangeError(f"sample {i} of a data set with {n} samples")
    return i % n
