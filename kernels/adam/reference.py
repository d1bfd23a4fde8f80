"""Adam and AdamW in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

from .._plans import ReferencePlan

__all__ = ["Adam", "adam"]


class Adam(ReferencePlan):
    """The plan that :func:`adam` returns."""

    def __call__(
        self, params: Sequence[Any], grads: Sequence[Any], *, lr: float, beta1: float = 0.9, beta2: float = 0.999,
        eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False,
        found_inf: Any = None, grad_scale: Any = None,
    ) -> None:
        numbers = float(beta1), float(beta2), float(eps), float(weight_decay)
        self.run(params, grads, lr, (*numbers, int(decoupled)), maximize, found_inf, grad_scale)

    def update(self, i: int, p: Any, g: Any, *options: Any) -> None:
        lr, beta1, beta2, eps, weight_decay, decoupled, factor = options
        xp, step = self.xp, int(self.steps[i]) + 1
        x, d, m, v, top = self.load(i, p, g)
        d = d if factor == 1.0 else factor * d
        if weight_decay and decoupled:
            x = x * (1.0 - lr * weight_decay)
        elif weight_decay:
            d = d + weight_decay * x
        m = m + (1.0 - beta1) * (d - m)
        v = beta2 * v + (1.0 - beta2) * d * d
        if top is not None:
            top = xp.maximum(top, v)
        root = xp.sqrt(v if top is None else top) / (1.0 - beta2**step) ** 0.5
        self.store(i, p, x - lr / (1.0 - beta1**step) * m / (root + eps), m, v, top)
        self.steps[i] += 1


def adam(
    xp: Any, exp_avgs: Sequence[Any], exp_avg_sqs: Sequence[Any], max_exp_avg_sqs: Sequence[Any] | None,
    steps: MutableSequence[int], masters: Sequence[Any] | None = None,
) -> Adam:
    r"""Make a plan for Adam or AdamW; ``plan(params, grads, *, lr, ...)`` then does a step in place.

    With ``m``, ``v`` the running means and ``t`` the parameter's step, counted from 1::

        g <- (-g if maximize) + weight_decay * p                          (decoupled: p <- p * (1 - lr*weight_decay) instead)
        m <- beta1*m + (1-beta1)*g,    v <- beta2*v + (1-beta2)*g^2
        p <- p - lr * m/(1-beta1^t) / (sqrt(v/(1-beta2^t)) + eps)         (AMSGrad: the largest v so far instead of v)

    Parameters
    ----------
    exp_avgs, exp_avg_sqs: ``m`` and ``v``, zeros at first, of the parameters' shapes and dtypes.
    max_exp_avg_sqs: the largest ``v`` so far, zeros at first; None for Adam without AMSGrad.
    steps: int64 NumPy array (n,), the steps of each parameter so far, counted up in place.
    masters: float32 masters of the 16-bit parameters (None where there is none), to which the update is done; None for none.
    params, grads: n arrays each; ``grads[i]`` may be None, which leaves parameter i and its state as they are. A parameter's
        array may be another one than last time; a plan whose state arrays are replaced must be made anew.
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize: as above, free to change from step to step.
    found_inf: nothing is changed where this number is not 0. grad_scale: gradients are divided by it first.

    Raises ``ValueError`` if numbers of arrays or shapes do not fit.
    Sources: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Reddi et al. 2018.
    """
    return Adam(xp, (exp_avgs, exp_avg_sqs, max_exp_avg_sqs), steps, masters)
