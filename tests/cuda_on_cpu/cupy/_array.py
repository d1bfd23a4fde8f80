"""The array: a NumPy array behind a class that has what ``cupy.ndarray`` has and refuses what it refuses."""
from __future__ import annotations

import ctypes
import operator
import warnings
from typing import Any

import numpy as np

from . import _machine
from ._indexing import index, put
from ._machine import MemoryPointer, machine
from ._names import NAMES, VERSION


@np.errstate(all="ignore")
def quietly(function: Any, *args: Any, **options: Any) -> Any:
    """The function's result; CuPy reports no floating-point errors."""
    return function(*args, **options)


IMPLICIT = "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."


# ---- making -----------------------------------------------------------------------------------------------------------------

def new(array: Any) -> ndarray:
    """An array that owns what NumPy has just made."""
    if not isinstance(array, np.ndarray):
        array = np.asarray(array)
    self: ndarray = object.__new__(ndarray)
    memory = _machine.adopt(array)
    if memory is None:   # from the user's own allocator: what was made goes there
        self._place(array.shape, array.dtype, _machine.get_allocator()(array.nbytes), None, "C")
        self._a[...] = array
        return self
    self._a, self._mem, self.base = array, memory, None
    return self


def view(array: np.ndarray[Any, Any], of: ndarray) -> ndarray:
    self: ndarray = object.__new__(ndarray)
    self._a, self._mem, self.base = array, of._mem, of if of.base is None else of.base
    return self


def root(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def wrap(result: Any, *inputs: ndarray) -> Any:
    """NumPy's result: a view of an input where it is one, else a new array; tuples and lists item by item."""
    if isinstance(result, np.ndarray):
        owner = root(result)
        for x in inputs:
            if root(x._a) is owner:
                return view(result, x)
        return new(result)
    if isinstance(result, np.generic):
        return new(np.asarray(result))
    return type(result)(wrap(r, *inputs) for r in result) if type(result) in (tuple, list) else result


def supported(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if (dtype.char in "?bhilqBHILQefdFD" and dtype.isnative) or (VERSION >= 14 and dtype.name == "bfloat16"):
        return dtype
    raise ValueError(f"Unsupported dtype {dtype}")


def here(array: ndarray) -> np.ndarray[Any, Any]:
    """The NumPy array of one that lives on the current device; CuPy would go through peer access, if there is any, and warn."""
    if type(array) is not ndarray:
        raise TypeError(f"Unsupported type {type(array)}")
    if array._mem.device_id != machine.device:
        raise ValueError(f"The device where the array resides ({array._mem.device_id}) is different from the current device "
                         f"({machine.device}). Peer access is unavailable between these devices.")
    return array._a


def _contents(k: Any) -> Any:
    return here(k) if type(k) is ndarray else None


def cast(a: np.ndarray[Any, Any], dtype: Any, order: Any = "K") -> np.ndarray[Any, Any]:
    """A copy in another dtype, with CUDA's conversions: floats saturate in 32 or 64 bits, of which the dtype keeps the lowest."""
    result: np.ndarray[Any, Any] = quietly(_cast, a, np.dtype(dtype), order)
    return result


def _cast(a: Any, dtype: Any, order: Any) -> Any:
    if a.dtype.kind == "c" and dtype.kind not in "cb":
        a = a.real
    if dtype.kind not in "iu" or a.dtype.kind not in "fV":
        return a.astype(dtype, order=order)
    wide = np.dtype(f"{dtype.kind}{max(dtype.itemsize, 4)}")   # what cvt.rzi makes; it is cut down to the dtype
    bounds = np.iinfo(wide)
    odd = 0 if wide.itemsize == 4 and a.dtype != np.float64 else 1 << 8 * wide.itemsize - 1   # of NaN, as the PTX manual has it
    x = np.trunc(a.astype(np.float64, order=order))
    low, high, nan = x <= float(bounds.min), x >= float(bounds.max), np.isnan(x)
    whole = np.where(low | high | nan, 0.0, x).astype(wide)
    whole = np.where(low, wide.type(bounds.min), np.where(high, wide.type(bounds.max), whole))
    whole = np.where(nan, np.array(odd, f"u{wide.itemsize}").astype(wide), whole)
    return whole.astype(dtype, order=order)


def narrowed(a: ndarray, dtype: np.dtype[Any]) -> None:
    """What CuPy says where complex numbers lose their imaginary part: 13 stumbles over what NumPy 2 no longer has."""
    if a.dtype.kind == "c" and dtype.kind not in "cb":
        if VERSION < 14:
            raise AttributeError("module 'numpy' has no attribute 'ComplexWarning'")
        warnings.warn("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning, stacklevel=3)


def hidden(array: Any) -> ndarray:
    """An array that owns nothing: CuPy made another for the work, and gives a view of it."""
    owner = new(array)
    return view(owner._a, owner)


def _flags(a: np.ndarray[Any, Any], base: Any) -> Flags:
    return Flags(a.flags.c_contiguous, a.flags.f_contiguous, base is None)


class Flags:
    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, c_contiguous: bool, f_contiguous: bool, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = c_contiguous, f_contiguous, owndata

    @property
    def fnc(self) -> bool:
        return self.f_contiguous and not self.c_contiguous

    @property
    def forc(self) -> bool:
        return self.f_contiguous or self.c_contiguous

    def __getitem__(self, name: str) -> bool:
        names = {"C_CONTIGUOUS": "c_contiguous", "F_CONTIGUOUS": "f_contiguous", "OWNDATA": "owndata"}
        if name not in names:
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return bool(getattr(self, names[name]))

    def __repr__(self) -> str:
        return f"  C_CONTIGUOUS : {self.c_contiguous}\n  F_CONTIGUOUS : {self.f_contiguous}\n  OWNDATA : {self.owndata}"


# ---- the class --------------------------------------------------------------------------------------------------------------

class ndarray:
    """See the module. ``_a`` is the NumPy array, ``_mem`` the memory it lies in."""

    __slots__ = ("__weakref__", "_a", "_mem", "base")
    __array_priority__ = 100
    __hash__ = None   # type: ignore[assignment]
    _a: np.ndarray[Any, Any]
    _mem: Any
    base: ndarray | None

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C") -> None:
        shape = tuple([operator.index(n) for n in (shape if isinstance(shape, tuple | list) else (shape,))])
        if any(n < 0 for n in shape):
            raise ValueError("Negative dimensions are not allowed")
        dtype = supported(np.dtype(dtype))
        if memptr is None:
            if strides is not None:
                raise ValueError("memptr is required if strides is given.")
            size = dtype.itemsize
            for n in shape:
                size *= n
            memptr = _machine.get_allocator()(size)
            strides = None
        self._place(shape, dtype, memptr, strides, order)

    def _place(self, shape: Any, dtype: Any, memptr: Any, strides: Any, order: Any) -> None:
        self._mem, self.base = memptr.mem, None
        held, offset = getattr(memptr.mem, "_held", None), memptr.ptr - memptr.mem.ptr
        if not isinstance(memptr.mem, _machine.Memory):
            size = max(memptr.mem.size, 1)
            held = np.frombuffer((ctypes.c_char * size).from_address(memptr.mem.ptr), np.uint8)
        if order not in ("C", "F", None):
            raise ValueError(f"order must be one of 'C', 'F' (got {order!r})")
        empty = any(n == 0 for n in shape)
        self._a = np.empty(shape, dtype) if empty else np.ndarray(shape, dtype, held, offset, strides, order or "C")
        if dtype.kind == "b" and not empty and strides is None:
            self._a[...] = True   # no other byte is a boolean

    # ---- what it is ---------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> MemoryPointer:
        mem = self._mem
        return MemoryPointer(mem, self._a.__array_interface__["data"][0] - mem.ptr if mem.size else 0)

    @property
    def device(self) -> _machine.Device:
        return _machine.Device(self._mem.device_id)

    @property
    def flags(self) -> Flags:
        return _flags(self._a, self.base)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._a.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._a.shape = shape

    @property
    def strides(self) -> tuple[int, ...]:
        return self._a.strides

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._a.dtype

    @property
    def ndim(self) -> int:
        return self._a.ndim

    @property
    def size(self) -> int:
        return self._a.size

    @property
    def itemsize(self) -> int:
        return self._a.itemsize

    @property
    def nbytes(self) -> int:
        return self._a.nbytes

    @property
    def T(self) -> ndarray:
        return view(self._a.T, self)

    @property
    def real(self) -> ndarray:
        return view(self._a.real, self) if self._a.dtype.kind == "c" else self

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> ndarray:
        return view(self._a.imag, self) if self._a.dtype.kind == "c" else new(np.zeros_like(self._a))

    @imag.setter
    def imag(self, value: Any) -> None:
        if self._a.dtype.kind != "c":
            raise TypeError("cupy.ndarray does not have imaginary part to set")
        self.imag[...] = value

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "descr": self.dtype.descr, "stream": 1, "version": 3,
                "strides": None if self.flags.c_contiguous else self.strides, "data": (self.data.ptr, False)}

    def __len__(self) -> int:
        if not self._a.shape:
            raise TypeError("len() of unsized object")
        return self._a.shape[0]

    def __iter__(self) -> Any:
        if not self._a.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        machine.wait("repr")
        return repr(self._a)

    def __str__(self) -> str:
        machine.wait("str")
        return str(self._a)

    def __format__(self, spec: str) -> str:
        machine.wait("format")
        return format(self._a, spec)

    # ---- to the host ----------------------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None) -> Any:
        raise TypeError(IMPLICIT)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        if blocking:
            machine.wait("get")
        machine.record("get")
        if out is None:
            if order not in ("C", "F", "A"):
                raise ValueError(f"unsupported order: {order}")
            return np.array(self._a, order=order)   # type: ignore[call-overload]
        if not isinstance(out, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be obtained from cupy.ndarray, got {type(out)}")
        if out.dtype != self.dtype or out.shape != self.shape:
            raise (TypeError if out.dtype != self.dtype else ValueError)(
                f"out has dtype {out.dtype} and shape {out.shape}, expected {self.dtype} and {self.shape}")
        mine, given = self._a.flags, out.flags
        if not ((mine.c_contiguous and given.c_contiguous) or (mine.f_contiguous and given.f_contiguous)):
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        out[...] = self._a
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be set to cupy.ndarray, got {type(arr)}")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        if stream is None:
            machine.wait("set")
        machine.record("set")
        self._a[...] = arr

    def item(self) -> Any:
        machine.wait("item")
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self._a.item()

    def tolist(self) -> Any:
        machine.wait("tolist")
        return self._a.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        machine.wait("tobytes")
        return self._a.tobytes(order)   # type: ignore[arg-type]

    def _value(self, convert: Any) -> Any:
        machine.wait(convert.__name__)
        if convert is bool and self.size == 0:
            return False
        return convert(self._a)

    def __bool__(self) -> bool:
        return bool(self._value(bool))

    def __int__(self) -> int:
        return int(self._value(int))

    def __float__(self) -> float:
        return float(self._value(float))

    def __complex__(self) -> complex:
        return complex(self._value(complex))

    def __reduce__(self) -> Any:
        from . import array
        return array, (self.get(),)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
        if dl_device == (1, 0):
            machine.wait("__dlpack__ to the host")
            return self._a.copy().__dlpack__(max_version=max_version)
        if copy:
            raise BufferError("copy=True only supported for copy to CPU.")
        return Capsule(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._mem.device_id

    # ---- elements -------------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> ndarray:
        a = self._a
        key, arrays = index(a.shape, key, _contents)
        if arrays:
            machine.record("getitem")
            return new(np.array(here(self)[key], order="C"))
        found = a[key]
        if not isinstance(found, np.ndarray):
            found = a[(*key, Ellipsis) if type(key) is tuple else (key, Ellipsis)]
        return view(found, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._scatter_op(key, value, "update")

    def _scatter_op(self, slices: Any, value: Any, op: str) -> None:
        a = here(self)
        key, arrays = index(a.shape, slices, _contents)
        machine.record(f"scatter_{op}")
        if op == "update" and not arrays:
            self[slices]._assign(value)
            return
        if not arrays:
            from ._functions import UFUNC
            part = self[slices]
            UFUNC[{"add": "add", "max": "maximum", "min": "minimum"}[op]](part, value, part)
            return
        allowed = SCATTER.get(op)
        if allowed is not None and not (len(arrays) == 1 and arrays[0].dtype == bool) and a.dtype.char not in allowed:
            raise TypeError(f"scatter_{op} does not support {a.dtype}")
        host = cast(here(value), a.dtype) if type(value) is ndarray else _element(value, a.dtype)
        if op == "update":
            put(a, key, host)
        else:
            {"add": np.add, "max": np.maximum, "min": np.minimum}[op].at(a, key, host)

    def _assign(self, value: Any) -> None:
        """``self[...] = value``: an array of the device, or a number."""
        if type(value) is not ndarray:
            self.fill(value)
            return
        source, target = here(value), here(self)
        narrowed(value, self.dtype)
        while source.ndim and source.shape[0] == 1:
            source = source[0]
        try:
            target[...] = source if source.dtype == target.dtype else cast(source, target.dtype)
        except ValueError:
            raise ValueError(f"operands could not be broadcast together with shapes {source.shape} {target.shape}") from None

    def scatter_add(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "add")

    def scatter_max(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "max")

    def scatter_min(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "min")

    def fill(self, value: Any) -> None:
        machine.record("fill")
        if type(value) is ndarray:
            if value.ndim:
                raise ValueError("non-scalar cupy.ndarray cannot be used for fill")
            here(self)[...] = cast(here(value), self.dtype)
            return
        if isinstance(value, np.ndarray if VERSION < 14 else np.ndarray | list | tuple) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if VERSION < 14 and not isinstance(value, int | float | complex | np.generic | np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        small = VERSION < 14 and isinstance(value, int) and self.dtype.kind in "iu"
        here(self)[...] = cast(np.asarray(value), self.dtype) if small else _element(value, self.dtype)

    def __getattr__(self, name: str) -> Any:
        if name in NAMES["cupy.ndarray"]:
            raise NotImplementedError(f"cupy.ndarray has {name}, the stand-in for it does not")
        raise AttributeError(f"'ndarray' object has no attribute {name!r}")

    # ---- copies and views -----------------------------------------------------------------------------------------------------

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> ndarray:
        dtype = supported(np.dtype(dtype))
        if subok is not None:
            raise TypeError("subok is not supported yet")
        if casting is not None:
            raise TypeError("casting is not supported yet")
        if not copy and dtype == self.dtype and (order in ("K", "A") or self.flags[f"{order}_CONTIGUOUS"]):
            return self
        machine.record("astype")
        a = here(self)
        narrowed(self, dtype)
        return new(cast(a, dtype, order))

    def copy(self, order: str = "C") -> ndarray:
        machine.record("copy")
        return new(np.array(self._a, order=order))   # type: ignore[call-overload]

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        if type is not None and type is not ndarray:
            raise TypeError("type must be cupy.ndarray")
        return view(self._a.view() if dtype is None else self._a.view(dtype), self)

    def reshape(self, *shape: Any, order: str = "C", **more: Any) -> ndarray:
        copy = _only14(more, "copy")
        if len(shape) == 1 and not np.isscalar(shape[0]):
            shape = tuple(shape[0])
        a = self._a.reshape(shape, order=order)   # type: ignore[call-overload]
        if copy is not True and (root(a) is root(self._a) or a.size == 0):
            return view(a, self)
        if copy is False:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        machine.record("copy")
        return new(np.array(a, order="C")) if order == "C" or a.ndim < 2 else hidden(np.array(a, order="F"))

    def ravel(self, order: str = "C") -> ndarray:
        return self.reshape(-1, order="F" if order in "KA" and self.flags.fnc else "C" if order in "KA" else order)

    def flatten(self, order: str = "C") -> ndarray:
        machine.record("copy")
        return new(self._a.flatten(order))   # type: ignore[arg-type]

    def transpose(self, *axes: Any) -> ndarray:
        return view(self._a.transpose(*axes), self)

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        if not all(-self.ndim <= n < self.ndim for n in (axis1, axis2)):
            raise ValueError("Axis out of range")
        return view(self._a.swapaxes(axis1, axis2), self)

    def squeeze(self, axis: Any = None) -> ndarray:
        return view(self._a.squeeze(axis), self)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        found = view(self._a.diagonal(offset, axis1, axis2), self)
        found._a.flags.writeable = True
        return found

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from . import dispatch
        return dispatch(func, args, kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from . import dispatch
        found = dispatch(ufunc, None, None) if method in ("__call__", "reduce", "accumulate") else None
        if found is None or any(isinstance(x, list | tuple | str | None) for x in inputs):
            return NotImplemented
        return (found if method == "__call__" else getattr(found, method))(*inputs, **kwargs)


SCATTER = {"add": "ilqefdILQ" if VERSION >= 14 else "iefdILQ", "max": "ilqfdILQ" if VERSION >= 14 else "ifdILQ"}
SCATTER["min"] = SCATTER["max"]


def _element(value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A value of the host in an array's dtype, as NumPy's assignment would make it."""
    if isinstance(value, np.ndarray | np.generic | float):
        return cast(np.asarray(value), dtype)
    return np.array(value, dtype)


class Capsule:
    """What ``__dlpack__`` gives: an array that claims to be a device's is not for libraries that take it to be one."""

    def __init__(self, array: ndarray) -> None:
        self.array = array


def _only14(more: dict[str, Any], name: str) -> Any:
    """An option that CuPy 13 does not have."""
    value = more.pop(name, None) if VERSION >= 14 else None
    if more:
        raise TypeError(f"an unexpected keyword argument {next(iter(more))!r} was given")
    return value
