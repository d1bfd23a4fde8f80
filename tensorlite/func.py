"""Transforms of functions: each opens a level, so any of them nests in any other to any depth.

They work on functions of nested lists, tuples and dicts of tensors.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from tensorlite import _tree, backends
from tensorlite._state import changed, current
from tensorlite.engine import tape
from tensorlite.engine.value import Provided, Value, raw, wrap
from tensorlite.errors import DTypeError, GradError, ShapeError

__all__ = ["grad", "jacrev", "stop_gradient", "value_and_grad", "vjp"]


@contextmanager
def _level() -> Any:
    state = current()
    level = state.level + 1
    with changed(level=level, record_from=min(state.record_from, level)):
        yield level


def _leaf(x: Any, level: int, what: str) -> Any:
    """An input as a tracked value of ``level``."""
    below = x if isinstance(x, Value) else Provided.asarray(x)
    if not Provided.is_differentiable(below.dtype):
        raise DTypeError(f"{what}: an input of dtype {below.dtype} cannot be differentiated; expected a floating type: "
                         "convert it with .to(tl.float32)")
    leaf = wrap(below, level)
    leaf.tracked = True
    return leaf


def _below(x: Any, level: int) -> Any:
    """A result without its place on the tape of ``level``."""
    return x.value if isinstance(x, Value) and x.level == level else x


def _pull(outs: list[Any], cotangents: list[Any], leaves: list[Any], level: int) -> list[Any]:
    """The cotangents of the leaves; zeros where the outputs do not depend on one."""
    roots = [(out.node or out, g) for out, g in zip(outs, cotangents)
             if isinstance(out, Value) and out.level == level and out.tracked]
    found: dict[Any, Any] = {}
    if roots:
        with backends.backend_of(raw(roots[0][1])).quiet():
            found = tape.run(roots, level, retain_graph=True, targets=set(leaves))
    return [found[leaf] if leaf in found else Provided.zeros_like(leaf.value) for leaf in leaves]


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """f(*primals) and its pullback: pullback(v) = v^T J, a tuple with one cotangent for each primal.

    >>> import tensorlite as tl
    >>> out, pullback = tl.func.vjp(lambda x: x * x, tl.tensor([1.0, 2.0]))
    >>> pullback(tl.tensor([1.0, 1.0]))
    (tensor([2., 4.]),)
    """
    flat, rebuild = _tree.flatten(tuple(primals))
    with _level() as level:
        leaves = [_leaf(x, level, "vjp") for x in flat]
        out = f(*rebuild(leaves))
    aux = None
    if has_aux:
        out, aux = out
    outs, shape_out = _tree.flatten(out)

    def pullback(*cotangents: Any) -> Any:
        """The cotangents of the primals."""
        given, _ = _tree.flatten(cotangents[0] if len(cotangents) == 1 else cotangents)
        if len(given) != len(outs):
            raise ShapeError(f"pullback: {len(given)} cotangents were given for {len(outs)} results")
        checked = []
        for out, g in zip(outs, given):
            g = g if isinstance(g, Value) else Provided.asarray(g)
            if tuple(g.shape) != tuple(out.shape):
                raise ShapeError(f"pullback: a cotangent has shape {tuple(g.shape)}, but the result has shape {tuple(out.shape)}")
            checked.append(g)
        return rebuild(_pull(outs, checked, leaves, level))

    result = shape_out([_below(o, level) for o in outs])
    return (result, pullback, _tree_below(aux, level)) if has_aux else (result, pullback)


def _tree_below(tree: Any, level: int) -> Any:
    leaves, rebuild = _tree.flatten(tree)
    return rebuild([_below(x, level) for x in leaves])


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns f's value and its gradient with respect to the arguments ``argnums``, in their shapes.

    ``f`` returns a scalar, or with ``has_aux`` a pair of a scalar and anything else; then the value is that pair.
    Errors: ``GradError`` if the result is no scalar, ``DTypeError`` for integer inputs.

    >>> import tensorlite as tl
    >>> tl.func.value_and_grad(lambda x: (x ** 2).sum())(tl.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        for n in positions:
            if not -len(args) <= n < len(args):
                raise GradError(f"grad: argnums has {n}, but the function was called with {len(args)} positional arguments")
        chosen = [n % len(args) for n in positions]
        flat, rebuild = _tree.flatten(tuple(args[n] for n in chosen))
        with _level() as level:
            leaves = [_leaf(x, level, "grad") for x in flat]
            call = list(args)
            for n, tree in zip(chosen, rebuild(leaves)):
                call[n] = tree
            out = f(*call, **kwargs)
        aux = None
        if has_aux:
            if not isinstance(out, tuple) or len(out) != 2:
                raise GradError("grad: with has_aux the function must return a pair: the scalar, and the rest")
            out, aux = out
        if isinstance(out, Value) and out.numel() != 1:
            raise GradError(f"grad: the function returned shape {tuple(out.shape)}; expected a scalar: reduce it, or use vjp or "
                            "jacrev")
        if not isinstance(out, (Value, int, float)):
            raise GradError(f"grad: the function returned a {type(out).__name__}; expected a scalar tensor")
        value = _below(out, level)
        ones = Provided.ones_like(value) if isinstance(value, Value) else None
        grads = rebuild(_pull([out], [ones], leaves, level))
        gradient = grads[0] if isinstance(argnums, int) else grads
        return ((value, _tree_below(aux, level)) if has_aux else value), gradient
    return value_and_gradient


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of ``f``; with ``has_aux``, the gradient and f's second result.

    >>> import tensorlite as tl
    >>> tl.grad(tl.grad(lambda x: x ** 3))(tl.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g
    return gradient


def jacrev(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian d f_i / d x_j, of the shape of the result followed by that of the argument: one
    backward a row.

    >>> import tensorlite as tl
    >>> tl.func.jacrev(lambda x: x * x)(tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    @wraps(f)
    def jacobian(*args: Any) -> Any:
        import tensorlite as tl

        def of_one(x: Any) -> Any:
            return f(*args[:argnums], x, *args[argnums + 1:])
        out, pullback = vjp(of_one, args[argnums])
        if not isinstance(out, Value):
            raise GradError(f"jacrev: the function returned a {type(out).__name__}; expected a tensor")
        count = out.numel()
        basis = tl.eye(count, dtype=out.dtype, device=out.device)
        rows = [pullback(tl.reshape(basis[i], out.shape))[0] for i in range(count)]
        return tl.reshape(tl.stack(rows), (*out.shape, *rows[0].shape))
    return jacobian


def stop_gradient(x: Any) -> Any:
    """``x``, as a constant to every transform and to the tape."""
    return x.detach() if isinstance(x, Value) else x
