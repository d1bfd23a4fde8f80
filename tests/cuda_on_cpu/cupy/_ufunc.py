"""Elementwise functions with CuPy's loops and CuPy's promotion, computed by NumPy's."""
from __future__ import annotations

from typing import Any

import numpy as np

from ._array import cast, here, ndarray, new, quietly
from ._machine import machine
from ._names import VERSION

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

_WEAK: dict[type, Any] = {int: np.dtype(np.int64), float: np.dtype(np.float64), complex: np.dtype(np.complex128)}
_NUMPY_NAMES = {"fix": "trunc", "true_divide": "true_divide"}


def dtype_of(char: str) -> np.dtype[Any]:
    return np.dtype(bfloat16) if char == "E" else np.dtype(char)


def _kind(t: Any) -> int:
    if issubclass(t, np.bool_):
        return 0
    if issubclass(t, np.integer | int):
        return 1
    return 2 if issubclass(t, np.inexact | float | complex) else 3


class ufunc:
    """``types``: CuPy's loops, the first that takes the arguments runs."""

    def __init__(self, name: str, types: list[str], function: Any, casting: str = "same_kind", scatter: str | None = None) -> None:
        self.name = self.__name__ = name
        self.types, self._function, self._casting, self._scatter = types, function, casting, scatter
        ins, outs = types[0].split("->")
        self.nin, self.nout = len(ins), len(outs)
        self.nargs = self.nin + self.nout
        self._loops = [tuple(tuple(map(dtype_of, side)) for side in t.split("->")) for t in types if "V" not in t and ("E" not in t or bfloat16)]
        self._exact = "Qq->?" in types   # such loops compare integers of any signs
        self._cache: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str | None = None, **more: Any) -> Any:
        if more:
            raise TypeError(f"Wrong arguments {more}")
        nin = self.nin
        if not nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}. It must be either {nin} or {self.nargs} (with outputs), "
                            f"but given {len(args)}.")
        if len(args) > nin:
            if out is not None:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            out, args = (*args[nin:], *(None,) * (self.nargs - len(args))), args[:nin]
        if out is not None and not isinstance(out, tuple):
            if self.nout != 1:
                raise ValueError("'out' must be a tuple of arrays")
            out = (out,)
        values: list[Any] = []
        keys: list[Any] = []
        for x in args:
            t = type(x)
            if t is ndarray:
                if x._mem.device_id != machine.device:
                    here(x)
                values.append(x._a)
                keys.append(x._a.dtype)
            elif t in _WEAK:
                values.append(x)
                keys.append((int, x >= 1 << 63) if t is int and not -1 << 63 <= x < 1 << 63 else t)
            elif t is bool:
                values.append(x)
                keys.append(np.dtype(bool))
            elif isinstance(x, np.generic):
                values.append(x)
                keys.append(x.dtype if VERSION >= 14 else (x.dtype, x.item()))
            else:
                raise TypeError(f"Unsupported type {t}")
        if dtype is not None:
            found = self._by_dtype(np.dtype(dtype))
        else:
            key = tuple(keys)
            found = self._cache.get(key)
            if found is None:
                found = self._resolve(values, keys)
                if VERSION >= 14:
                    self._cache[key] = found
        ins, outs = found
        machine.record(self.name)
        for i, (v, t) in enumerate(zip(values, ins)):
            if isinstance(v, np.ndarray):
                if v.dtype != t:
                    values[i] = cast(v, t)
            elif VERSION >= 14 or not isinstance(v, np.generic):
                values[i] = np.asarray(v, t) if not isinstance(v, complex) or t.kind == "c" else np.asarray(v).astype(t)
            else:
                values[i] = cast(np.asarray(v), t)
        result = quietly(self._function, *values)
        results = result if self.nout > 1 else (result,)
        results = tuple([self._finish(r, t) for r, t in zip(results, outs)])
        if out is not None:
            results = self._into(results, out, outs, casting or self._casting)
        return results[0] if self.nout == 1 else results

    def _finish(self, result: Any, dtype: Any) -> ndarray:
        if type(result) is not np.ndarray:
            result = np.asarray(result)
        if result.dtype != dtype:
            result = cast(result, dtype)
        if not result.flags.c_contiguous or result.base is not None:
            result = np.array(result, order="C")
        return new(result)

    def _into(self, results: Any, out: Any, dtypes: Any, casting: str) -> Any:
        if len(out) != self.nout:
            raise ValueError("The 'out' tuple must have exactly one entry per ufunc output")
        given = []
        for r, o, t in zip(results, out, dtypes):
            if o is None:
                given.append(r)
                continue
            if type(o) is not ndarray:
                raise TypeError(f"Unsupported type {type(o)}" if not isinstance(o, np.generic) else "Output arguments type must be cupy.ndarray")
            target = here(o)
            if not np.can_cast(t, target.dtype, casting):   # type: ignore[arg-type]
                raise TypeError(f"output (typecode '{t.char}') could not be coerced to provided output parameter (typecode "
                                f"'{target.dtype.char}') according to the casting rule \"{casting}\"")
            if np.broadcast_shapes(r.shape, target.shape) != target.shape:
                raise ValueError("Out shape is mismatched")
            target[...] = cast(r._a, target.dtype) if r.dtype != target.dtype else r._a
            given.append(o)
        return tuple(given)

    # ---- which loop ------------------------------------------------------------------------------------------------------------

    def _by_dtype(self, dtype: Any) -> Any:
        for loop in self._loops:
            if all(t == dtype for t in loop[1]):
                return loop
        raise TypeError(f"Wrong type ({dtype}) of arguments for {self.name}")

    def _resolve(self, values: Any, keys: Any) -> Any:
        takes = self._takes_14 if VERSION >= 14 else self._takes_13
        accepts = takes(values, keys)
        for loop in self._loops:
            if all(accepts(i, t) for i, t in enumerate(loop[0])):
                return loop
        broadcast([v.shape for v in values if isinstance(v, np.ndarray)])
        raise TypeError(f"Wrong type ({tuple(getattr(v, 'dtype', type(v)) for v in values)}) of arguments for {self.name}")

    def _takes_14(self, values: Any, keys: Any) -> Any:
        """NEP 50: Python's numbers take the arrays' dtype unless theirs is of a higher kind; NumPy's scalars count as arrays."""
        kinds_weak = [_kind(k) for k in keys if isinstance(k, type)]
        kinds = [_kind(k.type) for k in keys if not isinstance(k, type)]
        weak = bool(kinds and kinds_weak) and max(kinds) >= max(kinds_weak) and not self._exact
        dtypes = []
        for v, k in zip(values, keys):
            if isinstance(k, type):
                if k is int and not -1 << 63 <= v < 1 << 64:
                    raise OverflowError("Python int too large to convert to C long")
                k = np.dtype(np.uint64) if k is int and v >= 1 << 63 else _WEAK[k]
            dtypes.append(k)

        def accepts(i: int, t: Any) -> bool:
            if np.can_cast(dtypes[i], t):
                return True
            if not (weak and isinstance(keys[i], type)):
                return False
            try:
                return bool(np.result_type(keys[i](0), t) == t)
            except TypeError:
                return False
        return accepts

    def _takes_13(self, values: Any, keys: Any) -> Any:
        """NumPy 1's rule: scalars count by their value where the arrays' kind is not lower."""
        arrays = [_kind(v.dtype.type) for v in values if isinstance(v, np.ndarray)]
        scalars = [_kind(np.asarray(v).dtype.type) for v in values if not isinstance(v, np.ndarray)]
        by_value = bool(arrays and scalars) and max(arrays) >= max(scalars)

        def accepts(i: int, t: Any) -> bool:
            v = values[i]
            if isinstance(v, np.ndarray) or not by_value:
                return bool(np.can_cast(np.asarray(v).dtype, t))
            return value_fits(v, t)
        return accepts


def broadcast(shapes: Any) -> Any:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError("operands could not be broadcast together with shapes " + " ".join(map(str, shapes))) from None


def value_fits(value: Any, dtype: Any) -> bool:
    """NumPy 1's ``can_cast(value, dtype)``."""
    value = np.asarray(value)[()]
    if value.dtype.kind in "iu":
        if dtype.kind in "iu":
            return bool(np.iinfo(dtype).min <= int(value) <= np.iinfo(dtype).max)
        small = np.min_scalar_type(int(value))
        return bool(np.can_cast(small, dtype)) or (value >= 0 and bool(np.can_cast(np.dtype(f"i{small.itemsize}"), dtype)) and
                                                   int(value) <= np.iinfo(f"i{small.itemsize}").max)
    return bool(np.can_cast(np.min_scalar_type(value), dtype))
