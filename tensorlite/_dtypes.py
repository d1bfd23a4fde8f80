"""Element types: the standard's names, the defaults, and what kind each is. NumPy's dtype objects are used throughout."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.errors import DTypeError

bool_ = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(t) for t in (np.int8, np.int16, np.int32, np.int64))
uint8, uint16, uint32, uint64 = (np.dtype(t) for t in (np.uint8, np.uint16, np.uint32, np.uint64))
float16, float32, float64 = (np.dtype(t) for t in (np.float16, np.float32, np.float64))
complex64, complex128 = (np.dtype(t) for t in (np.complex64, np.complex128))

_default = float32
_differentiable: dict[Any, bool] = {}   # filled as dtypes are met: array libraries other than NumPy have their own objects


def kind(dtype: Any) -> str:
    """``"b"``, ``"i"``, ``"u"``, ``"f"`` or ``"c"`` for a dtype of any library; bfloat16 is ``"f"``."""
    letter = getattr(dtype, "kind", None)
    if letter is None or letter == "V":
        name = str(dtype).rpartition(".")[2]
        for start, letter in (("bool", "b"), ("uint", "u"), ("int", "i"), ("float", "f"), ("bfloat", "f"), ("complex", "c")):
            if name.startswith(start):
                return letter
        return "V"
    return str(letter)


def is_differentiable(dtype: Any) -> bool:
    """Whether values of this type can carry gradients: floating and complex types."""
    key = dtype.__class__, dtype   # libraries' dtypes may hash alike and refuse to be compared
    found = _differentiable.get(key)
    if found is None:
        found = _differentiable[key] = kind(dtype) in "fc"
    return found


def get_default_dtype() -> Any:
    """The type that Python floats become."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Make Python floats become ``dtype`` (float16, bfloat16, float32 or float64) in new tensors.

    >>> import tensorlite as tl
    >>> tl.set_default_dtype(tl.float64); tl.tensor(1.5).dtype
    dtype('float64')
    >>> tl.set_default_dtype(tl.float32)
    """
    global _default
    found = as_dtype(dtype)
    if kind(found) != "f":
        raise DTypeError(f"set_default_dtype: {dtype} is not a floating type; give float16, bfloat16, float32 or float64")
    _default = found


def as_dtype(dtype: Any) -> Any:
    """The dtype object of what a user calls one: a dtype, a NumPy type, ``float``, or a name such as ``"bfloat16"``."""
    if dtype is None or isinstance(dtype, np.dtype):
        return dtype
    if dtype is float:
        return _default
    if str(dtype).rpartition(".")[2] == "bfloat16":
        return bfloat16()
    try:
        return np.dtype(dtype)
    except (TypeError, ValueError):
        name = str(dtype).rpartition(".")[2]   # array_api_strict.float32, torch.float32
        try:
            return np.dtype({"half": "float16", "float": "float32", "double": "float64", "long": "int64"}.get(name, name))
        except TypeError:
            raise DTypeError(f"{dtype!r} is no dtype; give one such as tensorlite.float32") from None


def bfloat16() -> Any:
    """The bfloat16 dtype, which the package ml_dtypes brings."""
    try:
        import ml_dtypes
    except ImportError:
        raise DTypeError("bfloat16 needs the package ml_dtypes: pip install ml-dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


def is_name(text: str) -> bool:
    """Whether a string names a dtype (and not a device)."""
    try:
        as_dtype(text)
    except DTypeError:
        return False
    return True
