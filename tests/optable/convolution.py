"""Convolutions; compared with PyTorch over many more shapes in tests/test_conv.py."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from optable._row import Case, Row
from tensorlite.nn import functional as F

TYPES = ("float16", "float32", "float64")


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


def _convolved(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """One output at a time."""
    axes = w.ndim - 2
    if x.ndim == axes + 1:
        return _convolved(x[None], w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)[0]
    s, d = _tuple(stride, axes), _tuple(dilation, axes)
    if padding == "same":
        widths = [(t * (k - 1) // 2, t * (k - 1) - t * (k - 1) // 2) for k, t in zip(w.shape[2:], d)]
    else:
        widths = [(p, p) for p in _tuple(0 if padding == "valid" else padding, axes)]
    x = np.pad(x, [(0, 0), (0, 0), *widths])
    reach = [(k - 1) * t + 1 for k, t in zip(w.shape[2:], d)]
    size = [(n - r) // t + 1 for n, r, t in zip(x.shape[2:], reach, s)]
    out = np.zeros((x.shape[0], w.shape[0], *size), np.result_type(x, w))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for at in product(*map(range, size)):
        window = x[(slice(None), slice(None), *[slice(i * t, i * t + r, e) for i, t, r, e in zip(at, s, reach, d)])]
        for o in range(w.shape[0]):
            first = o // per_out * per_in
            out[(slice(None), o, *at)] = (window[:, first:first + per_in] * w[o]).sum(tuple(range(1, w.ndim)))
    return out if b is None else out + b.reshape(-1, *[1] * axes)


def _transposed(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                dilation: Any = 1) -> Any:
    """Each input spread over its window."""
    axes = w.ndim - 2
    s, d, p, more = (_tuple(v, axes) for v in (stride, dilation, padding, output_padding))
    size = [(n - 1) * t + e * (k - 1) + 1 for n, t, e, k in zip(x.shape[2:], s, d, w.shape[2:])]
    per_in, per_out = w.shape[0] // groups, w.shape[1]
    out = np.zeros((x.shape[0], per_out * groups, *[n + m + q for n, m, q in zip(size, more, p)]), np.result_type(x, w))
    for at in product(*map(range, x.shape[2:])):
        for t in product(*map(range, w.shape[2:])):
            place = tuple(i * u + k * e for i, u, k, e in zip(at, s, t, d))
            for c in range(x.shape[1]):
                first = c // per_in * per_out
                out[(slice(None), slice(first, first + per_out), *place)] += (
                    x[(slice(None), c, *at)][:, None] * w[(c, slice(None), *t)])
    out = out[(..., *[slice(q, q + n - 2 * q + m) for q, n, m in zip(p, size, more)])]
    return out if b is None else out + b.reshape(-1, *[1] * axes)


def _conv1d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 7)), x((4, 3, 3)), x(4)))
    yield Case((x((2, 4, 9)), x((6, 2, 2)), x(6)), {"stride": 3, "padding": 2, "dilation": 2, "groups": 2})
    yield Case((x((3, 5)), x((2, 3, 1))), {"stride": 2})
    yield Case((x((2, 3, 5)), x((2, 3, 4))), {"padding": "same"})


def _conv2d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 5, 4)), x((4, 3, 3, 2)), x(4)), {"padding": (1, 0)})
    yield Case((x((2, 2, 6, 5)), x((3, 2, 2, 2)), x(3)), {"stride": (2, 3), "padding": 1})
    yield Case((x((2, 4, 4, 5)), x((4, 1, 2, 3)), x(4)), {"groups": 4, "padding": (0, 2), "dilation": (2, 1)})
    yield Case((x((2, 4, 3, 3)), x((6, 2, 2, 2))), {"groups": 2, "padding": "valid"})
    yield Case((x((2, 3, 3, 3)), x((2, 3, 1, 1)), x(2)))
    yield Case((x((0, 3, 4, 4)), x((2, 3, 3, 3)), x(2)))


def _conv3d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 2, 3, 3, 4)), x((3, 2, 2, 1, 3)), x(3)), {"stride": (1, 2, 1), "padding": (0, 1, 1)})


def _conv_transpose1d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 4)), x((3, 2, 3)), x(2)))
    yield Case((x((2, 4, 4)), x((4, 3, 2)), x(6)), {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2, "dilation": 2})


def _conv_transpose2d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 3, 2)), x((3, 2, 2, 3)), x(2)), {"stride": 2, "padding": (0, 1), "output_padding": (1, 0)})
    yield Case((x((2, 3, 2, 3)), x((3, 1, 3, 3))), {"groups": 3, "padding": 1})
    yield Case((x((0, 3, 2, 3)), x((3, 1, 3, 3))))


def _conv_transpose3d(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 2, 2, 1, 3)), x((2, 2, 2, 2, 1)), x(2)), {"stride": (2, 1, 2)})


def _columns(x: Any, k: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    axes = x.ndim - 2
    k, d, p, s = (_tuple(v, axes) for v in (k, dilation, padding, stride))
    x = np.pad(x, [(0, 0), (0, 0), *[(q, q) for q in p]])
    size = [(n - (m - 1) * e - 1) // t + 1 for n, m, e, t in zip(x.shape[2:], k, d, s)]
    found = [x[(slice(None), slice(None), *[slice(i * t, i * t + (m - 1) * e + 1, e) for i, t, m, e in zip(at, s, k, d)])]
             .reshape(x.shape[0], -1) for at in product(*map(range, size))]
    return np.stack(found, -1)


def _folded(x: Any, size: Any, k: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """By the matrix of unfold, transposed."""
    channels = x.shape[1] // int(np.prod(_tuple(k, 2)))
    pixels = channels * int(np.prod(size))
    matrix = _columns(np.eye(pixels).reshape(pixels, channels, *size), k, dilation, padding, stride).reshape(pixels, -1)
    return (x.reshape(x.shape[0], -1) @ matrix.T).reshape(x.shape[0], channels, *size)


def _unfold_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 4, 5)), (2, 3)))
    yield Case((x((2, 2, 5, 4)), 2, 2, 1, (2, 1)))


def _fold_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 12, 6)), (3, 4), 2))
    yield Case((x((2, 8, 12)), (5, 4), 2, 2, 1, (2, 1)))


ALL = ("conv", "conv_input_grad", "conv_weight_grad")
ROWS = [
    Row("conv1d", F.conv1d, _convolved, _conv1d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL, rtol=1e-11),
    Row("conv2d", F.conv2d, _convolved, _conv2d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL, rtol=1e-11),
    Row("conv3d", F.conv3d, _convolved, _conv3d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL, rtol=1e-11),
    Row("conv_transpose1d", F.conv_transpose1d, _transposed, _conv_transpose1d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL,
        rtol=1e-11),
    Row("conv_transpose2d", F.conv_transpose2d, _transposed, _conv_transpose2d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL,
        rtol=1e-11),
    Row("conv_transpose3d", F.conv_transpose3d, _transposed, _conv_transpose3d, grad=(0, 1, 2), dtypes=TYPES, covers=ALL,
        rtol=1e-11),
    Row("unfold", F.unfold, _columns, _unfold_cases, grad=(0,), dtypes=TYPES, covers=("unfold", "fold")),
    Row("fold", F.fold, _folded, _fold_cases, grad=(0,), dtypes=TYPES, covers=("unfold", "fold")),
]
