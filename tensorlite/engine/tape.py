"""The tape: what is kept of an operation for its backward, and the walk back over it."""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from tensorlite import backends
from tensorlite._site import Site, caller, describe
from tensorlite.engine import inplace
from tensorlite.engine.value import Provided, Value, raw, wrap
from tensorlite.errors import GradError, GraphFreedError, NotDifferentiableError

OUT = -1
new_node: Any = object.__new__
tick = count(1).__next__   # numbers nodes and changes in place: the order of making is a topological order


class Plan:
    """What to keep and what to run for one operation and one choice of arguments that need a gradient; made once, then looked
    up."""

    __slots__ = ("joint", "keep", "metas", "needs", "only", "parents", "rules", "take")

    def __init__(self, op: Any, mask: int, nargs: int) -> None:
        names = dict(op.positions(nargs))
        self.parents = tuple(i for i in range(nargs) if mask >> i & 1)
        self.needs = tuple(i in self.parents for i in range(nargs))
        self.only = self.parents[0] if len(self.parents) == 1 else None
        self.keep: tuple[int, ...] = ()          # positions of arguments, OUT for the result
        self.metas: tuple[Callable[..., Any], ...] = ()
        self.joint = op.joint
        wanted: list[Any] = []                   # what the picks index: integers, or (key, meta)
        self.rules: tuple[Any, ...]
        if self.joint is not None:
            self.rules = ((self.joint, self._pick(op, self.joint, names, None, wanted, skip=2)),)
        else:
            rules: list[Any] = []
            for i in self.parents:
                rule = op.vjps.get(names[i])
                if rule is None:
                    rules.append((_no_rule(op.name, names[i]), ()))
                else:
                    rules.append((rule, self._pick(op, rule, names, i, wanted, skip=1)))
            self.rules = tuple(rules)
        plain = [w for w in wanted if isinstance(w, int)]
        metas = [w for w in wanted if not isinstance(w, int)]
        where: dict[Any, int] = {w: k for k, w in enumerate(plain)}
        where.update({w[0]: len(plain) + k for k, w in enumerate(metas)})
        if len(plain) == 1:   # so that itemgetter gives a tuple here too
            plain = plain * 2
            where = {w: (k + 1 if not isinstance(w, int) else k) for w, k in where.items()}
        self.keep, self.metas = tuple(plain), tuple(w[1] for w in metas)
        self.take = operator.itemgetter(*plain) if plain else None
        self.rules = tuple((rule, tuple(slice(where[p[0]], where[p[0]] + len(p))
                                        if isinstance(p, tuple) and p and isinstance(p[0], int)
                                        else slice(0, 0) if p == () else where[p] for p in pick)) for rule, pick in self.rules)
        everything = tuple(range(len(self.keep) + len(self.metas)))
        self.rules = tuple((rule, None if pick == everything else pick) for rule, pick in self.rules)   # None: all that was saved

    def keeping(self, positions: Iterable[int]) -> Plan:
        """Keep these values too, for the sake of noticing that they were changed."""
        more = tuple(positions)
        self.keep = more * 2 if len(more) == 1 else more
        self.take = operator.itemgetter(*self.keep) if more else None
        return self

    @staticmethod
    def _pick(op: Any, rule: Any, names: dict[int, str], position: int | None, wanted: list[Any], skip: int) -> list[Any]:
        """One entry for each parameter of the rule: a position, a tuple of positions (for ``*rest``), or a meta's key."""
        position_of = {n: i for i, n in names.items() if not (op.args[-1][0] == "*" and i >= len(op.args) - 1)} if op.args else {}
        rest = op.args[-1][1:] if op.args and op.args[-1][0] == "*" else None
        first = len(op.args) - 1
        pick: list[Any] = []
        code = rule.__code__
        for name in code.co_varnames[skip:code.co_argcount]:
            entry: Any
            if name == "out":
                entry = OUT
            elif name in position_of:
                entry = position_of[name]
            elif name == rest:
                entry = tuple(range(first, len(names)))
                # a group must lie together: it goes in whole, even if some of it is there already
                if any(e in wanted for e in entry):
                    wanted[:] = [w for w in wanted if w not in entry]
                wanted.extend(entry)
                pick.append(entry)
                continue
            else:
                meta = _meta(op, name, position_of, position, first)
                entry = (name, position) if name == "i" else (name, None)
                if not any(not isinstance(w, int) and w[0] == entry for w in wanted):
                    wanted.append((entry, meta))
                pick.append(entry)
                continue
            if entry not in wanted:
                wanted.append(entry)
            pick.append(entry)
        return pick


def _meta(op: Any, name: str, position_of: dict[str, int], position: int | None, first: int) -> Callable[..., Any]:
    """A function of (values, out, options) for what a rule wants that is no array."""
    if name == "i":
        index = (position or 0) - first
        return lambda values, out, options: index
    if name == "options":
        return lambda values, out, options: options
    if name == "hidden":   # the results after the first; the first is not kept for them, and may be changed in place
        return lambda values, out, options: out[1:]
    if name == "shapes":
        return lambda values, out, options: [tuple(v.shape) for v in values[first:]]
    if name == "dtypes":
        return lambda values, out, options: [v.dtype for v in values[first:]]
    if name == "out_shape":
        return lambda values, out, options: tuple(out.shape)
    if name in op.options:
        default = op.options[name]
        return lambda values, out, options: options.get(name, default)
    stem, _, what = name.rpartition("_")
    if what in ("shape", "dtype", "device") and stem in position_of:
        k = position_of[stem]
        if what == "device":
            return lambda values, out, options: backends.backend_of(raw(values[k])).device_of(raw(values[k]))
        if what == "shape":
            return lambda values, out, options: tuple(values[k].shape)
        return lambda values, out, options: values[k].dtype
    raise TypeError(f"the rule of {op.name} asks for {name!r}, which is no argument ({', '.join(op.args)}), option "
                    f"({', '.join(op.options)}), 'out', or an argument's shape or dtype")


def _no_rule(op: str, argument: str) -> Callable[..., Any]:
    def rule(g: Any) -> Any:
        raise NotDifferentiableError(f"{op} has no derivative with respect to {argument}; call .detach() on {argument} "
                                     "if no gradient should flow through it")
    return rule


class Node:
    """One recorded operation: its rules, the nodes or leaves its gradients go to, and the values they need."""

    __slots__ = ("dtype", "hooks", "number", "op", "output", "parents", "plan", "saved", "shape", "site", "watch")
    op: Any
    plan: Plan
    number: int
    parents: tuple[Any, ...]        # a Node, or a leaf tensor
    saved: tuple[Any, ...] | None   # None once freed
    shape: Any                      # the result's: the gradient that arrives must have it, and its dtype
    dtype: Any
    site: Site | None
    hooks: Any
    watch: Any                      # digests of saved memory that others can write to
    output: Any                     # (index, number of outputs) for one result of several, else None

    @property
    def name(self) -> str:
        return "".join(part.capitalize() for part in self.op.name.split("_")) + "Backward"

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """The nodes (or leaves) the gradient goes on to."""
        return self.parents

    def __repr__(self) -> str:
        return f"<{self.name}>"


def record(op: Any, args: tuple[Any, ...], values: list[Any], mask: int, out: Any, options: dict[str, Any],
           plain: bool = True) -> Node:
    """A node for ``out = op(*args)``; ``values`` are the arguments one level below, ``plain`` whether raw arrays may be among
    ``args``.

    ``out`` is appended to ``values``, where the plan's pick finds it at -1.
    """
    key = (mask, len(args)) if op.variadic else mask
    plan = op.plans.get(key)
    if plan is None:
        plan = op.plans[key] = Plan(op, mask, len(args))
    node = new_node(Node)
    # three frames are ours: this, Primitive.__call__ or its like, who called that
    node.op, node.plan, node.number, node.site = op, plan, tick(), caller(3)
    node.hooks = node.output = node.watch = None
    if plan.only is not None:   # one argument: the usual case, without a loop
        a = args[plan.only]
        node.parents = (a.node or a,)
    else:
        node.parents = tuple([args[i].node or args[i] for i in plan.parents])
    values.append(out)
    saved = plan.take(values) if plan.take is not None else ()
    if plan.metas:
        del values[-1]
        saved = (*saved, *[meta(values, out, options) for meta in plan.metas])
    node.saved = saved
    if op.outputs != 1:
        out = out[0]   # the shapes that matter are the result nodes'; this is for an operation with one visible result
    node.shape, node.dtype = out.shape, out.dtype
    if plain or inplace._shared:
        inplace.watch(node, args, values)
    return node


def output_node(node: Node, index: int, total: int, out: Any) -> Node:
    """The node of one result of several; its gradient takes its place among the others' in ``node``'s."""
    one = Node.__new__(Node)
    one.op, one.plan, one.number, one.hooks, one.watch = node.op, node.plan, tick(), None, None
    one.parents, one.saved, one.site, one.output = (node,), (), node.site, (index, total)
    one.shape, one.dtype = out.shape, out.dtype
    return one


# ---- backward --------------------------------------------------------------------------------------------------------

def reachable(roots: Iterable[Node], beyond: Iterable[Any] = ()) -> list[Node]:
    """Every node behind ``roots`` (but those of ``beyond`` and what is behind them), newest first. Iterative: a chain may be a
    million long."""
    seen: set[Any] = set(beyond)
    todo = list(roots)
    nodes = []
    ordered, last = True, inplace.FOREVER
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        nodes.append(node)
        if node.number > last:
            ordered = False
        last = node.number
        for parent in node.parents:
            if parent.__class__ is Node and parent not in seen:
                todo.append(parent)   # noqa: PERF401 - of one or two parents a comprehension costs more
    if not ordered:   # in a plain chain the walk meets the nodes in order
        nodes.sort(key=operator.attrgetter("number"), reverse=True)
    return nodes


def _needed(nodes: list[Node], targets: set[Any]) -> set[Node]:
    """The nodes from which a target can be reached."""
    useful: set[Node] = set()
    for node in reversed(nodes):
        for parent in node.parents:
            if parent in targets or parent in useful:
                useful.add(node)
                break
    return useful


def run(roots: list[tuple[Any, Any]], level: int, *, create_graph: bool = False, retain_graph: bool = False,
        targets: set[Any] | None = None, stop: bool = False) -> dict[Any, Any]:
    """Cotangents by leaf (and by target node), from ``roots``: (node or leaf, cotangent) pairs. With ``stop`` nothing goes on
    beyond a target: what reaches one by way of another counts for that other alone.

    Cotangents and saved values are of the level below, so that whoever records there sees the rules run; at level 0 they are
    raw arrays and nothing is recorded, or with ``create_graph`` tensors.
    """
    grads: dict[Any, Any] = {}
    captured: dict[Any, Any] = {}
    add = Provided.add
    for root, g in roots:
        grads[root] = g if root not in grads else add(grads[root], g)
    nodes = reachable([root for root, _ in roots if root.__class__ is Node], targets if stop and targets else ())
    useful = None if targets is None else _needed(nodes, targets)
    for node in nodes:
        g = grads.pop(node, None)
        if g is None:
            continue
        if node.hooks is not None:
            g = _run_hooks(node.hooks, g, level)
        if targets is not None:
            if node in targets:
                captured[node] = g
            if node not in useful:   # type: ignore[operator]
                continue
        if node.output is not None:
            index, total = node.output
            whole = grads.get(node.parents[0])
            if whole.__class__ is not list:   # none yet, or that of the one visible result
                whole = grads[node.parents[0]] = [whole] + [None] * (total - 1)
            whole[index] = g if whole[index] is None else add(whole[index], g)
            continue
        saved = node.saved
        if saved is None:
            raise GraphFreedError(
                f"backward through {node.op.name} (called at {describe(node.site)}) a second time: the values it had saved were "
                "freed by the first; pass retain_graph=True to the first backward if you need two")
        if inplace.latest > node.number or node.watch is not None:
            inplace.check(node, saved)
        if create_graph:
            saved = _as_tensors(node, saved)
        plan = node.plan
        if plan.joint is not None:
            rule, pick = plan.rules[0]
            needs = plan.needs if useful is None else _needs(node, useful, targets)   # type: ignore[arg-type]
            terms = rule(g, needs, *(saved if pick is None else [saved[p] for p in pick]))
            if len(terms) != len(plan.parents):
                terms = [terms[i] for i in plan.parents]
        else:
            terms = None
        for k, parent in enumerate(node.parents):
            if useful is not None and parent not in useful and parent not in targets:   # type: ignore[operator]
                continue
            if terms is None:
                rule, pick = plan.rules[k]
                term = rule(g, *(saved if pick is None else [saved[p] for p in pick]))
            else:
                term = terms[k]
            if term is None:
                continue
            like = parent if parent.__class__ is Node else parent.value
            if term.shape != like.shape:
                term = Provided.sum_to(term, shape=like.shape)
            if term.dtype is not like.dtype and term.dtype != like.dtype:
                term = Provided.cast(term, dtype=like.dtype)
            prior = grads.get(parent)
            if prior is None:
                grads[parent] = term
            elif prior.__class__ is list:
                prior[0] = term if prior[0] is None else add(prior[0], term)
            else:
                grads[parent] = add(prior, term)
        if not retain_graph:
            node.saved = None
        del saved
    if targets is None:
        return grads
    captured.update((leaf, g) for leaf, g in grads.items() if leaf in targets)
    return captured


def _needs(node: Node, useful: set[Node], targets: set[Any]) -> tuple[bool, ...]:
    """Which of the operation's arguments lead to a target."""
    wanted = {i for i, parent in zip(node.plan.parents, node.parents) if parent in useful or parent in targets}
    return tuple([i in wanted for i in range(len(node.plan.needs))])


def _as_tensors(node: Node, saved: tuple[Any, ...]) -> tuple[Any, ...]:
    """The saved arrays as the tensors they were, so that the rules' own work is recorded behind them."""
    out = list(saved)
    for k, position in enumerate(node.plan.keep):
        if position == OUT:
            out[k] = _tracked(saved[k], node)
        elif position in node.plan.parents:
            parent = node.parents[node.plan.parents.index(position)]
            out[k] = _tracked(saved[k], parent) if parent.__class__ is Node else parent
        elif hasattr(saved[k], "shape"):
            out[k] = wrap(saved[k], 0)
    return tuple(out)


def _tracked(array: Any, node: Node) -> Any:
    if isinstance(array, tuple):   # the results of an operation with several
        return tuple(_tracked(a, output_node(node, i, len(array), a)) if Provided.is_differentiable(a.dtype) else wrap(a, 0)
                     for i, a in enumerate(array))
    tensor = wrap(array, 0)
    tensor.tracked, tensor.node = True, node
    return tensor


def _run_hooks(hooks: dict[int, Any], g: Any, level: int) -> Any:
    """Pass the gradient through the hooks; each sees a tensor and may return another."""
    for hook in list(hooks.values()):
        held = isinstance(g, Value)
        seen = g if held else wrap(g, 0)
        answer = hook(seen)
        if answer is not None:
            if tuple(answer.shape) != tuple(g.shape):
                raise GradError(f"a hook returned a gradient of shape {tuple(answer.shape)}; expected {tuple(g.shape)}")
            g = answer if held else raw(answer)
    return g


def describe_node(node: Any) -> str:
    """``mul (file.py:3)``."""
    return f"{node.op.name} ({describe(node.site)})"
