"""Checking gradients against finite differences."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite import autograd, backends
from tensorlite._dtypes import kind
from tensorlite._state import no_grad
from tensorlite.engine.value import Value, new, raw
from tensorlite.errors import DTypeError, TensorliteError

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

WHOLE = 512   # elements up to which every partial derivative is taken; above, derivatives along random directions
PROBES = 8    # how many of those


class GradcheckError(TensorliteError, AssertionError):
    """A gradient that differs from its finite differences, or that is not there."""


def _host(value: Any) -> Any:
    """A NumPy array of what a tensor or an array holds."""
    array = raw(value)
    return np.asarray(backends.backend_of(array).to_numpy(array))


class _Problem:
    """A function of float64 NumPy arrays: what ``f`` makes of tensors, with everything else held fixed."""

    def __init__(self, f: Callable[..., Any], inputs: Sequence[Any], name: str) -> None:
        self.f, self.name, self.given = f, name, list(inputs)
        self.where: list[int] = []   # the positions of what is differentiated
        self.at: list[Any] = []
        self.devices: list[str] = []
        for i, value in enumerate(inputs):
            if not isinstance(value, Value) and not hasattr(value, "__array__"):
                continue
            host = _host(value) if isinstance(value, Value) else np.asarray(value)
            if kind(host.dtype) == "c":
                raise DTypeError(f"gradcheck: input {i} of {name} is complex; give its real and imaginary parts as two inputs")
            if kind(host.dtype) == "f" and (not isinstance(value, Value) or value.tracked or not _any_tracked(inputs)):
                self.where.append(i)
                self.at.append(np.array(host, np.float64))
                self.devices.append(value.device if isinstance(value, Value) else "cpu")
            else:
                self.given[i] = value.detach() if isinstance(value, Value) else _tensor(host, "cpu", False)
        if not self.where:
            raise DTypeError(f"gradcheck: {name} was given no floating input; pass at least one float64 array or tensor")

    def tensors(self, arrays: Sequence[Any], tracked: bool) -> list[Any]:
        return [_tensor(a, d, tracked) for a, d in zip(arrays, self.devices)]

    def outputs(self, tensors: Sequence[Any]) -> list[Any]:
        """The floating results."""
        args = list(self.given)
        for i, t in zip(self.where, tensors):
            args[i] = t
        out = self.f(*args)
        several = out if isinstance(out, (tuple, list)) else (out,)
        return [o for o in several if isinstance(o, Value) and kind(o.dtype) == "f"]

    def values(self, arrays: Sequence[Any]) -> list[Any]:
        with no_grad():
            return [_host(o).astype(np.float64) for o in self.outputs(self.tensors(arrays, False))]

    def pullback(self, arrays: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        tensors = self.tensors(arrays, True)
        outs = self.outputs(tensors)
        pairs = [(o, v) for o, v in zip(outs, cotangents) if o.requires_grad]
        if not pairs:
            raise GradcheckError(f"gradcheck: no result of {self.name} requires a gradient, though its inputs do")
        gs = [_tensor(v, o.device, False) for o, v in pairs]
        found = autograd.grad([o for o, _ in pairs], tensors, gs, allow_unused=True)
        return [np.zeros_like(a) if g is None else _host(g).astype(np.float64) for a, g in zip(arrays, found)]

    def second(self, arrays: Sequence[Any], cotangents: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradients of <weights, pullback> with respect to the arrays and to the cotangents."""
        tensors = self.tensors(arrays, True)
        outs = self.outputs(tensors)
        gs = [_tensor(v, o.device, True) for o, v in zip(outs, cotangents)]
        pairs = [(o, g) for o, g in zip(outs, gs) if o.requires_grad]
        first = autograd.grad([o for o, _ in pairs], tensors, [g for _, g in pairs], create_graph=True, allow_unused=True)
        roots = [(h, w) for h, w in zip(first, weights) if h is not None and h.requires_grad]
        wanted = tensors + gs
        found: Sequence[Any] = [None] * len(wanted)
        if roots:
            ws = [_tensor(w, h.device, False) for h, w in roots]
            found = autograd.grad([h for h, _ in roots], wanted, ws, allow_unused=True)
        shapes = [*arrays, *cotangents]
        return [np.zeros_like(a) if g is None else _host(g).astype(np.float64) for a, g in zip(shapes, found)]


def _any_tracked(inputs: Sequence[Any]) -> bool:
    return any(isinstance(v, Value) and v.tracked for v in inputs)


def _tensor(array: Any, device: str, tracked: bool) -> Any:
    backend = backends.backend_for_device(device)
    tensor = new(backend.asarray(array, device=device, copy=True))
    return tensor.requires_grad_() if tracked else tensor


def _compare(name: str, of: str, arrays: list[Any], analytic: list[Any], scalar: Callable[[list[Any]], float],
             eps: float, atol: float, rtol: float, seed: int, rng: np.random.Generator) -> None:
    """Raise unless ``analytic`` are the partial derivatives of ``scalar`` at ``arrays``."""
    for k, (array, found) in enumerate(zip(arrays, analytic)):
        if found.shape != array.shape:
            raise GradcheckError(f"{name}: the {of} of input {k} has shape {found.shape}; expected {array.shape}")

        def difference(direction: Any, k: int = k) -> float:
            moved = list(arrays)
            moved[k] = arrays[k] + eps * direction
            above = scalar(moved)
            moved[k] = arrays[k] - eps * direction
            return (above - scalar(moved)) / (2 * eps)

        if array.size <= WHOLE:
            numeric = np.empty_like(array)
            for index in np.ndindex(array.shape):
                direction = np.zeros_like(array)
                direction[index] = 1.0
                numeric[index] = difference(direction)
            got, where = found, "index"
        else:
            directions = [rng.standard_normal(array.shape) / np.sqrt(array.size) for _ in range(PROBES)]
            numeric = np.array([difference(d) for d in directions])
            got, where = np.array([np.vdot(found, d) for d in directions]), "random direction"
        excess = np.abs(got - numeric) - (atol + rtol * np.abs(numeric))
        excess = np.where(np.isnan(got) | np.isnan(numeric), np.inf, excess)
        if excess.size and excess.max() > 0:
            worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
            spot = tuple(int(i) for i in worst)
            raise GradcheckError(
                f"{name}: the {of} with respect to input {k} (shape {array.shape}) differs most at {where} {spot}: "
                f"analytic {got[worst]:.7g}, numeric {numeric[worst]:.7g} (eps={eps:g}, atol={atol:g}, rtol={rtol:g}, "
                f"seed={seed}); {int((excess > 0).sum())} of {excess.size} differ")


def gradcheck(f: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              modes: Sequence[str] = ("rev", "double"), *, seed: int = 0, name: str | None = None) -> bool:
    """Compare the gradients of ``f`` with central differences in float64; True, or ``GradcheckError`` (an ``AssertionError``).

    ``inputs`` is a tensor or array or a sequence of them; floating ones are differentiated (only those that require a gradient,
    if any does), everything else is passed as it is. ``modes``: ``"rev"`` checks the gradient, through random cotangents of all
    results; ``"double"`` the gradient of that gradient with respect to the inputs and to the cotangents. Keep the inputs away
    from kinks by more than ``eps``. Inputs of up to 512 elements are checked element by element, larger ones along random
    directions. The error names the function, the input, the place that differs most, both values and the seed.

    >>> import tensorlite as tl
    >>> tl.testing.gradcheck(lambda x, y: tl.sin(x) * y, (tl.tensor([0.5, 1.0]), tl.tensor([2.0, 3.0])))
    True
    """
    unknown = set(modes) - {"rev", "double"}
    if unknown:
        raise DTypeError(f"gradcheck: modes {sorted(unknown)} are unknown; expected some of 'rev', 'double'")
    name = str(name or getattr(f, "__name__", repr(f)))
    inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    problem = _Problem(f, inputs, name)
    rng = np.random.default_rng(seed)
    arrays = problem.at
    cotangents = [rng.standard_normal(v.shape) for v in problem.values(arrays)]

    if "rev" in modes:
        def weighted(at: list[Any]) -> float:
            return float(sum(np.vdot(v, y) for v, y in zip(cotangents, problem.values(at))))

        _compare(name, "gradient", arrays, problem.pullback(arrays, cotangents), weighted, eps, atol, rtol, seed, rng)
    if "double" in modes:
        weights = [rng.standard_normal(a.shape) for a in arrays]
        n = len(arrays)

        def pulled(at: list[Any]) -> float:
            return float(sum(np.vdot(w, h) for w, h in zip(weights, problem.pullback(at[:n], at[n:]))))

        second = problem.second(arrays, cotangents, weights)
        _compare(name, "second-order gradient (inputs, then cotangents)", arrays + cotangents, second, pulled,
                 eps, atol, rtol, seed, rng)
    return True


def gradgradcheck(f: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, *,
                  seed: int = 0) -> bool:
    """:func:`gradcheck` of the second-order gradient alone."""
    return gradcheck(f, inputs, eps, atol, rtol, ("double",), seed=seed)
