"""Random numbers: from a key (JAX's way: a pure function of the key) or from a generator (PyTorch's way: each draw goes on).

One algorithm makes them all, Philox 4x32-10 (Salmon et al., 'Parallel random numbers: as easy as 1, 2, 3', SC 2011): element i
of a draw has the same value on every device and in every shape. Where a function takes a key, it comes first and may be left out;
then ``generator`` serves, or the default one that :func:`manual_seed` starts.
"""
from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, overload

import numpy as np

from tensorlite._dtypes import as_dtype, float64, get_default_dtype, int64
from tensorlite._philox import (
    Generator,
    Key,
    RandomError,
    as_shape,
    check_key,
    default_generator,
    draw,
    dtype_name,
    fold_in,
    key,
    permutation_at,
    reserve,
    split,
)
from tensorlite._state import current
from tensorlite.backends import backend_for_device, backend_of
from tensorlite.engine import batching
from tensorlite.engine.value import Value, new, raw
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.ops._names import torch_names
from tensorlite.ops.comparison import less
from tensorlite.ops.creation import _device, require
from tensorlite.ops.elementwise import cast_p
from tensorlite.ops.indexing import take

__all__ = ["Generator", "Key", "RandomError", "bernoulli", "default_generator", "fold_in", "get_rng_state", "initial_seed",
           "key", "manual_seed", "normal", "permutation", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
           "randperm", "set_rng_state", "split", "uniform"]

Tensor = Any
Shape = int | Sequence[int]
_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
_INTEGERS = frozenset(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))


# ---- the one place where numbers are drawn, and the one where they become tensors -----------------------------------------

def _draw(source: Key | Generator | None, shape: tuple[int, ...], dtype: Any, device: Any, kind: str, **options: Any) -> Any:
    """A raw array of the device's backend; inside of vmap, where each example draws for itself, a batched tensor."""
    device = _device(device)
    backend_for_device(device)   # an unknown device raises before the generator moves on
    if not current().batches:
        place = reserve(source, kind=kind, shape=shape, dtype=dtype, **options)
        return draw(place, kind=kind, shape=shape, dtype=dtype, device=device, **options)
    place_of = lambda sizes: reserve(source, kind=kind, shape=(*sizes, *shape), dtype=dtype, **options)
    drawn, batches = batching.drawing(kind, place_of, (kind, shape, dtype_name(dtype)))
    array = draw(drawn.place, kind=kind, shape=(*drawn.sizes, *shape), dtype=dtype, device=device, **options)
    return _batched(drawn.chosen(array), batches)


def _batched(array: Any, batches: list[Any]) -> Any:
    if not batches:
        return array
    out = new(array)
    for one in batches:
        out = batching.batch(out, one.level)
    return out


def _wrap(array: Any, requires_grad: bool = False) -> Tensor:
    return require(array if isinstance(array, Value) else new(array), requires_grad)


def _dtype(op: str, dtype: Any, default: Any, allowed: frozenset[str] = _FLOATS) -> Any:
    found = default if dtype is None else as_dtype(dtype)
    if dtype_name(found) not in allowed:
        raise DTypeError(f"{op}: dtype is {dtype_name(found)}, expected one of {', '.join(sorted(allowed))}")
    return found


def _size(op: str, sizes: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """The shape out of ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``."""
    if size is not None:
        if sizes:
            raise ShapeError(f"{op}: the size was given twice, as {sizes} and as size={size!r}; give one")
        return as_shape(op, size)
    return as_shape(op, sizes[0] if len(sizes) == 1 else sizes)


def _source(op: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Key | Generator | None, tuple[Any, ...], bool]:
    """The key or generator of a call, the arguments without the key, and whether there was a key."""
    generator = named.pop("generator", None)
    if "key" in named:
        args = (check_key(op, named.pop("key")), *args)
    if not args or not isinstance(args[0], Key):
        return generator, args, False
    if generator is not None:
        raise DTypeError(f"{op}: a key and a generator were given; give one of them")
    return args[0], args[1:], True


def _range(op: str, low: Any, high: Any, dtype: Any) -> tuple[int, int]:
    """The bounds of an integer draw, checked against each other and against the dtype."""
    try:
        a, b = int(low.__index__()), int(high.__index__())
    except AttributeError:
        raise DTypeError(f"{op}: the bounds are {low!r} and {high!r}, expected integers") from None
    if a >= b:
        raise RandomError(f"{op}: low is {a} and high is {b}, expected low < high (high itself is never drawn)")
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.iinfo(np.int64)
    if a < limits.min or b - 1 > limits.max:
        raise RandomError(f"{op}: the integers from {a} to {b - 1} do not fit dtype {kind.name}; choose a wider dtype")
    return a, b


# ---- seeds and states -----------------------------------------------------------------------------------------------------

def manual_seed(seed: int) -> Generator:
    """Start the default generator over with a seed, and return it.

    >>> import tensorlite as tl
    >>> _ = tl.random.manual_seed(0)
    >>> tl.random.rand(2).shape
    (2,)
    """
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed the default generator was last started with; at first one from the operating system."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The default generator's state, for :func:`set_rng_state`; JSON can hold it."""
    return default_generator.get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Let the default generator go on from a saved state."""
    default_generator.set_state(state)


# ---- with a key or without ------------------------------------------------------------------------------------------------

@overload
def uniform(key: Key, /, shape: Shape = (), dtype: Any = None, minval: float = 0.0, maxval: float = 1.0, *, device: Any = None,
            requires_grad: bool = False) -> Tensor: ...
@overload
def uniform(shape: Shape = (), dtype: Any = None, minval: float = 0.0, maxval: float = 1.0, *, generator: Generator | None = None,
            device: Any = None, requires_grad: bool = False) -> Tensor: ...
@torch_names
def uniform(*args: Any, **named: Any) -> Tensor:
    """``uniform([key,] shape=(), dtype=float32, minval=0, maxval=1)``: minval + u (maxval - minval), with u uniform on [0, 1).

    u is a multiple of 2^-24 (float32), 2^-53 (float64), 2^-11 (float16) or 2^-8 (bfloat16); maxval is never reached.
    ``RandomError`` if minval > maxval.

    >>> import tensorlite as tl
    >>> tl.random.uniform(tl.random.key(0), (2, 3), minval=-1.0).shape
    (2, 3)
    """
    source, rest, _ = _source("uniform", args, named)
    return _uniform(source, *rest, **named)


def _uniform(source: Any, shape: Any = (), dtype: Any = None, minval: float = 0.0, maxval: float = 1.0, *, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    if not minval <= maxval or not isfinite(maxval - minval):
        raise RandomError(f"uniform: minval is {minval} and maxval is {maxval}, expected minval <= maxval, both finite")
    size, wanted = as_shape("uniform", shape), _dtype("uniform", dtype, get_default_dtype())
    return _wrap(_draw(source, size, wanted, device, "uniform", low=float(minval), high=float(maxval)), requires_grad)


@overload
def normal(key: Key, /, shape: Shape = (), dtype: Any = None, *, device: Any = None, requires_grad: bool = False) -> Tensor: ...
@overload
def normal(mean: Any = 0.0, std: Any = 1.0, size: Shape | None = None, *, generator: Generator | None = None, dtype: Any = None,
           device: Any = None, requires_grad: bool = False) -> Tensor: ...
@torch_names
def normal(*args: Any, **named: Any) -> Tensor:
    """``normal(key, shape=(), dtype=float32)``, standard normal; or ``normal(mean=0, std=1, size=None)``.

    mean and std may be tensors; the size is then theirs, and gradients flow to them (mean + std z, the reparametrisation).
    By Box and Muller's transform (1958), bit for bit the same on every device. ``RandomError`` if std < 0.

    >>> import tensorlite as tl
    >>> tl.random.normal(tl.random.key(0), (2, 3)).shape
    (2, 3)
    >>> tl.random.normal(5.0, 2.0, (4,)).shape
    (4,)
    """
    source, rest, keyed = _source("normal", args, named)
    return (_normal_keyed if keyed else _normal)(source, *rest, **named)


def _normal_keyed(source: Any, shape: Any = (), dtype: Any = None, *, device: Any = None, requires_grad: bool = False) -> Tensor:
    return _normal(source, 0.0, 1.0, shape, dtype=dtype, device=device, requires_grad=requires_grad)


def _normal(source: Any, mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, dtype: Any = None, device: Any = None,
            requires_grad: bool = False) -> Tensor:
    bottom = raw(std)
    if not bool((bottom >= 0).all() if hasattr(bottom, "all") else bottom >= 0):
        raise RandomError(f"normal: std is {std}, expected std >= 0")
    arrays = [a for a in (mean, std) if hasattr(a, "shape")]
    if not arrays:
        shape, wanted = as_shape("normal", () if size is None else size), _dtype("normal", dtype, get_default_dtype())
        return _wrap(_draw(source, shape, wanted, device, "normal", mean=float(mean), std=float(std)), requires_grad)
    if size is not None:
        raise ShapeError(f"normal: size={size!r} was given beside a tensor mean or std, whose shape the result has; leave it out")
    try:
        shape = np.broadcast_shapes(*(tuple(a.shape) for a in arrays))
    except ValueError:
        raise ShapeError(f"normal: mean of shape {tuple(mean.shape)} does not broadcast with std of shape {tuple(std.shape)}; "
                         "reshape one of them") from None
    wanted = _dtype("normal", dtype, np.result_type(*(a.dtype for a in arrays)))
    z = _draw(source, shape, wanted, _device_of(arrays[0]) if device is None else device, "normal")
    return require(_wrap(z) * std + mean, requires_grad)


def _device_of(x: Any) -> str:
    array = raw(x)
    return backend_of(array).device_of(array)


@overload
def randint(key: Key, /, shape: Shape, minval: int, maxval: int, dtype: Any = None, *, device: Any = None) -> Tensor: ...
@overload
def randint(low: int, high: int, size: Shape, *, generator: Generator | None = None, dtype: Any = None,
            device: Any = None, requires_grad: bool = False) -> Tensor: ...
@overload
def randint(high: int, size: Shape, *, generator: Generator | None = None, dtype: Any = None,
            device: Any = None, requires_grad: bool = False) -> Tensor: ...
@torch_names
def randint(*args: Any, **named: Any) -> Tensor:
    """``randint(key, shape, minval, maxval, dtype=int64)`` or ``randint(low=0, high, size)``: integers from low to high - 1.

    By multiply and shift of 64 or 128 random bits; no integer's probability is off by more than 2^-32 of itself.
    ``RandomError`` if low >= high or if they do not fit the dtype.

    >>> import tensorlite as tl
    >>> tl.random.randint(tl.random.key(0), (3,), 0, 10).shape
    (3,)
    >>> tl.random.randint(10, (2, 2)).shape
    (2, 2)
    """
    source, rest, keyed = _source("randint", args, named)
    if not keyed and len(rest) + len({"low", "high", "size"} & named.keys()) == 2 and "low" not in named:
        rest = (0, *rest)   # randint(high, size)
    return (_randint_keyed if keyed else _randint)(source, *rest, **named)


def _randint_keyed(source: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
    return _randint(source, minval, maxval, shape, dtype=dtype, device=device)


def _randint(source: Any, low: Any, high: Any, size: Any, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    kind = _dtype("randint", dtype, int64, _INTEGERS | _FLOATS)
    low, high = _range("randint", low, high, kind)
    return _wrap(_draw(source, as_shape("randint", size), kind, device, "integers", low=low, high=high), requires_grad)


@overload
def permutation(key: Key, /, x: Any, axis: int = 0, *, device: Any = None) -> Tensor: ...
@overload
def permutation(x: Any, axis: int = 0, *, generator: Generator | None = None, device: Any = None) -> Tensor: ...
@torch_names
def permutation(*args: Any, **named: Any) -> Tensor:
    """``permutation([key,] n)``: 0, ..., n-1 in random order (int64); ``permutation([key,] x, axis=0)``: x's slices, reordered.

    >>> import tensorlite as tl
    >>> sorted(tl.random.permutation(tl.random.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    source, rest, _ = _source("permutation", args, named)
    return _permutation(source, *rest, **named)


def _permutation(source: Any, x: Any, axis: int = 0, *, device: Any = None) -> Tensor:
    if not getattr(x, "ndim", 0):
        return _wrap(_order(source, as_shape("permutation", x)[0], _device(device)))
    if not -x.ndim <= axis < x.ndim:
        raise OutOfRangeError(f"permutation: axis is {axis}, but x has shape {tuple(x.shape)}")
    x = x if isinstance(x, Value) else _wrap(x)
    order = _wrap(_order(source, x.shape[axis], _device_of(x)))
    return take(x, order, axis=axis)


def _order(source: Any, n: int, device: str) -> Any:
    if not current().batches:
        return permutation_at(reserve(source, kind="bits", shape=(n,), dtype="uint64"), n, device)
    place_of = lambda sizes: reserve(source, kind="bits", shape=(*sizes, n), dtype="uint64")
    drawn, batches = batching.drawing("permutation", place_of, ("permutation", n))
    return _batched(drawn.chosen(permutation_at(drawn.place, n, device, drawn.sizes)), batches)


@overload
def bernoulli(key: Key, /, p: Any = 0.5, shape: Shape | None = None, *, device: Any = None) -> Tensor: ...
@overload
def bernoulli(p: Any = 0.5, shape: Shape | None = None, *, generator: Generator | None = None, dtype: Any = None,
              device: Any = None) -> Tensor: ...
@torch_names
def bernoulli(*args: Any, **named: Any) -> Tensor:
    """``bernoulli(key, p=0.5, shape=None)``: true with probability p; ``bernoulli(p, shape=None)``: 0 or 1 in p's dtype.

    p is a number or a tensor, to a resolution of 2^-32; the shape is p's unless another is given, with which p then broadcasts.
    ``RandomError`` if p is not within 0 and 1.

    >>> import tensorlite as tl
    >>> tl.random.bernoulli(tl.random.key(0), 1.0, (2,)).tolist()
    [True, True]
    """
    source, rest, keyed = _source("bernoulli", args, named)
    return _bernoulli(source, *rest, **{"dtype": "bool", **named} if keyed else named)


def _bernoulli(source: Any, p: Any = 0.5, shape: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    is_array = hasattr(p, "shape")
    wanted = _dtype("bernoulli", dtype, p.dtype if is_array else get_default_dtype(), _INTEGERS | _FLOATS | {"bool"})
    bottom = raw(p)
    if not bool(((bottom >= 0) & (bottom <= 1)).all() if is_array else 0 <= p <= 1):
        raise RandomError(f"bernoulli: p is {p}, expected 0 <= p <= 1")
    size = as_shape("bernoulli", (tuple(p.shape) if is_array else ()) if shape is None else shape)
    if not is_array:
        mask = _draw(source, size, "bool", device, "bernoulli", p=float(p))
        return cast_p(_wrap(mask), dtype=wanted)
    try:
        fits = np.broadcast_shapes(tuple(p.shape), size) == size
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"bernoulli: p of shape {tuple(p.shape)} does not broadcast to the shape {size}; reshape it")
    words = _wrap(_draw(source, size, "uint32", _device_of(p) if device is None else device, "bits"))
    below = less(cast_p(words, dtype=float64), cast_p(p, dtype=float64) * 2.0**32)
    return cast_p(below, dtype=wanted)


# ---- PyTorch's names ------------------------------------------------------------------------------------------------------

@torch_names
def rand(*sizes: Any, size: Shape | None = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1): ``rand(2, 3)``, ``rand((2, 3))``, ``rand(size=(2, 3))``; see :func:`uniform`.

    >>> import tensorlite as tl
    >>> tl.random.rand(2, 3).shape
    (2, 3)
    """
    return _uniform(generator, _size("rand", sizes, size), dtype, device=device, requires_grad=requires_grad)


@torch_names
def randn(*sizes: Any, size: Shape | None = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """Standard normal: ``randn(2, 3)``, ``randn((2, 3))``, ``randn(size=(2, 3))``; see :func:`normal`.

    >>> import tensorlite as tl
    >>> tl.random.randn(size=()).shape
    ()
    """
    return _normal(generator, size=_size("randn", sizes, size), dtype=dtype, device=device, requires_grad=requires_grad)


@torch_names
def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """0, ..., n-1 in random order; see :func:`permutation`.

    >>> import tensorlite as tl
    >>> sorted(tl.random.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    order = _order(generator, as_shape("randperm", n)[0], _device(device))
    return cast_p(_wrap(order), dtype=_dtype("randperm", dtype, int64, _INTEGERS | _FLOATS))


@torch_names
def rand_like(x: Any, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1) in the shape, dtype and on the device of ``x``."""
    return _uniform(generator, tuple(x.shape), dtype or x.dtype, device=device or _device_of(x), requires_grad=requires_grad)


@torch_names
def randn_like(x: Any, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:
    """Standard normal in the shape, dtype and on the device of ``x``.

    >>> import tensorlite as tl
    >>> tl.random.randn_like(tl.random.rand(2, 3)).shape
    (2, 3)
    """
    return _normal(generator, size=tuple(x.shape), dtype=dtype or x.dtype, device=device or _device_of(x),
                   requires_grad=requires_grad)


@torch_names
def randint_like(x: Any, low: int, high: int | None = None, *, generator: Generator | None = None, dtype: Any = None,
                 device: Any = None, requires_grad: bool = False) -> Tensor:
    """Integers from low to high - 1 (from 0 to low - 1 if high is left out) in the shape, dtype and on the device of ``x``."""
    low, high = (0, low) if high is None else (low, high)
    return _randint(generator, low, high, tuple(x.shape), dtype=dtype or x.dtype, device=device or _device_of(x),
                    requires_grad=requires_grad)
