"""Elementwise functions with CuPy's loops and CuPy's promotion, computed by NumPy's."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._array import cast, here, ndarray, new, quietly
from ._indexing import broadcast
from ._machine import machine
from ._names import VERSION

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

_PYTHON = {bool: np.dtype(bool), int: np.dtype(np.int64), float: np.dtype(np.float64), complex: np.dtype(np.complex128)}
_ZERO: dict[Any, Any] = {np.dtype(np.int64): 0, np.dtype(np.uint64): 0, np.dtype(np.float64): 0.0, np.dtype(np.complex128): 0j}


class Scalar(NamedTuple):
    """A number among arrays: its dtype; ``weak`` where CuPy 14 lets it take the arrays' dtype (NEP 50); the smallest dtypes that
    hold its value, which CuPy 13 goes by."""

    dtype: np.dtype[Any]
    weak: bool
    smallest: tuple[np.dtype[Any], ...]


def scalar(x: Any) -> Scalar:
    """Raises ``TypeError`` for what CuPy takes for no number: lists, NumPy's arrays, None, text."""
    t = type(x)
    if t is int:
        if not -1 << 63 <= x < 1 << 64:
            raise OverflowError("Python int too large to convert to C long")
        dtype = np.dtype(np.int64 if x < 1 << 63 else np.uint64)
    elif t in _PYTHON:
        dtype = _PYTHON[t]
    elif isinstance(x, np.generic):
        dtype = x.dtype
    else:
        raise TypeError(f"Unsupported type {t}")
    return Scalar(dtype, t in (int, float, complex), _smallest(x) if VERSION < 14 else ())


def _smallest(x: Any) -> tuple[np.dtype[Any], ...]:
    least = np.min_scalar_type(x)
    if least.kind == "u" and int(x) <= np.iinfo(f"i{least.itemsize}").max:
        return least, np.dtype(f"i{least.itemsize}")
    return (least,)


def dtype_of(char: str) -> np.dtype[Any]:
    return np.dtype(bfloat16) if char == "E" else np.dtype(char)


def _kind(dtype: np.dtype[Any]) -> int:
    return 3 if dtype.kind == "V" else "biufc".index(dtype.kind) and (2 if dtype.kind in "fc" else 1)


def loops_of(types: list[str]) -> list[Any]:
    """``["ef->e"]`` as dtypes of inputs and outputs; without the loops of structures, and bfloat16's where there is none."""
    usable = [t for t in types if "V" not in t and (bfloat16 is not None or "E" not in t)]
    return [tuple(tuple(map(dtype_of, side)) for side in t.split("->")) for t in usable]


class ufunc:
    """``types``: CuPy's loops, of which the first that takes the arguments runs. ``scatter``: what ``at`` does."""

    def __init__(self, name: str, types: list[str], function: Callable[..., Any], scatter: str | None = None,
                 reductions: tuple[str, str] | None = None) -> None:
        self.name = self.__name__ = name
        self.types, self._function, self._scatter, self._reductions = types, function, scatter, reductions
        ins, outs = types[0].split("->")
        self.nin, self.nout = len(ins), len(outs)
        self.nargs = self.nin + self.nout
        self._loops = loops_of(types)
        self._mixed = "qQ->?" in types   # comparisons: integers of either sign count with their own dtype
        self._cache: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind", **more: Any) -> Any:
        if more:
            raise TypeError(f"Wrong arguments {more}")
        nin = self.nin
        if len(args) != nin or out is not None:
            args, out = self._split(args, out)
        values: list[Any] = []
        keys: list[Any] = []
        for x in args:
            if type(x) is ndarray:
                a = x._a if x._mem.device_id == machine.device else here(x)
                values.append(a)
                keys.append(a.dtype)
            else:
                values.append(x)
                keys.append(scalar(x))
        key = dtype if dtype is not None else tuple(keys)
        loop = self._cache.get(key)
        if loop is None:
            loop = self._cache[key] = self._choose(values, keys, dtype)
        ins, outs = loop
        if machine.log is not None:
            machine.record(self.name)
        for i, v in enumerate(values):
            t = ins[i]
            if isinstance(v, np.ndarray):
                if v.dtype != t:
                    values[i] = cast(v, t)
            elif VERSION >= 14:
                values[i] = np.array(v, t)   # raises OverflowError for an int that the dtype does not hold
            else:
                values[i] = cast(np.asarray(v), t)
        try:
            result = quietly(self._function, *values)
        except ValueError:
            broadcast(*[v.shape for v in values])
            raise
        except TypeError as error:   # NumPy's own class of it
            raise TypeError(str(error)) from None
        results = [_finished(r, t) for r, t in zip(result if self.nout > 1 else (result,), outs)]
        if out is not None:
            results = [r if o is None else _into(r, o, casting) for r, o in zip(results, out)]
        return results[0] if self.nout == 1 else tuple(results)

    def _split(self, args: Any, out: Any) -> Any:
        """The inputs, and a tuple of outputs or None."""
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}. It must be either {self.nin} or {self.nargs} (with "
                            f"outputs), but given {len(args)}.")
        if len(args) > self.nin:
            if out is not None:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            out = (*args[self.nin:], *(None,) * (self.nargs - len(args)))
        elif out is not None and not isinstance(out, tuple):
            if self.nout != 1:
                raise ValueError("'out' must be a tuple of arrays")
            out = (out,)
        if out is not None:
            if len(out) != self.nout:
                raise ValueError("The 'out' tuple must have exactly one entry per ufunc output")
            for o in out:
                if o is not None:
                    here(o)
        return args[:self.nin], out

    # ---- which loop ------------------------------------------------------------------------------------------------------------

    def _choose(self, values: Any, keys: Any, dtype: Any) -> Any:
        if dtype is not None:
            loops = [loop for loop in self._loops if all(t == dtype for t in loop[1])]
        else:
            accepts = self._by_nep_50(keys) if VERSION >= 14 else self._by_value(keys)
            loops = [loop for loop in self._loops if all(accepts(k, t) for k, t in zip(keys, loop[0]))]
        if not loops:
            broadcast(*[np.shape(v) for v in values])
            given = np.dtype(dtype) if dtype is not None else tuple(k.dtype if isinstance(k, Scalar) else k for k in keys)
            raise TypeError(f"Wrong type ({given}) of arguments for {self.name}")
        return loops[0]

    def _by_nep_50(self, keys: Any) -> Callable[[Any, Any], bool]:
        """Python's numbers take the arrays' dtype, unless they are of a higher kind; NumPy's scalars count like arrays."""
        scalars = [_kind(k.dtype) for k in keys if isinstance(k, Scalar) and k.weak]
        others = [_kind(getattr(k, "dtype", k)) for k in keys if not (isinstance(k, Scalar) and k.weak)]
        weak = bool(scalars and others) and max(others) >= max(scalars) and not self._mixed

        def accepts(key: Any, t: Any) -> bool:
            if not isinstance(key, Scalar):
                return bool(np.can_cast(key, t))
            if np.can_cast(key.dtype, t):
                return True
            try:
                return weak and key.weak and bool(np.result_type(_ZERO[key.dtype], t) == t)
            except TypeError:
                return False
        return accepts

    def _by_value(self, keys: Any) -> Callable[[Any, Any], bool]:
        """All scalars count by what their value needs, unless they are of a higher kind than the arrays."""
        scalars = [_kind(k.dtype) for k in keys if isinstance(k, Scalar)]
        arrays = [_kind(k) for k in keys if not isinstance(k, Scalar)]
        by_value = bool(scalars and arrays) and max(arrays) >= max(scalars)

        def accepts(key: Any, t: Any) -> bool:
            if not isinstance(key, Scalar):
                return bool(np.can_cast(key, t))
            return any(np.can_cast(k, t) for k in (key.smallest if by_value else (key.dtype,)))
        return accepts

    # ---- methods ---------------------------------------------------------------------------------------------------------------

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self._scatter is None:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if self._scatter == "sub":
            raise NotImplementedError("the stand-in has no subtract.at; CuPy's takes int32 and uint32 alone") \
                if a.dtype.char in "iI" else TypeError("cupy.subtract.at only supports int32, uint32, as data type")
        a._scatter_op(indices, b, self._scatter)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self._reductions is None:
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return getattr(array, self._reductions[0])(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        if self._reductions is None:
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return getattr(array, self._reductions[1])(axis, dtype, out)

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)


def _finished(result: Any, dtype: Any) -> ndarray:
    """CuPy's results are C-contiguous, whatever the arguments' order."""
    if type(result) is not np.ndarray:
        result = np.asarray(result)
    if result.dtype != dtype:
        result = cast(result, dtype)
    return new(result if result.flags.c_contiguous and result.base is None else np.array(result, order="C"))


def _into(result: ndarray, out: ndarray, casting: str) -> ndarray:
    if not np.can_cast(result.dtype, out.dtype, casting):   # type: ignore[arg-type]
        raise TypeError(f"Cannot cast output operand from {result.dtype!r} to {out.dtype!r} according to the rule {casting!r}")
    if np.broadcast_shapes(result.shape, out.shape) != out.shape or (result.shape != out.shape and result.ndim > out.ndim):
        raise ValueError("Out shape is mismatched")
    out._a[...] = result._a if result.dtype == out.dtype else cast(result._a, out.dtype)
    return out
