"""Levels: each running transform opens one, and the values it follows belong to it.

Their numbers only grow, so an inner transform's values are above an outer one's, and a value that outlives its transform is known
for what it is.
"""
from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from types import TracebackType
from typing import Any

from tensorlite import backends
from tensorlite._state import _current, current
from tensorlite.engine import tape
from tensorlite.engine.value import KIND, RAW, Provided, Value, new, raw, wrap
from tensorlite.errors import DTypeError, LeakError

__all__ = ["OPEN", "Level", "ReverseLevel", "bare", "below", "check_open", "held", "leaf", "owned", "pull"]

OPEN: set[int] = set()
_number = count(1).__next__


class Level:
    """A context manager that opens a level and gives its number."""

    __slots__ = ("_before", "number")

    def __init__(self) -> None:
        self.number = _number()
        self._before: Any = None

    def changes(self) -> dict[str, Any]:
        """What is different in the state while the level is open."""
        return {}

    def __enter__(self) -> int:
        OPEN.add(self.number)
        changes = self.changes()
        if changes:
            self._before = _current.set(current().with_(**changes))
        return self.number

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            _current.reset(self._before)
        OPEN.discard(self.number)


class ReverseLevel(Level):
    """A level that records a tape, also where ``no_grad`` stops those below."""

    __slots__ = ()

    def changes(self) -> dict[str, Any]:
        return {"record_from": self.number} if current().record_from > self.number else {}


def check_open(level: int, what: str) -> None:
    """Refuse a value whose transform has ended."""
    if level not in OPEN:
        raise LeakError(f"{what}: an argument belongs to a transform (grad, jvp, vmap, ...) that has ended; it was kept by a "
                        "side effect of the function, such as appending to a list or setting an attribute: return it from the "
                        "function instead (has_aux=True), or keep .detach() of it")


def leaf(x: Any, level: int, what: str) -> Any:
    """An input as a tracked value of a reverse level."""
    value = x if isinstance(x, Value) else Provided.asarray(x)
    if not Provided.is_differentiable(value.dtype):
        raise DTypeError(f"{what}: an input of dtype {value.dtype} cannot be differentiated; expected a floating type: "
                         "convert it with .to(tl.float32)")
    out = wrap(bare(value), level)
    out.tracked = True
    return out


def bare(x: Any) -> Any:
    """A constant of level 0 as its array: what needs no tensor is done fastest without."""
    return x.value if x.__class__ is Provided.tensor and not x.tracked else x


def held(x: Any) -> Any:
    """The opposite: an array (or a library's scalar, which a rule may have made of one) as a tensor."""
    return x if isinstance(x, Value) else new(x) if KIND.get(x.__class__) is RAW else Provided.asarray(x)


def below(x: Any, level: int) -> Any:
    """A result as the level below knows it, a tensor."""
    return held(x.value) if isinstance(x, Value) and x.level == level else x


def owned(found: list[Any], given: Iterable[Any] = ()) -> list[Any]:
    """``found``, which is emptied, as tensors; copies of what is held elsewhere too, by ``given`` or twice, so that changing one
    in place changes nothing else."""
    seen, out = {id(x) for x in given}, []
    while found:
        x = bare(found.pop())
        if KIND.get(x.__class__) is not RAW and not isinstance(x, Value):   # a library's scalar
            x = Provided.asarray(x).value
        if isinstance(x, Value):
            out.append(Provided.add(x, 0) if id(x) in seen else x)
            seen.add(id(x))
        else:
            backend = backends.backend_of(x)
            out.append(new(x if backend.exclusive(x, 1) else backend.asarray(x, copy=True)))
    return out[::-1]


def pull(outs: list[Any], cotangents: list[Any], leaves: list[Any], level: int, *, again: bool = True) -> list[Any]:
    """The cotangents of the leaves; zeros where the outputs do not depend on one. Unless ``again``, what was saved is freed."""
    roots = [(out.node or out, bare(g)) for out, g in zip(outs, cotangents)
             if isinstance(out, Value) and out.level == level and out.tracked and g is not None]
    found: dict[Any, Any] = {}
    if roots:
        with backends.backend_of(raw(roots[0][1])).quiet():
            found = tape.run(roots, level, retain_graph=again)
    return [found[x] if x in found else Provided.zeros_like(x.value) for x in leaves]
