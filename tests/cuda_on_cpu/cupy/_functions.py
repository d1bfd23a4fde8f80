"""CuPy's functions of arrays, with its signatures. A name that only one version has is taken up by that version alone (``__init__``)."""
from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _machine
from ._array import cast, here, ndarray, new, quietly, supported, view, wrap
from ._machine import machine
from ._names import NAMES, UFUNCS, VERSION
from ._ufunc import bfloat16, dtype_of, ufunc

ARITHMETIC = "?bBhHiIlLqQefdFD"


# ---- elementwise -------------------------------------------------------------------------------------------------------------

def _numpy_function(name: str) -> Callable[..., Any]:
    plain = {"fix": np.trunc, "sinc": np.sinc, "i0": np.i0}.get(name)
    return getattr(np, name) if plain is None else plain


def _ufuncs() -> dict[str, ufunc]:
    made: dict[str, ufunc] = {}
    scatter = {"cupy_add": "add", "cupy_maximum": "max", "cupy_minimum": "min"}
    out = {}
    for name, found in UFUNCS.items():
        internal = found["name"]
        if internal not in made:
            made[internal] = ufunc(internal, found["types"], _numpy_function(name), scatter=scatter.get(internal))
        out[name] = made[internal]
    return out


UFUNC = _ufuncs()


def _same(n: int, chars: str = ARITHMETIC, out: str | None = None) -> list[str]:
    if VERSION >= 14 and bfloat16 is not None:
        chars = chars.replace("e", "eE")
    return [f"{c * n}->{out or c}" for c in chars]


_where = ufunc("cupy_where", ["?" + t[1:] for t in _same(3)], np.where)
_clip = ufunc("cupy_clip", _same(3), lambda a, low, high: np.minimum(np.maximum(a, low), high))
_real = {"real": lambda a: a.real, "imag": lambda a: a.imag}


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    missing = (x is None) + (y is None)
    if missing == 2:
        return condition.nonzero()
    if missing:
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if type(condition) is not ndarray:
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")
    return _where(condition.astype("?", copy=False), x, y)


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    return _array(a).clip(a_min, a_max, out)


def _clipped(self: Any, min: Any = None, max: Any = None, out: Any = None) -> Any:
    if min is None and max is None:
        raise ValueError("array_clip: must set either max or min")
    kind = self.dtype.kind
    low, high = (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max) if kind in "iu" else (False, True) if kind == "b" else (-np.inf, np.inf)
    return _clip(self, self.dtype.type(low) if min is None else min, self.dtype.type(high) if max is None else max, out=out)


# ---- what a function takes ---------------------------------------------------------------------------------------------------

def _array(a: Any) -> Any:
    """CuPy calls a method of the argument: lists have none, and NumPy's arrays are not to slip through unseen."""
    if type(a) is ndarray:
        return a
    if isinstance(a, np.ndarray | np.generic):
        raise TypeError(f"Unsupported type {type(a)}")
    raise AttributeError(f"{type(a).__name__!r} object is not an array")


def _out(result: Any, out: Any) -> Any:
    if out is None:
        return result
    if type(out) is not ndarray:
        raise TypeError(f"return arrays must be of ArrayType, not {type(out)}")
    if out.shape != result.shape:
        raise ValueError(f"Out shape is mismatched: {out.shape}, expected {result.shape}")
    here(out)[...] = cast(result._a, out.dtype) if out.dtype != result.dtype else result._a
    return out


def _call(name: str, function: Any, *args: Any, **options: Any) -> Any:
    """NumPy's function on the arrays' contents."""
    arrays = [a for a in args if type(a) is ndarray]
    machine.record(name)
    return wrap(quietly(function, *[here(a) if type(a) is ndarray else a for a in args], **options), *arrays)


# ---- reductions and scans ----------------------------------------------------------------------------------------------------

def _sum(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _out(_call("sum", np.sum, self, axis=axis, dtype=_float32_of(self, dtype), keepdims=keepdims), out)


def _float32_of(self: Any, dtype: Any) -> Any:
    return dtype


def _prod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None) -> Any:
    return _out(_call("prod", np.prod, self, axis=axis, dtype=dtype, keepdims=bool(keepdims)), out)


def _mean(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _out(_call("mean", _numpy_mean, self, axis=axis, dtype=dtype, keepdims=keepdims), out)


def _numpy_mean(a: Any, axis: Any, dtype: Any, keepdims: bool) -> Any:
    n = np.prod([a.shape[i] for i in (range(a.ndim) if axis is None else np.atleast_1d(axis))], dtype=np.int64)
    if n == 0:
        kind = dtype or (np.float64 if a.dtype.kind in "biu" else a.dtype)
        return np.full(np.sum(a, axis=axis, keepdims=keepdims).shape, np.nan, kind)
    return np.mean(a, axis=axis, dtype=dtype, keepdims=keepdims)


def _extreme(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _out(_call(name, function, self, axis=axis, keepdims=keepdims), out)
    return method


def _arg(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        if isinstance(axis, tuple):
            raise TypeError("'tuple' object cannot be interpreted as an integer")
        found = _call(name, function, self, axis=axis, keepdims=keepdims)
        return _out(found if dtype is None else found.astype(dtype), out)
    return method


def _spread(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _out(_call(name, function, self, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims), out)
    return method


def _scan(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return _out(_call(name, function, self, axis=axis, dtype=dtype), out)
    return method


def _nonzero(self: Any) -> Any:
    machine.wait("nonzero")
    if self.ndim == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use cupy.atleast_1d(scalar).nonzero() instead.")
    return _call("nonzero", np.nonzero, self)


def _take(self: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    if not isinstance(indices, ndarray | int | np.integer):
        if not isinstance(indices, list | tuple | np.ndarray):
            raise TypeError(f"Unsupported type {type(indices)}")
        indices = array(indices)
    machine.record("take")
    where_ = here(indices) if type(indices) is ndarray else np.asarray(indices)
    n = self.size if axis is None else self.shape[axis]
    if n == 0 and where_.size:
        raise IndexError("cannot do a non-empty take from an empty axes.")
    if type(indices) is not ndarray and where_.ndim == 0 and not -n <= int(where_) < n:
        raise IndexError(f"Index {int(where_)} is out of bounds for axis {axis or 0} with size {n}")
    return _out(new(np.take(here(self), where_.astype(np.int64) % (n or 1), axis=axis)), out)


def _put(self: Any, indices: Any, values: Any, mode: str = "wrap") -> None:
    if mode not in ("raise", "wrap", "clip"):
        raise TypeError("clipmode not understood")
    indices = here(indices) if type(indices) is ndarray else np.asarray(indices)
    values = here(values) if type(values) is ndarray else np.asarray(values)
    values = cast(values, self.dtype)
    wrapped = np.clip(indices, 0, self.size - 1) if mode == "clip" else indices % (self.size or 1)
    order = np.random.default_rng(wrapped.size).permutation(wrapped.size)
    machine.record("put")
    np.put(here(self), wrapped.reshape(-1)[order], np.resize(values, wrapped.size)[order])


def _sort(self: Any, axis: int = -1, kind: Any = None) -> None:
    _sortable(self, kind)
    machine.record("sort")
    here(self)[...] = np.sort(self._a, axis=axis, kind="stable")


def _argsort(self: Any, axis: int = -1, kind: Any = None) -> Any:
    _sortable(self, kind)
    if self.ndim == 0:
        raise ValueError("Sorting arrays with the rank of zero is not supported")
    return _call("argsort", np.argsort, self, axis=axis, kind="stable")


def _sortable(self: Any, kind: Any) -> None:
    if kind is not None and kind != "stable":
        raise ValueError("kind can only be None or 'stable'")
    if self.ndim == 0:
        raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")


def _searchsorted(self: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    v = v if type(v) is ndarray else new(np.asarray(v))
    return _call("searchsorted", np.searchsorted, self, v, side=side, sorter=None if sorter is None else here(sorter))


def _dot(self: Any, b: Any, out: Any = None) -> Any:
    return _out(_call("dot", np.dot, self, _array(b)), out)


def _round(self: Any, decimals: int = 0, out: Any = None) -> Any:
    return _out(_call("round", np.round, self, decimals=decimals), out)


def _repeat(self: Any, repeats: Any, axis: Any = None) -> Any:
    if type(repeats) is ndarray:
        raise ValueError("cupy.ndaray cannot be specified as `repeats` argument.")
    return _call("repeat", np.repeat, self, repeats=repeats, axis=axis)


def _trace(self: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return self.diagonal(offset, axis1, axis2).sum(-1, dtype, out, False)


def _compress(self: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    machine.wait("compress")
    return _out(_call("compress", np.compress, condition, self, axis=axis), out)


def _partition(self: Any, kth: Any, axis: int = -1) -> None:
    _sort(self, axis)


def _argpartition(self: Any, kth: Any, axis: int = -1) -> Any:
    return _argsort(self, axis)


def _choose(self: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    return _out(_call("choose", np.choose, self, [here(c) for c in choices], mode=mode), out)


def _ptp(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _out(_call("ptp", np.ptp, self, axis=axis, keepdims=keepdims), out)


METHODS: dict[str, Callable[..., Any]] = {
    "sum": _sum, "prod": _prod, "mean": _mean, "max": _extreme("max"), "min": _extreme("min"), "all": _extreme("all"),
    "any": _extreme("any"), "argmax": _arg("argmax"), "argmin": _arg("argmin"), "var": _spread("var"), "std": _spread("std"),
    "cumsum": _scan("cumsum"), "cumprod": _scan("cumprod"), "nonzero": _nonzero, "take": _take, "put": _put, "sort": _sort,
    "argsort": _argsort, "searchsorted": _searchsorted, "dot": _dot, "round": _round, "repeat": _repeat, "trace": _trace,
    "compress": _compress, "partition": _partition, "argpartition": _argpartition, "choose": _choose, "ptp": _ptp, "clip": _clipped,
    "conj": lambda self: UFUNC["conj"](self) if self.dtype.kind == "c" else self,
}
METHODS["conjugate"] = METHODS["conj"]
if VERSION >= 14:
    METHODS["byteswap"] = lambda self, inplace=False: new(here(self).byteswap())


def _operators() -> None:
    names = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide", "mod": "remainder",
             "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    for short, name in names.items():
        f = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: f(self, other) if _operand(other) else NotImplemented)
        setattr(ndarray, f"__r{short}__", lambda self, other, f=f: f(other, self) if _operand(other) else NotImplemented)
        setattr(ndarray, f"__i{short}__", lambda self, other, f=f: f(self, other, self))
    for short, name in {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
        f = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: f(self, other))
    for short, name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
        f = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, f=f: f(self))
    ndarray.__divmod__ = lambda self, other: UFUNC["divmod"](self, other)   # type: ignore[attr-defined]
    ndarray.__rdivmod__ = lambda self, other: UFUNC["divmod"](other, self)   # type: ignore[attr-defined]
    ndarray.__matmul__ = lambda self, other: matmul(self, other)   # type: ignore[attr-defined]
    ndarray.__rmatmul__ = lambda self, other: matmul(other, self)   # type: ignore[attr-defined]
    for name, method in METHODS.items():
        setattr(ndarray, name, method)
    if VERSION >= 14:
        ndarray.mT = property(lambda self: view(here(self).mT, self))   # type: ignore[attr-defined]


def _operand(other: Any) -> bool:
    """Whether CuPy's operators try: an object of a higher priority goes first."""
    return type(other) is ndarray or getattr(other, "__array_priority__", 0) <= ndarray.__array_priority__


# ---- the functions that call a method -----------------------------------------------------------------------------------------

def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).sum(axis, dtype, out, keepdims)


def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).prod(axis, dtype, out, keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).mean(axis, dtype, out, keepdims)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).max(axis, out, keepdims)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).min(axis, out, keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).all(axis, out, keepdims)


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).any(axis, out, keepdims)


def argmax(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).argmax(axis=axis, dtype=dtype, out=out, keepdims=keepdims)


def argmin(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).argmin(axis=axis, dtype=dtype, out=out, keepdims=keepdims)


def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    return _array(a).var(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    return _array(a).std(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _array(a).ptp(axis=axis, out=out, keepdims=keepdims)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _array(a).cumsum(axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _array(a).cumprod(axis, dtype, out)


def nonzero(a: Any) -> Any:
    return _array(a).nonzero()


def take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    return _array(a).take(indices, axis, out)


def put(a: Any, ind: Any, v: Any, mode: str = "wrap") -> None:
    _array(a).put(ind, v, mode=mode)


def sort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    a = _array(a)
    found = a.flatten() if axis is None else a.copy()
    found.sort(-1 if axis is None else axis, kind)
    return found


def argsort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    a = _array(a)
    return _argsort(a.ravel() if axis is None else a, -1 if axis is None else axis, kind)


def partition(a: Any, kth: Any, axis: Any = -1) -> Any:
    return sort(a, axis)


def argpartition(a: Any, kth: Any, axis: Any = -1) -> Any:
    return argsort(a, axis)


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if type(a) is not ndarray:
        raise NotImplementedError("Only int or ndarray are supported for a")
    return a.searchsorted(v, side, sorter)


def reshape(a: Any, newshape: Any, order: str = "C", **more: Any) -> Any:
    return _array(a).reshape(newshape, order=order, **more)


def ravel(a: Any, order: str = "C") -> Any:
    return _array(a).ravel(order)


def transpose(a: Any, axes: Any = None) -> Any:
    return _array(a).transpose(axes)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return _array(a).swapaxes(axis1, axis2)


def squeeze(a: Any, axis: Any = None) -> Any:
    return _array(a).squeeze(axis)


def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    return _array(a).repeat(repeats, axis)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return _array(a).diagonal(offset, axis1, axis2)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return _array(a).trace(offset, axis1, axis2, dtype, out)


def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    return _array(a).round(decimals, out)


def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    return _array(a).compress(condition, axis, out)


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    return _array(a).choose(choices, out, mode)


def copy(a: Any, order: str = "K") -> Any:
    return _array(a).copy(order)


def real(val: Any) -> Any:
    return val.real if type(val) is ndarray else new(np.asarray(val)).real


def imag(val: Any) -> Any:
    return val.imag if type(val) is ndarray else new(np.asarray(val)).imag


# ---- making arrays -----------------------------------------------------------------------------------------------------------

def array(obj: Any, dtype: Any = None, copy: bool = True, order: Any = "K", subok: bool = False, ndmin: int = 0, *,
          blocking: bool = False) -> ndarray:
    if subok:
        raise NotImplementedError
    dtype = None if dtype is None else supported(np.dtype(dtype))
    if type(obj) is ndarray:
        found = obj if not copy and (dtype is None or dtype == obj.dtype) else obj.astype(obj.dtype if dtype is None else dtype, order or "K")
        found = found.copy() if copy and found is obj else found
        if order in ("C", "F") and not found.flags[f"{order}_CONTIGUOUS"]:
            found = found.copy(order)
        return found if found.ndim >= ndmin else found.reshape((1,) * (ndmin - found.ndim) + found.shape)
    if isinstance(obj, list | tuple) and _holds_arrays(obj):
        found = stack([array(o) for o in obj])
        return found if dtype is None else found.astype(dtype)
    host = np.array(obj, dtype=dtype, order=order or "K", ndmin=ndmin)   # type: ignore[call-overload]
    supported(host.dtype)
    if blocking:
        machine.wait("copy of a host array")
    machine.record("copy of a host array")
    return new(host)


def _holds_arrays(obj: Any) -> bool:
    return builtins.any(type(o) is ndarray or isinstance(o, list | tuple) and _holds_arrays(o) for o in obj)


if VERSION >= 14:
    def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
        if copy is False and (type(a) is not ndarray or dtype is not None and np.dtype(dtype) != a.dtype):
            raise ValueError("Unable to avoid copy while creating an array as requested.")
        return array(a, dtype, bool(copy), order or "K", blocking=blocking)
else:
    def asarray(a: Any, dtype: Any = None, order: Any = None, *, blocking: bool = False) -> ndarray:   # type: ignore[misc]
        return array(a, dtype, False, order or "K", blocking=blocking)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    found = array(a, dtype, False, "C")
    return found.reshape(1) if found.ndim == 0 else found


def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, False, "F")


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    if type(a) is ndarray:
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    found = np.asarray(a, order=order)   # type: ignore[call-overload]
    if out is None:
        return found
    out[...] = found
    return out


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def zeros(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    return _filled(shape, dtype, order, 0)


def ones(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    return _filled(shape, dtype, order, 1)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C") -> ndarray:
    if dtype is None:
        dtype = fill_value.dtype if hasattr(fill_value, "dtype") else np.array(fill_value).dtype
    return _filled(shape, dtype, order, fill_value)


def _filled(shape: Any, dtype: Any, order: Any, value: Any) -> ndarray:
    made = ndarray(shape, dtype, order=order)
    machine.record("fill")
    if type(value) is ndarray:
        made[...] = value
    else:
        value = np.asarray(value)
        made._a[...] = value if value.dtype == made.dtype else cast(value, made.dtype)
    return made


def _like(a: Any, dtype: Any, order: Any, shape: Any) -> tuple[Any, Any, Any]:
    a = _array(a)
    order = order or "K"
    order = ("F" if a.flags.fnc else "C") if order in "AK" else order
    return a.shape if shape is None else shape, a.dtype if dtype is None else dtype, order


def empty_like(prototype: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(prototype, dtype, order, shape)
    return empty(shape, dtype, order)


def zeros_like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return _filled(shape, dtype, order, 0)


def ones_like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return _filled(shape, dtype, order, 1)


def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return _filled(shape, dtype, order, fill_value)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    if type(start) is ndarray or type(stop) is ndarray:
        raise TypeError("arange takes numbers of the host")
    if dtype is not None and np.dtype(dtype) == bool:
        raise TypeError("no fill-function for data-type")
    machine.record("arange")
    start, stop = (0, start) if stop is None else (start, stop)
    if dtype is not None and np.dtype(dtype).kind in "efV":
        return new(cast(np.arange(start, stop, step), dtype))
    return new(np.arange(start, stop, step, dtype=dtype))


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0) -> Any:
    values = [here(v) if type(v) is ndarray else v for v in (start, stop)]
    machine.record("linspace")
    return wrap(np.linspace(values[0], values[1], num, endpoint, retstep, dtype, axis))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: Any = "C") -> ndarray:
    machine.record("eye")
    return new(np.eye(N, M, k, supported(np.dtype(dtype)), order))


def identity(n: int, dtype: Any = float) -> ndarray:
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> ndarray:
    machine.record("tri")
    return new(np.tri(N, M, k, dtype))


def tril(m: Any, k: int = 0) -> Any:
    return _call("tril", np.tril, asarray(m), k=k)


def triu(m: Any, k: int = 0) -> Any:
    return _call("triu", np.triu, asarray(m), k=k)


# ---- joining, shaping --------------------------------------------------------------------------------------------------------

def _all_arrays(tup: Any, name: str) -> list[Any]:
    if type(tup) is ndarray:
        tup = list(tup)
    for a in tup:
        if type(a) is not ndarray:
            raise TypeError("Only cupy arrays can be concatenated") if not hasattr(a, "__cuda_array_interface__") else TypeError(name)
    return [here(a) for a in tup]


def concatenate(tup: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _all_arrays(tup, "concatenate")
    machine.record("concatenate")
    return _out(new(np.concatenate(arrays, axis, dtype=dtype, casting=casting)), out)   # type: ignore[call-overload]


def stack(tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _all_arrays(tup, "stack")
    machine.record("stack")
    return _out(new(np.stack(arrays, axis, dtype=dtype, casting=casting)), out)   # type: ignore[call-overload]


def _stacker(name: str) -> Callable[..., Any]:
    def f(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
        machine.record(name)
        return new(getattr(np, name)(_all_arrays(tup, name), dtype=dtype, casting=casting))
    return f


hstack, vstack = _stacker("hstack"), _stacker("vstack")


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return view(np.moveaxis(_array(a)._a, source, destination), a)


def expand_dims(a: Any, axis: Any) -> Any:
    return view(np.expand_dims(_array(a)._a, axis), a)


def broadcast_to(array: Any, shape: Any) -> Any:
    made = np.broadcast_to(_array(array)._a, shape)
    return view(np.lib.stride_tricks.as_strided(array._a, made.shape, made.strides), array)


def broadcast_arrays(*args: Any) -> Any:
    shape = np.broadcast_shapes(*[_array(a).shape for a in args])
    return [broadcast_to(a, shape) for a in args]


def flip(a: Any, axis: Any = None) -> Any:
    return _call("flip", np.flip, _array(a), axis=axis)


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if type(shift) is ndarray:
        shift = shift.get()
    return _call("roll", np.roll, _array(a), shift=shift, axis=axis)


def take_along_axis(a: Any, indices: Any, axis: Any) -> Any:
    a, indices = _array(a), _array(indices)
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        if indices.ndim != 1:
            raise NotImplementedError("axis=None takes 1-d indices")
        a, axis = a.ravel(), 0
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    n = a.shape[axis]
    machine.record("take_along_axis")
    return new(np.take_along_axis(here(a), here(indices).astype(np.int64) % builtins.max(n, 1), axis))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    machine.record("put_along_axis")
    np.put_along_axis(here(arr), here(indices) % arr.shape[axis], here(values) if type(values) is ndarray else values, axis)


# ---- products ----------------------------------------------------------------------------------------------------------------

def matmul(*args: Any, out: Any = None, casting: str = "same_kind", dtype: Any = None, order: str = "K", axes: Any = None, axis: Any = None,
           keepdims: bool = False, signature: Any = None) -> Any:
    x, y = args[:2]
    for a in (x, y):
        if type(a) is not ndarray:
            raise TypeError(f"Unsupported type {type(a)}")
        if a.ndim == 0:
            raise ValueError("matmul: Input operand does not have enough dimensions")
    found = _call("matmul", _product, x, y)
    return _out(found if dtype is None else found.astype(dtype), out if len(args) < 3 else args[2])


def _product(x: Any, y: Any) -> Any:
    common = np.result_type(x, y)
    if common.name in ("float16", "bfloat16"):
        return np.matmul(x.astype(np.float32), y.astype(np.float32)).astype(common)
    return np.ascontiguousarray(np.matmul(x, y)) if x.ndim + y.ndim > 2 else np.asarray(np.matmul(x, y))


def dot(a: Any, b: Any, out: Any = None) -> Any:
    return _array(a).dot(b, out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return _call("tensordot", np.tensordot, _array(a), _array(b), axes=axes)


def einsum(*operands: Any, **kwargs: Any) -> Any:
    if type(operands[0]) is not str:
        raise TypeError("the stand-in takes einsum with a string of subscripts")
    return _call("einsum", np.einsum, operands[0], *[_array(a) for a in operands[1:]], **kwargs)


# ---- with a result whose size depends on values: the host waits -----------------------------------------------------------------

def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None, *,
           equal_nan: bool = True) -> Any:
    machine.wait("unique")
    return _call("unique", np.unique, _array(ar), return_index=return_index, return_inverse=return_inverse, return_counts=return_counts,
                 axis=axis, equal_nan=equal_nan)


def argwhere(a: Any) -> Any:
    machine.wait("argwhere")
    return _call("argwhere", np.argwhere, _array(a))


def flatnonzero(a: Any) -> Any:
    return _array(a).ravel().nonzero()[0]


def bincount(x: Any, weights: Any = None, minlength: Any = None) -> Any:
    machine.wait("bincount")
    return _call("bincount", np.bincount, _array(x), *([] if weights is None else [_array(weights)]), minlength=minlength or 0)


# ---- others ------------------------------------------------------------------------------------------------------------------

def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return type(a) is ndarray and type(b) is ndarray and np.may_share_memory(a._a, b._a)


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return type(a) is ndarray and type(b) is ndarray and np.shares_memory(a._a, b._a)


def get_array_module(*args: Any) -> Any:
    import sys
    return sys.modules[__package__] if builtins.any(type(a) is ndarray for a in args) else np


def result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[a.dtype if type(a) is ndarray else a for a in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return bool(np.can_cast(from_.dtype if type(from_) is ndarray else from_, to, casting))   # type: ignore[arg-type]


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    kind = array.__dlpack_device__()[0]
    if kind in (2, 13):
        if type(array) is ndarray:
            return view(array._a, array)
        raise BufferError("the stand-in knows no other library's device arrays")
    raise BufferError("CPU tensors cannot be taken by CuPy")


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if type(dst) is not ndarray:
        raise TypeError(f"dst must be cupy.ndarray, got {type(dst)}")
    value = here(src) if type(src) is ndarray else src
    if isinstance(value, list | np.ndarray) and type(src) is not ndarray:
        raise TypeError(f"Unsupported type {type(src)}")
    machine.record("copyto")
    if not np.can_cast(getattr(value, "dtype", np.asarray(value).dtype), dst.dtype, casting) and type(src) is ndarray:   # type: ignore[arg-type]
        raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} in {casting} casting mode")
    value = cast(np.asarray(value), dst.dtype)
    here(dst)[...] = value if where is None else np.where(here(where), value, dst._a)


def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    return _call("allclose", lambda *x: np.asarray(np.allclose(*x, rtol=rtol, atol=atol, equal_nan=equal_nan)), a, b)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    return _call("array_equal", lambda *x: np.asarray(np.array_equal(*x, equal_nan=equal_nan)), a1, a2)


def size(a: Any, axis: Any = None) -> int:
    return int(np.size(_array(a)._a, axis))


def shape(a: Any) -> Any:
    return a.shape if type(a) is ndarray else np.shape(a)


def ndim(a: Any) -> int:
    return a.ndim if type(a) is ndarray else np.ndim(a)


# ---- 14 only -------------------------------------------------------------------------------------------------------------------

def astype(x: Any, dtype: Any, copy: bool = True, *, device: Any = None) -> Any:
    return _array(x).astype(dtype, copy=copy)


def matrix_transpose(x: Any) -> Any:
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return x.swapaxes(-1, -2)


concat, permute_dims = concatenate, transpose
isdtype = np.isdtype
amax, amin, round, asanyarray = max, min, around, asarray
row_stack = vstack

# functions of arrays that need no more than their contents, under CuPy's signature
PLAIN = ("angle", "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "average", "column_stack", "convolve", "correlate",
         "corrcoef", "count_nonzero", "cov", "cross", "diag", "diagflat", "diff", "digitize", "dsplit", "dstack", "ediff1d", "extract",
         "fliplr", "flipud", "gradient", "hsplit", "inner", "interp", "iscomplex", "isclose", "isin", "isneginf", "isposinf", "isreal", "kron",
         "lexsort", "median", "meshgrid", "nan_to_num", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean",
         "nanmedian", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "outer", "packbits", "pad", "percentile", "polyval", "quantile",
         "ravel_multi_index", "rollaxis", "rot90", "select", "setdiff1d", "split", "tile", "trim_zeros", "union1d", "unpackbits",
         "unravel_index", "unwrap", "vander", "vdot", "vsplit", "apply_along_axis", "tril_indices", "triu_indices", "indices",
         "diag_indices", "ix_", "histogram", "logspace", "trapezoid", "cumulative_sum", "cumulative_prod")
_WAITS = ("extract", "setdiff1d", "union1d", "trim_zeros", "histogram", "nonzero", "digitize")


def _plain(name: str) -> Callable[..., Any]:
    """NumPy's function under CuPy's signature, refusing lists and NumPy's arrays where it takes arrays."""
    import inspect
    given = NAMES["cupy"][name]
    function = getattr(np, name)
    assert given is not None
    names = [p.partition("=")[0].strip() for p in given.strip("()").replace("*", "").split(",")]
    options = {n for n in names if n} if "**" not in given and "*" not in given.replace("*,", "") else None
    del inspect

    def f(*args: Any, **kwargs: Any) -> Any:
        if options is not None and not options.issuperset(kwargs):
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(set(kwargs) - options))!r}")
        kwargs = {k: v for k, v in kwargs.items() if not (v is None and k in ("out", "dtype"))}
        if name in _WAITS:
            machine.wait(name)
        arrays: list[Any] = []

        def host(value: Any) -> Any:
            if type(value) is ndarray:
                arrays.append(value)
                return here(value)
            if isinstance(value, np.ndarray):
                raise TypeError(f"Unsupported type {type(value)}")
            if type(value) in (list, tuple):
                return type(value)(host(v) for v in value)
            return value
        taken, options_ = [host(a) for a in args], {k: host(v) for k, v in kwargs.items()}
        machine.record(name)
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = quietly(function, *taken, **options_)
        if isinstance(result, tuple) and type(result) is not tuple:
            result = tuple(result)
        return wrap(result, *arrays) if not isinstance(result, int | float | bool) else new(np.asarray(result))
    f.__name__ = name
    return f


_operators()
