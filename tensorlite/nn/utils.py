"""Gradients clipped, parameters frozen by name or as one vector."""
from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from math import inf, isfinite
from typing import Any

from tensorlite import backends, kernels
from tensorlite._dtypes import kind
from tensorlite.engine import inplace
from tensorlite.engine.value import Value, new
from tensorlite.errors import GradError, ShapeError, TensorliteError
from tensorlite.ops import manipulation
from tensorlite.ops.complex import view_as_real_p

Tensor = Any


class UnmatchedName(TensorliteError, ValueError):
    """A pattern that matches no parameter's name."""


def _parts(array: Any) -> Any:
    """The array itself if it is real, a view of its real and imaginary parts if it is complex."""
    return array if kind(array.dtype) != "c" else view_as_real_p(array)


def _listed(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Value) else list(parameters)


def _kernel(backend: Any, name: str) -> Any:
    return backend.implementation(name, kernels.load(name).reference)


def _norm(xp: Any, arrays: list[Any], norm_type: float) -> Any:
    """The norm of all arrays as one vector, in float64, as an array without dimensions; any order but 2."""
    parts = []
    for a in arrays:
        if not a.size:
            continue
        size = xp.astype(xp.abs(xp.reshape(a, (-1,))), xp.float64)
        if norm_type == inf:
            parts.append(xp.max(size))
        elif norm_type == 0:
            parts.append(xp.astype(xp.count_nonzero(size), xp.float64))
        else:
            parts.append(xp.sum(size**norm_type))
    total = xp.zeros((), dtype=xp.float64)
    for part in parts:
        total = xp.maximum(total, part) if norm_type == inf else total + part
    return total if norm_type in (inf, 0) else total ** (1.0 / norm_type)


def _places(arrays: list[Any]) -> dict[tuple[Any, str], list[Any]]:
    """The arrays of each backend and device."""
    out: dict[tuple[Any, str], list[Any]] = {}
    for a in arrays:
        backend = backends.backend_of(a)
        out.setdefault((backend, backend.device_of(a)), []).append(a)
    return out


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all tensors as one vector, a zero-dimensional tensor."""
    return _total([t.value for t in _listed(tensors)], float(norm_type), inf, error_if_nonfinite)[0]


def _total(arrays: list[Any], norm_type: float, max_norm: float, error_if_nonfinite: bool) -> tuple[Tensor, Any]:
    """The norm, and what to divide the arrays by so that it is ``max_norm`` at most; the host waits for no device to know them,
    unless there are several or the norm is to be checked."""
    if not norm_type >= 0:
        raise ShapeError(f"clip_grad_norm_: norm_type is {norm_type}; expected a number >= 0 or inf")
    if not arrays:
        return new(backends.backend_for_device("cpu").xp.zeros(())), None
    places = _places(arrays)
    (backend, device), first = next(iter(places.items()))
    with backend.quiet():
        if len(places) > 1:
            norms = [float(_of_one(b, d, part, norm_type, inf)[0]) for (b, d), part in places.items()]
            host = backends.backend_for_device("cpu")
            total, scale = _of_one(host, "cpu", [host.asarray(norms, dtype=host.xp.float64)], norm_type or 1.0, max_norm)
            norm = backend.asarray(float(total), dtype=_parts(first[0]).dtype)
        else:
            total, scale = _of_one(backend, device, arrays, norm_type, max_norm)
            with backend.on(device):
                norm = backend.xp.astype(total, _parts(first[0]).dtype)
    if error_if_nonfinite and not isfinite(value := float(total)):
        raise GradError(f"clip_grad_norm_: the gradients' norm of order {norm_type} is {value}; find what made it so, or pass "
                        "error_if_nonfinite=False to go on")
    return new(norm), scale


def _of_one(backend: Any, device: str, arrays: list[Any], norm_type: float, max_norm: float) -> tuple[Any, Any]:
    with backend.on(device):
        if norm_type == 2:
            found: tuple[Any, Any] = _kernel(backend, "grad_norm")([_parts(a) for a in arrays], max_norm=max_norm)
            return found
        xp = backend.xp
        total, one = xp.asarray(_norm(xp, arrays, norm_type)), xp.ones((), dtype=xp.float64)
        return total, xp.asarray(xp.maximum(one, (total + 1e-6) / (one * max_norm)))


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False,
                    foreach: bool | None = None) -> Tensor:
    """Scale all gradients, in place, so that their norm as one vector is at most ``max_norm``; returns the norm before.

    Errors: ``GradError`` if the norm is inf or nan and ``error_if_nonfinite``; then the gradients are unchanged.
    ``foreach`` is accepted and means nothing: there is one way.

    >>> import tensorlite as tl
    >>> x = tl.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> tl.nn.utils.clip_grad_norm_(x, 1.0), x.grad
    (tensor(10.), tensor([0.6, 0.8]))
    """
    if not max_norm >= 0:
        raise ShapeError(f"clip_grad_norm_: max_norm is {max_norm}; expected a number >= 0")
    arrays = [p.grad.value for p in _listed(parameters) if p.grad is not None]
    out, scale = _total(arrays, float(norm_type), float(max_norm), error_if_nonfinite)
    for (backend, device), part in _places(arrays).items():
        there = scale if type(scale) is type(part[0]) and backend.device_of(scale) == device \
            else backend.asarray(float(scale), dtype=backend.xp.float64, device=device)
        with backend.on(device), backend.quiet():   # a norm of inf makes nan of inf, and 0 of the rest
            _kernel(backend, "unscale")([_parts(a) for a in part], there, check=False)
    inplace.wrote(arrays, "clip_grad_norm_")
    return out


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients, in place, to [-clip_value, clip_value]."""
    bound = float(clip_value)
    arrays = [p.grad.value for p in _listed(parameters) if p.grad is not None]
    for a in arrays:
        backend = backends.backend_of(a)
        with backend.on(backend.device_of(a)):
            backend.assign(a, Ellipsis, backend.xp.clip(a, -bound, bound))
    inplace.wrote(arrays, "clip_grad_value_")


def _matching(model: Any, patterns: tuple[str, ...], function: str) -> list[tuple[str, Any]]:
    named = list(model.named_parameters())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name, _ in named):
            first = list(dict.fromkeys(name.partition(".")[0] for name, _ in named))
            raise UnmatchedName(f"{function}: no parameter's name matches {pattern!r}; the names begin with {', '.join(first)}, "
                                f"and '{first[0] if first else 'name'}.*' would match all inside of one")
    return [(name, p) for name, p in named if any(fnmatchcase(name, pattern) for pattern in patterns)]


def freeze(model: Any, *patterns: str) -> list[str]:
    """Stop training the parameters whose names match one of the ``patterns`` (all, without one), and return their names.

    ``*`` stands for anything, dots too, ``?`` for one character. Frozen parameters get no gradient and what only leads to them is
    not recorded. Statistics of batch norm are no parameters: they stay as they are in ``eval()``.
    Errors: ``UnmatchedName`` (a ``ValueError``) for a pattern that matches nothing.

    >>> import tensorlite as tl
    >>> model = tl.nn.Sequential({"body": tl.nn.Linear(3, 3), "head": tl.nn.Linear(3, 2)})
    >>> tl.nn.utils.freeze(model, "body.*")
    ['body.weight', 'body.bias']
    >>> [p.requires_grad for p in model.parameters()]
    [False, False, True, True]
    """
    return _switch(model, patterns, False, "freeze")


def unfreeze(model: Any, *patterns: str) -> list[str]:
    """Train the parameters whose names match one of the ``patterns`` (all, without one), and return their names."""
    return _switch(model, patterns, True, "unfreeze")


def _switch(model: Any, patterns: tuple[str, ...], requires_grad: bool, function: str) -> list[str]:
    found = _matching(model, patterns or ("*",), function)
    for _, p in found:
        p.requires_grad_(requires_grad)
        if not requires_grad:
            p.grad = None
    return [name for name, _ in found]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in a row, as one vector; differentiable."""
    return manipulation.concat([manipulation.reshape(p, (-1,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write a vector's consecutive parts into the parameters, in place."""
    listed = list(parameters)
    count = sum(p.numel() for p in listed)
    if tuple(vec.shape) != (count,):
        raise ShapeError(f"vector_to_parameters: vec has shape {tuple(vec.shape)}; expected ({count},), one element for each of "
                         "the parameters'")
    start, array = 0, vec.value
    for p in listed:
        backend = backends.backend_of(p.value)
        backend.assign(p.value, Ellipsis, backend.xp.reshape(array[start:start + p.numel()], tuple(p.shape)))
        start += p.numel()
    inplace.wrote([p.value for p in listed], "vector_to_parameters")
