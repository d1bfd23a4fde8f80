"""Softmax cross-entropy with Numba-CUDA: a block a row, float32 and float64, with ignore_index and every reduction.

Label smoothing and class weights are left to the CUDA C++ version, with which this one is to be compared. Numba makes no 16-byte
accesses and cannot copy to shared memory while it computes, so a thread loads four elements at a time and several blocks
share a multiprocessor where their rows leave room for it.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._cuda import SUFFIX, Runtime
from .._numba_cuda import NumbaKernel, cuda, function
from .cuda import softmax_cross_entropy as cuda_version
from .reference import REDUCTIONS, check

__all__ = ["KERNELS", "VARIANTS", "softmax_cross_entropy"]

VARIANTS = ("shared", "two_pass")
ALL = 0xffffffff
STATIC = 4 << 10   # bytes of shared memory a block has beside its row, with what the system takes


class _Kernels(NamedTuple):
    shared: NumbaKernel     # the row is kept in dynamic shared memory: read once
    two_pass: NumbaKernel
    total: NumbaKernel      # the sum or mean of the rows' losses, by one block


def _kernels(name: str, dtype: Any) -> _Kernels:
    zero, one, lowest, nan = dtype(0), dtype(1), dtype(-math.inf), dtype(math.nan)

    @cuda.jit(device=True)
    def block_max(value: Any, room: Any) -> Any:
        for k in range(5):
            value = max(value, cuda.shfl_xor_sync(ALL, value, 16 >> k))
        warp, lane = cuda.threadIdx.x >> 5, cuda.threadIdx.x & 31
        if lane == 0:
            room[warp] = value
        cuda.syncthreads()
        value = room[lane] if lane < cuda.blockDim.x >> 5 else lowest
        for k in range(5):
            value = max(value, cuda.shfl_xor_sync(ALL, value, 16 >> k))
        cuda.syncthreads()
        return value

    @cuda.jit(device=True)
    def block_sum(value: Any, room: Any) -> Any:
        for k in range(5):
            value += cuda.shfl_xor_sync(ALL, value, 16 >> k)
        warp, lane = cuda.threadIdx.x >> 5, cuda.threadIdx.x & 31
        if lane == 0:
            room[warp] = value
        cuda.syncthreads()
        value = room[lane] if lane < cuda.blockDim.x >> 5 else zero
        for k in range(5):
            value += cuda.shfl_xor_sync(ALL, value, 16 >> k)
        cuda.syncthreads()
        return value

    @cuda.jit(device=True)
    def count(labels: Any, n: Any, ignore: Any, room: Any) -> Any:
        """How many rows count. In integers for each thread: a float32 stops counting at 16 million."""
        found = 0
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            if labels[i] != ignore:
                found += 1
        return block_sum(dtype(found), room)

    @cuda.jit(device=True)
    def raised(top: Any, total: Any, to: Any) -> Any:
        """A sum of exp(z - top) as one of exp(z - to)."""
        return total * math.exp(top - to) if to > lowest else total

    @cuda.jit(device=True)
    def work(row: Any, c: Any, at: Any, label: Any, kept: Any, logit: Any, top: Any, total: Any, scale: Any, grad: Any, losses: Any,
             room: Any, source: Any, offset: Any) -> None:
        """From each thread's maximum and sum to the row's loss and gradient; row elements are ``source[offset + j]``."""
        highest = block_max(top, room)
        base = highest if highest > lowest else zero
        total = block_sum(total * math.exp(top - base), room)
        if cuda.threadIdx.x == 0:
            losses[row] = math.log(total) - (logit - highest) if kept else zero
        if grad:
            factor = scale / total
            for j in range(cuda.threadIdx.x, c, cuda.blockDim.x):
                slope = math.exp(source[offset + j] - base) * factor
                at[row * c + j] = slope - scale if j == label else slope

    # The two kernels differ in what the second pass reads.
    def shared(losses: Any, at: Any, logits: Any, labels: Any, n: Any, c: Any, ignore: Any, mean: Any, grad: Any, fault: Any,
               kind: Any) -> None:
        room = cuda.shared.array(32, dtype)
        kept_row = cuda.shared.array(0, dtype)
        scale = one
        if mean != 0:
            scale = one / count(labels, n, ignore, room)
        tid, step = cuda.threadIdx.x, cuda.blockDim.x
        for row in range(cuda.blockIdx.x, n, cuda.gridDim.x):
            label, first = labels[row], row * c
            if label == ignore:
                if grad != 0:
                    for j in range(tid, c, step):
                        at[first + j] = zero
                if tid == 0:
                    losses[row] = zero
                continue
            right = 0 <= label and label < c
            if tid == 0 and not right and fault[0] == 0:
                fault[1], fault[2], fault[3], fault[0] = row, label, c, kind
            logit = logits[first + label] if right else nan
            top, total, j = lowest, zero, tid
            while j < c:
                p, q, s = j + step, j + 2 * step, j + 3 * step
                a = logits[first + j]
                b = logits[first + p] if p < c else lowest
                d = logits[first + q] if q < c else lowest
                e = logits[first + s] if s < c else lowest
                kept_row[j] = a
                if p < c:
                    kept_row[p] = b
                if q < c:
                    kept_row[q] = d
                if s < c:
                    kept_row[s] = e
                higher = max(max(max(a, b), max(d, e)), top)
                base = higher if higher > lowest else zero
                total = total * math.exp(top - base) + ((math.exp(a - base) + math.exp(b - base))
                                                        + (math.exp(d - base) + math.exp(e - base)))
                top, j = higher, j + 4 * step
            work(row, c, at, label, True, logit, top, total, scale, grad != 0, losses, room, kept_row, 0)
            cuda.syncthreads()

    def two_pass(losses: Any, at: Any, logits: Any, labels: Any, n: Any, c: Any, ignore: Any, mean: Any, grad: Any, fault: Any,
                 kind: Any) -> None:
        pass

    return _Kernels(NumbaKernel(shared, "", ""), NumbaKernel(two_pass, "", ""), NumbaKernel(shared, "", ""))
