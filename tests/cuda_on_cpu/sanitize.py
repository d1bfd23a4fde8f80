"""Kernels under ThreadSanitizer and AddressSanitizer: ``report`` runs them in a process with the sanitizer loaded.

ThreadSanitizer is told of every CUDA thread, of barriers and fences (emulator.cpp), so it finds accesses that nothing orders, in
a block and between blocks, whatever order the threads happened to run in. AddressSanitizer knows the ends of arrays to the byte.
"""
from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from . import build

__all__ = ["PLANTED", "planted", "report", "why_not"]

OPTIONS = {"thread": "TSAN_OPTIONS=halt_on_error=0:exitcode=0:suppress_equal_stacks=0:suppress_equal_addresses=0:history_size=2",
           "address": "ASAN_OPTIONS=halt_on_error=0:detect_leaks=0:exitcode=0:verify_asan_link_order=0"}
MARK = "@@"
FOUND = re.compile(r"^SUMMARY: \w+: (.*)|(^.*runtime error: .*)|^\S*(KernelError: .*)|^(Traceback .*)", re.MULTILINE)

# name -> (sanitizer, source, grid, threads, shared memory); every one has a fault. Arguments: out, x, n = 100 floats each.
PLANTED: dict[str, tuple[str, str, int, int, int]] = {
    "race in shared memory": ("thread", """
        extern __shared__ float room[];
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) room[i] = x[i];
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) out[i] = room[n - 1 - i];""", 1, 64, 400),
    "race in global memory": ("thread", """
        out[threadIdx.x] = x[threadIdx.x];
        out[threadIdx.x] += out[(threadIdx.x + 1) % blockDim.x];""", 1, 64, 0),
    "race between blocks": ("thread", "if (threadIdx.x == 0) out[0] = blockIdx.x;", 2, 32, 0),
    "no order by shuffles": ("thread", """
        __shared__ float room[32];
        room[threadIdx.x] = x[threadIdx.x];
        float v = __shfl_xor_sync(~0u, x[0], 1);
        out[threadIdx.x] = v + room[31 - threadIdx.x];""", 1, 32, 0),
    "read past an array": ("address", "out[0] = x[n + threadIdx.x];", 1, 1, 0),
    "write past an array": ("address", "out[n] = 1;", 1, 1, 0),
    "write before an array": ("address", "out[-n / 100] = 1;", 1, 1, 0),
    "write past shared memory": ("address", """
        extern __shared__ float room[];
        room[n] = 1;
        out[0] = room[0];""", 1, 1, 400),
    "read past static shared memory": ("address", """
        __shared__ float room[8], other[8];
        room[threadIdx.x] = other[threadIdx.x] = 1;
        const float* p = n ? room : x;
        out[0] = p[8];""", 1, 8, 0),
    "read past a thread's own array": ("address", """
        float own[8];
        for (int i = 0; i < 8; i++) own[i] = x[i];
        const float* p = n ? own : x;
        __syncthreads();
        out[0] = p[n - 92];""", 1, 1, 0),
}


def _text(body: str) -> str:
    from tensorlite.kernels._cuda import Source
    return Source(None, "planted", text='#include "tensorlite.cuh"\n'
                  f'extern "C" __global__ void planted(float* out, const float* x, i64 n) {{{body}\n}}\n').text


def planted(sanitizer: str) -> dict[str, tuple[str, int, int, int]]:
    """The texts with a fault that the sanitizer is to find: those above, and ``block_reduce`` without one of its barriers."""
    out = {name: (_text(body), *rest) for name, (kind, body, *rest) in PLANTED.items() if kind == sanitizer}
    if sanitizer == "thread":
        text = _text("""
            __shared__ float room[33];
            float sum = block_reduce(x[threadIdx.x], 0.0f, room, plus());
            if (threadIdx.x == 40) room[32] = room[0] = 0;
            out[threadIdx.x] = block_reduce(sum * x[threadIdx.x], 0.0f, room, plus());""")
        start = text.index("A block_reduce(")
        barriers = [m.start() for m in re.finditer(r"__syncthreads\(\);", text) if start < m.start() < text.index("\n}", start)]
        for i, at in enumerate(barriers):
            out[f"block_reduce without its barrier {i + 1} of {len(barriers)}"] = text[:at] + text[at + 16:], 1, 64, 0
    return out


# ---- in the process with the sanitizer -------------------------------------------------------------------------------------

def _say(what: str) -> None:
    print(f"{MARK} {what}", file=sys.stderr, flush=True)


def _wanted(name: str, dtypes: Sequence[str]) -> list[str]:
    """The dtypes to run a kernel with: of the floating ones those asked for, all others."""
    from .cases import CASES, DTYPES
    return [d for d in CASES[name][0] if d in dtypes or d not in DTYPES]


class _Nothing:
    """Stands for a function that is only to be compiled."""

    max_dynamic_shared_size_bytes = 0

    def __call__(self, *args: Any, **options: Any) -> None:
        pass


def _compile(names: Sequence[str], dtypes: Sequence[str], sizes: Sequence[int]) -> None:
    """All libraries are loaded before the first report, as sanitizers name the lines of those only."""
    from tensorlite.kernels import load

    from . import RawModule, guarded
    from .cases import CudaRun, small
    modules = [RawModule(code=text) for text, *_ in planted(build.sanitizer()).values()]
    recording, sources = guarded.runtime(), set()
    recording.function = lambda source, entry: sources.add(source) or _Nothing()   # type: ignore
    for name in names:
        for dtype in _wanted(name, dtypes):
            for n in sizes:
                with contextlib.suppress(Exception):   # what it stumbles over is seen when it runs
                    small(name, n, dtype, [CudaRun(load(name), recording)])
    modules += [guarded.runtime().module(source) for source in sources]
    build.runtime(build.sanitizer())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(RawModule.compile, modules))


def _run_planted() -> None:
    from . import RawModule
    for name, (text, grid, threads, shared) in planted(build.sanitizer()).items():
        function = RawModule(code=text, options=("--std=c++17",)).get_function("planted")
        _say(name)
        function((grid,), (threads,), (np.zeros(100, np.float32), np.ones(100, np.float32), 100), shared_mem=shared)


def _run_kernels(names: Sequence[str], dtypes: Sequence[str], sizes: Sequence[int]) -> None:
    from tensorlite.kernels import load

    from . import cupy
    from .cases import CudaRun, small
    from .guarded import exact, runtime
    with cupy.cuda.using_allocator(exact):
        for name in names:
            for dtype in _wanted(name, dtypes):
                for n in sizes:
                    _say(name)
                    try:
                        small(name, n, dtype, [CudaRun(load(name), runtime())])
                    except Exception:
                        print(f"{dtype}, n = {n}\n{traceback.format_exc()}", file=sys.stderr, flush=True)


# ---- in the test's process -------------------------------------------------------------------------------------------------

@functools.cache
def why_not(sanitizer: str) -> str | None:
    """Why kernels cannot be run with the sanitizer here, or None if they can."""
    if why := build.why_not():
        return why
    if not _library(sanitizer):
        return f"the {sanitizer} sanitizer's library is not installed beside {build.compiler()}"
    done = subprocess.run([sys.executable, "-c", ""], env=_environment(sanitizer), capture_output=True, text=True)
    return f"Python does not start with the {sanitizer} sanitizer: {done.stderr[-300:]}" if done.returncode else None


def _library(sanitizer: str) -> str:
    """What to preload."""
    name = f"lib{sanitizer[0]}san.so"
    found = subprocess.run([str(build.compiler()), f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else ""


def _environment(sanitizer: str) -> dict[str, str]:
    option, _, value = OPTIONS[sanitizer].partition("=")
    paths = [str(Path(__file__).parents[1]), *sys.path]
    return os.environ | {"TENSORLITE_TEST_SANITIZER": sanitizer, "LD_PRELOAD": _library(sanitizer), option: value,
                         "PYTHONPATH": os.pathsep.join(p for p in paths if p), "OPENBLAS_NUM_THREADS": "1"}


def report(sanitizer: str, names: Sequence[str], dtypes: Sequence[str], sizes: Sequence[int]) -> dict[str, list[str]]:
    """What the sanitizer found, for each kernel of ``names`` and for each of the planted faults."""
    command = [sys.executable, "-m", "cuda_on_cpu.sanitize", ",".join(names), ",".join(dtypes), ",".join(map(str, sizes))]
    done = subprocess.run(command, env=_environment(sanitizer), capture_output=True, text=True, errors="replace")
    out: dict[str, list[str]] = {}
    first, *sections = re.split(rf"^{MARK} ", done.stderr, flags=re.MULTILINE)
    for section in sections:
        name, _, text = section.partition("\n")
        found = ["".join(match) for match in FOUND.findall(text)]
        out.setdefault(name, []).extend(f + (f"\n{text}" if f.startswith("Traceback") else "") for f in found)
    if done.returncode or f"{MARK} end" not in done.stderr:
        raise RuntimeError(f"the {sanitizer} sanitizer's process ended with {done.returncode}:\n{first}{done.stderr[-4000:]}")
    return out


def main(names: list[str], dtypes: list[str], sizes: list[int]) -> None:
    _compile(names, dtypes, sizes)
    _run_planted()
    _run_kernels(names, dtypes, sizes)
    _say("end")


if __name__ == "__main__":
    _names, _dtypes, _sizes = (given.split(",") for given in sys.argv[1:])
    main([n for n in _names if n], _dtypes, [int(n) for n in _sizes])
