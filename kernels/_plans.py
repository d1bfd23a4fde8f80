"""What the optimizer kernels share: a plan is made once for the state arrays and then called at every step."""
from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

import numpy as np

from . import Cost
from ._half import is_half

__all__ = ["ReferencePlan", "step_cost"]


class ReferencePlan:
    """Updates lists of arrays in place, one array after the other, in plain array code.

    Parameters
    ----------
    xp: the array namespace.
    states: for each kind of state the arrays, one a parameter and of its shape, or None where that kind is not kept.
    steps: how often each parameter has been updated (host integers; int64 NumPy for the CPU version), counted up in place.
    masters: for each 16-bit parameter its float32 master, or None where it has none. The update is done on the master and
        rounded into the parameter; where a parameter is not its master rounded, somebody has written to it, and it counts.
    """

    def __init__(self, xp: Any, states: tuple[Sequence[Any] | None, ...], steps: MutableSequence[int],
                 masters: Sequence[Any] | None = None) -> None:
        self.xp, self.steps, self.n = xp, steps, len(steps)
        for kind in (*states, masters):
            if kind is not None and len(kind) != self.n:
                raise ValueError(f"{type(self).__name__}: {len(kind)} state arrays of one kind for {self.n} step counts")
        self.states = tuple(None if kind is None else [*kind] for kind in states)
        self.masters = [None] * self.n if masters is None else [*masters]

    def counts(self) -> Any:
        """How often each parameter has been updated, as a NumPy array; waits for the device where they are counted there."""
        return np.asarray(self.steps)

    def run(
        self, params: Sequence[Any], grads: Sequence[Any], lr: Any, options: tuple[Any, ...], maximize: bool, found_inf: Any,
        grad_scale: Any,
    ) -> None:
        """One step, with the gradients divided by ``grad_scale``; none if ``found_inf`` says that they overflowed."""
        if found_inf is not None and float(found_inf):
            return
        factor = -1.0 if maximize else 1.0
        if grad_scale is not None:
            factor *= float(np.float32(1.0 / float(grad_scale)))
        self.apply(params, grads, (float(lr), *options, factor))

    def check(self, params: Sequence[Any], grads: Sequence[Any]) -> None:
        """Raise ``ValueError`` where numbers of arrays or shapes do not fit, before anything is changed."""
        if not len(params) == len(grads) == self.n:
            raise ValueError(
                f"{type(self).__name__}: {len(params)} parameters and {len(grads)} gradients, expected {self.n} of each; "
                "prepare a new plan when the parameters change in number"
            )
        for i, (p, g) in enumerate(zip(params, grads)):
            if g is not None and tuple(p.shape) != tuple(g.shape):
                raise ValueError(
                    f"{type(self).__name__}: gradient {i} has shape {tuple(g.shape)}, expected its parameter's, {tuple(p.shape)}"
                )

    def apply(self, params: Sequence[Any], grads: Sequence[Any], options: tuple[Any, ...]) -> None:
        self.check(params, grads)
        for i, (p, g) in enumerate(zip(params, grads)):
            if g is not None:
                self.update(i, p, g, *options)

    def update(self, i: int, p: Any, g: Any, *options: Any) -> None:
        raise NotImplementedError

    def load(self, i: int, p: Any, g: Any) -> tuple[Any, ...]:
        """Parameter, gradient and states as values to compute with: float32 for float16, else the parameter's dtype."""
        dtype, master = self.xp.float32 if is_half(p) else p.dtype, self.masters[i]
        x, *rest = [None if a is None else self.xp.astype(a, dtype) for a in (p, g, *(s and s[i] for s in self.states))]
        if master is not None:
            x = self.xp.where(self.xp.astype(master, p.dtype) == p, master, x)
        return (x, *rest)

    def store(self, i: int, p: Any, *values: Any) -> None:
        """Write the new parameter and states into their arrays."""
        for array, value in zip((p, *(s and s[i] for s in self.states), self.masters[i]), (*values, values[0])):
            if array is not None:
                array[...] = self.xp.astype(value, array.dtype)


def step_cost(states: tuple[Sequence[Any] | None, ...], params: Sequence[Any], flops: int, masters: Any = None) -> Cost:
    """One step: parameters, states and masters read and written, gradients read; ``flops`` operations an element."""
    kept = sum(s is not None for s in states)
    moved = 0
    for i, p in enumerate(params):
        wide = masters is not None and masters[i] is not None
        moved += p.size * (3 * p.dtype.itemsize + (8 + 8 * kept if wide else 2 * kept * p.dtype.itemsize))
    return Cost(moved, flops * sum(p.size for p in params))
