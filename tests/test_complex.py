"""Complex numbers: every row of the op table at complex arguments, in both modes and twice, on every backend; and against JAX.

The convention is JAX's: a function of complex numbers is one of pairs of real numbers, its jvp is the derivative t -> J t of
that, and its vjp the transpose in the pairing Re(g t).
"""
from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"
from cuda_device import stand_in
from test_optable import ROWS, SEED, call, cases, flat, floating, host, mapped, results, tensors

import tensorlite as tl
from optable import Case
from tensorlite._dtypes import kind
from tensorlite.engine.value import raw
from tensorlite.errors import DTypeError, GradError

# rows that complex arguments are refused by, with DTypeError: none is defined for complex numbers, or only by a series of its own
REFUSED = {
    "erf", "erfc", "erfinv", "gelu", "softplus", "logsigmoid", "mish", "softshrink", "elu", "selu", "celu",
    "binary_cross_entropy_with_logits",
    "floor", "ceil", "trunc", "frac", "floor_divide", "divide_floor", "divide_trunc", "remainder", "fmod", "atan2", "hypot",
    "logaddexp", "logaddexp2", "copysign", "layer_norm", "rms_norm", "group_norm",
    "cross_entropy of probabilities", "instance_norm", "lp_pool2d", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_pool2d: dilated, hanging over", "max_unpool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"}


# functions of a factorization that do not depend on its arbitrary part where that is a sign, but do where it is a phase
BY_PHASE = {"qr, complete", "eigh, repeated", "svd, full"}


def complex_rows() -> list[Any]:
    """The rows whose arguments are not pairs of parts already, and that are not casts to a real type (nor the operation behind
    writes through views, which refuse complex values before it)."""
    pairs = ("fft.", "complex", "polar", "view_as", "angle", "adjoint", "astype", "write_view")
    return [r for r in ROWS if r.grad and r.name not in BY_PHASE and not r.name.startswith(pairs) and "of complex" not in r.name]


by_row = pytest.mark.parametrize("row", complex_rows(), ids=lambda r: r.name)


def points(of: Any, *shape: int) -> Any:
    """Complex numbers in all quadrants, neither part near 0; ``of`` is a generator, or a name that one is made from."""
    rng = np.random.default_rng([SEED, zlib.crc32(of.encode()), 1]) if isinstance(of, str) else of
    part = lambda: rng.uniform(0.3, 2, shape) * rng.choice([-1, 1], shape)
    return part() + 1j * part()


def random(rng: np.random.Generator, like: Any) -> Any:
    """Random numbers of the array's shape and kind."""
    out = rng.standard_normal(like.shape)
    return np.asarray(out + 1j * rng.standard_normal(like.shape) if like.dtype.kind == "c" else out)


def complex_cases(row: Any, most: int = 4) -> Iterator[tuple[str, Case]]:
    """The row's first cases with imaginary parts added, away from 0: to all differentiated arguments, and to each alone."""
    rng = np.random.default_rng([SEED, zlib.crc32(row.name.encode())])
    chosen = [tuple(row.grad), *([(i,) for i in row.grad] if len(row.grad) > 1 else [])]
    for positions in chosen:
        for number, case in cases(row):
            if number >= most:
                break
            turned = lambda a: np.asarray(a + 0.4j * points(rng, *a.shape).imag) if floating(a) else a
            args = tuple(mapped(a, turned) if i in positions else a for i, a in enumerate(case.args))
            if any(a.dtype.kind == "c" for a in flat(args)) and all(a.size < 1000 for a in flat(args)):
                yield f"{row.name}, case {number}, complex {positions}", Case(args, case.kwargs)


def function_of(row: Any, case: Case, device: str = "cpu") -> tuple[list[Any], Callable[..., Any]]:
    """The arrays that are differentiated, and the differentiable results as a function of them."""
    arrays = [a for i in row.grad if i < len(case.args) for a in flat(case.args[i]) if a.dtype.kind in "fc"]

    def function(*given: Any) -> tuple[Any, ...]:
        left = iter(given)
        put = lambda a: next(left) if a.dtype.kind in "fc" else tl.tensor(a, device=device)
        args = [mapped(a, put) if i in row.grad else tensors(a, device=device) for i, a in enumerate(case.args)]
        return tuple(o for o in flat(call(row, case, args, device=device)) if kind(o.dtype) in "fc")
    return arrays, function


def pairing(xs: Any, ys: Any) -> tuple[float, float]:
    """Re sum x y, and what it would be without signs."""
    terms = [(np.sum(host(x) * host(y)).real, np.sum(np.abs(host(x) * host(y)))) for x, y in zip(xs, ys, strict=True)]
    return float(sum(t[0] for t in terms)), float(sum(t[1] for t in terms)) + 1e-6


@by_row
def test_both_modes(row: Any) -> None:
    """jvp against differences, vjp against jvp, and the same of the pullback: the second order."""
    seen, refused = 0, False
    for what, case in complex_cases(row):
        arrays, function = function_of(row, case)
        rng = np.random.default_rng([SEED, zlib.crc32(what.encode())])
        xs = [tl.tensor(a) for a in arrays]
        seen += 1
        try:
            function(*xs)
        except DTypeError as error:
            refused |= row.name in REFUSED
            assert refused or "holds no imaginary parts" in str(error), f"{what}: {error}"
            continue
        ts = [tl.tensor(random(rng, a)) for a in arrays]
        out, moved = tl.func.jvp(function, tuple(xs), tuple(ts))
        eps = 1e-6
        with np.errstate(all="ignore"):
            above, below = (function(*[tl.tensor(np.asarray(a + s * host(t))) for a, t in zip(arrays, ts)]) for s in (eps, -eps))
        for m, a, b in zip(moved, above, below, strict=True):
            numeric = (host(a) - host(b)) / (2 * eps)
            size = np.abs(numeric).max(initial=0.0)
            np.testing.assert_allclose(host(m), numeric, rtol=1e-5, atol=1e-6 * (1 + size), err_msg=f"{what}: jvp")
        gs = [tl.tensor(random(rng, host(o))) for o in out]
        _, pullback = tl.func.vjp(function, *xs)
        pulled = pullback(tuple(gs))
        for x, p in zip(xs, pulled, strict=True):
            assert (p.shape, p.dtype) == (x.shape, x.dtype), what
        (a, scale), (b, _) = pairing(gs, moved), pairing(pulled, ts)
        assert abs(a - b) <= 1e-8 * scale, f"{what}: Re(g J t) = {a}, Re(J^T g t) = {b}"

        def pull(*at: Any, function: Any = function, gs: Any = gs) -> Any:
            return tl.func.vjp(function, *at)[1](tuple(gs))
        if row.second is True:
            _, bent = tl.func.jvp(pull, tuple(xs), tuple(ts))
            hs = [tl.tensor(random(rng, a)) for a in arrays]
            _, again = tl.func.vjp(pull, *xs)
            (a, scale), (b, other) = pairing(hs, bent), pairing(again(tuple(hs)), ts)
            assert abs(a - b) <= 1e-7 * max(scale, other), f"{what}: second order, {a} and {b}"
    assert seen, f"{row.name}: no complex case ran"
    assert refused == (row.name in REFUSED), f"{row.name} takes complex arguments"


@pytest.fixture(scope="module", params=["strict", "cupy14", "cupy13"])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend but NumPy."""
    if request.param == "strict":
        yield "strict"
    else:
        with stand_in(int(request.param[4:])):
            yield "cuda:0"


def gradients(row: Any, case: Case, device: str) -> list[Any]:
    arrays, function = function_of(row, case, device)
    leaves = [tl.tensor(a, device=device).requires_grad_() for a in arrays]
    outs = [o for o in function(*leaves) if o.requires_grad]
    rng = np.random.default_rng(SEED)
    gs = [tl.tensor(random(rng, host(o)), device=device) for o in outs]
    return [*outs, *tl.autograd.grad(outs, leaves, gs, materialize_grads=True)] if outs else []


# complex numbers have an order in NumPy, JAX and CuPy (by their real parts, then by their imaginary ones), not in the standard
@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
@by_row
def test_backends(row: Any, device: str) -> None:
    if row.skip.keys() & {"strict", "cuda"}:
        pytest.skip(str(row.skip))
    for what, case in complex_cases(row, most=2):
        try:
            expected = gradients(row, case, "cpu")
        except DTypeError:
            expected = None
        try:
            found = gradients(row, case, device)
        except DTypeError as error:
            assert device == "strict" or expected is None, f"{what}: {error}"
            continue
        if expected is None:
            assert device == "strict", f"{what} is not refused on {device}"
            continue
        for a, b in zip(found, expected, strict=True):
            size = np.abs(host(b)).max(initial=0.0)
            np.testing.assert_allclose(host(a), host(b), rtol=1e-9, atol=1e-9 * size, err_msg=f"{what}, {device}")


# ---- against JAX ---------------------------------------------------------------------------------------------------------

# without arccosh, whose derivative JAX 0.10 gives the wrong sign left of 0, and sign, for which it gives 0
SAME = [
    "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arctanh", "exp", "expm1", "exp2",
    "log", "log1p", "log2", "log10", "sqrt", "square", "reciprocal", "abs", "real", "imag", "conj", "angle", "negative",
    "positive", "sum", "mean", "prod", "var", "std", "cumsum", "cumprod"]
TWO = ["add", "subtract", "multiply", "divide", "power", "vdot", "matmul", "outer", "dot"]
NORMS = {f"norm of order {p}": p for p in (1, 2, 3, np.inf)}
OWN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "rsqrt": (tl.rsqrt, lambda jax, z: jax.lax.rsqrt(z)),
    "sigmoid": (tl.sigmoid, lambda jax, z: jax.nn.sigmoid(z)),
    "softmax": (lambda z: tl.softmax(z, -1), lambda jax, z: jax.numpy.exp(z) / jax.numpy.exp(z).sum(-1, keepdims=True)),
    "logsumexp": (tl.logsumexp, lambda jax, z: jax.numpy.log(jax.numpy.exp(z).sum())),
    "fft": (tl.fft.fft, lambda jax, z: jax.numpy.fft.fft(z)),
    "ifftn": (tl.fft.ifftn, lambda jax, z: jax.numpy.fft.ifftn(z)),
    "irfft, even": (lambda z: tl.fft.irfft(z, 4), lambda jax, z: jax.numpy.fft.irfft(z, 4)),
    "irfft, odd": (lambda z: tl.fft.irfft(z, 5), lambda jax, z: jax.numpy.fft.irfft(z, 5)),
    "rfftn": (lambda z: tl.fft.rfftn(z.real), lambda jax, z: jax.numpy.fft.rfftn(z.real)),
    "hfft": (lambda z: tl.fft.hfft(z, 5), lambda jax, z: jax.numpy.fft.hfft(z, 5)),
    "einsum": (lambda z: tl.einsum("ij,kj->ik", z, tl.conj(z)), lambda jax, z: jax.numpy.einsum("ij,kj->ik", z, z.conj())),
    "a real constant": (lambda z: (z * tl.arange(3)).real ** 2, lambda jax, z: (z * jax.numpy.arange(3)).real ** 2),
    **{name: (lambda z, p=p: tl.vector_norm(z, ord=p), lambda jax, z, p=p: jax.numpy.linalg.norm(z.reshape(-1), p))
       for name, p in NORMS.items()},
}


def against_jax(ours: Any, theirs: Any, arrays: list[Any], name: str) -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    print(f"{name}, TENSORLITE_TEST_SEED={SEED}")
    ts = [random(rng, a) for a in arrays]
    with jax.enable_x64(True):
        expected, pull = jax.vjp(theirs, *arrays)
        g = random(rng, np.asarray(expected))
        cotangents, tangent = pull(jax.numpy.asarray(g)), jax.jvp(theirs, tuple(arrays), tuple(ts))[1]
    xs = tuple(tl.tensor(a) for a in arrays)
    out, pullback = tl.func.vjp(ours, *xs)

    def close(a: Any, b: Any, what: str) -> None:
        np.testing.assert_allclose(host(a), np.asarray(b), rtol=1e-9, atol=1e-10, err_msg=f"{name}: {what}")
    close(out, expected, "result")
    for a, b in zip(pullback(tl.tensor(g)), cotangents, strict=True):
        close(a, b, "vjp")
    close(tl.func.jvp(ours, xs, tuple(map(tl.tensor, ts)))[1], tangent, "jvp")


@pytest.mark.parametrize("name", SAME)
def test_functions_against_jax(name: str) -> None:
    jnp = pytest.importorskip("jax").numpy
    axis = {"axis": 0} if name in ("cumsum", "cumprod") else {}
    against_jax(lambda z: getattr(tl, name)(z, **axis), lambda z: getattr(jnp, name)(z, **axis), [points(name, 4, 3)], name)


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_against_jax(name: str) -> None:
    jnp = pytest.importorskip("jax").numpy
    square = name in ("matmul", "dot")
    x, y = points(name, 3, 3) if square else points(name, 3), points(name + "y", 3, 3) if square else points(name + "y", 3)
    for arrays in ([x, y], [x, y.real], [np.abs(x), y]):
        against_jax(getattr(tl, name), getattr(jnp, name), arrays, name)


@pytest.mark.parametrize("name", OWN)
def test_others_against_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    ours, theirs = OWN[name]
    against_jax(ours, lambda z: theirs(jax, z), [points(name, 2, 3)], name)


@pytest.mark.parametrize("name", ["sgn", "acosh", "angle", "rsqrt", "var", "std"])
def test_functions_against_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    z, rng = points(name, 3, 4), np.random.default_rng(SEED)
    w = torch.tensor(z, requires_grad=True)
    expected = getattr(torch, name)(w, **({"correction": 0} if name in ("var", "std") else {}))
    g = random(rng, expected.detach().numpy())
    expected.backward(torch.tensor(g))
    out, pullback = tl.func.vjp(getattr(tl, name), tl.tensor(z))
    np.testing.assert_allclose(host(out), expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(host(pullback(tl.tensor(g.conj()))[0]), w.grad.numpy().conj(), rtol=1e-11)


# ---- what a gradient is --------------------------------------------------------------------------------------------------

def test_the_gradient_of_a_real_loss_is_pytorchs_conjugated() -> None:
    torch = pytest.importorskip("torch")
    z = points("gradient", 3)
    w = torch.tensor(z, requires_grad=True)
    (w * w.conj() + torch.exp(w)).abs().sum().backward()
    loss = lambda z: tl.abs(z * tl.conj(z) + tl.exp(z)).sum()
    p = tl.tensor(z, requires_grad=True)
    loss(p).backward()
    for found in (p.grad, tl.grad(loss)(tl.tensor(z)), tl.autograd.grad(loss(p), p)[0]):
        np.testing.assert_allclose(host(found), w.grad.numpy().conj(), rtol=1e-12)


@pytest.mark.parametrize(("name", "settings"), [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}), ("Adam", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}), ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True})])
def test_optimizers_descend_as_pytorchs(name: str, settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    start, target = points("optimizer", 4), points("target", 4)
    z, r = tl.tensor(start, requires_grad=True), tl.tensor(np.ones(3), requires_grad=True)
    w, s = torch.tensor(start, requires_grad=True), torch.tensor(np.ones(3), requires_grad=True)
    ours, theirs = getattr(tl.optim, name)([z, r], **settings), getattr(torch.optim, name)([w, s], **settings)
    losses = []
    for _ in range(6):
        ours.zero_grad(), theirs.zero_grad()
        loss = (tl.abs(z - tl.tensor(target)) ** 2).sum() + (r ** 2).sum()
        other = ((w - torch.tensor(target)).abs() ** 2).sum() + (s ** 2).sum()
        loss.backward(), other.backward()
        norms = tl.nn.utils.clip_grad_norm_([z, r], 3.0), torch.nn.utils.clip_grad_norm_([w, s], 3.0)
        np.testing.assert_allclose(norms[0].item(), norms[1].item(), rtol=1e-12)
        ours.step(), theirs.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(host(z), w.detach().numpy(), rtol=1e-12)
    again = getattr(tl.optim, name)([z, r], **settings)
    again.load_state_dict(ours.state_dict())
    loss = (tl.abs(z - tl.tensor(target)) ** 2).sum() + (r ** 2).sum()
    again.zero_grad(), theirs.zero_grad()
    loss.backward()
    (((w - torch.tensor(target)).abs() ** 2).sum() + (s ** 2).sum()).backward()
    again.step(), theirs.step()
    np.testing.assert_allclose(host(z), w.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("order", [1.0, 3.0, np.inf])
def test_other_norms_of_complex_gradients(order: float) -> None:
    z = tl.tensor(points("norm", 5), requires_grad=True)
    (tl.abs(z) ** 2).sum().backward()
    before = np.copy(host(z.grad))
    total = tl.nn.utils.clip_grad_norm_(z, 1.0, order)
    np.testing.assert_allclose(total.item(), np.linalg.norm(before, order))
    np.testing.assert_allclose(host(z.grad), before / np.linalg.norm(before, order), rtol=1e-5)


def test_a_complex_result_needs_a_gradient_to_start_with() -> None:
    z = tl.tensor(1 + 2j, requires_grad=True)
    with pytest.raises(GradError, match="real scalar"):
        (z * z).backward()
    with pytest.raises(DTypeError, match="holomorphic"):
        tl.grad(lambda z: z * z)(tl.tensor(1 + 2j))
    (z * z).backward(tl.tensor(1 + 0j))
    assert z.grad.item() == 2 * (1 + 2j)
    assert tl.grad(lambda z: z * z, holomorphic=True)(tl.tensor(1 + 2j)).item() == 2 * (1 + 2j)
    with pytest.raises(DTypeError, match="give a real one"):
        tl.abs(z).backward(tl.tensor(1j))


# ---- names, types, casts, places ---------------------------------------------------------------------------------------------

def test_names() -> None:
    z = tl.tensor([[1 + 2j, -3.0]])
    assert z.dtype == tl.complex64 and z.is_complex() and tl.is_complex(z) and not tl.is_complex(z.real)
    assert z.real.tolist() == [[1.0, -3.0]] and z.imag.tolist() == [[2.0, 0.0]]
    assert z.conj().tolist() == tl.conj(z).tolist() == [[1 - 2j, -3 + 0j]]
    assert z.H.shape == z.mH.shape == (2, 1) and z.H[0, 0].item() == 1 - 2j
    assert tl.isreal(z).tolist() == [[False, True]] and tl.iscomplex(z).tolist() == [[True, False]]
    np.testing.assert_allclose(host(z.angle()), np.angle(host(z)), rtol=1e-6)
    assert tl.complex(tl.tensor([1.0]), tl.tensor([np.inf])).tolist() == [complex(1.0, np.inf)]
    assert tl.complex(tl.ones(2, dtype=tl.float16), 1.0).dtype == tl.complex64
    assert tl.polar(tl.ones(2, dtype=tl.float64), 0.0).dtype == tl.complex128
    with pytest.raises(DTypeError, match="complex: imag has dtype complex64"):
        tl.complex(tl.ones(2), z[0])
    with pytest.raises(tl.errors.ShapeError, match="last axis of length 2"):
        tl.view_as_complex(tl.ones(2, 3))
    with pytest.raises(DTypeError, match="view_as_real"):
        tl.view_as_real(tl.ones(2))
    with pytest.raises(tl.errors.ShapeError, match="H: "):
        _ = tl.ones(2, 2, 2).H
    with pytest.raises(TypeError):
        float(z[0, 0])


@pytest.mark.parametrize("dtype", [tl.float32, tl.float64])
def test_every_function_keeps_the_precision(dtype: Any) -> None:
    x = tl.ones(4, dtype=dtype) * 0.5
    z = tl.complex(x, x)
    wide = {tl.float32: tl.complex64, tl.float64: tl.complex128}[dtype]
    assert z.dtype == wide == (z * 2.0).dtype == (x * 1j).dtype == tl.exp(z).dtype == tl.fft.fft(x).dtype
    assert tl.abs(z).dtype == tl.angle(z).dtype == z.real.dtype == tl.var(z).dtype == tl.vector_norm(z).dtype == dtype


def test_casts_to_real_types_warn() -> None:
    z = tl.tensor([1 + 2j, 3.0], requires_grad=True)
    for cast in (lambda: tl.astype(z, tl.float32), lambda: z.to(tl.float64), z.float, lambda: tl.sum(z, dtype=tl.float32)):
        with pytest.warns(np.exceptions.ComplexWarning, match="drops the imaginary part"):
            assert not tl.is_complex(cast())
    with warnings.catch_warnings():   # where the types are the machinery's business nothing is said
        warnings.simplefilter("error")
        x = tl.tensor([1.0, 2.0], requires_grad=True)
        tl.abs((x * z).sum()).backward()
        assert x.grad.dtype == tl.float32 and z.grad.dtype == tl.complex64
        assert z.to(tl.bool).tolist() == [True, True]


def test_complex_values_are_not_written_into_real_tensors() -> None:
    x, mask, at = tl.tensor([1.0, 2.0]), tl.tensor([True, False]), tl.tensor([0])
    z = tl.tensor([1j])
    for write in (lambda: x.__setitem__(0, z[0]), lambda: x.__setitem__(0, 1j), lambda: x.copy_(z), lambda: x.add_(1j),
                  lambda: x.fill_(1j), lambda: tl.masked_fill(x, mask, 1j), lambda: tl.index_fill(x, 0, at, 1j),
                  lambda: tl.index_copy(x, 0, at, z), lambda: tl.scatter(x, 0, at, z), lambda: tl.scatter_add(x, 0, at, z),
                  lambda: tl.masked_scatter(x, mask, z), lambda: tl.index_put(x, (at,), z)):
        with pytest.raises(DTypeError):
            write()
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
@pytest.mark.parametrize("part", ["real", "imag", "view_as_real"])
@pytest.mark.parametrize("place", ["cpu", "strict", "cuda"])
def test_writing_into_the_parts(part: str, place: str) -> None:
    """A change through z.real, z.imag or view_as_real is one of z, to the tape too."""
    if (part, place) == ("view_as_real", "strict"):
        pytest.skip("the standard has no views of another type")
    def program(z: Any) -> Any:
        w = z * 1
        seen = tl.view_as_real(w)[..., 1] if part == "view_as_real" else getattr(w, part)
        seen.mul_(3.0)
        return w

    def check(device: str) -> None:
        start = points("parts", 3)
        z = tl.tensor(start, device=device).requires_grad_()
        w = program(z)
        expected = start.real * (3 if part == "real" else 1) + 1j * start.imag * (1 if part == "real" else 3)
        np.testing.assert_allclose(host(w), expected)
        for g in (1.0, 1j):
            (found,) = tl.autograd.grad(w, z, tl.tensor(np.full(3, g + 0j), device=device), retain_graph=True)
            scale = (3 if part == "real" else 1, 1 if part == "real" else 3)   # Re(g (a x + i b y)) = Re(v t)
            wanted = (g * scale[0]).real - 1j * (1j * g * scale[1]).real
            np.testing.assert_allclose(host(found), np.full(3, wanted))
    if place == "cuda":
        with stand_in(14):
            check("cuda:0")
    else:
        check(place)


def test_infinite_and_missing_parts() -> None:
    z = tl.tensor([complex(np.nan, 1.0), complex(1.0, np.inf), 2 - 1j], dtype=tl.complex128)
    np.testing.assert_array_equal(host(tl.nan_to_num(z)), np.nan_to_num(host(z)))
    assert tl.isfinite(z).tolist() == [False, False, True] and tl.isnan(z).tolist() == [True, False, False]
    (found,) = tl.func.vjp(tl.nan_to_num, z)[1](tl.tensor(np.full(3, 1 + 1j)))
    np.testing.assert_array_equal(host(found), [1j, 1.0, 1 + 1j])


def test_at_zero_the_gradients_are_zero() -> None:
    z = tl.tensor(np.zeros(2, np.complex128))
    for f in (tl.abs, tl.angle, tl.sign, tl.vector_norm, tl.std, lambda z: tl.abs(z) ** 1.5):
        out, pullback = tl.func.vjp(f, z)
        (found,) = pullback(tl.ones_like(out))
        assert np.all(host(found) == 0), f


def test_results_share_no_warning_with_numpy() -> None:
    """Raw arrays go the same ways: no ComplexWarning anywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        z = points("raw", 3, 3)
        for f in (tl.softmax, tl.log_softmax, tl.logsumexp, tl.var, tl.std, tl.vector_norm, tl.sign, tl.mean, tl.prod):
            assert all(isinstance(r, np.ndarray) for r in results(f(z))) and raw(f(z)) is not None
