"""``vmap(branching="group")``: a batch splits along the paths that its examples take through the function.

The function runs with all examples. Where it asks for the value of something that differs among them (``if``, ``while``,
``int()``, ``.item()``), the run is given up and one run for each answer takes its place; in it the questions asked so far are
answered as before, what was drawn at random so far is had again, and only the examples that gave those answers are there. So no
example is ever computed along a path that it does not take. For p paths there are at most 2 p - 1 runs.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.engine.batching import Drawn, everywhere
from tensorlite.errors import VmapError


class Split(BaseException):
    """Ends a run whose examples do not agree. (No ``Exception``: the function's own handlers are not to catch it.)"""

    def __init__(self, owner: Branches, groups: list[Any]) -> None:
        super().__init__("a batch splits")
        self.owner, self.groups = owner, groups


class Branches:
    """One run: the numbers of its examples, and what happened so far, the questions' answers and the random draws."""

    def __init__(self, examples: Any, events: list[Any], same: dict[Any, Drawn]) -> None:
        self.examples, self.events, self.same = examples, events, same
        self.position = self.draws = 0

    def _again(self, kind: type) -> Any:
        """What happened here in the run that this one repeats; None beyond its end."""
        if self.position == len(self.events):
            return None
        event = self.events[self.position]
        if event.__class__ is not kind:
            raise VmapError("vmap: with branching='group' a function is run several times, and this one did not do the same "
                            "again; is there a random number in it that is not tensorlite's, or does it change something outside "
                            "of it?")
        self.position += 1
        return event

    def _happened(self, event: Any) -> None:
        self.events.append(event)
        self.position += 1

    def decide(self, values: Any) -> Any:
        """The answer all examples of this run give, a NumPy array or scalar: ``values[i]`` is that of example i."""
        before = self._again(_Answer)
        if before is not None:
            return before.value.copy()
        groups = _groups(np.asarray(values))
        if len(groups) > 1:
            raise Split(self, groups)
        answer = np.asarray(values)[0]
        self._happened(_Answer(answer.copy()))
        return answer.copy()

    def drew(self, drawn: Drawn, key: Any) -> None:
        """Note a draw that was made for this run's examples."""
        self._happened(_Draw(drawn, self.examples))
        self.same.setdefault((self.draws, key), drawn)
        self.draws += 1

    def drawn_before(self, axis: int | None) -> Drawn | None:
        """What the run that this one repeats drew here; these examples' part of it is along ``axis`` (None: the same for all)."""
        before = self._again(_Draw)
        if before is None:
            return None
        self.draws += 1
        drawn: Drawn = before.drawn
        if axis is None or len(before.examples) == len(self.examples):
            return drawn
        rows = np.searchsorted(before.examples, self.examples)
        picks = list(drawn.picks)
        picks[axis] = rows if picks[axis] is None else picks[axis][rows]
        return Drawn(drawn.place, drawn.sizes, tuple(picks))

    def shared(self, key: Any) -> Drawn | None:
        """Where all examples draw the same: what another run drew as its draw of this number, for the same thing."""
        return self.same.get((self.draws, key))


class _Answer:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Draw:
    __slots__ = ("drawn", "examples")

    def __init__(self, drawn: Drawn, examples: Any) -> None:
        self.drawn, self.examples = drawn, examples


def _groups(values: Any) -> list[Any]:
    """The positions of the values that are alike, bit for bit (so nan is like itself)."""
    if not values[0].size:
        return [np.arange(len(values))]
    rows = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
    if (rows == rows[0]).all():
        return [np.arange(len(values))]
    alike = rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)   # one sortable item a row
    _, which = np.unique(alike, return_inverse=True)
    order = np.argsort(which, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(which[order])) + 1)


def grouped(run: Callable[..., Any], part: Callable[[Any], Any], size: int) -> Any:
    """``run`` over all paths, with the results in the order of the examples."""
    from tensorlite.ops.indexing import take
    from tensorlite.ops.manipulation import concat

    todo: list[tuple[Any, list[Any]]] = [(np.arange(size), [])]
    done: list[tuple[Any, list[Any], Any, str]] = []
    same: dict[Any, Drawn] = {}
    while todo:
        examples, events = todo.pop()
        branches = Branches(examples, events, same)
        try:
            if len(examples) == size:
                found = run(part, size, branches)
            else:
                found = run(lambda x, i=examples: take(part(x), i, axis=0), len(examples), branches)
        except Split as split:
            if split.owner is not branches:
                raise
            todo += [(examples[group], list(branches.events)) for group in reversed(split.groups)]
            continue
        done.append((examples, *found))
    if len(done) == 1:
        return done[0][1:]
    built = {how for *_, how in done}
    if len(built) > 1:
        raise VmapError("vmap: the function returns differently built results along different paths: "
                        f"{', '.join(sorted(built))}; they must be built alike")
    order = np.argsort(np.concatenate([examples for examples, *_ in done]), kind="stable")
    merged = []
    for k in range(len(done[0][1])):
        parts = [everywhere(outs[k][0], outs[k][1], len(examples)) for examples, outs, *_ in done]
        shapes = {tuple(p.shape)[1:] for p in parts}
        if len(shapes) > 1:
            raise VmapError(f"vmap: result {k} has different shapes along different paths: "
                            f"{', '.join(map(str, sorted(shapes)))}; they must be the same")
        merged.append((take(concat(parts), order, axis=0), True))
    return (merged, *done[0][2:])
