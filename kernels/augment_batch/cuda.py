"""A batch of a data set, augmented, on CUDA: gathered, moved, mirrored, cut, converted and normalised in one pass."""
from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .._cuda import SUFFIX, Runtime, Source
from ..check_indices.cuda import kind_of_fault, plain
from .reference import augment_batch as reference
from .reference import channel_constants, check, out_size

__all__ = ["SOURCE", "augment_batch"]

SOURCE = Source(__file__, "kernel.cu", options=("--fmad=false",))   # products and sums rounded one by one, as on the CPU
_INPUTS = {"uint8": "u8", "float32": "f32"}
_uploaded: WeakKeyDictionary[Runtime, dict[Any, Any]] = WeakKeyDictionary()


def augment_batch(runtime: Runtime, images: Any, indices: Any, moves: Any, *, size: Any = None, cut: int = 0, fill: Any = 0,
                  factor: Any = 1.0, offset: Any = None, dtype: Any = "float32") -> Any:
    """See :func:`.reference.augment_batch`, which is left images other than uint8 and float32, and float64 results.

    An index out of range gives the first image, and is raised at the next synchronisation.
    """
    check(images, indices, moves)
    out_dtype = np.dtype(dtype)
    entry, to = _INPUTS.get(images.dtype.name), SUFFIX.get(out_dtype.name)
    n, channels, height, width = images.shape
    constants = _constants(runtime, channels, images.dtype.name, fill, factor, offset)
    if entry is None or to in (None, "f64") or constants is None or not images.flags.c_contiguous or not images.size:
        return reference(runtime.xp, images, indices, moves, size=size, cut=cut, fill=fill, factor=factor, offset=offset,
                         dtype=dtype)
    rows, columns = out_size(images, size)
    out = runtime.cupy.empty((indices.size, channels, rows, columns), out_dtype)
    if not out.size:
        return out
    indices, index = plain(runtime, indices)
    moves = runtime.contiguous(moves.astype("int32", copy=False))
    runtime.function(SOURCE, f"augment_batch_{entry}_{to}_{index}")(
        runtime.grid(out.size, 256, 16 // out_dtype.itemsize), (256,),
        (out, images, indices, moves, indices.size, channels, height, width, rows, columns, int(cut), n, *constants,
         runtime.faults.pointer, kind_of_fault(-n, "augment_batch", 0, tuple(images.shape))))
    return out


def _constants(runtime: Runtime, channels: int, dtype: str, fill: Any, factor: Any, offset: Any) -> Any:
    """:func:`channel_constants` on the current device, uploaded once; 0, the null pointer, for no offset."""
    given = [None if v is None else np.asarray(v, np.float32) for v in (fill, factor, offset)]
    key = (runtime.cupy.cuda.Device().id, channels, dtype, *[v if v is None else (v.shape, v.tobytes()) for v in given])
    kept = _uploaded.setdefault(runtime, {})
    if key not in kept:
        found = channel_constants(channels, fill, factor, offset)
        if found is not None:
            found = (found[0].astype(dtype).astype(np.float32), *found[1:])
        kept[key] = found and tuple([runtime.on_device(a) if a.size else 0 for a in found])
    return kept[key]
