"""An operation on one sample, run in every way the checks ask for."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorlite import _tree, autograd, func
from tensorlite._dtypes import is_differentiable, kind
from tensorlite.engine.value import Value
from tensorlite.testing._problem import Problem, host, is_array, tensor

__all__ = ["NotApplicable", "Refused", "Subject", "Wrong", "cast", "compare", "hosts", "leaves_of"]


class Wrong(Exception):
    """A check found something wrong."""


class NotApplicable(Exception):
    """A check has nothing to check here; says why."""


class Refused(NotApplicable):
    """The operation says that it cannot do this; the report shows it, whatever the other samples gave."""


def leaves_of(tree: Any) -> list[Any]:
    """The tensors, arrays and numbers of a result."""
    return [x for x in _tree.flatten(tree)[0] if is_array(x) or isinstance(x, (bool, int, float, complex))]


def hosts(tree: Any) -> list[Any]:
    return [host(x) for x in leaves_of(tree)]


def cast(array: Any, dtype: Any) -> Any:
    """A floating array in another floating type, a complex one in the complex type of that width."""
    of = kind(array.dtype)
    if of == "f":
        return array.astype(dtype)
    return array.astype(np.complex64 if np.dtype(dtype) == np.float32 else np.complex128) if of == "c" else array


def distance(got: Any, want: Any) -> float:
    """The largest deviation relative to the element and the largest element; infinite where what is not finite differs."""
    if got.shape != want.shape:
        raise Wrong(f"a result has shape {got.shape}; expected {want.shape}")
    if not is_differentiable(got.dtype):
        return 0.0 if np.array_equal(got, want) else float("inf")
    least = 0.0 if np.dtype(got.dtype).kind == "V" else float(np.finfo(got.dtype).tiny)   # below, digits are lost
    wide: Any = np.complex128 if kind(got.dtype) == "c" or kind(want.dtype) == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    ok = np.isfinite(want)
    if not np.array_equal(got[~ok], want[~ok], equal_nan=True):
        return float("inf")
    got, want = got[ok], want[ok]
    if not got.size:
        return 0.0
    scale = np.abs(want) + float(np.abs(want).max())
    off = np.maximum(np.abs(got - want) - least, 0.0)
    worst = float(np.max(np.divide(off, scale, out=np.where(off > 0, np.inf, 0.0), where=scale > 0)))
    return worst if worst == worst else float("inf")


def compare(got: Sequence[Any], want: Sequence[Any], rtol: float, what: str) -> float:
    """The largest distance, ``Wrong`` above ``rtol``."""
    if len(got) != len(want):
        raise Wrong(f"{what}: {len(got)} results; expected {len(want)}")
    worst = 0.0
    for k, (a, b) in enumerate(zip(got, want)):
        try:
            off = distance(a, b)
        except Wrong as wrong:
            raise Wrong(f"{what}: {wrong}") from None
        if off > rtol:
            raise Wrong(f"{what}: result {k} is off by {off:.1e} (allowed {rtol:.1e}){_spot(a, b)}")
        worst = max(worst, off)
    return worst


def _spot(a: Any, b: Any) -> str:
    """Where two arrays differ most, and both values."""
    if not a.size:
        return ""
    wide: Any = np.complex128 if "c" in (kind(a.dtype), kind(b.dtype)) else np.float64
    far = np.nan_to_num(np.abs(a.astype(wide) - b.astype(wide)), nan=np.inf, posinf=np.inf)
    worst = np.unravel_index(int(np.argmax(far)), far.shape)
    return f", most at {tuple(int(i) for i in worst)}: {a[worst]}, expected {b[worst]}"


class Subject:
    """The operation and one sample."""

    def __init__(self, op: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str,
                 argnums: Sequence[int] | None, reference: Callable[..., Any] | None, rtol: float, devices: Sequence[str],
                 dtypes: Sequence[str], seed: Sequence[int]) -> None:
        self.op, self.reference, self.rtol, self.devices = op, reference, rtol, tuple(devices)
        self.dtypes, self.seed = tuple(dtypes), list(seed)
        self.problem = Problem(op, args, kwargs, name, argnums)
        leaves = self.problem.leaves
        self.held = {k: cast(leaves[k], np.float64) for k in self.problem.spots}
        for k, a in self.held.items():
            leaves[k] = a
            self.problem.devices[k] = self.devices[0]
        self.others: list[Subject] = []   # samples that differ in their values alone
        self.tracks: bool | None = None
        self.known: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        return self.problem.name

    @property
    def where(self) -> list[int]:
        """The leaves that are differentiated."""
        return self.problem.where

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def like(self, other: Subject) -> bool:
        """Whether both differ in the values of their arrays alone."""
        def blank(s: Subject) -> Any:
            return s.problem.rebuild([(x.shape, x.dtype) if k in s.held else x for k, x in enumerate(s.problem.leaves)])
        return repr(blank(self)) == repr(blank(other))

    # ---- runs --------------------------------------------------------------------------------------------------------

    def run(self, arrays: Mapping[int, Any] | None = None, device: str | None = None) -> Any:
        """The result for these leaves (NumPy arrays become tensors), the others as in the sample."""
        given = {**self.held, **(arrays or {})}
        device = device or self.devices[0]
        return self.problem.call({k: x if isinstance(x, Value) else tensor(x, device) for k, x in given.items()})

    def raw(self) -> Any:
        return self.problem.call({k: np.copy(a) for k, a in self.held.items()})

    def expected(self, arrays: Mapping[int, Any]) -> list[Any]:
        """The reference's results for NumPy arrays (in float64), or the operation's own where there is none."""
        if self.reference is None:
            return hosts(self.run(arrays))
        given = {**self.held, **arrays}
        args, kwargs = self.problem.rebuild([given.get(k, x) for k, x in enumerate(self.problem.leaves)])
        out = self.reference(*args, **kwargs)
        return [np.asarray(x) for x in _tree.flatten(out)[0]]

    def cotangents(self, outs: Sequence[Any]) -> list[Any]:
        """A random cotangent for each result, always the same ones."""
        rng = self.rng()
        return [_normal(rng, o) for o in outs]

    def tangents(self) -> list[Any]:
        rng = np.random.default_rng([*self.seed, 1])
        return [_normal(rng, self.held[k]) for k in self.where]

    def backward(self, arrays: Mapping[int, Any] | None = None, device: str | None = None,
                 which: Sequence[int] | None = None) -> tuple[list[Any], list[Any]]:
        """The differentiable results, and the gradients (None where there is none) of the leaves ``which``, by the tape."""
        device = device or self.devices[0]
        given = {**self.held, **(arrays or {})}
        xs = {k: given[k] if isinstance(given[k], Value) else tensor(given[k], device) for k in which or self.where}
        for x in xs.values():
            x.requires_grad_()
        outs = [o for o in leaves_of(self.run({**given, **xs}, device)) if isinstance(o, Value) and is_differentiable(o.dtype)]
        pairs = [(o, tensor(v, device)) for o, v in zip(outs, self.cotangents(outs)) if o.tracked]
        if not pairs:
            return outs, [None] * len(xs)
        found = autograd.grad([o for o, _ in pairs], list(xs.values()), [g for _, g in pairs], allow_unused=True)
        return outs, list(found)

    def once(self, what: str, device: str, make: Callable[[], Any]) -> Any:
        if (what, device) not in self.known:
            self.known[what, device] = make()
        return self.known[what, device]

    def values(self, device: str | None = None) -> list[Any]:
        """The results for the sample itself, run once."""
        device = device or self.devices[0]
        return list(self.once("values", device, lambda: hosts(self.run(device=device))))

    def slopes(self, device: str | None = None) -> list[Any]:
        """Its gradients, run once."""
        device = device or self.devices[0]
        return list(self.once("slopes", device, lambda: self.gradients(device=device)))

    def gradients(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The gradients as NumPy arrays, zeros where there is none."""
        found = self.backward(*args, **kwargs)[1]
        return [np.zeros(self.held[k].shape) if g is None else host(g) for k, g in zip(self.where, found)]

    def differentiable(self) -> bool:
        """Whether some result requires a gradient if the inputs do."""
        if self.tracks is None:
            self.tracks = bool(self.where) and any(_tracked(o) for o in self.backward()[0])
        return self.tracks

    def needs_derivatives(self) -> None:
        """``NotApplicable`` where nothing is differentiated."""
        if not self.where:
            raise NotApplicable("no floating argument is differentiated")
        if not self.differentiable():
            raise NotApplicable("no result requires a gradient")

    def result(self, *tensors: Any) -> tuple[Any, ...]:
        """The differentiable results as a function of the differentiated arrays, for transforms."""
        return self.problem.result(*tensors)

    def inputs(self, device: str | None = None) -> list[Any]:
        return [tensor(self.held[k], device or self.devices[0]) for k in self.where]

    def linear(self, device: str | None = None) -> tuple[list[Any], list[Any]]:
        """Results, and tangents along :meth:`tangents`."""
        device = device or self.devices[0]

        def result(*xs: Any) -> Any:
            out = leaves_of(self.run(dict(zip(self.where, xs)), device))
            return tuple([o for o in out if isinstance(o, Value) and is_differentiable(o.dtype)])
        ts = [tensor(t, device) for t in self.tangents()]
        out, moved = func.jvp(result, tuple(self.inputs(device)), tuple(ts))
        return list(out), list(moved)


def _tracked(value: Any) -> bool:
    return isinstance(value, Value) and value.tracked


def _normal(rng: np.random.Generator, like: Any) -> Any:
    array = rng.standard_normal(tuple(like.shape))
    dtype = np.dtype(host(like).dtype if isinstance(like, Value) else like.dtype)
    if kind(dtype) == "c":
        array = array + 1j * rng.standard_normal(tuple(like.shape))
    return array.astype(dtype)
