"""Reading and writing by index; every form of index is tried in tests/test_indexing.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.reduction import normal


def getitem(x: Any, *key: Any) -> Any:
    from tensorlite.ops.indexing import getitem

    return getitem(x, key)


ROWS_TAKEN = np.array([1, 1, 0])
KEYS: tuple[tuple[Any, ...], ...] = (
    (0,),
    (slice(None), -1),
    (..., None, slice(None, None, -1)),
    (ROWS_TAKEN,),
    (slice(None), ROWS_TAKEN),
    (ROWS_TAKEN, slice(1, None), ROWS_TAKEN),
    (0, ROWS_TAKEN),
)


def _reads(rng: np.random.Generator) -> Iterator[Case]:
    for key in KEYS:
        yield Case((normal(rng, (2, 3, 4)), *key))
    yield Case((normal(rng, (2, 3)), rng.normal(size=(2, 3)) > 0))
    yield Case((normal(rng, (2, 3)), slice(None), np.array([True, False, True])))
    yield Case((normal(rng, ()), None))
    yield Case((normal(rng, (0, 3)), slice(None), np.array([0, 2])))


def setitem(x: Any, value: Any, *key: Any) -> Any:
    out = tl.clone(x) if isinstance(x, tl.Tensor) else x.copy()
    out[key] = value
    return out


def _set(x: Any, value: Any, *key: Any) -> Any:
    out = x.copy()
    out[key] = value
    return out


def _writes(rng: np.random.Generator) -> Iterator[Case]:
    for key in KEYS:
        x = normal(rng, (2, 3, 4))
        yield Case((x, normal(rng, x[key].shape), *key))
    yield Case((normal(rng, (2, 3)), normal(rng, ()), rng.normal(size=(2, 3)) > 0))
    yield Case((normal(rng, (2, 3)), normal(rng, (3,)), slice(None)))
    yield Case((normal(rng, (2, 3)), 2.0, 1))


def _takes(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (3, 4)), np.array([2, 0, 2])), {"axis": 0})
    yield Case((normal(rng, (3, 4)), np.array([[-1, 0], [1, 1]])), {"axis": 1})
    yield Case((normal(rng, (5,)), np.array([4, 4])))
    yield Case((normal(rng, (2, 3)), np.array([5, 0])))
    yield Case((normal(rng, (3, 0)), np.array([2, 0])), {"axis": 0})
    yield Case((normal(rng, (3, 2)), np.zeros((0,), int)), {"axis": 0})


def _gather(x: Any, axis: int, index: Any) -> Any:
    part = x[tuple(slice(None) if a == axis % x.ndim else slice(n) for a, n in enumerate(index.shape))]
    return np.take_along_axis(part, index, axis)


def _gathers(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (3, 4)), 0, rng.integers(0, 3, (2, 3))))
    yield Case((normal(rng, (3, 4)), -1, rng.integers(-4, 4, (3, 6))))
    yield Case((normal(rng, (3,)), 0, np.array([1, 1, 1, 0])))


def _places(x: Any, axis: int, index: Any) -> Any:
    grid = list(np.meshgrid(*[np.arange(n) for n in index.shape], indexing="ij", sparse=True))
    grid[axis] = index
    return tuple(grid)


def _scatter(x: Any, axis: int, index: Any, src: Any) -> Any:
    out = x.copy()
    out[_places(x, axis, index)] = src if not np.ndim(src) else src[tuple(map(slice, index.shape))]
    return out


def _scatter_add(x: Any, axis: int, index: Any, src: Any) -> Any:
    out = x.copy()
    np.add.at(out, _places(x, axis, index), src if not np.ndim(src) else src[tuple(map(slice, index.shape))])
    return out


def _scatters(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (3, 4)), 0, rng.integers(0, 3, (5, 4)), normal(rng, (5, 4))))
    yield Case((normal(rng, (3, 4)), -1, rng.integers(0, 4, (2, 3)), normal(rng, (3, 4))))
    yield Case((normal(rng, (3,)), 0, np.array([0, 2, 0]), 1.5))
    yield Case((normal(rng, (3,)), 0, np.array([0, 2, 0]), normal(rng, (3,))))


def _index_add(x: Any, axis: int, index: Any, src: Any, alpha: float = 1) -> Any:
    out = x.copy()
    np.add.at(out, (*[slice(None)] * axis, index), alpha * src)
    return out


def _index_copy(x: Any, axis: int, index: Any, src: Any) -> Any:
    out = x.copy()
    out[(*[slice(None)] * axis, index)] = src
    return out


def _rows(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (4, 2)), 0, np.array([3, 0, 1]), normal(rng, (3, 2))))
    yield Case((normal(rng, (2, 4)), 1, np.array([3, 0]), normal(rng, (2, 2))))


def _added_rows(rng: np.random.Generator) -> Iterator[Case]:
    yield from _rows(rng)
    yield Case((normal(rng, (4, 2)), 0, np.array([3, 0, 3, 3]), normal(rng, (4, 2))), {"alpha": -2.0})


def _index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    out = x.copy()
    if accumulate:
        np.add.at(out, tuple(indices), values)
    else:
        out[tuple(indices)] = values
    return out


def _index_puts(rng: np.random.Generator) -> Iterator[Case]:
    pair = (np.array([0, 1, 0]), np.array([2, 2, 2]))
    yield Case((normal(rng, (2, 3)), pair, normal(rng, (3,)), True))
    yield Case((normal(rng, (2, 3)), pair, normal(rng, ()), True))
    yield Case((normal(rng, (2, 3)), (np.array([1]),), normal(rng, (3,))))


def _masked_fill(x: Any, mask: Any, value: Any) -> Any:
    return np.where(mask, value, x)


def _masked_fills(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (2, 3)), rng.normal(size=(3,)) > 0, 2.5))
    yield Case((normal(rng, (2, 3)), rng.normal(size=(2, 3)) > 0, normal(rng, ())))
    yield Case((normal(rng, ()), np.array(True), -1.0))


def _masked_select(x: Any, mask: Any) -> Any:
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def _masked_selects(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (2, 3)), rng.normal(size=(2, 3)) > 0))
    yield Case((normal(rng, (3,)), rng.normal(size=(2, 3)) > 0))
    yield Case((normal(rng, (2, 3)), np.zeros((2, 1), bool)))


def _masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    out, mask = x.copy(), np.broadcast_to(mask, x.shape)
    out[mask] = source.reshape(-1)[: mask.sum()]
    return out


def _masked_scatters(rng: np.random.Generator) -> Iterator[Case]:
    yield Case((normal(rng, (2, 3)), rng.normal(size=(2, 3)) > 0, normal(rng, (3, 3))))
    yield Case((normal(rng, (2, 3)), np.array([True, False, True]), normal(rng, (4,))))


def change_view(x: Any, v: Any) -> Any:
    """A change through a view of a view, as a function."""
    if not isinstance(x, tl.Tensor):
        out = x.copy()
        out[1:][:, 0] = v
        return out
    out = x * 1.0
    out[1:][:, 0] = v
    return out


def write_view(x: Any, v: Any) -> Any:
    from tensorlite.ops.indexing import write_view_p

    return write_view_p(x, v, replay=lambda of: tl.reshape(of, (3, 2))[:, 1])


def _written(x: Any, v: Any) -> Any:
    out = x.copy()
    out.reshape(3, 2)[:, 1] = v
    return out


def _pairs(shape: tuple[int, ...], part: tuple[int, ...]) -> Any:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        yield Case((normal(rng, shape), normal(rng, part)))
        yield Case((normal(rng, shape), normal(rng, ())))

    return cases


ROWS = [
    Row("getitem", getitem, lambda x, *key: x[key], _reads, grad=(0,), covers=("getitem", "put_add")),
    Row("setitem", setitem, _set, _writes, grad=(0, 1), covers=("winners",)),
    Row("put", lambda x, v, *key: tl.put(x, key, v), _set, _writes, grad=(0, 1), covers=("put", "winners")),
    Row("take", tl.take, lambda x, i, axis=None: np.take(x, i, axis), _takes, grad=(0,)),
    Row("gather", tl.gather, _gather, _gathers, grad=(0,)),
    Row(
        "index_select",
        tl.index_select,
        lambda x, axis, i: np.take(x, i, axis),
        lambda rng: iter([Case((normal(rng, (3, 4)), 1, np.array([0, 3, 0])))]),
        grad=(0,),
    ),
    Row("scatter", tl.scatter, _scatter, _scatters, grad=(0, 3)),
    Row("scatter_add", tl.scatter_add, _scatter_add, _scatters, grad=(0, 3)),
    Row("index_add", tl.index_add, _index_add, _added_rows, grad=(0, 3)),
    Row("index_copy", tl.index_copy, _index_copy, _rows, grad=(0, 3)),
    Row(
        "index_fill",
        tl.index_fill,
        _index_copy,
        lambda rng: iter([Case((normal(rng, (4, 2)), 0, np.array([3, 0]), 2.5))]),
        grad=(0,),
    ),
    Row("index_put", tl.index_put, _index_put, _index_puts, grad=(0, 2)),
    Row("masked_fill", tl.masked_fill, _masked_fill, _masked_fills, grad=(0, 2)),
    Row("masked_select", tl.masked_select, _masked_select, _masked_selects, grad=(0,)),
    Row("masked_scatter", tl.masked_scatter, _masked_scatter, _masked_scatters, grad=(0, 2)),
    Row("change_view", change_view, lambda x, v: change_view(x, v), _pairs((3, 2), (2,)), grad=(0, 1), covers=("write_view",)),
    Row("write_view", write_view, _written, _pairs((2, 3), (3,)), grad=(0, 1), covers=("write_view",)),
]
