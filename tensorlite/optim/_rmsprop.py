"""RMSprop."""
from __future__ import annotations

from typing import Any

from tensorlite.engine.value import raw
from tensorlite.optim._optimizer import Group, Optimizer


class RMSprop(Optimizer):
    """p <- p - lr g / (sqrt(v) + eps), with v the running mean of g^2 (Hinton 2012, lecture 6e).

    ``centered``: v less the square of g's running mean (Graves 2013). ``momentum``: the update is summed up as in SGD.
    """

    kernel = "rmsprop"
    kinds = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(self, params: Any, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
                 momentum: float = 0.0, centered: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 master_weights: bool = True) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
                                  "centered": centered, "maximize": maximize, "master_weights": master_weights})

    def check(self, group: Group) -> None:
        self._require(group, lr=(group["lr"] >= 0, "a number >= 0"), eps=(group["eps"] >= 0, "a number >= 0"),
                      alpha=(group["alpha"] >= 0, "a number >= 0"), momentum=(group["momentum"] >= 0, "a number >= 0"),
                      weight_decay=(group["weight_decay"] >= 0, "a number >= 0"))

    def kept(self, group: Group) -> tuple[str | None, ...]:
        square, mean, buffer = self.kinds
        return square, mean if group["centered"] else None, buffer if group["momentum"] else None

    def run(self, plan: Any, params: list[Any], grads: list[Any], group: Group) -> None:
        plan(params, grads, lr=raw(group["lr"]), alpha=group["alpha"], eps=group["eps"], momentum=group["momentum"],
             weight_decay=group["weight_decay"], maximize=group["maximize"])
