"""Stochastic gradient descent."""
from __future__ import annotations

from typing import Any

from tensorlite.engine.value import raw
from tensorlite.optim._optimizer import Group, Optimizer


class SGD(Optimizer):
    """p <- p - lr b, with b <- momentum b + (1 - dampening) (g + weight_decay p); g + momentum b instead of b with ``nesterov``.

    At a parameter's first step b is g (Sutskever et al. 2013). ``fused`` and ``foreach`` are accepted: every step is one fused
    pass.

    >>> import tensorlite as tl
    >>> w = tl.tensor([1.0], requires_grad=True)
    >>> optimizer = tl.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w
    tensor([0.8], requires_grad=True)
    """

    kernel = "sgd"
    kinds = ("momentum_buffer",)
    step_in_state = False

    def __init__(self, params: Any, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
                 nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 fused: bool | None = None, master_weights: bool = True) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize, "master_weights": master_weights})

    def check(self, group: Group) -> None:
        self._require(group, lr=(group["lr"] >= 0, "a number >= 0"), momentum=(group["momentum"] >= 0, "a number >= 0"),
                      weight_decay=(group["weight_decay"] >= 0, "a number >= 0"),
                      nesterov=(not group["nesterov"] or (group["momentum"] > 0 and group["dampening"] == 0),
                                "False, unless momentum > 0 and dampening = 0"))

    def kept(self, group: Group) -> tuple[str | None, ...]:
        return self.kinds if group["momentum"] else (None,)

    def run(self, plan: Any, params: list[Any], grads: list[Any], group: Group) -> None:
        plan(params, grads, lr=raw(group["lr"]), momentum=group["momentum"], dampening=group["dampening"],
             weight_decay=group["weight_decay"],
             nesterov=group["nesterov"], maximize=group["maximize"])
