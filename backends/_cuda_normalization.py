"""Layer, RMS, group and batch norm on CUDA: the kernels for rows and for channels, and one launch for the running statistics."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tensorlite import kernels
from tensorlite.kernels._normalization import by_kernels


def table(backend: Any) -> dict[str, Callable[..., Any]]:
    """Operation -> function of raw arrays."""
    from tensorlite.kernels.channel_normalize.cuda import running_moments
    runtime = backend.runtime

    def variant(name: str) -> Callable[..., Any] | None:
        run = kernels.load(name).cuda
        return None if run is None else partial(run, runtime)
    return {**by_kernels(backend.xp, variant), "running_moments": partial(running_moments, runtime)}
