"""Fused kernels over raw arrays: one folder a kernel, nothing here knows of tensors or of gradients.

A folder ``kernels/<name>/`` exports one :class:`Kernel` called ``kernel``: its reference (plain array code, the oracle),
its CPU version (Numba; imported only when first run) and its cost model. A variant that is missing, or whose
compiler is not installed, falls back to the reference. Kernels of users (``tl.kernel``) are registered beside them.
"""
from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, NamedTuple

__all__ = ["Cost", "Kernel", "discover", "failed", "has_compiler", "load", "load_all", "names", "register"]

_registered: dict[str, Kernel] = {}   # kernels that have no folder here
failed: dict[str, str] = {}           # entry points that could not be loaded, and why


class Cost(NamedTuple):
    """What a call moves and computes at the least: ``bytes`` read and written once, ``flops`` floating-point operations."""

    bytes: int
    flops: int


class Kernel:
    """One fused kernel and its variants.

    Parameters
    ----------
    name: the name backends find it by.
    reference: ``reference(xp, *arrays, **options)``, plain code over an array namespace; every variant is compared with it.
    cost: ``cost(*arrays, **options) -> Cost``, from shapes and dtypes alone.
    cpu: ``"package.module:function"`` of the CPU version, with the reference's arguments but for ``xp``; imported when first
        asked for.
    cuda: the same of the CUDA C++ version's host code, whose first argument is a :class:`~tensorlite.kernels._cuda.Runtime`
        instead of ``xp``.
    numba_cuda: the same of a version written with Numba-CUDA.
    sample: ``sample(rng)``, arguments (NumPy arrays) to measure it with.
    """

    def __init__(self, name: str, reference: Callable[..., Any], cost: Callable[..., Cost], cpu: str | None = None,
                 cuda: str | None = None, numba_cuda: str | None = None, sample: Callable[..., Any] | None = None) -> None:
        self.name, self.reference, self.cost, self.sample = name, reference, cost, sample
        self._cpu, self._cuda, self._numba_cuda = cpu, cuda, numba_cuda

    def __repr__(self) -> str:
        return f"Kernel({self.name!r}, variants={self.variants})"

    @property
    def variants(self) -> list[str]:
        """What it is written in: ``"reference"`` and some of ``"cpu"``, ``"cuda"``, ``"numba_cuda"``."""
        return ["reference", *(v for v in ("cpu", "cuda", "numba_cuda") if getattr(self, f"_{v}") is not None)]

    @cached_property
    def cpu(self) -> Callable[..., Any] | None:
        """The CPU version, or None where there is none or its compiler cannot be imported."""
        if self._cpu is None or not has_compiler():
            return None
        return _named(self._cpu)

    @cached_property
    def cuda(self) -> Callable[..., Any] | None:
        """The CUDA C++ version's host code, ``cuda(runtime, *arrays, **options)``, or None where there is none."""
        return None if self._cuda is None else _named(self._cuda)

    @cached_property
    def numba_cuda(self) -> Callable[..., Any] | None:
        """The Numba-CUDA version's host code, called like :attr:`cuda`, or None where there is none."""
        return None if self._numba_cuda is None else _named(self._numba_cuda)


def _named(what: str) -> Any:
    """The function that ``"package.module:function"`` names."""
    module, function = what.split(":")
    return getattr(importlib.import_module(module), function)


@cache
def has_compiler() -> bool:
    """Whether Numba can be imported. If it is there and cannot be (it refuses a NumPy newer than it knows), a warning says so."""
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("numba", "llvmlite"):
            return False
        _unusable(error)
        return False
    except (ImportError, OSError) as error:
        _unusable(error)
        return False
    return True


def _unusable(error: Exception) -> None:
    warnings.warn(f"tensorlite's compiled CPU kernels are off, NumPy does their work: Numba cannot be imported ({error})",
                  RuntimeWarning, stacklevel=3)


def names() -> list[str]:
    """The names of the kernels that are here, and of those that are registered, sorted."""
    return sorted({m.name for m in pkgutil.iter_modules(__path__) if m.ispkg and m.name[0] != "_"} | _registered.keys())


def register(kernel: Kernel) -> None:
    """List a kernel that has no folder here, in place of one that was registered under its name."""
    _registered[kernel.name] = kernel


@cache
def discover() -> None:
    """Import what other packages name in the entry points of the group ``tensorlite.kernels``: modules that define kernels."""
    from importlib.metadata import entry_points
    for point in entry_points(group="tensorlite.kernels"):
        try:
            point.load()
        except Exception as error:
            failed[point.name] = f"its entry point {point.value} failed: {error}"


def load_all() -> list[Kernel]:
    """Every kernel, other packages' too, with the host code of its CUDA version imported."""
    discover()
    found = [load(name) for name in names()]
    for kernel in found:
        kernel.cuda   # noqa: B018 - for its import
    return found


def load(name: str) -> Kernel:
    """The kernel of that name; ``KeyError`` lists the names that exist."""
    found = _registered.get(name)
    return _load(name) if found is None else found


@cache
def _load(name: str) -> Kernel:
    if name not in names():
        discover()
        if name in _registered:
            return _registered[name]
        raise KeyError(f"no kernel is called {name!r}; there are {', '.join(names())}")
    kernel: Kernel = importlib.import_module(f"{__name__}.{name}").kernel
    return kernel
