"""Running CUDA C++ kernels: their sources, the device they run on, and the faults they report.

The host code of a kernel (``kernels/<name>/cuda.py``) is a function of a :class:`Runtime` and then of the reference's arguments.
A ``Runtime`` is made by the CUDA backend from CuPy; the tests make one from a stand-in that runs the same sources on the CPU.
Nothing here imports either.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

__all__ = ["SUFFIX", "Faults", "Runtime", "Source", "suffix"]

SUFFIX = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}   # of entry points, by the elements' dtype
_HERE = Path(__file__).parent
_INCLUDE = re.compile(r'#include "(\w+\.cuh)"')


def suffix(*arrays: Any) -> str | None:
    """The entry points' suffix for arrays of one dtype; None where dtypes differ or no kernel takes them."""
    name: str = arrays[0].dtype.name
    return SUFFIX.get(name) if all(a.dtype.name == name for a in arrays[1:]) else None


class Source:
    """A CUDA C++ source: a file beside the host code, or text.

    ``#include "tensorlite.cuh"`` in it stands for that header of this folder, which is put in its place; likewise ``lists.cuh``.

    Parameters
    ----------
    file: ``__file__`` of the host code; the source is ``name`` in its folder. None: ``text`` is the source.
    name: the file's name.
    options: for the compiler, beside ``--std=c++17``.
    """

    known: list[Source] = []   # every source there is, for those who compile them ahead

    def __init__(self, file: str | None, name: str, *, text: str | None = None, options: tuple[str, ...] = ()) -> None:
        self.path = None if file is None else Path(file).with_name(name)
        self.name = name if self.path is None else f"{self.path.parent.name}/{name}"
        self._text, self.options = text, ("--std=c++17", *options)
        Source.known.append(self)

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @cached_property
    def text(self) -> str:
        """The source as it is compiled."""
        given = self._text if self.path is None else self.path.read_text()
        assert given is not None, "a source has a file or a text"
        return _INCLUDE.sub(lambda found: (_HERE / found[1]).read_text(), given)


class Faults:
    """Words of host memory that kernels write when they meet what must not be, such as a label out of range.

    A kernel cannot raise. It calls ``report(fault, kind, a, b, c)``, where ``kind`` is what :meth:`kind` gave for a function that
    raises the error for ``a``, ``b``, ``c``; the first report counts. The words are read without waiting for the device, at every
    synchronisation and before results are given to the host, so that no wrong number is seen.
    """

    _kinds: list[Callable[[int, int, int], NoReturn]] = []

    def __init__(self, words: Any) -> None:
        self.words = words
        self.pointer: int = int(words.ctypes.data)   # pinned host memory has one address for host and device

    @classmethod
    def kind(cls, error: Callable[[int, int, int], NoReturn]) -> int:
        """The number of a kind of fault; ``error(a, b, c)`` raises. Called once, where the host code is imported."""
        cls._kinds.append(error)
        return len(cls._kinds)

    def check(self) -> None:
        """Raise what a kernel reported, if one did, and forget it."""
        if self.words[0]:
            kind, a, b, c = (int(w) for w in self.words[:4])
            self.words[:] = 0
            self._kinds[kind - 1](a, b, c)


class Runtime:
    """What host code needs of CUDA: the array library, compiled functions, the device's limits.

    ``cupy``: the module CuPy, or one that stands in for it. ``xp``: its functions under the array API standard's names, which
    references take.
    """

    def __init__(self, cupy: Any, xp: Any) -> None:
        self.cupy, self.xp = cupy, xp
        self.tf32 = False   # whether float32 matrix products may be rounded to TF32
        self._functions: dict[tuple[Source, str], Any] = {}
        self._modules: dict[Source, Any] = {}

    def function(self, source: Source, entry: str) -> Callable[..., None]:
        """The entry point as ``function(grid, block, args, shared_mem=0)``, compiled at the first call and kept on disk by CuPy.

        ``args``: arrays, ints (``long long`` and null pointers), floats (``double``).
        """
        found = self._functions.get((source, entry))
        if found is None:
            found = self._functions[source, entry] = self.module(source).get_function(entry)
        return found

    def module(self, source: Source) -> Any:
        """The source as a CuPy module; its ``compile()`` compiles it now."""
        found = self._modules.get(source)
        if found is None:
            found = self._modules[source] = self.cupy.RawModule(code=source.text, options=source.options)
        return found

    def grid(self, items: int, threads: int = 256, per_thread: int = 1, waves: int = 8) -> tuple[int]:
        """How many blocks share ``items``: enough for all, at most ``waves`` for each multiprocessor (kernels stride)."""
        return (max(1, min(-(-items // (threads * per_thread)), waves * self.multiprocessors)),)

    def contiguous(self, array: Any) -> Any:
        """The array itself where it is C-contiguous, else a copy that is."""
        return array if array.flags.c_contiguous else self.cupy.ascontiguousarray(array)

    def on_device(self, host: Any) -> Any:
        """A NumPy array's copy on the device."""
        return self.cupy.asarray(host)

    def attribute(self, name: str) -> int:
        """A limit of the current device, by the name ``cupy.cuda.Device().attributes`` has for it."""
        return int(self.cupy.cuda.Device().attributes[name])

    @cached_property
    def multiprocessors(self) -> int:
        return self.attribute("MultiProcessorCount")

    @cached_property
    def shared_memory(self) -> int:
        """Bytes of shared memory a block can have (set ``max_dynamic_shared_size_bytes`` of a function to use above 48 KB)."""
        return self.attribute("MaxSharedMemoryPerBlockOptin")

    @cached_property
    def faults(self) -> Faults:
        memory = self.cupy.cuda.alloc_pinned_memory(64)
        words = np.frombuffer(memory, np.int64, 8)
        words[:] = 0
        return Faults(words)

    @cached_property
    def lists(self) -> Any:
        """The tables that passes over whole lists of arrays work on (:class:`~tensorlite.kernels._cuda.plans.Lists`)."""
        from .plans import Lists
        return Lists(self)

    def check(self) -> None:
        """Raise what a kernel reported, if one did."""
        if "faults" in self.__dict__:
            self.faults.check()

    def elementwise(self, source: Source, entry: str, out: Any, arrays: Sequence[Any], *more: Any) -> Any:
        """Run ``entry(out, *arrays, n, *more)``, written with ``map_elements``, over contiguous arrays; returns ``out``."""
        n = out.size
        if n:
            packs = 16 // out.dtype.itemsize
            self.function(source, entry)(self.grid(n, 256, packs), (256,), (out, *arrays, n, *more))
        return out
