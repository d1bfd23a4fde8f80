"""Shapes, axes, joining, splitting, and what rearranges elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.reduction import normal

Cases = Callable[[np.random.Generator], Iterator[Case]]


def each(shapes: list[tuple[int, ...]], *more: tuple[Any, ...], **kwargs: Any) -> Cases:
    """Every shape with every further tuple of arguments."""

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for shape in shapes:
            for rest in more or ((),):
                yield Case((normal(rng, shape), *rest), kwargs)

    return cases


def several(*calls: tuple[tuple[int, ...], tuple[Any, ...]] | tuple[tuple[int, ...], tuple[Any, ...], dict[str, Any]]) -> Cases:
    """(shape, further arguments, keywords) one by one."""

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for shape, rest, *kwargs in calls:
            yield Case((normal(rng, shape), *rest), kwargs[0] if kwargs else {})

    return cases


def lists(*calls: tuple[list[tuple[int, ...]], dict[str, Any]]) -> Cases:
    """Calls with a list of arrays of the given shapes."""

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for shapes, kwargs in calls:
            yield Case(([normal(rng, s) for s in shapes],), kwargs)

    return cases


def _torch_pad(x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    if mode != "constant":
        return np.pad(x, widths, mode={"replicate": "edge", "circular": "wrap"}.get(mode, mode))
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths))]
    return np.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value or 0)


def _diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n))
    for k in range(x.shape[-1]):
        out[..., k - min(offset, 0), k + max(offset, 0)] = x[..., k]
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


def _numpy_split(x: Any, sections: Any, axis: int = 0) -> Any:
    cuts = np.cumsum(sections)[:-1] if isinstance(sections, (list, tuple)) else range(sections, x.shape[axis], sections)
    return np.split(x, list(cuts), axis=axis)


def _rolled(x: Any, shift: Any, axis: Any = None) -> Any:
    return np.roll(x, shift, axis)


def _move(x: Any, *axes: Any) -> Any:
    return np.transpose(x, axes[0] if len(axes) == 1 else axes)


def _exchanged(x: Any, *axes: Any) -> Any:
    return np.swapaxes(x, *axes) if len(axes) == 2 else np.transpose(x, *axes)


def _stacked(xs: Any, axis: int = 0) -> Any:
    return np.stack(xs, axis=axis)


ROWS = [
    Row(
        "reshape",
        tl.reshape,
        lambda x, *s: np.reshape(x, s[0] if len(s) == 1 else s),
        several(
            ((2, 6), ((3, 4),)), ((2, 6), ((-1,),)), ((2, 6), (4, 3)), ((1,), ((),)), ((), ((1, 1),)), ((0, 3), ((3, 0, 2),))
        ),
        grad=(0,),
        covers=("reshape",),
    ),
    Row(
        "flatten",
        tl.flatten,
        lambda x, a=0, b=-1: np.reshape(x, (*x.shape[:a], -1, *x.shape[b % x.ndim + 1 :]) if x.ndim else (1,)),
        several(((2, 3, 4), ()), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 1)), ((), ())),
        grad=(0,),
    ),
    Row(
        "unflatten",
        tl.unflatten,
        lambda x, a, s: np.reshape(x, (*x.shape[:a], *s, *x.shape[a + 1 :])),
        several(((2, 6), (1, (2, -1))), ((6,), (0, (3, 2)))),
        grad=(0,),
    ),
    Row("ravel", tl.ravel, np.ravel, each([(2, 3), (), (0, 2)]), grad=(0,)),
    Row(
        "permute_dims",
        tl.permute_dims,
        _move,
        several(((2, 3, 4), ((2, 0, 1),)), ((2, 3), (1, 0)), ((2, 3, 4), ((-1, 0, 1),)), ((), ((),))),
        grad=(0,),
        covers=("permute",),
    ),
    Row(
        "transpose",
        tl.transpose,
        _exchanged,
        several(((2, 3, 4), (0, 2)), ((2, 3, 4), ()), ((2, 3, 4), ((1, 2, 0),)), ((2, 3), (-1, 0))),
        grad=(0,),
    ),
    Row("matrix_transpose", tl.matrix_transpose, lambda x: np.swapaxes(x, -1, -2), each([(2, 3), (2, 3, 4), (0, 2)]), grad=(0,)),
    Row("t", tl.t, np.transpose, each([(2, 3), (3,), ()]), grad=(0,)),
    Row(
        "moveaxis",
        tl.moveaxis,
        np.moveaxis,
        several(((2, 3, 4), (0, -1)), ((2, 3, 4), ((0, 1), (2, 0))), ((2, 3), (1, 1))),
        grad=(0,),
    ),
    Row("swapaxes", tl.swapaxes, np.swapaxes, several(((2, 3, 4), (0, -1)), ((2, 3), (0, 0))), grad=(0,)),
    Row(
        "expand_dims",
        tl.expand_dims,
        lambda x, axis=0: np.expand_dims(x, axis),
        several(((2, 3), (), {"axis": 1}), ((2, 3), (), {"axis": -1}), ((), (), {"axis": 0}), ((3,), (), {"axis": (0, 2)})),
        grad=(0,),
    ),
    Row(
        "squeeze",
        tl.squeeze,
        lambda x, axis=None: np.squeeze(x, axis),
        several(((1, 3, 1), ()), ((1, 3, 1), (), {"axis": 0}), ((1, 3, 1), (), {"axis": (0, -1)}), ((1,), ())),
        grad=(0,),
    ),
    Row(
        "broadcast_to",
        tl.broadcast_to,
        np.broadcast_to,
        several(((3, 1), ((2, 3, 4),)), ((), ((2, 2),)), ((2, 3), ((2, 3),)), ((1,), ((0,),))),
        grad=(0,),
        covers=("expand",),
    ),
    Row(
        "expand_method",
        tl.Tensor.expand,
        lambda x, *s: np.broadcast_to(x, tuple(x.shape[k - len(s)] if n == -1 else n for k, n in enumerate(s))),
        several(((3, 1), (2, -1, 4)), ((1, 3), (2, 3))),
        grad=(0,),
    ),
    Row(
        "broadcast_arrays",
        tl.broadcast_arrays,
        lambda x, y: list(np.broadcast_arrays(x, y)),
        lambda rng: iter([Case((normal(rng, (3, 1)), normal(rng, (4,)))), Case((normal(rng, ()), normal(rng, (2,))))]),
        grad=(0, 1),
    ),
    Row(
        "concat",
        tl.concat,
        lambda xs, axis=0: np.concatenate(xs, axis=axis),
        lists(([(2, 3), (1, 3), (0, 3)], {}), ([(2, 3), (2, 1)], {"axis": -1}), ([(2, 3), (4,)], {"axis": None}), ([(3,)], {})),
        grad=(0,),
        covers=("concat", "getitem"),
    ),
    Row(
        "stack",
        tl.stack,
        _stacked,
        lists(([(2, 3)] * 3, {}), ([(2, 3)] * 2, {"axis": -1}), ([()] * 3, {}), ([(0,)] * 2, {"axis": 1})),
        grad=(0,),
        covers=("stack",),
    ),
    Row("vstack", tl.vstack, np.vstack, lists(([(3,), (2, 3)], {}), ([(), ()], {})), grad=(0,)),
    Row("hstack", tl.hstack, np.hstack, lists(([(3,), (2,)], {}), ([(2, 1), (2, 3)], {}), ([(), ()], {})), grad=(0,)),
    Row(
        "dstack", tl.dstack, np.dstack, lists(([(3,), (3,)], {}), ([(2, 1), (2, 1)], {}), ([(1, 2, 3), (1, 2, 1)], {})), grad=(0,)
    ),
    Row(
        "split",
        tl.split,
        _numpy_split,
        several(((5, 2), (2,)), ((5, 2), ([1, 0, 4],)), ((2, 6), (3,), {"axis": -1}), ((3,), (5,))),
        grad=(0,),
        covers=("split",),
    ),
    Row(
        "chunk",
        tl.chunk,
        lambda x, n, axis=0: _numpy_split(x, -(-x.shape[axis] // n), axis),
        several(((5, 2), (2,)), ((2, 6), (4,), {"axis": 1})),
        grad=(0,),
    ),
    Row(
        "tensor_split",
        tl.tensor_split,
        lambda x, n, axis=0: np.array_split(x, n, axis=axis),
        several(((5, 2), (3,)), ((5,), ([1, 3],)), ((5,), ([3, 1],)), ((2, 6), (4,), {"axis": 1}), ((3,), ([-1, 7],))),
        grad=(0,),
    ),
    Row(
        "unstack",
        tl.unstack,
        lambda x, axis=0: [np.take(x, k, axis=axis) for k in range(x.shape[axis])],
        several(((3, 2), ()), ((3, 2), (), {"axis": -1}), ((2,), ())),
        grad=(0,),
        covers=("unstack",),
    ),
    Row(
        "split_partly_used",
        lambda x: tl.multiply(tl.split(x, 2)[1], tl.unstack(x)[0]),
        lambda x: x[2:4] * x[0],
        each([(5, 2), (4,)]),
        grad=(0,),
        covers=("zeros_of",),
    ),
    Row("clone", tl.clone, np.copy, each([(2, 3), (), (0,)]), grad=(0,), covers=("clone",)),
    Row(
        "contiguous",
        lambda x: tl.contiguous(tl.matrix_transpose(x)),
        lambda x: np.swapaxes(x, -1, -2),
        each([(2, 3), (2, 2, 3)]),
        grad=(0,),
        covers=("contiguous",),
    ),
    Row(
        "astype",
        lambda x, *, dtype: tl.astype(x, dtype),
        lambda x, dtype: x.astype(dtype),
        each([(2, 3), ()], dtype="float64"),
        grad=(0,),
    ),
    Row("astype_int", lambda x: tl.astype(x, tl.int32), lambda x: x.astype(np.int32), each([(2, 3), ()])),
    Row(
        "flip",
        tl.flip,
        lambda x, axis=None: np.flip(x, axis),
        several(((2, 3), ()), ((2, 3), (), {"axis": 1}), ((2, 3, 4), (), {"axis": (0, -1)}), ((), ())),
        grad=(0,),
        covers=("flip",),
    ),
    Row(
        "roll",
        tl.roll,
        _rolled,
        several(((2, 3), (1,)), ((2, 3), (-2, 1)), ((2, 3), ((1, 2), (0, -1))), ((5,), (7, 0)), ((2, 3), (1, (0, 1)))),
        grad=(0,),
        covers=("roll",),
    ),
    Row(
        "rot90",
        tl.rot90,
        lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
        several(((2, 3), ()), ((2, 3), (2,)), ((2, 3), (-1,)), ((2, 3), (4,)), ((2, 3, 4), (1, (2, 0)))),
        grad=(0,),
    ),
    Row(
        "tile",
        tl.tile,
        lambda x, *r: np.tile(x, r[0] if len(r) == 1 else r),
        several(((2, 3), ((2, 2),)), ((3,), ((2, 1),)), ((2, 3), (2,)), ((), ((2,),)), ((2,), (0,))),
        grad=(0,),
    ),
    Row(
        "repeat",
        tl.repeat,
        lambda x, r, axis=None: np.repeat(x, r, axis),
        several(
            ((2, 3), (2,)),
            ((2, 3), (2,), {"axis": 1}),
            ((2, 3), ([1, 0, 2],), {"axis": -1}),
            ((2,), (0,)),
            ((3,), (np.array([2, 0, 1]),)),
        ),
        grad=(0,),
    ),
    Row(
        "pad",
        tl.pad,
        _torch_pad,
        several(
            ((2, 3), ((1, 2),)),
            ((2, 3), ((1, 0, 0, 2), "constant", 1.5)),
            ((3, 4), ((-1, 2, 1, -1),)),
            ((2, 4), ((2, 1), "reflect")),
            ((2, 4), ((2, 3, 1, 1), "replicate")),
            ((2, 4), ((1, 4), "circular")),
            ((2, 0), ((1, 1),)),
            ((3,), ((0, 0),)),
        ),
        grad=(0,),
        covers=("pad",),
    ),
    Row(
        "tril",
        tl.tril,
        lambda x, k=0: np.tril(x, k),
        several(((3, 4), ()), ((2, 3, 3), (1,)), ((3, 3), (-1,))),
        grad=(0,),
        covers=("tril",),
    ),
    Row(
        "triu",
        tl.triu,
        lambda x, k=0: np.triu(x, k),
        several(((3, 4), ()), ((2, 3, 3), (1,)), ((3, 3), (-1,))),
        grad=(0,),
        covers=("triu",),
    ),
    Row(
        "diagonal",
        tl.diagonal,
        np.diagonal,
        several(((3, 4), ()), ((3, 4), (1,)), ((3, 4), (-2,)), ((2, 3, 3), (0, 1, 2)), ((3, 2, 4), (1, 2, 0)), ((2, 2), (5,))),
        grad=(0,),
        covers=("diagonal", "put_add"),
    ),
    Row(
        "diag_embed",
        tl.diag_embed,
        _diag_embed,
        several(((3,), ()), ((2, 3), (1,)), ((2, 3), (-1,)), ((2, 3), (0, 0, 2))),
        grad=(0,),
    ),
    Row("diag", tl.diag, np.diag, several(((3,), ()), ((3, 4), (1,)), ((2,), (-1,)), ((3, 3), ())), grad=(0,)),
    Row(
        "meshgrid",
        tl.meshgrid,
        lambda *a, indexing="xy": list(np.meshgrid(*a, indexing=indexing)),
        lambda rng: iter(
            [
                Case((normal(rng, (3,)), normal(rng, (2,)))),
                Case((normal(rng, (3,)), normal(rng, (2,)), normal(rng, (4,))), {"indexing": "ij"}),
                Case((normal(rng, (3,)),)),
            ]
        ),
        grad=(0, 1, 2),
    ),
    Row(
        "narrow",
        tl.narrow,
        lambda x, a, s, n: np.take(x, range(s % x.shape[a], s % x.shape[a] + n), axis=a),
        several(((4, 3), (0, 1, 2)), ((4, 3), (-1, -2, 1)), ((4, 3), (0, 0, 0))),
        grad=(0,),
    ),
    Row("select", tl.select, lambda x, a, k: np.take(x, k, axis=a), several(((4, 3), (0, 1)), ((4, 3), (-1, -1))), grad=(0,)),
]
