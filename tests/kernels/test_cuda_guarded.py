"""Every CUDA kernel on arrays between forbidden pages, and with its threads in other orders: odd sizes, alignments, none."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import KernelError, thread_order
from cuda_on_cpu.cases import CASES, TOLERANCE, CudaRun, ReferenceRun, agree, flat, kernels, small
from cuda_on_cpu.guarded import guarded

from tensorlite.kernels import load
from tensorlite.kernels._cuda import Source

SIZES = (0, 1, 7, 37, 300, 2500)
PLACES = [(0, True, 0), (8, True, 0), (0, True, 1), (0, False, 0)]   # offset in bytes, at the end, elements before inputs
by_kernel_and_dtype = pytest.mark.parametrize(("name", "dtype"), [(n, d) for n in kernels() for d in CASES.get(n, ((),))[0]])

FAULTY = Source(None, "faulty", text="""#include "tensorlite.cuh"
extern "C" __global__ void reads(float* out, const float* x, i64 n) { if (threadIdx.x == 0) out[0] = x[n]; }
extern "C" __global__ void writes(float* out, const float* x, i64 n) { if (threadIdx.x == 0) out[n] = x[0]; }
""")


def test_every_kernel_has_a_case():
    assert set(kernels()) <= set(CASES), "add the missing to tests/cuda_on_cpu/cases.py"


@by_kernel_and_dtype
@pytest.mark.parametrize(("offset", "at_end", "before"), PLACES)
def test_nothing_outside_the_arrays_is_touched(name: str, dtype: str, offset: int, at_end: bool, before: int):
    kernel = load(name)
    for n in SIZES:
        with guarded(offset, at_end) as (runtime, _):
            expected, got = small(name, n, dtype, [ReferenceRun(kernel), CudaRun(kernel, runtime, before)])
            agree(got, expected, TOLERANCE.get(dtype, 0.0), f"{name}, {dtype}, n = {n}")


@by_kernel_and_dtype
def test_the_order_of_threads_changes_nothing(name: str, dtype: str):
    kernel = load(name)
    for n in (37, 2500):
        with guarded() as (runtime, _):
            expected, = small(name, n, dtype, [CudaRun(kernel, runtime)])
            for seed in (-1, 1, 2):
                with thread_order(seed):
                    got, = small(name, n, dtype, [CudaRun(kernel, runtime)])
                for a, b in zip(flat(got), flat(expected)):
                    np.testing.assert_array_equal(bits(a), bits(b), f"{name}, {dtype}, n = {n}, thread order {seed}")


def bits(array: Any) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


# ---- the guards themselves ---------------------------------------------------------------------------------------------------

def call(entry: str, n: int, offset: int, at_end: bool) -> None:
    with guarded(offset, at_end) as (runtime, _):
        out, x = (runtime.cupy.zeros(4, np.float32) for _ in range(2))
        runtime.function(FAULTY, entry)((1,), (32,), (out, x, n))


@pytest.mark.parametrize(("entry", "n", "offset", "at_end"), [
    ("reads", 4, 0, True), ("reads", -1, 0, False), ("writes", 4, 0, True), ("writes", -1, 0, False), ("reads", 6, 8, True)])
def test_accesses_beyond_the_page_are_errors(entry, n, offset, at_end):
    with pytest.raises(KernelError, match="out of bounds"):
        call(entry, n, offset, at_end)


@pytest.mark.parametrize(("n", "offset", "at_end"), [(4, 8, True), (-1, 0, True), (4, 0, False), (-1, 8, False)])
def test_writes_beside_the_array_are_found(n, offset, at_end):
    with pytest.raises(AssertionError, match="written outside an array of 16 bytes"):
        call("writes", n, offset, at_end)


def test_accesses_inside_are_not(offset=8):
    for n in range(4):
        for entry in ("reads", "writes"):
            call(entry, n, offset, True)
