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

# Entry points that keep a few values on the stack on purpose, and the bytes.
STACK = {}
# Entry points that read, or write, no array 16 bytes at a time, by a part of their name, and why.
NARROW_LOADS = {
    "check_indices": "reads each index once, and nothing else",
    "update_scale": "works on three numbers",
    "philox": "reads nothing",
}
NARROW_STORES = {
    "check_indices": "writes nothing",
    "update_scale": "works on three numbers",
}

by_source = pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.name)


@by_source
@pytest.mark.parametrize("arch", ARCHES)
def test_compiles_without_spilling(source, arch):
    cubin, _ = compiled(source.text, arch, source.options)
    found = usage(cubin)
    assert found, f"{source.name} has no entry point"
    for entry, used in found.items():
        assert 0 < used.registers <= 255, (entry, used)
        assert used.stack <= STACK.get(entry, 0), f"{entry} for {arch} keeps {used.stack} bytes a thread in local memory"
        assert used.shared <= 48 << 10, (entry, used)
    print(source.name, arch, found)


def _entries(ptx: str) -> dict[str, str]:
    """Entry point -> its PTX."""
    parts = re.split(r"\.visible \.entry (\w+)\(", ptx)
    return dict(zip(parts[1::2], parts[2::2]))


@by_source
def test_accesses_of_16_bytes(source):
    """A loop that reads or writes an array has accesses of 16 bytes: the compiler splits them where it cannot see the alignment."""
    _, ptx = compiled(source.text, "sm_90", source.options)
    narrow = []
    for entry, code in _entries(ptx).items():
        for kind, known in (("ld", NARROW_LOADS), ("st", NARROW_STORES)):
            some = re.search(rf"\b{kind}\.(?:global\S*|\w?\d\d|v\d)", code)
            wide = re.search(rf"\b{kind}(?:\.global)?\S*\.(?:v4\.\w?32|v2\.\w?64)|cp\.async\S* .*, 16", code)
            if some and not wide and not any(part in entry for part in known):
                narrow.append(f"{kind} of {entry}")
    assert not narrow, f"{source.name} has no access of 16 bytes in {', '.join(narrow)}"


@by_source
def test_machine_code_keeps_values_in_registers(source, tmp_path):
    tool = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    if tool is None:
        pytest.skip("cuobjdump is not installed; it is in NVIDIA's CUDA toolkit, and CUOBJDUMP can name it")
    path = tmp_path / "kernel.cubin"
    path.write_bytes(compiled(source.text, "sm_90", source.options)[0])
    code = subprocess.run([tool, "-sass", str(path)], check=True, capture_output=True, text=True).stdout
    assert "Function" in code
    local = re.findall(r"\b(LDL|STL)\b", code)
    assert not local or any(entry in code for entry in STACK), f"{source.name}: {len(local)} accesses to local memory"


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
