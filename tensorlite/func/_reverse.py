"""Reverse mode: ``grad``, ``value_and_grad``, ``vjp``."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tensorlite import _dtypes, _tree
from tensorlite.backends import backend_of
from tensorlite.engine.levels import ReverseLevel, below, leaf, owned, pull
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import DTypeError, GradError
from tensorlite.func._trees import Argnums, as_tensors, matched, positions_of, replaced, split_aux, tree_below


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """f(*primals) and its pullback: pullback(v) = v^T J, a tuple with one cotangent for each primal.

    v is built like the result, which may be a tree of tensors (None: zero); with ``has_aux`` f returns a pair, of which the
    second comes back undifferentiated as a third result. The pullback can be called any number of times. For complex numbers see
    docs/complex.md. Errors: ``ShapeError``, ``DTypeError`` for cotangents that do not fit the result.

    >>> import tensorlite as tl
    >>> out, pullback = tl.func.vjp(lambda x: x * x, tl.tensor([1.0, 2.0]))
    >>> pullback(tl.tensor([1.0, 1.0]))
    (tensor([2., 4.]),)
    """
    flat, rebuild = _tree.flatten(tuple(primals))
    with ReverseLevel() as level:
        leaves = [leaf(x, level, "vjp") for x in flat]
        out, aux = split_aux("vjp", f(*rebuild(leaves)), has_aux)
        outs, rebuild_out = as_tensors("vjp", out)
    values = [below(o, level) for o in outs]
    result = rebuild_out(values)

    def pullback(*cotangents: Any) -> Any:
        """The cotangents of the primals."""
        given = matched("pullback", "cotangent", cotangents[0] if len(cotangents) == 1 else cotangents, result, "results")
        return rebuild(owned(pull(outs, given, leaves, level), given))

    return (result, pullback, tree_below(aux, level)) if has_aux else (result, pullback)


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *,
                   holomorphic: bool = False) -> Callable[..., Any]:
    """A function that returns f's value and its gradient with respect to the arguments ``argnums``, in their shapes.

    ``f`` returns a scalar, or with ``has_aux`` a pair of a scalar and anything else; then the value is that pair. A complex
    scalar needs ``holomorphic=True`` and complex inputs. Errors: ``GradError`` if the result is no scalar, ``DTypeError`` for
    integer inputs.

    >>> import tensorlite as tl
    >>> tl.func.value_and_grad(lambda x: (x ** 2).sum())(tl.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen = positions_of("grad", argnums, args)
        flat, rebuild = _tree.flatten(tuple([args[n] for n in chosen]))
        with ReverseLevel() as level:
            leaves = [leaf(x, level, "grad") for x in flat]
            out, aux = split_aux("grad", f(*replaced(args, chosen, rebuild(leaves)), **kwargs), has_aux)
        if isinstance(out, Value):
            _check_scalar(out, leaves, holomorphic)
        elif isinstance(out, bool) or not isinstance(out, (int, float, complex)):
            raise GradError(f"grad: the function returned a {type(out).__name__}; expected a scalar tensor (for several results "
                            "use vjp or jacrev, or has_aux=True)")
        value = below(out, level)
        array = out.value if isinstance(out, Value) and out.level == level else None   # without it there is nothing to pull back
        ones = None if array is None else Provided.ones_like(array) if isinstance(array, Value) else backend_of(array).unit(array)
        grads = rebuild(owned(pull([out], [ones], leaves, level, again=False)))
        gradient = grads[0] if isinstance(argnums, int) else grads
        return ((value, tree_below(aux, level)) if has_aux else value), gradient
    return value_and_gradient


def _check_scalar(out: Any, leaves: list[Any], holomorphic: bool) -> None:
    if out.numel() != 1:
        raise GradError(f"grad: the function returned shape {tuple(out.shape)}; expected a scalar: reduce it, or use vjp or "
                        "jacrev")
    kind = _dtypes.kind(out.dtype)
    if kind not in "fc":
        raise DTypeError(f"grad: the function returned {out.dtype}, which has no derivative; expected a floating scalar")
    if holomorphic and (kind != "c" or any(_dtypes.kind(x.dtype) != "c" for x in leaves)):
        raise DTypeError(f"grad: holomorphic=True is for complex functions of complex inputs; the function returned {out.dtype}, "
                         f"and the inputs are {', '.join(sorted({str(x.dtype) for x in leaves}))}")
    if kind == "c" and not holomorphic:
        raise DTypeError(f"grad: the function returned {out.dtype}; expected a real scalar: take its .real or abs(), or pass "
                         "holomorphic=True for the complex derivative of a holomorphic function (otherwise use vjp)")


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, holomorphic: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of ``f``; with ``has_aux``, the gradient and f's second result.

    >>> import tensorlite as tl
    >>> tl.grad(tl.grad(lambda x: x ** 3))(tl.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux, holomorphic=holomorphic)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g
    return gradient
