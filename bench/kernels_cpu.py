"""Times the CPU kernels beside PyTorch (two threads, if installed), by turns in one process: ``python bench/kernels_cpu.py``.

Prints medians, the bandwidth that the kernel's cost model and the median give, and the ratios of the medians and of the best
times. Run it on an idle machine: PyTorch's threads wait for one another spinning, milliseconds if another process has a core.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.kernels import Cost, load

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

SMALL = [(16, 10), (16,), (16, 5), (5,), (10, 5), (5,)]
LARGE = [(784, 512), (512,), (512, 512), (512,), (512, 10), (10,)]


def compare(title: str, cost: Cost, ours: Callable[[], Any], theirs: Callable[[], Any] | None) -> None:
    """Time the two by turns, in blocks, as the first calls after the other's meet its threads still spinning."""
    calls = [ours] if theirs is None or torch is None else [ours, theirs]
    times: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    while len(times[0]) < 16 or time.perf_counter() - began < 0.5:
        for call, kept in zip(calls, times):
            time.sleep(0.01)
            for _ in range(3):
                call()
            for _ in range(8):
                start = time.perf_counter()
                call()
                kept.append(time.perf_counter() - start)
    medians, best = [float(np.median(t)) for t in times], [min(t) for t in times]
    line = f"{title:40s} {1e6 * medians[0]:9.1f} us  {cost.bytes / medians[0] / 1e9:6.1f} GB/s"
    if len(times) == 2:
        line += f"   PyTorch {1e6 * medians[1]:9.1f} us   ratio {medians[0] / medians[1]:.3f}, of best {best[0] / best[1]:.3f}"
    print(line)


def cross_entropy(n: int, c: int) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(n, c)).astype(np.float32), rng.integers(0, c, n)
    kernel = load("softmax_cross_entropy")

    def theirs() -> None:
        tx.grad = None
        torch.nn.functional.cross_entropy(tx, tt).backward()

    if torch is not None:
        tx, tt = torch.tensor(x, requires_grad=True), torch.tensor(t)
    compare(f"cross_entropy and gradient {n} x {c}", kernel.cost(x, t), lambda: kernel.cpu(x, t), theirs)


def sigmoid(n: int) -> None:
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    out = load("sigmoid").cpu(x)
    if torch is not None:
        tx, tout = torch.tensor(x), torch.tensor(out)
    compare(f"sigmoid {n}", load("sigmoid").cost(x), lambda: load("sigmoid").cpu(x), lambda: torch.sigmoid(tx))
    ours = load("sigmoid_backward").cpu
    cost = load("sigmoid_backward").cost(x, out)
    compare(f"sigmoid_backward {n}", cost, lambda: ours(x, out), lambda: torch.ops.aten.sigmoid_backward(tx, tout))


def bias_activation(activation: str, rows: int, columns: int) -> None:
    """Beside PyTorch's sum and function, its function's gradient and the bias's; both compute x + b again."""
    rng = np.random.default_rng(0)
    x, g, b = (rng.normal(size=s).astype(np.float32) for s in ((rows, columns), (rows, columns), (columns,)))
    forward, backward = load("bias_activation"), load("bias_activation_backward")
    out = forward.cpu(x, b, activation=activation)
    from_output = activation in ("relu", "sigmoid", "tanh")
    saved = out if from_output else x
    theirs, their_grad = None, None
    if torch is not None:
        tx, tg, tb, ts = map(torch.tensor, (x, g, b, saved))
        aten, tanh = torch.ops.aten, {"approximate": "tanh"} if activation == "gelu_tanh" else {}
        function = getattr(torch.nn.functional, activation.removesuffix("_tanh"))
        theirs = lambda: function(tx + tb, **tanh)
        grad = {"relu": lambda g, y: aten.threshold_backward(g, y, 0)}.get(activation)
        grad = grad or getattr(aten, f"{activation.removesuffix('_tanh')}_backward")

        def their_grad() -> tuple[Any, Any]:
            dx = grad(tg, ts if from_output else ts + tb, **tanh)
            return dx, dx.sum(0)
    options = {"activation": activation}
    title = f"{rows} x {columns}"
    compare(f"bias, {activation} {title}", forward.cost(x, b, **options), lambda: forward.cpu(x, b, **options), theirs)
    compare(f"bias, {activation} gradient {title}", backward.cost(g, saved, b, **options),
            lambda: backward.cpu(g, saved, b, **options), their_grad)


def dropout(n: int) -> None:
    x, place = np.ones(n, np.float32), (1, 0, 0)
    tx = None if torch is None else torch.tensor(x)
    kernel = load("dropout")
    compare(f"dropout {n}", kernel.cost(x, p=0.1, place=place), lambda: kernel.cpu(x, p=0.1, place=place),
            lambda: torch.nn.functional.dropout(tx, 0.1))


def erf(n: int) -> None:
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    tx = None if torch is None else torch.tensor(x)
    compare(f"erf {n}", load("erf").cost(x), lambda: load("erf").cpu(x), lambda: torch.special.erf(tx))


def optimizer(name: str, kept: tuple[bool, ...], shapes: list[tuple[int, ...]], options: dict[str, Any], **theirs: Any) -> None:
    rng = np.random.default_rng(0)
    params = [rng.normal(size=s).astype(np.float32) for s in shapes]
    grads = [rng.normal(size=s).astype(np.float32) for s in shapes]
    states = [[np.zeros_like(p) for p in params] if keep else None for keep in kept]
    plan = load(name).cpu(*states, np.zeros(len(params), np.int64))
    step = None
    if torch is not None:
        tensors = [torch.tensor(p, requires_grad=True) for p in params]
        for p, g in zip(tensors, grads):
            p.grad = torch.tensor(g)
        step = getattr(torch.optim, {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSprop"}[name])(tensors, lr=1e-3, **theirs).step
    size = sum(p.size for p in params)
    title = f"{name}{' fused' if theirs.get('fused') else ''} {options or ''} {size}"
    compare(title, load(name).cost(*states, None, params=params), lambda: plan(params, grads, lr=1e-3, **options), step)


def matrix_product_after_a_kernel() -> None:
    """A kernel whose threads go on spinning would slow the matrix product that follows it."""
    a, b = np.ones((512, 512), np.float32), np.ones((512, 128), np.float32)
    x = np.ones(4_000_000, np.float32)
    for title, before in (("alone", None), ("after a parallel sigmoid", load("sigmoid").cpu)):
        times = []
        for _ in range(200):
            if before is not None:
                before(x)
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        print(f"{'matmul 512x512x128 ' + title:45s} {1e6 * float(np.median(times)):9.1f} us")


def main() -> None:
    if torch is not None:
        torch.set_num_threads(2)
    for n, c in ((64, 10), (8192, 10), (8192, 100), (2048, 1000), (512, 50257)):
        cross_entropy(n, c)
    for n in (64, 100_000, 4_000_000):
        sigmoid(n)
    for activation in ("relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh"):
        bias_activation(activation, 4096, 1024)
    dropout(4_000_000)
    erf(4_000_000)
    for shapes in (SMALL, LARGE):
        for fused in ({}, {"fused": True}):
            optimizer("sgd", (True,), shapes, {"momentum": 0.9}, momentum=0.9, **fused)
            optimizer("adam", (True, True, False), shapes, {}, **fused)
        optimizer("sgd", (False,), shapes, {})
        optimizer("rmsprop", (True, False, False), shapes, {})
    matrix_product_after_a_kernel()


if __name__ == "__main__":
    main()
