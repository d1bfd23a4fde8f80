"""What the array API standard asks of a namespace besides its functions: constants, dtype queries, inspection."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite._dtypes import as_dtype
from tensorlite.engine.value import Value
from tensorlite.errors import DTypeError
from tensorlite.ops._names import torch_names
from tensorlite.ops.manipulation import dtype_of, result_type

e, inf, nan, pi = math.e, math.inf, math.nan, math.pi
newaxis = None
promote_types = result_type
__array_api_version__ = "2024.12"


@torch_names
def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: ``"bool"``, ``"integral"``, ``"real floating"``, ``"numeric"``, ..., a dtype, or a tuple of
    them."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    letter = _dtypes.kind(as_dtype(dtype))
    letters = {"bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
               "complex floating": "c", "numeric": "iufc"}
    if isinstance(kind, str) and kind in letters:
        return letter in letters[kind]
    if isinstance(kind, str) and not _dtypes.is_name(kind):
        raise DTypeError(f"isdtype: {kind!r} is no kind; expected one of {', '.join(letters)}, a dtype, or a tuple of them")
    return bool(as_dtype(dtype) == as_dtype(kind))


@torch_names
def finfo(type: Any, /) -> Any:
    """The limits of a floating dtype (or array): eps, max, min, smallest_normal, bits."""
    found = dtype_of(type)
    if str(found) == "bfloat16":
        import ml_dtypes
        return ml_dtypes.finfo(found)
    return np.finfo(found)


@torch_names
def iinfo(type: Any, /) -> Any:
    """The limits of an integer dtype (or array): max, min, bits."""
    return np.iinfo(dtype_of(type))


def is_tensor(obj: Any, /) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Value)


@torch_names
def numel(x: Any, /) -> int:
    """The number of elements."""
    return math.prod(x.shape)


@torch_names
def is_floating_point(x: Any, /) -> bool:
    """Whether the dtype of ``x`` is a floating one."""
    return _dtypes.kind(x.dtype) == "f"


class _Info:
    """``__array_namespace_info__``: what devices and dtypes there are."""

    def capabilities(self) -> dict[str, Any]:
        """What of the standard's optional behaviour is there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where tensors are made unless said otherwise."""
        return "cpu"

    def devices(self) -> list[str]:
        """Every device there is."""
        from tensorlite import backends
        return sorted({d for b in backends._by_name.values() for d in b.devices})

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """What Python numbers become."""
        real = _dtypes.get_default_dtype()
        return {"real floating": real, "complex floating": np.result_type(real, np.complex64),
                "integral": _dtypes.int64, "indexing": _dtypes.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Every dtype of the standard, or those of a kind."""
        names = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
                 "complex64", "complex128")
        return {n: np.dtype(n) for n in names if kind is None or isdtype(np.dtype(n), kind)}


def __array_namespace_info__() -> _Info:
    """The standard's inspection of the namespace."""
    return _Info()
