"""What the optimizer kernels share: a plan is made once for the state arrays and then called at every step."""
from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

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
    """

    def __init__(self, xp: Any, states: tuple[Sequence[Any] | None, ...], steps: MutableSequence[int]) -> None:
        self.xp, self.steps, self.n = xp, steps, len(steps)
        for kind in states:
            if kind is not None and len(kind) != self.n:
                raise ValueError(f"{type(self).__name__}: {len(kind)} state arrays of one kind for {self.n} step counts")
        self.states = tuple(None if kind is None else [*kind] for kind in states)

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
        dtype = self.xp.float32 if is_half(p) else p.dtype
        cast = [None if a is None else self.xp.astype(a, dtype) for a in (p, g, *(s and s[i] for s in self.states))]
        return tuple(cast)

    def store(self, i: int, p: Any, *values: Any) -> None:
        """Write the new parameter and states into their arrays."""
        for array, value in zip((p, *(s and s[i] for s in self.states)), values):
            if array is not None:
                array[...] = self.xp.astype(value, array.dtype)


def step_cost(states: tuple[Sequence[Any] | None, ...], params: Sequence[Any], flops: int) -> Cost:
    """One step: parameters and states read and written, gradients read; ``flops`` operations an element."""
    kept = sum(s is not None for s in states)
    moved = sum(p.size * p.dtype.itemsize for p in params) * (3 + 2 * kept)
    return Cost(moved, flops * sum(p.size for p in params))
