"""Functions of trees with derivative rules of their own: ``custom_vjp`` and ``custom_jvp``."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from tensorlite import _tree
from tensorlite.engine.custom import Ran, Rules, call, fitting, like, zeros
from tensorlite.engine.value import KIND, RAW, Provided, Value
from tensorlite.errors import GradError, ShapeError
from tensorlite.func._trees import as_tensors

Args = Sequence[Any]
Function = Callable[..., Any]


class _Custom:
    """What both decorators share: the arguments, and which of them are not differentiated."""

    kind = ""

    def __init__(self, fun: Function, nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        self.fun = fun
        update_wrapper(self, fun)
        self.name = getattr(fun, "__name__", type(fun).__name__)
        self._parameters: Any = None
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        names = (nondiff_argnames,) if isinstance(nondiff_argnames, str) else tuple(nondiff_argnames)
        self.static = frozenset([*numbers, *[list(self.signature().parameters).index(n) for n in names]])

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def signature(self) -> Any:
        """The function's parameters."""
        if self._parameters is None:
            from inspect import signature
            self._parameters = signature(self.fun)
        return self._parameters

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, with defaults."""
        code = getattr(self.fun, "__code__", None)
        if not kwargs and code is not None and not code.co_flags & 0x0C and not code.co_kwonlyargcount and len(args) == (
                code.co_argcount):
            return args
        bound = self.signature().bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise GradError(f"{self.name}: the keyword-only arguments {', '.join(bound.kwargs)} cannot be given to a {self.kind} "
                            "function, whose rules take arguments by position; make them positional, or bind them with partial")
        return tuple(bound.args)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rules = self.rules(self.arguments(args, kwargs))
        outs = call(rules, rules.flat)
        return rules.rebuild_out(outs)

    def rules(self, args: tuple[Any, ...]) -> _TreeRules:
        """The rules of one call."""
        raise NotImplementedError


class _TreeRules(Rules):
    """One call: how its arguments and results are built."""

    def __init__(self, custom: Any, args: tuple[Any, ...]) -> None:
        self.custom, self.name, self.total = custom, custom.name, len(args)
        self.static = {i: a for i, a in enumerate(args) if i in custom.static}
        for i, a in self.static.items():
            if any(isinstance(x, Value) and x.level for x in _tree.flatten(a)[0]):
                raise GradError(f"{self.name}: argument {i} is among nondiff_argnums and holds a value of a running transform "
                                "(grad, vjp, vmap, ...); make it an ordinary argument, whose derivative may be None or 0")
        self.given = tuple([a for i, a in enumerate(args) if i not in self.static])
        flat, self.rebuild = _tree.flatten(self.given)
        self.flat = [Provided.asarray(x) if KIND.get(type(x)) == RAW else x for x in flat]
        self.rebuild_out: Any = None
        self.out_structure = ""

    def arguments(self, flat: Args) -> tuple[Any, ...]:
        """The function's arguments."""
        dynamic = iter(self.rebuild(list(flat)))
        return tuple([self.static[i] if i in self.static else next(dynamic) for i in range(self.total)])

    def results(self, out: Any) -> list[Any]:
        outs, self.rebuild_out = as_tensors(self.name, out)
        self.out_structure = _tree.structure(out)
        return outs

    def primal(self, args: Args) -> list[Any]:
        return self.results(self.custom.fun(*self.arguments(args)))

    def spread(self, what: str, tree: Any, like_tree: Any) -> list[Any]:
        """The leaves of a rule's answer, None for all of a part that is None."""
        wanted = _tree.children(like_tree)
        if tree is None:
            return [None] * len(_tree.flatten(like_tree)[0])
        if wanted is None:
            if _tree.children(tree) is None:
                return [tree]
        elif (found := _tree.children(tree)) is not None and isinstance(tree, dict) == isinstance(like_tree, dict) and (
                len(found[0]) == len(wanted[0]) and (not isinstance(tree, dict) or set(tree) == set(like_tree))):
            return [x for t, w in zip(found[0], wanted[0]) for x in self.spread(what, t, w)]
        raise ShapeError(f"{self.name}: {what} are built as {_tree.structure(tree, none_is_leaf=True)}, but what they belong to "
                         f"as {_tree.structure(like_tree)}; they must be built alike (None: zero)")


# ---- custom_vjp ----------------------------------------------------------------------------------------------------------

class custom_vjp(_Custom):
    """A function whose derivative in reverse mode is yours: a decorator, as in JAX.

    ``f.defvjp(fwd, bwd)``: ``fwd`` takes f's arguments and returns f's result and the residuals, any tree; ``bwd(residuals, g)``
    returns a tuple with the cotangent of each argument, built like it (None: zero). The arguments ``nondiff_argnums`` (by name:
    ``nondiff_argnames``) are constants that come first to ``bwd``. Forward mode transposes ``bwd``, vmap runs all three on the
    batch, and a derivative of the derivative is that of what fwd and bwd do. What is differentiated must be among the arguments:
    no value of a running transform, and no tensor that requires a gradient, may come from outside. (``fwd`` runs once more where
    ``backward(create_graph=True)`` meets residuals that are neither arguments nor results.)

    Errors: ``GradError`` without ``defvjp``, for answers of the wrong number and for captured values; ``ShapeError`` for
    cotangents of other shapes.

    >>> import tensorlite as tl
    >>> @tl.custom_vjp
    ... def clipped(x, limit):                      # x, whose gradient is clipped
    ...     return x
    >>> def forward(x, limit):
    ...     return x, limit
    >>> def backward(limit, g):
    ...     return tl.clip(g, -limit, limit), None
    >>> clipped.defvjp(forward, backward)
    >>> tl.grad(lambda x: (clipped(x, 1.0) ** 2).sum())(tl.tensor([0.25, 3.0]))
    tensor([0.5, 1. ])
    """

    kind = "custom_vjp"

    def __init__(self, fun: Function, nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Function | None = None
        self.bwd: Function | None = None

    def defvjp(self, fwd: Function, bwd: Function, symbolic_zeros: bool = False, optimize_remat: bool = False) -> None:
        """Give the rule. ``symbolic_zeros`` is not supported."""
        if symbolic_zeros:
            raise GradError(f"{self.name}.defvjp: symbolic_zeros is not supported; zero cotangents come as tensors of zeros")
        self.fwd, self.bwd = fwd, bwd

    def rules(self, args: tuple[Any, ...]) -> _TreeRules:
        if self.fwd is None or self.bwd is None:
            raise GradError(f"{self.name} is a custom_vjp function without a rule; give it one with {self.name}.defvjp(fwd, bwd)")
        return _VjpRules(self, args)


class _VjpRules(_TreeRules):

    def run(self, args: Args, needs: Sequence[bool]) -> Ran:
        answer = self.custom.fwd(*self.arguments(args))
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise GradError(f"{self.name}: the forward rule returned a {type(answer).__name__}; expected a pair: the function's "
                            "result, and the residuals for the backward rule")
        outs = self.results(answer[0])
        flat, rebuild = _tree.flatten(answer[1])
        tensors = [k for k, x in enumerate(flat) if isinstance(x, Value)]
        others = [None if isinstance(x, Value) else x for x in flat]
        return Ran(outs, [flat[k] for k in tensors], (tensors, others, rebuild, [like(a) for a in args]))

    def pull(self, ran: Ran, cotangents: Args, needs: Sequence[bool]) -> list[Any]:
        tensors, others, rebuild, likes = ran.info
        flat = list(others)
        for k, x in zip(tensors, ran.leaves):
            flat[k] = x
        gs = [zeros(one, cotangents) if c is None else c for c, one in zip(cotangents, ran.likes)]
        answer = self.custom.bwd(*self.static.values(), rebuild(flat), self.rebuild_out(gs))
        if not isinstance(answer, (tuple, list)) or len(answer) != len(self.given):
            count = f"{len(answer)} cotangents" if isinstance(answer, (tuple, list)) else f"a {type(answer).__name__}"
            raise GradError(f"{self.name}: the backward rule returned {count}; expected a tuple with one for each of the "
                            f"{len(self.given)} arguments (None: zero)")
        terms = [t for c, a in zip(answer, self.given) for t in self.spread("the cotangents of the backward rule", c, a)]
        return [fitting(f"{self.name}: the backward rule returned a cotangent", f"leaf {i} of the arguments", t, x)
                for i, (t, x) in enumerate(zip(terms, likes))]


# ---- custom_jvp ----------------------------------------------------------------------------------------------------------

class custom_jvp(_Custom):
    """A function whose derivative in forward mode is yours: a decorator, as in JAX.

    ``f.defjvp(rule)``, which may be used as a decorator: ``rule(primals, tangents)`` gets two tuples and returns f's result and
    its tangent, which is linear in the tangents (those that are zero come as zeros). ``f.defjvps(*rules)``: one for each
    argument, ``rule(tangent, result, *primals)``, or None; the tangents add up. The arguments ``nondiff_argnums`` are constants
    that come first to ``rule``. Reverse mode transposes the rule, vmap runs it on the batch, and a derivative of the derivative
    is that of what the rule does. What is differentiated must be among the arguments, as with :class:`custom_vjp`.

    Errors: ``GradError`` without a rule and for captured values; ``ShapeError`` for tangents of other shapes.

    >>> import tensorlite as tl
    >>> @tl.custom_jvp
    ... def log1pexp(x):
    ...     return tl.log(1 + tl.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + tl.exp(x))) * t
    >>> tl.grad(log1pexp)(tl.tensor(50.0))
    tensor(1.)
    """

    kind = "custom_jvp"

    def __init__(self, fun: Function, nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.rule: Function | None = None

    def defjvp(self, jvp: Function, symbolic_zeros: bool = False) -> Function:
        """Give the rule, and return it. ``symbolic_zeros`` is not supported."""
        if symbolic_zeros:
            raise GradError(f"{self.name}.defjvp: symbolic_zeros is not supported; zero tangents come as tensors of zeros")
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Function | None) -> None:
        """Give a rule for each argument."""
        if self.static:
            raise GradError(f"{self.name}.defjvps: not with nondiff_argnums; use defjvp")

        def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
            out = self(*primals)
            terms = [one(t, out, *primals) for one, t in zip(jvps, tangents) if one is not None]
            if not terms:
                return out, None
            columns = zip(*[_tree.flatten(t)[0] for t in terms])
            return out, _tree.flatten(out)[1]([_added(column) for column in columns])
        self.rule = rule

    def rules(self, args: tuple[Any, ...]) -> _TreeRules:
        if self.rule is None:
            raise GradError(f"{self.name} is a custom_jvp function without a rule; give it one with {self.name}.defjvp(rule)")
        return _JvpRules(self, args)


def _added(column: Args) -> Any:
    total = column[0]
    for t in column[1:]:
        total = total + t
    return total


class _JvpRules(_TreeRules):

    linear = True

    def jvp(self, args: Args, tangents: Args) -> tuple[list[Any], list[Any]]:
        given = [(zeros(like(a), args) if isinstance(a, Value) else 0.0 if isinstance(a, (int, float, complex)) else None)
                 if t is None else t for a, t in zip(args, tangents)]
        answer = self.custom.rule(*self.static.values(), self.rebuild(list(args)), self.rebuild(given))
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise GradError(f"{self.name}: the rule returned a {type(answer).__name__}; expected a pair: the function's result, "
                            "and its tangent")
        outs = self.results(answer[0])
        moved = self.spread("the tangents of the rule", answer[1], answer[0])
        return outs, [fitting(f"{self.name}: the rule returned a tangent", f"leaf {k} of the result", t, like(o))
                      for k, (t, o) in enumerate(zip(moved, outs))]


__all__ = ["custom_jvp", "custom_vjp"]
