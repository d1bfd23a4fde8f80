"""RMSprop in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

from .._plans import ReferencePlan

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(ReferencePlan):
    """The plan that :func:`rmsprop` returns."""

    def __call__(
        self, params: Sequence[Any], grads: Sequence[Any], *, lr: float, alpha: float = 0.99, eps: float = 1e-8,
        momentum: float = 0.0, weight_decay: float = 0.0, maximize: bool = False,
        found_inf: Any = None, grad_scale: Any = None,
    ) -> None:
        if momentum and self.states[2] is None:
            raise ValueError(f"RMSprop: momentum is {momentum}, but the plan was prepared without momentum_buffers")
        numbers = float(alpha), float(eps), float(momentum), float(weight_decay)
        self.run(params, grads, lr, numbers, maximize, found_inf, grad_scale)

    def update(self, i: int, p: Any, g: Any, *options: Any) -> None:
        lr, alpha, eps, momentum, weight_decay, factor = options
        x, d, v, mean, buffer = self.load(i, p, g)
        d = d if factor == 1.0 else factor * d
        if weight_decay:
            d = d + weight_decay * x
        v = alpha * v + (1.0 - alpha) * d * d
        if mean is not None:
            mean = mean + (1.0 - alpha) * (d - mean)
        d = d / (self.xp.sqrt(v if mean is None else v - mean * mean) + eps)
        if momentum:
            d = buffer = momentum * buffer + d
        self.store(i, p, x - lr * d, v, mean, buffer)
        self.steps[i] += 1


def rmsprop(
    xp: Any, square_avgs: Sequence[Any], grad_avgs: Sequence[Any] | None, momentum_buffers: Sequence[Any] | None,
    steps: MutableSequence[int], masters: Sequence[Any] | None = None,
) -> RMSprop:
    r"""Make a plan for RMSprop; ``plan(params, grads, *, lr, ...)`` then does a step in place.

    With ``v`` the running mean square, ``a`` the running mean (centered only), ``b`` the buffer, ``u`` the momentum::

        g <- (-g if maximize) + weight_decay * p
        v <- alpha*v + (1-alpha)*g^2,    a <- alpha*a + (1-alpha)*g
        d <- g / (sqrt(v - a^2) + eps)                                    (not centered: a = 0)
        b <- u*b + d,    p <- p - lr * (b if u else d)

    Parameters
    ----------
    square_avgs: ``v``, zeros at first, of the parameters' shapes and dtypes.
    grad_avgs: ``a``, zeros at first, or None if not centered. momentum_buffers: ``b``, zeros at first, or None.
    steps: int64 NumPy array (n,), the steps of each parameter so far, counted up in place.
    masters: float32 masters of the 16-bit parameters (None where there is none), to which the update is done; None for none.
    params, grads: n arrays each; ``grads[i]`` may be None, which leaves parameter i and its state as they are. A parameter's
        array may be another one than last time; a plan whose state arrays are replaced must be made anew.
    lr, alpha, eps, momentum, weight_decay, maximize: as above, free to change from step to step.
    found_inf: nothing is changed where this number is not 0. grad_scale: gradients are divided by it first.

    Raises ``ValueError`` if numbers of arrays or shapes do not fit. Sources: Hinton 2012, lecture 6e; Graves 2013 (centered).
    """
    return RMSprop(xp, (square_avgs, grad_avgs, momentum_buffers), steps, masters)
