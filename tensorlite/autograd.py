"""Gradients by the tape: ``backward``, ``grad``, and operations of your own with ``Function``."""
from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from tensorlite import backends
from tensorlite._dtypes import kind
from tensorlite._function import Function
from tensorlite._state import enable_grad, no_grad, set_grad_enabled
from tensorlite.engine import tape
from tensorlite.engine.value import Provided, Value, new, raw
from tensorlite.errors import DTypeError, GradError, ShapeError

__all__ = ["Function", "Variable", "backward", "enable_grad", "grad", "no_grad", "set_grad_enabled"]

_handles = count().__next__


class RemovableHandle:
    """Returned by what registers a hook; ``remove()`` takes the hook away."""

    def __init__(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> None:
        self._hooks, self._key = hooks, _handles()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def _listed(tensors: Any) -> list[Any]:
    if tensors is None:
        return []
    return [tensors] if isinstance(tensors, Value) else list(tensors)


def _roots(outputs: list[Any], gradients: list[Any], create_graph: bool) -> list[tuple[Any, Any]]:
    """(node or leaf, cotangent) of each output."""
    if len(outputs) == 1 and not gradients and not create_graph:   # the everyday case: a scalar loss
        out = outputs[0]
        if out.__class__ is Provided.tensor and out.tracked and out.value.size == 1 and kind(out.value.dtype) == "f":
            return [(out.node or out, backends.backend_of(out.value).unit(out.value))]
    roots = []
    for i, out in enumerate(outputs):
        g = gradients[i] if i < len(gradients) else None
        if not isinstance(out, Value):
            raise DTypeError(f"backward: a {type(out).__name__} was given; expected a tensor")
        if out.level:
            raise GradError("backward: this tensor belongs to a transform that is running (grad, vjp, ...); "
                            "use the transforms inside each other, or backward outside of them")
        if g is not None:
            if not isinstance(g, Value):
                g = Provided.asarray(g)
            if tuple(g.value.shape) != tuple(out.value.shape):
                raise ShapeError(f"backward: the gradient has shape {tuple(g.value.shape)}, but the tensor has shape "
                                 f"{tuple(out.value.shape)}; they must be the same")
        if not out.tracked:
            raise GradError(f"backward: the tensor of shape {tuple(out.value.shape)} does not require a gradient: none of what "
                            "it was made from does, or it was made under no_grad(), from a detach()ed tensor or through "
                            "integers; tensorlite.debug.why_none(p, compute) names the line for a leaf p")
        array = out.value
        if g is None:
            if kind(array.dtype) == "c":
                raise GradError(f"backward: the tensor has dtype {array.dtype}, and a gradient can be left out only for a real "
                                "scalar: what is made small is a real number; take .abs(), .real or another real function of it, "
                                "or pass gradient=")
            if array.size != 1:
                raise GradError("backward: the gradient can be left out only for a scalar, and this tensor has shape "
                                f"{tuple(array.shape)}; reduce it, for example with .sum(), or pass gradient= of that shape")
            g = Provided.ones_like(array)
        else:
            if g.value.dtype != array.dtype:
                if kind(g.value.dtype) == "c":
                    raise DTypeError(f"backward: the gradient has dtype {g.value.dtype}, but the tensor has dtype {array.dtype}; "
                                     "give a real one")
                g = Provided.cast(g, dtype=array.dtype)
            if not create_graph:
                g = g.value
        roots.append((out.node or out, new(g) if create_graph and not isinstance(g, Value) else g))
    return roots


def _run(roots: list[tuple[Any, Any]], create_graph: bool, retain_graph: bool | None, targets: set[Any] | None) -> dict[Any, Any]:
    if retain_graph is None:
        retain_graph = create_graph
    with backends.backend_of(raw(roots[0][1])).quiet():
        return tape.run(roots, 0, create_graph=create_graph, retain_graph=retain_graph, targets=targets)


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False, *,
             inputs: Any = None) -> None:
    """Add the gradient of ``tensors`` (each times its ``grad_tensors``) to the ``.grad`` of the leaves, or of ``inputs`` only.

    See :meth:`tensorlite.Tensor.backward`.
    """
    roots = _roots(_listed(tensors), _listed(grad_tensors), create_graph)
    if inputs is None:
        first = raw(roots[0][1])
        lead, backend = first.__class__, backends.backend_of(first)
        exclusive = backend.exclusive
        with backend.quiet():
            grads = tape.run(roots, 0, create_graph=create_graph,
                             retain_graph=create_graph if retain_graph is None else retain_graph)
        del roots, first
        while grads:   # one by one, so that an array which two leaves got is seen to be shared by the first only
            leaf, g = grads.popitem()
            if leaf.grad is None and leaf.extra is None and g.__class__ is lead:   # the everyday case: raw, and where the loss is
                leaf.grad = new(g if exclusive(g, 1) else backend.asarray(g, copy=True))
            else:
                _accumulate(leaf, g)
        return
    wanted = _listed(inputs)
    for i, x in enumerate(wanted):
        if not isinstance(x, Value) or not x.tracked:
            raise GradError(f"backward: inputs[{i}] does not require a gradient")
    found = _run(roots, create_graph, retain_graph, {x.node or x for x in wanted})
    for x in wanted:
        g = found.get(x.node or x)
        if g is not None:
            _accumulate(x, g)


def _accumulate(leaf: Any, g: Any) -> None:
    """``leaf.grad += g``, out of place: a gradient that was read stays what it was."""
    if leaf.extra is not None and leaf.extra.hooks is not None and leaf.node is None:
        g = tape._run_hooks(leaf.extra.hooks, g, 0)
    prior = leaf.grad
    if isinstance(g, Value):
        leaf.grad = g if prior is None else Provided.add(prior, g)
    elif prior is not None:
        leaf.grad = new(Provided.add(prior.value, g))
    else:
        backend = backends.backend_of(g)
        leaf.grad = new(g if backend.exclusive(g, 2) else backend.asarray(g, copy=True))


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, *, retain_graph: bool | None = None, create_graph: bool = False,
         allow_unused: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; no ``.grad`` is touched.

    sum_k grad_outputs[k]^T (d outputs[k] / d input), one of each input's shape. An input the outputs do not depend on raises
    ``GradError``, unless ``allow_unused`` (then None) or ``materialize_grads`` (then zeros).

    >>> import tensorlite as tl
    >>> x = tl.tensor(3.0, requires_grad=True)
    >>> (first,) = tl.autograd.grad(x ** 3, x, create_graph=True)
    >>> tl.autograd.grad(first, x)
    (tensor(18.),)
    """
    wanted = _listed(inputs)
    for i, x in enumerate(wanted):
        if not isinstance(x, Value):
            raise DTypeError(f"grad: inputs[{i}] is a {type(x).__name__}; expected a tensor")
        if not x.tracked and not (allow_unused or materialize_grads):
            raise GradError(f"grad: inputs[{i}] does not require a gradient; call requires_grad_() on it before it is used")
    found = _run(_roots(_listed(outputs), _listed(grad_outputs), create_graph), create_graph, retain_graph,
                 {x.node or x for x in wanted if x.tracked})
    answers: list[Any] = []
    given: set[int] = set()
    for i, x in enumerate(wanted):
        g = found.get(x.node or x)
        if g is not None and x.node is None and x.extra is not None and x.extra.hooks is not None:
            g = tape._run_hooks(x.extra.hooks, g, 0)
        if g is None:
            if materialize_grads:
                g = Provided.zeros_like(x.value)
            elif not allow_unused:
                raise GradError(f"grad: the outputs do not depend on inputs[{i}] (shape {x.shape}); pass allow_unused=True to "
                                "get None for it")
        if g is not None and not isinstance(g, Value):
            if id(g) in given or getattr(g, "base", None) is not None:   # two inputs that got one array, or a view of something
                g = backends.backend_of(g).asarray(g, copy=True)
            given.add(id(g))
            g = new(g)
        answers.append(g)
    return tuple(answers)


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """PyTorch's old name for a tensor: ``data`` (a tensor or an array), cut off the tape, requiring a gradient if asked for."""
    tensor = data.detach() if isinstance(data, Value) else Provided.asarray(data)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor
