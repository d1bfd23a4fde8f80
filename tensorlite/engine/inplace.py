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
from tensorlite.engine.value import RAW, KIND, Provided, Value, extra_of, raw
from tensorlite.errors import GradError, InplaceError, ShapeError

latest = 0   # the number of the last change, or of the last time memory was handed out


class _Memory:
    """What is known of one owner of memory."""

    __slots__ = ("changed", "changed_at", "changed_by", "digest", "owner", "shared", "shared_at")

    def __init__(self, owner: Any) -> None:
        key = id(owner)
        self.owner = weakref.ref(owner, lambda _: _memories.pop(key, None) and _shared.discard(key))
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


def share(array: Any, *, digest: bool) -> None:
    """Note that code outside may write to this array's memory from now on. With ``digest``, nodes that saved it before are watched too."""
    global latest
    from tensorlite.engine.tape import tick
    memory = _memory(array)
    if memory is None:
        return
    _shared.add(id(memory.owner()))
    if not memory.shared or digest:
        memory.shared, memory.shared_at = tick(), caller()
        memory.digest = _digest(memory.owner()) if digest else None
        latest = memory.shared


def held(array: Any) -> bool:
    """Whether somebody besides one tensor holds the array's memory: a tape may have saved it."""
    import sys
    owner = backends.backend_of(array).owner(array)
    return owner is not array or sys.getrefcount(array) > 5


def _digest(array: Any) -> Any:
    """A checksum that depends on positions: sums of the bytes as 64-bit words over rows and over columns (one pass each, at memory speed)."""
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
        if KIND.get(type(array)) != RAW:
            continue
        if not isinstance(args[position], Value):   # an array handed straight to the operation
            share(array, digest=False)
        if id(backends.backend_of(array).owner(array)) in _shared:
            watched.append((k, _digest(array)))
    if watched:
        node.watch = watched


def shared_memory() -> bool:
    """Whether there is any memory that others can write to."""
    return bool(_shared)


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
                _stale(node, position, _outside(memory))
    for k, digest in node.watch or ():
        array = raw(saved[k])
        if _digest(array) != digest:
            memory = _memory(array)
            if memory is not None:
                _stale(node, node.plan.keep[k], _outside(memory))


def _outside(memory: _Memory) -> str:
    return ("changed through a NumPy array (or another library's) that shares its memory since "
            f"{describe(memory.shared_at)}")


def _stale(node: Any, position: int, how: str) -> None:
    what = "its result" if position < 0 else f"its argument {node.op.argument(position)}"
    raise InplaceError(f"backward of {node.op.name} needs {what} as it was saved at {describe(node.site)}, but that was {how}; "
                       "change a copy (.clone()) instead, or call backward before the change")


# ---- views -----------------------------------------------------------------------------------------------------------

def link(tensor: Any, op: Any, args: tuple[Any, ...], options: dict[str, Any], index: int | None = None) -> None:
    """Remember that ``tensor`` is ``op(args[0], ...)``, a view into the memory of ``args[0]``."""
    parent = args[0]
    if not isinstance(parent, Value):
        return
    if tensor.level == 0:
        backend = backends.of_type(type(tensor.value))
        if backend is None or backend.owner(tensor.value) is not backend.owner(parent.value):
            return

    def replay(of: Any) -> Any:
        out = op(of, *args[1:], **options)
        return out if index is None else out[index]

    extra = extra_of(tensor)
    extra.parent, extra.replay = parent, replay
    root = parent
    while root.extra is not None and root.extra.parent is not None:
        root = root.extra.parent
    views = extra_of(root).views
    if views is None:
        views = root.extra.views = []
    elif len(views) >= 16 and not len(views) & (len(views) - 1):   # at powers of two: the cost stays proportional to the live ones
        views[:] = [v for v in views if v() is not None]
    views.append(weakref.ref(tensor))


def guard(tensor: Any, what: str) -> None:
    """Refuse to change a leaf that requires a gradient while recording, or a view of one."""
    from tensorlite._state import current
    if tensor.level < current().record_from:
        return
    at: Any = tensor
    while at is not None:
        if at.tracked and at.node is None:
            which = "a leaf tensor that requires a gradient" if at is tensor else "a view of a leaf tensor that requires a gradient"
            raise GradError(f"{what}: this is {which}, whose gradient would be lost by changing it in place; "
                            "do it under tensorlite.no_grad(), or work on a .clone()")
        at = at.extra.parent if at.extra is not None else None


def become(tensor: Any, new: Any, what: str, *, written: bool = False) -> Any:
    """Make ``tensor`` hold ``new`` in the memory it has, with ``new``'s place on the tape, and bring along whatever shares that memory.

    ``written``: the memory holds the new values already.
    """
    if tuple(new.shape) != tuple(tensor.shape):
        raise ShapeError(f"{what}: the result has shape {tuple(new.shape)}, which does not fit in place of {tuple(tensor.shape)}")
    if tensor.level == 0:
        if not written:
            backends.backend_of(tensor.value).assign(tensor.value, Ellipsis, new.value if isinstance(new, Value) else new)
        wrote([tensor.value], what)
    else:
        tensor.value = new.value if isinstance(new, Value) and new.level == tensor.level else new
    from tensorlite._state import current
    if tensor.level < current().record_from:
        return tensor
    tensor.tracked = isinstance(new, Value) and new.level == tensor.level and new.tracked
    tensor.node = new.node if tensor.tracked else None
    extra = tensor.extra
    if extra is None or (extra.parent is None and not extra.views):
        return tensor
    moved = {id(tensor)}
    child = tensor
    while child.extra is not None and child.extra.parent is not None:   # up to the tensor that all look into
        parent = child.extra.parent
        moved.add(id(parent))
        if parent.tracked or child.tracked or parent.level:
            whole = Provided.write_view(parent, child, replay=child.extra.replay)
            if parent.level:
                parent.value = whole.value
            parent.tracked, parent.node = whole.tracked, whole.node
        child = parent
    for reference in list(child.extra.views or ()):   # and down again; parents come before their views
        view = reference()
        if view is None or id(view) in moved:
            continue
        parent = view.extra.parent
        if parent.tracked or view.tracked or view.level:
            again = view.extra.replay(parent)
            if view.level:
                view.value = again.value
            view.tracked, view.node = again.tracked, again.node
    return tensor
