"""The array: a NumPy array behind a class that has what ``cupy.ndarray`` has and refuses what it refuses."""
from __future__ import annotations

from typing import Any

import numpy as np

from . import _machine
from ._machine import MemoryPointer, machine
from ._names import VERSION

NUMBERS = (int, float, complex, bool, np.generic)


@np.errstate(all="ignore")
def quietly(function: Any, *args: Any, **options: Any) -> Any:
    """The function's result; CuPy reports no floating-point errors."""
    return function(*args, **options)


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
    if isinstance(result, tuple | list):
        return type(result)(wrap(r, *inputs) for r in result) if type(result) in (tuple, list) else tuple(wrap(r, *inputs) for r in result)
    return result


def supported(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.char in "?bhilqBHILQefdFD" and dtype.isnative or VERSION >= 14 and dtype.name == "bfloat16":
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


def cast(a: np.ndarray[Any, Any], dtype: Any, order: Any = "K") -> np.ndarray[Any, Any]:
    """A copy in another dtype, with CUDA's conversions: floats saturate in 32 or 64 bits, NaN gives 0, the rest wraps."""
    result: np.ndarray[Any, Any] = quietly(_cast, a, np.dtype(dtype), order)
    return result


def _cast(a: Any, dtype: Any, order: Any) -> Any:
    if a.dtype.kind == "c" and dtype.kind not in "cb":
        a = a.real
    if dtype.kind in "iu" and a.dtype.kind in "fV":
        wide = np.dtype((dtype.kind if dtype.itemsize == 8 else "i") + ("8" if dtype.itemsize == 8 or dtype == np.uint32 else "4"))
        bounds = np.iinfo(wide if dtype != np.uint32 else np.uint32)
        x = np.trunc(a.astype(np.float64, order=order))
        x = np.where(np.isnan(x), 0.0, x)
        low, high = x <= float(bounds.min), x >= float(bounds.max)
        whole = np.where(low | high, 0.0, x).astype(wide)
        return np.where(low, np.array(bounds.min, wide), np.where(high, np.array(bounds.max, wide), whole)).astype(dtype, order=order)
    return a.astype(dtype, order=order)


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


# ---- indices ----------------------------------------------------------------------------------------------------------------

def index(shape: tuple[int, ...], key: Any) -> tuple[Any, bool]:
    """The key for NumPy, and whether it is an advanced one: indices out of range wrap, as they do silently in CuPy's kernels."""
    keys = key if type(key) is tuple else (key,)
    if not any(isinstance(k, ndarray | list | np.ndarray | bool | np.bool_) for k in keys):
        for k in keys:
            if not (k is None or k is Ellipsis or isinstance(k, int | slice | np.integer) or hasattr(k, "__index__")):
                raise IndexError(f"Unsupported type {type(k)}")
        return key, False
    found: list[Any] = []
    for k in keys:
        if isinstance(k, ndarray):
            a = here(k)
        elif isinstance(k, list | np.ndarray | bool | np.bool_):
            a = np.asarray(k)
            if a.size == 0 and isinstance(k, list):
                a = a.astype(np.int64)
            machine.record("copy of an index to the device")
        else:
            found.append(k)
            continue
        if a.dtype.kind not in "iub":
            raise IndexError("arrays used as indices must be of integer or boolean type. (actual: " + str(a.dtype) + ")")
        found.append(a)
    used = sum(k.ndim if isinstance(k, np.ndarray) and k.dtype == bool else k is not None and k is not Ellipsis for k in found)
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    axis, out = 0, []
    for k in found:
        if k is Ellipsis:
            axis += len(shape) - used
        elif isinstance(k, np.ndarray) and k.dtype == bool:
            if k.shape != shape[axis:axis + k.ndim]:
                raise IndexError("boolean index did not match indexed array along dimension")
            machine.wait("boolean index")
            axis += k.ndim
        elif k is not None:
            if isinstance(k, np.ndarray):
                n = shape[axis]
                if n:
                    k = k.astype(np.int64) % n
                elif k.size:
                    raise IndexError("cannot index an axis of length 0 with indices")
            axis += 1
        out.append(k)
    return tuple(out), True


def put(target: np.ndarray[Any, Any], key: Any, value: np.ndarray[Any, Any]) -> None:
    """``target[key] = value`` for an advanced key: where indices repeat, any of the values may be the one that stays."""
    places = np.arange(target.size).reshape(target.shape)[key]
    value = np.broadcast_to(value, places.shape)
    order = np.random.default_rng(places.size).permutation(places.size)
    target[np.unravel_index(places.reshape(-1)[order], target.shape)] = value.reshape(-1)[order]


# ---- the class --------------------------------------------------------------------------------------------------------------

class ndarray:
    """See the module. ``_a`` is the NumPy array, ``_mem`` the memory it lies in."""

    __slots__ = ("_a", "_mem", "base", "__weakref__")
    __array_priority__ = 100
    __hash__ = None   # type: ignore[assignment]
    _a: np.ndarray[Any, Any]
    _mem: Any
    base: ndarray | None

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C") -> None:
        shape = (int(shape),) if not isinstance(shape, tuple | list) else tuple(int(n) for n in shape)
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
        import ctypes
        self._mem, self.base = memptr.mem, None
        held, offset = getattr(memptr.mem, "_held", None), memptr.ptr - memptr.mem.ptr
        if not isinstance(memptr.mem, _machine.Memory):
            size = max(memptr.mem.size, 1)
            held = np.frombuffer((ctypes.c_char * size).from_address(memptr.mem.ptr), np.uint8)
        if order not in ("C", "F", None):
            raise ValueError(f"order must be one of 'C', 'F' (got {order!r})")
        empty = any(n == 0 for n in shape)
        self._a = np.empty(shape, dtype) if empty else np.ndarray(shape, dtype, held, offset, strides, order or "C")
        if dtype == bool and not empty and strides is None:
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
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        here(self)
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
        if not (out.flags.c_contiguous and self._a.flags.c_contiguous or out.flags.f_contiguous and self._a.flags.f_contiguous):
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
            machine.record("set, staged by the driver")
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
        return convert(self._a)

    def __bool__(self) -> bool:
        return bool(self._value(bool))

    def __int__(self) -> int:
        return int(self._value(int))

    def __float__(self) -> float:
        return float(self._value(float))

    def __complex__(self) -> complex:
        return complex(self._value(complex))

    def __index__(self) -> int:
        machine.wait("index")
        return self._a.__index__()

    def __reduce__(self) -> Any:
        from . import array
        return array, (self.get(),)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
        return self._a.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._mem.device_id

    # ---- elements -------------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> ndarray:
        a = self._a
        key, advanced = index(a.shape, key)
        if advanced:
            machine.record("getitem")
            return new(here(self)[key])
        try:
            found = a[key]
        except IndexError as error:
            raise IndexError(str(error)) from None
        if not isinstance(found, np.ndarray):
            found = a[(*key, Ellipsis) if type(key) is tuple else (key, Ellipsis)]
        return view(found, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        a = here(self)
        machine.record("setitem")
        if type(value) is ndarray:
            value = here(value)
        elif isinstance(value, np.ndarray):
            if value.ndim:
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        elif not isinstance(value, NUMBERS):
            value = np.asarray(value)
            raise TypeError(f"Unsupported type {type(value)}") if value.dtype == object else TypeError("Unsupported type <class 'list'>")
        value = np.asarray(value)
        value = cast(value, a.dtype) if value.dtype != a.dtype else value
        key, advanced = index(a.shape, key)
        if advanced:
            put(a, key, value)
        else:
            a[key] = value

    def _scatter_op(self, slices: Any, value: Any, op: str) -> None:
        a = here(self)
        machine.record(f"scatter_{op}")
        key, _ = index(a.shape, slices)
        value = here(value) if type(value) is ndarray else np.asarray(value)
        {"add": np.add, "max": np.maximum, "min": np.minimum}[op].at(a, key, cast(value, a.dtype))

    def scatter_add(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "add")

    def scatter_max(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "max")

    def scatter_min(self, slices: Any, value: Any) -> None:
        self._scatter_op(slices, value, "min")

    def fill(self, value: Any) -> None:
        self[...] = value if not (type(value) is ndarray and value.ndim) else _refused("non-scalar")

    # ---- copies and views -----------------------------------------------------------------------------------------------------

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> ndarray:
        dtype = supported(np.dtype(dtype))
        if subok is not None:
            raise TypeError("subok is not supported yet")
        if casting is not None and not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(f"Cannot cast array data from {self.dtype!r} to {dtype!r} according to the rule {casting!r}")
        if not copy and dtype == self.dtype and (order in ("K", "A") or self.flags[f"{order}_CONTIGUOUS"]):
            return self
        machine.record("astype")
        a = here(self)
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
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            shape = tuple(shape[0])
        a = self._a.reshape(shape, order=order)   # type: ignore[call-overload]
        if copy is not True and (root(a) is root(self._a) or a.size == 0):
            return view(a, self)
        if copy is False:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        machine.record("copy")
        return new(np.array(a, order="C"))

    def ravel(self, order: str = "C") -> ndarray:
        if order == "K":
            raise NotImplementedError("ravel with order='K' not yet implemented.")
        return self.reshape(-1, order=order)

    def flatten(self, order: str = "C") -> ndarray:
        machine.record("copy")
        return new(self._a.flatten(order))   # type: ignore[arg-type]

    def transpose(self, *axes: Any) -> ndarray:
        return view(self._a.transpose(*axes), self)

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return view(self._a.swapaxes(axis1, axis2), self)

    def squeeze(self, axis: Any = None) -> ndarray:
        return view(self._a.squeeze(axis), self)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        found = view(self._a.diagonal(offset, axis1, axis2), self)
        found._a.flags.writeable = True
        return found

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from . import _dispatch
        return _dispatch(func, args, kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from . import _dispatch
        if method == "__call__":
            if any(isinstance(x, np.ndarray) and x.ndim for x in inputs):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
            return _dispatch(ufunc, tuple(x[()] if isinstance(x, np.ndarray) else x for x in inputs), kwargs)
        return NotImplemented


def _only14(more: dict[str, Any], name: str) -> Any:
    """An option that CuPy 13 does not have."""
    value = more.pop(name, None) if VERSION >= 14 else None
    if more:
        raise TypeError(f"an unexpected keyword argument {next(iter(more))!r} was given")
    return value


def _refused(what: str) -> Any:
    raise ValueError(f"{what} ndarray cannot be used for fill")
