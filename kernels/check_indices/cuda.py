"""Whether integers are within a range, on CUDA: the device looks and reports, the host goes on without waiting."""
from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

import numpy as np

from .._cuda import Faults, Runtime, Source
from .reference import out_of_range

__all__ = ["SOURCE", "check_indices", "kind_of_fault", "plain"]

SOURCE = Source(__file__, "kernel.cu")


def check_indices(runtime: Runtime, indices: Any, *, low: int, high: int, what: str = "check_indices", axis: int | None = None,
                  shape: tuple[int, ...] | None = None) -> Any:
    """``indices`` themselves; one that is out of range is raised at the next synchronisation, in the reference's words."""
    if not indices.size or _all_fit(indices.dtype, low, high):
        return indices
    words, suffix = plain(runtime, indices)
    runtime.function(SOURCE, f"check_indices_{suffix}")(
        runtime.grid(words.size), (256,),
        (words, words.size, low, high, runtime.faults.pointer, kind_of_fault(low, what, axis, shape)))
    return indices


@cache
def kind_of_fault(low: int, what: str, axis: int | None = None, shape: tuple[int, ...] | None = None) -> int:
    """The kind of ``report(fault, kind, index, place, high)``."""
    def error(index: int, place: int, high: int) -> NoReturn:
        out_of_range(index, low, high, what, axis, shape)
    return Faults.kind(error)


def plain(runtime: Runtime, indices: Any) -> tuple[Any, str]:
    """Contiguous int32 or int64 of the same value, and the entry points' suffix; what int64 cannot hold becomes its largest."""
    name = indices.dtype.name
    if name == "uint64":
        indices = runtime.xp.minimum(indices, np.uint64((1 << 63) - 1))
    if name not in ("int32", "int64"):
        indices, name = indices.astype("int64"), "int64"
    return runtime.contiguous(indices), "i32" if name == "int32" else "i64"


def _all_fit(dtype: Any, low: int, high: int) -> bool:
    """Whether the dtype has no value outside [low, high)."""
    limits = np.iinfo(dtype)
    return low <= limits.min and limits.max < high
