"""A strict stand-in for CuPy on machines without a GPU: what CuPy has, and no more, over NumPy arrays.

Its public names are those of CuPy 13 or 14; a name that CuPy has and the stand-in does not raises
``NotImplementedError``. It refuses what CuPy refuses,
and does what CuPy does where NumPy does otherwise; ``../cupy_facts`` holds what
CuPy itself did. ``_machine.machine`` tells tests what made the host wait, and what was asked of which stream.
"""
from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import _creation, _functions, _linalg, _machine, cuda
from ._array import ndarray
from ._names import FULL_VERSION, NAMES, VERSION
from ._ufunc import ufunc

__version__ = FULL_VERSION
_CONSTANTS = {"Inf": np.inf, "Infinity": np.inf, "NAN": np.nan, "NINF": -np.inf, "NaN": np.nan, "PINF": np.inf, "NZERO": -0.0,
              "PZERO": 0.0, "infty": np.inf, "e": np.e, "euler_gamma": np.euler_gamma, "inf": np.inf, "nan": np.nan,
              "newaxis": None, "pi": np.pi}
_OF_NUMPY = ("dtype", "finfo", "iinfo", "promote_types", "issubdtype", "broadcast_shapes", "set_printoptions", "get_printoptions",
             "printoptions", "s_", "index_exp", "ndindex", "min_scalar_type")


def _submodule(path: str, numpy_module: Any) -> SimpleNamespace:
    names = {n: _functions.plain(n, getattr(numpy_module, n), path) for n, given in NAMES[path].items()
             if hasattr(numpy_module, n) and not isinstance(getattr(numpy_module, n), type)}
    return SimpleNamespace(**names)


def _fill() -> None:
    mine = globals()
    functions = vars(_creation) | vars(_functions)
    for name in NAMES["cupy"]:
        if name in _functions.UFUNC:
            mine[name] = _functions.UFUNC[name]
        elif name in _functions.PLAIN and hasattr(np, name):
            mine[name] = _functions.plain(name, getattr(np, name))
        elif name in _CONSTANTS:
            mine[name] = _CONSTANTS[name]
        elif getattr(functions.get(name), "__module__", "").startswith((__name__, "numpy")) and callable(functions[name]):
            mine[name] = functions[name]
        elif name in _OF_NUMPY or (isinstance(found := vars(np).get(name), type) and issubclass(found, np.generic)):
            mine[name] = getattr(np, name)


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_functions.as_strided))


def get_default_memory_pool() -> _machine.MemoryPool:
    return _machine.default_pool


def get_default_pinned_memory_pool() -> _machine.PinnedMemoryPool:
    return _machine.default_pinned_pool


def is_available() -> bool:
    return True


def dispatch(function: Any, args: Any, kwargs: Any) -> Any:
    """What NumPy's function does with a CuPy array: what CuPy's of that name does; None or NotImplemented without one."""
    module = getattr(function, "__module__", None) or "numpy"
    owner = linalg if module == "numpy.linalg" else fft if module == "numpy.fft" else sys.modules[__name__]
    found = getattr(owner, function.__name__, None)
    if args is None:
        return found
    return NotImplemented if found is None else found(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name in ("RawModule", "RawKernel"):
        from . import _raw
        return getattr(_raw, name)
    if name in NAMES["cupy"]:
        raise NotImplementedError(f"cupy {VERSION} has {name}, the stand-in for it does not")
    raise AttributeError(f"module 'cupy' has no attribute {name!r}")


_fill()
linalg, fft = _submodule("cupy.linalg", np.linalg), _submodule("cupy.fft", np.fft)
linalg.LinAlgError = np.linalg.LinAlgError
linalg.__dict__.update({name: getattr(_linalg, name) for name in ("inv", "cholesky", "solve", "lstsq")})
__all__ = ["cuda", "fft", "linalg", "ndarray", "ufunc"]
