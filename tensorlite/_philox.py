"""Where random numbers come from: keys and generators hand out places in Philox's sequence, ``draw`` reads raw arrays there.

A :class:`Place` is three integers (seed, stream, offset). A draw at a place is a pure function of it, on every backend: dropout
keeps the place instead of the mask. The layout of seed, stream and offset is in ``kernels/philox``.
"""
from __future__ import annotations

import os
from functools import cache, partial
from math import prod
from operator import index
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backends import backend_for_device
from tensorlite.errors import DTypeError, ShapeError, TensorliteError
from tensorlite.kernels import philox as _philox

__all__ = ["Generator", "Key", "Place", "RandomError", "as_shape", "check_key", "default_generator", "draw", "dtype_name",
           "fold_in", "key", "permutation_at", "reserve", "split"]

_CHILDREN, _FOLDED = 1 << 63, (1 << 63) + (1 << 62)   # the blocks that keys are made from; draws stay below
_HALVES = {"float16": 11, "bfloat16": 8}              # bits of a uniform draw that the type holds exactly


class RandomError(TensorliteError, ValueError):
    """A bound, a probability, a seed or a saved state that nothing can be drawn with."""


class Place(NamedTuple):
    """Where a draw's numbers begin: Philox's seed (its key), stream (the upper counter words) and offset (a block index)."""

    seed: int
    stream: int
    offset: int


class Key:
    """An explicit, immutable source of randomness: the same key gives the same numbers.

    Made by :func:`key`, :func:`split` and :func:`fold_in`; it is two 64-bit integers, and can be hashed and pickled.
    """

    __slots__ = ("seed", "stream")
    seed: int
    stream: int

    def __init__(self, seed: int, stream: int) -> None:
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "stream", stream)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Key: {name} cannot be set, keys are immutable; make another with fold_in or split")

    def __reduce__(self) -> Any:
        return Key, (self.seed, self.stream)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and (self.seed, self.stream) == (other.seed, other.stream)

    def __hash__(self) -> int:
        return hash((self.seed, self.stream))

    def __repr__(self) -> str:
        return f"Key(seed={self.seed:#018x}, stream={self.stream:#018x})"


def _integer(op: str, name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{op}: {name} is {value!r} of type {type(value).__name__}, expected an integer") from None


def _seed(op: str, seed: Any) -> int:
    value = _integer(op, "seed", seed)
    if not -(1 << 63) <= value < 1 << 64:
        raise RandomError(f"{op}: seed is {value}, expected -2^63 <= seed < 2^64; take it modulo 2^64 first")
    return value % (1 << 64)


def key(seed: int) -> Key:
    """The key of a seed: the root that :func:`split` and :func:`fold_in` make others from.

    Keys begin at stream 1 and generators draw from stream 0, so that ``key(0)`` and ``Generator(0)`` are unrelated.

    >>> import tensorlite as tl
    >>> k = tl.random.key(0)
    >>> tl.random.uniform(k, (2,)).tolist() == tl.random.uniform(k, (2,)).tolist()
    True
    """
    return Key(_seed("key", seed), 1)


def check_key(op: str, given: Any) -> Key:
    """``given`` if it is a key, else an error that says where keys come from."""
    if not isinstance(given, Key):
        raise DTypeError(f"{op}: key is {given!r} of type {type(given).__name__}, expected a key; "
                         "make one with tensorlite.random.key(seed)")
    return given


def _children(parent: Key, offset: int, n: int) -> tuple[Key, ...]:
    pairs = _philox.on_host(kind="bits", dtype="uint64", shape=(n, 2), seed=parent.seed, stream=parent.stream, offset=offset)
    return tuple(Key(seed, stream) for seed, stream in pairs.tolist())


def split(key: Key, n: int = 2) -> tuple[Key, ...]:
    """``n`` new keys, unrelated to each other and to ``key``; child j is the same whatever ``n``.

    A child is the 128 bits of one Philox block, and Philox is a bijection of its counter, so that children of one key never
    coincide. Do not draw from a key again that you handed out in another role: give each draw a key of its own.

    >>> import tensorlite as tl
    >>> k1, k2 = tl.random.split(tl.random.key(0))
    >>> k1 == k2
    False
    """
    count = _integer("split", "n", n)
    if not 0 <= count < 1 << 62:
        raise RandomError(f"split: n is {n}, expected 0 <= n < 2^62")
    return _children(check_key("split", key), _CHILDREN, count)


def fold_in(key: Key, data: int) -> Key:
    """The key that belongs to ``key`` and an integer such as an epoch or a sample's index. Other integers give other keys.

    >>> import tensorlite as tl
    >>> epoch_keys = [tl.random.fold_in(tl.random.key(0), epoch) for epoch in range(3)]
    >>> len(set(epoch_keys))
    3
    """
    value = _integer("fold_in", "data", data)
    if not 0 <= value < 1 << 62:
        raise RandomError(f"fold_in: data is {data}, expected 0 <= data < 2^62")
    return _children(check_key("fold_in", key), _FOLDED + value, 1)[0]


class Generator:
    """A seed and a running offset: each draw starts where the last one ended, so that draws never overlap.

    One generator serves every device. Threads may share it: a draw reserves its range under a lock. Without a seed it takes one
    from the operating system.

    >>> import tensorlite as tl
    >>> g = tl.random.Generator(0)
    >>> state = g.get_state()
    >>> a = tl.random.rand(3, generator=g)
    >>> g.set_state(state)
    >>> a.tolist() == tl.random.rand(3, generator=g).tolist()
    True
    """

    __slots__ = ("_lock", "_offset", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._lock, self._seed, self._offset = Lock(), 0, 0
        if seed is None:
            self.seed()
        else:
            self.manual_seed(seed)

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"

    def manual_seed(self, seed: int) -> Generator:
        """Start over with a seed, -2^63 <= seed < 2^64 (a negative one counts as seed + 2^64). Returns the generator."""
        value = _seed("manual_seed", seed)
        with self._lock:
            self._seed, self._offset = value, 0
        return self

    def seed(self) -> int:
        """Start over with a seed from the operating system, and return it."""
        value = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        """The seed it was last started with."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """What :meth:`set_state` takes: a small dictionary that JSON can hold."""
        with self._lock:
            return {"algorithm": "philox4x32-10", "seed": self._seed, "offset": self._offset}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that :meth:`get_state` returned."""
        if not isinstance(state, dict) or not {"algorithm", "seed", "offset"} <= state.keys():
            raise RandomError(f"set_state: state is {state!r}, expected the dictionary that get_state() returned")
        if state["algorithm"] != "philox4x32-10":
            raise RandomError(f"set_state: the state is of {state['algorithm']!r}, expected 'philox4x32-10'; "
                                      "states of other generators cannot be taken over")
        seed, offset = _seed("set_state", state["seed"]), _integer("set_state", "offset", state["offset"])
        if not 0 <= offset < _CHILDREN:
            raise RandomError(f"set_state: offset is {offset}, expected 0 <= offset < 2^63")
        with self._lock:
            self._seed, self._offset = seed, offset

    def __getstate__(self) -> dict[str, Any]:
        return self.get_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock, self._seed, self._offset = Lock(), 0, 0
        self.set_state(state)

    def advance(self, blocks: int) -> Place:
        """Reserve that many blocks of four words, and say where they are."""
        with self._lock:
            place = Place(self._seed, 0, self._offset)
            self._offset += blocks
        return place


default_generator = Generator()


def reserve(source: Key | Generator | None, *, kind: str, shape: tuple[int, ...], dtype: Any, **options: Any) -> Place:
    """The place of a draw: a key's is always its beginning, a generator (None: the default one) moves on behind it."""
    if isinstance(source, Key):
        return Place(source.seed, source.stream, 0)
    if source is None:
        source = default_generator
    elif not isinstance(source, Generator):
        raise DTypeError(f"random: generator is {source!r} of type {type(source).__name__}, expected a Generator or None; "
                         "make one with tensorlite.random.Generator(seed)")
    return source.advance(_philox.blocks(kind=kind, shape=shape, dtype=_wide(kind, dtype_name(dtype)), **options))


@cache   # NumPy computes a dtype's name anew each time: 1 to 2 microseconds
def dtype_name(dtype: Any) -> str:
    return np.dtype(dtype).name


def _wide(kind: str, dtype: str) -> str:
    """The type a draw is made in before it is narrowed to the one asked for."""
    if kind == "integers":
        return "uint64" if dtype == "uint64" else "int64"
    return "float32" if dtype in _HALVES else dtype


def draw(place: Place, *, kind: str, shape: tuple[int, ...], dtype: Any, device: str = "cpu", **options: Any) -> Any:
    """A raw array of the device's backend: kind ``bits``, ``uniform(low, high)``, ``normal(mean, std)``, ``integers(low, high)``
    or ``bernoulli(p)``, read at ``place``. See the table in ``kernels/philox``."""
    backend, name = backend_for_device(device), dtype_name(dtype)
    wide = _wide(kind, name)
    if kind == "uniform" and name in _HALVES:
        options["bits"] = _HALVES[name]
    run = backend.implementations.get("philox")
    if run is None:
        run = _philox.on_host if backend.name == "numpy" else partial(_philox.reference, backend.xp)
    with backend.on(device):
        out = run(kind=kind, shape=shape, dtype=wide, seed=place.seed, stream=place.stream, offset=place.offset, **options)
        return out if wide == name else _narrowed(backend.xp, out, kind, dtype, **options)


def _narrowed(xp: Any, out: Any, kind: str, dtype: Any, low: Any = 0, high: Any = 1, **options: Any) -> Any:
    """The draw in the smaller dtype asked for."""
    out = xp.astype(out, np.dtype(dtype))
    if kind == "uniform" and (low, high) != (0, 1):   # rounding may have reached the upper end
        out = xp.where(xp.astype(out, xp.float32) < float(high), out, xp.full_like(out, low))
    return out


def permutation_at(place: Place, n: int, device: str = "cpu", sizes: tuple[int, ...] = ()) -> Any:
    """0, ..., n-1 in random order (int64): the order of n random 64-bit keys of which the lowest bits were replaced by the index.
    With ``sizes`` as many orders, (*sizes, n).

    No two keys are equal then, so that every sorting algorithm gives the same order. With b bits of index, two elements whose
    keys agree in the other 64-b bits keep their order; no pair is biased by more than 2^-(64-b).
    """
    xp = backend_for_device(device).namespace(device)
    mask = (1 << max(n - 1, 0).bit_length()) - 1
    keys = draw(place, kind="bits", shape=(*sizes, n), dtype="uint64", device=device)
    keys = (keys & ((1 << 64) - 1 - mask)) | xp.arange(n, dtype=xp.uint64)
    return xp.astype(xp.sort(keys) & mask, xp.int64)


def as_shape(op: str, size: Any) -> tuple[int, ...]:
    """An int or a sequence of ints as a shape."""
    try:
        shape = tuple(index(n) for n in size) if isinstance(size, (tuple, list)) else (index(size),)
    except TypeError:
        raise DTypeError(f"{op}: the size is {size!r}, expected an int or a tuple of ints") from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{op}: the size is {shape}, expected no negative number in it")
    if prod(shape) >= _CHILDREN:
        raise ShapeError(f"{op}: the size is {shape}, expected fewer than 2^63 elements")
    return shape
