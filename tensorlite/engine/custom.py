"""Functions with derivative rules of their own, on every kind of level.

``call(rules, args)`` is to such a function what ``Primitive.__call__`` is to an operation: the highest level among the arguments
does its work on what the function gives one level below.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tensorlite._state import current, no_grad
from tensorlite.engine import tape
from tensorlite.engine.batching import Batch, BatchLevel, batch, everywhere, opened
from tensorlite.engine.forward import Slot, dual
from tensorlite.engine.levels import OPEN, Level, ReverseLevel, bare, below, check_open, held, leaf, pull
from tensorlite.engine.value import KIND, RAW, Provided, Value, new, raw, wrap
from tensorlite.errors import GradError, ShapeError

__all__ = ["Linear", "Ran", "Rules", "call", "fitting", "like", "zeros"]

Like = tuple[tuple[int, ...], Any] | None   # shape and dtype of a tensor; None for anything else
Args = Sequence[Any]


class Ran:
    """What one run of a function leaves: its results, what its rules want (tensors in ``leaves``, anything else in ``info``),
    what the results are like, and which of them have no gradient."""

    __slots__ = ("constant", "info", "leaves", "likes", "outs")

    def __init__(self, outs: list[Any], leaves: Args = (), info: Any = None, likes: list[Like] | None = None,
                 constant: frozenset[int] = frozenset()) -> None:
        self.outs, self.leaves, self.info, self.constant = outs, leaves, info, constant
        self.likes = [like(o) for o in outs] if likes is None else likes

    def moves(self, k: int) -> bool:
        """Whether result ``k`` has a gradient."""
        found = self.likes[k]
        return found is not None and k not in self.constant and Provided.is_differentiable(found[1])


class Rules:
    """A function of a flat list of arguments (tensors of one level or below, and anything else) and its rules.

    ``opaque``: it always runs on arrays, at the bottom, and each level applies the rules on its own; else each level that follows
    an argument runs it (``run``) one level below, where what it does is followed as any operation's is.
    """

    name = "custom"
    opaque = False
    linear = False    # whether run and pull are those of this class, made of jvp
    jvp: Any = None   # jvp(arguments, tangents): the results and their tangents (None: zero) at once

    @property
    def source(self) -> str:
        """What errors call the function that runs."""
        return self.name

    def primal(self, args: Args) -> list[Any]:
        """The results."""
        raise NotImplementedError

    def run(self, args: Args, needs: Sequence[bool]) -> Ran:
        """The results, and what ``pull`` wants of them; ``needs``: the arguments that are followed."""
        return Linear.of(self, args, needs)

    def pull(self, ran: Ran, cotangents: Args, needs: Sequence[bool]) -> list[Any]:
        """The arguments' cotangents from the results' (None where there is none)."""
        (program,) = ran.leaves
        found: list[Any] = program.transposed(cotangents)
        return found

    def push(self, ran: Ran, tangents: Args) -> list[Any]:
        """The results' tangents from the arguments': the transpose of ``pull``."""
        with ReverseLevel() as level:
            gs = [leaf(zeros(one, tangents), level, self.name) if ran.moves(k) else None for k, one in enumerate(ran.likes)]
            terms = self.pull(ran, gs, [t is not None for t in tangents])
        pairs = [(c, t) for c, t in zip(terms, tangents) if c is not None and t is not None]
        found = iter(pull([c for c, _ in pairs], [t for _, t in pairs], [g for g in gs if g is not None], level))
        return [None if g is None else held(next(found)) for g in gs]

    def batched(self, args: Args, values: Args, mine: list[bool], level: int, keep: bool) -> Ran:
        """What ``call`` does at a level of vmap: the rules for a whole batch, one level below."""
        ran = call_kept(Batched(self, mine, opened(level)), values, keep)
        outs = [batch(bare(o), level) if isinstance(o, Value) else o for o in ran.outs]
        if not keep:
            return Ran(outs)
        info, mask, likes = ran.info
        up = {id(v): a for v, a in zip([*values, *ran.outs], [*args, *outs])}
        leaves = [up[id(x)] if id(x) in up else batch(bare(x), level) if m else x for x, m in zip(ran.leaves, mask)]
        return Ran(outs, leaves, info, likes, ran.constant)


def like(x: Any) -> Like:
    """What a tensor is like."""
    return (tuple(x.shape), x.dtype) if isinstance(x, Value) else None


def zeros(one: Like, beside: Args) -> Any:
    """Zeros like that, on the device of the tensors among ``beside``."""
    if one is None:
        return None
    device = next((x.device for x in beside if isinstance(x, Value)), None)
    return Provided.namespace().zeros(one[0], dtype=one[1], device=device)


def fitting(what: str, whose: str, term: Any, x: Like, broadcast: bool = False) -> Any:
    """A cotangent or tangent that a rule returned as a tensor like what it belongs to; None if that is no tensor.

    With ``broadcast`` one of a shape that x broadcasts to is summed.
    """
    if term is None or x is None:
        return None
    term = term if isinstance(term, Value) else Provided.asarray(term)
    if broadcast and tuple(term.shape) != x[0] and term.ndim >= len(x[0]) and all(
            n in (1, m) for m, n in zip(reversed(term.shape), reversed(x[0]))):
        term = Provided.sum_to(term, shape=x[0])
    if tuple(term.shape) != x[0]:
        raise ShapeError(f"{what} of shape {tuple(term.shape)} for {whose} of shape {x[0]}")
    return term if term.dtype == x[1] or not Provided.is_differentiable(x[1]) else Provided.cast(term, dtype=x[1])


# ---- the levels ----------------------------------------------------------------------------------------------------------

def call(rules: Rules, args: Args) -> list[Any]:
    """The function's results, on the levels of its arguments."""
    return call_kept(rules, args, False).outs


def call_kept(rules: Rules, args: Args, keep: bool) -> Ran:
    """The same; with ``keep`` (opaque functions) also what a level above wants for its rules."""
    level, top = 0, None
    for a in args:
        if isinstance(a, Value) and a.level > level:
            level, top = a.level, a
    if top is None:
        return _bottom(rules, args, keep)
    if level not in OPEN:
        check_open(level, rules.name)
    mine = [isinstance(a, Value) and a.level == level for a in args]
    values = [held(a.value) if m else a for a, m in zip(args, mine)]
    if isinstance(top, Provided.batch):
        return rules.batched(args, values, mine, level, keep)
    if isinstance(top, Provided.dual):
        return _forward(rules, args, values, mine, level, keep)
    needs = [m and a.tracked for a, m in zip(args, mine)]
    follows = True in needs and level >= current().record_from
    ran = _one_below(rules, values, needs, follows, keep, level)
    outs = [wrap(bare(o), level) if isinstance(o, Value) else o for o in ran.outs]
    if follows:
        _record(rules, ran, args, values, values, needs, outs, level)
    return _lifted(ran, args, values, outs) if keep else Ran(outs, likes=ran.likes)


def _one_below(rules: Rules, values: Args, needs: list[bool], follows: bool, keep: bool, level: int) -> Ran:
    if rules.opaque:
        return call_kept(rules, values, keep or follows)
    ran = rules.run(values, needs) if follows else call_kept(rules, values, False)
    _check_captures(rules, ran.outs, level)
    return ran


def _lifted(ran: Ran, args: Args, values: Args, outs: list[Any]) -> Ran:
    """``ran`` for a level above: what was saved of arguments and results is these as that level knows them."""
    up = {id(v): a for v, a in zip([*values, *ran.outs], [*args, *outs])}
    return Ran(outs, [up.get(id(x), x) for x in ran.leaves], ran.info, ran.likes, ran.constant)


def _check_captures(rules: Rules, outs: list[Any], level: int) -> None:
    for o in outs:
        if isinstance(o, Value) and o.level >= level and (o.level or o.tracked):
            raise GradError(f"{rules.source} uses a value of a running transform (grad, vjp, ...) or a tensor that requires a "
                            "gradient which is not among its arguments, and whose gradient would be lost; pass it as an argument")


def _bottom(rules: Rules, args: Args, keep: bool) -> Ran:
    """Level 0."""
    needs = [isinstance(a, Value) and a.tracked for a in args]
    follows = True in needs and not current().record_from
    if rules.opaque:
        with no_grad():
            ran = rules.run(args, needs)
        inputs = args
    elif follows:
        inputs = [a.detach() if n else a for a, n in zip(args, needs)]
        ran = rules.run(inputs, needs)
    else:
        ran = Ran(rules.primal(args))
        if True in needs:   # under no_grad
            ran.outs = [o.detach() if o.tracked else o for o in ran.outs]
    if any(o.level or (o.tracked and not rules.opaque) for o in ran.outs if isinstance(o, Value)) and (
            keep or follows or not all(map(_only_batched, ran.outs))):
        _check_captures(rules, ran.outs, 0)
    if not follows:
        return ran
    # a tape that the rules keep may hold the results, which must not hold it in turn
    outs = ran.outs if rules.opaque else [new(o.value) for o in ran.outs]
    _record(rules, ran, args, [a.value if isinstance(a, Value) else a for a in args], inputs, needs, outs, 0)
    return ran if rules.opaque else Ran(outs, likes=ran.likes)


def _only_batched(x: Any) -> bool:
    """Whether all the levels that ``x`` belongs to are vmap's."""
    while isinstance(x, Value) and x.level:
        if not isinstance(x, Provided.batch):
            return False
        x = x.value
    return not (isinstance(x, Value) and x.tracked)


def _forward(rules: Rules, args: Args, values: Args, mine: list[bool], level: int, keep: bool) -> Ran:
    """A level of forward mode."""
    tangents = [a.tangent if m else None for a, m in zip(args, mine)]
    tangents = [t if t is None or t.__class__ is Slot else held(t) for t in tangents]
    needs = [t is not None for t in tangents]
    slots = any(t.__class__ is Slot for t in tangents)
    follows = True in needs
    if rules.jvp is not None and follows:
        if slots:   # the rule's own derivative by the tangents goes into linearize's program
            with Level() as inner:
                outs, moved = rules.jvp(values, [None if t is None else dual(zeros(like(v), values), t, inner)
                                                 for v, t in zip(values, tangents)])
            outs = [below(o, inner) for o in outs]
            moved = [t.tangent if isinstance(t, Value) and t.level == inner else None for t in moved]   # type: ignore[attr-defined]
        else:
            outs, moved = rules.jvp(values, tangents)
        ran = Ran(outs)
        _check_captures(rules, outs, level)
    else:
        ran = _one_below(rules, values, needs, follows, keep, level)
        moved = [None] * len(ran.outs)
        if slots:
            program = next(t.program for t in tangents if t is not None)
            moved = [Slot(program) if ran.moves(k) else None for k in range(len(ran.outs))]
            ends = [k for k, s in enumerate(moved) if s is not None]

            def push(ts: Args) -> Any:
                found = rules.push(ran, [None if t is None else held(t) for t in ts])
                return tuple([None if found[k] is None else bare(found[k]) for k in ends])
            program.steps.append((push,
                                  [None if t is None else t.index for t in tangents], [moved[k].index for k in ends]))
        elif follows:
            moved = rules.push(ran, tangents)
    outs = [dual(bare(o), t if t.__class__ is Slot else bare(t), level) if isinstance(o, Value) else o
            for o, t in zip(ran.outs, [t if ran.moves(k) else None for k, t in enumerate(moved)])]
    return _lifted(ran, args, values, outs) if keep else Ran(outs, likes=ran.likes)


# ---- the tape ------------------------------------------------------------------------------------------------------------

class _Op:
    """Stands where a primitive stands in a node. One for each call: its plan is never shared."""

    variadic = False
    options: dict[str, Any] = {}
    vjps: dict[str, Any] = {}

    def __init__(self, name: str, rule: Callable[..., Any], nargs: int, outputs: int) -> None:
        self.name, self.joint, self.outputs = name, rule, outputs
        self.args: tuple[str, ...] = tuple(f"args{i}" for i in range(nargs))
        self.plans: dict[Any, Any] = {}

    def positions(self, total: int) -> Any:
        return enumerate(self.args)

    def argument(self, position: int) -> str:
        return f"saved tensor {position - len(self.args)}" if position >= len(self.args) else self.args[position]


def _record(rules: Rules, ran: Ran, args: Args, values: Args, inputs: Args, needs: list[bool], outs: list[Any],
            level: int) -> None:
    """Make ``outs`` the tracked results of ``args`` at ``level``; leaves are known as arguments by ``inputs``."""
    tracked = [k for k in range(len(outs)) if ran.moves(k)]
    if not tracked:
        return
    keep: list[int] = []           # the leaves' positions among values and others, or OUT
    which: list[int | None] = []   # and of several results the one
    others: list[Any] = []
    for x in ran.leaves:
        at = next((i for i, a in enumerate(inputs) if a is x), None)
        result = None if at is not None else next((j for j, k in enumerate(tracked) if ran.outs[k] is x), None)
        if at is None and result is None:
            at = len(args) + len(others)
            others.append(x if level or not isinstance(x, Value) else x.value)
        keep.append(tape.OUT if at is None else at)
        which.append(result if len(tracked) > 1 else None)
    # what else depends on the arguments is made again for a backward that is recorded
    again = not level and not rules.opaque and any(map(_moving, others))
    given = [i for i, a in enumerate(args) if again and isinstance(a, Value)]
    template = [None if isinstance(a, Value) else a for a in args]
    info, likes, constant = ran.info, ran.likes, ran.constant

    def rule(g: Any, needed: Any, *saved: Any) -> tuple[Any, ...]:
        gs = g if len(tracked) > 1 else [g]
        plain = not level and not isinstance(next(c for c in gs if c is not None), Value)
        cotangents: list[Any] = [None] * len(likes)
        for k, c in zip(tracked, gs):
            cotangents[k] = None if c is None else held(c)
        leaves = [s if j is None else s[j] for s, j in zip(saved, which)]
        back = Ran([], [new(s) if KIND.get(type(s)) == RAW else s for s in leaves], info, likes, constant)
        if plain:
            with no_grad():
                return tuple([raw(t) for t in rules.pull(back, cotangents, needed)])
        if again:
            call_args = list(template)
            for i, s in zip(given, saved[len(which):]):
                call_args[i] = s
            back = rules.run(call_args, needed)
        return tuple([None if t is None else bare(t) for t in rules.pull(back, cotangents, needed)])

    mask = sum([1 << i for i, n in enumerate(needs) if n])
    op = _Op(rules.name, rule, len(args), len(tracked))
    op.plans[mask] = _plan(rule, needs, [*keep, *given])
    out = outs[tracked[0]].value if len(tracked) == 1 else tuple([outs[k].value for k in tracked])
    node = tape.record(op, tuple(args), [*values, *others], mask, out, {}, any(KIND.get(type(a)) == RAW for a in args))
    for j, k in enumerate(tracked):
        tensor = outs[k]
        tensor.tracked = True
        tensor.node = node if len(tracked) == 1 else tape.output_node(node, j, len(tracked), tensor.value)


def _plan(rule: Callable[..., Any], needs: list[bool], keep: list[int]) -> tape.Plan:
    """What ``tape.Plan`` makes of a joint rule that gets all that is kept, without looking at the rule's parameters."""
    plan: tape.Plan = tape.Plan.__new__(tape.Plan)
    plan.parents = tuple([i for i, n in enumerate(needs) if n])
    plan.needs, plan.joint, plan.metas = tuple(needs), rule, ()
    plan.only = plan.parents[0] if len(plan.parents) == 1 else None
    plan.rules = ((rule, tuple(range(len(keep)))),)
    return plan.keeping(keep)


def _moving(x: Any) -> bool:
    """Whether what a run left has a derivative by its arguments."""
    return isinstance(x, Linear) or (hasattr(x, "dtype") and Provided.is_differentiable(x.dtype))


# ---- vmap ----------------------------------------------------------------------------------------------------------------

class Batched(Rules):
    """The rules of ``inner`` for a whole batch: ``mine`` says which arguments have the batch axis, in front; all results do."""

    def __init__(self, inner: Rules, mine: list[bool], one: Batch) -> None:
        self.inner, self.mine, self.one = inner, mine, one
        self.name, self.opaque, self.linear = inner.name, inner.opaque, inner.linear
        self.jvp = None if inner.jvp is None else self._jvp

    def _level(self) -> AbstractContextManager[int]:
        """The vmap's own level, or one like it if that has ended (a backward comes later)."""
        one = self.one
        return nullcontext(one.level) if one in current().batches else BatchLevel(one.size, one.randomness)

    def _in(self, args: Args, level: int) -> list[Any]:
        return [batch(bare(a), level) if m else a for a, m in zip(args, self.mine)]

    def _out(self, x: Any, level: int) -> Any:
        if not isinstance(x, Value):
            return x
        mine = x.level == level
        return held(everywhere(x.value if mine else x, mine, self.one.size))

    def _all(self, xs: Args, masks: Sequence[bool], level: int) -> list[Any]:
        """Cotangents or tangents, with the batch axis for each."""
        return [None if x is None else batch(bare(everywhere(x, m, self.one.size)), level) for x, m in zip(xs, masks)]

    def primal(self, args: Args) -> list[Any]:
        with self._level() as level:
            return [self._out(o, level) for o in self.inner.primal(self._in(args, level))]

    def run(self, args: Args, needs: Sequence[bool]) -> Ran:
        if self.linear:   # the batch goes inside of the tape, which is there when the vmap has ended
            return super().run(args, needs)
        with self._level() as level:
            given = self._in(args, level)
            ran = self.inner.run(given, needs)
            outs = [self._out(o, level) for o in ran.outs]
        down = {id(x): y for x, y in zip([*given, *ran.outs], [*args, *outs])}
        leaves, mask = [], []
        for x in ran.leaves:
            at = isinstance(x, Value) and x.level == level
            mask.append(at or any(x is o for o in ran.outs))
            leaves.append(down[id(x)] if id(x) in down else held(x.value) if at else x)
        return Ran(outs, leaves, (ran.info, mask, ran.likes), constant=ran.constant)

    def _inner(self, ran: Ran, level: int) -> Ran:
        info, mask, likes = ran.info
        return Ran([], [batch(bare(x), level) if m else x for x, m in zip(ran.leaves, mask)], info, likes, ran.constant)

    def pull(self, ran: Ran, cotangents: Args, needs: Sequence[bool]) -> list[Any]:
        if self.linear:
            return super().pull(ran, cotangents, needs)
        add_up = Provided.namespace().sum
        with self._level() as level:
            terms = self.inner.pull(self._inner(ran, level), self._all(cotangents, [True] * len(cotangents), level), needs)
            whole = [self._out(t, level) for t in terms]
        return [t if m or t is None else add_up(t, axis=0) for t, m in zip(whole, self.mine)]

    def push(self, ran: Ran, tangents: Args) -> list[Any]:
        with self._level() as level:
            return [self._out(t, level) for t in self.inner.push(self._inner(ran, level), self._all(tangents, self.mine, level))]

    def _jvp(self, args: Args, tangents: Args) -> tuple[list[Any], list[Any]]:
        assert self.inner.jvp is not None
        with self._level() as level:
            outs, moved = self.inner.jvp(self._in(args, level), self._all(tangents, self.mine, level))
            return [self._out(o, level) for o in outs], [self._out(t, level) for t in moved]


class Linear:
    """A linear function as its tape: what was made (``outs``) of tangents (``ins``) at a reverse level that has ended."""

    __slots__ = ("ins", "level", "outs")

    def __init__(self, outs: list[Any], ins: list[Any], level: int) -> None:
        self.outs, self.ins, self.level = outs, ins, level

    @staticmethod
    def of(rules: Rules, args: Args, needs: Sequence[bool]) -> Ran:
        """One run of a rule of forward mode, with the tangents to come."""
        assert rules.jvp is not None
        with ReverseLevel() as level:
            ins = [leaf(zeros(like(a), args), level, rules.name) if n else None for a, n in zip(args, needs)]
            outs, moved = rules.jvp(args, ins)
        return Ran([below(o, level) for o in outs], [Linear(moved, ins, level)])

    def transposed(self, cotangents: Args) -> list[Any]:
        """The cotangents of ``ins``."""
        pairs = [(o, c) for o, c in zip(self.outs, cotangents) if o is not None and c is not None]
        found = iter(pull([o for o, _ in pairs], [c for _, c in pairs], [x for x in self.ins if x is not None], self.level))
        return [None if x is None else held(next(found)) for x in self.ins]

