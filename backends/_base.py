"""The contract a backend fulfils: one array library, on one kind of device."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tensorlite.errors import DeviceError

Array = Any


def _references(array: Any) -> int:
    return sys.getrefcount(array)


def _of_a_call() -> int:
    """How many of the references that ``_references`` counts are the call's own; it differs between versions of Python."""
    held_once = [object()].pop()
    return _references(held_once) - 1


OWN_REFERENCES = _of_a_call()


class Backend:
    """One array library. Subclass it, set the class attributes, override what your library does differently.

    ``name``: what :func:`tensorlite.backends.backends` lists.
    ``xp``: the array namespace, with the array API standard's names (2023.12 or later).
    ``array_type``: the class of its arrays; arrays are found by it, with one dictionary look-up.
    ``scalar_types``: classes its functions may return instead of an array; they are turned into arrays.
    ``devices``: the device strings' first part it answers to, such as ``"cpu"``.
    ``capabilities``: what it has beyond the standard, out of ``"inplace"``, ``"strides"``, ``"float16"``, ``"bfloat16"``,
    ``"numpy-functions"`` and ``"watch"`` (memory that user code can write to is watched by checksums, which read it on the host).
    ``asynchronous``: whether the device goes on working while the host does; reading a value then waits for it.
    ``implementations``: an operation's name -> a function of raw arrays that replaces the reference written over ``xp``:
    the fused kernels, and whatever the library can do better than the standard's composition.
    """

    name: str = ""
    xp: Any = None
    array_type: type = object
    scalar_types: tuple[type, ...] = ()
    devices: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    implementations: Mapping[str, Callable[..., Any]] = {}
    asynchronous = False

    def implementation(self, name: str, reference: Callable[..., Any] | str) -> Callable[..., Any]:
        """What runs the operation here. Asked for once per operation; ``reference`` takes ``xp`` first, or names a function of
        ``xp``."""
        found = self.implementations.get(name)
        if found is not None:
            return found
        if isinstance(reference, str):
            function: Callable[..., Any] = getattr(self.xp, reference)
            return function
        xp = self.xp

        def run(*arrays: Any, **options: Any) -> Any:
            return reference(xp, *arrays, **options)
        return run

    def asarray(self, value: Any, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Array:
        """``value`` (an array of this library, of NumPy, or nested lists) as an array here."""
        return self.xp.asarray(value, dtype=dtype, copy=copy)

    def to_numpy(self, array: Array) -> Any:
        """The array in host memory as a NumPy array, shared where that is possible."""
        import numpy as np
        return np.asarray(array)

    def upload(self, host: Any, device: str) -> Array:
        """A NumPy array's copy here. From page-locked memory, which must stay as it is until the device has read it, the host
        need not wait."""
        return self.asarray(host, device=device)

    def download(self, array: Array) -> Any:
        """The array's copy in (page-locked) host memory, complete once the device is synchronised, or :meth:`mark` is reached."""
        return self.to_numpy(array)

    def mark(self) -> Any:
        """A mark after what the device was asked for so far: ``done`` tells whether it is reached, ``synchronize()`` waits."""
        raise NotImplementedError(f"{self.name} is not asynchronous")

    def on(self, device: str) -> AbstractContextManager[Any]:
        """A context in which that device is the current one."""
        return nullcontext()

    def device_of(self, array: Array) -> str:
        """The array's device string."""
        return self.devices[0]

    def canonical(self, device: str) -> str:
        """A device string as :meth:`device_of` writes it: ``"cuda"`` is ``"cuda:0"``. ``DeviceError`` if there is none such."""
        kind, _, index = device.partition(":")
        if index not in ("", "0"):
            raise DeviceError(f"device {device!r} does not exist; there is one {kind} device: {kind!r}")
        return kind

    def namespace(self, device: str) -> Any:
        """``xp`` whose new arrays are made on that device."""
        return self.xp

    def unit(self, array: Array) -> Array:
        """A one of the scalar array's dtype and place, where backward starts. It may be shared: nobody writes to it."""
        return self.xp.ones_like(array)

    def owner(self, array: Array) -> Any:
        """The object that owns the memory ``array`` looks into; two arrays share memory only if theirs is the same."""
        return array

    def exclusive(self, array: Array, held: int) -> bool:
        """Whether nobody holds the array or its memory beyond the ``held`` variables the caller knows of, so that it may be kept
        uncopied."""
        return False

    def writable(self, array: Array) -> bool:
        """Whether the array may be written to: it is not read-only, and no two of its elements share a place."""
        return bool(getattr(getattr(array, "flags", None), "writeable", True))

    def assign(self, target: Array, index: Any, value: Any) -> None:
        """``target[index] = value`` in place."""
        target[index] = value

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which floating-point exceptions pass silently: backward divides by zero where that is right."""
        return nullcontext()

    def synchronize(self, device: str = "") -> None:
        """Wait until the device has done all that was asked of it, and raise what it reported."""

    def memory_stats(self, device: str = "") -> dict[str, int]:
        """Bytes by name: at least ``allocated`` where the library knows it."""
        return {}

    def out_of_memory(self, error: MemoryError, arrays: list[Array]) -> str:
        """What there is to say about an allocation that failed: the bytes asked for, and what the device has."""
        return str(error)

    def is_available(self) -> tuple[bool, str]:
        """Whether it can run here, and if not, why and what to do."""
        return True, ""
