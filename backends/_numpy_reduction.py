"""Reductions, softmax, scans and sorting where NumPy has a shorter way than the standard's names.

The ufuncs' own ``reduce`` skips the Python layer of ``np.sum`` and its like, about 1 us a call.
"""
from __future__ import annotations

from math import isfinite, isinf
from typing import Any

import numpy as np

# Any: the stubs do not know that keepdims may be given by position, which is the faster way
_add_reduce: Any = np.add.reduce
_multiply_reduce: Any = np.multiply.reduce
_maximum_reduce: Any = np.maximum.reduce
_minimum_reduce: Any = np.minimum.reduce
_logical_and_reduce: Any = np.logical_and.reduce
_logical_or_reduce: Any = np.logical_or.reduce
_SMALL = 1 << 14   # elements up to which filling a new array beats np.broadcast_to, 3 us of Python


def _count(shape: tuple[int, ...], axis: Any) -> int:
    if axis.__class__ is int:
        return shape[axis]
    n = 1
    for length in shape if axis is None else [shape[a] for a in axis]:
        n *= length
    return n


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    out = list(shape)
    for a in range(len(out)) if axis is None else (axis,) if axis.__class__ is int else axis:
        out[a] = 1
    return tuple(out)


def _narrow(dtype: Any) -> bool:
    """Whether it is float16 or bfloat16, whose sums stall: 2048 and 256 are the first integers that 1 does not raise."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def _spread(g: Any, *, shape: tuple[int, ...], axis: Any = None, keepdims: bool = False, mean: bool = False) -> Any:
    if mean:
        g = np.true_divide(g, _count(shape, axis) or 1)
    if axis is not None and not keepdims:
        g = g.reshape(_kept(shape, axis))
    size = 1
    for n in shape:
        size *= n
    if size <= _SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return np.broadcast_to(g, shape)


def _sum(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    dtype = x.dtype
    if dtype.itemsize == 2 and _narrow(dtype):
        return _add_reduce(x, axis, np.float32, None, keepdims).astype(dtype)
    return _add_reduce(x, axis, None, None, keepdims)


def _mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    dtype = x.dtype
    if dtype.kind in "biu":
        total = _add_reduce(x, axis, np.float64, None, keepdims)
    elif dtype.itemsize == 2:
        total = _add_reduce(x, axis, np.float32, None, keepdims)
    else:
        total = _add_reduce(x, axis, None, None, keepdims)
    n = x.size if axis is None else _count(x.shape, axis)
    total = total / n if n else total * np.nan   # nan without the warning of 0/0
    return total.astype(dtype) if dtype.itemsize == 2 and _narrow(dtype) else total


def _max(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _maximum_reduce(x, axis, None, None, keepdims)


def _min(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _minimum_reduce(x, axis, None, None, keepdims)


def _shares(x: Any, out: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    if not keepdims:
        out = out.reshape(_kept(x.shape, axis))
    ties = np.equal(x, out)
    missing = np.not_equal(out, out)
    if _logical_or_reduce(missing, None):
        ties |= missing & np.isnan(x)
    counts = _add_reduce(ties, axis, None, None, True)
    return np.true_divide(ties, counts, dtype=x.dtype if x.dtype.kind == "f" else None)


def _all(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _logical_and_reduce(x, axis, None, None, keepdims)


def _any(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _logical_or_reduce(x, axis, None, None, keepdims)


def _count_nonzero(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return np.count_nonzero(x, axis=axis, keepdims=keepdims)


# ---- softmax and its kin -------------------------------------------------------------------------------------------------

def _shifted(x: Any, axis: Any) -> tuple[Any, Any, bool]:
    """x - max, the max, and whether all of them are finite; where one is not, 0 is subtracted instead."""
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    top = _maximum_reduce(x, axis, None, None, True)
    finite = isfinite(np.vdot(top, top).real)   # too large squares only take the longer way
    if not finite:
        top = np.where(np.isinf(top), top.dtype.type(0), top)
    return np.asarray(np.subtract(x, top)), top, finite


def _total(e: Any, axis: Any, finite: bool) -> Any:
    """The sum of exponentials, at least 1 where the max is finite; 1 for a row of -inf only, which has no max to subtract."""
    total = _add_reduce(e, axis, None, None, True)
    return total if finite else np.where(total == 0, total.dtype.type(1), total)


def _softmax(x: Any, *, axis: Any = -1) -> Any:
    if not x.size:
        return x.copy()
    out, _, finite = _shifted(x, axis)
    np.exp(out, out)
    return np.true_divide(out, _total(out, axis, finite), out)


def _softmax_grad(g: Any, y: Any, *, axis: Any) -> Any:
    out = np.multiply(g, y)
    return np.subtract(out, y * _add_reduce(out, axis, None, None, True), out if y.ndim else None)


def _log_softmax(x: Any, *, axis: Any = -1) -> Any:
    if not x.size:
        return x.copy()
    out, _, finite = _shifted(x, axis)
    return np.subtract(out, np.log(_total(np.exp(out), axis, finite)), out)


def _log_softmax_grad(g: Any, y: Any, *, axis: Any) -> Any:
    out = np.asarray(np.exp(y))
    return np.subtract(g, np.multiply(out, _add_reduce(g, axis, None, None, True), out), out)


def _logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    if not x.size:
        return np.full(_add_reduce(x, axis, None, None, keepdims).shape, -np.inf, x.dtype)
    out, top, finite = _shifted(x, axis)
    total = _add_reduce(np.exp(out, out), axis, None, None, True)
    if finite:
        out = np.log(total)
    else:
        none = total == 0
        out = np.where(none, total.dtype.type(-np.inf), np.log(np.where(none, total.dtype.type(1), total)))
    out += top
    if keepdims:
        return out
    return out.reshape(()) if axis is None else np.squeeze(out, axis)


# ---- products, variances, norms ------------------------------------------------------------------------------------------

def _prod(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _multiply_reduce(x, axis, None, None, keepdims)


def _variance(x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    n = x.size if axis is None else _count(x.shape, axis)
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    elif x.dtype.itemsize == 2:
        x = x.astype(np.float32)
    if n - correction <= 0:   # without the warning of 0/0
        return _add_reduce(x, axis, None, None, keepdims) * np.nan
    difference = x - _add_reduce(x, axis, None, None, True) / n
    if difference.dtype.kind == "c":
        difference = np.abs(difference)
    return _add_reduce(difference * difference, axis, None, None, keepdims) / (n - correction)


def _var(x: Any, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    out = _variance(x, axis, correction, keepdims)
    return out.astype(x.dtype) if x.dtype.itemsize == 2 and _narrow(x.dtype) else out


def _std(x: Any, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    out = np.sqrt(_variance(x, axis, correction, keepdims))
    return out.astype(x.dtype) if x.dtype.itemsize == 2 and _narrow(x.dtype) else out


def _safe_div(x: Any, d: Any) -> Any:
    if _logical_and_reduce(d, None):
        return np.true_divide(x, d)
    zero = np.equal(d, 0)
    out = np.true_divide(x, np.where(zero, d.dtype.type(1), d))
    return np.where(zero, out.dtype.type(0), out)


def _vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    elif x.dtype.itemsize == 2:
        return _vector_norm(x.astype(np.float32), axis=axis, keepdims=keepdims, ord=ord).astype(x.dtype)
    if x.dtype.kind == "c":
        x = np.abs(x)
    if ord == 0:
        return _add_reduce(np.not_equal(x, 0), axis, x.dtype, None, keepdims)
    if ord == 1:
        return _add_reduce(np.abs(x), axis, None, None, keepdims)
    if isinf(ord):
        if ord > 0 and not x.size:
            return _add_reduce(x, axis, None, None, keepdims)
        return (_maximum_reduce if ord > 0 else _minimum_reduce)(np.abs(x), axis, None, None, keepdims)
    if ord == 2:
        with np.errstate(over="ignore", under="ignore"):
            total = (np.vdot(x, x) if axis is None and not keepdims
                     else _add_reduce(np.multiply(x, x), axis, None, None, keepdims))
        smallest, largest = _minimum_reduce(total, None, initial=np.inf), _maximum_reduce(total, None, initial=0)
        if smallest > _LEAST[total.dtype.char] and largest < np.inf:
            return np.sqrt(total)
    # some sum overflowed, lost digits to underflow, or is 0: scaled, as in the reference
    size = np.abs(x)
    if not x.size and ord > 0:
        return _add_reduce(size, axis, None, None, keepdims)
    scale = (_maximum_reduce if ord > 0 else _minimum_reduce)(size, axis, None, None, True)
    scale = np.where((scale == 0) | np.isinf(scale), scale.dtype.type(1), scale)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        total = _add_reduce((size / scale) ** ord, axis, None, None, True)
        out = (np.sqrt(total) if ord == 2 else total ** (1 / ord)) * scale
    return out if keepdims else out.reshape(_add_reduce(scale, axis, None, None, False).shape)


_LEAST = {"f": 1e-30, "d": 1e-290, "g": 1e-290}   # sums of squares above it have lost nothing to underflow


# ---- running sums and products -------------------------------------------------------------------------------------------

def _slide(x: Any, *, axis: int, before: int, after: int, fill: float = 0) -> Any:
    n = x.shape[axis]
    if not n and before + after <= 0:
        return x
    cut: list[Any] = [slice(None)] * x.ndim
    start, stop = max(-before, 0), max(n - max(-after, 0), 0)
    cut[axis] = slice(start, stop)
    part = x[tuple(cut)]
    if before <= 0 and after <= 0:
        return part
    shape = list(x.shape)
    shape[axis] = max(stop - start, 0) + max(before, 0) + max(after, 0)
    out = np.full(shape, fill, x.dtype)
    cut[axis] = slice(max(before, 0), shape[axis] - max(after, 0))
    out[tuple(cut)] = part
    return out


def _recur(a: Any, b: Any, *, axis: int, reverse: bool = False) -> Any:
    """One pass over the axis: numerically the recurrence itself, and the fewest operations."""
    out = np.array(np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape)), order="C")
    a, s = np.moveaxis(np.broadcast_to(a, out.shape), axis, 0), np.moveaxis(out, axis, 0)
    order = range(len(s) - 2, -1, -1) if reverse else range(1, len(s))
    back = 1 if reverse else -1
    if s.ndim == 1:   # numbers of Python's are three times as fast as NumPy's one at a time
        factors, sums = a.tolist(), s.tolist()
        for i in order:
            sums[i] += factors[i] * sums[i + back]
        out[...] = sums
        return out
    for i in order:
        s[i] += a[i] * s[i + back]
    return out


def _cumsum(x: Any, *, axis: int, reverse: bool = False) -> Any:
    if x.dtype.itemsize == 2 and _narrow(x.dtype):
        return _cumsum(x.astype(np.float32), axis=axis, reverse=reverse).astype(x.dtype)
    if reverse:
        return np.flip(np.add.accumulate(np.flip(x, axis), axis), axis)
    return np.add.accumulate(x, axis)


def _cumprod(x: Any, *, axis: int, reverse: bool = False) -> Any:
    if reverse:
        return np.flip(np.multiply.accumulate(np.flip(x, axis), axis), axis)
    return np.multiply.accumulate(x, axis)


IMPLEMENTATIONS: dict[str, Any] = {
    "spread": _spread, "sum": _sum, "mean": _mean, "max": _max, "min": _min, "shares": _shares, "all": _all, "any": _any,
    "count_nonzero": _count_nonzero, "softmax": _softmax, "softmax_grad": _softmax_grad, "log_softmax": _log_softmax,
    "log_softmax_grad": _log_softmax_grad, "logsumexp": _logsumexp,
    "prod": _prod, "var": _var, "std": _std, "safe_div": _safe_div, "vector_norm": _vector_norm, "slide": _slide, "recur": _recur,
    "cumsum": _cumsum, "cumprod": _cumprod,
}
