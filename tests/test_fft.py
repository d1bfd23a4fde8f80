"""Fourier transforms beside the op table's rows (tests/optable/fft.py): JAX and PyTorch, identities, types and mistakes."""
from __future__ import annotations

import os
import zlib
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError
from tensorlite.ops import fft as ops

SEED = int(os.environ.get("TENSORLITE_TEST_SEED", "0"))
LENGTHS = (1, 2, 3, 4, 5, 8, 9)
NORMS = ("backward", "ortho", "forward")
COMPLEX = ("fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "irfft", "irfft2", "irfftn", "hfft")
REAL = ("rfft", "rfft2", "rfftn", "ihfft")


def draw(name: str, *shape: int, real: bool = False) -> np.ndarray:
    print(f"{name}, TENSORLITE_TEST_SEED={SEED}")
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    x = rng.standard_normal(shape)
    return x if real else x + 1j * rng.standard_normal(shape)


def pairing(x: Any, y: Any) -> float:
    return float(np.sum(np.asarray(x) * np.asarray(y)).real)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("norm", NORMS)
def test_transposes(n: int, norm: str) -> None:
    """Re(g F t) = Re(F^T g t) to the last digits, with numbers in the places that irfft does not look at too."""
    m = n // 2 + 1
    x, z, half = draw("x", 3, n, real=True), draw("z", 3, n), draw("half", 3, m)
    wide, wide_half = draw("wide", 4, 3, n), draw("wide_half", 4, 3, m)
    planes = draw("planes", 4, 3, n, real=True)
    for t, map_ in (
            (z, lambda v: ops.fft_p(v, axes=(-1,), norm=norm)), (z, lambda v: ops.fft_p(v, axes=(-1,), norm=norm, inverse=True)),
            (x, lambda v: ops.fft_p(v, axes=(-2, -1), norm=norm)), (x, lambda v: ops.rfft_p(v, axes=(-1,), norm=norm)),
            (half, lambda v: ops.irfft_p(v, n=n, axes=(-1,), norm=norm)),
            (wide, lambda v: ops.fft_p(v, axes=(-3, -1), norm=norm)),
            (planes, lambda v: ops.rfft_p(v, axes=(-3, -2, -1), norm=norm)),
            (wide_half, lambda v: ops.irfft_p(v, n=n, axes=(-2, -3, -1), norm=norm)),
            (half, lambda v: ops.scale_inner(v, axis=-1, n=n, factor=0.5))):
        out, pullback = tl.func.vjp(map_, tl.tensor(np.zeros_like(t)))
        g = draw("g", *out.shape, real=not tl.is_complex(out))
        a, b = pairing(g, map_(t)), pairing(pullback(tl.tensor(g))[0].numpy(), t)
        assert abs(a - b) <= 1e-12 * (np.abs(g).sum() + np.abs(t).sum())


@pytest.mark.parametrize("name", [*COMPLEX, *REAL])
@pytest.mark.parametrize("norm", NORMS)
def test_against_jax(name: str, norm: str) -> None:
    jax = pytest.importorskip("jax")
    ours, theirs = getattr(tl.fft, name), getattr(jax.numpy.fft, name)
    calls: list[dict[str, Any]] = [{"n": n, "axis": a} for n in (None, 3, 4, 7) for a in (-1, 0)]
    if name[-1] in "2n":
        calls = [{"s": s, "axes": a} for s in (None, (3, 4), (6, 3)) for a in ((-2, -1), (2, 0))]
    for call in calls:
        x = draw(name, 3, 2, 5, real=name in REAL)
        with jax.enable_x64(True):
            expected, pull = jax.vjp(lambda v: theirs(v, norm=norm, **call), x)   # noqa: B023
            g = draw("g", *expected.shape, real=expected.dtype.kind == "f")
            (cotangent,) = pull(jax.numpy.asarray(g))
            _, tangent = jax.jvp(lambda v: theirs(v, norm=norm, **call), (x,), (x[::-1],))   # noqa: B023
        out, pullback = tl.func.vjp(lambda v: ours(v, norm=norm, **call), tl.tensor(x))   # noqa: B023
        moved = tl.func.jvp(lambda v: ours(v, norm=norm, **call), (tl.tensor(x),), (tl.tensor(x[::-1].copy()),))[1]   # noqa: B023
        for a, b in ((out, expected), (pullback(tl.tensor(g))[0], cotangent), (moved, tangent)):
            np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-10, atol=1e-12, err_msg=f"{name} {call}")


@pytest.mark.parametrize("name", ["hfft2", "ihfft2", "hfftn", "ihfftn"])
def test_hermitian_transforms_of_planes_against_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = draw(name, 3, 4, 5, real=name.startswith("i"))
    for more in ({}, {"norm": "ortho"}, {"s": (3, 6), "dim": (1, 0)}):
        expected = getattr(torch.fft, name)(torch.tensor(x), **more).numpy()
        np.testing.assert_allclose(getattr(tl.fft, name)(tl.tensor(x), **more).numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", LENGTHS)
def test_inverses(n: int) -> None:
    x, z = tl.tensor(draw("x", 2, n, real=True)), tl.tensor(draw("z", 2, n))
    for norm in NORMS:
        for there, back, start in (
                (tl.fft.fft(z, norm=norm), lambda v: tl.fft.ifft(v, norm=norm), z),   # noqa: B023
                (tl.fft.fftn(z, norm=norm), lambda v: tl.fft.ifftn(v, norm=norm), z),   # noqa: B023
                (tl.fft.rfft(x, norm=norm), lambda v: tl.fft.irfft(v, n, norm=norm), x),   # noqa: B023
                (tl.fft.rfftn(x, norm=norm), lambda v: tl.fft.irfftn(v, (2, n), norm=norm), x),   # noqa: B023
                (tl.fft.ihfft(x, norm=norm), lambda v: tl.fft.hfft(v, n, norm=norm), x)):   # noqa: B023
            np.testing.assert_allclose(back(there).numpy(), start.numpy(), atol=1e-13)
    np.testing.assert_array_equal(tl.fft.ifftshift(tl.fft.fftshift(z)).numpy(), z.numpy())


def test_frequencies() -> None:
    for n in LENGTHS:
        for d in (1.0, 0.3):
            np.testing.assert_allclose(tl.fft.fftfreq(n, d, dtype=tl.float64).numpy(), np.fft.fftfreq(n, d), rtol=1e-15)
            np.testing.assert_allclose(tl.fft.rfftfreq(n, d=d, dtype=tl.float64).numpy(), np.fft.rfftfreq(n, d), rtol=1e-15)
    assert tl.fft.fftfreq(3).dtype == tl.fft.rfftfreq(3).dtype == tl.float32


@pytest.mark.parametrize(("given", "spectrum", "back"), [
    ("float32", "complex64", "float32"), ("float64", "complex128", "float64"), ("float16", "complex64", "float32"),
    ("int32", "complex128", "float64"), ("bool", "complex128", "float64"), ("bfloat16", "complex64", "float32")])
def test_dtypes(given: str, spectrum: str, back: str) -> None:
    if given == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = tl.ones(4).to(given)
    for out in (tl.fft.fft(x), tl.fft.rfft(x), tl.fft.ihfft(x), tl.fft.fft2(tl.reshape(x, (2, 2)))):
        assert out.dtype == spectrum
    assert tl.fft.irfft(x).dtype == tl.fft.hfft(x).dtype == back
    if given.startswith("float") or given == "bfloat16":
        leaf = x.requires_grad_()
        tl.abs(tl.fft.rfft(leaf)).sum().backward()
        assert str(leaf.grad.dtype) == given
    if given == "float32":
        assert tl.fft.fft(tl.fft.fft(x)).dtype == "complex64"


def test_names_of_pytorch_and_raw_arrays() -> None:
    x = draw("names", 3, 4)
    np.testing.assert_allclose(tl.fft.fft(input=tl.tensor(x), n=3, dim=0).numpy(), np.fft.fft(x, 3, 0))
    np.testing.assert_allclose(tl.fft.fftn(tl.tensor(x), dim=(0,)).numpy(), np.fft.fft(x, axis=0))
    np.testing.assert_allclose(tl.fft.fftshift(tl.tensor(x), dim=1).numpy(), np.fft.fftshift(x, 1))
    assert type(tl.fft.fft(x)) is np.ndarray


def test_convolution_theorem_and_its_gradient() -> None:
    """A convolution by the spectrum is the one by a matrix, and so are its gradients."""
    x, k = draw("signal", 6, real=True), draw("kernel", 6, real=True)
    circulant = lambda v: tl.stack([tl.roll(v, i) for i in range(6)], axis=1)
    spectral = lambda x, k: tl.fft.irfft(tl.fft.rfft(x) * tl.fft.rfft(k), 6)
    direct = lambda x, k: circulant(k) @ x
    a, b = tl.tensor(x), tl.tensor(k)
    np.testing.assert_allclose(spectral(a, b).numpy(), direct(a, b).numpy(), rtol=1e-12, atol=1e-13)
    first = lambda g: lambda x, k: tl.sum(tl.sin(g(x, k)))
    second = lambda g: lambda x, k: tl.sum(tl.grad(lambda x: (g(x, k) ** 3).sum())(x) ** 2)
    for f in (first, second):
        for left, right in zip(tl.grad(f(spectral), (0, 1))(a, b), tl.grad(f(direct), (0, 1))(a, b)):
            np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=1e-9, atol=1e-10)


def test_vmap() -> None:
    x = draw("vmap", 3, 4, 5, real=True)
    for f in (lambda v: tl.fft.fft(v, axis=0), lambda v: tl.fft.rfftn(v), lambda v: tl.fft.irfft2(tl.fft.rfft2(v), s=(4, 5)),
              lambda v: tl.fft.fftshift(v, axes=0)):
        expected = np.stack([f(tl.tensor(part)).numpy() for part in x])
        np.testing.assert_allclose(tl.func.vmap(f)(tl.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("call", "error", "says"), [
    (lambda: tl.fft.rfft(tl.tensor([1j])), DTypeError, "rfft: x has dtype complex64; expected a real one"),
    (lambda: tl.fft.ihfft(tl.tensor([1j])), DTypeError, "ihfft: x has dtype"),
    (lambda: ops.rfft_p(tl.tensor([1j]), axes=(-1,), norm="ortho"), DTypeError, "rfft: x has dtype complex64"),
    (lambda: tl.fft.fft(tl.ones(3), 0), ShapeError, "fft: n = 0; expected lengths of at least 1"),
    (lambda: tl.fft.fft(tl.ones(3), 2.5), ShapeError, "fft: n = 2.5"),
    (lambda: tl.fft.fftn(tl.ones(3), s=(2.5,)), ShapeError, r"fftn: s = \(2.5,\)"),
    (lambda: tl.fft.fft(tl.ones(3), axis=1), OutOfRangeError, "fft: axis 1 is out of range"),
    (lambda: tl.fft.fftn(tl.ones(2, 2), axes=(0, 0)), ShapeError, "named twice"),
    (lambda: tl.fft.fftn(tl.ones(2, 2), s=(2,), axes=(0, 1)), ShapeError, "has 1 lengths for 2 axes"),
    (lambda: tl.fft.fft(tl.ones(0)), ShapeError, "nothing to transform along axis -1"),
    (lambda: tl.fft.irfft(tl.ones(1)), ShapeError, "give the length of the result"),
    (lambda: tl.fft.fftn(tl.ones(())), ShapeError, "expected at least one axis"),
    (lambda: tl.fft.fft(tl.ones(3), norm="unitary"), DTypeError, "norm = 'unitary'; expected 'backward', 'ortho' or 'forward'"),
    (lambda: tl.fft.fft([1.0, 2.0]), DTypeError, "x is a list"),
    (lambda: tl.fft.fftfreq(0), ShapeError, "fftfreq: n = 0"),
])
def test_mistakes(call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()
