"""``tensorlite warmup``."""
from __future__ import annotations

import argparse
import time
from typing import Any


def add(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "warmup", help="compile every CUDA kernel now, so that no training run waits for it",
        description="Compile every CUDA kernel for the current device and keep the result on disk (CuPy's cache, "
                    "CUPY_CACHE_DIR): the first step of a program then waits for no compiler.")
    parser.set_defaults(run=run)
    parser.add_argument("--device", default="cuda", help='which device to compile for (default "cuda")')
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the total")


def run(args: argparse.Namespace) -> int:
    """Compile, saying what and how long."""
    from tensorlite import backends, kernels
    from tensorlite.kernels._cuda import Source
    backend: Any = backends.backend_for_device(args.device)
    if not hasattr(backend, "runtime"):
        print(f"{args.device} runs no CUDA kernels; nothing to compile")
        return 0
    kernels.load_all()
    began = time.perf_counter()
    with backend.on(args.device):
        for source in list(Source.known):
            start = time.perf_counter()
            backend.runtime.module(source).compile()
            if not args.quiet:
                print(f"{source.name:<40} {1e3 * (time.perf_counter() - start):8.0f} ms", flush=True)
    print(f"{len(Source.known)} modules in {time.perf_counter() - began:.1f} s")
    return 0
