"""Philox on CUDA: written 16 bytes at a time; the numbers are the CPU's, bit for bit."""
from __future__ import annotations

from math import ceil, prod
from typing import Any

from .._cuda import Runtime, Source
from .reference import reference

__all__ = ["SOURCE", "philox", "wrapped"]

SOURCE = Source(__file__, "kernel.cu", options=("-fmad=false",))
_DTYPES = {"bits": ("uint32", "uint64"), "uniform": ("float32", "float64"), "normal": ("float32", "float64"),
           "integers": ("int64", "uint64"), "bernoulli": ("bool",)}


def wrapped(word: int) -> int:
    """A number modulo 2^64, as the signed number of the same bits."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


def philox(runtime: Runtime, *, kind: str, shape: tuple[int, ...], dtype: str, seed: int, stream: int = 0, offset: int = 0,
           low: Any = 0, high: Any = 1, bits: int = 24, mean: float = 0.0, std: float = 1.0, p: float = 0.5,
           device: Any = None) -> Any:
    """One draw on the current device, as in :func:`.reference.reference`."""
    if dtype not in _DTYPES.get(kind, ()):
        return reference(runtime.xp, kind=kind, shape=shape, dtype=dtype, seed=seed, stream=stream, offset=offset, low=low,
                         high=high, bits=bits, mean=mean, std=std, p=p)
    last: tuple[Any, ...] = ()
    if kind == "bits":
        entry = f"bits_{dtype}"
    elif kind == "uniform":
        entry, last = f"uniform_{dtype}", (bits, float(low), float(high), float(high - low))
    elif kind == "normal":
        entry, last = f"normal_{dtype}", (float(mean), float(std))
    elif kind == "integers":
        entry, last = ("integers" if high - low <= 1 << 32 else "wide_integers"), (wrapped(low), wrapped(high - low))
    else:
        entry, last = "bernoulli", (ceil(p * 2**32),)
    out, n = runtime.cupy.empty(shape, dtype), prod(shape)
    if n:
        grid, place = runtime.grid(n, 256, 16 // out.dtype.itemsize), map(wrapped, (seed, stream, offset))
        runtime.function(SOURCE, f"philox_{entry}")(grid, (256,), (out, n, *place, *last))
    return out
