"""A strict stand-in for CuPy on machines without a GPU: what CuPy has, and no more, over NumPy arrays.

Its public names are those of ``names_13.json`` or ``names_14.json``; a name that CuPy has and the stand-in does not raises
``NotImplementedError``. It refuses what CuPy refuses, and does what CuPy does where NumPy does otherwise. ``_machine.machine`` tells
tests what made the host wait, and what was asked of which stream.
"""
from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np

from . import _functions, _machine, cuda
from ._array import ndarray
from ._machine import machine as _machine_state
from ._names import FULL_VERSION, NAMES, VERSION
from ._ufunc import ufunc

__version__ = FULL_VERSION


def _fill() -> None:
    mine = globals()
    for name in NAMES["cupy"]:
        if name in _functions.UFUNC:
            mine[name] = _functions.UFUNC[name]
        elif name in _functions.PLAIN and hasattr(np, name):
            mine[name] = _functions._plain(name)
        elif callable(found := vars(_functions).get(name)) and not isinstance(found, types.ModuleType):
            mine[name] = found
        elif isinstance(found := vars(np).get(name), type) and issubclass(found, np.generic) or name in _OF_NUMPY:
            mine[name] = getattr(np, name)


_OF_NUMPY = ("e", "euler_gamma", "inf", "nan", "newaxis", "pi", "dtype", "finfo", "iinfo", "promote_types", "issubdtype", "broadcast_shapes",
             "set_printoptions", "get_printoptions", "printoptions", "s_", "index_exp", "ndindex", "isscalar", "min_scalar_type")


def get_default_memory_pool() -> _machine.MemoryPool:
    return _machine.default_pool


def get_default_pinned_memory_pool() -> _machine.PinnedMemoryPool:
    return _machine.default_pinned_pool


def is_available() -> bool:
    return True


def _dispatch(function: Any, args: Any, kwargs: Any) -> Any:
    """What NumPy's function does with a CuPy array: CuPy's function of that name."""
    found = getattr(sys.modules[__name__], function.__name__, None)
    return NotImplemented if found is None else found(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name in ("RawModule", "RawKernel"):
        from .. import raw_module
        return getattr(raw_module, name)
    if name in NAMES["cupy"]:
        raise NotImplementedError(f"cupy {VERSION} has {name}, the stand-in for it does not")
    raise AttributeError(f"module 'cupy' has no attribute {name!r}")


_fill()
