"""Linear algebra. Of vectors that are determined up to a sign or a rotation, what does not depend on it is compared."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from tensorlite.ops.linalg_gauge import repeated_p
from tensorlite.ops.linalg_solve import cofactors_p

L = tl.linalg
RTOL = 1e-10
EMPTY = ((0, 0), (2, 0, 0))
Cases = Callable[[np.random.Generator], Iterator[Case]]


def _general(*shapes: tuple[int, ...], **kwargs: Any) -> Cases:
    """Matrices far from singular ones, with singular values and eigenvalues apart from each other."""
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for shape in shapes:
            x = 0.3 * rng.standard_normal(shape)
            k = min(shape[-2:])
            x[..., range(k), range(k)] += np.arange(1, k + 1)
            yield Case((x,), kwargs)
    return cases


def _hermitian(*shapes: tuple[int, ...], **kwargs: Any) -> Cases:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for case in _general(*shapes)(rng):
            yield Case(((case.args[0] + case.args[0].swapaxes(-1, -2)) / 2,), kwargs)
    return cases


def _systems(*pairs: tuple[tuple[int, ...], tuple[int, ...]], **kwargs: Any) -> Cases:
    def cases(rng: np.random.Generator) -> Iterator[Case]:
        for a, b in pairs:
            yield Case((*next(_general(a)(rng)).args, rng.standard_normal(b)), kwargs)
    return cases


def _blocks(rng: np.random.Generator) -> Iterator[Case]:
    """Blocks of three, of two and of one; the cotangents of the first are proportional."""
    h = rng.standard_normal((2, 6, 6))
    herm = h + h.swapaxes(1, 2)
    g = rng.standard_normal((2, 6))
    g[:, :3] = 0.5 * np.diagonal(herm, axis1=1, axis2=2)[:, :3]
    yield Case((np.array([[3.0, 3.0, 3.0, 2.0, 2.0, 1.0]] * 2), herm, g))
    yield Case((np.ones(3), np.ones((3, 3)), np.ones(3)))
    yield Case((np.arange(3.0), np.ones((3, 3)), np.ones(3)))


def _numpy_repeated(w: Any, herm: Any, g: Any) -> Any:
    if w.ndim > 1:
        return tuple(np.stack(r) for r in zip(*[_numpy_repeated(*one) for one in zip(w, herm, g)]))
    n = len(w)
    rate, odd, free = np.zeros((n, n)), np.zeros(n), np.zeros((n, n))
    for value in np.unique(w):
        block = np.flatnonzero(w == value)
        off = np.ix_(block, block)
        c = np.diag(herm)[block]
        dc, dg = c - c.mean(), g[block] - g[block].mean()
        known = dc @ dc > np.finfo(float).eps * (herm[off] ** 2).sum()
        r = dg @ dc / (dc @ dc) if known else g[block].mean() / c.mean() if c.mean() else 0.0
        rate[off], odd[block], free[off] = r, dg - r * dc, 0 if known else abs(herm[off])
    return rate * (1 - np.eye(n)), odd, free * (1 - np.eye(n))


def _t(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def _singular(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal((4, 4))
    x[3] = x[0] + x[1]
    yield Case((x,))
    x = x.copy()
    x[2] = 2 * x[0]
    yield Case((x,))
    yield Case((np.stack([x, np.eye(4)]),))
    yield Case((np.zeros((2, 2)),))


def _svd(svd: Any, full: bool) -> Any:
    """What of the decomposition does not depend on the choice of vectors."""
    def function(x: Any) -> Any:
        u, s, vh = svd(x, full_matrices=full)
        k = s.shape[-1]
        extra = ([u[..., k:] @ _t(u[..., k:])], [_t(vh[..., k:, :]) @ vh[..., k:, :]]) if full else ([], [])
        return (abs(u[..., :k]), s, abs(vh[..., :k, :]), u[..., :k] @ vh[..., :k, :], *extra[0], *extra[1])
    return function


def _qr(qr: Any, mode: str) -> Any:
    def function(x: Any) -> Any:
        q, r = qr(x, mode=mode)
        k = min(x.shape[-2:])
        return (abs(q[..., :k]), abs(r), q[..., :k] @ r[..., :k, :], q[..., k:] @ _t(q[..., k:]))
    return function


def _eig(library: Any) -> Any:
    def function(x: Any) -> Any:
        w, v = library.linalg.eig(x)
        return library.real((v * (w * w)[..., None, :]) @ _t(library.conj(v))), library.sum(library.abs(w - 9), axis=-1)
    return function


def _eigvals(library: Any) -> Any:
    def function(x: Any) -> Any:
        w = library.linalg.eigvals(x)
        return library.sum(library.real(w * w), axis=-1), library.sum(library.abs(w - 9), axis=-1)
    return function


def _expm(x: np.ndarray) -> np.ndarray:
    """By its series, of a small part of x."""
    x = x / 1024
    term = total = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 20):
        term = term @ x / k
        total = total + term
    for _ in range(10):
        total = total @ total
    return total


def _lstsq(a: Any, b: Any) -> Any:
    out = L.lstsq(a, b)
    return out.solution, out.residuals, out.singular_values


def _numpy_lstsq(a: Any, b: Any) -> Any:
    vector = b.ndim == 1
    columns = b[:, None] if vector else b
    x = np.linalg.pinv(a) @ columns
    r = columns - a @ x if a.shape[-2] > a.shape[-1] else x[..., :0]
    return x[..., 0] if vector else x, (r ** 2).sum(-2), np.linalg.svd(a, compute_uv=False)


def _cofactors(x: Any) -> Any:
    n = x.shape[-1]
    minors = [[np.linalg.det(np.delete(np.delete(x, i, -2), j, -1)) * (-1) ** (i + j) for j in range(n)] for i in range(n)]
    return np.moveaxis(np.array(minors), (0, 1), (-2, -1))


def _triangular(upper: bool, unit: bool, left: bool) -> Row:
    def function(a: Any, b: Any) -> Any:
        return L.solve_triangular(a, b, upper=upper, unitriangular=unit, left=left)

    def reference(a: Any, b: Any) -> Any:
        t = np.triu(a, int(unit)) if upper else np.tril(a, -int(unit))
        t = t + np.eye(a.shape[-1]) if unit else t
        return np.linalg.solve(t, b) if left else _t(np.linalg.solve(_t(t), _t(b)))
    shapes = [((3, 3), (3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((70, 70), (70, 1)), ((0, 0), (0, 2)), ((3, 3), (3,))]
    if not left:
        shapes = [((3, 3), (2, 3)), ((2, 3, 3), (2, 3))]
    name = f"solve_triangular, {'upper' if upper else 'lower'}{', unit' if unit else ''}{'' if left else ', right'}"
    return Row(name, function, reference, _systems(*shapes), grad=(0, 1), rtol=RTOL, covers=("solve_triangular",))


SQUARE = ((3, 3), (2, 1, 4, 4), (1, 1))
OBLONG = ((3, 3), (5, 3), (3, 5), (2, 4, 2))
ORDERS = ("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf"))


def _norms(rng: np.random.Generator) -> Iterator[Case]:
    for order in ORDERS:
        yield Case((rng.standard_normal((2, 3, 4)),), {"ord": order})
    yield Case((rng.standard_normal((2, 3, 4)),), {"ord": "nuc", "axis": (2, 0), "keepdims": True})


ROWS = [
    Row("inv", L.inv, np.linalg.inv, _general(*SQUARE, *EMPTY), grad=(0,), rtol=RTOL, covers=("inv",)),
    Row("solve", L.solve, lambda a, b: np.linalg.solve(a, b),
        _systems(((3, 3), (3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((2, 3, 3), (3,)), ((3, 3), (3,)), ((0, 0), (0, 2))),
        grad=(0, 1), rtol=RTOL, covers=("solve",)),
    Row("solve, right", lambda a, b: L.solve(a, b, left=False), lambda a, b: b @ np.linalg.inv(a),
        _systems(((3, 3), (2, 3))), grad=(0, 1), rtol=RTOL),
    *[_triangular(upper, unit, left) for upper in (False, True) for unit in (False, True) for left in (True, False)],
    Row("det", L.det, np.linalg.det, _general(*SQUARE), grad=(0,), rtol=RTOL, covers=("det", "cofactors")),
    Row("det, singular", lambda x: L.det(x), np.linalg.det, _singular, grad=(0,), rtol=1e-9),
    Row("cofactors", lambda x: cofactors_p(x), _cofactors,
        lambda rng: [*_general((3, 3), (2, 4, 4))(rng), *list(_singular(rng))[:1]], grad=(0,), rtol=1e-9),
    Row("slogdet", lambda x: tuple(L.slogdet(x)), lambda x: tuple(np.linalg.slogdet(x)), _general(*SQUARE, *EMPTY), grad=(0,),
        rtol=RTOL, covers=("slogdet",)),
    Row("cholesky", L.cholesky, np.linalg.cholesky, _hermitian(*SQUARE, *EMPTY), grad=(0,), rtol=RTOL, covers=("cholesky",)),
    Row("cholesky, upper", lambda x: L.cholesky(x, upper=True), lambda x: _t(np.linalg.cholesky(x)), _hermitian((2, 3, 3)),
        grad=(0,), rtol=RTOL),
    Row("qr", _qr(L.qr, "reduced"), _qr(np.linalg.qr, "reduced"), _general(*OBLONG), grad=(0,), rtol=RTOL, covers=("qr",)),
    Row("qr, complete", _qr(L.qr, "complete"), _qr(np.linalg.qr, "complete"), _general(*OBLONG), grad=(0,), rtol=RTOL),
    Row("eigh", lambda x: (lambda w, v: (w, abs(v)))(*L.eigh(x)), lambda x: (lambda w, v: (w, abs(v)))(*np.linalg.eigh(x)),
        _hermitian(*SQUARE, *EMPTY), grad=(0,), rtol=RTOL, covers=("eigh", "inverse_gaps", "repeats")),
    Row("eigh, one triangle", lambda x: L.eigh(x, UPLO="U")[0], lambda x: np.linalg.eigh(x, UPLO="U")[0], _general((3, 3)),
        grad=(0,), rtol=RTOL),
    Row("repeated", lambda w, herm, g: repeated_p(w, herm, g), _numpy_repeated, _blocks, dtypes=("float64",),
        covers=("repeated",)),
    Row("eigvalsh", L.eigvalsh, np.linalg.eigvalsh, _hermitian(*SQUARE, *EMPTY), rtol=RTOL, covers=("eigvalsh",)),
    Row("eigvalsh, differentiated", lambda x: L.eigh(x).eigenvalues, np.linalg.eigvalsh, _hermitian(*SQUARE, *EMPTY), grad=(0,),
        rtol=RTOL),
    Row("svd", _svd(L.svd, False), _svd(np.linalg.svd, False), _general(*OBLONG, (0, 3)), grad=(0,), rtol=RTOL,
        covers=("svd", "inverse_sums", "inverse_nonzero", "zeros_among")),
    Row("svd, full", _svd(L.svd, True), _svd(np.linalg.svd, True), _general(*OBLONG), grad=(0,), rtol=RTOL),
    Row("svdvals", L.svdvals, lambda x: np.linalg.svd(x, compute_uv=False), _general(*OBLONG), rtol=RTOL, covers=("svdvals",)),
    Row("pinv", L.pinv, np.linalg.pinv, _general(*OBLONG), grad=(0,), rtol=RTOL, covers=("pinv",)),
    Row("lstsq", _lstsq, _numpy_lstsq,
        _systems(((3, 3), (3, 2)), ((5, 3), (5, 2)), ((3, 5), (3, 2)), ((2, 4, 2), (4, 1)), ((4, 2), (3, 4, 1)), ((4, 2), (4,))),
        grad=(0, 1), rtol=1e-9, covers=("lstsq",)),
    Row("matrix_exp", L.matrix_exp, _expm, lambda rng: [
        *_general((3, 3), (2, 3, 3), (0, 0))(rng),
        *(Case((scale * rng.standard_normal((2, 3, 3)),)) for scale in (1e-3, 0.05, 0.3))],
        grad=(0,), rtol=RTOL, covers=("matrix_exp", "balance")),
    Row("matrix_power", lambda x, n: L.matrix_power(x, n), np.linalg.matrix_power, lambda rng: [
        Case((*next(_general((2, 3, 3))(rng)).args, n)) for n in (1, 2, 5, -3)], grad=(0,), rtol=RTOL),
    Row("matrix_power, 0", lambda x: L.matrix_power(x, 0), lambda x: np.linalg.matrix_power(x, 0), _general((2, 3, 3))),
    Row("matrix_rank", L.matrix_rank, lambda x, rtol=None: np.linalg.matrix_rank(x, rtol=rtol), lambda rng: [
        Case((np.ones((2, 3, 3)),)), *_general((4, 2))(rng), Case((np.zeros((2, 2)),)), *_general((3, 3), rtol=0.5)(rng)]),
    Row("matrix_norm, every order", L.matrix_norm,
        lambda x, ord, axis=(-2, -1), keepdims=False: np.linalg.norm(x, ord, axis, keepdims), _norms, rtol=RTOL),
    Row("cond", lambda x: tuple(L.cond(x, p) for p in (None, -2, 1, "fro")),
        lambda x: tuple(np.linalg.cond(x, p) for p in (None, -2, 1, "fro")), _general((3, 3), (2, 3, 3)), rtol=1e-9),
    Row("eig", _eig(tl), _eig(np), _general(*SQUARE), grad=(0,), rtol=RTOL,
        covers=("eig",), skip={"strict": "the standard has no eig yet", "cuda": "CuPy 13 has none; tests/test_linalg.py"}),
    Row("eigvals", _eigvals(tl), _eigvals(np), _general(*SQUARE), rtol=RTOL, covers=("eigvals",),
        skip={"strict": "the standard has no eigvals yet", "cuda": "CuPy 13 has none; tests/test_linalg.py"}),
    Row("kron", L.kron, np.kron, lambda rng: [
        Case((rng.standard_normal(x), rng.standard_normal(y)))
        for x, y in (((2, 3), (4, 2)), ((2, 3), (4,)), ((2,), (2, 3, 4)), ((), (2,)))],
        grad=(0, 1)),
    Row("cross", L.cross, lambda x, y, axis=-1: np.linalg.cross(*np.broadcast_arrays(x, y), axis=axis), lambda rng: [
        Case((rng.standard_normal((2, 3)), rng.standard_normal((3,)))),
        Case((rng.standard_normal((3, 2)), rng.standard_normal((3, 2))), {"axis": 0})], grad=(0, 1)),
    Row("multi_dot", lambda *arrays: L.multi_dot(arrays), lambda *arrays: np.linalg.multi_dot(arrays), lambda rng: [
        Case(tuple(rng.standard_normal(s) for s in shapes)) for shapes in
        (((3, 2), (2, 4)), ((4, 10), (10, 3), (3, 12), (12, 2)), ((3,), (3, 2), (2, 5), (5,)))], grad=(0, 1, 2, 3), rtol=RTOL),
]
