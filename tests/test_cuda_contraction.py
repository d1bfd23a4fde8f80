"""Matrix products, layers and einsum of the CUDA backend on the stand-ins for CuPy and cuBLASLt."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_device import stand_in
from cuda_on_cpu import build, cublaslt

import tensorlite as tl
from tensorlite.backends import _cublaslt_library as lt
from tensorlite.backends._cuda_contraction import Products

pytestmark = pytest.mark.skipif(build.why_not() is not None, reason=str(build.why_not()))
SEED = 20240608
TOLERANCE = {"float64": 1e-13, "float32": 2e-6, "float16": 4e-3, "bfloat16": 4e-2}


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, stand_in() as made:
        patch.setenv("TENSORLITE_CUBLASLT", cublaslt.path())
        yield made


@pytest.fixture(params=["fused", "no BGRADB", "no epilogues", "no library"])
def products(backend: Any, request: pytest.FixtureRequest) -> Iterator[Products]:
    """With less and less that the library does."""
    made = Products(backend.runtime)
    refused = {"fused": (), "no BGRADB": (lt.BGRADB,), "no epilogues": (lt.BGRADB, lt.BIAS, lt.RELU, lt.RELU_BIAS)}
    if request.param == "no library":
        made.library = None
        yield made
    else:
        with cublaslt.stand_in().refusing(*refused[request.param]):
            yield made


@pytest.fixture
def rng() -> np.random.Generator:
    print("seed", SEED)
    return np.random.default_rng(SEED)


def typed(name: str) -> Any:
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16) if name == "bfloat16" else np.dtype(name)


def close(got: Any, expected: Any, dtype: str) -> None:
    got = got.get().astype(np.float64)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])


def given(backend: Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    host = rng.standard_normal(shape).astype(dtype)
    return backend.asarray(host), host.astype(np.float64)


LAYERS = [   # x, number of outputs
    ((4, 3), 2), ((2, 4, 3), 5), ((3,), 2), ((0, 3), 2), ((1, 1), 1), ((2, 3, 1, 4), 3), ((5, 0), 2), ((2, 0, 3), 4),
    ((130, 20), 70),
]


NEEDS = [tuple(bool(n & bit) for bit in (1, 2, 4)) for n in range(8)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_linear_and_its_gradients(backend: Any, products: Products, rng: np.random.Generator, dtype: str) -> None:
    for shape, outputs in LAYERS:
        x, hx = given(backend, rng, shape, typed(dtype))
        w, hw = given(backend, rng, (outputs, shape[-1]), typed(dtype))
        b, hb = given(backend, rng, (outputs,), typed(dtype))
        if dtype in ("float16", "bfloat16") and products.library is None and x.ndim > 2:
            continue   # the stand-in's matmul, like CuPy's, rounds these as it likes
        for bias, host_bias in ((b, hb), (None, 0.0)):
            z = hx @ hw.T + host_bias
            close(products.linear(x, w, bias), z, dtype)
            y = products.linear_relu(x, w, bias)
            close(y, np.maximum(z, 0), dtype)
            g, hg = given(backend, rng, z.shape, typed(dtype))
            for relu in (False, True):
                dz = hg * (y.get().astype(np.float64) > 0) if relu else hg
                rows = dz.reshape(-1, outputs)
                expected = dz @ hw, rows.T @ hx.reshape(rows.shape[0], shape[-1]), rows.sum(0)
                for needs in NEEDS:
                    got = (products.linear_relu_backward(g, x, w, y, needs=needs) if relu else
                           products.linear_backward(g, x, w, needs=needs))
                    assert len(got) == sum(needs)
                    for one, other in zip(got, [e for e, need in zip(expected, needs) if need]):
                        assert one.dtype == x.dtype
                        close(one, other, dtype)


def test_how_many_launches(backend: Any, rng: np.random.Generator) -> None:
    products = Products(backend.runtime)
    x, _ = given(backend, rng, (8, 4), np.float32)
    w, _ = given(backend, rng, (6, 4), np.float32)
    b, _ = given(backend, rng, (6,), np.float32)
    g, _ = given(backend, rng, (8, 6), np.float32)
    counts = []
    for call in (lambda: products.linear(x, w, b), lambda: products.linear_relu(x, w, b),
                 lambda: products.linear_backward(g, x, w, needs=(True, True, True))):
        call()
        before = cublaslt.stand_in().launched()
        backend.cupy._machine.machine.log = log = []
        call()
        backend.cupy._machine.machine.log = None
        counts.append((cublaslt.stand_in().launched() - before, len(log)))
    assert counts == [(1, 0), (1, 0), (2, 0)]   # products, and anything else


def test_a_broadcast_gradient_is_written_out_once(backend: Any, rng: np.random.Generator,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    products, cupy = Products(backend.runtime), backend.cupy
    x, hx = given(backend, rng, (8, 4), np.float32)
    w, hw = given(backend, rng, (6, 4), np.float32)
    g = cupy.broadcast_to(cupy.asarray(np.float32(2)), (8, 6))
    copies: list[Any] = []
    contiguous = cupy.ascontiguousarray
    monkeypatch.setattr(cupy, "ascontiguousarray", lambda a: copies.append(a.shape) or contiguous(a))
    dx, dw, db = products.linear_backward(g, x, w, needs=(True, True, True))
    assert copies == [(8, 6)]
    for got, expected in ((dx, np.full((8, 6), 2.0) @ hw), (dw, np.full((6, 8), 2.0) @ hx), (db, np.full(6, 16.0))):
        close(got, expected, "float32")


def test_matmul_of_whatever_dtypes_and_sizes(backend: Any, products: Products, rng: np.random.Generator) -> None:
    for sx, sy in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 0), (0, 5)), ((0, 3), (3, 2)),
                   ((2, 0, 3), (3, 2)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 5))):
        for dx, dy in (("float32", "float32"), ("int32", "int32"), ("complex64", "complex64"), ("float32", "float64"),
                       ("bool", "bool"), ("int32", "float32"), ("float16", "float32"), ("uint8", "int64")):
            hx, hy = (rng.integers(0, 2 if d == "bool" else 9, s).astype(d) for s, d in ((sx, dx), (sy, dy)))
            x, y, expected = backend.asarray(hx), backend.asarray(hy), np.matmul(hx, hy)
            for out in (products.matmul(x, y), products.matmul(x.swapaxes(-1, -2), y.swapaxes(-1, -2), tx=True, ty=True)):
                assert out.dtype == expected.dtype
                np.testing.assert_allclose(out.get(), expected)


def test_linear_of_two_dtypes(backend: Any, products: Products, rng: np.random.Generator) -> None:
    x, hx = given(backend, rng, (4, 3), np.float16)
    w, hw = given(backend, rng, (2, 3), np.float32)
    b, hb = given(backend, rng, (2,), np.float64)
    close(products.linear(x, w, b), hx @ hw.T + hb, "float32")
    close(products.linear(w, w, b), hw @ hw.T + hb, "float32")
    assert products.linear(w, w, b).dtype == np.float64


def test_tf32_is_off_until_it_is_allowed(backend: Any) -> None:
    products = Products(backend.runtime)
    x, one = backend.asarray(np.array([[1 + 2.0**-12]], np.float32)), backend.asarray(np.ones((1, 1), np.float32))
    assert products.matmul(x, one).get()[0, 0] == 1 + 2.0**-12
    before = getattr(backend.runtime, "tf32", None)
    backend.runtime.tf32 = True
    try:
        assert products.matmul(x, one).get()[0, 0] == 1
        assert products.linear(x, one, one[0]).get()[0, 0] == 2
    finally:
        backend.runtime.tf32 = before or False


def test_without_the_library_cupy_does_it_and_a_warning_says_so(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = backend.asarray(np.ones((2, 3), np.float32))
    for path, why in (("/nowhere/libcublasLt.so", "cannot be loaded"), (cublaslt.path(), "NOT_INITIALIZED")):
        monkeypatch.setenv("TENSORLITE_CUBLASLT", path)
        products = Products(backend.runtime)
        if why == "NOT_INITIALIZED":   # the driver is too old for it
            monkeypatch.setattr(lt.Library, "call", _refuse)
        with pytest.warns(RuntimeWarning, match=f"CuPy's matmul does all products.*{why}"):
            out = products.matmul(x, x, ty=True)
        assert (out.get() == 3).all() and (products.linear_relu(x, x, None).get() == 3).all()   # and only once


def _refuse(self: lt.Library, name: str, *args: Any) -> None:
    raise RuntimeError(f"cublasLt{name}: {self.text(1)}")


EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)), "i,j->ij": ((2,), (3,)), "ii->": ((3, 3),), "ii->i": ((3, 3),), "ij->ji": ((2, 3),),
    "ij->j": ((2, 3),), "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)),
    "bij,bkj->bik": ((5, 3, 4), (5, 2, 4)), "Aij,BAjk->ABik": ((1, 2, 3), (5, 4, 3, 2)),
    "ij,j,k->ik": ((2, 3), (3,), (4,)), "iij,jk->ik": ((3, 3, 2), (2, 4)), "ijij->ij": ((2, 3, 2, 3),), "i,i->": ((4,), (4,)),
    ",ij->ij": ((), (2, 3)), "ij,kj->": ((2, 3), (4, 3)), "ij,jk,kl,lm->im": ((2, 3), (3, 4), (4, 5), (5, 2)),
    "bhqd,bhkd->bhqk": ((2, 3, 4, 5), (2, 3, 6, 5)), "bqhd,bkhd->bhqk": ((2, 4, 3, 5), (2, 6, 3, 5)),
    "abc,cd,def->abef": ((2, 3, 4), (4, 5), (5, 2, 3)), "ij,ij->ij": ((2, 3), (2, 3)), "ijk,ilm->jkml": ((2, 3, 4), (2, 5, 2)),
    "ij,jk->ki": ((2, 0), (0, 3)),
    "ab,ab,ab->a": ((3, 4), (3, 4), (3, 4)), "a,b,c->cab": ((2,), (3,), (4,)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(backend: Any, products: Products, rng: np.random.Generator, equation: str) -> None:
    for dtype in ("float32", "float64"):
        both = [given(backend, rng, shape, dtype) for shape in EQUATIONS[equation]]
        close(products.einsum(*(x for x, _ in both), equation=equation), np.einsum(equation, *(h for _, h in both)), dtype)
    whole = [rng.integers(0, 5, shape) for shape in EQUATIONS[equation]]
    got = products.einsum(*map(backend.asarray, whole), equation=equation)
    np.testing.assert_array_equal(got.get(), np.einsum(equation, *whole))


# ---- through the operations ------------------------------------------------------------------------------------------------

def _train(device: str, hidden: Any) -> list[Any]:
    rng = np.random.default_rng(SEED)
    model = tl.nn.Sequential(tl.nn.Linear(6, 9), hidden, tl.nn.Linear(9, 4), tl.nn.ReLU(), tl.nn.Linear(4, 3))
    for p in model.parameters():
        p.data = tl.tensor(rng.standard_normal(p.shape).astype(np.float32))
    model.to(device)
    x = tl.tensor(rng.standard_normal((5, 7, 6)).astype(np.float32), device=device, requires_grad=True)
    out = model(x)
    (out * out).sum().backward()
    return [v.numpy(force=True) for v in (out, x.grad, *(p.grad for p in model.parameters()))]


@pytest.mark.parametrize("hidden", [tl.nn.ReLU(), tl.nn.Tanh()], ids=["relu", "tanh"])
def test_a_network_as_on_the_cpu(backend: Any, hidden: Any) -> None:
    for got, expected in zip(_train("cuda", hidden), _train("cpu", hidden), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_second_derivatives_of_a_layer(backend: Any, rng: np.random.Generator) -> None:
    hosts = [rng.standard_normal(s) for s in ((4, 3), (2, 3), (2,))]

    def run(device: str) -> list[Any]:
        x, w, b = (tl.tensor(h, device=device, requires_grad=True) for h in hosts)
        y = tl.nn.functional.linear(x, w, b)
        first = tl.autograd.grad((y * y * y).sum(), (x, w, b), create_graph=True)
        second = tl.autograd.grad(sum((f * f).sum() for f in first), (x, w, b))
        return [v.detach().numpy() for v in (*first, *second)]

    for got, expected in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)
