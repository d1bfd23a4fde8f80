"""Caffe's sigmoid layer: bottom and top blobs, Forward and Backward for a device, propagate_down; here as an autograd.Function.

Where Caffe has a .cpp and a .cu file and a CPU_ONLY build, one definition serves every device that tensorlite has a backend for,
and nothing of CUDA is imported until a CUDA tensor is made.
"""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tensorlite as tl


class Sigmoid(tl.autograd.Function):
    """top = 1 / (1 + exp(-bottom)); bottom_diff = top_diff * top * (1 - top)."""

    @staticmethod
    def forward(ctx: Any, bottom: Any) -> Any:
        top = 1 / (1 + tl.exp(-bottom))
        ctx.save_for_backward(top)
        return top

    @staticmethod
    def backward(ctx: Any, top_diff: Any) -> Any:
        if not ctx.needs_input_grad[0]:   # propagate_down[0]
            return None
        (top,) = ctx.saved_tensors
        return top_diff * top * (1 - top)


class SigmoidLayer:
    """The layer as the lecture shows it: lists of blobs with data and diff, filled in place."""

    def forward(self, bottom: list[dict[str, Any]], top: list[dict[str, Any]]) -> None:
        top[0]["data"][...] = 1 / (1 + np.exp(-bottom[0]["data"]))

    def backward(self, top: list[dict[str, Any]], propagate_down: list[bool], bottom: list[dict[str, Any]]) -> None:
        if propagate_down[0]:
            s = top[0]["data"]
            bottom[0]["diff"][...] = top[0]["diff"] * s * (1 - s)


if __name__ == "__main__":
    values = np.linspace(-3, 3, 7)
    bottom, top = [{"data": values, "diff": np.zeros(7)}], [{"data": np.zeros(7), "diff": np.ones(7)}]
    layer = SigmoidLayer()
    layer.forward(bottom, top)
    layer.backward(top, [True], bottom)
    print("layer:   ", bottom[0]["diff"].round(6))

    x = tl.tensor(values, requires_grad=True)
    Sigmoid.apply(x).sum().backward()
    print("Function:", x.grad.numpy().round(6))
    print("built in:", tl.grad(lambda v: tl.sigmoid(v).sum())(tl.tensor(values)).numpy().round(6))
    print("CUDA imported:", any(name in sys.modules for name in ("cupy", "numba.cuda")))
