"""Linear algebra beyond the op table: complex matrices, other libraries' gradients, repeated and zero singular values, errors."""
from __future__ import annotations

import importlib
import os
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"
from cuda_device import stand_in

import tensorlite as tl
from tensorlite.errors import BackendUnavailable, DTypeError, GaugeWarning, LinAlgError, ShapeError
from tensorlite.testing import gradcheck

L = tl.linalg
SEED = int(os.environ.get("TENSORLITE_TEST_SEED", "0"))
# array-api-strict's dtypes have the hashes of NumPy's and meet them in dictionaries
pytestmark = pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
OBLONG = ((3, 3), (5, 3), (3, 5), (2, 4, 2))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"TENSORLITE_TEST_SEED={SEED}")   # pytest shows it with a failure
    return np.random.default_rng([SEED, 46])


def mH(x: Any) -> Any:
    return tl.conj(x.swapaxes(-1, -2))


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def parts(value: Any) -> tuple[Any, ...]:
    """Results as real ones."""
    return tuple(p for v in listed(value) for p in ((tl.real(v), tl.imag(v)) if v.dtype.kind == "c" else (v,)))


def push(f: Callable[..., Any], *inputs: np.ndarray, rng: np.random.Generator, atol: float = 5e-6) -> None:
    """Forward mode against central differences."""
    ts = [rng.standard_normal(x.shape) + (1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else 0) for x in inputs]

    def at(step: float) -> list[Any]:
        return [v.numpy() for v in listed(f(*[tl.tensor(x + step * t) for x, t in zip(inputs, ts)]))]
    _, tangents = tl.func.jvp(lambda *x: tuple(listed(f(*x))), tuple(map(tl.tensor, inputs)), tuple(map(tl.tensor, ts)))
    for got, above, below in zip(tangents, at(1e-6), at(-1e-6), strict=True):
        want = (above - below) / 2e-6
        np.testing.assert_allclose(got.numpy(), want, atol=atol * max(1.0, np.abs(want).max(initial=0)))


def both_modes(f: Callable[..., Any], *inputs: np.ndarray, rng: np.random.Generator, second: bool = True) -> None:
    """The gradient (of two orders) and the tangent, of real matrices and of complex ones."""
    modes = ("rev", "double") if second else ("rev",)
    assert gradcheck(lambda *x: parts(f(*x)), inputs, modes=modes, seed=SEED)
    push(f, *inputs, rng=rng)
    turned = [x + 1j * rng.standard_normal(x.shape) for x in inputs]

    def of_parts(*x: Any) -> Any:
        return parts(f(*[re + 1j * im for re, im in zip(x[::2], x[1::2])]))
    assert gradcheck(of_parts, [p for z in turned for p in (z.real, z.imag)], modes=modes, seed=SEED)
    push(f, *turned, rng=rng)


def positive(x: Any) -> Any:
    return x @ mH(x) + tl.eye(x.shape[-1], dtype=tl.float64, device=x.device)


def decomposed(full: bool) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        u, s, vh = L.svd(x, full_matrices=full)
        k = s.shape[-1]
        u1, v1, extra = u[..., :k], vh[..., :k, :], u[..., k:]
        return abs(u1), s, abs(v1), u1 @ v1, extra @ mH(extra), mH(vh[..., k:, :]) @ vh[..., k:, :]
    return f


def complete(x: Any) -> Any:
    q, r = L.qr(x, mode="complete")
    k = min(x.shape[-2:])
    return q[..., :k], r, q[..., k:] @ mH(q[..., k:])


# ---- both modes, two orders, real and complex -----------------------------------------------------------------------------

SQUARE: dict[str, Callable[[Any], Any]] = {
    "inv": L.inv, "det": L.det, "slogdet": L.slogdet, "cholesky": lambda x: L.cholesky(positive(x)),
    "cholesky, upper": lambda x: L.cholesky(positive(x), upper=True), "matrix_exp": L.matrix_exp,
    "matrix_power": lambda x: L.matrix_power(x, -3), "cond": L.cond, "cond, 1": lambda x: L.cond(x, 1),
    "eigh": lambda x: (lambda w, v: (w, abs(v), (v * tl.sin(w)[..., None, :]) @ mH(v)))(*L.eigh(x)),
    "eigh, lower": lambda x: L.eigh(x, UPLO="L")[0], "eigvalsh": L.eigvalsh,
    "eig": lambda x: (lambda w, v: (w, abs(v)))(*L.eig(x)), "eigvals": L.eigvals,
}


@pytest.mark.parametrize("name", SQUARE)
def test_square(name: str, rng: np.random.Generator) -> None:
    both_modes(SQUARE[name], rng.standard_normal((2, 3, 3)), rng=rng)


ANY: dict[str, Callable[[Any], Any]] = {
    "qr": L.qr, "qr, complete": complete, "svd": decomposed(False), "svd, full": decomposed(True), "svdvals": L.svdvals,
    "pinv": L.pinv, "nuclear norm": lambda x: L.matrix_norm(x, "nuc"), "spectral norm": lambda x: L.norm(x, 2, (-2, -1)),
}


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")])
def test_norms_and_conditions(order: Any, rng: np.random.Generator) -> None:
    both_modes(lambda x: L.matrix_norm(x, order, (2, 0)), rng.standard_normal((3, 2, 4)), rng=rng)
    both_modes(lambda x: L.cond(x, order), rng.standard_normal((3, 3)), rng=rng)


@pytest.mark.parametrize("shape", OBLONG, ids=str)
@pytest.mark.parametrize("name", ANY)
def test_any_shape(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    both_modes(ANY[name], rng.standard_normal(shape), rng=rng)


@pytest.mark.parametrize("shapes", [((3, 3), (3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((2, 3, 3), (3,))], ids=str)
def test_systems(shapes: Any, rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(s) for s in shapes)
    both_modes(L.solve, a, b, rng=rng)
    both_modes(lambda a, b: L.solve_triangular(a, b, upper=False), a + 2 * np.eye(3), b, rng=rng)
    both_modes(lambda a, b: L.solve_triangular(a, b, upper=True, unitriangular=True), a, b, rng=rng)
    if b.ndim > 1:
        both_modes(lambda a, b: L.solve_triangular(a, b.mT, upper=True, left=False), a + 2 * np.eye(3), b, rng=rng)


def test_large_triangles_go_by_blocks(rng: np.random.Generator) -> None:
    for n in (64, 65, 200):
        a, b = rng.standard_normal((2, n, n)) + n * np.eye(n), rng.standard_normal((n, 3))
        for upper, half in ((True, np.triu), (False, np.tril)):
            for unit in (True, False):
                t = half(a) - unit * (np.eye(n) * a - np.eye(n))
                got = L.solve_triangular(tl.tensor(a), tl.tensor(b), upper=upper, unitriangular=unit).numpy()
                np.testing.assert_allclose(t @ got, np.broadcast_to(b, got.shape), atol=1e-10 * np.abs(got).max() * n)


# ---- least squares ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", OBLONG, ids=str)
def test_gradients_through_least_squares(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """By a and by b, in both modes and two orders: the solution, the residuals and the singular values."""
    a, b = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 2))

    def f(a: Any, b: Any) -> Any:
        out = L.lstsq(a, b)
        return out.solution, out.residuals, out.singular_values
    both_modes(f, a, b, rng=rng)
    both_modes(lambda b: L.lstsq(tl.tensor(a), b).solution, b, rng=rng)
    both_modes(lambda a: L.lstsq(a, tl.tensor(b)).solution, a, rng=rng)


@pytest.mark.parametrize("shapes", [((4, 2), (3, 4, 1)), ((3, 4, 2), (4, 1)), ((2, 1, 2, 4), (3, 2, 2)), ((4, 2), (4,))], ids=str)
def test_least_squares_broadcast(shapes: Any, rng: np.random.Generator) -> None:
    both_modes(lambda a, b: L.lstsq(a, b).solution, *(rng.standard_normal(s) for s in shapes), rng=rng)


def test_least_squares_as_numpy_and_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    for shape in ((5, 3), (3, 5), (4, 4)):
        a, b = rng.standard_normal(shape), rng.standard_normal((shape[0], 2))
        got, want = L.lstsq(tl.tensor(a), tl.tensor(b)), np.linalg.lstsq(a, b)
        for mine, theirs in zip(got, want):
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-12)
        ta, tb = (torch.tensor(x, requires_grad=True) for x in (a, b))
        w = rng.standard_normal((shape[1], 2))
        (torch.linalg.lstsq(ta, tb, driver="gelsd").solution * torch.tensor(w)).sum().backward()
        xa, xb = (tl.tensor(x, requires_grad=True) for x in (a, b))
        (L.lstsq(xa, xb).solution * tl.tensor(w)).sum().backward()
        np.testing.assert_allclose(xa.grad.numpy(), ta.grad.numpy(), atol=1e-10)
        np.testing.assert_allclose(xb.grad.numpy(), tb.grad.numpy(), atol=1e-10)


def test_rank_deficient_least_squares(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((4, 1)) @ rng.standard_normal((1, 3)), rng.standard_normal((4, 2))
    out = L.lstsq(tl.tensor(a), tl.tensor(b))   # of least length, as NumPy's
    np.testing.assert_allclose(out.solution.numpy(), np.linalg.lstsq(a, b)[0], atol=1e-12)
    assert out.rank.item() == 1
    for which in ({"requires_grad": True}, {}), ({}, {"requires_grad": True}):
        x = L.lstsq(tl.tensor(a, **which[0]), tl.tensor(b, **which[1])).solution
        with pytest.raises(LinAlgError, match=r"lstsq: a of shape \(4, 3\) has matrices of rank below 3; .* pinv"):
            x.sum().backward()
    with pytest.raises(LinAlgError, match="rank below 3"):
        tl.func.jvp(lambda a: L.lstsq(a, tl.tensor(b)).solution, (tl.tensor(a),), (tl.tensor(a),))


# ---- determinants of singular matrices -----------------------------------------------------------------------------------------

def test_determinants_of_singular_matrices(rng: np.random.Generator) -> None:
    one = rng.standard_normal((4, 4))
    one[3] = one[0] - one[1]
    two = one.copy()
    two[2] = 3 * one[0]
    for x in (one, two, np.zeros((3, 3)), np.zeros((2, 2)), np.zeros((1, 1)), np.ones((4, 4)), np.diag([2.0, 2.0, 0.0, 0.0])):
        both_modes(L.det, x, rng=rng)
    z = one + 1j * np.roll(one, 1, 1)
    assert gradcheck(lambda re, im: parts(L.det(re + 1j * im)), [z.real, z.imag], modes=("rev", "double"))


def test_determinants_far_from_one() -> None:
    x = tl.tensor(1e-30 * np.eye(12), requires_grad=True)   # the determinant underflows
    sign, log = L.slogdet(x)
    log.backward()
    np.testing.assert_allclose(log.item(), 12 * np.log(1e-30))
    np.testing.assert_allclose(x.grad.numpy(), 1e30 * np.eye(12))
    assert sign.item() == 1
    singular = tl.tensor(np.zeros((2, 2)), requires_grad=True)
    out = L.slogdet(singular).logabsdet
    assert out.item() == -np.inf
    with pytest.raises(LinAlgError, match="singular"):
        out.backward()


# ---- repeated and zero singular values -----------------------------------------------------------------------------------------

def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def with_values(rng: np.random.Generator, values: Any, m: int, n: int) -> np.ndarray:
    """A matrix of these singular values."""
    s = np.zeros((m, n))
    s[range(len(values)), range(len(values))] = values
    return orthogonal(rng, m) @ s @ orthogonal(rng, n)


INVARIANT: dict[str, Callable[[Any, Any, Any], Any]] = {
    "x itself": lambda u, s, vh: (u * s[..., None, :]) @ vh,
    "a function of x": lambda u, s, vh: (u * tl.tanh(s)[..., None, :]) @ vh,
    "an inverse": lambda u, s, vh: (u / s[..., None, :]) @ vh,
    "the orthogonal factor": lambda u, s, vh: u @ vh,
    "the factor's square": lambda u, s, vh: (mH(vh) * s[..., None, :]) @ vh,
    "the range": lambda u, s, vh: u @ mH(u),
    "the space of the first three": lambda u, s, vh: u[..., :3] @ mH(u[..., :3]),
    "the best matrix of rank three": lambda u, s, vh: (u[..., :3] * s[..., None, :3]) @ vh[..., :3, :],
    "all values": lambda u, s, vh: tl.sum(tl.sin(s), axis=-1),
    "the volume": lambda u, s, vh: tl.prod(s, axis=-1),
}


@pytest.mark.parametrize("values", [(3.0, 3.0, 3.0, 1.0), (2.0,) * 4, (3.0, 2.0, 2.0, 1.0), (4.0, 3.0, 2.0, 1.0)], ids=str)
@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (4, 5)], ids=str)
@pytest.mark.parametrize("name", INVARIANT)
def test_repeated_singular_values(name: str, shape: tuple[int, int], values: Any, rng: np.random.Generator) -> None:
    """Exact, where the loss does not depend on the choice of vectors."""
    if "three" in name and values[2] == values[3]:
        pytest.skip("it cuts through repeated values, so it is not differentiable")
    x = with_values(rng, values, *shape)
    assert gradcheck(lambda x: INVARIANT[name](*L.svd(x, full_matrices=False)), [x], modes=("rev",), seed=SEED)


def test_repeated_singular_values_where_others_have_none(rng: np.random.Generator) -> None:
    """|x|^2 through the decomposition, at a matrix with one singular value four times: the gradient is 2 x, to rounding."""
    x = tl.tensor(with_values(rng, (2.0,) * 4, 4, 4), requires_grad=True)
    u, s, vh = L.svd(x, full_matrices=False)
    (((u * s) @ vh) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy(), rtol=0, atol=1e-14)
    torch = pytest.importorskip("torch")
    y = torch.eye(4, dtype=torch.float64, requires_grad=True)
    tu, ts, tvh = torch.linalg.svd(y)
    (((tu * ts) @ tvh) ** 2).sum().backward()
    assert not torch.isfinite(y.grad).all()   # when this fails, PyTorch has learned it


def test_complex_repeated_singular_values(rng: np.random.Generator) -> None:
    u, v = (np.linalg.qr(rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))[0] for _ in range(2))
    x = (u * np.array([3.0, 3.0, 3.0, 1.0])) @ v
    for f in INVARIANT.values():
        def of_parts(re: Any, im: Any, f: Any = f) -> Any:
            return parts(f(*L.svd(re + 1j * im, full_matrices=False)))
        assert gradcheck(of_parts, [x.real, x.imag], modes=("rev",))


def test_repeated_eigenvalues(rng: np.random.Generator) -> None:
    for values in ((2.0, 2.0, 1.0, 1.0), (3.0, 3.0, 3.0, 1.0), (2.0,) * 4):
        q = orthogonal(rng, 4)
        x = (q * np.array(values)) @ q.T
        for function in (lambda w: w, tl.exp, lambda w: w ** -0.5, lambda w: w * 0 + 1):
            def f(x: Any, function: Any = function) -> Any:
                w, v = L.eigh(x)
                return (v * function(w)) @ mH(v)
            assert gradcheck(f, [x], modes=("rev",))
        assert gradcheck(lambda x: (L.eigvalsh(x) ** 3).sum(), [x], modes=("rev", "double"))
        assert gradcheck(lambda x: tl.log(L.svdvals(x)).sum(), [x], modes=("rev", "double"))


def test_whitening_from_the_identity() -> None:
    """x^-1/2 where every eigenvalue is the same: the derivative along t is -t / 2."""
    def whiten(x: Any) -> Any:
        w, v = L.eigh(x)
        return (v * w ** -0.5) @ v.mT
    t = np.array([[1.0, 2.0, 3.0], [2.0, -1.0, 0.5], [3.0, 0.5, 2.0]])
    x = tl.eye(3, dtype=tl.float64).requires_grad_()
    (whiten(x) * tl.tensor(t)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -t / 2, atol=1e-15)


def test_constant_diagonals() -> None:
    """Where the diagonals leave f'/f open, their quotient is right if there is nothing but a function of the matrix."""
    with pytest.warns(GaugeWarning, match="taken for a function of the matrix alone"):
        g = tl.grad(lambda x: (lambda u, s, vh: ((u * s ** 2) @ vh).sum())(*L.svd(x)))(3 * tl.eye(2, dtype=tl.float64))
    np.testing.assert_allclose(g.numpy(), np.full((2, 2), 6.0), atol=1e-12)


def test_zero_singular_values(rng: np.random.Generator) -> None:
    """Of a square matrix one may vanish; of others, what does not depend on the vectors of zeros is exact."""
    x = with_values(rng, (3.0, 2.0, 1.0, 0.0), 4, 4)
    assert gradcheck(lambda x: (lambda u, s, vh: (u * s) @ vh)(*L.svd(x)), [x], modes=("rev",))
    for shape in ((5, 4), (4, 5), (4, 4)):
        x = with_values(rng, (3.0, 2.0), *shape)

        def low_rank(x: Any) -> Any:
            u, s, vh = L.svd(x, full_matrices=False)
            return (u[:, :2] * s[:2] ** 2) @ vh[:2], u[:, :2] @ mH(u[:, :2])
        for i in range(2):
            assert gradcheck(lambda x, i=i: low_rank(x)[i], [x], modes=("rev",))
        a, b = rng.standard_normal((shape[0], 2)), rng.standard_normal((2, shape[1]))
        both_modes(lambda a, b: L.pinv(a @ b), a, b, rng=rng)   # among matrices of rank 2


# ---- what depends on an arbitrary choice warns ---------------------------------------------------------------------------------

PHASED = np.array([[1.0, 0.5j], [-0.5j, 3.0]])
DEPENDENT: dict[str, tuple[Callable[[Any], Any], Any, str]] = {
    "one of repeated eigenvectors": (lambda x: L.eigh(x)[1][0, :2].sum(), np.diag([1.0, 1.0, 2.0]), "eigh: .*eigenvectors"),
    "one of repeated singular vectors": (lambda x: L.svd(x)[0][0, :2].sum(), np.diag([2.0, 2.0, 1.0]), "svd: .*singular vectors"),
    "a phase of eigh": (lambda x: tl.imag(L.eigh(x)[1][0, 0] * (1 + 2j)), PHASED, "eigh: .*phases"),
    "a phase of svd": (lambda x: tl.imag(L.svd(x)[0][0, 0] * (1 + 2j)), PHASED, "svd: .*phases"),
    "a phase of eig": (lambda x: tl.imag(L.eig(x)[1][0, 0] * (1 + 2j)), np.array([[1.0, 0.5], [-0.2, 3.0]]), "eig: .*phases"),
    "columns that full_matrices adds": (lambda x: L.svd(x)[0][0, 3], np.arange(8.0).reshape(4, 2) ** 2, "full_matrices"),
    "columns that complete adds": (lambda x: L.qr(x, mode="complete")[0][0, 3], np.arange(8.0).reshape(4, 2) ** 2, "complete"),
    "vectors of zero": (lambda x: L.svd(x)[0][0, 2], np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0]), "singular vectors"),
    "a zero that is kept": (lambda x: (lambda u, s, vh: ((u * s) @ vh)[1, 1])(*L.svd(x, full_matrices=False)),
                            np.diag([2.0, 0.0, 0.0]), "zero"),
    "equal values told apart": (lambda x: (lambda w, v: w[1] + ((v * w) @ v.mT)[0, 1])(*L.eigh(x)),
                                np.eye(3), "treats equal values differently"),
    "nothing to tell it by": (lambda x: (lambda w, v: ((v * w) @ v.mT)[0, 1])(*L.eigh(x)), np.eye(3), "leave open"),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_gauge_warnings(name: str) -> None:
    f, x, message = DEPENDENT[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tl.grad(f)(tl.tensor(x.copy()))
    caught = [w for w in caught if w.category is GaugeWarning]
    assert any(re.search(message, str(w.message)) for w in caught), [str(w.message) for w in caught]
    assert all(w.filename == __file__ for w in caught)   # the line of the user's program


def test_gauge_warnings_of_forward_mode(rng: np.random.Generator) -> None:
    t = tl.tensor(rng.standard_normal((3, 3)))
    zeros = tl.tensor(with_values(rng, (2.0, 1.0), 4, 3))
    for f, x in ((L.eigh, 2 * tl.eye(3, dtype=tl.float64)), (L.svd, 2 * tl.eye(3, dtype=tl.float64)), (L.svd, zeros)):
        with pytest.warns(GaugeWarning, match="no limit"):
            tl.func.jvp(lambda x, f=f: tuple(f(x)), (x,), (t if x.shape == t.shape else tl.ones_like(x),))


def test_no_warning_where_nothing_is_arbitrary(rng: np.random.Generator) -> None:
    x = tl.tensor(rng.standard_normal((5, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tl.grad(lambda x: L.svd(x)[0][0, 0])(x)          # a sign is no continuous choice
        tl.grad(lambda x: L.svdvals(x)[0])(tl.eye(3))    # a subgradient of the norm
        tl.grad(lambda x: L.eigh(x)[0].sum())(tl.eye(3))
        tl.grad(lambda x: L.matrix_norm(x, "nuc"))(tl.ones(3, 2))
        tl.grad(lambda x: (lambda u, s, vh: (u @ vh)[0, 1])(*L.svd(x)))(tl.eye(3))


def test_values_a_few_roundings_apart(rng: np.random.Generator) -> None:
    """What rounding does to repeated values in float32 and float64 counts as repeated; a millionth is apart."""
    for dtype, gap in ((tl.float64, 1e-15), (tl.float32, 2e-7)):
        x = tl.tensor(np.diag([1.0 + gap, 1.0, 0.5]), dtype=dtype)
        g = tl.grad(lambda x: ((lambda w, v: (v * tl.exp(w)) @ v.mT)(*L.eigh(x)) * tl.tensor([[1.0, 2.0, 0.0]] * 3)).sum())(x)
        assert tl.isfinite(g).all() and abs(g[0, 1].item() - 1.5 * np.e) < 1e-5
    w, v = L.eigh(tl.tensor(np.diag([1.0 + 1e-6, 1.0, 0.5])))
    assert w[2] - w[1] > 0 and tl.isfinite(v).all()
    g = tl.grad(lambda x: L.eigh(x)[1][0, 1] * 1.0)(tl.tensor(np.diag([1.0 + 1e-6, 1.0, 0.5])))
    np.testing.assert_allclose(abs(g[0, 1].item()), 0.5e6, rtol=1e-6)


# ---- other libraries ---------------------------------------------------------------------------------------------------------

def test_gradients_as_jax(rng: np.random.Generator) -> None:
    """Complex gradients have JAX's convention."""
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental").enable_x64
    x = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    w = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    pairs: list[tuple[Any, Any]] = [
        (lambda x: L.inv(x), lambda x: jnp.linalg.inv(x)), (lambda x: L.det(x) * w[0, 0], lambda x: jnp.linalg.det(x) * w[0, 0]),
        (lambda x: L.cholesky(positive(x)), lambda x: jnp.linalg.cholesky(x @ x.conj().T + jnp.eye(3))),
        (lambda x: L.pinv(x), lambda x: jnp.linalg.pinv(x)),
        (lambda x: L.svdvals(x), lambda x: jnp.linalg.svd(x, compute_uv=False)),
        (lambda x: L.eigh(x + mH(x))[0], lambda x: jnp.linalg.eigh(x + x.conj().T)[0]),
        (lambda x: L.slogdet(x)[1], lambda x: jnp.linalg.slogdet(x)[1]), (lambda x: L.qr(x)[1], lambda x: jnp.linalg.qr(x)[1]),
        (lambda x: L.matrix_exp(x), lambda x: jax.scipy.linalg.expm(x)),
    ]
    with enable_x64(True):
        for mine, theirs in pairs:
            def scalar(out: Any, lib: Any) -> Any:
                weight = tl.tensor(w) if lib is tl else jnp.asarray(w)
                return lib.sum(lib.real(out * (weight if out.ndim == 2 else weight[0] if out.ndim == 1 else weight[0, 0])))
            got = tl.grad(lambda x, f=mine: scalar(f(x), tl))(tl.tensor(x))
            want = jax.grad(lambda x, f=theirs: scalar(f(x), jnp))(jnp.asarray(x))
            np.testing.assert_allclose(got.numpy(), np.asarray(want), atol=1e-10)


def test_gradients_as_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    names = {"inv": (4, 4), "det": (4, 4), "pinv": (4, 3), "matrix_exp": (4, 4), "svdvals": (4, 3), "matrix_norm": (4, 3),
             "cond": (4, 4), "eigvalsh": (4, 4), "matrix_power": (3, 3)}
    for name, shape in names.items():
        x = rng.standard_normal((2, *shape))
        x = x + x.swapaxes(1, 2) if name == "eigvalsh" else x
        more = (3,) if name == "matrix_power" else ("nuc",) if name == "matrix_norm" else ()
        mine, theirs = tl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        got, want = getattr(L, name)(mine, *more), getattr(torch.linalg, name)(theirs, *more)
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
        tl.sin(got).sum().backward()
        torch.sin(want).sum().backward()
        np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=name)


def test_names_and_results() -> None:
    x = tl.tensor([[4.0, 1.0], [1.0, 3.0]])
    assert L.qr(x)._fields == ("Q", "R") and L.svd(x)._fields == ("U", "S", "Vh")
    assert L.eigh(x)._fields == ("eigenvalues", "eigenvectors") and L.slogdet(x)._fields == ("sign", "logabsdet")
    assert L.lstsq(x, x)._fields == ("solution", "residuals", "rank", "singular_values")
    np.testing.assert_allclose(L.solve(A=x, B=x).numpy(), np.eye(2), atol=1e-6)   # PyTorch's names
    np.testing.assert_allclose(L.svd(A=x, full_matrices=False).S.numpy(), L.svdvals(x).numpy(), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.inv(x).numpy(), L.inv(x).numpy())        # NumPy's functions
    assert isinstance(L.eigh(np.eye(2)).eigenvalues, np.ndarray)
    assert L.svd(tl.ones(0, 3)).Vh.shape == (3, 3)
    assert L.det(tl.ones(0, 0)).item() == 1
    assert L.solve(2 * tl.eye(2, dtype=tl.int64), tl.tensor([2, 4])).tolist() == [1.0, 2.0]   # integers as float64


# ---- transforms --------------------------------------------------------------------------------------------------------------

def test_vmap(rng: np.random.Generator) -> None:
    x, b = tl.tensor(rng.standard_normal((4, 2, 3, 3))), tl.tensor(rng.standard_normal((4, 3, 2)))
    one: dict[str, Callable[[Any], Any]] = {**SQUARE, **ANY}
    for name, f in one.items():
        got, want = tl.vmap(lambda x, f=f: tuple(listed(f(x))))(x), listed(f(x))
        for mine, theirs in zip(got, want, strict=True):
            size = max(1.0, float(abs(theirs).max().item()))
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-9 * size, err_msg=name)
    for f in (L.solve, lambda a, b: L.solve_triangular(a, b, upper=True), lambda a, b: L.lstsq(a, b).solution):
        for args, axes in (((x[:, 0], b), (0, 0)), ((x[0, 0], b), (None, 0)), ((x, b[0]), (0, None)), ((x, b), (0, 0))):
            got = tl.vmap(f, in_axes=axes)(*args)
            rows = [f(*[a if axis is None else a[i] for a, axis in zip(args, axes)]) for i in range(4)]
            np.testing.assert_allclose(got.numpy(), tl.stack(rows).numpy(), atol=1e-9 * np.abs(got.numpy()).max())


def test_per_example_gradients_and_hessians(rng: np.random.Generator) -> None:
    x = tl.tensor(rng.standard_normal((4, 3, 3)))
    np.testing.assert_allclose(tl.vmap(tl.grad(lambda x: (L.svdvals(x) ** 2).sum()))(x).numpy(), 2 * x.numpy(), atol=1e-12)
    h = tl.func.hessian(lambda x: (L.svdvals(x) ** 2).sum())(x[0]).numpy().reshape(9, 9)
    np.testing.assert_allclose(h, 2 * np.eye(9), atol=1e-10)
    third = tl.func.jacrev(tl.func.hessian(L.det))(x[0]).numpy()   # constant: det is cubic
    np.testing.assert_allclose(third, tl.func.jacrev(tl.func.hessian(L.det))(x[1]).numpy(), atol=1e-8)


# ---- the matrix exponential ----------------------------------------------------------------------------------------------------

def test_matrix_exp_of_all_sizes(rng: np.random.Generator) -> None:
    """Every degree and many squarings, against an eigendecomposition in float64."""
    for size in (1e-3, 0.1, 0.5, 1.5, 4.0, 30.0, 300.0):
        a = rng.standard_normal((3, 6, 6))
        a = size * (a - a.swapaxes(1, 2)) / 6   # skew: e^a is orthogonal, so nothing grows
        w, v = np.linalg.eig(a)
        want = ((v * np.exp(w)[:, None, :]) @ np.linalg.inv(v)).real
        for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
            got = L.matrix_exp(tl.tensor(a.astype(dtype))).numpy()
            np.testing.assert_allclose(got, want, atol=tolerance * max(1, size))
    mixed = np.stack([1e-3 * np.eye(2), 40 * np.array([[0.0, 1.0], [-1.0, 0.0]])])   # each is squared as often as it needs
    np.testing.assert_allclose(L.matrix_exp(tl.tensor(mixed)).numpy()[1],
                               [[np.cos(40), np.sin(40)], [-np.sin(40), np.cos(40)]], atol=1e-12)
    assert np.isnan(L.matrix_exp(tl.tensor([[np.inf, 0.0], [0.0, 1.0]])).numpy()).any()


def test_matrix_exp_along_large_directions(rng: np.random.Generator) -> None:
    """The direction's size does not cost digits."""
    x, t = tl.tensor(rng.standard_normal((4, 4))), tl.tensor(rng.standard_normal((4, 4)))
    _, small = tl.func.jvp(L.matrix_exp, (x,), (t,))
    _, large = tl.func.jvp(L.matrix_exp, (x,), (t * 1e12,))
    np.testing.assert_allclose(large.numpy() / 1e12, small.numpy(), rtol=1e-12)


# ---- errors --------------------------------------------------------------------------------------------------------------------

SINGULAR = np.stack([np.eye(2), np.ones((2, 2))])
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: L.inv(tl.tensor(SINGULAR)), LinAlgError, r"^inv: x\[1\] of x of shape \(2, 2, 2\) is singular; pinv and lstsq"),
    (lambda: L.inv(tl.zeros(2, 2)), LinAlgError, r"^inv: x of x of shape \(2, 2\) is singular"),
    (lambda: L.solve(tl.tensor(SINGULAR), tl.ones(2, 1)), LinAlgError, r"^solve: a\[1\] of a of shape \(2, 2, 2\) is singular"),
    (lambda: L.cholesky(tl.tensor(-SINGULAR)), LinAlgError, r"^cholesky: x\[0\] of x of shape \(2, 2, 2\) is not positive"),
    (lambda: L.solve_triangular(tl.tensor([[1.0, 0.0], [1.0, 0.0]]), tl.ones(2, 1), upper=False), LinAlgError,
     r"^solve_triangular: a of a of shape \(2, 2\) has a zero on its diagonal"),
    (lambda: L.svd(tl.full((2, 2), float("nan"))), LinAlgError, r"^svd: .*nan"),
    (lambda: L.inv(tl.ones(2, 3)), ShapeError, r"^inv: x has shape \(2, 3\); expected square matrices"),
    (lambda: L.svd(tl.ones(3)), ShapeError, r"^svd: x has shape \(3,\); expected matrices in the last two axes"),
    (lambda: L.solve(tl.eye(3), tl.ones(2, 1)), ShapeError, r"^solve: a has shape \(3, 3\) and b has shape \(2, 1\); .* 3 rows"),
    (lambda: L.solve(tl.eye(3), tl.ones(2)), ShapeError, r"^solve: .* b has shape \(2,\); expected b of length 3"),
    (lambda: L.lstsq(tl.ones(2, 3, 2), tl.ones(4, 3, 1)), ShapeError, r"^lstsq: the batch axes of a \(2,\) and b \(4,\) do not"),
    (lambda: L.eigh(tl.eye(3), UPLO="x"), DTypeError, r"^eigh: UPLO = 'x'; expected 'L', 'U' or None"),
    (lambda: L.qr(tl.eye(3), mode="r"), DTypeError, r"^qr: mode = 'r'; expected 'reduced' or 'complete'"),
    (lambda: L.inv(tl.eye(3, dtype=tl.float16)), DTypeError, r"^inv: x has dtype float16; expected float32, float64"),
    (lambda: L.det(tl.ones(2, 2) > 0), DTypeError, r"^det: x has dtype bool"),
    (lambda: L.inv([[1.0]]), DTypeError, r"^inv: x is a list; expected a tensor or an array"),
    (lambda: L.matrix_norm(tl.eye(3), "abc"), DTypeError, r"^matrix_norm: ord = 'abc'; expected 'fro', 'nuc'"),
    (lambda: L.cross(tl.ones(2), tl.ones(2)), ShapeError, r"^cross: x has shape \(2,\); expected 3 elements along axis -1"),
    (lambda: L.multi_dot([tl.ones(2, 3), tl.ones(2, 3)]), ShapeError, r"^multi_dot: .* 3 columns do not meet 2 rows"),
    (lambda: L.multi_dot([tl.ones(2, 3)]), ShapeError, r"^multi_dot: 1 arrays were given"),
    (lambda: L.matrix_power(tl.eye(2), 1.5), DTypeError, r"^matrix_power: n = 1.5; expected an integer"),
    (lambda: tl.grad(lambda x: L.qr(x)[0].sum())(tl.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])), LinAlgError,
     r"^qr: the first min\(m, n\) columns .* dependent"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_errors(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_singular_is_an_error_of_numpy_too() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        L.inv(tl.zeros(2, 2))
    with pytest.raises(ValueError, match="singular"):
        L.inv(tl.zeros(2, 2).to("strict"))


# ---- CUDA ----------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [13, 14])
def test_on_cuda_nothing_waits(version: int, rng: np.random.Generator) -> None:
    """No value is read by any function but the exponential, nor by any rule; singular matrices give no error."""
    x, b = rng.standard_normal((2, 3, 3)), rng.standard_normal((3, 2))
    with stand_in(version) as backend:
        syncs = backend.cupy._machine.machine.syncs
        a, c = tl.tensor(x, device="cuda"), tl.tensor(b, device="cuda")
        functions = {k: f for k, f in {**SQUARE, **ANY}.items() if k not in ("matrix_exp", "eig", "eigvals")}
        functions["solve"] = lambda a: L.solve(a, c)
        functions["solve_triangular"] = lambda a: L.solve_triangular(a, c, upper=True)
        functions["solve_triangular of one"] = lambda a: L.solve_triangular(a[0], c, upper=False, unitriangular=True)
        functions["lstsq"] = lambda a: L.lstsq(a, c)[0]
        functions["repeated"] = lambda a: (lambda u, s, vh: (u * s[..., None, :]) @ vh)(*L.svd(a * 0 + tl.eye(
            3, dtype=tl.float64, device="cuda"), full_matrices=False))
        for name, f in functions.items():
            leaf = a.detach().requires_grad_()
            syncs.clear()
            outs = [o for o in listed(f(leaf)) if o.requires_grad]
            found = tl.autograd.grad(outs, [leaf], [tl.ones_like(o) for o in outs])[0]
            assert syncs == [], name
            assert found.shape == x.shape
        zeros = tl.zeros(2, 2, device="cuda")
        for out in (L.inv(zeros), L.solve(zeros, zeros + 1), L.solve_triangular(zeros, zeros + 1, upper=True)):
            assert not np.isfinite(out.numpy()).any()


def test_eig_on_cuda_from_cupy_14_on(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 3))
    with stand_in(13), pytest.raises(BackendUnavailable, match=r"eig: CuPy 13.* CuPy 14"):
        L.eig(tl.tensor(x, device="cuda"))
    with stand_in(14):
        w, v = L.eig(tl.tensor(x, device="cuda"))
        np.testing.assert_allclose((x @ v.numpy()), v.numpy() * w.numpy()[:, None, :], atol=1e-12)
