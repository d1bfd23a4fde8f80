"""Forward mode: a value travels with its tangent, and nothing is kept.

The tangent of a result is the sum over the arguments of J_i t_i, computed by the operation's rules on values one level below.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite.engine import inplace, tape
from tensorlite.engine.levels import ReverseLevel, leaf, pull
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import NotDifferentiableError

__all__ = ["Program", "arguments", "dual", "push", "through"]

Push = Callable[[Sequence[Any]], Any]


def dual(value: Any, tangent: Any, level: int) -> Any:
    """``value``, which lives one level below, with its tangent (None: zero) as a value of ``level``."""
    kind = Provided.dual
    tensor = kind.__new__(kind)
    tensor.value, tensor.node, tensor.grad, tensor.extra = value, None, None, None
    tensor.level, tensor.tangent, tensor.tracked = level, tangent, tangent is not None
    return tensor


def through(op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
    """``op`` on values of a forward level."""
    values, tangents = [], []
    for a in args:
        mine = isinstance(a, Value) and a.level == level
        values.append(a.value if mine else a)
        tangents.append(a.tangent if mine else None)
    out = (op.full or op)(*values, **options)
    several = isinstance(out, tuple)
    moved: Any = (None,) * len(out) if several else None
    if not op.discrete and any(t is not None for t in tangents):
        if any(t.__class__ is Slot for t in tangents):
            moved = _record(op, values, tangents, out, options)
        elif several or Provided.is_differentiable(out.dtype):
            moved = push(op, [t is not None for t in tangents], values, out, options)(tangents)
    if not several:
        tensor = dual(out, moved, level)
        if op.view:
            inplace.link(tensor, op, args, options)
        return tensor
    tensors = tuple([dual(o, t if Provided.is_differentiable(o.dtype) else None, level) for o, t in zip(out, moved)])
    if op.view:
        for i, tensor in enumerate(tensors):
            inplace.link(tensor, op, args, options, i)
    return tensors if op.visible is None else tensors[0]


# ---- the rules ---------------------------------------------------------------------------------------------------------

def arguments(op: Any, rule: Any, position: int | None, values: Sequence[Any], out: Any, options: dict[str, Any],
              skip: int = 1) -> list[Any]:
    """What a rule's parameters after the first ``skip`` name; the vocabulary is that of :meth:`Primitive.vjp`."""
    key = (rule, position, len(values))
    getters = op.getters.get(key)
    if getters is None:
        code = rule.__code__
        names = code.co_varnames[skip:code.co_argcount]
        getters = op.getters[key] = [_getter(op, name, position, len(values)) for name in names]
    return [get(values, out, options) for get in getters]


def _getter(op: Any, name: str, position: int | None, count: int) -> Callable[..., Any]:
    rest = op.args[-1][1:] if op.args and op.args[-1][0] == "*" else None
    first = len(op.args) - 1
    positions = {n: i for i, n in op.positions(count) if rest is None or i < first}
    if name == "out":
        return lambda values, out, options: out
    if name == rest:
        return lambda values, out, options: tuple(values[first:])
    if name in positions:
        k = positions[name]
        return lambda values, out, options: values[k]
    return tape._meta(op, name, positions, position, first)


def push(op: Any, given: Sequence[bool], values: list[Any], out: Any, options: dict[str, Any]) -> Push:
    """The function from the arguments' tangents (None where not ``given``) to the result's; it keeps what the rules ask for."""
    several = isinstance(out, tuple)
    likes = [(tuple(o.shape), o.dtype) for o in (out if several else (out,))]
    if op.joint_jvp is not None:
        rule, bound = op.joint_jvp, arguments(op, op.joint_jvp, None, values, out, options)

        def joint(ts: Sequence[Any]) -> Any:
            return _conformed(rule(tuple(ts), *bound), likes, several)
        return joint
    terms = [(i, _term(op, i, name, values, out, options)) for i, name in op.positions(len(values)) if given[i]]

    def total(ts: Sequence[Any]) -> Any:
        sum_: Any = None
        for i, term in terms:
            if ts[i] is None:
                continue
            one = _conformed(term(ts[i]), likes, several)
            if sum_ is None:
                sum_ = one
            elif several:
                sum_ = tuple([b if a is None else a if b is None else Provided.add(a, b) for a, b in zip(sum_, one)])
            elif one is not None:
                sum_ = Provided.add(sum_, one)
        return sum_
    return total


def _conformed(t: Any, likes: list[tuple[Any, Any]], several: bool) -> Any:
    """A tangent (or one for each result) in the shape and dtype of what it belongs to."""
    if several:
        return tuple([_conformed(one, [like], False) for one, like in zip(t, likes)])
    if t is None:
        return None
    shape, dtype = likes[0]
    if tuple(t.shape) != shape:
        t = Provided.expand(t, shape=shape)
    return t if t.dtype == dtype or not Provided.is_differentiable(dtype) else Provided.cast(t, dtype=dtype)


def _term(op: Any, i: int, name: str, values: list[Any], out: Any, options: dict[str, Any]) -> Callable[[Any], Any]:
    """t -> J_i t, by the first there is of: a rule for it; for elementwise operations, whose Jacobian is diagonal, the rule of
    reverse mode; the operation itself, where it is linear; the transpose of the rule of reverse mode."""
    rule = op.jvps.get(name) or (op.vjps.get(name) if op.elementwise else None)
    if rule is not None:
        bound = arguments(op, rule, i, values, out, options)
        return lambda t: rule(t, *bound)
    if name in op.linear_in:
        before, after = values[:i], values[i + 1:]
        return lambda t: (op.full or op)(*before, t, *after, **options)
    return _transposed(op, i, name, values, out, options)


def _transposed(op: Any, i: int, name: str, values: list[Any], out: Any, options: dict[str, Any]) -> Callable[[Any], Any]:
    """t -> J_i t as the transpose of g -> J_i^T g, which the rule of reverse mode gives: its own derivative by g, pulled back
    from t."""
    joint = op.joint is not None
    rule = op.joint if joint else op.vjps.get(name)
    if rule is None:
        raise NotDifferentiableError(f"{op.name} has no derivative with respect to {op.argument(i)}; call .detach() on "
                                     f"{op.argument(i)} if no gradient should flow through it")
    bound = arguments(op, rule, None if joint else i, values, out, options, skip=2 if joint else 1)
    outs = out if isinstance(out, tuple) else (out,)
    zeros = [Provided.zeros_like(o) if Provided.is_differentiable(o.dtype) else None for o in outs]
    like = values[i]

    def run(t: Any) -> Any:
        with ReverseLevel() as level:
            gs = [None if z is None else leaf(z, level, op.name) for z in zeros]
            g = gs if isinstance(out, tuple) else gs[0]
            if joint:
                terms = rule(g, tuple([k == i for k in range(len(values))]), *bound)
                term = terms[i] if len(terms) == len(values) else terms[0]
            else:
                term = rule(g, *bound)
            if term is not None and tuple(term.shape) != tuple(like.shape):
                term = Provided.sum_to(term, shape=tuple(like.shape))
            if term is not None and term.dtype != like.dtype:
                term = Provided.cast(term, dtype=like.dtype)
        found = iter(pull([term], [t], [x for x in gs if x is not None], level))
        answer = tuple([None if x is None else next(found) for x in gs])
        return answer if isinstance(out, tuple) else answer[0]
    return run


# ---- linearize: the same with the tangents to come -----------------------------------------------------------------------

class Slot:
    """Stands for a tangent that is not known yet."""

    __slots__ = ("index", "program")

    def __init__(self, program: Program) -> None:
        self.program, self.index = program, program.count
        program.count += 1


class Program:
    """The linear part of a function: steps from slots of tangents to slots of tangents."""

    def __init__(self) -> None:
        self.count = 0
        self.steps: list[tuple[Push, list[int | None], list[int]]] = []

    def run(self, inputs: dict[int, Any], outputs: list[int]) -> list[Any]:
        """The tangents in the slots ``outputs`` (None: zero), from those in ``inputs``; each is dropped after its last use."""
        wanted, steps = set(outputs), []
        for step in reversed(self.steps):
            if wanted.intersection(step[2]):
                steps.append((step, [k for k in step[1] if k is not None and k not in wanted]))
                wanted.update([k for k in step[1] if k is not None])
        held = dict(inputs)
        for (function, sources, targets), last in reversed(steps):
            ts = [None if k is None else held.get(k) for k in sources]
            if any(t is not None for t in ts):
                moved = function(ts)
                for k, t in zip(targets, moved if isinstance(moved, tuple) else (moved,)):
                    held[k] = t
            for k in last:
                held.pop(k, None)
        return [held.get(k) for k in outputs]


def _record(op: Any, values: list[Any], tangents: list[Any], out: Any, options: dict[str, Any]) -> Any:
    program = next(t.program for t in tangents if t is not None)
    function = push(op, [t is not None for t in tangents], values, out, options)
    several = isinstance(out, tuple)
    slots = tuple([Slot(program) for _ in (out if several else (out,))])
    program.steps.append((function, [None if t is None else t.index for t in tangents], [s.index for s in slots]))
    return slots if several else slots[0]
