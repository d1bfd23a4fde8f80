"""Adam, with weight decay as a part of the gradient or apart from it."""
from __future__ import annotations

from typing import Any

from tensorlite.engine.value import raw
from tensorlite.optim._optimizer import Group, Optimizer


class Adam(Optimizer):
    """p <- p - lr m' / (sqrt(v') + eps), with m and v the running means of g and g^2 and ' their correction for starting at zero.

    Weight decay is added to the gradient. ``amsgrad``: the largest v so far instead of v. Sources: Kingma and Ba 2015,
    algorithm 1; Reddi et al. 2018. ``fused`` and ``foreach`` are accepted: every step is one fused pass.
    """

    kernel = "adam"
    kinds = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    decoupled = False

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 fused: bool | None = None, master_weights: bool = True) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize, "master_weights": master_weights})

    def check(self, group: Group) -> None:
        betas = group["betas"]
        self._require(group, lr=(group["lr"] >= 0, "a number >= 0"), eps=(group["eps"] >= 0, "a number >= 0"),
                      betas=(len(betas) == 2 and all(0 <= b < 1 for b in betas), "two numbers, 0 <= beta < 1"),
                      weight_decay=(group["weight_decay"] >= 0, "a number >= 0"))

    def kept(self, group: Group) -> tuple[str | None, ...]:
        return self.kinds if group["amsgrad"] else (*self.kinds[:2], None)

    def run(self, plan: Any, params: list[Any], grads: list[Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        plan(params, grads, lr=raw(group["lr"]), beta1=beta1, beta2=beta2, eps=group["eps"], weight_decay=group["weight_decay"],
             decoupled=self.decoupled, maximize=group["maximize"])


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: first p <- (1 - lr weight_decay) p (Loshchilov and Hutter 2019)."""

    decoupled = True

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 fused: bool | None = None, master_weights: bool = True) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, master_weights=master_weights)
