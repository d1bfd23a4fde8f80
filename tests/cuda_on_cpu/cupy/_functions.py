"""CuPy's functions of arrays, with its signatures. What only one version has is taken up by that version alone (``__init__``)."""
from __future__ import annotations

import builtins
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _machine
from ._array import Capsule, cast, here, hidden, ndarray, new, quietly, view, wrap
from ._creation import (
    an_array,
    array,
    asarray,
    only_an_array,
)
from ._indexing import broadcast
from ._machine import machine
from ._methods import UFUNC, call, in_range, into, product, yields
from ._methods import where as _where
from ._names import NAMES, VERSION

__all__ = ["PLAIN", "UFUNC", "plain"]


# ---- the functions that call a method -----------------------------------------------------------------------------------------

def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).sum(axis, dtype, out, keepdims)


def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).prod(axis, dtype, out, keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).mean(axis, dtype, out, keepdims)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).max(axis, out, keepdims)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).min(axis, out, keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return only_an_array(a).all(axis, out, keepdims)


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return only_an_array(a).any(axis, out, keepdims)


def argmax(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).argmax(axis=axis, dtype=dtype, out=out, keepdims=keepdims)


def argmin(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).argmin(axis=axis, dtype=dtype, out=out, keepdims=keepdims)


def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    return an_array(a).var(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    return an_array(a).std(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return an_array(a).ptp(axis=axis, out=out, keepdims=keepdims)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return only_an_array(a).cumsum(axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return only_an_array(a).cumprod(axis, dtype, out)


def nonzero(a: Any) -> Any:
    return an_array(a).nonzero()


def take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    return an_array(a).take(indices, axis, out)


def put(a: Any, ind: Any, v: Any, mode: str = "wrap") -> None:
    an_array(a).put(ind, v, mode=mode)


def sort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    a = only_an_array(a)
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    if axis is None:
        found = a.flatten()
        found.sort()
        return found
    in_range(axis, a.ndim)
    found = new(np.array(np.moveaxis(here(a), axis, -1), order="C"))
    found.sort()
    return new(np.array(np.moveaxis(found._a, -1, axis), order="C"))


def argsort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    a = only_an_array(a)
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return a.ravel().argsort() if axis is None else a.argsort(axis)


def partition(a: Any, kth: Any, axis: Any = -1) -> Any:
    found = an_array(a).flatten() if axis is None else an_array(a).copy()
    found.partition(kth, -1 if axis is None else axis)
    return found


def argpartition(a: Any, kth: Any, axis: Any = -1) -> Any:
    found = (an_array(a).ravel() if axis is None else an_array(a)).argpartition(kth, -1 if axis is None else axis)
    return hidden(found._a)


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if type(a) is not ndarray:
        raise NotImplementedError("Only int or ndarray are supported for a")
    return a.searchsorted(v, side, sorter)


def reshape(a: Any, newshape: Any, order: str = "C", **more: Any) -> Any:
    return an_array(a).reshape(newshape, order=order, **more)


def ravel(a: Any, order: str = "C") -> Any:
    return an_array(a).ravel(order)


def transpose(a: Any, axes: Any = None) -> Any:
    return an_array(a).transpose(axes)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return an_array(a).swapaxes(axis1, axis2)


def squeeze(a: Any, axis: Any = None) -> Any:
    return an_array(a).squeeze(axis)


def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    return an_array(a).repeat(repeats, axis)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return an_array(a).diagonal(offset, axis1, axis2)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return an_array(a).trace(offset, axis1, axis2, dtype, out)


def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    return an_array(a).round(decimals, out)


def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    return an_array(a).compress(condition, axis, out)


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    return an_array(a).choose(choices, out, mode)


def copy(a: Any, order: str = "K") -> Any:
    return an_array(a).copy(order)


def real(val: Any) -> Any:
    return val.real if type(val) is ndarray else new(np.asarray(val)).real


def imag(val: Any) -> Any:
    return val.imag if type(val) is ndarray else new(np.asarray(val)).imag


def tril(m: Any, k: int = 0) -> Any:
    return call("tril", np.tril, _not_bfloat16(asarray(m)), k=k)


def triu(m: Any, k: int = 0) -> Any:
    return call("triu", np.triu, _not_bfloat16(asarray(m)), k=k)


def _not_bfloat16(m: Any) -> Any:
    """CuPy selects with ``where``, which has no loop of it."""
    return m.astype(np.float32) if m.dtype.name == "bfloat16" else m


# ---- joining, shaping --------------------------------------------------------------------------------------------------------

def _joined(tup: Any, convert: bool = False) -> list[Any]:
    arrays = [array(a) if convert and not isinstance(a, ndarray) else a for a in tup]
    for a in arrays:
        if type(a) is not ndarray:
            raise TypeError(f"Unsupported type {type(a)}")
    return [here(a) for a in arrays]


def concatenate(tup: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _joined(tup)
    if axis is not None and builtins.any(a.ndim == 0 for a in arrays):
        raise TypeError("zero-dimensional arrays cannot be concatenated")
    machine.record("concatenate")
    made = np.concatenate(arrays, axis, dtype=dtype, casting=casting)   # type: ignore[call-overload]
    return into(new(np.ascontiguousarray(made)), out)


def stack(tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _joined(tup)
    machine.record("stack")
    made = np.stack(arrays, axis, dtype=dtype, casting=casting)   # type: ignore[call-overload]
    return into(new(np.ascontiguousarray(made)), out)


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return new(np.ascontiguousarray(np.hstack(_joined(tup, True), dtype=dtype, casting=casting)))   # type: ignore[call-overload]


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return new(np.ascontiguousarray(np.vstack(_joined(tup, True), dtype=dtype, casting=casting)))   # type: ignore[call-overload]


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return view(np.moveaxis(an_array(a)._a, source, destination), a)


def expand_dims(a: Any, axis: Any) -> Any:
    return view(np.expand_dims(an_array(a)._a, axis), a)


def broadcast_to(array: Any, shape: Any) -> Any:
    if type(array) is not ndarray:
        raise TypeError(f"Argument 'array' has incorrect type (expected _ndarray_base, got {type(array).__name__})")
    made = np.broadcast_to(array._a, shape)
    if shape == array.shape:
        return array
    return view(np.lib.stride_tricks.as_strided(array._a, made.shape, made.strides), array)


def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    return view(np.lib.stride_tricks.as_strided(an_array(x)._a, shape, strides), x)


def broadcast_arrays(*args: Any) -> Any:
    shape = broadcast(*[an_array(a).shape for a in args])
    found = [broadcast_to(a, shape) for a in args]
    return tuple(found) if VERSION >= 14 else found


def diag(v: Any, k: int = 0) -> Any:
    return call("diag", lambda a: np.array(np.diag(a, k)), asarray(v))


def flip(a: Any, axis: Any = None) -> Any:
    return call("flip", np.flip, an_array(a), axis=axis)


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if type(shift) is ndarray:
        machine.wait("roll")
        shift = shift._a.tolist()
    found = call("roll", np.roll, an_array(a), shift=shift, axis=axis)
    return hidden(found._a) if axis is None else found


def take_along_axis(a: Any, indices: Any, axis: Any) -> Any:
    a, indices = an_array(a), an_array(indices)
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        a, axis = a.ravel(), 0
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    n = a.shape[axis]
    machine.record("take_along_axis")
    return new(np.take_along_axis(here(a), here(indices).astype(np.int64) % builtins.max(n, 1), axis))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    machine.record("put_along_axis")
    np.put_along_axis(here(arr), here(indices) % arr.shape[axis], cast(here(asarray(values)), arr.dtype), axis)


# ---- products ----------------------------------------------------------------------------------------------------------------

def matmul(*args: Any, **options: Any) -> Any:
    out, dtype = options.pop("out", None), options.pop("dtype", None)
    if set(options) - {"axes", "axis", "keepdims", "casting", "signature", "order"}:
        raise TypeError(f"matmul() got an unexpected keyword argument {next(iter(options))!r}")
    if options.get("axes") is not None or options.get("axis") is not None:
        raise NotImplementedError("the stand-in's matmul works on the last two axes")
    x, y = args[:2]
    for a in (x, y):
        if type(a) is not ndarray:
            raise TypeError(f"Unsupported type {type(a)}")
        if a.ndim == 0:
            raise ValueError("matmul: Input operand does not have enough dimensions")
    found = call("matmul", product(np.matmul), x, y)
    return into(found if dtype is None else found.astype(dtype), out if len(args) < 3 else args[2])


def _matmul(self: Any, other: Any) -> Any:
    return NotImplemented if yields(other) else matmul(self, other)


def _rmatmul(self: Any, other: Any) -> Any:
    return NotImplemented if yields(other) else matmul(other, self)


ndarray.__matmul__, ndarray.__rmatmul__ = _matmul, _rmatmul   # type: ignore[attr-defined]


def dot(a: Any, b: Any, out: Any = None) -> Any:
    return an_array(a).dot(b, out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return call("tensordot", product(np.tensordot), an_array(a), an_array(b), axes=axes)


def einsum(*operands: Any, **kwargs: Any) -> Any:
    if type(operands[0]) is not str:
        raise TypeError("the stand-in takes einsum with a string of subscripts")
    found = call("einsum", np.einsum, operands[0], *[an_array(a) for a in operands[1:]], **kwargs)
    return found if found.base is not None else hidden(found._a)


# ---- with a result whose size depends on values: the host waits --------------------------------------------------------------

def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None, *,
           equal_nan: bool = True) -> Any:
    machine.wait("unique")
    found = call("unique", np.unique, an_array(ar), return_index=return_index, return_inverse=return_inverse,
                 return_counts=return_counts, axis=axis, equal_nan=equal_nan)
    if return_inverse:
        found = list(found)
        at = 2 if return_index else 1
        inverse = found[at]._a
        found[at] = hidden(inverse) if VERSION >= 14 else new(inverse.reshape(-1).copy())
        return tuple(found)
    return found


class UniqueAllResult(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    values: Any
    inverse_indices: Any


def unique_all(x: Any) -> UniqueAllResult:
    return UniqueAllResult(*unique(x, True, True, True, equal_nan=False))


def unique_counts(x: Any) -> UniqueCountsResult:
    return UniqueCountsResult(*unique(x, return_counts=True, equal_nan=False))


def unique_inverse(x: Any) -> UniqueInverseResult:
    return UniqueInverseResult(*unique(x, return_inverse=True, equal_nan=False))


def unique_values(x: Any) -> Any:
    return unique(x, equal_nan=False)


def argwhere(a: Any) -> Any:
    machine.wait("argwhere")
    return call("argwhere", np.argwhere, an_array(a))


def flatnonzero(a: Any) -> Any:
    return an_array(a).ravel().nonzero()[0]


def bincount(x: Any, weights: Any = None, minlength: Any = None) -> Any:
    machine.wait("bincount")
    return call("bincount", np.bincount, an_array(x), *([] if weights is None else [an_array(weights)]), minlength=minlength or 0)


# ---- others ------------------------------------------------------------------------------------------------------------------

def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return type(a) is ndarray and type(b) is ndarray and np.may_share_memory(a._a, b._a)


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return type(a) is ndarray and type(b) is ndarray and np.shares_memory(a._a, b._a)


def get_array_module(*args: Any) -> Any:
    return sys.modules[__package__] if builtins.any(type(a) is ndarray for a in args) else np


def result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[a.dtype if type(a) is ndarray else a for a in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return bool(np.can_cast(from_.dtype if type(from_) is ndarray else from_, to, casting))   # type: ignore[arg-type]


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    if array.__dlpack_device__()[0] not in (2, 3, 13):
        raise TypeError("CPU arrays cannot be directly imported to CuPy. Use `cupy.array(numpy.from_dlpack(input))` instead.")
    if copy:
        raise BufferError("copy=True only supported for copy to CPU.")
    try:
        array = array.__dlpack__(stream=1, max_version=(1, 0), copy=copy)
    except TypeError:
        array = array.__dlpack__(stream=1)
    if type(array) is not Capsule:
        raise NotImplementedError("the stand-in knows no other library's device arrays")
    array = array.array
    memory = _machine.UnownedMemory(array.data.ptr, array.nbytes, array, array.device.id)
    return ndarray(array.shape, array.dtype, _machine.MemoryPointer(memory, 0), array.strides)   # its base is None


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if type(dst) is not ndarray:
        raise AttributeError(f"{type(dst).__name__!r} object is not a cupy.ndarray")
    if isinstance(src, np.ndarray | list) and np.ndim(src):
        raise ValueError(f"Unsupported type {type(src)}")
    dtype = src.dtype if hasattr(src, "dtype") else None
    if dtype is not None and not np.can_cast(dtype, dst.dtype, casting):   # type: ignore[arg-type]
        raise TypeError(f"Cannot cast {dtype} to {dst.dtype} in {casting} casting mode")
    if where is None:
        dst[...] = src
    else:
        machine.record("copyto")
        np.copyto(here(dst), cast(here(src) if type(src) is ndarray else np.asarray(src), dst.dtype), where=here(where))


def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    return call("allclose", lambda *x: np.asarray(np.allclose(*x, rtol=rtol, atol=atol, equal_nan=equal_nan)), a, b)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    return call("array_equal", lambda *x: np.asarray(np.array_equal(*x, equal_nan=equal_nan)), a1, a2)


def size(a: Any, axis: Any = None) -> int:
    return int(np.size(an_array(a)._a, axis))


def shape(a: Any) -> Any:
    return a.shape if type(a) is ndarray else np.shape(a)


def ndim(a: Any) -> int:
    return a.ndim if type(a) is ndarray else np.ndim(a)


def isscalar(element: Any) -> bool:
    return bool(np.isscalar(element))


def iscomplexobj(x: Any) -> bool:
    return bool(x.dtype.kind == "c") if type(x) is ndarray else bool(np.iscomplexobj(x))


def isrealobj(x: Any) -> bool:
    return not iscomplexobj(x)


def putmask(a: Any, mask: Any, values: Any) -> None:
    a[...] = _where(an_array(mask), values, a)


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    machine.record("fill_diagonal")
    np.fill_diagonal(here(a), here(val) if type(val) is ndarray else val, wrap)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    x = x if type(x) is ndarray else array(x)
    found = call("nan_to_num", lambda a: np.nan_to_num(a, True, nan, posinf, neginf), x)
    return found if copy else into(found, x)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    missing = (x is None) + (y is None)
    if missing == 1:
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if missing:
        return nonzero(condition)
    if type(condition) is not ndarray:
        raise (TypeError if isinstance(condition, np.ndarray) else AttributeError)(f"Unsupported type {type(condition)}")
    return _where(condition if condition.dtype == bool else condition.astype("?"), x, y)


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    return an_array(a).clip(a_min, a_max, out)


# ---- 14 only -------------------------------------------------------------------------------------------------------------------

def astype(x: Any, dtype: Any, copy: bool = True, *, device: Any = None) -> Any:
    return an_array(x).astype(dtype, copy=copy)


def matrix_transpose(x: Any) -> Any:
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return x.swapaxes(-1, -2)


concat, permute_dims = concatenate, transpose
isdtype = np.isdtype
amax, amin, round, asanyarray, row_stack = max, min, around, asarray, vstack

# functions of arrays that need no more than their contents, under CuPy's signature
PLAIN = ("angle", "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "average", "column_stack", "convolve",
         "correlate", "corrcoef", "count_nonzero", "cov", "cross", "cumulative_prod", "cumulative_sum", "diag_indices",
         "diagflat", "diff", "digitize", "dsplit", "dstack", "ediff1d", "extract", "fliplr", "flipud", "gradient", "histogram",
         "hsplit", "indices", "inner", "interp", "iscomplex", "isclose", "isin", "isneginf", "isposinf", "isreal", "ix_",
         "kron", "lexsort", "logspace", "median", "meshgrid", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax",
         "nanmean", "nanmedian", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "outer", "packbits", "pad", "percentile",
         "polyval", "quantile", "ravel_multi_index", "rollaxis", "rot90", "select", "setdiff1d", "split", "tile", "trapezoid",
         "tril_indices", "trim_zeros", "triu_indices", "union1d", "unpackbits", "unravel_index", "unwrap", "vander", "vdot",
         "vsplit")
_WAIT = ("average", "digitize", "extract", "histogram", "interp", "setdiff1d", "trim_zeros", "union1d")
_HIDDEN = ("append", "cumulative_sum", "isin", "kron", "percentile", "quantile", "tile")
_OF_HOST = ("column_stack", "dstack")   # these take what is on the host, and copy it
_LISTS = ("gradient", "split", "array_split", "hsplit", "vsplit", "dsplit", *(() if VERSION >= 14 else ("meshgrid",)))


def plain(name: str, function: Callable[..., Any], path: str = "cupy") -> Callable[..., Any]:
    """NumPy's function under CuPy's signature, refusing NumPy's arrays and lists of numbers where CuPy has arrays."""
    given = NAMES[path][name] or "()"
    names = {p.partition("=")[0].strip() for p in given.strip("()").split(",")}
    anything = "**kwargs" in names

    def f(*args: Any, **kwargs: Any) -> Any:
        if not anything and not names.issuperset(kwargs):
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(set(kwargs) - names))!r}")
        out = kwargs.pop("out", None)
        arrays: list[Any] = []

        def host(value: Any) -> Any:
            if type(value) is ndarray:
                arrays.append(value)
                return here(value)
            if isinstance(value, np.ndarray) and name not in _OF_HOST:
                raise TypeError(f"Unsupported type {type(value)}")
            return type(value)(host(v) for v in value) if type(value) in (list, tuple) else value
        if args and type(args[0]) is list and path == "cupy" and args[0] and np.isscalar(args[0][0]):
            raise TypeError(f"{name}: Unsupported type <class 'list'>")
        if name in _WAIT:
            machine.wait(name)
        machine.record(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = quietly(function, *[host(a) for a in args], **{k: host(v) for k, v in kwargs.items() if v is not None})
        if not isinstance(found, tuple | list):
            made = wrap(np.asarray(found, order=None if _is_view(found, arrays) else "C"), *arrays)
            return into(hidden(made._a) if name in _HIDDEN and made.base is None else made, out)
        made = [wrap(np.asarray(x, order=None if _is_view(x, arrays) else "C"), *arrays) for x in found]
        return made if name in _LISTS else tuple(made)
    f.__name__ = name
    return f


def _is_view(found: Any, arrays: Any) -> bool:
    return isinstance(found, np.ndarray) and builtins.any(np.may_share_memory(found, a._a) for a in arrays)
