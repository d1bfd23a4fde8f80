"""Products that sum."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from tensorlite.ops.contraction import linear_p, linear_relu_p

REAL = ("float16", "float32", "float64")


def _pairs(*shapes: tuple[tuple[int, ...], tuple[int, ...]], **kwargs: Any) -> Callable[[np.random.Generator], Iterator[Case]]:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for x, y in shapes:
            yield Case((rng.standard_normal(x), rng.standard_normal(y)), kwargs)
    return cases


def _tensordot(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((2, 3, 4)), x((3, 4, 5))))
    yield Case((x((2, 3)), x((4,))), {"axes": 0})
    yield Case((x((2, 3, 4)), x((4, 5, 2))), {"axes": ((2, 0), (0, 2))})
    yield Case((x((2, 0)), x((0, 3))), {"axes": 1})


def _linear(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal
    yield Case((x((4, 3)), x((2, 3)), x((2,))))
    yield Case((x((2, 4, 3)), x((2, 3)), x((2,))))
    yield Case((x((3,)), x((2, 3)), x((2,))))
    yield Case((x((0, 3)), x((2, 3)), x((2,))))


def _no_bias(rng: np.random.Generator) -> Iterator[Case]:
    for case in _linear(rng):
        yield Case(case.args[:2])


EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)), "ij,jk": ((2, 3), (3, 4)), "i,j->ij": ((2,), (3,)), "ii->": ((3, 3),), "ii->i": ((3, 3),),
    "ij->ji": ((2, 3),), "ij->": ((2, 3),), "ij->j": ((2, 3),), "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (4, 3, 2)),
    "ij,j,k->ik": ((2, 3), (3,), (4,)), "iij,jk->ik": ((3, 3, 2), (2, 4)), "ijij->ij": ((2, 3, 2, 3),), "...->...": ((2, 3),),
    "i,i->": ((4,), (4,)), ",ij->ij": ((), (2, 3)), "ij,kj->": ((2, 3), (4, 3)), "iii->i": ((3, 3, 3),), "ba": ((2, 3),),
}


def _einsum(rng: np.random.Generator) -> Iterator[Case]:
    for equation, shapes in EQUATIONS.items():
        yield Case(tuple(rng.standard_normal(s) for s in shapes), {"equation": equation})


def _by_equation(*operands: Any, equation: str) -> Any:
    return tl.einsum(equation, *operands)


def _numpy_linear(x: Any, w: Any, b: Any = None) -> Any:
    return x @ w.T + (0 if b is None else b)


MATRICES = (((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((2, 0), (0, 3)), ((0, 2), (2, 3)))

ROWS = [
    Row("matmul", tl.matmul, np.matmul,
        _pairs(*MATRICES, ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))),
        grad=(0, 1), dtypes=REAL, covers=("matmul",)),
    Row("mm", tl.mm, np.matmul, _pairs(((2, 3), (3, 4))), grad=(0, 1)),
    Row("bmm", tl.bmm, np.matmul, _pairs(((2, 2, 3), (2, 3, 4))), grad=(0, 1)),
    Row("mv", tl.mv, np.matmul, _pairs(((2, 3), (3,))), grad=(0, 1)),
    Row("addmm", tl.addmm, lambda c, x, y: c + x @ y,
        lambda rng: [Case((rng.standard_normal(4), rng.standard_normal((2, 3)), rng.standard_normal((3, 4))))],
        grad=(0, 1, 2)),
    Row("vecdot", tl.vecdot, lambda x, y, axis=-1: np.sum(x * y, axis=axis),
        _pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((2, 0), (2, 0))),
        grad=(0, 1), dtypes=("float32", "float64"), covers=("vecdot",)),
    Row("vecdot along axis 0", tl.vecdot, lambda x, y, axis: np.sum(x * y, axis=axis), _pairs(((3, 2), (3, 2)), axis=0),
        grad=(0, 1)),
    Row("vdot", tl.vdot, lambda x, y: np.vdot(x, y), _pairs(((3,), (3,))), grad=(0, 1)),
    Row("dot", tl.dot, np.dot, _pairs(((3,), (3,)), ((2, 3), (3, 2)), ((), (3,))), grad=(0, 1)),
    Row("outer", tl.outer, np.outer, _pairs(((3,), (2,)), ((0,), (2,))), grad=(0, 1)),
    Row("tensordot", tl.tensordot, lambda x, y, axes=2: np.tensordot(x, y, axes=axes), _tensordot, grad=(0, 1),
        dtypes=("float32", "float64")),
    Row("linear", lambda x, w, b: linear_p(x, w, b), _numpy_linear, _linear, grad=(0, 1, 2), dtypes=("float32", "float64"),
        covers=("linear", "linear_backward")),
    Row("linear_relu", lambda x, w, b: linear_relu_p(x, w, b), lambda x, w, b: np.maximum(x @ w.T + b, 0), _linear,
        grad=(0, 1, 2), dtypes=("float32", "float64"), covers=("linear_relu", "linear_relu_backward")),
    Row("linear without bias", lambda x, w: linear_p(x, w, None), _numpy_linear, _no_bias, grad=(0, 1)),
    Row("einsum of one", _by_equation, lambda x, equation: np.einsum(equation, x),
        lambda rng: [c for c in _einsum(rng) if len(c.args) == 1], grad=(0,), covers=("einsum",)),
    Row("einsum of two", _by_equation, lambda x, y, equation: np.einsum(equation, x, y),
        lambda rng: [c for c in _einsum(rng) if len(c.args) == 2], grad=(0, 1), dtypes=("float32", "float64")),
    Row("einsum of three", _by_equation, lambda x, y, z, equation: np.einsum(equation, x, y, z),
        lambda rng: [c for c in _einsum(rng) if len(c.args) == 3], grad=(0, 1, 2)),
]
