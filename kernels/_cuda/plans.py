"""Lists of arrays in one launch: tables of addresses on the device, and the optimizers' plans over them.

A list's table is uploaded once and kept under the arrays' addresses: as the memory pool hands the same blocks out at every step,
training finds the tables of its first steps again. A table is never written to again, so that no kernel under way sees it change.
"""
from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._plans import ReferencePlan
from . import SUFFIX, Runtime, Source

__all__ = ["THREADS", "DevicePlan", "Lists", "Table"]

KINDS = {"float32": 0, "float16": 1, "bfloat16": 2, "float64": 3}   # as in lists.cuh
# What gradients a kernel reads, by the parameters' dtype; others are converted first.
GRADIENTS = {"float32": ("float32", "float16", "bfloat16"), "float16": ("float16", "float32"),
             "bfloat16": ("bfloat16", "float32"), "float64": ("float64",)}
PARAM, STATE, MASTER, TYPE, MASTERED, COLUMNS = 0, 1, 4, 5, 6, 8   # of a parameter's row, as in lists.cuh
THREADS = 256
SMALLEST, LARGEST = 1024, 65536   # elements of a chunk
KEPT = 16                         # tables kept; the oldest goes


class Table(NamedTuple):
    """What one list of arrays needs at a launch."""

    words: Any                                    # on the device: addresses, kinds, sizes
    launches: list[tuple[Any, int, Any, int]]     # entry point, blocks, their places on the device, elements of a chunk
    copies: list[tuple[int, Any]]                 # arrays that no kernel takes as they are, and what stands for them
    scratch: Any                                  # on the device, for reductions; its first two words are 0 between launches

    def fill(self, arrays: Sequence[Any]) -> None:
        """Let the copies hold what the arrays do."""
        for i, copy in self.copies:
            copy[...] = arrays[i]

    def give_back(self, arrays: Sequence[Any]) -> None:
        """Let the arrays hold what the copies do."""
        for i, copy in self.copies:
            arrays[i][...] = copy


def key_of(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Everything of the arrays that their table depends on."""
    return tuple([None if a is None else (a.data.ptr, a.dtype, a.shape, a.flags.c_contiguous) for a in arrays])


class Lists:
    """Tables of lists of arrays, made when they are first seen."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._tables: dict[tuple[Any, ...], Table] = {}
        self._places: dict[tuple[Any, ...], tuple[int, Any, int]] = {}

    def forget(self) -> None:
        self._tables.clear()

    def find(self, arrays: Sequence[Any]) -> Table:
        """The table of these arrays."""
        key = key_of(arrays)
        return self._tables.get(key) or self._make(key, arrays)

    def check(self, arrays: Sequence[Any]) -> None:
        """Raise ``ValueError`` where the arrays do not fit; only for lists that were not seen before."""

    def kinds(self, i: int) -> tuple[str, ...]:
        """The dtypes that the kernel takes for array i; the first is what others are converted to."""
        return ("float64", "float32", "float16", "bfloat16")

    def entries(self, present: list[int]) -> list[tuple[Any, list[int]]]:
        """The entry points to launch, and the arrays of each."""
        return [(None, present)]

    def scratch(self, blocks: int) -> Any:
        """A ticket, a flag, and three partial results of each block."""
        return self.runtime.cupy.zeros(2 + 3 * blocks, np.int64)

    def _make(self, key: tuple[Any, ...], arrays: Sequence[Any]) -> Table:
        self.check(arrays)
        n, cupy = len(arrays), self.runtime.cupy
        words, copies = np.zeros((3, n), np.int64), []
        words[1] = -1
        present = [i for i, a in enumerate(arrays) if a is not None]
        for i in present:
            array, kinds = arrays[i], self.kinds(i)
            if array.dtype.name not in kinds or not array.flags.c_contiguous:
                array = cupy.empty(array.shape, array.dtype if array.dtype.name in kinds else kinds[0])
                copies.append((i, array))
            words[:, i] = array.data.ptr, KINDS[array.dtype.name], array.size
        launches = [(entry, *self._placed(tuple(members), words[2])) for entry, members in self.entries(present)]
        table = Table(self.runtime.on_device(words), launches, copies, self.scratch(sum(blocks for _, blocks, _, _ in launches)))
        if len(self._tables) >= KEPT:
            del self._tables[next(iter(self._tables))]
        self._tables[key] = table
        return table

    def _placed(self, members: tuple[int, ...], sizes: Any) -> tuple[int, Any, int]:
        """(blocks, places, elements of a chunk) for these arrays: enough blocks for every multiprocessor, and no tiny ones."""
        wanted = sizes[list(members)]
        key = (members, wanted.tobytes(), self.runtime.cupy.cuda.Device().id)
        found = self._places.get(key)
        if found is None:
            share = -(-int(wanted.sum()) // (8 * self.runtime.multiprocessors * SMALLEST)) * SMALLEST
            chunk = min(max(share, SMALLEST), LARGEST)
            counts = np.maximum(1, -(-wanted // chunk))   # an empty array has a block too, so that its step is counted
            first = np.repeat(np.cumsum(counts) - counts, counts)
            places = np.repeat(np.asarray(members, np.int64) << 32, counts) | (np.arange(len(first)) - first)
            if len(self._places) >= KEPT:
                del self._places[next(iter(self._places))]
            found = self._places[key] = len(places), self.runtime.on_device(places), chunk
        return found


class _Gradients(Lists):
    """The gradients of a plan's parameters."""

    def __init__(self, runtime: Runtime, plan: DevicePlan) -> None:
        super().__init__(runtime)
        self.plan = plan

    def check(self, arrays: Sequence[Any]) -> None:
        self.plan.check(self.plan.held, arrays)

    def kinds(self, i: int) -> tuple[str, ...]:
        return GRADIENTS[self.plan.types[i].partition("_")[0]]

    def scratch(self, blocks: int) -> Any:
        return None

    def entries(self, present: list[int]) -> list[tuple[Any, list[int]]]:
        plan = self.plan
        groups: dict[str, list[int]] = {}
        for i in present:
            groups.setdefault(plan.types[i], []).append(i)
        return [(self.runtime.function(plan.source, plan.entry(kind)), members) for kind, members in groups.items()]


class DevicePlan(ReferencePlan):
    """A plan whose parameters are updated in one launch (one for each dtype among them), with the steps counted on the device.

    A subclass names the reference's plan as its second base. ``lr`` may be an array on the device, float32 or float64 without
    dimensions; ``found_inf`` and ``grad_scale`` are float32 ones. Nothing waits for the device but :meth:`counts`.
    """

    name: ClassVar[str]
    source: ClassVar[Source]

    def __init__(self, runtime: Runtime, states: tuple[Sequence[Any] | None, ...], steps: Any,
                 masters: Sequence[Any] | None = None) -> None:
        super().__init__(runtime.xp, states, steps, masters)
        self.runtime = runtime
        self.steps = runtime.on_device(np.append(np.asarray(steps, np.int64), 0))   # the last one is the ticket
        self.types: list[str] = []            # of each parameter: its dtype, and whether it has a master
        self.held: list[Any] = []          # what the rows were made for
        self._rows: Any = None
        self._copies: list[tuple[Any, Any]] = []   # parameters and states that no kernel takes, and what stands for them
        self._gradients = _Gradients(runtime, self)

    def counts(self) -> Any:
        return self.runtime.cupy.asnumpy(self.steps)[:-1]

    def entry(self, kind: str) -> str:
        dtype, _, master = kind.partition("_")
        return f"{self.name}_{SUFFIX[dtype]}{'_master' if master else ''}"

    def run(
        self, params: Sequence[Any], grads: Sequence[Any], lr: Any, options: tuple[Any, ...], maximize: bool, found_inf: Any,
        grad_scale: Any,
    ) -> None:
        if len(params) != len(self.held) or not all(map(is_, params, self.held)):
            self.check(params, grads)
            self._build([*params])
        table = self._gradients.find(grads)
        table.fill(grads)
        for array, copy in self._copies:
            copy[...] = array
        lr_at, lr_bytes = 0, 0
        if isinstance(lr, self.runtime.cupy.ndarray):
            lr_at, lr_bytes, lr = lr, lr.dtype.itemsize, 0.0
        rest = (self.steps, float(lr), lr_at, lr_bytes, -1.0 if maximize else 1.0, 0 if found_inf is None else found_inf,
                0 if grad_scale is None else grad_scale, *options)
        for function, blocks, places, chunk in table.launches:
            function((blocks,), (THREADS,), (self._rows, table.words, self.n, places, chunk, *rest))
        for array, copy in self._copies:
            array[...] = copy

    def _build(self, params: list[Any]) -> None:
        """The table of the parameters and states."""
        rows = np.zeros((self.n, COLUMNS), np.int64)
        self._copies, self.types = [], []
        for i, p in enumerate(params):
            master, dtype = self.masters[i], p.dtype.name
            if dtype not in KINDS:
                raise ValueError(f"{type(self).__name__}: parameter {i} has dtype {dtype}; expected one of {', '.join(KINDS)}")
            self.types.append(dtype if master is None else f"{dtype}_master")
            state_dtype = p.dtype if master is None else master.dtype
            rows[i, PARAM] = self._address(p, p.dtype)
            for k, kind in enumerate(self.states):
                rows[i, STATE + k] = 0 if kind is None else self._address(kind[i], state_dtype)
            if master is not None:
                rows[i, MASTER] = self._address(master, np.float32)
            rows[i, TYPE], rows[i, MASTERED] = KINDS[dtype], master is not None
        self._rows, self.held = self.runtime.on_device(rows), params
        self._gradients.forget()

    def _address(self, array: Any, dtype: Any) -> int:
        """Where the kernel finds the array, or its copy: contiguous and of this dtype."""
        if array.dtype != dtype or not array.flags.c_contiguous:
            copy = self.runtime.cupy.empty(array.shape, dtype)
            self._copies.append((array, copy))
            array = copy
        return int(array.data.ptr)
