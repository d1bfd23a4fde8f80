"""The error function for the CPU: one pass, vectorised in float32."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._activations import erf_block, erfc_block
from .._half import is_half
from .._math import jit
from .._parallel import run
from .reference import erf as reference

__all__ = ["erf"]

GRAIN = 200_000   # elements worth a thread: 100 us of work in float32


@jit(nogil=True)
def _erf(low: Any, high: Any, x: Any, complement: Any, out: Any) -> None:
    if complement:
        erfc_block(x[low:high], out[low:high])
    else:
        erf_block(x[low:high], out[low:high])


def erf(x: Any, *, complement: bool = False) -> Any:
    """See :func:`.reference.erf`; dtypes other than float16, bfloat16, float32 and float64 are left to it."""
    if is_half(x):
        return erf(x.astype(np.float32), complement=complement).astype(x.dtype)
    if x.dtype.char not in "fd":
        return reference(np, x, complement=complement)
    out = np.empty(x.shape, x.dtype)
    run(_erf, x.size, GRAIN, x.reshape(-1), complement, out.reshape(-1))
    return out
