"""Changes in place: a value the tape saved and that was changed since raises; views follow the tensor they look into.

Every change is numbered by the clock that numbers the nodes, so a saved value is stale exactly if its memory's last change
has the higher number. Nothing is paid for it while nothing changes: backward compares one integer per node.

Memory that NumPy arrays of the user's look into can change behind our back. It is known (``shared``), and what is saved of
it is saved with a digest.
"""
from __future__ import annotations

import weakref
from typing import Any

from tensorlite import backends
from tensorlite._site import Site, caller, describe
from tensorlite.engine.value import KIND, RAW, Provided, Value, extra_of, raw
from tensorlite.errors import GradError, InplaceError, ShapeError

_tick: Any = None   # the tape's clock; the tape imports this module
FOREVER = 1 << 62   # a number that no node and no change reaches
latest = 0   # the number of the last change, or of the last time memory was handed out


class _Memory:
    """What is known of one owner of memory."""

    __slots__ = ("changed", "changed_at", "changed_by", "digest", "owner", "shared", "shared_at")

    def __init__(self, owner: Any) -> None:
        key, memories, shared = id(owner), _memories, _shared   # bound here: at exit the module's names are gone first

        def forget(_: Any) -> None:
            memories.pop(key, None)
            shared.discard(key)
        self.owner = weakref.ref(owner, forget)
        self.changed, self.changed_by = 0, ""
        self.changed_at: Site | None = None
        self.shared = 0                 # when the memory was handed out, 0 if it was not
        self.shared_at: Site | None = None
        self.digest: Any = None         # of the memory as it was then


_memories: dict[int, _Memory] = {}
_shared: set[int] = set()   # the keys of memory that others can write to


def _memory(array: Any) -> _Memory | None:
    """The record of an array's memory, made if there is none; None where it cannot be watched."""
    owner = backends.backend_of(array).owner(array)
    found = _memories.get(id(owner))
    if found is None:
        try:
            found = _memories[id(owner)] = _Memory(owner)
        except TypeError:   # no weak references to this library's arrays
            return None
    return found


def wrote(arrays: list[Any], what: str) -> None:
    """Note that ``what`` changed these raw arrays in place, just now."""
    global latest
    from tensorlite.engine.tape import tick
    latest = tick()
    site = caller()
    for array in arrays:
        memory = _memory(array)
        if memory is not None:
            memory.changed, memory.changed_by, memory.changed_at = latest, what, site


def records(arrays: list[Any]) -> list[_Memory]:
    """What :func:`rewrote` takes; it stays right as long as these arrays live."""
    return [memory for array in arrays if (memory := _memory(array)) is not None]


def rewrote(memories: list[_Memory], what: str) -> None:
    """``wrote`` for one who changes the same arrays again and again (an optimizer): 0.1 us for each instead of 1."""
    global latest, _tick
    if _tick is None:
        from tensorlite.engine.tape import tick as _tick
    latest = number = _tick()
    site = caller()
    for memory in memories:
        memory.changed, memory.changed_by, memory.changed_at = number, what, site


def share(array: Any, *, digest: bool) -> None:
    """Note that code outside may write to this array's memory from now on. With ``digest``,
    nodes that saved it before are watched too."""
    global latest
    from tensorlite.engine.tape import tick
    if "watch" not in backends.backend_of(array).capabilities:
        return
    memory = _memory(array)
    if memory is None or memory.shared:   # what was saved since the first time has digests of its own
        return
    _shared.add(id(memory.owner()))
    memory.shared, memory.shared_at = tick(), caller()
    if digest:
        memory.digest = _digest(memory.owner())
        latest = memory.shared


def held(array: Any, known: int) -> bool:
    """Whether somebody besides the ``known`` references (the caller's variables and one tensor) holds the array's memory: a tape
    may have saved it."""
    return not backends.backend_of(array).exclusive(array, known + 1)   # and this function's


def _digest(array: Any) -> Any:
    """A checksum that depends on positions: sums of the bytes as 64-bit words over rows and over columns (one pass each,
    at memory speed)."""
    import numpy as np
    host = np.ascontiguousarray(backends.backend_of(array).to_numpy(array))
    flat = host.reshape(-1).view(np.uint8)
    if flat.size < 4096:
        return flat.tobytes()
    whole = flat.size // 2048 * 2048
    words = flat[:whole].view(np.uint64).reshape(-1, 256)
    return words.sum(axis=0).tobytes(), words.sum(axis=1).tobytes(), flat[whole:].tobytes()


def watch(node: Any, args: tuple[Any, ...], values: list[Any]) -> None:
    """Save digests with what the node saved of memory that others can write to."""
    watched = []
    for k, position in enumerate(node.plan.keep):
        if position < 0:
            continue
        array = raw(values[position])
        if KIND.get(type(array)) != RAW or "watch" not in backends.backend_of(array).capabilities:
            continue
        # an array handed straight to the operation is the user's, and so is memory that was shared
        given = position < len(args) and not isinstance(args[position], Value)
        if given or id(backends.backend_of(array).owner(array)) in _shared:
            watched.append((k, _digest(array)))
    if watched:
        node.watch = watched


def check(node: Any, saved: tuple[Any, ...]) -> None:
    """Raise ``InplaceError`` if something the node saved has been changed."""
    for k, position in enumerate(node.plan.keep):
        for array in saved[k] if isinstance(saved[k], tuple) else (saved[k],):
            array = raw(array)
            if KIND.get(type(array)) != RAW:
                continue
            memory = _memories.get(id(backends.backend_of(array).owner(array)))
            if memory is None:
                continue
            if memory.changed > node.number:
                _stale(node, position, f"changed in place by {memory.changed_by} at {describe(memory.changed_at)}")
            if memory.shared > node.number and memory.digest is not None and _digest(memory.owner()) != memory.digest:
                _stale(node, position, _from_outside(memory))
    for k, digest in node.watch or ():
        array = raw(saved[k])
        if _digest(array) != digest:
            _stale(node, node.plan.keep[k], _from_outside(_memories.get(id(backends.backend_of(array).owner(array)))))


def check_arrays(what: str, arrays: list[Any], number: int) -> None:
    """Raise ``InplaceError`` if one of these arrays was changed after ``number``."""
    for array in arrays:
        memory = _memories.get(id(backends.backend_of(array).owner(array)))
        if memory is not None and memory.changed > number:
            raise InplaceError(f"{what} needs a value as it was, but that was changed in place by {memory.changed_by} at "
                               f"{describe(memory.changed_at)}; change a copy (.clone()) instead, or linearize again")


def _from_outside(memory: _Memory | None) -> str:
    if memory is None or memory.shared_at is None:
        return "changed through the array itself, which was passed to the operation without a copy"
    return f"changed through a NumPy array (or another library's) that shares its memory since {describe(memory.shared_at)}"


def _stale(node: Any, position: int, how: str) -> None:
    what = "its result" if position < 0 else f"its argument {node.op.argument(position)}"
    raise InplaceError(f"backward of {node.op.name} needs {what} as it was saved at {describe(node.site)}, but that was {how}; "
                       "change a copy (.clone()) instead, or call backward before the change")


# ---- views -----------------------------------------------------------------------------------------------------------

def link(tensor: Any, op: Any, args: tuple[Any, ...], options: dict[str, Any], index: int | None = None) -> None:
    """Remember that ``tensor`` is ``op(args[0], ...)``, if that is a view into the memory of ``args[0]``."""
    parent = args[0]
    if not isinstance(parent, Value) or parent.level != tensor.level:
        return
    mine, its = raw(tensor), raw(parent)
    backend = backends.of_type(type(mine))
    if backend is None or backend.owner(mine) is not backend.owner(its):
        return
    extra = extra_of(tensor)
    extra.parent, extra.replay = parent, (op, args[1:], options, index)
    extra.cut = parent.tracked and not tensor.tracked
    above = parent.extra
    root = extra.root = parent if above is None or above.root is None else above.root
    views = extra_of(root).views
    if views is None:
        views = root.extra.views = []
    # at powers of two: the cost stays proportional to the live ones
    elif len(views) >= 16 and not len(views) & (len(views) - 1):
        views[:] = [v for v in views if v() is not None]
    views.append(weakref.ref(tensor))


def replayer(extra: Any) -> Any:
    """The function from a tensor like the parent to a view of it like the one this ``extra`` is of."""
    op, more, options, index = extra.replay

    def replay(of: Any) -> Any:
        out = op(of, *more, **options)
        return out if index is None else out[index]
    return replay


def guard(tensor: Any, what: str) -> None:
    """Refuse to change a leaf that requires a gradient while recording, or a view of one."""
    from tensorlite._state import current
    if tensor.level < current().record_from or (tensor.level and type(tensor) is not Provided.inner):
        return
    at = tensor
    while at is not None:
        if at.tracked and at.node is None:
            which = "" if at is tensor else "a view of "
            raise GradError(f"{what}: this is {which}a leaf tensor that requires a gradient, which would be lost by changing it "
                            "in place; do it under tensorlite.no_grad(), or work on a .clone()")
        at = at.extra.parent if at.extra is not None else None
    if tensor.extra is not None and tensor.extra.parent is not None:
        _attach(tensor)


def _attach(tensor: Any) -> None:
    """Give a view that was made under ``no_grad`` its place on the tape:
    what is written through it belongs to the tensor it looks into."""
    chain = []
    while tensor.extra is not None and tensor.extra.parent is not None:
        chain.append(tensor)
        tensor = tensor.extra.parent
    for view in reversed(chain):
        if view.extra.parent.tracked and not view.tracked:
            again = replayer(view.extra)(view.extra.parent)
            view.tracked, view.node, view.extra.cut = again.tracked, again.node, False


def outside(what: str) -> None:
    """Refuse to write a value of a transform into a tensor that the transform does not follow."""
    raise GradError(f"{what}: what is written belongs to a running transform (grad, jvp, vmap, ...), and the tensor it is "
                    "written into does not, so it would be lost; use stack, concat or where, or make that tensor with "
                    "x.new_zeros(shape) from one of the function's arguments")


def writable(tensor: Any, what: str) -> None:
    """Refuse to write where several elements share one place, or where the array was given read-only."""
    if not backends.backend_of(raw(tensor)).writable(raw(tensor)):
        raise InplaceError(f"{what}: the tensor's memory cannot be written: its elements share places (it was expanded or "
                           "broadcast), or it came from a read-only array; change a .clone() instead")


def _keep(new: Any, since: int, array: Any) -> None:
    """Give the nodes recorded after ``since`` copies of what they saved of the memory of ``array``,
    which is about to be written."""
    owner_of = backends.backend_of(array).owner
    owner = owner_of(array)
    todo, seen = [new.node] if new.node is not None else [], set()
    while todo:
        node = todo.pop()
        if node in seen or node.number <= since:
            continue
        seen.add(node)
        todo += [parent for parent in node.parents if not isinstance(parent, Value)]
        saved = node.saved
        for k in range(len(node.plan.keep)):
            if KIND.get(type(saved[k])) == RAW and owner_of(saved[k]) is owner:
                copied = backends.backend_of(array).asarray(saved[k], copy=True)
                node.saved = (*node.saved[:k], copied, *node.saved[k + 1:])


def become(tensor: Any, new: Any, what: str, *, written: bool = False, since: int | None = None) -> Any:
    """Make ``tensor`` hold ``new`` in the memory it has, with ``new``'s place on the tape; what shares that memory comes along.

    ``written``: the memory holds the new values already. ``since``: the clock before ``new`` was computed; what those
    operations saved of the tensor itself is copied, so that ``x.mul_(y)`` can be differentiated.
    """
    from tensorlite._state import current
    if tuple(new.shape) != tuple(tensor.shape):
        raise ShapeError(f"{what}: the result has shape {tuple(new.shape)}, which does not fit in place of {tuple(tensor.shape)}")
    below = isinstance(new, Value) and new.level == tensor.level   # else a constant for this level
    if isinstance(new, Value) and new.level > tensor.level:
        outside(what)
    recording = tensor.level >= current().record_from
    if tensor.level == 0:
        if not written:
            writable(tensor, what)
            if recording and since is not None and new.tracked:
                _keep(new, since, tensor.value)
            backends.backend_of(tensor.value).assign(tensor.value, Ellipsis, raw(new))
        wrote([tensor.value], what)
    else:
        tensor.take_place_of(new)
    if recording and (not tensor.level or type(tensor) is Provided.inner):
        tensor.tracked = below and new.tracked
        tensor.node = new.node if tensor.tracked else None
    if tensor.extra is not None and (recording or tensor.level):
        _propagate(tensor)
    return tensor


def _propagate(tensor: Any) -> None:
    """Give the tensors that look into the same memory their new places on the tape (and above level 0 their new values)."""
    moved = {id(tensor)}
    child = tensor
    while child.extra.parent is not None:   # up to the tensor that all look into
        parent = child.extra.parent
        moved.add(id(parent))
        if parent.tracked or child.tracked or parent.level:
            _rewrite(parent, child)
        child = parent
    for reference in list(child.extra.views or ()):   # and down again; parents come before their views
        view = reference()
        if view is None or id(view) in moved or (view.extra.cut and not view.level):
            continue
        parent = view.extra.parent
        if parent.tracked or view.tracked or view.level:
            again = replayer(view.extra)(parent)
            if view.level:
                view.take_place_of(again)
            if not view.level or type(view) is Provided.inner:
                view.tracked, view.node = again.tracked, again.node


def _rewrite(parent: Any, child: Any) -> None:
    """``parent`` with the part that ``child`` looks at replaced by it: its place on the tape;
    its values are there already at level 0."""
    replay = replayer(child.extra)
    if parent.level:
        whole = Provided.write_view(parent, child, replay=replay)
        parent.take_place_of(whole)
        if type(parent) is Provided.inner:
            parent.tracked, parent.node = whole.tracked, whole.node
        return
    from tensorlite.engine import tape
    mask = parent.tracked + 2 * child.tracked
    values = [parent.value, child.value]
    parent.node = tape.record(Provided.write_view, (parent, child), values, mask, parent.value, {"replay": replay}, False)
    parent.tracked = True
