"""vmap's level: a value holds a whole batch of what the function sees, its batch axis in front.

An operation has a rule that says how it is done to a batch at once. The rules here serve many operations; those of one operation
stand in its section of ``ops``. Where there is none, the operation's reference runs on the batched values themselves, as a
composition of other operations.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite import backends
from tensorlite._state import current
from tensorlite.engine import inplace
from tensorlite.engine.levels import Level, check_open
from tensorlite.engine.value import Provided, Value, raw
from tensorlite.errors import VmapError

__all__ = ["Batch", "BatchLevel", "Drawn", "agreed", "aligned", "along", "anywhere", "batch", "data_dependent",
           "decompose", "drawing", "everywhere", "in_a_batch", "leading", "lifted", "looped", "moved", "opened", "pointwise",
           "rank", "rule_of", "shaped", "through"]

Args = Sequence[Any]


class Batch:
    """One open vmap: its level, how many there are in the batch, what random numbers do, and who decides branches."""

    __slots__ = ("branches", "level", "randomness", "size")

    def __init__(self, level: int, size: int, randomness: str, branches: Any) -> None:
        self.level, self.size, self.randomness, self.branches = level, size, randomness, branches


class BatchLevel(Level):
    """The level of one vmap."""

    __slots__ = ("batch",)

    def __init__(self, size: int, randomness: str = "error", branches: Any = None) -> None:
        super().__init__()
        self.batch = Batch(self.number, size, randomness, branches)

    def changes(self) -> dict[str, Any]:
        return {"batches": (*current().batches, self.batch)}


def batch(value: Any, level: int) -> Any:
    """``value``, which lives one level below and has the batch axis in front, as a value of ``level``."""
    kind = Provided.batch
    tensor = kind.__new__(kind)
    tensor.value, tensor.tracked, tensor.node, tensor.grad, tensor.extra, tensor.level = value, False, None, None, None, level
    return tensor


def opened(level: int) -> Batch:
    """The vmap that opened a level."""
    for one in current().batches:
        if one.level == level:
            found: Batch = one
            return found
    check_open(level, "vmap")
    raise VmapError("vmap: a batched tensor is used in a thread that its vmap was not told of; start it with "
                    "contextvars.copy_context().run(function, ...)")


def through(op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
    """``op`` on values of vmap's level."""
    rule = rule_of(op)
    if rule is decompose:
        return _decomposed(op, args, options, level)
    batched = [isinstance(a, Value) and a.level == level for a in args]
    values = [a.value if b else a for a, b in zip(args, batched)]
    size = next(v.shape[0] for v, b in zip(values, batched) if b)
    given = (level,) if getattr(rule, "of_level", False) else ()
    out = rule(op.full or op, values, batched, options, size, *given)
    if op.outputs == 1:
        tensor = batch(out, level)
        if op.view:
            inplace.link(tensor, op, args, options)
        return tensor
    tensors = tuple([batch(o, level) for o in out])
    if op.view:
        for i, tensor in enumerate(tensors):
            inplace.link(tensor, op, args, options, i)
    return tensors if op.visible is None else tensors[0]


def rule_of(op: Any) -> Callable[..., Any]:
    """The batching rule of an operation."""
    if op.batching is not None:
        found: Callable[..., Any] = op.batching
        return found
    return pointwise if op.pointwise else decompose


def decompose(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
    """Stands for no rule: the reference runs on the batched values, as a composition of other operations."""
    raise AssertionError("decompose is recognised by vmap, never called")


def _decomposed(op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
    if isinstance(op.forward, str):
        raise VmapError(f"vmap: {op.name} has no batching rule")
    out = op.forward(Provided.namespace(), *args, **options)
    return out if not isinstance(out, tuple) or op.visible is None else out[0]


# ---- the batch axis ----------------------------------------------------------------------------------------------------

def everywhere(value: Any, batched: bool, size: int) -> Any:
    """``value`` with the batch axis, repeated along it (without a copy) if it had none."""
    return value if batched else Provided.expand(value, shape=(size, *value.shape))


def aligned(value: Any, batched: bool, ndim: int) -> Any:
    """A batched value with axes of length 1 behind the batch axis, so that it broadcasts as one of ``ndim`` axes would."""
    if not batched or value.ndim - 1 >= ndim:
        return value
    shape = tuple(value.shape)
    return Provided.reshape(value, shape=(shape[0], *(1,) * (ndim + 1 - len(shape)), *shape[1:]))


def moved(value: Any, source: int, target: int) -> Any:
    """``value`` with one axis at another place."""
    if source == target:
        return value
    axes = list(range(value.ndim))
    axes.insert(target, axes.pop(source))
    return Provided.permute(value, axes=tuple(axes))


def rank(value: Any, batched: bool) -> int:
    """How many axes the function sees."""
    return (value.ndim - batched) if hasattr(value, "ndim") else 0


def lifted(x: Any, one: Batch) -> Any:
    """``x`` with that vmap's batch axis, whatever transforms it belongs to."""
    at = x
    while isinstance(at, Value):
        if at.level == one.level:
            return x
        at = at.value
    zeros = Provided.namespace().zeros(one.size, dtype=x.dtype, device=x.device)
    return Provided.add(x, batch(zeros, one.level))


# ---- values that are looked at --------------------------------------------------------------------------------------------

def in_a_batch(x: Any) -> bool:
    """Whether there is a vmap's batch axis in a value."""
    while isinstance(x, Value):
        if x.__class__ is Provided.batch:
            return True
        x = x.value
    return False


def anywhere(flags: Any) -> bool:
    """Whether any element is true in any example: for checks of values, which are made of all examples at once."""
    array = raw(flags)
    return bool(backends.backend_of(array).xp.any(array)) if hasattr(array, "shape") else bool(array)


def agreed(x: Any, why: str) -> int:
    """The integer ``x``, which a shape depends on. In vmap all examples must have the same; otherwise the batch splits, or it is
    an error that says ``why``."""
    array = raw(x)
    if not in_a_batch(x):
        return int(array)
    host = backends.backend_of(array).to_numpy(array)
    if (host == host.flat[0]).all():
        return int(host.flat[0])
    try:
        return int(x)
    except VmapError:
        raise VmapError(f"vmap: {why}, and the examples differ in it; or use vmap(f, branching='group'), which runs the function "
                        "once for each length") from None


# ---- random numbers ------------------------------------------------------------------------------------------------------

class Drawn:
    """Where random numbers come from: a place in the random sequence, the numbers of examples it was reserved for (of each vmap
    in which the examples differ, from the outermost on), and which of these examples there still are (None: all)."""

    __slots__ = ("picks", "place", "sizes")

    def __init__(self, place: Any, sizes: tuple[int, ...], picks: tuple[Any, ...]) -> None:
        self.place, self.sizes, self.picks = place, sizes, picks

    @property
    def whole(self) -> bool:
        """Whether all examples are there that it was reserved for."""
        return all(p is None for p in self.picks)

    def chosen(self, array: Any) -> Any:
        """Of an array with all examples those that are there."""
        xp = backends.backend_of(array).xp
        for axis, pick in enumerate(self.picks):
            if pick is not None:
                array = xp.take(array, xp.asarray(pick), axis=axis)
        return array


def drawing(what: str, reserve: Callable[[tuple[int, ...]], Any], key: Any = None) -> tuple[Drawn, list[Batch]]:
    """Random numbers inside of vmap, from the place that ``reserve(sizes)`` gives for so many examples; and the vmaps, from the
    outermost on, in which every example has its own. Runs of ``branching="group"`` that are repeated with fewer examples get what
    these had. ``key``: what the numbers are for; draws of different keys are never the same."""
    batches = current().batches
    for one in batches:
        if one.randomness == "error":
            raise VmapError(f"vmap: {what} draws random numbers; say with vmap(f, randomness=...) whether they are 'different' "
                            "for each example or the 'same' for all")
    different = [one for one in batches if one.randomness == "different"]
    grouped = [one for one in batches if one.branches is not None]
    found, recording = None, []
    for one in reversed(grouped):
        found = one.branches.drawn_before(different.index(one) if one in different else None)
        if found is not None:
            break
        recording.append(one)
    sizes = tuple([one.size for one in different])
    for one in grouped:
        if found is None and one.randomness == "same":
            found = one.branches.shared((key, sizes))
    if found is None:
        found = Drawn(reserve(sizes), sizes, (None,) * len(sizes))
    for one in recording:
        one.branches.drew(found, (key, sizes))
    return found, different


# ---- rules -------------------------------------------------------------------------------------------------------------

def pointwise(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
    """Arguments that broadcast against each other."""
    most = max([rank(a, b) for a, b in zip(args, batched)])
    return op(*[aligned(a, b, most) for a, b in zip(args, batched)], **options)


def leading(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
    """Operations that take any number of axes in front of those they work on."""
    return op(*[everywhere(a, b, size) if hasattr(a, "shape") else a for a, b in zip(args, batched)], **options)


def along(*names: str) -> Callable[..., Any]:
    """Operations whose options ``names`` are axes (an integer, several, or None for all) of their arrays, which have equally
    many."""
    def rule(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
        arrays = [everywhere(a, b, size) if hasattr(a, "shape") else a for a, b in zip(args, batched)]
        ndim = max([a.ndim for a in arrays if hasattr(a, "ndim")]) - 1
        options = {**options, **{name: _shifted(options.get(name, op.options.get(name)), ndim) for name in names}}
        return op(*arrays, **options)
    return rule


def shaped(*names: str, axes: str = "", full: bool = True) -> Callable[..., Any]:
    """Operations of which the options ``names`` are shapes, and ``axes`` are axes of these."""
    def rule(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
        arrays = [everywhere(a, b, size) if hasattr(a, "shape") else a for a, b in zip(args, batched)]
        ndim = len(options[names[0]])
        changed = {name: (size, *options[name]) for name in names}
        changed.update({name: _shifted(options.get(name, op.options.get(name)), ndim) for name in axes.split()})
        return op(*arrays, **{**options, **changed})
    return rule


def _shifted(axis: Any, ndim: int) -> Any:
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, (tuple, list)):
        return tuple([a % ndim + 1 for a in axis])
    return axis % max(ndim, 1) + 1


def looped(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int) -> Any:
    """One by one: right for everything, and slow; ``tests/test_vmap.py`` lists who uses it."""
    stack = Provided.namespace().stack
    outs = [op(*[a[i] if b else a for a, b in zip(args, batched)], **options) for i in range(size)]
    if isinstance(outs[0], tuple):
        return tuple([stack(list(column)) for column in zip(*outs)])
    return stack(outs)


def data_dependent(op: Any, args: Args, batched: Sequence[bool], options: dict[str, Any], size: int, level: int) -> Any:
    """Operations whose result has a shape that depends on values. Where the batch may split it does so by these shapes."""
    import numpy as np
    branches = opened(level).branches
    if branches is None:
        raise VmapError(f"vmap: the shape of {op.name}'s result depends on the values, which differ along the batch; use where() "
                        "with a mask, vmap(f, branching='group'), or call it outside of vmap")
    stack = Provided.namespace().stack
    outs = [op(*[a[i] if b else a for a, b in zip(args, batched)], **options) for i in range(size)]
    several = isinstance(outs[0], tuple)
    branches.decide(np.asarray([[n for o in (out if several else (out,)) for n in o.shape] for out in outs], np.int64))
    return tuple([stack(list(column)) for column in zip(*outs)]) if several else stack(outs)


data_dependent.of_level = True   # type: ignore[attr-defined]
