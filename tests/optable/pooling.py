"""Pooling and interpolation, by loops over windows and points; tests/test_pooling.py compares with PyTorch."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np

from optable._row import Case, Row
from tensorlite.nn import functional as F

Cases = Callable[[np.random.Generator], Iterator[Case]]


def several(*calls: tuple[tuple[int, ...], tuple[Any, ...], dict[str, Any]]) -> Cases:
    """(shape, further arguments, keywords) one by one."""
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for shape, rest, kwargs in calls:
            yield Case((rng.standard_normal(shape), *rest), kwargs)
    return cases


# ---- windows -----------------------------------------------------------------------------------------------------------------

def _many(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def _sliding(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> Iterator[tuple[list[int], int]]:
    """(the places inside, how many with padding) of every window."""
    for start in range(-p, n, s):   # with ``ceil`` one more, which may hang over the end
        places = [start + j * d for j in range(k)]
        if start + d * (k - 1) < n + p + (s - 1 if ceil else 0):
            yield [q for q in places if 0 <= q < n], len([q for q in places if q < n + p])


def _adaptive(n: int, m: int) -> Iterator[tuple[list[int], int]]:
    for i in range(m):
        places = list(range(i * n // m, -(-(i + 1) * n // m)))
        yield places, len(places)


def _pooled(x: Any, axes: int, found: list[list[tuple[list[int], int]]], f: Callable[[Any, int], Any]) -> Any:
    """``f(the elements (..., windows'), how many with padding)`` for every window of the last axes."""
    out = np.zeros((*x.shape[:-axes], *map(len, found)))
    for at in product(*[range(len(w)) for w in found]):
        places = [found[k][i][0] for k, i in enumerate(at)]
        part = x
        for k, p in enumerate(places):
            part = np.take(part, p, axis=x.ndim - axes + k)
        counts = [found[k][i][1] for k, i in enumerate(at)]
        out[(..., *at)] = f(part.reshape(*x.shape[:-axes], prod(map(len, places))), prod(counts))
    return out


def _slid(x: Any, axes: int, k: Any, s: Any, p: Any, d: Any, ceil: bool) -> list[list[tuple[list[int], int]]]:
    k = _many(k, axes)
    s = k if s is None else _many(s, axes)
    return [list(_sliding(*one, ceil)) for one in zip(x.shape[-axes:], k, s, _many(p, axes), _many(d, axes))]


def _max(axes: int) -> Callable[..., Any]:
    def pool(x: Any, k: Any, s: Any = None, p: Any = 0, d: Any = 1, ceil: bool = False) -> Any:
        return _pooled(x, axes, _slid(x, axes, k, s, p, d, ceil), lambda part, n: part.max(-1))
    return pool


def _avg(axes: int) -> Callable[..., Any]:
    def pool(x: Any, k: Any, s: Any = None, p: Any = 0, ceil: bool = False, padded: bool = True, divisor: Any = None) -> Any:
        return _pooled(x, axes, _slid(x, axes, k, s, p, 1, ceil),
                       lambda part, n: part.sum(-1) / (divisor or (n if padded else part.shape[-1])))
    return pool


def _lp(x: Any, norm: float, k: Any, s: Any = None) -> Any:
    return _pooled(x, 2, _slid(x, 2, k, s, 0, 1, False), lambda part, n: (np.abs(part) ** norm).sum(-1) ** (1 / norm))


def _shared(axes: int, f: Callable[[Any], Any]) -> Callable[..., Any]:
    def pool(x: Any, size: Any) -> Any:
        sizes = [n if m is None else m for n, m in zip(x.shape[-axes:], _many(size, axes))]
        return _pooled(x, axes, [list(_adaptive(n, m)) for n, m in zip(x.shape[-axes:], sizes)], lambda part, n: f(part))
    return pool


def _unpooled(x: Any) -> Any:
    """Pooled, and each maximum at its place again."""
    out, index = F.max_pool2d(x, (2, 3), return_indices=True)
    return F.max_unpool2d(out, index, (2, 3))


def _unpooled_reference(x: Any) -> Any:
    found = _slid(x, 2, (2, 3), None, 0, 1, False)
    out = np.zeros_like(x)
    for (a, _), (b, _) in product(*found):
        part = x[..., a, :][..., b]
        out[..., a[0]:a[-1] + 1, b[0]:b[-1] + 1] = np.where(part == part.max((-1, -2), keepdims=True), part, 0)
    return out


# ---- interpolation -------------------------------------------------------------------------------------------------------------

def _cubic(t: float) -> float:
    t, a = abs(t), -0.75
    return (a + 2) * t**3 - (a + 3) * t**2 + 1 if t <= 1 else a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def _points(n: int, m: int, mode: str, align: bool) -> Any:
    """The matrix (m, n) of one axis."""
    out = np.zeros((m, n))
    for i in range(m):
        at = i * (n - 1) / (m - 1) if align and m > 1 else 0.0 if align else (i + 0.5) * n / m - 0.5
        if mode == "nearest":
            out[i, i * n // m] = 1
        elif mode == "nearest-exact":
            out[i, int((i + 0.5) * n / m)] = 1
        elif mode == "bicubic":
            for j in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                out[i, min(max(j, 0), n - 1)] += _cubic(at - j)
        else:
            at = max(at, 0.0)
            low = min(int(at), n - 1)
            out[i, low] += 1 - (at - low)
            out[i, min(low + 1, n - 1)] += at - low
    return out


def _interpolated(x: Any, size: Any, *, mode: str = "nearest", align_corners: bool = False) -> Any:
    for k, m in enumerate(_many(size, x.ndim - 2)):
        x = np.moveaxis(np.moveaxis(x, k + 2, -1) @ _points(x.shape[k + 2], m, mode, align_corners).T, -1, k + 2)
    return x


def _normalized(x: Any, w: Any = None, b: Any = None) -> Any:
    axes = tuple(range(2, x.ndim))
    shape = (-1, *[1] * len(axes))
    out = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    return out * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def _samples(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 5)), x(3), x(3)))
    yield Case((x((2, 3, 2, 4)),))
    yield Case((x((2, 3, 2, 4)), None, x(3)))
    yield Case((x((1, 2, 2, 2, 2)), x(2)))


def _response(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    c = x.shape[1]
    square = np.stack([(x[:, max(0, i - size // 2):i + (size - 1) // 2 + 1] ** 2).sum(1) for i in range(c)], 1)
    return x / (k + alpha * square / size) ** beta


_1D = several(((2, 3, 7), (2,), {}), ((2, 3, 7), (3, 2, 1), {}), ((3, 5), (2,), {}), ((0, 2, 4), (2,), {}))
_2D = several(((2, 2, 6, 5), (2,), {}), ((1, 2, 7, 6), (3, 2, 1), {}), ((2, 5, 6), ((2, 3), (1, 2)), {}),
              ((0, 2, 4, 4), (2,), {}), ((1, 1, 1, 1), (1,), {}))
_MORE_MAX = several(((1, 2, 7, 6), (3, 2, 1, 1, True), {}), ((1, 2, 7, 8), ((2, 3), 1, 1, 2), {}),
                    ((1, 2, 6, 6), (2, 3, 0, 1, True), {}))
_MORE_AVG = several(((1, 2, 7, 6), (3, 2, 1, True), {}), ((1, 2, 7, 6), (3, 2, 1, True, False), {}),
                    ((1, 2, 6, 6), (2, 2, 0, False, True, 3), {}))
_3D = several(((1, 2, 4, 3, 4), (2,), {}), ((2, 5, 4, 4), (3, 2, 1), {}))
_SIZES_2D = several(((2, 2, 5, 6), (3,), {}), ((2, 5, 4), ((2, None),), {}), ((1, 1, 4, 3), (1,), {}), ((1, 1, 2, 2), (3,), {}))

ROWS = [
    Row("max_pool1d", F.max_pool1d, _max(1), _1D, grad=(0,), covers=("max_pool", "max_pool_grad")),
    Row("max_pool2d", F.max_pool2d, _max(2), _2D, grad=(0,), covers=("max_pool", "max_pool_grad"),
        dtypes=("float16", "bfloat16", "float32", "float64")),
    Row("max_pool2d: dilated, hanging over", F.max_pool2d, _max(2), _MORE_MAX, grad=(0,)),
    Row("max_pool3d", F.max_pool3d, _max(3), _3D, grad=(0,)),
    Row("avg_pool1d", F.avg_pool1d, _avg(1), _1D, grad=(0,), covers=("resample",)),
    Row("avg_pool2d", F.avg_pool2d, _avg(2), _2D, grad=(0,), dtypes=("float16", "bfloat16", "float32", "float64")),
    Row("avg_pool2d: what is counted", F.avg_pool2d, _avg(2), _MORE_AVG, grad=(0,)),
    Row("avg_pool3d", F.avg_pool3d, _avg(3), _3D, grad=(0,)),
    Row("adaptive_avg_pool1d", F.adaptive_avg_pool1d, _shared(1, lambda a: a.mean(-1)), several(
        ((2, 3, 7), (3,), {}), ((3, 5), (1,), {})), grad=(0,)),
    Row("adaptive_avg_pool2d", F.adaptive_avg_pool2d, _shared(2, lambda a: a.mean(-1)), _SIZES_2D, grad=(0,)),
    Row("adaptive_avg_pool3d", F.adaptive_avg_pool3d, _shared(3, lambda a: a.mean(-1)), several(
        ((1, 2, 3, 4, 3), ((2, 3, 1),), {})), grad=(0,)),
    Row("adaptive_max_pool1d", F.adaptive_max_pool1d, _shared(1, lambda a: a.max(-1)), several(((2, 3, 7), (3,), {})), grad=(0,)),
    Row("adaptive_max_pool2d", F.adaptive_max_pool2d, _shared(2, lambda a: a.max(-1)), _SIZES_2D, grad=(0,)),
    Row("adaptive_max_pool3d", F.adaptive_max_pool3d, _shared(3, lambda a: a.max(-1)), several(
        ((1, 2, 3, 4, 3), ((2, 3, 1),), {})), grad=(0,)),
    Row("lp_pool2d", lambda x, *rest: F.lp_pool2d(x * x + 0.1, *rest), lambda x, *rest: _lp(x * x + 0.1, *rest), several(
        ((1, 2, 5, 4), (3.0, 2), {}), ((2, 4, 4), (1.5, (2, 3), 1), {})), grad=(0,), rtol=1e-11),
    Row("max_unpool2d", _unpooled, _unpooled_reference, several(((2, 2, 4, 6), (), {})), grad=(0,)),
    Row("interpolate", F.interpolate, _interpolated, several(
        ((2, 2, 5), (8,), {}), ((1, 2, 3, 4), ((6, 2),), {}), ((1, 1, 2, 3, 2), (4,), {}),
        ((1, 2, 4, 3), ((3, 5),), {"mode": "nearest-exact"}), ((2, 2, 5), (8,), {"mode": "linear"}),
        ((1, 2, 3, 4), ((6, 3),), {"mode": "bilinear"}), ((1, 2, 3, 4), ((5, 1),), {"mode": "bilinear", "align_corners": True}),
        ((1, 1, 2, 3, 2), (3,), {"mode": "trilinear"}), ((1, 2, 4, 5), ((7, 3),), {"mode": "bicubic"}),
        ((1, 1, 4, 4), (6,), {"mode": "bicubic", "align_corners": True})), grad=(0,), rtol=1e-11),
    Row("instance_norm", lambda x, w=None, b=None: F.instance_norm(x, None, None, w, b), _normalized, _samples, grad=(0, 1, 2),
        rtol=1e-11),
    Row("local_response_norm", F.local_response_norm, _response, several(
        ((2, 5, 3), (3, 0.5), {}), ((1, 4, 2, 2), (2, 0.3, 0.6, 2.0), {}), ((1, 2, 3), (5, 1.0), {})), grad=(0,), rtol=1e-11),
]
