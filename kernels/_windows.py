"""Which elements of an axis a pooling window or an interpolated point looks at: made once for an axis, then looked up."""
from __future__ import annotations

from functools import cached_property, lru_cache
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

__all__ = ["Taps", "Windows", "adaptive", "back", "channels_last", "identity", "laid_out", "mean", "outputs", "same_layout",
           "sliding", "three", "uploaded", "weighted"]


class Windows:
    """Window i of an axis of ``size`` elements looks at starts[i] + j step for j < lengths[i], all of them inside; ``regular``
    is (kernel, stride, padding) where the windows slide, else None."""

    def __init__(self, size: int, starts: Any, lengths: Any, step: int, regular: tuple[int, int, int] | None) -> None:
        self.size, self.count, self.step, self.regular = size, len(starts), step, regular
        self.starts, self.lengths = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
        self.longest, self.shortest = int(self.lengths.max(initial=1)), int(self.lengths.min(initial=1 << 40))
        self._kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<{self.count} windows on {self.size} elements>"

    @cached_property
    def members(self) -> Any:
        """(count, longest) indices; a window that is shorter repeats its last."""
        j = np.arange(self.longest)
        return self.starts[:, None] + np.minimum(j, self.lengths[:, None] - 1) * self.step

    @cached_property
    def ranges(self) -> Any:
        """Element p can be in the windows ranges[0, p] <= i < ranges[1, p] alone."""
        p = np.arange(self.size)
        last = self.starts + (self.lengths - 1) * self.step
        return np.stack([np.searchsorted(last, p), np.searchsorted(self.starts, p, "right")])


class Taps:
    """Element i of the result is the sum of weight[k] x[index[k]] for first[i] <= k < first[i + 1], along an axis of ``size``."""

    def __init__(self, size: int, first: Any, index: Any, weight: Any) -> None:
        self.size, self.count = size, len(first) - 1
        self.first, self.index = np.asarray(first, np.uint64), np.asarray(index, np.uint64)
        self.weight = np.asarray(weight, np.float64)
        self._kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<taps from {self.size} to {self.count} elements>"

    @cached_property
    def narrow(self) -> Any:
        """The weights in float32."""
        return self.weight.astype(np.float32)

    @cached_property
    def transposed(self) -> Taps:
        """Those of the transposed operator, along ``count``."""
        index = self.index.astype(np.int64)
        order = np.argsort(index, kind="stable")
        source = np.repeat(np.arange(self.count), np.diff(self.first).astype(np.int64))[order]
        first = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=self.size))])
        out = Taps(self.count, first, source, self.weight[order])
        out.__dict__["transposed"] = self
        return out

    @cached_property
    def single(self) -> bool:
        """Whether every element of the result has exactly one tap."""
        return bool((np.diff(self.first) == 1).all())

    @cached_property
    def dense(self) -> tuple[Any, Any, Any]:
        """(index, weight, whether there is such a tap), each (count, most taps)."""
        first, index = self.first.astype(np.int64), self.index.astype(np.int64)
        k = first[:-1, None] + np.arange(np.diff(first).max(initial=0))
        there = k < first[1:, None]
        k = np.where(there, k, 0)
        return np.where(there, index[k], 0), np.where(there, self.weight[k], 0.0), there


# ---- windows -------------------------------------------------------------------------------------------------------------

def outputs(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """How many windows there are; with ``ceil`` one more may hang over the end, if it begins inside or in the left padding."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-room // stride) + 1 if ceil else room // stride + 1
    return count - (ceil and (count - 1) * stride >= size + padding)


@lru_cache(4096)
def sliding(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> Windows:
    """Windows of ``kernel`` elements, ``dilation`` apart, every ``stride``; what is in the padding is left out.

    ``ValueError`` if there is no window, or one that sees padding alone.
    """
    count = outputs(size, kernel, stride, padding, dilation, ceil)
    if count < 1:
        raise ValueError
    begin = np.arange(count) * stride - padding
    skipped = np.maximum(-(begin // dilation), 0)
    starts = begin + skipped * dilation
    lengths = np.minimum(kernel - skipped, -(-(size - starts) // dilation))
    if lengths.min() < 1:
        raise ValueError
    return Windows(size, starts, lengths, dilation, (kernel, stride, padding))


@lru_cache(4096)
def adaptive(size: int, count: int) -> Windows:
    """``count`` windows that share the axis: window i is [floor(i size / count), ceil((i + 1) size / count))."""
    i = np.arange(count)
    starts = i * size // max(count, 1)
    return Windows(size, starts, -(-(i + 1) * size // max(count, 1)) - starts, 1, None)


def three(windows: tuple[Any, ...]) -> tuple[Any, ...]:
    """With axes of length 1 in front, so that there are three."""
    return (*[adaptive(1, 1)] * (3 - len(windows)), *windows)


# ---- taps ----------------------------------------------------------------------------------------------------------------

@lru_cache(4096)
def identity(size: int) -> Taps:
    """Every element as it is."""
    return Taps(size, np.arange(size + 1), np.arange(size), np.ones(size))


@lru_cache(4096)
def mean(windows: Windows, padded: bool, divisor: float | None) -> Taps:
    """The mean of each window, or its sum divided by ``divisor``. ``padded``: the padding counts, but not what is beyond it."""
    counts = windows.lengths
    if padded and windows.regular is not None:
        kernel, stride, padding = windows.regular
        begin = np.arange(windows.count) * stride - padding
        counts = np.minimum(begin + kernel, windows.size + padding) - begin
    first = np.concatenate([[0], np.cumsum(windows.lengths)])
    inside = np.arange(first[-1]) - np.repeat(first[:-1], windows.lengths)
    share = 1.0 / counts if divisor is None else np.full(windows.count, 1.0 / divisor)
    return Taps(windows.size, first, np.repeat(windows.starts, windows.lengths) + inside * windows.step,
                np.repeat(share, windows.lengths))


def weighted(size: int, index: Any, weight: Any) -> Taps:
    """Element i is the sum of weight[i, j] x[index[i, j]] over j; taps of weight 0 are left out."""
    there = weight != 0
    return Taps(size, np.concatenate([[0], np.cumsum(there.sum(1))]), index[there], weight[there])


# ---- arrays in memory ----------------------------------------------------------------------------------------------------

def channels_last(x: Any, axes: int) -> bool:
    """Whether x (..., C, *spatial), of ``axes`` spatial axes, lies in memory as (..., *spatial, C), and not as it is."""
    if x.flags.c_contiguous or x.ndim <= axes or x.ndim > axes + 2:
        return False
    return bool(_last(x, axes).flags.c_contiguous)


def _last(x: Any, axes: int) -> Any:
    k = x.ndim - axes - 1
    return x.transpose(*range(k), *range(k + 1, x.ndim), k)


def laid_out(x: Any, axes: int, contiguous: Any) -> tuple[Any, bool, int, tuple[int, ...], int]:
    """(x in one of the two layouts, whether it is channels last, outer length, spatial lengths, inner length); x itself if it is
    in one, else what ``contiguous`` makes of it."""
    last = channels_last(x, axes)
    spatial = tuple(x.shape[x.ndim - axes:])
    outer = prod(x.shape[:x.ndim - axes])
    if last:
        inner = x.shape[x.ndim - axes - 1]
        return _last(x, axes), True, outer // max(inner, 1), spatial, inner
    return contiguous(x), False, outer, spatial, 1


def same_layout(x: Any, axes: int, last: bool, contiguous: Any) -> Any:
    """x as an array whose memory is (..., *spatial, C) if ``last``, else (..., C, *spatial)."""
    return contiguous(_last(x, axes) if last else x)


def back(x: Any, axes: int, last: bool) -> Any:
    """An array of memory (..., *spatial, C) as (..., C, *spatial)."""
    return x.transpose(*range(x.ndim - axes - 1), x.ndim - 1, *range(x.ndim - axes - 1, x.ndim - 1)) if last else x


def uploaded(runtime: Any, owner: Any, key: str, make: Any) -> Any:
    """``make()``, a NumPy array of an axis' geometry, on the current device; uploaded once."""
    kept = owner._kept.setdefault(runtime, {})
    place = runtime.cupy.cuda.Device().id, key
    if place not in kept:
        kept[place] = runtime.on_device(make())
    return kept[place]
