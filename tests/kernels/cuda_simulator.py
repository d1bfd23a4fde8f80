"""Run as a program: the Numba-CUDA kernels in Numba's simulator, each CUDA thread a thread of Python, against the references.

The simulator is chosen when Numba is imported, so this needs a process of its own. It has no warp shuffles: one for blocks in
which all threads shuffle equally often is put in their place.
"""
from __future__ import annotations

import os

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.simulator.kernelapi import FakeCUDAModule

from tensorlite.kernels import _numba_cuda, load
from tensorlite.kernels._cuda import Faults, Runtime
from tensorlite.kernels.sigmoid_backward import numba_cuda as sigmoid
from tensorlite.kernels.softmax_cross_entropy import numba_cuda as cross_entropy

shuffled: dict[int, Any] = {}


def shfl_xor_sync(module: Any, mask: int, value: Any, lanes: int) -> Any:
    me = module.threadIdx.x
    shuffled[me] = value
    module.syncthreads()
    got = shuffled[me ^ lanes]
    module.syncthreads()
    return got


FakeCUDAModule.shfl_xor_sync = shfl_xor_sync
FakeCUDAModule.threadfence_system = lambda module: None


def simulated(runtime: Any, kernel: Any) -> Any:
    jitted = cuda.jit(kernel.python)

    def launch(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
        assert len(args) == len(kernel.signature.args), kernel
        args = [runtime.faults.words if i == runtime.faults.pointer else a.reshape(-1) if isinstance(a, np.ndarray) else a
                for i, a in ((a if type(a) is int else None, a) for a in args)]
        jitted[grid, block, 0, shared_mem](*args)
    launch.max_dynamic_shared_size_bytes = 227 << 10   # type: ignore[attr-defined]
    return launch


cross_entropy.THREADS = 64   # each is a thread of Python
_numba_cuda.function = sigmoid.function = cross_entropy.function = simulated   # type: ignore[assignment]


def runtime() -> Runtime:
    made = Runtime(SimpleNamespace(empty=np.empty, ascontiguousarray=np.ascontiguousarray), np)
    made.multiprocessors, made.shared_memory = 2, 227 << 10
    made.faults = Faults(np.zeros(8, np.int64))
    return made


def check_sigmoid(rng: Any) -> None:
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-14)):
        for shape in ((1,), (1500,)):
            g, y = rng.normal(size=shape).astype(dtype), rng.uniform(size=shape).astype(dtype)
            out = sigmoid.sigmoid_backward(runtime(), g, y)
            expected = load("sigmoid_backward").reference(np, g.astype("f8"), y.astype("f8"))
            np.testing.assert_allclose(out, expected, rtol=tolerance)


def check_cross_entropy(rng: Any) -> None:
    reference = load("softmax_cross_entropy").reference
    for shape in ((1, 1), (5, 10), (2, 300)):
        for variant, reduction in (("shared", "none"), ("shared", "mean"), ("two_pass", "sum")):
            x = (3 * rng.normal(size=shape)).astype(np.float32)
            t = rng.integers(0, shape[1], shape[0])
            t[1::3] = -100
            x[-1, shape[1] // 2:] -= math.inf if shape[1] > 1 else 0
            t[-1] = 0
            loss, grad = cross_entropy.softmax_cross_entropy(runtime(), x, t, reduction=reduction, variant=variant)
            expected, expected_grad = reference(np, x.astype("f8"), t, reduction=reduction)
            assert loss.dtype == grad.dtype == np.float32 and loss.shape == expected.shape
            np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=2e-6)
            np.testing.assert_allclose(grad, expected_grad, rtol=2e-6, atol=2e-6)


def check_fault(rng: Any) -> None:
    run, t = runtime(), np.array([0, 5, 1, -3])
    loss, grad = cross_entropy.softmax_cross_entropy(run, rng.normal(size=(4, 5)).astype("f4"), t, reduction="none")
    assert np.isnan(loss).tolist() == np.isnan(grad).all(axis=1).tolist() == [False, True, False, True]
    try:
        run.check()
    except IndexError as error:
        assert "target[1] is 5" in str(error), error
    else:
        raise AssertionError("a label out of range was not reported")


if __name__ == "__main__":
    seed = 20
    print("seed", seed)
    threading.stack_size(256 << 10)
    generator = np.random.default_rng(seed)
    check_sigmoid(generator)
    check_cross_entropy(generator)
    check_fault(generator)
    print("simulated")
