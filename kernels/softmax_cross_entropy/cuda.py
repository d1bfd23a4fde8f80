"""Softmax cross-entropy on CUDA: loss and gradient in one launch, each row read from memory once where it fits on the chip.

Bytes moved an element, and what keeps the row meanwhile (``variant``; None chooses by the row's length):

=============  ==========================  ================================================  =======================
variant        bytes (float32, 16-bit)     a row is kept in                                  chosen for rows of
=============  ==========================  ================================================  =======================
tiles          8, 4                        shared memory, many rows a block                  less than 1 KiB
registers      8, 4                        the registers of a warp                           up to 4 KiB (16-bit, 64-bit: 2)
shared         8, 4                        a block's shared memory, refilled while emptied   up to 223 KiB on Hopper
two_pass       8 to 12, 4 to 6             the second-level cache, as far as it goes         any length
=============  ==========================  ================================================  =======================
"""
from __future__ import annotations

from functools import lru_cache
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from .._cuda import SUFFIX, Faults, Runtime, Source
from .reference import REDUCTIONS, check, label_error
from .reference import softmax_cross_entropy as reference

__all__ = ["KIND", "SOURCES", "VARIANTS", "softmax_cross_entropy"]

class _Suffixes(dict[Any, "str | None"]):
    """An entry point's suffix by dtype, made once for each: a dtype takes a microsecond to say its name."""

    def __missing__(self, dtype: Any) -> str | None:
        self[dtype] = found = SUFFIX.get(dtype.name)
        return found


_SUFFIX = _Suffixes()
_ELEMENT = {"f32": "float", "f16": "f16", "bf16": "bf16", "f64": "double"}
SOURCES = {suffix: Source(__file__, "kernel.cu", options=(f"-DSUFFIX={suffix}", f"-DELEMENT={element}"))
           for suffix, element in _ELEMENT.items()}
VARIANTS = ("tiles", "registers", "shared", "two_pass")
_LABEL_BYTES = {np.dtype(t): np.dtype(t).itemsize for t in (np.int64, np.int32, np.uint8)}   # labels read as they are

# As in kernel.cu
TILE = 16 << 10                           # bytes of rows in a tile
REGISTERS = {2: 128, 4: 256, 8: 128}      # packs of 16 bytes that a warp's registers hold, by an element's bytes
MOST_THREADS = {2: 1024, 4: 1024, 8: 512}  # of a block that keeps a row in shared memory
STATIC = 4 << 10                          # bytes of shared memory a block has beside its row, with what the system takes
LABELS_EACH = 64                          # labels a thread reads on the way, to count them; more are counted by a launch before

KIND = Faults.kind(label_error)


class _Launch(NamedTuple):
    variant: str
    grid: int
    threads: int
    shared: int                     # bytes of dynamic shared memory
    more: tuple[int, ...] = ()      # arguments beyond those of all variants


def _choose(item: int, c: int, shared_memory: int) -> str:
    if c * item < 1024:
        return "tiles"
    if c * item // 16 <= REGISTERS[item]:
        return "registers"
    return "shared" if c * item <= shared_memory - STATIC else "two_pass"


@lru_cache(1024)
def launch(item: int, n: int, c: int, variant: str | None, multiprocessors: int, shared_memory: int) -> _Launch:
    """Which variant an (n, c) array of elements of ``item`` bytes gets, and its launch. Raises ``ValueError`` for one asked for
    that cannot take such rows.
    """
    row, variant = c * item, variant or _choose(item, c, shared_memory)
    longest = {"tiles": shared_memory - STATIC, "registers": 16 * REGISTERS[item] + 15, "shared": shared_memory - STATIC,
               "two_pass": row}.get(variant)
    if longest is None or row > longest:
        raise ValueError(f"softmax_cross_entropy: variant is {variant!r}, expected one of {', '.join(map(repr, VARIANTS))}"
                         if longest is None else
                         f"softmax_cross_entropy: variant={variant!r} takes rows of up to {longest} bytes, these have {row}")
    if variant == "tiles":
        lanes = min(32, max(c & -c, 1 << (max(c, 1) // 16).bit_length()))   # a power of two: no bank conflicts, at most 16 turns
        rows = max(1, min(TILE // max(row, 1), max(-(-n // multiprocessors), 256 // lanes)))
        return _Launch("tiles", max(1, min(-(-n // rows), 5 * multiprocessors)), 256, 16 * (rows * row // 16 + 3), (rows, lanes))
    if variant == "registers":
        warps = min(8, max(1, -(-n // multiprocessors)))
        return _Launch("registers", max(1, min(-(-n // warps), 3 * multiprocessors)), 32 * warps, 0)
    if variant == "shared":
        bytes_ = 16 * max(1, row // 16)
        blocks = max(1, (shared_memory + 1024) // (bytes_ + STATIC))   # that the shared memory of a multiprocessor takes
        most = MOST_THREADS[item]
        threads = max(64, min(most // blocks // 32 * 32, -(-(row // 64) // 32) * 32))   # up to four packs of 16 bytes each
        return _Launch("shared", max(1, min(n, min(blocks, most // threads) * multiprocessors)), threads, bytes_)
    return _Launch("two_pass", max(1, min(n, multiprocessors)), 512, 0)   # few blocks, so that their rows stay in the cache


def softmax_cross_entropy(
    runtime: Runtime, logits: Any, labels: Any, *, ignore_index: int = -100, label_smoothing: float = 0.0, weight: Any = None,
    reduction: str = "mean", want_grad: bool = True, wide: bool = False, variant: str | None = None,
) -> tuple[Any, Any]:
    """See :func:`.reference.softmax_cross_entropy`; dtypes other than float16, bfloat16, float32 and float64 are left to it.

    A label out of range gives NaN for its row, and its error when the host next looks. The same call gives the same bits each
    time on one device. ``variant``: one of ``VARIANTS``, for measurements; None takes the one for these shapes.
    """
    check(logits, labels, label_smoothing, weight, reduction)
    suffix, label_bytes = _SUFFIX[logits.dtype], _LABEL_BYTES.get(labels.dtype, 0)
    if suffix is None or labels.dtype.kind not in "iu":
        return reference(runtime.xp, logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing, weight=weight,
                         reduction=reduction, want_grad=want_grad, wide=wide)
    (n, c), item, cupy = logits.shape, logits.dtype.itemsize, runtime.cupy
    name, grid, threads, shared, more = launch(item, n, c, variant, runtime.multiprocessors, runtime.shared_memory)
    logits = runtime.contiguous(logits)
    labels = runtime.contiguous(labels if label_bytes else labels.astype("int64"))
    if weight is not None:
        weight = runtime.contiguous(weight.astype("float64" if item == 8 else "float32", copy=False))
    loss = cupy.empty((n,) if reduction == "none" else (), "float32" if wide and item == 2 else logits.dtype)
    grad = _beside(runtime, logits) if want_grad else None
    if n == 0 and reduction == "none":
        return loss, grad
    counted = reduction == "mean" and n > LABELS_EACH * threads
    scratch = _scratch(runtime) if reduction != "none" and (grid > 1 or counted) else 0
    args = (loss, 0 if grad is None else grad, scratch, logits, labels, 0 if weight is None else weight, int(counted),
            runtime.faults.pointer, KIND, n, c, label_bytes or 8, ignore_index, REDUCTIONS.index(reduction),
            float(label_smoothing), int(wide))
    source = SOURCES[suffix]
    if counted:
        runtime.function(source, f"softmax_cross_entropy_count_{suffix}")(runtime.grid(n, 256, 8, 1), (256,), args)
    run = runtime.function(source, f"softmax_cross_entropy_{name}_{suffix}")
    if shared > (48 << 10) - STATIC and run.max_dynamic_shared_size_bytes < shared:   # type: ignore[attr-defined]
        run.max_dynamic_shared_size_bytes = shared   # type: ignore[attr-defined]
    run((grid,), (threads,), (*args, *more), shared_mem=shared)
    return loss, grad


def _address(array: Any) -> int:
    found: int = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return found


def _beside(runtime: Runtime, logits: Any) -> Any:
    """Room for the gradient, which lies with regard to 16 bytes as the logits do: kernels read and write 16 bytes of both."""
    phase = _address(logits) % 16
    out = runtime.cupy.empty(logits.shape, logits.dtype)
    if _address(out) % 16 == phase or not logits.size:
        return out
    item = logits.dtype.itemsize
    room = runtime.cupy.empty(logits.size + 16 // item, logits.dtype)
    first = (phase - _address(room)) % 16 // item
    return room[first:first + logits.size].reshape(logits.shape)


def _scratch(runtime: Runtime) -> Any:
    """What the blocks of a launch share: a ticket, which each launch leaves at zero, a count, and each block's sum.

    Launches that may run at the same time have their own, so there is one for each stream (and thread, as the stream "of this
    thread" has one number in all threads).
    """
    cuda = runtime.cupy.cuda
    stream = cuda.get_current_stream()
    key = ("softmax_cross_entropy", cuda.runtime.getDevice(), stream.ptr, get_ident())
    kept = vars(runtime).setdefault("scratch", {})
    found = kept.get(key)
    if found is None:
        found = runtime.cupy.zeros(2 + 32 * runtime.multiprocessors, "float64")
        if not stream.is_capturing():   # memory of a capture belongs to its graph, which zeroes it in each replay
            kept[key] = found
    return found
