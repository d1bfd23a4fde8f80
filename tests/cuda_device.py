"""The CUDA backend for tests: on the GPU where there is one, else on the stand-in for CuPy (``cuda_on_cpu``)."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tensorlite import backends
from tensorlite.backends._cuda import CupyBackend
from tensorlite.engine.primitive import REGISTRY
from tensorlite.engine.value import KIND


def real() -> bool:
    """Whether there is a GPU that CuPy can use."""
    import tensorlite as tl
    return tl.cuda.is_available()


@contextmanager
def stand_in(version: int = 14) -> Iterator[CupyBackend]:
    """The CUDA backend on the stand-ins for CuPy, cuBLASLt and cuDNN, registered as ``"cuda"`` inside."""
    from cuda_on_cpu import cublaslt, cudnn
    from cuda_on_cpu.versions import cupy_stand_in
    cupy = cupy_stand_in(version)
    library, before = os.environ.get("TENSORLITE_CUBLASLT"), backends._by_name.pop("cupy", None)
    os.environ["TENSORLITE_CUBLASLT"] = str(cublaslt.path())
    found = sys.modules.get("cudnn")
    sys.modules["cudnn"] = cudnn
    backend = CupyBackend(cupy)
    backends.register_backend("cupy", backend)
    try:
        yield backend
    finally:
        del backends._by_name["cupy"], backends._by_type[cupy.ndarray], KIND[cupy.ndarray]
        for op in REGISTRY.values():   # the next one is another backend of the same class of arrays
            for each in (op, op.full or op):
                each.implementations.pop(cupy.ndarray, None)
        del sys.modules["cudnn"]
        if found is not None:
            sys.modules["cudnn"] = found
        del os.environ["TENSORLITE_CUBLASLT"]
        if library is not None:
            os.environ["TENSORLITE_CUBLASLT"] = library
        if before is not None:
            backends.register_backend("cupy", before)
