"""Gradient checkpointing: a part of a computation keeps only what it was given, and is computed again in backward.

The part runs with recording on. Then, at each level that recorded it, its nodes are dropped in favour of a single one whose
parents are the part's frontier: the older nodes and the leaves that its operations lead to, whether they came in as arguments or
were closed over. That node's rule runs the part again, in the state and on the levels it ran in, and walks back over the new
nodes as far as the frontier. The rule itself is such a part for the levels below, so that memory is bounded for derivatives of
any order.

Source: Griewank and Walther, "Algorithm 799: revolve", 2000, section 1, for parts in parts; Chen et al., "Training deep nets with
sublinear memory cost", 2016, for one layer of them.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tensorlite import _philox, _tree
from tensorlite._site import caller
from tensorlite._state import _current, changed, current
from tensorlite.engine import inplace, tape
from tensorlite.engine.forward import Slot
from tensorlite.engine.levels import OPEN
from tensorlite.engine.value import Provided, Value, raw
from tensorlite.errors import GradError

__all__ = ["Frontier", "Part", "anew", "frontier", "gather", "keeps", "recompute", "recorded"]

Frontier = dict[int, dict[Any, None]]   # by level: the nodes and leaves a part leads to, in order


def recompute(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """f(*args, **kwargs), of which reverse mode keeps the arguments alone: what happens inside is computed again in backward.

    Arguments and results are trees of tensors; gradients also reach what f closes over. Peak memory is that of the arguments, and
    of one such part at a time; the cost is one more evaluation of f. Random numbers from the default generator, and from
    generators among the arguments, are the same in both runs. Forward mode keeps nothing anyway. f must do the same in both runs:
    a side effect (a running mean, say) happens twice. Errors: ``GradError`` if f returns other shapes or uses other tensors the
    second time, ``InplaceError`` if an argument or parameter was changed in place since.

    >>> import tensorlite as tl
    >>> from tensorlite.engine.recompute import recompute
    >>> w = tl.tensor(3.0, requires_grad=True)
    >>> recompute(lambda x: tl.sin(w * x) * x, tl.tensor(2.0)).backward()
    >>> w.grad
    tensor(3.8407)
    """
    leaves, rebuild = _tree.flatten((args, kwargs))
    shape: list[Any] = []

    def flat(*given: Any) -> list[Any]:
        args, kwargs = rebuild(list(given))
        outs, build = _tree.flatten(f(*args, **kwargs))
        shape[:] = [build]
        return outs
    part = Part(flat, leaves)
    outs = part.cut(part.run())
    return shape[0](outs)


class Part:
    """``f(*args)``, lists of values both, with all that it takes to run it again."""

    def __init__(self, f: Callable[..., list[Any]], args: Iterable[Any], name: str = "recompute") -> None:
        self.f, self.args, self.name = f, [_twin(a) for a in args], name
        self.state, self.open = current(), frozenset(OPEN)
        self.random = [(g, g.get_state()) for g in (_philox.default_generator, *self.args) if isinstance(g, _philox.Generator)]
        self.start = tape.tick()

    def run(self) -> list[Any]:
        """The results."""
        return self.apart(self.f, self.args)

    @staticmethod
    def apart(f: Callable[..., list[Any]], args: Iterable[Any]) -> list[Any]:
        """f(*args), with casts of parameters (autocast's) of its own: outside they would lead to what this part drops."""
        cast = current().autocast
        with changed(autocast=cast and type(cast)(cast.dtype)):
            return f(*args)

    def cut(self, outs: list[Any], leads: Frontier | None = None, leaves: Collection[int] = ()) -> list[Any]:
        """The results with one node in place of all that the run recorded. Where it ran on leaves made by :func:`anew`, ``leads``
        is the frontier and ``leaves`` the ids of those that may be among the results."""
        nodes: dict[int, tape.Node] = {}
        for level, found in recorded(outs, self.start, leaves).items():
            parents = list(frontier([v.node for _, v in found], self.start) if leads is None else leads.get(level, ()))
            node = self._node(level, parents, [path for path, _ in found])
            for k, (_, v) in enumerate(found):
                nodes[id(v)] = tape.output_node(node, k, len(found), v.value)
            if inplace.latest > self.start:
                inplace.check(node, node.saved or ())
        made: dict[int, Any] = {}
        return [_replaced(out, nodes, made) for out in outs]

    def _node(self, level: int, parents: list[Any], paths: list[Any]) -> tape.Node:
        arrays = {id(a): a for x in (*self.args, *parents) if isinstance(x, Value) for _, v in _within(x, ()) for a in [raw(v)]}
        node, plan = tape.Node.__new__(tape.Node), tape.Plan.__new__(tape.Plan)
        node.saved = (*arrays.values(), self)   # the arrays: to notice that they were changed

        def rule(g: list[Any], needs: tuple[bool, ...], *saved: Any) -> list[Any]:
            return saved[-1].pull(level, paths, parents, g, needs)
        plan.joint, plan.rules, plan.metas, plan.take, plan.only = rule, ((rule, None),), (), None, None
        plan.parents, plan.needs = tuple(range(len(parents))), (True,) * len(parents)
        plan.keep = tuple(range(len(parents), len(parents) + len(node.saved)))
        node.op, node.plan, node.number, node.parents, node.site = _Op(self.name), plan, self.start, tuple(parents), caller(3)
        node.hooks = node.watch = node.output = None
        node.shape, node.dtype = (), None
        return node

    def pull(self, level: int, paths: list[Any], parents: list[Any], g: list[Any], needs: tuple[bool, ...]) -> list[Any]:
        """The cotangents of ``parents`` from those of the values at ``paths`` of the results, of one level."""
        given = [(path, one) for path, one in zip(paths, g) if one is not None]
        wanted = {p for p, need in zip(parents, needs) if need}

        def backward(*cotangents: Any) -> list[Any]:
            with self._again(level):
                start = tape.tick()
                outs = self.run()
                values = [self._at(outs, path, one) for (path, _), one in zip(given, cotangents)]
                roots = [(v.node or v, one) for v, one in zip(values, cotangents) if v.tracked]
                other = set(frontier([n for n, _ in roots], start)).difference(parents)
                if any(p.__class__ is tape.Node for p in other):
                    raise GradError(f"{self.name}: the second run of the function, for backward, uses tensors that the first did "
                                    "not; it must do the same both times")
            del outs, values   # what is not on the tape is not needed
            create = level == 0 and isinstance(cotangents[0], Value)
            found = tape.run(roots, level, create_graph=create, retain_graph=create, targets=wanted, stop=True) if roots else {}
            return [found.get(p) for p in parents]
        cotangents = [one for _, one in given]
        if not isinstance(cotangents[0], Value):
            return backward(*cotangents)
        part = Part(backward, cotangents, self.name)
        return part.cut(part.run())

    def _at(self, outs: list[Any], path: Any, like: Any) -> Any:
        x: Any = outs[path[0]] if path[0] < len(outs) else None
        for name in path[1:]:
            x = getattr(x, name, None)
        if not isinstance(x, Value) or tuple(x.shape) != tuple(like.shape) or x.value.dtype != like.dtype:
            second = f"shape {tuple(x.shape)} and dtype {x.dtype}" if isinstance(x, Value) else "no such result"
            raise GradError(f"{self.name}: the first run of the function gave result {path[0]} the shape {tuple(like.shape)} and "
                            f"dtype {like.dtype}, the second, for backward, {second}; it must do the same both times")
        return x

    @contextmanager
    def _again(self, level: int) -> Iterator[None]:
        """The state and the open levels of the first run, recording for ``level`` and for what records now below it."""
        then, now = self.state, current()
        state = then.with_(record_from=max(then.record_from, min(level, now.record_from)),
                           observer=now.observer if then.autocast is None else then.observer)
        closed = self.open - OPEN
        random = [(generator, generator.get_state()) for generator, _ in self.random]
        for generator, place in self.random:
            generator.set_state(place)
        OPEN.update(closed)
        token = _current.set(state)
        try:
            yield
        finally:
            _current.reset(token)
            OPEN.difference_update(closed)
            for generator, place in random:
                generator.set_state(place)


class _Op:
    """Stands where a primitive stands in a node."""

    variadic, discrete, outputs = False, False, 1
    args: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def argument(self, position: int) -> str:
        return "an argument or parameter"


# ---- values on all their levels -----------------------------------------------------------------------------------------

def _within(x: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value that ``x`` consists of, from the highest level down, with the way there."""
    while isinstance(x, Value):
        yield path, x
        yield from _within(getattr(x, "tangent", None), (*path, "tangent"))
        x, path = x.value, (*path, "value")


def _follows(v: Any) -> bool:
    """Whether a value is tracked by reverse mode."""
    return bool(v.tracked) and (not v.level or type(v) is Provided.inner)


def recorded(outs: Iterable[Any], start: int, leaves: Collection[int] = ()) -> dict[int, list[Any]]:
    """By level: (path, value) of what was recorded since ``start`` in a list of values, and of those with ids in ``leaves``."""
    found: dict[int, list[Any]] = {}
    seen = set()
    for k, out in enumerate(outs):
        for path, v in _within(out, (k,)):
            if ((v.tracked and v.node is not None and v.node.number > start) or id(v) in leaves) and id(v) not in seen:
                seen.add(id(v))
                found.setdefault(v.level, []).append((path, v))
    return found


def frontier(roots: Iterable[Any], start: int) -> dict[Any, None]:
    """The leaves and the nodes not younger than ``start`` that ``roots`` lead to, in order."""
    todo, seen, found = list(roots), set(), dict[Any, None]()
    while todo:
        node = todo.pop()
        if node.__class__ is not tape.Node or node.number <= start:
            found[node] = None
        elif node not in seen:
            seen.add(node)
            todo += node.parents
    return found


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ()) if name != "__weakref__"]


def _copy(x: Any, value: Any, tangent: Any) -> Any:
    """A tensor like ``x`` of other values, of whose views and hooks it knows nothing."""
    kind = type(x) if x.level else Provided.tensor
    out = object.__new__(kind)
    for name in _slots(kind):
        if hasattr(x, name):
            setattr(out, name, getattr(x, name))
    out.value, out.grad, out.extra = value, None, None
    if tangent is not None:
        out.tangent = tangent
    return out


def _twin(x: Any) -> Any:
    """``x`` as it is now, whatever is done to it later; leaves, which gradients are looked up by, stay themselves."""
    if not isinstance(x, Value) or (_follows(x) and x.node is None):
        return x
    return _copy(x, _twin(x.value), _twin(getattr(x, "tangent", None)))


def keeps(x: Any) -> bool:
    """Whether ``linearize`` follows a value: its program holds what operations were given."""
    return any(getattr(v, "tangent", None).__class__ is Slot for _, v in _within(x, ()))


def gather(leads: Frontier, values: Iterable[Any]) -> None:
    """Add what reverse mode tracks in ``values`` to a frontier."""
    for x in values:
        for _, v in _within(x, ()):
            if _follows(v):
                leads.setdefault(v.level, {})[v.node or v] = None


def anew(x: Any, leaves: set[int]) -> Any:
    """``x`` with a leaf in place of all that reverse mode tracks in it; ``leaves`` gets their ids."""
    if not isinstance(x, Value):
        return x
    out = _copy(x, anew(x.value, leaves), anew(getattr(x, "tangent", None), leaves))
    if _follows(out):
        out.node = None
        leaves.add(id(out))
    return out


def _replaced(x: Any, nodes: dict[int, tape.Node], made: dict[int, Any]) -> Any:
    """``x`` with other nodes, where ``nodes`` has one for a value in it."""
    if not isinstance(x, Value):
        return x
    if id(x) not in made:
        tangent = getattr(x, "tangent", None)
        value, moved = _replaced(x.value, nodes, made), _replaced(tangent, nodes, made)
        node = nodes.get(id(x))
        if node is None and value is x.value and moved is tangent:
            made[id(x)] = x
        else:
            made[id(x)] = out = _copy(x, value, moved)
            out.node = x.node if node is None else node
    return made[id(x)]
