"""Softmax cross-entropy with Numba-CUDA: a block a row, float32 and float64, with ignore_index and every reduction.

Label smoothing, class weights and 16-bit numbers are left to the CUDA C++ version, with which this one is to be compared. Numba
makes no 16-byte accesses and cannot copy to shared memory while it computes, so a thread has four loads under way at a time,
and as many blocks share a multiprocessor as their rows leave room for. A sum or a mean takes a second launch: pointers have no
atomic operations in Numba, by which the last block could know that it is.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._cuda import SUFFIX, Runtime
from .._numba_cuda import NumbaKernel, cuda, function, types
from .cuda import KIND
from .cuda import softmax_cross_entropy as cuda_version
from .reference import check

__all__ = ["KERNELS", "VARIANTS", "softmax_cross_entropy"]

VARIANTS = ("shared", "two_pass")
ALL = 0xffffffff
THREADS = 1024     # of a block at most; half as many in float64, where a thread takes more than 64 registers
STATIC = 4 << 10   # bytes of shared memory a block has beside its row, with what the system takes


class _Kernels(NamedTuple):
    rows: NumbaKernel    # losses and gradients of rows
    total: NumbaKernel   # the sum or the mean of the losses, by one block


def _kernels(name: str, dtype: Any) -> _Kernels:
    # Constants of the right type: a literal 0.0 would make float64 arithmetic of what it meets
    zero, one, lowest, nan, element = dtype(0), dtype(1), dtype(-math.inf), dtype(math.nan), getattr(types, dtype.__name__)

    @cuda.jit(device=True, inline="always")
    def warp_max(value: Any) -> Any:
        for k in range(5):
            value = max(value, cuda.shfl_xor_sync(ALL, value, 16 >> k))
        return value

    @cuda.jit(device=True, inline="always")
    def warp_sum(value: Any) -> Any:
        for k in range(5):
            value += cuda.shfl_xor_sync(ALL, value, 16 >> k)
        return value

    @cuda.jit(device=True, inline="always")
    def block_max(value: Any, room: Any) -> Any:
        lane, warp = cuda.threadIdx.x & 31, cuda.threadIdx.x >> 5
        value = warp_max(value)
        if lane == 0:
            room[warp] = value
        cuda.syncthreads()
        value = warp_max(room[lane] if lane < cuda.blockDim.x >> 5 else lowest)
        cuda.syncthreads()   # before the room is used again
        return value

    @cuda.jit(device=True, inline="always")
    def block_sum(value: Any, room: Any) -> Any:
        lane, warp = cuda.threadIdx.x & 31, cuda.threadIdx.x >> 5
        value = warp_sum(value)
        if lane == 0:
            room[warp] = value
        cuda.syncthreads()
        value = warp_sum(room[lane] if lane < cuda.blockDim.x >> 5 else zero)
        cuda.syncthreads()
        return value

    @cuda.jit(device=True, inline="always")
    def scale_of(labels: Any, n: Any, ignore: Any, mean: Any, room: Any) -> Any:
        if mean == 0:
            return one
        found = 0   # an integer: a float32 stops counting at 16 million
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            if labels[i] != ignore:
                found += 1
        rows = block_sum(dtype(found), room)
        return one / rows if rows > zero else nan

    @cuda.jit(device=True, inline="always")
    def report_first(labels: Any, n: Any, c: Any, ignore: Any, fault: Any, kind: Any, room: Any) -> None:
        wrong = n
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            if labels[i] != ignore and (labels[i] < 0 or labels[i] >= c) and i < wrong:
                wrong = i
        # Two halves, each exact in a float32, and the second only of those who have the first
        high = -block_max(dtype(-(wrong >> 20)), room)
        low = block_max(dtype(-(wrong & 0xfffff)) if dtype(wrong >> 20) == high else lowest, room)
        row = (np.int64(high) << 20) + np.int64(-low)
        if cuda.threadIdx.x == 0 and row < n and fault[0] == 0:
            fault[1], fault[2], fault[3] = row, labels[row], c
            cuda.threadfence_system()
            fault[0] = kind

    def rows(losses: Any, grad: Any, logits: Any, labels: Any, n: Any, c: Any, ignore: Any, mean: Any, want_grad: Any, keep: Any,
             fault: Any, kind: Any) -> None:
        room = cuda.shared.array(32, element)
        row_z = cuda.shared.array(0, element)   # the row, if ``keep``
        tid, step = cuda.threadIdx.x, cuda.blockDim.x
        if cuda.blockIdx.x == 0:
            report_first(labels, n, c, ignore, fault, kind, room)
        scale = scale_of(labels, n, ignore, mean, room)
        for row in range(cuda.blockIdx.x, n, cuda.gridDim.x):
            label, first = labels[row], row * c
            if label == ignore:
                if want_grad != 0:
                    for j in range(tid, c, step):
                        grad[first + j] = zero
                if tid == 0:
                    losses[row] = zero
                continue
            right = label >= 0 and label < c
            top, total, i = lowest, zero, np.int64(tid)
            while i < c:
                k, p, q = i + step, i + 2 * step, i + 3 * step
                z0 = logits[first + i]
                z1 = logits[first + k] if k < c else lowest
                z2 = logits[first + p] if p < c else lowest
                z3 = logits[first + q] if q < c else lowest
                if keep != 0:
                    row_z[i] = z0
                    if k < c:
                        row_z[k] = z1
                    if p < c:
                        row_z[p] = z2
                    if q < c:
                        row_z[q] = z3
                before, top = top, max(max(max(z0, z1), max(z2, z3)), top)
                base = top if top > lowest else zero   # so that exp(-inf - base) is 0
                total = total * math.exp(before - base) + ((math.exp(z0 - base) + math.exp(z1 - base))
                                                           + (math.exp(z2 - base) + math.exp(z3 - base)))
                i += 4 * step
            highest = block_max(top, room)
            base = highest if highest > lowest else zero
            total = block_sum(total * math.exp(top - base), room)
            if tid == 0:
                losses[row] = math.log(total) - (logits[first + label] - highest) if right else nan
            if want_grad != 0:
                factor = (scale if right else nan) / total
                for j in range(tid, c, step):   # a thread reads what it wrote itself: no barrier
                    z = row_z[j] if keep != 0 else logits[first + j]
                    slope = math.exp(z - base) * factor
                    grad[first + j] = slope - scale if j == label else slope

    def total(loss: Any, losses: Any, labels: Any, n: Any, ignore: Any, mean: Any) -> None:
        room = cuda.shared.array(32, element)
        sum_ = zero
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            sum_ += losses[i]
        scale = scale_of(labels, n, ignore, mean, room)
        sum_ = block_sum(sum_, room)
        if cuda.threadIdx.x == 0:
            loss[0] = sum_ * scale

    prefix, p = f"softmax_cross_entropy_numba_{{}}_{name}", f"{name}*"
    return _Kernels(NumbaKernel(rows, prefix.format("rows"), f"{p} {p} {p} i64* i64 i64 i64 i64 i64 i64 i64* i64"),
                    NumbaKernel(total, prefix.format("total"), f"{p} {p} i64* i64 i64 i64"))


KERNELS = {"f32": _kernels("f32", np.float32), "f64": _kernels("f64", np.float64)}


def softmax_cross_entropy(
    runtime: Runtime, logits: Any, labels: Any, *, ignore_index: int = -100, label_smoothing: float = 0.0, weight: Any = None,
    reduction: str = "mean", want_grad: bool = True, wide: bool = False, variant: str | None = None,
) -> tuple[Any, Any]:
    """See :func:`.cuda.softmax_cross_entropy`, to which other dtypes than float32 and float64, smoothing and weights are left.

    ``variant``: "shared" (rows are read once) or "two_pass"; None takes the first where a row fits.
    """
    kernels = KERNELS.get(SUFFIX.get(logits.dtype.name, ""))
    if kernels is None or label_smoothing or weight is not None or labels.dtype.kind not in "iu" or 0 in logits.shape:
        return cuda_version(runtime, logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing, weight=weight,
                            reduction=reduction, want_grad=want_grad, wide=wide)
    check(logits, labels, label_smoothing, weight, reduction)
    (n, c), cupy, mean = logits.shape, runtime.cupy, int(reduction == "mean")
    row = c * logits.dtype.itemsize
    keep = row <= runtime.shared_memory - STATIC if variant is None else variant == "shared"
    if keep and row > runtime.shared_memory - STATIC:
        raise ValueError(f"softmax_cross_entropy: rows of {c} {logits.dtype.name} are too long for variant={variant!r}")
    blocks = max(1, (runtime.shared_memory + 1024) // (row + STATIC)) if keep else 2
    most = THREADS * 4 // logits.dtype.itemsize // blocks
    threads = min(max(64, most // 32 * 32), max(64, -(-c // 128) * 32))   # about four elements each
    logits, labels = runtime.contiguous(logits), runtime.contiguous(labels.astype("int64", copy=False))
    losses = cupy.empty((n,), logits.dtype)
    grad = cupy.empty(logits.shape, logits.dtype) if want_grad else None
    run, shared = function(runtime, kernels.rows), row if keep else 0
    if shared > (48 << 10) - STATIC and run.max_dynamic_shared_size_bytes < shared:   # type: ignore[attr-defined]
        run.max_dynamic_shared_size_bytes = shared   # type: ignore[attr-defined]
    run((min(n, min(blocks, 2048 // threads) * runtime.multiprocessors),), (threads,),
        (losses, 0 if grad is None else grad, logits, labels, n, c, ignore_index, mean, int(want_grad), int(keep),
         runtime.faults.pointer, KIND), shared_mem=shared)
    if reduction == "none":
        return losses, grad
    loss = cupy.empty((), logits.dtype)
    function(runtime, kernels.total)((1,), (THREADS,), (loss, losses, labels, n, ignore_index, mean))
    return loss, grad
