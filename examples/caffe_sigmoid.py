"""Caffe's sigmoid layer: bottom and top blobs, Forward and Backward for a device, propagate_down; here as an autograd.Function.

Caffe has a .cpp and a .cu file and a CPU_ONLY build. Here a kernel's reference is what the one holds, its C++ what the other
does; a tensor's device says which runs, and nothing of CUDA is imported until a CUDA tensor is made (by the argument ``cuda``).
"""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tensorlite as tl

sigmoid_forward = tl.kernel("caffe_sigmoid_forward", reference=lambda xp, x: 1 / (1 + xp.exp(-x)), vjp=False,
                            cuda="return A(1) / (A(1) + exp(-x));")
sigmoid_backward = tl.kernel("caffe_sigmoid_backward", reference=lambda xp, top_diff, s: top_diff * s * (1 - s),
                             cuda="return top_diff * s * (A(1) - s);")


class Sigmoid(tl.autograd.Function):
    """top = 1 / (1 + exp(-bottom)); bottom_diff = top_diff * top * (1 - top)."""

    @staticmethod
    def forward(ctx: Any, bottom: Any) -> Any:
        top = sigmoid_forward(bottom)
        ctx.save_for_backward(top)
        return top

    @staticmethod
    def backward(ctx: Any, top_diff: Any) -> Any:
        return sigmoid_backward(top_diff, *ctx.saved_tensors) if ctx.needs_input_grad[0] else None   # propagate_down[0]


class SigmoidLayer:
    """The layer as the lecture shows it: lists of blobs with data and diff (arrays of any library), filled in place."""

    def forward(self, bottom: list[dict[str, Any]], top: list[dict[str, Any]]) -> None:
        top[0]["data"][...] = sigmoid_forward(bottom[0]["data"])

    def backward(self, top: list[dict[str, Any]], propagate_down: list[bool], bottom: list[dict[str, Any]]) -> None:
        if propagate_down[0]:
            bottom[0]["diff"][...] = sigmoid_backward(top[0]["diff"], top[0]["data"])


if __name__ == "__main__":
    device = next((a for a in sys.argv[1:] if a in ("cpu", "cuda")), "cpu")
    values = tl.linspace(-3, 3, 7, dtype=tl.float64, device=device)
    bottom = [{"data": values, "diff": tl.zeros_like(values)}]
    top = [{"data": tl.zeros_like(values), "diff": tl.ones_like(values)}]
    layer = SigmoidLayer()
    layer.forward(bottom, top)
    layer.backward(top, [True], bottom)
    print("layer:   ", np.round(bottom[0]["diff"].numpy(), 6))

    x = values.clone().requires_grad_()
    Sigmoid.apply(x).sum().backward()
    print("Function:", np.round(x.grad.numpy(), 6))
    print("built in:", np.round(tl.grad(lambda v: tl.sigmoid(v).sum())(values).numpy(), 6))
    print("CUDA imported:", any(name in sys.modules for name in ("cupy", "numba.cuda")))
