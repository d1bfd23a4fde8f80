"""Interpolation: an image on another grid, as weighted sums along its axes."""
from __future__ import annotations

from functools import lru_cache
from math import floor
from typing import Any

import numpy as np

from tensorlite import _dtypes
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.kernels._windows import weighted
from tensorlite.ops._names import torch_names
from tensorlite.ops.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, resample_p

Array = Any
_AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_MODES = ("nearest", "nearest-exact", "area", *_AXES)
_FREE = ("nearest", "nearest-exact", "area")   # that know of no corners


def _cubic(t: Any, a: float) -> Any:
    """The cubic convolution kernel (Keys 1981)."""
    t = np.abs(t)
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


@lru_cache(1024)
def _grid(size: int, count: int, mode: str, align: bool, scale: float | None, antialias: bool) -> Any:
    """The taps of one axis; ``scale``: elements of the input to one of the result, size / count unless given."""
    i = np.arange(count)
    ratio = size / count if scale is None else scale
    if mode.startswith("nearest"):   # in float32, as PyTorch, with which the choice is to agree
        at = (i.astype(np.float32) + np.float32(0.5 if mode == "nearest-exact" else 0)) * np.float32(ratio)
        return weighted(size, np.minimum(np.floor(at).astype(np.int64), size - 1)[:, None], np.ones((count, 1)))
    between = (size - 1) / (count - 1) if count > 1 else 0.0
    if antialias:
        return _smooth(size, count, 2.0 if mode == "bicubic" else 1.0, between if align else ratio)
    at = i * between if align else (i + 0.5) * ratio - 0.5
    if mode == "bicubic":
        first = np.floor(at).astype(np.int64)
        index = first[:, None] + np.arange(-1, 3)
        return weighted(size, np.clip(index, 0, size - 1), _cubic(at[:, None] - index, -0.75))
    at = np.maximum(at, 0.0)
    first = np.minimum(np.floor(at).astype(np.int64), size - 1)
    part = np.minimum(at - first, 1.0)
    return weighted(size, np.stack([first, np.minimum(first + 1, size - 1)], 1), np.stack([1 - part, part], 1))


def _smooth(size: int, count: int, radius: float, ratio: float) -> Any:
    """Taps of a kernel as wide as an element of the coarser grid, so that what the result cannot show is averaged away."""
    stretch = max(ratio, 1.0)
    centre = ratio * (np.arange(count) + 0.5)
    first = np.maximum((centre - radius * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius * stretch + 0.5).astype(np.int64), size)
    index = first[:, None] + np.arange((last - first).max())
    t = (index - centre[:, None] + 0.5) / stretch
    weight = np.where(index < last[:, None], np.maximum(1 - np.abs(t), 0) if radius == 1 else _cubic(t, -0.5), 0.0)
    return weighted(size, np.minimum(index, size - 1), weight / weight.sum(1, keepdims=True))


def _sizes(x: Any, size: Any, scale_factor: Any) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """(the result's lengths, the scale factors that are given)."""
    sizes, axes = tuple(x.shape[2:]), x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ShapeError(f"interpolate: size is {size!r} and scale_factor is {scale_factor!r}; expected exactly one of them")
    given = size if scale_factor is None else scale_factor
    many = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
    if len(many) != axes:
        raise ShapeError(f"interpolate: {given!r} for input of shape {tuple(x.shape)}; expected one number, or {axes}")
    if scale_factor is None:
        counts, factors = tuple([int(n) for n in many]), (None,) * axes
    else:
        counts, factors = tuple([floor(n * float(f)) for n, f in zip(sizes, many)]), tuple([float(f) for f in many])
    if min(counts) < 1 or 0 in sizes:
        raise ShapeError(f"interpolate: from lengths {sizes} to {counts}; expected lengths of at least 1")
    return counts, factors


@torch_names
def interpolate(input: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False) -> Array:
    """(N, C, ...) on a grid of another ``size``, or of ``scale_factor`` times the lengths, rounded down.

    ``mode``: "nearest" (element floor(i n / m)), "nearest-exact" (floor((i + 1/2) n / m)), "linear", "bilinear", "trilinear" (for
    one, two and three axes), "bicubic" (Keys 1981, with a = -0.75), "area" (adaptive average pooling).
    Elements are squares whose middles are (i + 1/2) n / m; with ``align_corners`` points, the first and the last of both grids
    being the same. With ``scale_factor`` its inverse stands for n / m, unless ``recompute_scale_factor``.
    ``antialias`` ("bilinear" and "bicubic"): average over what an element of a coarser grid covers.
    Errors: ``ShapeError``, also for an unknown mode.

    >>> import tensorlite as tl
    >>> tl.nn.functional.interpolate(tl.tensor([[[0.0, 2.0]]]), size=3, mode="linear", align_corners=True).tolist()
    [[[0.0, 1.0, 2.0]]]
    """
    if mode not in _MODES:
        raise ShapeError(f"interpolate: mode {mode!r} is unknown; there are {', '.join(_MODES)}")
    if _dtypes.kind(input.dtype) not in "fc":
        raise DTypeError(f"interpolate: input has dtype {input.dtype}; expected a floating one")
    axes = input.ndim - 2
    if not 1 <= axes <= 3 or _AXES.get(mode, axes) != axes:
        needed = f"{_AXES[mode] + 2}" if mode in _AXES else "3 to 5"
        raise ShapeError(f"interpolate: input has shape {tuple(input.shape)}; mode {mode!r} expects {needed} axes, (N, C, ...)")
    if align_corners is not None and mode in _FREE:
        raise ShapeError(f"interpolate: align_corners is for linear and cubic modes, and mode is {mode!r}; leave it out")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ShapeError(f"interpolate: antialias is for modes 'bilinear' and 'bicubic', and mode is {mode!r}; leave it out")
    counts, factors = _sizes(input, size, scale_factor)
    if mode == "area":
        pool: Any = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[axes - 1]
        return pool(input, counts)
    scales = [None if f is None or recompute_scale_factor else 1 / f for f in factors]
    kind = "linear" if mode.endswith("linear") else mode
    return resample_p(input, taps=tuple([_grid(n, m, kind, bool(align_corners), s, bool(antialias))
                                         for n, m, s in zip(input.shape[2:], counts, scales)]))


__all__ = ["interpolate"]
