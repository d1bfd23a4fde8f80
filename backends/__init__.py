"""The array libraries tensorlite runs on, found by an array's type or by a device string.

Third parties register theirs with :func:`register_backend`, or by an entry point in the group ``tensorlite.backends``
that names a :class:`Backend` subclass; entry points are read only when something unknown is asked for.
"""
from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tensorlite._state import changed
from tensorlite.backends._base import Backend
from tensorlite.backends._numpy import NumpyBackend
from tensorlite.errors import BackendUnavailable, DeviceError, DTypeError

__all__ = ["Backend", "NumpyBackend", "backend_for_device", "backend_of", "backends", "named", "of_type", "register_backend",
           "use_backend"]

_by_name: dict[str, Backend] = {}
_by_type: dict[type, Backend] = {}
_missing: dict[str, str] = {}   # name -> why it is not there
_on_register: list[Any] = []    # the engine's tables that follow this one
_entry_points_read = False


def register_backend(name: str, backend: type[Backend] | Backend) -> Backend:
    """Add a backend under ``name`` (replacing one of that name) and return it, made if a class was given."""
    made = backend() if isinstance(backend, type) else backend
    if not isinstance(made, Backend):
        raise DTypeError(f"register_backend: {made!r} is a {type(made).__name__}; expected a Backend or a subclass of it")
    made.name = name
    ready, why = made.is_available()
    if not ready:
        _missing[name] = why
        return made
    _missing.pop(name, None)
    _by_name[name] = made
    _by_type[made.array_type] = made
    for follow in _on_register:
        follow(made)
    return made


def _read_entry_points() -> None:
    global _entry_points_read
    if _entry_points_read:
        return
    _entry_points_read = True
    from importlib.metadata import entry_points
    for point in entry_points(group="tensorlite.backends"):
        if point.name in _by_name:
            continue
        try:
            register_backend(point.name, point.load())
        except Exception as error:
            _missing[point.name] = f"its entry point {point.value} failed: {error}"


def _load_cuda() -> None:
    """Register the CUDA backend if CuPy and a device are there; else ``_missing`` says why not.

    CuPy is imported here, when CUDA is first asked for, and nowhere else.
    """
    if "cupy" in _by_name:
        return
    from tensorlite.backends import _cuda
    try:
        register_backend("cupy", _cuda.load())
    except BackendUnavailable as error:
        _missing["cupy"] = str(error)


def of_type(kind: type) -> Backend | None:
    """The backend whose arrays have this class, or None."""
    found = _by_type.get(kind)
    if found is None:
        for known, backend in list(_by_type.items()):
            if issubclass(kind, known):
                _by_type[kind] = found = backend
                break
    return found


def backend_of(array: Any) -> Backend:
    """The backend of a raw array; ``TypeError`` for anything that is none."""
    found = _by_type.get(type(array)) or of_type(type(array))
    if found is None and not isinstance(array, (list, tuple, dict, str)):
        if type(array).__module__.partition(".")[0] == "cupy":
            _load_cuda()
        _read_entry_points()
        found = of_type(type(array))
    if found is None:
        raise DTypeError(f"{type(array).__name__} is no array of a known backend ({', '.join(_by_name)}); "
                         "wrap it with tensorlite.asarray, or register its backend")
    return found


def backend_for_device(device: str) -> Backend:
    """The backend that answers to a device string: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or a third party's."""
    kind = str(device).partition(":")[0]
    for attempt in (0, 1):
        for backend in _by_name.values():
            if kind in backend.devices:
                return backend
        if not attempt:
            if kind == "cuda":
                _load_cuda()
            _read_entry_points()
    if kind == "cuda":
        raise BackendUnavailable(f"device {device!r} cannot be used: {_missing['cupy']}")
    known = sorted({d for b in _by_name.values() for d in b.devices})
    raise DeviceError(f"device {device!r} is unknown; there are {', '.join(known)}")


def named(device: Any) -> str:
    """A device string as tensors give it: ``"cuda"`` is ``"cuda:0"`` unless another device is current.

    Errors: ``DeviceError`` if there is none such.
    """
    return "cpu" if device == "cpu" else backend_for_device(device).canonical(str(device))


def backends() -> dict[str, str]:
    """Every backend by name: ``"available"``, or why it is missing and what to do.

    >>> import tensorlite as tl
    >>> tl.backends.backends()["numpy"]
    'available'
    """
    _load_cuda()
    _read_entry_points()
    return {**dict.fromkeys(_by_name, "available"), **_missing}


class use_backend(changed):
    """A context in which new tensors are made by the backend of that name unless they are told a device; ``"auto"`` takes CUDA
    where it is available, else the CPU.

    >>> import tensorlite as tl
    >>> with tl.use_backend("numpy"):
    ...     tl.zeros(2).device
    'cpu'
    """

    __slots__ = ()

    def __init__(self, name: str) -> None:
        if name in ("auto", "cupy"):
            _load_cuda()
        wanted = ("cupy" if "cupy" in _by_name else "numpy") if name == "auto" else name
        if wanted not in _by_name:
            found = backends()
            why = found.get(wanted, f"it is not known; there are auto, {', '.join(found)}")
            raise BackendUnavailable(f"use_backend: backend {name!r} cannot be used: {why}")
        super().__init__(device=_by_name[wanted].devices[0])


class _Callable(ModuleType):
    """This package, which can be called like its function: ``tensorlite.backends()``."""

    def __call__(self) -> dict[str, str]:
        return backends()


sys.modules[__name__].__class__ = _Callable
register_backend("numpy", NumpyBackend)
