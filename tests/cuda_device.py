"""The CUDA backend for tests: on the GPU where there is one, else on the stand-in for CuPy (``cuda_on_cpu``)."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tensorlite import backends
from tensorlite.backends._cuda import CupyBackend
from tensorlite.engine.value import KIND


def real() -> bool:
    """Whether there is a GPU that CuPy can use."""
    import tensorlite as tl
    return tl.cuda.is_available()


@contextmanager
def stand_in() -> Iterator[CupyBackend]:
    """The CUDA backend on the stand-in, registered as ``"cuda"`` inside."""
    from cuda_on_cpu import cupy
    before = backends._by_name.pop("cupy", None)
    backend = CupyBackend(cupy)
    backends.register_backend("cupy", backend)
    try:
        yield backend
    finally:
        del backends._by_name["cupy"], backends._by_type[cupy.ndarray], KIND[cupy.ndarray]
        if before is not None:
            backends.register_backend("cupy", before)
