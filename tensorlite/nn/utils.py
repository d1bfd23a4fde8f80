"""Gradients clipped, parameters as one vector."""
from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite
from typing import Any

from tensorlite import backends
from tensorlite.engine import inplace
from tensorlite.engine.value import Value, new
from tensorlite.errors import GradError, ShapeError
from tensorlite.ops import manipulation

Tensor = Any


def _listed(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Value) else list(parameters)


def _norm(arrays: list[Any], norm_type: float) -> float:
    """The norm of all arrays as one vector, in float64 beyond each array's own."""
    total = 0.0
    for a in arrays:
        xp = backends.backend_of(a).xp
        if not a.size:
            continue
        flat = xp.reshape(a, (-1,))
        if norm_type == 2 and str(a.dtype) in ("float32", "float64"):
            part = float(xp.vecdot(flat, flat))
            if not isfinite(part) or part < 1e-30:   # overflow or underflow: scale first
                top = float(xp.max(xp.abs(flat)))
                part = top * top * float(xp.vecdot(flat / top, flat / top)) if 0 < top < inf else top * top
            total += part
            continue
        size = xp.abs(xp.astype(flat, xp.float64))
        if norm_type == inf:
            total = max(total, float(xp.max(size)))
        elif norm_type == 0:
            total += float(xp.count_nonzero(size))
        else:
            total += float(xp.sum(size**norm_type))
    return total if norm_type in (inf, 0) else total ** (1.0 / norm_type)


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all tensors as one vector, a zero-dimensional tensor."""
    arrays = [t.value for t in _listed(tensors)]
    return _total(arrays, float(norm_type), error_if_nonfinite)[1]


def _total(arrays: list[Any], norm_type: float, error_if_nonfinite: bool) -> tuple[float, Tensor]:
    if not norm_type >= 0:
        raise ShapeError(f"clip_grad_norm_: norm_type is {norm_type}; expected a number >= 0 or inf")
    backend = backends.backend_of(arrays[0]) if arrays else backends.backend_for_device("cpu")
    with backend.quiet():
        total = _norm(arrays, norm_type)
    if error_if_nonfinite and not isfinite(total):
        raise GradError(f"clip_grad_norm_: the gradients' norm of order {norm_type} is {total}; find what made it so, or pass "
                        "error_if_nonfinite=False to go on")
    return total, new(backend.asarray(total, dtype=arrays[0].dtype if arrays else backend.xp.float32))


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
    total, out = _total(arrays, float(norm_type), error_if_nonfinite)
    factor = float(max_norm) / (total + 1e-6)
    if not factor >= 1:
        with backends.backend_of(arrays[0]).quiet():   # a norm of inf makes nan of inf, and 0 of the rest
            for a in arrays:
                a *= factor
        inplace.wrote(arrays, "clip_grad_norm_")
    return out


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients, in place, to [-clip_value, clip_value]."""
    bound = float(clip_value)
    arrays = [p.grad.value for p in _listed(parameters) if p.grad is not None]
    for a in arrays:
        backend = backends.backend_of(a)
        backend.assign(a, Ellipsis, backend.xp.clip(a, -bound, bound))
    inplace.wrote(arrays, "clip_grad_value_")


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
