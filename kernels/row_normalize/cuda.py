"""Layer norm's forward on CUDA: a row is read once into the registers of some lanes, a warp or a block, and written once."""
from __future__ import annotations

from typing import Any

from .._cuda import SUFFIX, Runtime, Source
from .reference import row_normalize as reference

__all__ = ["SOURCES", "arrangement", "row_normalize", "sources", "weighted"]

_TYPES = {"f32": ("float", "float"), "f16": ("f16", "f16"), "bf16": ("bf16", "bf16"), "f64": ("double", "double"),
          "f16_f32": ("f16", "float"), "bf16_f32": ("bf16", "float")}


def sources(file: str) -> dict[str, Source]:
    """The kernel beside ``file``, by its entry points' suffix: for each type of elements and, where it is another, of weights."""
    return {suffix: Source(file, "kernel.cu", options=(f"-DELEMENT={element}", f"-DWEIGHT={weight}", f"-DSUFFIX={suffix}"))
            for suffix, (element, weight) in _TYPES.items()}


SOURCES = sources(__file__)
LONGEST = 384 * 8   # packs of 16 bytes in the registers of a block; longer rows are read twice
SLICE = 256 * 8      # packs a block takes of such a row


def weighted(x: Any, *weights: Any) -> str | None:
    """The entry points' suffix for these elements and weights; None for what no kernel takes."""
    kind, types = SUFFIX.get(x.dtype.name), {w.dtype.name for w in weights if w is not None}
    if types <= {x.dtype.name}:
        return kind
    return f"{kind}_f32" if types == {"float32"} and x.dtype.itemsize == 2 and kind is not None else None


def arrangement(packs: int, most: int) -> tuple[int, int]:
    """(packs a thread, threads a row) for rows of so many packs of 16 bytes; ``most`` packs fit a thread."""
    if packs <= 32:
        return 1, 1 << (packs - 1).bit_length()
    each = 4 if packs <= 32 * 4 else most
    return each, -(-packs // (32 * each)) * 32


def row_normalize(runtime: Runtime, x: Any, w: Any, b: Any, *, eps: float, center: bool = True) -> Any:
    """See :func:`.reference.row_normalize`; float16, bfloat16, float32 and float64, with weights of that type or, for the 16-bit
    ones, of float32; other dtypes are left to it."""
    kind = weighted(x, w, b)
    if kind is None or not x.size:
        return reference(runtime.xp, x, w, b, eps=eps, center=center)
    empty, m = runtime.cupy.empty, x.shape[-1]
    n, packs, wide = x.size // m, -(-m * x.dtype.itemsize // 16), "float64" if kind == "f64" else "float32"
    x, w, b = (0 if a is None else runtime.contiguous(a) for a in (x, w, b))
    out, mean, var = empty(x.shape, x.dtype), empty(x.shape[:-1], wide), empty(x.shape[:-1], wide)
    parts: Any = 0
    each, group, columns, length = *arrangement(packs, 8), m, m
    if packs > LONGEST:
        each, group, columns = 8, 256, SLICE * 16 // x.dtype.itemsize
        length = columns * -(-m // (columns * 256))
        count = -(-m // length)
        parts = empty((n, count, 2), wide)
        runtime.function(SOURCES[kind], f"row_normalize_parts_{kind}")((count, min(n, 65535)), (256,), (parts, x, n, m, length))
    threads = group if group > 32 else 128
    blocks = min(-(-n * group // threads), 65535, 16 * runtime.multiprocessors)
    runtime.function(SOURCES[kind], f"row_normalize_{each}_{kind}")(
        (-(-m // columns), blocks), (threads,),
        (out, mean, var, x, w, b, parts, length, n, m, group, columns, float(eps), int(center)))
    return out, mean, var
