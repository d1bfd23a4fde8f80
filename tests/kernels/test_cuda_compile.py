"""Every CUDA source compiles for sm_80 and sm_90, keeps its values in registers, and accesses memory 16 bytes at a time."""
from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from nvrtc import CompileError, compiled, usage

from tensorlite import kernels
from tensorlite.backends import _cuda_elementwise
from tensorlite.kernels._cuda import Source

kernels.load_all()
assert _cuda_elementwise.FORMULAS
SOURCES = [s for s in Source.known if not s.name.startswith("planted")]
ARCHES = ("sm_80", "sm_90")

# Entry points that keep a few values on the stack, and the bytes: one 64-bit number, with ptxas of CUDA 13.
STACK = {"channel_normalize_grad_rows_f32": 8, "row_normalize_grad_parts_f16": 8, "row_normalize_grad_parts_bf16": 8}
# Entry points that read, or write, no array 16 bytes at a time, by a part of their name, and why.
NARROW_LOADS = {
    "check_indices": "reads each index once, and nothing else",
    "update_scale": "works on three numbers",
    "philox": "reads nothing",
    "augment_batch": "reads rows that begin anywhere",
    "embedding_grad_": "the sort's passes read and write single integers",
    "put_rows_last": "reads each index once", "put_rows_winners": "reads each index once",
    "softmax_cross_entropy_count": "reads labels, a byte to eight each",
    "bias_activation_backward_sum": "adds a few partial sums for each column",
    "_join_": "adds a few partial results for each channel", "_sums_": "adds a few partial sums for each column",
    "running_moments": "works on one number a channel",
}
NARROW_STORES = {
    "check_indices": "writes nothing",
    "update_scale": "works on three numbers",
    "embedding_grad_": "the sort's passes read and write single integers",
    "put_rows_last": "writes one integer a row", "put_rows_winners": "writes a byte an index",
    "softmax_cross_entropy_count": "writes one number",
    "bias_activation_backward_sum": "writes one number a column",
    "sum_to_": "writes one sum where it read many numbers",
    "grad_norm": "writes one number",
    "_join_": "writes a few numbers a channel", "_sums_": "writes one number a column", "_parts_": "writes partial results",
    "running_moments": "works on one number a channel",
    "act_none": "hands the gradient on as it is, and writes its sums",
}

by_source = pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.name)


def _entries(ptx: str) -> dict[str, str]:
    """Entry point -> its PTX."""
    parts = re.split(r"\.visible \.entry (\w+)\(", ptx)
    return dict(zip(parts[1::2], parts[2::2]))


@by_source
def test_compiles_well(source, tmp_path):
    """One test, as compiling is what costs: without spilling for each architecture, and with accesses of 16 bytes."""
    for arch in ARCHES:
        found = usage(compiled(source.text, arch, source.options)[0])
        print(source.name, arch, found)
        assert found, f"{source.name} has no entry point"
        for entry, used in found.items():
            assert 0 < used.registers <= 255, (entry, used)
            assert used.stack <= STACK.get(entry, 0), f"{entry} for {arch} keeps {used.stack} bytes a thread in local memory"
            assert used.shared <= 48 << 10, (entry, used)
    cubin, ptx = compiled(source.text, "sm_90", source.options)
    narrow = narrow_accesses(source, ptx)
    assert not narrow, f"{source.name} has no access of 16 bytes in {', '.join(narrow)}"
    tool = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")   # of NVIDIA's toolkit
    if tool is not None:
        path = tmp_path / "kernel.cubin"
        path.write_bytes(cubin)
        code = subprocess.run([tool, "-sass", str(path)], check=True, capture_output=True, text=True).stdout
        local = re.findall(r"\b(LDL|STL)\b", code)
        assert not local or any(entry in code for entry in STACK), f"{source.name}: {len(local)} accesses to local memory"


def narrow_accesses(source, ptx):
    """The entry points that read or write an array, and never 16 bytes at a time: the compiler splits accesses whose alignment it
    cannot see."""
    narrow = []
    for entry, code in _entries(ptx).items():
        for kind, known in (("ld", NARROW_LOADS), ("st", NARROW_STORES)):
            some = re.search(rf"\b{kind}\.(?:global\S*|\w?\d\d|v\d)", code)
            wide = re.search(rf"\b{kind}(?:\.global)?\S*\.(?:v4\.\w?32|v2\.\w?64)|cp\.async\S* .*, 16", code)
            if some and not wide and not any(part in entry + " ".join(source.options) for part in known):
                narrow.append(f"{kind} of {entry}")
    return narrow


def test_what_is_read_off_the_machine_code_is_true():
    """A kernel that must spill, and one with shared memory: what usage() says of them."""
    text = """
extern "C" __global__ void plain(float* x) { x[threadIdx.x] *= 2.0f; }
extern "C" __global__ void shared(float* x) { __shared__ float s[256]; s[threadIdx.x] = x[threadIdx.x]; __syncthreads();
    x[threadIdx.x] = s[255 - threadIdx.x]; }
extern "C" __global__ void on_stack(float* x, int k) { float v[64]; for (int i = 0; i < 64; i++) v[i] = x[i];
    for (int i = 0; i < k; i++) v[(i * i) & 63] += v[i & 63]; x[threadIdx.x] = v[k & 63]; }
"""
    for arch in ARCHES:
        found = usage(compiled(text, arch)[0])
        assert set(found) == {"plain", "shared", "on_stack"}
        assert found["plain"].stack == 0 and found["on_stack"].stack >= 256 and found["plain"].registers < 32
        assert found["shared"].shared in (1024, 2048)   # the driver keeps 1024 on sm_90


def test_a_source_that_is_wrong_says_where():
    with pytest.raises(CompileError, match=r"kernel\.cu\(\d+\): error: .*undefined_name"):
        compiled('#include "tensorlite.cuh"\n'.replace('#include "tensorlite.cuh"', Source(None, "planted", text="").text)
                 + 'extern "C" __global__ void f(float* x) { x[0] = undefined_name; }', "sm_90")
