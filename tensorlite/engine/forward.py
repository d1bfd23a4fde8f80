"""Forward mode: a value travels with its tangent, and nothing is kept.

The tangent of a result is the sum over the arguments of J_i t_i, computed by the operation's rules on values one level below.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite.engine import inplace, tape
from tensorlite.engine.levels import ReverseLevel, leaf, pull
from tensorlite.engine.value import KIND, RAW, Provided, Value, raw
from tensorlite.errors import NotDifferentiableError

__all__ = ["Program", "Slot", "dual", "later", "push", "through"]

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
    values, tangents, moving, unknown = [], [], False, False
    for a in args:
        t = None
        if isinstance(a, Value) and a.level == level:
            t, a = a.tangent, a.value   # type: ignore[attr-defined]
            if t is not None:
                moving = True
                unknown = t.__class__ is Slot
        values.append(a)
        tangents.append(t)
    out = (op.full or op)(*values, **options)
    moving = moving and not op.discrete
    if op.outputs == 1:
        moved = None
        if moving and (not op.casts or Provided.is_differentiable(out.dtype)):
            moved = (_record if unknown else push)(op, values, tangents, out, options)
        tensor = dual(out, moved, level)
        if op.view:
            inplace.link(tensor, op, args, options)
        return tensor
    out = tuple(out)
    parts = (_record if unknown else push)(op, values, tangents, out, options) if moving else (None,) * len(out)
    tensors = tuple([dual(o, t if Provided.is_differentiable(o.dtype) else None, level) for o, t in zip(out, parts)])
    if op.view:
        for i, tensor in enumerate(tensors):
            inplace.link(tensor, op, args, options, i)
    return tensors if op.visible is None else tensors[0]


# ---- the rules ---------------------------------------------------------------------------------------------------------

class _Rule:
    """What gives the tangent of an operation from that of one argument (of all, where ``position`` is None), and what it asks
    for: positions in [*values, out], or functions of (values, out, options)."""

    __slots__ = ("function", "kind", "picks", "position")

    def __init__(self, kind: int, function: Any, position: int | None, picks: list[Any]) -> None:
        self.kind, self.function, self.position, self.picks = kind, function, position, picks

    def arguments(self, values: Sequence[Any], out: Any, options: dict[str, Any]) -> list[Any]:
        return [(out if p < 0 else values[p]) if p.__class__ is int else p(values, out, options) for p in self.picks]


GIVEN, ITSELF, TRANSPOSED, MISSING = range(4)


def _rules(op: Any, count: int) -> Any:
    """The rule for all arguments at once, or a list with one for each. For an argument it is the first there is of: a rule of
    forward mode; for elementwise operations, whose Jacobian is diagonal, that of reverse mode; the operation itself, where it is
    linear; the transpose of the rule of reverse mode."""
    found = op.pushes.get(count)
    if found is not None:
        return found
    if op.joint_jvp is not None:
        found = _Rule(GIVEN, op.joint_jvp, None, _picks(op, op.joint_jvp, None, count))
    else:
        found = []
        for i, name in op.positions(count):
            rule = op.jvps.get(name) or (op.vjps.get(name) if op.elementwise else None)
            if rule is not None:
                found.append(_Rule(GIVEN, rule, i, _picks(op, rule, i, count)))
            elif name in op.linear_in:
                found.append(_Rule(ITSELF, op.full or op, i, []))
            elif op.joint is not None:
                found.append(_Rule(TRANSPOSED, op.joint, i, _picks(op, op.joint, None, count, skip=2)))
            elif name in op.vjps:
                found.append(_Rule(TRANSPOSED, op.vjps[name], i, _picks(op, op.vjps[name], i, count)))
            else:
                found.append(_Rule(MISSING, None, i, []))
    op.pushes[count] = found
    return found


def _picks(op: Any, rule: Any, position: int | None, count: int, skip: int = 1) -> list[Any]:
    """What a rule's parameters after the first ``skip`` name; the vocabulary is that of :meth:`Primitive.vjp`."""
    rest = op.args[-1][1:] if op.args and op.args[-1][0] == "*" else None
    first = len(op.args) - 1
    positions = {n: i for i, n in op.positions(count) if rest is None or i < first}
    picks: list[Any] = []
    code = rule.__code__
    for name in code.co_varnames[skip:code.co_argcount]:
        if name == "out":
            picks.append(-1)
        elif name == rest:
            picks.append(lambda values, out, options: tuple(values[first:]))
        elif name in positions:
            picks.append(positions[name])
        else:
            picks.append(tape._meta(op, name, positions, position, first))
    return picks


def push(op: Any, values: list[Any], tangents: Sequence[Any], out: Any, options: dict[str, Any]) -> Any:
    """The tangent of ``out = op(*values)``, or of each of several results, from those of the arguments (None: zero)."""
    rules = _rules(op, len(values))
    if rules.__class__ is _Rule:
        return _conformed(rules.function(tuple(tangents), *rules.arguments(values, out, options)), out)
    total: Any = None
    for t, rule in zip(tangents, rules):
        if t is not None:
            if rule.kind == GIVEN:
                one = rule.function(t, *rule.arguments(values, out, options))
            else:
                one = _bound(op, rule, values, out, options)(t)
            total = _added(total, _conformed(one, out))
    return total


def later(op: Any, values: list[Any], given: Sequence[bool], out: Any, options: dict[str, Any]) -> Push:
    """:func:`push` as a function of the tangents alone, those not ``given`` being zero; it keeps only what the rules ask for."""
    rules = _rules(op, len(values))
    like = tuple([_Like(o) for o in out]) if isinstance(out, tuple) else _Like(out)
    if rules.__class__ is _Rule:
        bound = rules.arguments(values, out, options)
        return lambda ts: _conformed(rules.function(tuple(ts), *bound), like)
    terms = [(i, _bound(op, rule, values, out, options)) for i, rule in enumerate(rules) if given[i]]

    def total(ts: Sequence[Any]) -> Any:
        found: Any = None
        for i, term in terms:
            if ts[i] is not None:
                found = _added(found, _conformed(term(ts[i]), like))
        return found
    return total


class _Like:
    """The shape and dtype of what a tangent belongs to."""

    __slots__ = ("dtype", "shape")

    def __init__(self, value: Any) -> None:
        self.shape, self.dtype = tuple(value.shape), value.dtype


def _added(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, tuple):
        return tuple([_added(x, y) for x, y in zip(a, b)])
    return Provided.add(a, b)


def _conformed(t: Any, like: Any) -> Any:
    """A tangent (or one for each result) in the shape and dtype of what it belongs to."""
    if t is None:
        return None
    if isinstance(like, tuple):
        return tuple([_conformed(one, o) for one, o in zip(t, like)])
    if t.shape != like.shape and tuple(t.shape) != tuple(like.shape):
        t = Provided.expand(t, shape=tuple(like.shape))
    return t if t.dtype == like.dtype or not Provided.is_differentiable(like.dtype) else Provided.cast(t, dtype=like.dtype)


def _bound(op: Any, rule: _Rule, values: list[Any], out: Any, options: dict[str, Any]) -> Callable[[Any], Any]:
    """t -> J_i t."""
    function, i = rule.function, rule.position
    bound = rule.arguments(values, out, options)
    if rule.kind == GIVEN:
        return lambda t: function(t, *bound)
    assert i is not None
    if rule.kind == ITSELF:
        before, after = values[:i], values[i + 1:]
        return lambda t: function(*before, t, *after, **options)
    if rule.kind == MISSING:
        raise NotDifferentiableError(f"{op.name} has no derivative with respect to {op.argument(i)}; call .detach() on "
                                     f"{op.argument(i)} if no gradient should flow through it")
    return _transposed(op, i, function, bound, values, out)


def _transposed(op: Any, i: int, rule: Any, bound: list[Any], values: list[Any], out: Any) -> Callable[[Any], Any]:
    """t -> J_i t as the transpose of g -> J_i^T g, which the rule of reverse mode gives: its own derivative by g, pulled back
    from t."""
    outs = out if isinstance(out, tuple) else (out,)
    zeros = [Provided.zeros_like(o) if Provided.is_differentiable(o.dtype) else None for o in outs]
    like, count, joint = _Like(values[i]), len(values), op.joint is not None

    def run(t: Any) -> Any:
        with ReverseLevel() as level:
            gs = [None if z is None else leaf(z, level, op.name) for z in zeros]
            g = gs if isinstance(out, tuple) else gs[0]
            if joint:
                terms = rule(g, tuple([k == i for k in range(count)]), *bound)
                term = terms[i] if len(terms) == count else terms[0]
            else:
                term = rule(g, *bound)
            if term is not None and tuple(term.shape) != like.shape:
                term = Provided.sum_to(term, shape=like.shape)
            if term is not None and term.dtype != like.dtype:
                term = Provided.cast(term, dtype=like.dtype)
        found = iter(pull([term], [t], [x for x in gs if x is not None], level, again=False))
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
        self.kept: list[tuple[Any, list[Any], int]] = []   # (operation, arrays its step keeps, when)

    def run(self, inputs: dict[int, Any], outputs: list[int]) -> list[Any]:
        """The tangents in the slots ``outputs`` (None: zero), from those in ``inputs``; each is dropped after its last use."""
        for op, arrays, number in self.kept:
            if inplace.latest > number:
                inplace.check_arrays(f"linearize: the linear part of {op.name}", arrays, number)
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
                held.update(zip(targets, moved if isinstance(moved, tuple) else (moved,)))
            for k in last:
                held.pop(k, None)
        return [held.get(k) for k in outputs]


def _kept(op: Any, values: list[Any], given: Sequence[bool], out: Any) -> list[Any]:
    """The arrays that :func:`later` keeps."""
    rules, everything = _rules(op, len(values)), [*values, *(out if isinstance(out, tuple) else (out,))]
    kept: set[int] = set()
    for rule in (rules,) if rules.__class__ is _Rule else [r for r, g in zip(rules, given) if g]:
        if rule.kind == ITSELF:
            kept.update(k for k in range(len(values)) if k != rule.position)
        for p in rule.picks:
            if p.__class__ is int:
                kept.update([p] if p >= 0 else range(len(values), len(everything)))
    arrays = [raw(everything[k]) for k in sorted(kept)]
    return [a for a in arrays if KIND.get(type(a)) == RAW]


def _record(op: Any, values: list[Any], tangents: Sequence[Any], out: Any, options: dict[str, Any]) -> Any:
    program = next(t.program for t in tangents if t is not None)
    given = [t is not None for t in tangents]
    function = later(op, values, given, out, options)
    arrays = _kept(op, values, given, out)
    if arrays:
        program.kept.append((op, arrays, tape.tick()))
    several = isinstance(out, tuple)
    slots = tuple([Slot(program) for _ in (out if several else (out,))])
    program.steps.append((function, [None if t is None else t.index for t in tangents], [s.index for s in slots]))
    return slots if several else slots[0]
