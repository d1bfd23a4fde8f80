"""Kernels written with Numba-CUDA: compiled once to PTX with C-like parameters, loaded and launched as CUDA C++ kernels are.

Numba's own launcher takes about 90 microseconds for three CuPy arrays, and turns each array into seven parameters. A function
whose parameters are pointers and numbers needs none of that. Requires the package numba-cuda, which is imported by this module.
"""
from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import BackendUnavailable

try:
    import numba.cuda
    from numba import types
except ImportError as error:
    raise BackendUnavailable("kernels written with Numba-CUDA need numba-cuda: pip install \"numba-cuda[cu13]\" for CUDA 13, "
                             f"\"numba-cuda[cu12]\" for CUDA 12 ({error})") from error

cuda: Any = numba.cuda   # without types: inside kernels they say nothing true

__all__ = ["NumbaKernel", "cuda", "function", "types"]

NEWEST = (9, 0)        # compiled for at most this: PTX runs on what came later
PTX_VERSION = "8.0"    # knows NEWEST; compilers write their own version, which a driver older than they are refuses
_TYPES = {"f32*": types.CPointer(types.float32), "f64*": types.CPointer(types.float64), "i64*": types.CPointer(types.int64),
          "i64": types.int64, "f64": types.float64, "f32": types.float32}


class NumbaKernel:
    """A Python function as a CUDA kernel.

    Parameters
    ----------
    python: the function, over pointers (indexed as arrays are) and numbers; it returns nothing.
    name: of the entry point.
    parameters: the parameters' types, such as ``"f32* f32* i64"``.
    """

    def __init__(self, python: Callable[..., None], name: str, parameters: str) -> None:
        self.python, self.name = python, name
        self.signature = types.void(*(_TYPES[p] for p in parameters.split()))

    def __repr__(self) -> str:
        return f"NumbaKernel({self.name!r})"

    def ptx(self, capability: tuple[int, int]) -> str:
        """The kernel in PTX for a compute capability, such as ``(9, 0)``; needs no device."""
        text, _ = cuda.compile_ptx(self.python, self.signature, cc=min(capability, NEWEST), device=False)
        mangled = re.search(r"\.entry\s+([\w$]+)", text)
        assert mangled is not None, f"{self.name}: no entry point in the PTX"
        return re.sub(r"\.version\s+[\d.]+", f".version {PTX_VERSION}", text.replace(mangled[1], self.name), count=1)


def function(runtime: Any, kernel: NumbaKernel) -> Callable[..., None]:
    """The kernel as ``function(grid, block, args, shared_mem=0)``, compiled at the first call."""
    functions = vars(runtime).setdefault("numba_functions", {})
    found: Callable[..., None] | None = functions.get(kernel.name)
    if found is None:
        found = functions[kernel.name] = _loaded(runtime, kernel)
    return found


@cache
def _folder() -> Path:
    """Of this process, and gone with it."""
    made = tempfile.mkdtemp(prefix="tensorlite-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _loaded(runtime: Any, kernel: NumbaKernel) -> Callable[..., None]:
    path = _folder() / f"{kernel.name}.ptx"   # CuPy reads it again on each device
    capability = str(runtime.cupy.cuda.Device().compute_capability)
    path.write_text(kernel.ptx((int(capability[:-1]), int(capability[-1]))))
    found: Callable[..., None] = runtime.cupy.RawModule(path=str(path)).get_function(kernel.name)
    return found
