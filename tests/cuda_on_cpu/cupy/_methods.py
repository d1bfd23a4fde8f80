"""What ``ndarray`` computes: operators, reductions, scans, sorting. Attached to the class here, called by the functions."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ._array import cast, here, hidden, ndarray, new, quietly, view, wrap
from ._machine import machine
from ._names import UFUNCS, VERSION
from ._ufunc import ufunc

_SCATTER = {"cupy_add": "add", "cupy_maximum": "max", "cupy_minimum": "min", "cupy_subtract": "sub"}
_REDUCTIONS = {"cupy_add": ("sum", "cumsum"), "cupy_multiply": ("prod", "cumprod")}


def integer_power(x: Any, y: Any) -> Any:
    """NumPy's; negative exponents of integers give what is left of the fraction, where NumPy raises."""
    common = np.result_type(x, y)
    if common.kind != "i":
        return np.power(x, y)
    x, y = np.asarray(x, common), np.asarray(y, common)
    fraction = np.where(np.abs(x) == 1, np.power(x, np.abs(y)), 0)
    return np.where(y < 0, fraction, np.power(x, np.maximum(y, 0))).astype(common)


_COMPUTED = {"fix": np.trunc, "sinc": np.sinc, "i0": np.i0, "power": integer_power, "pow": integer_power}


def _ufuncs() -> dict[str, ufunc]:
    made: dict[str, ufunc] = {}
    for name, found in UFUNCS.items():
        internal, types = found
        if internal not in made:
            made[internal] = ufunc(internal, types, _COMPUTED.get(name) or getattr(np, name), _SCATTER.get(internal),
                                   _REDUCTIONS.get(internal))
    return {name: made[found[0]] for name, found in UFUNCS.items()}


UFUNC = _ufuncs()


# neither has a loop of bfloat16
where = ufunc("cupy_where", [f"?{c}{c}->{c}" for c in "?bBhHiIlLqQefdFD"], np.where)
_clip = ufunc("cupy_clip", [f"{c * 3}->{c}" for c in "?bBhHiIlLqQefd"], lambda a, low, high: np.minimum(np.maximum(a, low), high))


def into(result: Any, out: Any) -> Any:
    """``result``, or ``out`` with it inside."""
    if out is None:
        return result
    target = here(out)
    if out.shape != result.shape:
        raise ValueError(f"Output shape {out.shape}, expected {result.shape}")
    target[...] = cast(result._a, out.dtype) if out.dtype != result.dtype else result._a
    return out


def call(name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """NumPy's function on the arrays' contents; its result is C-contiguous, or a view where NumPy's is."""
    arrays = [a for a in args if type(a) is ndarray]
    if machine.log is not None:
        machine.record(name)
    found = quietly(function, *[here(a) if type(a) is ndarray else a for a in args], **options)
    if isinstance(found, np.ndarray) and not found.flags.c_contiguous and found.base is None:
        found = np.array(found, order="C")
    return wrap(found, *arrays)


def in_range(axis: Any, ndim: int) -> None:
    for n in axis if isinstance(axis, tuple) else () if axis is None else (axis,):
        if not -ndim <= n < ndim:
            raise np.exceptions.AxisError(n, ndim)


# ---- reductions and scans ----------------------------------------------------------------------------------------------------

def _reduction(name: str, typed: bool) -> Callable[..., Any]:
    function = {"mean": _mean}.get(name) or getattr(np, name)

    def method(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        in_range(axis, self.ndim)
        options = {} if dtype is None else {"dtype": dtype}
        found = call(name, _wide(function) if typed else function, self, axis=axis, keepdims=bool(keepdims), **options)
        return into(found, out)

    def untyped(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return method(self, axis, None, out, keepdims)
    return method if typed else untyped


def _wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, which sums bfloat16 in float32."""
    def f(a: Any, *, dtype: Any = None, **options: Any) -> Any:
        dtype = a.dtype if dtype is None and a.dtype.name == "bfloat16" else dtype
        if dtype is not None and np.dtype(dtype).name == "bfloat16":
            return np.asarray(function(a, dtype=np.float32, **options)).astype(dtype)
        return function(a, **options) if dtype is None else function(a, dtype=dtype, **options)
    return f


def _mean(a: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    with warnings.catch_warnings():   # of an empty slice, whose mean is nan
        warnings.simplefilter("ignore")
        return np.mean(a, axis=axis, dtype=dtype, keepdims=keepdims)


def _spread(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
        if isinstance(axis, int) and not -self.ndim <= axis < self.ndim:
            raise IndexError("tuple index out of range")
        dtype = np.float64 if dtype is None and self.dtype.name == "bfloat16" else dtype
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return into(call(name, function, self, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims), out)
    return method


def _arg(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        in_range(axis, self.ndim)
        if dtype is not None and np.dtype(dtype).kind not in "iu":
            raise TypeError(f"Wrong type ({np.dtype(dtype).type}) of arguments for cupy_{name}")
        if isinstance(axis, tuple):
            axis = tuple(n % self.ndim for n in axis)
            kept = tuple(n for i, n in enumerate(self.shape) if i not in axis)
            found = call(name, lambda a: function(np.moveaxis(a, axis, range(-len(axis), 0)).reshape(*kept, -1), -1), self)
            found = found.reshape([1 if i in axis else n for i, n in enumerate(self.shape)]) if keepdims else found
        else:
            found = call(name, function, self, axis=axis, keepdims=keepdims)
        return into(found if dtype is None else found.astype(dtype), out)
    return method


def _scan(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        in_range(axis, self.ndim)
        found = call(name, _wide(function), self, axis=axis, dtype=dtype)
        return into(found if axis is None or self.ndim < 2 or not self.size else hidden(found._a), out)
    return method


# ---- indices and order -------------------------------------------------------------------------------------------------------

def _nonzero(self: Any) -> Any:
    machine.wait("nonzero")
    if self.ndim == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use cupy.atleast_1d(scalar).nonzero() instead.")
    places = np.argwhere(here(self))
    owner = new(places)
    return tuple([view(places[:, i], owner) for i in range(self.ndim)])


def _take(self: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    a = here(self)
    if axis is not None:
        in_range(axis, max(self.ndim, 1))
    if type(indices) is not ndarray and not np.isscalar(indices):
        machine.record("copy of indices to the device")
    places = here(indices) if type(indices) is ndarray else np.asarray(indices, np.int64)
    if places.dtype.kind not in "iub":
        raise TypeError(f"take: indices of dtype {places.dtype} do not compile")   # % of a float, in CuPy's kernel
    n = self.size if axis is None else a.shape[axis] if a.ndim else 1
    if not n and places.size and (axis is None or a.size // max(n, 1) or a.ndim == 1):
        raise IndexError("cannot do a non-empty take from an empty axes.")
    machine.record("take")
    found = np.take(a, places.astype(np.int64) % max(n, 1), axis=axis)   # out of range, indices wrap silently
    if out is not None and out.dtype != self.dtype:
        raise TypeError("Output dtype mismatch")
    return into(new(np.array(found, order="C")), out)


def _put(self: Any, indices: Any, values: Any, mode: str = "wrap") -> None:
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError("clipmode not understood")
    places = (here(indices) if type(indices) is ndarray else np.asarray(indices)).reshape(-1)
    given = cast(here(values) if type(values) is ndarray else np.asarray(values), self.dtype)
    if not given.size:
        return
    if mode == "raise":
        machine.wait("put")
        if np.any((places < -self.size) | (places >= self.size)):
            raise IndexError("invalid entry in indices array")
    machine.record("put")
    wrapped = np.clip(places, 0, self.size - 1) if mode == "clip" else places % self.size
    order = np.random.default_rng(wrapped.size).permutation(wrapped.size)
    np.put(here(self), wrapped[order], np.resize(given, wrapped.size)[order])


def _sorted(self: Any, axis: int, kind: Any) -> Any:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    if self.ndim == 0:
        raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
    in_range(axis, self.ndim)
    if self.dtype.name == "bfloat16":
        raise TypeError(f"Sorting arrays with dtype '{self.dtype}' is not supported")


def _sort(self: Any, axis: int = -1, kind: Any = None) -> None:
    _sorted(self, axis, kind)
    if not self.flags.c_contiguous:
        raise NotImplementedError("Sorting non-contiguous array is not supported.")
    machine.record("sort")
    here(self)[...] = np.sort(self._a, axis=axis, kind="stable")


def _argsort(self: Any, axis: int = -1, kind: Any = None) -> Any:
    self = self.reshape(1) if self.ndim == 0 else self
    _sorted(self, axis, kind)
    machine.record("argsort")
    if axis in (-1, self.ndim - 1):
        return new(np.argsort(here(self), axis=axis, kind="stable"))
    owner = new(np.argsort(np.moveaxis(here(self), axis, -1), axis=-1, kind="stable"))
    return view(np.moveaxis(owner._a, -1, axis), owner)


def _sort_13(self: Any, axis: int = -1) -> None:
    _sort(self, axis)


def _argsort_13(self: Any, axis: int = -1) -> Any:
    return _argsort(self, axis)


def _kth(self: Any, kth: Any, axis: int) -> None:
    for k in kth if isinstance(kth, tuple | list) else (kth,):
        if not -self.shape[axis] <= k < self.shape[axis]:
            raise ValueError(f"kth(={k}) out of bounds {self.shape[axis]}")


def _partition(self: Any, kth: Any, axis: int = -1) -> None:
    _kth(self, kth, axis)
    _sort(self, axis)


def _argpartition(self: Any, kth: Any, axis: int = -1) -> Any:
    _kth(self, kth, axis)
    return _argsort(self, axis)


def _searchsorted(self: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if type(v) is not ndarray:
        if VERSION < 14 or not np.isscalar(v):
            raise NotImplementedError("Only int or ndarray are supported for v")
        v = new(np.asarray(v))
    if self.ndim != 1:
        raise ValueError("object of too small depth for desired array" if self.ndim < 1 else "object too deep for desired array")
    return call("searchsorted", np.searchsorted, self, v, side=side, sorter=None if sorter is None else here(sorter))


# ---- others ------------------------------------------------------------------------------------------------------------------

def _dot(self: Any, b: Any, out: Any = None) -> Any:
    if type(b) is not ndarray:
        raise TypeError(f"Argument 'b' has incorrect type (expected cupy._core.core._ndarray_base, got {type(b).__name__})")
    if self.ndim and b.ndim and self.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError("Axis dimension mismatch")
    return into(call("dot", product(np.dot), self, b), out)


def product(function: Callable[..., Any]) -> Callable[..., Any]:
    """A matrix product that sums halves in float32, as cuBLAS does."""
    def f(x: Any, y: Any, *more: Any, **options: Any) -> Any:
        common = np.result_type(x, y)
        if common.name in ("float16", "bfloat16"):
            return np.asarray(function(x.astype(np.float32), y.astype(np.float32), *more, **options)).astype(common)
        return function(x, y, *more, **options)
    return f


def _clipped(self: Any, min: Any = None, max: Any = None, out: Any = None) -> Any:
    kind = self.dtype.kind
    if VERSION < 14 and min is None and max is None:
        raise ValueError("array_clip: must set either max or min")
    if kind in "iu":
        low, high = np.iinfo(self.dtype).min, np.iinfo(self.dtype).max
    else:
        low, high = (False, True) if kind == "b" else (-np.inf, np.inf)
    return _clip(self, self.dtype.type(low) if min is None else min, self.dtype.type(high) if max is None else max, out=out)


def _round(self: Any, decimals: int = 0, out: Any = None) -> Any:
    self = self.astype(np.float32) if self.dtype.name == "bfloat16" else self
    return into(call("round", np.round, self, decimals=decimals), out)


def _repeat(self: Any, repeats: Any, axis: Any = None) -> Any:
    if type(repeats) is ndarray:
        if VERSION < 14:
            raise ValueError("cupy.ndaray cannot be specified as `repeats` argument.")
        machine.wait("repeat")
        repeats = repeats._a
    found = call("repeat", np.repeat, self, repeats=repeats, axis=axis)
    return hidden(found._a) if isinstance(repeats, int) and (VERSION >= 14 or axis is None) else found


def _trace(self: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return self.diagonal(offset, axis1, axis2).sum(-1, dtype, out, False)


def _compress(self: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    machine.wait("compress")
    return into(call("compress", np.compress, condition, self, axis=axis), out)


def _choose(self: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    if type(choices) is not ndarray:
        raise AttributeError(f"{type(choices).__name__!r} object has no attribute 'shape'")
    if mode == "raise":
        machine.wait("choose")
    return into(call("choose", np.choose, self, choices, mode=mode), out)


def _conj(self: Any) -> Any:
    return UFUNC["conj"](self) if self.dtype.kind == "c" else self


def _prod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None) -> Any:
    return _reduction("prod", True)(self, axis, dtype, out, bool(keepdims))


METHODS: dict[str, Callable[..., Any]] = {
    "prod": _prod, **{name: _reduction(name, True) for name in ("sum", "mean")},
    **{name: _reduction(name, False) for name in ("max", "min", "all", "any", "ptp")},
    **{name: _arg(name) for name in ("argmax", "argmin")}, **{name: _spread(name) for name in ("var", "std")},
    **{name: _scan(name) for name in ("cumsum", "cumprod")}, "nonzero": _nonzero, "take": _take, "put": _put,
    "sort": _sort if VERSION >= 14 else _sort_13, "argsort": _argsort if VERSION >= 14 else _argsort_13,
    "searchsorted": _searchsorted, "dot": _dot, "round": _round, "repeat": _repeat, "trace": _trace, "compress": _compress,
    "partition": _partition, "argpartition": _argpartition, "choose": _choose, "clip": _clipped, "conj": _conj,
    "conjugate": _conj,
}
_BINARY = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
           "mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and",
           "or": "bitwise_or", "xor": "bitwise_xor", "divmod": "divmod"}
_COMPARISONS = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def yields(other: Any) -> bool:
    """Whether an object of another kind, with operators of its own, goes first."""
    return type(other) is not ndarray and getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def _attach() -> None:
    for short, name in _BINARY.items():
        f: Any = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: NotImplemented if yields(other) else f(self, other))
        setattr(ndarray, f"__r{short}__", lambda self, other, f=f: NotImplemented if yields(other) else f(other, self))
        if short != "divmod":
            setattr(ndarray, f"__i{short}__", lambda self, other, f=f: f(self, other, self))
    for short, name in _COMPARISONS.items():
        f = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: NotImplemented if yields(other) else f(self, other))
    for short, value in (("eq", False), ("ne", True)):   # of None
        f = getattr(ndarray, f"__{short}__")
        setattr(ndarray, f"__{short}__",
                lambda self, other, f=f, value=value: new(np.full(self.shape, value)) if other is None else f(self, other))
    for short, name in _UNARY.items():
        f = UFUNC[name]
        setattr(ndarray, f"__{short}__", lambda self, f=f: f(self))
    for name, method in METHODS.items():
        setattr(ndarray, name, method)
    if VERSION >= 14:
        ndarray.mT = property(lambda self: view(self._a.mT, self))   # type: ignore[attr-defined]
        ndarray.byteswap = lambda self, inplace=False: new(here(self).byteswap())   # type: ignore[attr-defined]


_attach()
__all__ = ["METHODS", "UFUNC", "call", "in_range", "into", "product", "where", "yields"]
