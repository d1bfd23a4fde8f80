"""Batches of a data set, in order or shuffled, that can be stopped and taken up again anywhere."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Generating
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from typing import Any

import numpy as np

from tensorlite import cuda
from tensorlite.data._dataset import ArrayDataset, Dataset, batch_of, source
from tensorlite.engine.value import Value, new, raw
from tensorlite.errors import CheckpointError, DataError, OutOfRangeError, ShapeError
from tensorlite.random import Generator, default_generator, fold_in, key, permutation

__all__ = ["DataLoader", "collate"]


class DataLoader:
    """Iterates over ``dataset`` in batches; each pass is an epoch, in a new order if ``shuffle``.

    Data sets made of arrays are gathered with one array operation per array and batch; other data sets are asked for one sample
    after another, which ``collate_fn`` (by default :func:`collate`) puts together. ``transform`` is one function or several,
    ``f(first_array, key) -> array``, applied before the data set's normalisation (see ``tensorlite.data.transforms``).
    Batches go to ``device`` while the host goes on; with ``pin_memory`` by way of page-locked memory, which is quicker;
    without a ``device`` they stay in it (where there is CUDA at all).
    Data that live on a GPU are gathered and augmented there: the order of an epoch is sent to it once.

    With ``num_workers`` above 0 that many threads (not processes) make batches ahead, ``prefetch_factor`` each. Order and
    contents stay the same, as long as a transform draws only by its key; an exception is raised where its batch would have come;
    leaving the loop ends the threads. It pays where reading samples takes long and lets go of the interpreter, as files and image
    decoders do: a batch of arrays takes less than a millisecond and needs no help, and pure Python code in a data set gains
    nothing. Data on a GPU are left to it. ``persistent_workers`` is accepted for PyTorch's sake and ignored.

    :meth:`state_dict` says where the loader is, in the middle of an epoch too; after :meth:`load_state_dict` the next pass goes
    on there, with the same order and the same augmentation.

    >>> import tensorlite as tl
    >>> loader = tl.data.DataLoader(tl.data.TensorDataset(tl.arange(5)), batch_size=2)
    >>> [x.tolist() for x, in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Any, batch_size: int = 1, shuffle: bool = False, sampler: Iterable[int] | None = None,
                 num_workers: int = 0, collate_fn: Callable[[list[Any]], Any] | None = None, drop_last: bool = False, *,
                 generator: Generator | None = None, transform: Any = None, device: Any = None, pin_memory: bool = False,
                 prefetch_factor: int = 2, persistent_workers: bool = False) -> None:
        if not isinstance(dataset, Dataset):
            raise DataError(f"DataLoader: dataset is a {type(dataset).__name__}; expected something with __len__ and "
                            "__getitem__, such as TensorDataset(images, labels)")
        if not hasattr(batch_size, "__index__") or batch_size < 1:
            raise DataError(f"DataLoader: batch_size is {batch_size!r}, expected a whole number of at least 1")
        if num_workers < 0 or prefetch_factor < 1:
            raise DataError(f"DataLoader: num_workers is {num_workers} and prefetch_factor is {prefetch_factor}; expected 0 or "
                            "more threads, and 1 or more batches ahead for each")
        if sampler is not None and shuffle:
            raise DataError("DataLoader: a sampler and shuffle=True were given; leave out shuffle, as the sampler decides")
        self.dataset: Any = dataset
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), shuffle, drop_last
        self.sampler, self.collate_fn, self.generator = sampler, collate_fn, generator
        self.transforms = _listed(transform)
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.device = None if device is None or str(device) == "cpu" else str(device)
        self.pin_memory = pin_memory and (self.device is not None or cuda.is_available())
        self.epoch = 0       # passes begun, the present one included
        self.position = 0    # batches handed out of the present pass
        self._order: Any = None           # of the present pass; None if it is 0, 1, 2, ...
        self._started: Any = None         # the generator's state when the present pass began
        self._running = False             # a pass was begun and has not ended
        self._resumed = False             # the next pass is the rest of a saved one

    def __len__(self) -> int:
        n = len(self.sampler) if hasattr(self.sampler, "__len__") else len(self.dataset)   # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if not self._resumed:
            self._begin()
        self._resumed = False
        get, dataset, order = self._samples, self.dataset, self._order
        n = len(self.dataset) if order is None else len(order)
        if isinstance(self.dataset, ArrayDataset) and self.collate_fn is None:
            get, (dataset, order) = self._arrays, source(dataset, order)
        epoch, end = self.epoch, n - n % self.batch_size if self.drop_last else n
        root = fold_in(key(self._started["seed"]), epoch) if self.transforms else None

        def make(number: int) -> Any:
            start = number * self.batch_size
            stop = min(start + self.batch_size, end)
            indices = np.arange(start, stop) if order is None else order[start:stop]
            return get(dataset, indices, None if root is None else fold_in(root, number))
        numbers = range(self.position, -(-end // self.batch_size))
        on_device = order is not None and order.__class__ is not np.ndarray
        with closing(self._made(make, numbers, 0 if on_device else self.num_workers)) as made:
            for number, batch in zip(numbers, made):
                if self.epoch == epoch:   # no other pass was begun meanwhile
                    self.position = number + 1
                yield self._everywhere(self._to_device, batch)
        if self.epoch == epoch:
            self._running = False

    def _made(self, make: Callable[[int], Any], numbers: range, threads: int) -> Generating[Any, None, None]:
        """``map(make, numbers)``, by threads that are a few batches ahead."""
        if not threads:
            yield from map(make, numbers)
            return
        pool = ThreadPoolExecutor(threads, thread_name_prefix="tensorlite-loader")
        waiting: deque[Future[Any]] = deque()
        try:
            for number in numbers:
                waiting.append(pool.submit(copy_context().run, make, number))
                if len(waiting) > threads * self.prefetch_factor:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        generator = self.generator or default_generator
        self.epoch, self.position, self._running, self._started = self.epoch + 1, 0, True, generator.get_state()
        self._order = self._new_order(generator)

    def _new_order(self, generator: Generator) -> Any:
        if self.sampler is not None:
            order, n = np.asarray([int(i) for i in self.sampler], dtype=np.int64), len(self.dataset)
            if order.size and not (-n <= order.min() and order.max() < n):
                raise OutOfRangeError(f"DataLoader: the sampler's numbers go from {order.min()} to {order.max()}, but the data "
                                      f"set has {n} samples")
            return order
        return np.asarray(raw(permutation(len(self.dataset), generator=generator))) if self.shuffle else None

    def _arrays(self, dataset: Any, indices: Any, batch_key: Any) -> Any:
        return self._everywhere(self._pinned, tuple([new(a) for a in batch_of(dataset, indices, self.transforms,
                                                                              self._keys(batch_key))]))

    def _samples(self, dataset: Any, indices: Any, batch_key: Any) -> Any:
        batch = (self.collate_fn or collate)([dataset[int(i)] for i in indices])
        for transform, one in zip(self.transforms, self._keys(batch_key)):
            first = transform(raw(batch[0]), one)
            batch = (first if isinstance(first, Value) else new(first), *batch[1:])
        return self._everywhere(self._pinned, batch)

    def _keys(self, batch_key: Any) -> list[Any]:
        return [fold_in(batch_key, k) for k in range(len(self.transforms))]

    def _everywhere(self, place: Callable[[Any], Any], batch: Any) -> Any:
        """The batch with its tensors placed elsewhere."""
        if self.device is None and not self.pin_memory:
            return batch
        if not isinstance(batch, (tuple, list)):
            return place(batch) if isinstance(batch, Value) else batch
        return tuple([place(b) if isinstance(b, Value) else b for b in batch])

    def _pinned(self, tensor: Any) -> Any:
        return tensor.pin_memory() if self.pin_memory and tensor.device == "cpu" else tensor

    def _to_device(self, tensor: Any) -> Any:
        return tensor if self.device is None else tensor.to(device=self.device, non_blocking=True)

    # ---- where it is -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The epoch, the position in it, and what its order came from."""
        state = {"epoch": self.epoch, "position": self.position, "samples": len(self.dataset), "batch_size": self.batch_size,
                 "running": self._running, "generator": self._started,
                 "generator_now": None if self.generator is None else self.generator.get_state()}
        if self.sampler is not None:
            state["order"] = self._order
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the loader was that gave ``state``; its data set and batch size must be the same."""
        if (state["samples"], state["batch_size"]) != (len(self.dataset), self.batch_size):
            raise CheckpointError(f"the saved position is among {state['samples']} samples in batches of {state['batch_size']}; "
                                  f"here are {len(self.dataset)} samples in batches of {self.batch_size}: use the same")
        self.epoch, self.position, self._started = state["epoch"], state["position"], state["generator"]
        self._order, self._running, self._resumed = state.get("order"), state["running"], state["running"]
        if self._resumed and self.sampler is None:
            at_start = Generator(0)
            at_start.set_state(self._started)
            self._order = self._new_order(at_start)
        if self.generator is not None and state["generator_now"] is not None:
            self.generator.set_state(state["generator_now"])


def collate(samples: Sequence[Any]) -> Any:
    """Samples as one batch: tensors, arrays and numbers stacked along a new first axis, inside tuples, lists and dicts."""
    first = samples[0]
    if isinstance(first, (Value, np.ndarray, np.generic)):
        arrays = [np.asarray(raw(s)) for s in samples]
        if len({a.shape for a in arrays}) > 1:
            shapes = ", ".join(sorted({str(a.shape) for a in arrays}))
            raise ShapeError(f"collate: the samples of a batch have the shapes {shapes}; "
                             "expected the same: pad or crop them, or give the DataLoader a collate_fn")
        return new(np.stack(arrays))
    if isinstance(first, (bool, int)):
        return new(np.asarray(samples))
    if isinstance(first, float):
        return new(np.asarray(samples, dtype=np.float32))
    if isinstance(first, dict):
        return {name: collate([s[name] for s in samples]) for name in first}
    if isinstance(first, (tuple, list)):
        return tuple(collate(part) for part in zip(*samples, strict=True))
    return list(samples)


def _listed(transform: Any) -> tuple[Any, ...]:
    if transform is None:
        return ()
    return tuple(transform) if isinstance(transform, (list, tuple)) else (transform,)
