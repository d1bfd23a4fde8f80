"""Making tensors: from data, from ranges, filled."""
from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite._dtypes import as_dtype, get_default_dtype
from tensorlite._state import current
from tensorlite.engine import inplace, memory
from tensorlite.engine.batching import in_a_batch, pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import KIND, RAW, Value, new, provide, raw
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops._names import torch_aliases, torch_names

Array = Any


def require(tensor: Any, requires_grad: bool) -> Any:
    """The new leaf, tracked if asked for; integers refuse."""
    if requires_grad:
        if not _dtypes.is_differentiable(tensor.dtype):
            raise DTypeError(f"only floating and complex tensors can require a gradient, and this one has dtype {tensor.dtype}; "
                             "make it floating first, for example with dtype=tensorlite.float32")
        tensor.tracked = True
    return tensor


def _device(device: Any) -> str:
    return current().device if device is None else backends.named(device)


def _xp(device: str) -> Any:
    """The namespace that makes arrays there."""
    backend = backends.backend_for_device(device)
    return backend.namespace(backend.canonical(device))


def _raw(data: Any, dtype: Any, device: Any, copy: bool | None) -> Any:
    """A raw array of ``data`` on ``device``: Python floats take the default dtype, arrays keep theirs."""
    dtype = as_dtype(dtype)
    if isinstance(data, Value):   # a value that differs along a batch has none to copy, and says so
        data = data._host() if in_a_batch(data) else raw(data)   # type: ignore[attr-defined]
    known = KIND.get(type(data)) == RAW
    if not known and not isinstance(data, (bool, int, float, complex, list, tuple, range, np.generic)):
        if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
            data, known = np.from_dlpack(data), True
        elif backends.of_type(type(data)) is not None:
            known = True
    if known:
        backend = backends.backend_of(data)
        if device is not None and backend.device_of(data) != backends.named(device):
            other = backends.backend_for_device(device)
            if other is not backend:
                data, backend = backend.to_numpy(data), other
        return _placed(backend, data, dtype, device, copy)
    if isinstance(data, (list, tuple)):
        data = _nested(data)
    try:
        host = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"tensor: the nested sequence is ragged ({error}); every row needs the same length") from None
    if host.dtype.kind in "OUSMm":
        raise DTypeError(f"tensor: data of type {type(data).__name__} gives no numbers (NumPy reads {host.dtype}); expected "
                         "numbers, nested lists of numbers, or an array")
    if (dtype is None and host.dtype.kind in "fc" and not isinstance(data, (np.ndarray, np.generic))
            and not hasattr(data, "__array__")):
        dtype = get_default_dtype() if host.dtype.kind == "f" else np.result_type(get_default_dtype(), np.complex64)
    backend = backends.backend_for_device(_device(device))
    fresh = not isinstance(data, np.ndarray) and not hasattr(data, "__array__")
    return _placed(backend, host, dtype, _device(device), None if fresh else copy)


def _placed(backend: Any, data: Any, dtype: Any, device: Any, copy: bool | None) -> Any:
    try:
        return backend.asarray(data, dtype=dtype, device=device, copy=copy)
    except MemoryError as error:
        raise memory.exhausted("tensor", error, (), _device(device)) from error


def _nested(data: Any) -> Any:
    """Nested sequences with tensors among them, with the tensors as arrays; what NumPy asked for stays NumPy-typed."""
    if any(isinstance(d, Value) for d in data):
        return np.stack([np.asarray(_raw(d, None, "cpu", None)) for d in data])
    if any(isinstance(d, (list, tuple)) for d in data):
        return [_nested(d) if isinstance(d, (list, tuple)) else d for d in data]
    if any(isinstance(d, np.ndarray) for d in data):
        return np.asarray(data)
    return data


@torch_names
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A new tensor with a copy of ``data``: numbers, nested lists, arrays.

    Python floats become the default dtype (float32), arrays keep theirs. Errors: ``DTypeError`` (a TypeError) for what holds no
    numbers and for integers that are to require a gradient, ``ShapeError`` for ragged lists.

    >>> import tensorlite as tl
    >>> tl.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    >>> tl.tensor([1, 2]).dtype
    dtype('int64')
    """
    if in_a_batch(data):
        return asarray(data.detach(), dtype=dtype, device=device, copy=True)
    return require(new(_raw(data, dtype, device, True)), requires_grad)


def _copied(obj: Any, dtype: Any, device: Any) -> Exception:
    what = f"a {type(obj).__name__}" + (f" of dtype {obj.dtype}" if hasattr(obj, "dtype") else "")
    return ShapeError(f"asarray: copy=False, but {what} cannot become a tensor (dtype {dtype}, device {device}) without one; "
                      "leave copy out")


@torch_names
def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Any:
    """``obj`` as a tensor, sharing its memory where that is possible unless ``copy`` is true; a tensor is returned as it is.

    A NumPy array's memory that is shared is watched: if it is changed after an operation saved it for backward, backward raises
    ``InplaceError``.

    >>> import numpy as np, tensorlite as tl
    >>> a = np.zeros(2); t = tl.asarray(a); a[0] = 5; t
    tensor([5., 0.], dtype=float64)
    """
    if isinstance(obj, Value):
        same = (dtype is None or as_dtype(dtype) == obj.dtype) and (device is None or backends.named(device) == obj.device)
        if copy is False and not same:
            raise _copied(obj, dtype, device)
        if same:
            return obj.clone() if copy else obj
        return obj.to(device=device, dtype=dtype)
    outside = not isinstance(obj, (bool, int, float, complex, list, tuple, range))
    if copy is False and not outside:
        raise _copied(obj, dtype, device)
    array = _raw(obj, dtype, device, copy)
    if outside and copy is not True:
        inplace.share(array, digest=False)
    return require(new(array), requires_grad)


as_tensor = asarray


@torch_names
def from_numpy(array: Any) -> Any:
    """A tensor that shares the NumPy array's memory."""
    return asarray(array)


@torch_names
def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor of any array that speaks DLPack (PyTorch's, JAX's, CuPy's), sharing its memory where that is possible."""
    try:
        array = np.from_dlpack(x, copy=copy) if not isinstance(x, Value) else x.value
    except BufferError as error:
        raise DTypeError(f"from_dlpack: {error}; expected numbers in host memory") from error
    return asarray(array, device=device, copy=copy)


provide(asarray=lambda value: new(_raw(value, None, None, None)))


# ---- filled ----------------------------------------------------------------------------------------------------------

def _size(shape: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape meant by ``f(2, 3)``, ``f((2, 3))``, ``f(2)`` or ``f(size=(2, 3))``."""
    if size is not None:
        shape = (size,)
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        return tuple(int(n.__index__()) for n in shape)
    except AttributeError:
        raise ShapeError(f"a shape is made of integers, and this is {shape}") from None


def _make(name: str, shape: Any, dtype: Any, device: Any, requires_grad: bool, *more: Any) -> Any:
    device = _device(device)
    xp = _xp(device)
    try:
        array = getattr(xp, name)(shape, *more, dtype=as_dtype(dtype) or get_default_dtype())
    except MemoryError as error:
        raise memory.exhausted(name, error, (), device) from error
    return require(new(array), requires_grad)


@torch_aliases(shape="size")
def zeros(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``.

    >>> import tensorlite as tl
    >>> tl.zeros(2)
    tensor([0., 0.])
    """
    return _make("zeros", _size(shape, size), dtype, device, requires_grad)


@torch_aliases(shape="size")
def ones(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of ones."""
    return _make("ones", _size(shape, size), dtype, device, requires_grad)


@torch_aliases(shape="size")
def empty(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor whose values are whatever was in memory."""
    return _make("empty", _size(shape, size), dtype, device, requires_grad)


@torch_aliases(size="shape")
def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor with every element ``fill_value``; its dtype is that of ``tensor(fill_value)`` unless given."""
    value = fill_value.item() if isinstance(fill_value, Value) else fill_value
    if dtype is None:
        dtype = _raw(fill_value, None, None, None).dtype
    return _make("full", _size((shape,)), dtype, device, requires_grad, value)


def _like(x: Any, dtype: Any, device: Any) -> tuple[Any, Any]:
    return (x.dtype if dtype is None else dtype), (getattr(x, "device", None) if device is None else device)


@torch_names
def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Zeros of the shape, dtype and device of ``x``."""
    return require(zeros_p(x, dtype=as_dtype(dtype)), requires_grad)


@torch_names
def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Ones of the shape, dtype and device of ``x``."""
    return require(ones_p(x, dtype=as_dtype(dtype)), requires_grad)


@torch_names
def empty_like(x: Array, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """An uninitialised tensor of the shape, dtype and device of ``x``."""
    return zeros_like(x, dtype=dtype, device=device, requires_grad=requires_grad)


@torch_names
def full_like(x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``fill_value`` in the shape, dtype and device of ``x``."""
    return require(full_p(x, fill_value=fill_value, dtype=as_dtype(dtype)), requires_grad)


zeros_p: Primitive = primitive("zeros_like", lambda xp, x, *, dtype: xp.zeros_like(x, dtype=dtype), discrete=True)
zeros_p.batch(pointwise)
ones_p = primitive("ones_like", lambda xp, x, *, dtype: xp.ones_like(x, dtype=dtype), discrete=True)
ones_p.batch(pointwise)
full_p = primitive("full_like", lambda xp, x, *, fill_value, dtype: xp.full_like(x, fill_value, dtype=dtype), discrete=True)
full_p.batch(pointwise)


# ---- ranges and matrices ---------------------------------------------------------------------------------------------

def _number(given: Any) -> Any:
    """A tensor of one element as the number it is: NumPy would hand it back to us."""
    return given.item() if isinstance(given, Value) else given


@torch_aliases(end="stop")
def arange(start: float | None = None, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False) -> Any:
    """start, start + step, ... up to but without stop; integers give integers, floats the default dtype.

    >>> import tensorlite as tl
    >>> tl.arange(3)
    tensor([0, 1, 2])
    """
    start, stop, step = _number(start), _number(stop), _number(step)
    if stop is None:
        start, stop = 0, start
    start = 0 if start is None else start
    if dtype is None and any(isinstance(v, float) for v in (start, stop, step)):
        dtype = get_default_dtype()
    xp = _xp(_device(device))
    return require(new(xp.arange(start, stop, step, dtype=as_dtype(dtype))), requires_grad)


@torch_aliases(end="stop")
def linspace(start: float, stop: float, /, num: int | None = None, *, steps: int | None = None, endpoint: bool = True,
             dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``num`` (or ``steps``) evenly spaced numbers from start to stop, the latter included unless ``endpoint`` is false."""
    count = num if num is not None else steps
    if count is None:
        raise DTypeError("linspace: how many numbers? give num (or steps)")
    xp = _xp(_device(device))
    start, stop = _number(start), _number(stop)
    values = xp.linspace(start, stop, count, dtype=as_dtype(dtype) or get_default_dtype(), endpoint=endpoint)
    return require(new(values), requires_grad)


@torch_aliases(n="n_rows", m="n_cols")
def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None,
        requires_grad: bool = False) -> Any:
    """Ones on the k-th diagonal, zeros elsewhere."""
    xp = _xp(_device(device))
    return require(new(xp.eye(n_rows, n_cols, k=k, dtype=as_dtype(dtype) or get_default_dtype())), requires_grad)


provide(ones_like=lambda x: ones_p(x, dtype=None), zeros_like=lambda x: zeros_p(x, dtype=None))


# ---- methods: the tensor elsewhere, and tensors like it ------------------------------------------------------------------

def cpu(x: Any) -> Any:
    """The tensor in host memory."""
    return x.to("cpu")


def cuda(x: Any, device: Any = None) -> Any:
    """The tensor on a CUDA device."""
    return x.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)


def pin_memory(x: Any) -> Any:
    """A copy in page-locked host memory, from which ``.to("cuda", non_blocking=True)`` copies while the host goes on."""
    backend: Any = backends.backend_for_device("cuda")
    if backend.is_pinned(x.value):
        return x
    host = backend.pinned(x.shape, x.dtype)
    host[...] = backends.backend_of(x.value).to_numpy(x.value)
    return new(host)


def is_pinned(x: Any) -> bool:
    """Whether the tensor lies in page-locked host memory."""
    backend: Any = backends._by_name.get("cupy")
    return backend is not None and x.device == "cpu" and backend.is_pinned(x.value)


def new_tensor(x: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``tensor(data)`` with the dtype and device of ``x``."""
    return tensor(data, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)


def new_zeros(x: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``zeros(*size)`` with the dtype and device of ``x``."""
    out = zeros(*size, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)
    return _of_its_transforms(out, x)


def _of_its_transforms(out: Any, x: Any) -> Any:
    """``out`` as a value of the transforms that ``x`` belongs to, so that their values can be written into it."""
    if not x.level:
        return out
    from tensorlite.ops.elementwise import add_p, cast_p
    from tensorlite.ops.indexing import zeros_of_p
    return add_p(out, cast_p(zeros_of_p(x, shape=()), dtype=out.dtype))


def new_ones(x: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``ones(*size)`` with the dtype and device of ``x``."""
    out = ones(*size, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)
    return _of_its_transforms(out, x)
