"""``vmap(branching="group")``: a batch splits along the paths that its examples take through the function.

The function runs with all examples. Where it asks for the value of something that differs among them (``if``, ``while``, ``int()``,
``.item()``), the run is given up and one run for each answer takes its place; in it the questions asked so far are answered as
before, and only the examples that gave those answers are there. So no example is ever computed along a path that it does not take.
For p paths there are at most 2 p - 1 runs.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.errors import VmapError


class Split(BaseException):
    """Ends a run whose examples do not agree. (No ``Exception``: the function's own handlers are not to catch it.)"""

    def __init__(self, owner: Branches, groups: list[Any]) -> None:
        super().__init__("a batch splits")
        self.owner, self.groups = owner, groups


class Branches:
    """The questions of one run and their answers."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self.answers, self.asked = list(answers), 0

    def decide(self, values: Any) -> Any:
        """The answer all examples of this run give, a NumPy array or scalar: ``values[i]`` is that of example i."""
        if self.asked < len(self.answers):
            self.asked += 1
            return self.answers[self.asked - 1]
        flat = np.ascontiguousarray(values).reshape(len(values), -1)
        rows, which = np.unique(flat.view(np.uint8).reshape(len(values), -1) if flat.size else np.zeros((len(values), 1), np.uint8),
                                axis=0, return_inverse=True)
        which = which.reshape(-1)
        if len(rows) > 1:
            raise Split(self, [np.flatnonzero(which == k) for k in range(len(rows))])
        self.asked += 1
        self.answers.append(values[0])
        return values[0]


def grouped(run: Callable[..., Any], part: Callable[[Any], Any], size: int) -> Any:
    """``run`` over all paths, with the results in the order of the examples."""
    from tensorlite.ops.indexing import take
    from tensorlite.ops.manipulation import concat, stack

    todo: list[tuple[Any, tuple[Any, ...]]] = [(np.arange(size), ())]
    done: list[tuple[Any, list[Any], Any]] = []
    while todo:
        indices, answers = todo.pop()
        branches = Branches(answers)
        try:
            if len(indices) == size:
                outs, rebuild = run(part, size, branches)
            else:
                outs, rebuild = run(lambda x, i=indices: take(part(x), i, axis=0), len(indices), branches)
        except Split as split:
            if split.owner is not branches:
                raise
            todo += [(indices[group], tuple(branches.answers)) for group in reversed(split.groups)]
            continue
        done.append((indices, outs, rebuild))
    if len(done) == 1:
        return done[0][1], done[0][2]
    order = np.argsort(np.concatenate([indices for indices, _, _ in done]), kind="stable")
    counts = {len(outs) for _, outs, _ in done}
    if len(counts) > 1:
        raise VmapError("vmap: the function returns differently built results along different paths; they must be built alike")
    merged = []
    for k in range(counts.pop()):
        parts = [o if batched else stack([o] * len(indices)) for indices, outs, _ in done for o, batched in [outs[k]]]
        shapes = {tuple(p.shape)[1:] for p in parts}
        if len(shapes) > 1:
            raise VmapError(f"vmap: result {k} has different shapes along different paths: {', '.join(map(str, sorted(shapes)))}")
        merged.append((take(concat(parts), order, axis=0), True))
    return merged, done[0][2]
