"""Stochastic gradient descent in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

from .._plans import ReferencePlan

__all__ = ["SGD", "sgd"]


class SGD(ReferencePlan):
    """The plan that :func:`sgd` returns."""

    def __call__(
        self, params: Sequence[Any], grads: Sequence[Any], *, lr: float, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, maximize: bool = False,
        found_inf: Any = None, grad_scale: Any = None,
    ) -> None:
        if momentum and self.states[0] is None:
            raise ValueError(f"SGD: momentum is {momentum}, but the plan was prepared without momentum_buffers")
        numbers = float(momentum), float(dampening), float(weight_decay)
        self.run(params, grads, lr, (*numbers, int(nesterov)), maximize, found_inf, grad_scale)

    def update(self, i: int, p: Any, g: Any, *options: Any) -> None:
        lr, momentum, dampening, weight_decay, nesterov, factor = options
        x, d, buffer = self.load(i, p, g)
        d = d if factor == 1.0 else factor * d
        if weight_decay:
            d = d + weight_decay * x
        if momentum:
            buffer = d if self.steps[i] == 0 else momentum * buffer + (1.0 - dampening) * d
            d = d + momentum * buffer if nesterov else buffer
        self.store(i, p, x - lr * d, buffer)
        self.steps[i] += 1


def sgd(
    xp: Any, momentum_buffers: Sequence[Any] | None, steps: MutableSequence[int], masters: Sequence[Any] | None = None,
) -> SGD:
    r"""Make a plan for gradient descent; ``plan(params, grads, *, lr, ...)`` then does a step in place.

    With ``g`` the gradient, ``u`` the momentum, ``d`` the dampening, ``b`` the momentum buffer::

        g <- (-g if maximize) + weight_decay * p
        b <- g at a parameter's first step, later u*b + (1-d)*g          (if u is not 0)
        p <- p - lr * (g + u*b if nesterov else b if u else g)

    Parameters
    ----------
    momentum_buffers: arrays of the parameters' shapes and dtypes, or None if momentum is always 0.
    steps: int64 NumPy array (n,), the steps of each parameter so far, counted up in place; 0 where the buffer is unset.
    masters: float32 masters of the 16-bit parameters (None where there is none), to which the update is done; None for none.
    params, grads: n arrays each; ``grads[i]`` may be None, which leaves parameter i and its state as they are. A parameter's
        array may be another one than last time; a plan whose state arrays are replaced must be made anew.
    lr, momentum, dampening, weight_decay, nesterov, maximize: as above, free to change from step to step.
    found_inf: nothing is changed where this number is not 0. grad_scale: gradients are divided by it first.

    Raises ``ValueError`` if numbers of arrays or shapes do not fit. Source: Sutskever et al. 2013.
    """
    return SGD(xp, (momentum_buffers,), steps, masters)
