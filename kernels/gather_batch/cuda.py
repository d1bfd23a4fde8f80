"""A batch of a data set on CUDA: rows gathered, converted and normalised in one pass, 16 bytes at a time."""
from __future__ import annotations

from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .._cuda import SUFFIX, Runtime, Source
from ..check_indices.cuda import kind_of_fault, plain
from .reference import constants
from .reference import gather_batch as reference

__all__ = ["SOURCE", "gather_batch"]

SOURCE = Source(__file__, "kernel.cu", options=("--fmad=false",))   # products and sums rounded one by one, as on the CPU
_INPUTS = {"uint8": "u8", "float32": "f32"}
_uploaded: WeakKeyDictionary[Runtime, dict[Any, Any]] = WeakKeyDictionary()


def gather_batch(runtime: Runtime, images: Any, indices: Any, *, factor: Any = 1.0, offset: Any = None,
                 dtype: Any = "float32") -> Any:
    """See :func:`.reference.gather_batch`, which is left images other than uint8 and float32, and float64 results.

    An index out of range gives the first row, and is raised at the next synchronisation.
    """
    out_dtype = np.dtype(dtype)
    entry, to = _INPUTS.get(images.dtype.name), SUFFIX.get(out_dtype.name)
    found = _constants(runtime, tuple(images.shape[1:]), factor, offset)
    if entry is None or to in (None, "f64") or found is None or not images.flags.c_contiguous:
        return reference(runtime.xp, images, indices, factor=factor, offset=offset, dtype=dtype)
    factors, offsets, inner = found
    rows, width = images.shape[0], prod(images.shape[1:])
    out = runtime.cupy.empty((indices.size, *images.shape[1:]), out_dtype)
    if not out.size:
        return out
    indices, index = plain(runtime, indices)
    runtime.function(SOURCE, f"gather_batch_{entry}_{to}_{index}")(
        runtime.grid(32 * indices.size), (256,),
        (out, images, indices, indices.size, width, rows, factors, offsets, inner, runtime.faults.pointer,
         kind_of_fault(-rows, "gather_batch", 0, tuple(images.shape))))
    return out


def _constants(runtime: Runtime, shape: tuple[int, ...], factor: Any, offset: Any) -> Any:
    """:func:`constants` on the current device, uploaded once; 0, the null pointer, for no offset."""
    factor, offset = np.asarray(factor, np.float32), None if offset is None else np.asarray(offset, np.float32)
    key = (runtime.cupy.cuda.Device().id, shape, factor.shape, factor.tobytes(),
           offset if offset is None else (offset.shape, offset.tobytes()))
    kept = _uploaded.setdefault(runtime, {})
    if key not in kept:
        found = constants(shape, factor, offset)
        kept[key] = found and tuple([0 if a is None else a if a.__class__ is int else runtime.on_device(a) for a in found])
    return kept[key]
