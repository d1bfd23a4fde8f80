"""Derivative rules of users' kernels, as the tape calls them."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tensorlite._state import changed, no_grad
from tensorlite.engine.batching import batch, everywhere, looped
from tensorlite.engine.value import KIND, RAW, Provided, Value, new, raw
from tensorlite.errors import GradError, NotDifferentiableError

__all__ = ["Joint", "Rule", "batching_rule"]


class Rule:
    """A rule as the tape calls it, with raw arrays or values of some level, around a function of tensors.

    ``names``: the parameters that the tape reads off a rule's code: what it keeps.
    """

    def __init__(self, names: tuple[str, ...], function: Callable[..., Any]) -> None:
        self.__code__ = SimpleNamespace(co_varnames=names, co_argcount=len(names))
        self.function = function

    def __call__(self, g: Any, *saved: Any) -> Any:
        first = g if not isinstance(g, list) else next(c for c in g if c is not None)
        plain = not isinstance(first, Value)
        with no_grad() if plain else changed():
            out = self.function(_as_tensors(g), *[_as_tensors(s) for s in saved])
        return tuple(_back(o, plain) for o in out) if isinstance(out, (tuple, list)) else _back(out, plain)


class Joint:
    """One rule for all arguments, with a check of what it returns.

    ``op``: what errors call it. ``arguments``: their names.
    """

    def __init__(self, op: str, arguments: tuple[str, ...], rule: Callable[..., Any]) -> None:
        self.op, self.arguments, self.rule = op, arguments, rule

    def __call__(self, g: Any, needs: tuple[bool, ...], *saved: Any) -> tuple[Any, ...]:
        out = self.rule(g, *saved)
        terms = tuple(out) if isinstance(out, (tuple, list)) else (out,)
        if len(terms) != len(self.arguments):
            raise GradError(f"{self.op}: vjp returned {len(terms)} cotangent{'s' * (len(terms) != 1)}, expected one for each of "
                            f"{', '.join(self.arguments)} (None where there is none)")
        for name, term, need in zip(self.arguments, terms, needs):
            if need and term is None:
                raise NotDifferentiableError(f"{self.op}: vjp returned None for {name}, whose gradient is needed; call .detach() "
                                             f"on {name} if none should flow through it")
        return terms


def batching_rule(plain: Callable[..., Any]) -> Callable[..., Any]:
    """vmap of a kernel without rules of its own: the reference, ``plain(xp, *arrays, **options)``, on batched tensors; one by one
    if it is none of tensors."""
    def rule(op: Any, args: Any, batched: Any, options: dict[str, Any], size: int, level: int) -> Any:
        try:
            with changed(autocast=None):
                out = plain(Provided.namespace(), *[batch(a, level) if b else a for a, b in zip(args, batched)], **options)
        except AttributeError:
            return looped(op, args, batched, options, size)
        outs = [o if isinstance(o, Value) else Provided.asarray(o) for o in (out if isinstance(out, (tuple, list)) else (out,))]
        outs = [o.value if o.level == level else everywhere(o, False, size) for o in outs]
        return tuple(outs) if op.outputs != 1 else outs[0]
    rule.of_level = True   # type: ignore[attr-defined]
    return rule


def _as_tensors(held: Any) -> Any:
    if isinstance(held, (tuple, list)) and any(KIND.get(type(h)) == RAW or isinstance(h, Value) for h in held):
        return type(held)(_as_tensors(h) for h in held)
    return new(held) if KIND.get(type(held)) == RAW else held


def _back(term: Any, plain: bool) -> Any:
    if term is None:
        return None
    term = term if isinstance(term, Value) else Provided.asarray(term)
    return raw(term) if plain else term
