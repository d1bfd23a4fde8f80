"""What a model costs: parameters, multiplications, and the memory of a training step."""
from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from tensorlite._state import changed, current, no_grad
from tensorlite.backends import backend_for_device
from tensorlite.train._pictures import evaluating

__all__ = ["ModelCost", "model_cost", "step_memory"]


class ModelCost(NamedTuple):
    """``parameters``: numbers that are learnt; ``macs``: multiplications with an addition for one sample."""

    parameters: int
    macs: int


def _products(op: str, arrays: list[Any], out: Any) -> int:
    """Multiply-adds of one operation: those of convolutions and matrix products; everything else counts for nothing."""
    if op == "conv":
        return int(prod(out.shape) * prod(arrays[1].shape[1:]))
    if op == "conv_input_grad":   # a transposed convolution
        return int(prod(arrays[0].shape) * prod(arrays[1].shape[1:]))
    if op in ("matmul", "matvec", "vecdot", "linear", "linear_relu"):
        return int(prod(out.shape) * _inner(op, arrays))
    return 0


def _inner(op: str, arrays: list[Any]) -> int:
    """The length of the axis that a product sums over."""
    x, y = arrays[0].shape, arrays[1].shape
    if op in ("linear", "linear_relu", "vecdot") or len(x) == 1:
        return int(x[-1])
    return int(y[0]) if len(y) == 1 else int(x[-1] if x[-1] in y[-2:] else x[-2])


def model_cost(model: Any, sample: Any) -> ModelCost:
    """The parameters of ``model``, and what a forward pass of the batch ``sample`` multiplies, per sample.

    Convolutions and matrix products count, as is usual; elementwise operations, normalisation and pooling do not.

    >>> import tensorlite as tl
    >>> tl.train.model_cost(tl.nn.Linear(64, 10), tl.ones((2, 64)))
    ModelCost(parameters=650, macs=640)
    """
    total, before = 0, current().observer

    def observer(op: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        run = run if before is None else before(op, run)

        def counted(*values: Any, **options: Any) -> Any:
            nonlocal total
            out = run(*values, **options)
            total += _products(op.name, [v for v in values if hasattr(v, "shape")], out)
            return out
        return counted
    with evaluating(model), no_grad(), changed(observer=observer):
        model(sample)
    return ModelCost(sum(p.size for p in model.parameters()), total // sample.shape[0])


def step_memory(step: Callable[[], Any], device: str = "cpu") -> int:
    """The most bytes that ``step()`` holds beyond what was held before: Python's and NumPy's allocations on the CPU, those of the
    device's pool on a GPU (as it grows: in whole blocks, and after giving back what was unused)."""
    backend: Any = backend_for_device(device)
    if not backend.asynchronous:
        tracemalloc.start()
        try:
            step()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    backend.synchronize(device)
    backend.empty_cache(device)
    before = backend.memory_stats(device)["allocated"]
    step()
    backend.synchronize(device)
    return int(backend.memory_stats(device)["reserved"] - before)
