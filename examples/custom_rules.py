"""Rules of one's own in every transform: the lecture's gate and graph, and Caffe's sigmoid layer in NumPy, as Functions."""
from __future__ import annotations

from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite.func import grad, hvp, jvp, vmap


class MultiplyGate(tl.autograd.Function):
    """Switches its inputs: each gets the gradient times the other. All else follows from that."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, dz: Any) -> Any:
        x, y = ctx.saved_tensors
        return y * dz, x * dz


class SigmoidLayer(tl.autograd.Function):
    """Caffe's layer, with the rules that forward mode and vmap want where tensorlite cannot look inside."""

    @staticmethod
    def forward(bottom: Any) -> Any:
        return tl.from_numpy(1 / (1 + np.exp(-bottom.numpy())))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, top: Any) -> None:
        ctx.save_for_backward(top)

    @staticmethod
    def backward(ctx: Any, top_diff: Any) -> Any:
        (top,) = ctx.saved_tensors
        return top_diff * top * (1 - top) if ctx.needs_input_grad[0] else None   # propagate_down[0]

    jvp = backward   # the Jacobian is diagonal

    @staticmethod
    def vmap(info: Any, in_dims: Any, bottom: Any) -> Any:
        return SigmoidLayer.apply(bottom), in_dims[0]   # elementwise: the batch axis stays where it is


def graph(x: Any, y: Any, z: Any) -> Any:
    return MultiplyGate.apply(x + y, z)


if __name__ == "__main__":
    at = [tl.tensor(v, dtype=tl.float64) for v in (-2.0, 5.0, -4.0)]
    print("(x + y) z:", graph(*at).item(), [g.item() for g in grad(graph, (0, 1, 2))(*at)])
    for name, f, x in (("x * x", lambda x: MultiplyGate.apply(x, x), at[1]), ("sigmoid", SigmoidLayer.apply, at[0])):
        one = tl.ones_like(x)
        print(f"{name}: {f(x).item():.4f}, reverse {grad(f)(x).item():.4f}, forward {jvp(f, (x,), (one,))[1].item():.4f}, second "
              f"{hvp(f, (x,), (one,))[1].item():.4f}, for a batch {np.round(vmap(grad(f))(tl.stack([x, 2 * x])).numpy(), 4)}")
