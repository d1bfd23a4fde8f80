"""Places of extremes, sorting, taking along an axis, sets."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.reduction import distinct, integers, normal


def _one_axis(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((distinct(rng, (5,)),))
    for kwargs in ({}, {"axis": 0}, {"axis": -1}, {"axis": 1, "keepdims": True}, {"keepdims": True}):
        yield Case((distinct(rng, (3, 4)),), kwargs)
    yield Case((integers(rng, (3, 4)),), {"axis": 1})
    yield Case((distinct(rng, ()),))
    yield Case((distinct(rng, (0, 2)),), {"axis": 1})


def _sorting(make: Callable[..., Any]) -> Callable[[np.random.Generator], Iterator[Case]]:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        yield Case((make(rng, (6,)),))
        for descending in (False, True):
            for axis in (0, 1, -1):
                yield Case((make(rng, (3, 4, 2)),), {"axis": axis, "descending": descending})
        yield Case((make(rng, (1,)),))
        yield Case((make(rng, (0, 2)),), {"axis": 0})
    return cases


def _argsort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    return np.argsort(-x if descending else x, axis=axis, stable=True)


def _sort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    return np.take_along_axis(x, _argsort(x, axis, descending), axis=axis)


def _top_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((distinct(rng, (6,)), 2))
    for axis in (0, 1, -1):
        for largest in (True, False):
            yield Case((distinct(rng, (3, 4, 3)), 2), {"axis": axis, "largest": largest})
    yield Case((distinct(rng, (3, 4)), 4))
    yield Case((distinct(rng, (3, 4)), 0))


def _topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    return np.take(_sort(x, axis, largest), np.arange(k), axis=axis)


def _topk_indices(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    return np.take(_argsort(x, axis, largest), np.arange(k), axis=axis)


def _kth_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((distinct(rng, (6,)), 2))
    yield Case((distinct(rng, (3, 4)), 3), {"axis": 0})
    yield Case((distinct(rng, (3, 4)), 4), {"axis": 1, "keepdims": True})


def _kth(x: Any, k: int, axis: int = -1, keepdims: bool = False) -> Any:
    out = np.take(np.sort(x, axis=axis), [k - 1], axis=axis)
    return out if keepdims else np.squeeze(out, axis)


def _along_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (5,)), np.array([4, 0, 0, -1])), {"axis": 0})
    yield Case((normal(rng, (3, 4)), rng.integers(0, 4, (3, 6))), {"axis": 1})
    yield Case((normal(rng, (3, 4)), rng.integers(-3, 3, (5, 4))), {"axis": 0})
    yield Case((normal(rng, (2, 3, 4)), rng.integers(0, 3, (2, 2, 4))), {"axis": -2})
    yield Case((normal(rng, (3, 4)), rng.integers(0, 4, (1, 6))), {"axis": 1})
    yield Case((normal(rng, (1, 4)), rng.integers(0, 4, (3, 2))), {"axis": 1})
    yield Case((normal(rng, (3, 4)), np.zeros((3, 0), int)), {"axis": 1})


def _set_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.integers(0, 5, (3, 4)),))
    yield Case((rng.integers(0, 5, (7,)).astype(float),))
    yield Case((np.zeros((0,), int),))
    yield Case((np.array(3),))


def _unique(which: int) -> Callable[[Any], Any]:
    def reference(x: Any) -> Any:
        return np.unique_all(x)[which]
    return reference


def _search_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = np.sort(rng.integers(0, 6, 8)).astype(float)
    yield Case((x, rng.integers(-1, 7, (3, 4)).astype(float)))
    yield Case((x, rng.integers(-1, 7, (3, 4)).astype(float)), {"side": "right"})
    yield Case((x, np.array(2.0)))
    yield Case((x, np.zeros((0,))))


def _isin_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.integers(0, 6, (3, 4)), rng.integers(0, 6, (3,))))
    yield Case((rng.integers(0, 6, (4,)), rng.integers(0, 6, (2, 2))), {"invert": True})
    yield Case((rng.integers(0, 6, (4,)), np.zeros((0,), int)))


def _weighted_cases(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((rng.integers(0, 5, (9,)), normal(rng, (9,))))
    yield Case((rng.integers(0, 5, (9,)), normal(rng, (9,))), {"minlength": 8})


ROWS = [
    Row("argmax", tl.argmax, np.argmax, _one_axis, covers=("argmax",)),
    Row("argmin", tl.argmin, np.argmin, _one_axis, covers=("argmin",)),
    Row("nonzero", lambda x: tl.nonzero(x)[-1], lambda x: np.nonzero(x)[-1],
        lambda rng: (Case((integers(rng, s),)) for s in ((7,), (3, 4), (0,))), dtypes=(), covers=("nonzero",)),
    Row("argwhere", tl.argwhere, np.argwhere, lambda rng: (Case((integers(rng, s),)) for s in ((7,), (3, 4), (0,))), dtypes=(),
        covers=("argwhere",)),
    Row("searchsorted", tl.searchsorted, np.searchsorted, _search_cases, covers=("searchsorted",)),
    Row("sort", tl.sort, _sort, _sorting(distinct), grad=(0,), dtypes=("float16", "float32", "float64"),
        covers=("sort", "put_along_axis")),
    Row("argsort", tl.argsort, _argsort, _sorting(distinct), covers=("argsort",)),
    Row("argsort with ties", tl.argsort, _argsort, _sorting(integers), dtypes=()),
    Row("topk", lambda *a, **k: tl.topk(*a, **k).values, _topk, _top_cases, grad=(0,),
        covers=("argtopk", "take_along_axis", "put_along_axis")),
    Row("topk indices", lambda *a, **k: tl.topk(*a, **k).indices, _topk_indices, _top_cases, covers=("argtopk",)),
    Row("kthvalue", lambda *a, **k: tl.kthvalue(*a, **k).values, _kth, _kth_cases, grad=(0,)),
    Row("take_along_axis", tl.take_along_axis, np.take_along_axis, _along_cases, grad=(0,),
        covers=("take_along_axis", "put_along_axis")),
    Row("bincount", tl.bincount, lambda x, minlength=0: np.bincount(x, minlength=minlength),
        lambda rng: (Case((rng.integers(0, 5, 9),), k) for k in ({}, {"minlength": 8})), dtypes=(), covers=("bincount",)),
    Row("bincount, weighted", tl.bincount, np.bincount, _weighted_cases, grad=(1,), covers=("put_along_axis",)),
    Row("unique_values", tl.unique_values, np.unique, _set_cases, dtypes=(), covers=("unique_values",)),
    *[Row(f"unique_all: {name}", lambda x, i=i: tl.unique_all(x)[i], _unique(i), _set_cases, dtypes=(), covers=("unique_all",))
      for i, name in enumerate(("values", "indices", "inverse_indices", "counts"))],
    Row("unique_counts", lambda x: tl.unique_counts(x).counts, _unique(3), _set_cases, dtypes=(), covers=("unique_counts",)),
    Row("unique_inverse", lambda x: tl.unique_inverse(x).inverse_indices, _unique(2), _set_cases, dtypes=(),
        covers=("unique_inverse",)),
    Row("isin", tl.isin, np.isin, _isin_cases, dtypes=(), covers=("isin",)),
]
