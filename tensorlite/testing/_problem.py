"""What is checked: a function with its arguments, of which the arrays can be replaced and the floating ones differentiated.

Derivatives are taken of real numbers: a complex array of n elements counts as 2 n of them, its last axis the parts. Cotangents
are those of JAX's convention (docs/complex.md), c + d i standing for the row (c, -d), so the real pullback is conj, pull, conj.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorlite import _tree, autograd, backends, func
from tensorlite._dtypes import is_differentiable, kind
from tensorlite._state import no_grad
from tensorlite.engine.value import Value, new, raw

__all__ = ["Problem", "Undifferentiated", "host", "is_array", "tensor"]


class Undifferentiated(Exception):
    """No result requires a gradient."""


def is_array(value: Any) -> bool:
    """Whether it is a tensor or an array of some library."""
    return isinstance(value, Value) or (not isinstance(value, type) and hasattr(value, "__array__")) \
        or backends.of_type(type(value)) is not None


def host(value: Any) -> Any:
    """A NumPy array of what a tensor or an array holds."""
    array = raw(value)
    known = backends.of_type(type(array))
    return np.asarray(array if known is None else known.to_numpy(array))


def device_of(value: Any) -> str:
    """Where a tensor or an array is; the CPU for arrays of no known library."""
    if isinstance(value, Value):
        return value.device
    known = backends.of_type(type(value))
    return "cpu" if known is None else known.device_of(value)


def tensor(array: Any, device: str, tracked: bool = False) -> Any:
    """A tensor of a copy."""
    made = new(backends.backend_for_device(device).asarray(array, device=device, copy=True))
    return made.requires_grad_() if tracked else made


def parts(array: Any) -> Any:
    """Real numbers in float64: of complex ones both parts, along a new last axis."""
    if kind(array.dtype) != "c":
        return np.array(array, np.float64)
    return np.stack([array.real, array.imag], -1).astype(np.float64)


def joined(array: Any, dtype: Any, conjugate: bool = False) -> Any:
    """Of :func:`parts`, an array of ``dtype`` again."""
    if kind(dtype) != "c":
        return array.astype(dtype)
    return (array[..., 0] + (-1j if conjugate else 1j) * array[..., 1]).astype(dtype)


def conjugated(array: Any, dtype: Any) -> Any:
    """Parts with the sign of the second changed, if it is those of complex numbers."""
    return array * np.array([1.0, -1.0]) if kind(dtype) == "c" else array


def paths(tree: Any, name: str = "") -> list[str]:
    """How each leaf of a tree is reached: ``['w'][0]``."""
    found = None if tree is None else _tree.children(tree)
    if found is None:
        return [name]
    keys = sorted(tree, key=str) if isinstance(tree, dict) else range(len(found[0]))
    return [path for k, child in zip(keys, found[0]) for path in paths(child, f"{name}[{k!r}]")]


class Problem:
    """``f(*args, **kwargs)`` as a function of its arrays.

    ``argnums``: the positions of the arguments that are differentiated; None for all. Of these the floating and complex arrays
    are, or those tensors among them that require a gradient, if any does.
    """

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None = None,
                 name: str | None = None, argnums: Sequence[int] | None = None) -> None:
        self.f, self.name = f, str(name or getattr(f, "__name__", repr(f)))
        flats = [_tree.flatten(a, none_is_leaf=True)[0] for a in args]
        self.leaves, self.rebuild = _tree.flatten((tuple(args), dict(kwargs or {})), none_is_leaf=True)
        positions = [i for i, flat in enumerate(flats) for _ in flat]
        labels = [f"input {i}{path}" for i, a in enumerate(args) for path in paths(a)]
        tracked = any(isinstance(x, Value) and x.tracked for x in self.leaves)
        self.spots: list[int] = []     # which leaves are arrays
        self.where: list[int] = []     # which of them are differentiated
        self.at: list[Any] = []        # these, in parts
        self.dtypes: list[Any] = []
        self.devices: dict[int, str] = {}
        for k, x in enumerate(self.leaves):
            if not is_array(x):
                continue
            self.spots.append(k)
            self.devices[k] = device_of(x)
            self.leaves[k] = held = host(x)
            chosen = k < len(positions) and (argnums is None or positions[k] in argnums)
            if chosen and is_differentiable(held.dtype) and (not tracked or not isinstance(x, Value) or x.tracked):
                self.where.append(k)
                self.at.append(parts(held))
                self.dtypes.append(np.dtype(np.complex128 if kind(held.dtype) == "c" else np.float64))
        self.labels = [labels[k] for k in self.where]

    # ---- the function ------------------------------------------------------------------------------------------------

    def call(self, arrays: Mapping[int, Any]) -> Any:
        """The result with these leaves; the other arrays are tensors of what was given."""
        leaves = [arrays[k] if k in arrays else tensor(x, self.devices[k]) if k in self.devices else x
                  for k, x in enumerate(self.leaves)]
        args, kwargs = self.rebuild(leaves)
        return self.f(*args, **kwargs)

    def outputs(self, tensors: Sequence[Any]) -> list[Any]:
        """The differentiable results."""
        out = _tree.flatten(self.call(dict(zip(self.where, tensors))))[0]
        return [o for o in out if isinstance(o, Value) and is_differentiable(o.dtype)]

    def result(self, *tensors: Any) -> tuple[Any, ...]:
        return tuple(self.outputs(tensors))

    def tensors(self, arrays: Sequence[Any], tracked: bool = False) -> list[Any]:
        """The inputs of these parts."""
        return [tensor(joined(a, d), self.devices[k], tracked) for a, d, k in zip(arrays, self.dtypes, self.where)]

    def values(self, arrays: Sequence[Any]) -> list[Any]:
        with no_grad():
            return [parts(host(o)) for o in self.outputs(self.tensors(arrays))]

    # ---- derivatives -------------------------------------------------------------------------------------------------

    def pullback(self, arrays: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """v^T J, by the tape."""
        xs = self.tensors(arrays, tracked=True)
        pairs = [(o, tensor(joined(v, host(o).dtype, True), o.device)) for o, v in zip(self.outputs(xs), cotangents)
                 if o.requires_grad]
        if not pairs:
            raise Undifferentiated
        found = autograd.grad([o for o, _ in pairs], xs, [g for _, g in pairs], allow_unused=True)
        return [np.zeros_like(a) if g is None else conjugated(parts(host(g)), d)
                for a, g, d in zip(arrays, found, self.dtypes)]

    def push(self, arrays: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """J t, by forward mode; None for zero."""
        xs = self.tensors(arrays)
        ts = [None if t is None else tensor(joined(t, d), x.device) for t, d, x in zip(tangents, self.dtypes, xs)]
        return [parts(host(t)) for t in func.jvp(self.result, tuple(xs), tuple(ts))[1]]

    def second(self, arrays: Sequence[Any], cotangents: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradients of <weights, pullback> with respect to the arrays and to the cotangents, by the tape."""
        xs = self.tensors(arrays, tracked=True)
        outs = self.outputs(xs)
        gs = [tensor(joined(v, host(o).dtype, True), o.device, tracked=True) for o, v in zip(outs, cotangents)]
        pairs = [(o, g) for o, g in zip(outs, gs) if o.requires_grad]
        if not pairs:
            raise Undifferentiated
        first = autograd.grad([o for o, _ in pairs], xs, [g for _, g in pairs], create_graph=True, allow_unused=True)
        roots = [(h, tensor(joined(w, host(h).dtype), h.device)) for h, w in zip(first, weights)
                 if h is not None and h.requires_grad]
        found: Sequence[Any] = [None] * (len(xs) + len(gs))
        if roots:
            found = autograd.grad([h for h, _ in roots], xs + gs, [w for _, w in roots], allow_unused=True)
        like = [*arrays, *cotangents]
        flipped = [d if k < len(xs) else np.float64 for k, d in enumerate([*self.dtypes, *[None] * len(gs)])]
        return [np.zeros_like(a) if g is None else conjugated(parts(host(g)), d) for a, g, d in zip(like, found, flipped)]

    def gradient(self, *given: Any) -> Any:
        """The pullback by ``func.vjp``, as a function of the inputs and the cotangents; for other transforms to act on."""
        n = len(self.where)
        return func.vjp(self.result, *given[:n])[1](tuple(given[n:]))

    def cotangents(self, outs: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
        """Tensors for the results ``outs`` of cotangents in parts."""
        return [tensor(joined(v, host(o).dtype, True), o.device) for o, v in zip(outs, arrays)]

    def push_gradient(self, arrays: Sequence[Any], cotangents: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """The change of the pullback along tangents of the arrays and the cotangents: forward over reverse."""
        xs = self.tensors(arrays)
        outs = self.outputs(xs)
        gs = self.cotangents(outs, cotangents)
        n = len(xs)
        ts = [tensor(joined(t, d), x.device) for t, d, x in zip(tangents, self.dtypes, xs)]
        moved = func.jvp(self.gradient, (*xs, *gs), (*ts, *self.cotangents(outs, tangents[n:])))[1]
        return [conjugated(parts(host(m)), d) for m, d in zip(moved, self.dtypes)]
