"""An operation with a gradient of your own: a straight-through estimator, and a numerically careful log(1 + exp(x))."""
from __future__ import annotations

from typing import Any

import tensorlite as tl
from tensorlite.testing import gradcheck


class RoundStraightThrough(tl.autograd.Function):
    """round(x), with the gradient of x: quantisation that can be trained through."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return tl.round(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


class Log1pExp(tl.autograd.Function):
    """log(1 + exp(x)) without overflow. The backward is made of tensorlite's operations, so it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return tl.maximum(x, 0) + tl.log1p(tl.exp(-tl.abs(x)))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * tl.sigmoid(x)


if __name__ == "__main__":
    x = tl.tensor([0.2, 1.7, -2.4], requires_grad=True)
    (RoundStraightThrough.apply(x) ** 2).sum().backward()
    print("through round:", x.grad)

    x = tl.tensor([-1000.0, 0.5, 1000.0], requires_grad=True)
    y = Log1pExp.apply(x)
    y.sum().backward()
    print("log(1+exp):", y.detach(), x.grad)
    print("gradcheck, twice:", gradcheck(Log1pExp.apply, (tl.tensor([-1.0, 0.5, 2.0], dtype=tl.float64),)))
