"""``tl.kernel``: operations of users, on the CPU, on the stand-in for CuPy, and with ``-m gpu`` on a GPU."""
from __future__ import annotations

import copy
import importlib
import os
import pickle
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_device import real, stand_in

import tensorlite as tl
from tensorlite import kernels
from tensorlite._autocast import POLICY
from tensorlite.errors import KernelCheckError
from tensorlite.kernels._cuda import Source, suffix
from tensorlite.kernels._formula import FUNCTIONS, VECTORS, Formula

MISH = "e = exp(-abs(x)); n = 1 + 2 * e if x >= 0 else e * (e + 2); d = 2 * e**2 if x >= 0 else 2; x * n / (n + d)"
RMS = """
#include "tensorlite.cuh"

template <class T> __device__ void rows(T* y, const T* x, const T* w, i64 n, i64 d, double eps) {
    __shared__ acc<T> shared[33];
    const T* from = x + blockIdx.x * d;
    acc<T> squares = 0;
    for (i64 i = threadIdx.x; i < d; i += blockDim.x) squares += load(from[i]) * load(from[i]);
    const acc<T> scale = acc<T>(1) / sqrt(block_reduce(squares, acc<T>(0), shared, plus()) / acc<T>(d) + acc<T>(eps));
    for (i64 i = threadIdx.x; i < d; i += blockDim.x) y[blockIdx.x * d + i] = rounded<T>(load(from[i]) * scale * load(w[i]));
}
#define ENTRY(suffix, T)                                                                                             \\
    extern "C" __global__ void my_rms_norm_##suffix(T* y, const T* x, const T* w, i64 n, i64 d, double eps) {        \\
        rows(y, x, w, n, d, eps);                                                                                    \\
    }
ENTRIES(ENTRY)
"""


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape) * 2


def mish_reference(xp: Any, x: Any) -> Any:
    """x tanh(log(1 + e^x))."""
    return x * xp.tanh(xp.log1p(xp.exp(x)))


def rms_reference(xp: Any, x: Any, w: Any, *, eps: float = 1e-6) -> Any:
    """x / sqrt(mean(x^2) + eps) w, row by row."""
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + eps) * w


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before, policy, sources = dict(kernels._registered), dict(POLICY), list(Source.known)
    yield
    kernels._registered.clear()
    kernels._registered.update(before)
    POLICY.clear()
    POLICY.update(policy)
    Source.known[:] = sources


@pytest.fixture(params=["cpu", "stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "gpu" and not real():
        pytest.skip(tl.backends()["cupy"])
    with stand_in() if request.param == "stand-in" else nullcontext():
        yield "cpu" if request.param == "cpu" else "cuda"


def my_mish(**more: Any) -> Any:
    return tl.kernel("my_mish", reference=mish_reference, formula=MISH, **more)


def my_rms_norm(**more: Any) -> Any:
    return tl.kernel("my_rms_norm", reference=rms_reference, cuda=RMS, grid=lambda n, d: (n, 128),
                     signature="x: (n, d), w: (d) -> (n, d)", **more)


# ---- what a kernel gives -------------------------------------------------------------------------------------------------

def test_a_formula_alone(device: str) -> None:
    softsign = tl.kernel("my_softsign", formula="x / (1 + abs(x))")
    report = softsign.check(numbers(3, 5), device=device)
    assert {row[1] for row in report} == {"reference", "gradient", "cpu" if device == "cpu" else "cuda"}
    assert all(row[-1] == "ok" for row in report)
    x = tl.tensor(numbers(3, 5), device=device)
    np.testing.assert_allclose(softsign(x).numpy(), numbers(3, 5) / (1 + abs(numbers(3, 5))), rtol=1e-15)
    assert softsign(x).device.partition(":")[0] == device and "my_softsign" in repr(softsign)


def test_versions_derivatives_and_levels(device: str) -> None:
    mish = my_mish()
    assert mish.variants == ["reference", "cpu", "cuda"]
    mish.check(numbers(4, 3), device=device, tolerance=4)
    x = tl.tensor(numbers(7), device=device, requires_grad=True)
    plain = mish_reference(tl, x)
    first, = tl.autograd.grad(mish(x).sum(), x, create_graph=True)
    second, = tl.autograd.grad((first * first).sum(), x)
    expected, = tl.autograd.grad(plain.sum(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), expected.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(second.numpy(), tl.autograd.grad((expected * expected).sum(), x)[0].numpy(), rtol=1e-12)
    at = tl.tensor(0.7, dtype=tl.float64, device=device)
    for order in range(1, 4):
        ours, theirs = mish, lambda v: mish_reference(tl, v)
        for _ in range(order):
            ours, theirs = tl.grad(ours), tl.grad(theirs)
        assert ours(at).item() == pytest.approx(theirs(at).item(), rel=1e-10)
    np.testing.assert_allclose(tl.jacrev(mish)(x.detach()).numpy(), np.diag(first.detach().numpy()), rtol=1e-13)
    assert not mish(x.detach()).requires_grad
    array = x.detach().value
    assert type(mish(array)) is type(array)   # a raw array in gives a raw array out


def test_a_source_with_signature_and_grid(device: str) -> None:
    norm = my_rms_norm()
    norm.check(numbers(3, 7), numbers(7, seed=1), device=device)
    norm.check(numbers(2, 300), numbers(300, seed=1), device=device, gradient=False, eps=0.1)
    x, w = (tl.tensor(numbers(*s), dtype=tl.float32, device=device) for s in ((4, 6), (6,)))
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.rms_norm(torch.tensor(numbers(4, 6), dtype=torch.float32), (6,),
                                          torch.tensor(numbers(6), dtype=torch.float32), eps=1e-3)
    np.testing.assert_allclose(norm(x, w, eps=1e-3).numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(norm(x, w=w).numpy(), norm(x, w).numpy())
    for wrong, text in ((lambda: norm(x, w[:5]), r"my_rms_norm: w has shape \(5,\), expected \(d,\) with d = 6 as in x"),
                        (lambda: norm(x[0], w), r"my_rms_norm: x has shape \(6,\), expected \(n, d\)")):
        with pytest.raises(tl.errors.ShapeError, match=text):
            wrong()


def test_statements_in_cpp() -> None:
    leaky = tl.kernel("my_leaky", reference=lambda xp, x, *, slope=0.1: xp.where(x > 0, x, x * slope),
                      cuda="return x > A(0) ? x : x * slope;", vjp=lambda g, x, slope: tl.where(x > 0, g, g * slope))
    with stand_in() as backend:
        report = leaky.check(numbers(5, 3), slope=0.3)
        assert ("cuda", "cuda", "float16") in {(row[0], row[1], str(row[2])) for row in report}
        x = tl.tensor(numbers(4, 3), device="cuda")
        backend.cupy._machine.machine.syncs.clear()
        out = leaky(x)
        assert backend.cupy._machine.machine.syncs == []
        np.testing.assert_allclose(out.numpy(), np.where(numbers(4, 3) > 0, 1, 0.1) * numbers(4, 3))
        assert leaky(tl.tensor([-10, 10], device="cuda")).tolist() == [-1.0, 10.0]   # integers are the reference's matter


def test_host_code() -> None:
    source = Source(None, "my_row_sum.cu", text="""
#include "tensorlite.cuh"
extern "C" __global__ void my_row_sum_f32(float* out, const float* x, i64 d) {
    extern __shared__ float held[];
    held[threadIdx.x] = threadIdx.x < d ? x[blockIdx.x * d + threadIdx.x] : 0.0f;
    __syncthreads();
    if (threadIdx.x == 0) { float sum = 0; for (i64 i = 0; i < d; i++) sum += held[i]; out[blockIdx.x] = sum; }
}
""")

    def launch(runtime: Any, x: Any) -> Any:
        if suffix(x) != "f32" or x.shape[1] > 128 or not x.size:
            return NotImplemented
        x, out = runtime.contiguous(x), runtime.cupy.empty(x.shape[0], x.dtype)
        runtime.function(source, "my_row_sum_f32")((x.shape[0],), (128,), (out, x, x.shape[1]), shared_mem=512)
        return out

    row_sum = tl.kernel("my_row_sum", reference=lambda xp, x: xp.sum(x, axis=1), signature="x: (n, d) -> (n)", cuda=launch)
    with stand_in():
        verdicts = {(row[0], row[1], str(row[2])): row[-1] for row in row_sum.check(numbers(5, 9))}
        assert verdicts["cuda", "cuda", "float32"] == "ok"
        assert verdicts["cuda", "cuda", "float64"] == "left to the reference"
        assert row_sum(tl.ones(3, 200, device="cuda")).tolist() == [200.0] * 3


def test_a_cpu_version_that_calls_numba() -> None:
    numba = pytest.importorskip("numba")

    @numba.njit
    def loop(x: Any, w: Any, eps: Any, out: Any) -> None:
        for i in range(x.shape[0]):
            squares = 0.0
            for j in range(x.shape[1]):
                squares += x[i, j] * x[i, j]
            scale = 1.0 / np.sqrt(squares / x.shape[1] + eps)
            for j in range(x.shape[1]):
                out[i, j] = x[i, j] * scale * w[j]

    def cpu(x: Any, w: Any, *, eps: float) -> Any:
        called.append(str(x.dtype))
        out = np.empty_like(x)
        loop(x, w, eps, out)
        return out

    called: list[str] = []
    norm = my_rms_norm(cpu=cpu)
    norm.check(numbers(3, 5), numbers(5), device="cpu")
    assert set(called) == {"float64", "float32"}   # 16-bit floats come as float32
    half = norm(tl.ones(2, 5, dtype=tl.float16), tl.ones(5, dtype=tl.float16))
    assert half.dtype == tl.float16


def test_several_results(device: str) -> None:
    text = """
#include "tensorlite.cuh"
template <class T> __device__ void both(T* total, T* largest, i64* many, const T* x, const i64* start, i64 n, i64 d) {
    for (i64 row = thread_index(); row < n; row += thread_count()) {
        acc<T> sum = 0, most = load(x[row * d]);
        for (i64 j = start[row]; j < d; j++) sum += load(x[row * d + j]);
        for (i64 j = 1; j < d; j++) most = load(x[row * d + j]) > most ? load(x[row * d + j]) : most;
        total[row] = rounded<T>(sum); largest[row] = rounded<T>(most); many[row] = d - start[row];
    }
}
#define ENTRY(suffix, T)                                                                                                   \\
    extern "C" __global__ void my_both_##suffix(T* total, T* largest, i64* many, const T* x, const i64* start, i64 n,      \\
                                                i64 d) { both(total, largest, many, x, start, n, d); }
ENTRIES(ENTRY)
"""

    def reference(xp: Any, x: Any, start: Any) -> Any:
        columns = xp.arange(x.shape[1])[None, :]
        kept = xp.where(columns >= start[:, None], x, xp.zeros_like(x))
        return xp.sum(kept, axis=1), xp.max(x, axis=1), x.shape[1] - xp.astype(start, xp.int64)

    def vjp(g: Any, x: Any, start: Any) -> Any:
        total, largest, _ = g
        columns = tl.arange(x.shape[1], device=x.device)[None, :]
        out = tl.zeros_like(x) if total is None else tl.where(columns >= start[:, None], total[:, None], 0)
        if largest is not None:
            out = out + tl.where(x == tl.max(x, axis=1, keepdims=True), largest[:, None], 0)
        return out, None

    both = tl.kernel("my_both", reference=reference, vjp=vjp, cuda=text,
                     signature="x: (n, d), start: int (n) -> total: (n), largest: (n), many: int64 (n)")
    start = np.array([0, 2, 3], np.int32)
    both.check(numbers(3, 5), start, device=device)
    x = tl.tensor(numbers(3, 5), device=device, requires_grad=True)
    _, largest, many = both(x, tl.tensor(start, device=device))
    assert many.tolist() == [5, 3, 2] and many.dtype == tl.int64 and not many.requires_grad
    largest.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), numbers(3, 5) == numbers(3, 5).max(1, keepdims=True))
    with pytest.raises(tl.errors.DTypeError, match="my_both: start has dtype float64, expected int"):
        both(x, tl.ones(3, dtype=tl.float64, device=device))
    automatic = tl.kernel("my_sums", reference=lambda xp, x: (xp.sum(x, axis=1), xp.sum(x * x)), signature="x: (n, d) -> (n), ()")
    automatic.check(numbers(2, 3), device=device)


def test_a_rule_for_each_argument(device: str) -> None:
    scale = tl.kernel("my_scale", formula="x * y", vjp={"x": lambda g, y: g * y, "y": lambda g, x: g * x})
    scale.check(numbers(3, 4), numbers(3, 4, seed=1), device=device)
    report = scale.check(numbers(3, 4), numbers(4, seed=1), device=device)   # broadcast, which the tape undoes
    assert all(row[-1] == "ok" for row in report)
    with pytest.raises(tl.errors.ShapeError, match=r"my_scale: y has shape \(3,\), which does not broadcast with x"):
        scale(tl.ones(2, device=device), tl.ones(3, device=device))
    x = tl.tensor(numbers(3), device=device, requires_grad=True)
    assert (scale(x, 2.0).sum().backward(), x.grad.tolist())[1] == [2.0] * 3
    one = tl.kernel("my_scale_x", formula="x * y", vjp={"x": lambda g, y: g * y})
    with pytest.raises(tl.errors.NotDifferentiableError, match="my_scale_x has no derivative with respect to y"):
        one(x.detach(), x).sum().backward()
    constant = tl.kernel("my_step", formula="1 if x > 0 else 0", vjp=False)
    assert not constant(x).requires_grad
    constant.check(numbers(4), device=device)


def test_a_gradient_that_is_a_kernel(device: str) -> None:
    sigmoid = "e = exp(-abs(x)); s = (e if x < 0 else 1) / (1 + e)\n"
    grad = tl.kernel("my_silu_grad", formula=sigmoid + "g2 * s * (1 + x * (1 - s))")
    assert grad.arguments == ("x", "g2")   # in the order they appear in
    silu = tl.kernel("my_silu", formula=sigmoid + "x * s", vjp=lambda g, x: grad(x, g))
    silu.check(numbers(9), device=device)   # second order too, through the derivative of the gradient's formula


def test_rules_for_forward_mode(device: str) -> None:
    rules = {"x": lambda t, y: t * y, "y": lambda t, x, out: t * x + 0 * out}
    scale = tl.kernel("my_forward", formula="x * y", jvp=rules)
    assert scale.check(numbers(3, 4), numbers(4), device=device)[-1][1:] == ("jvp", "float64", "", "ok")
    wrong = tl.kernel("my_wrong_forward", formula="x * y", jvp={**rules, "y": lambda t: t})
    with pytest.raises(KernelCheckError, match="wrong are jvp on"):
        wrong.check(numbers(3, 4), numbers(3, 4), device=device)


def test_autocast(device: str) -> None:
    seen: list[Any] = []

    def reference(xp: Any, x: Any, w: Any) -> Any:
        seen.append((str(x.dtype), str(w.dtype)))
        return xp.matmul(x, w)

    signature = "x: (n, k), w: (k, m) -> (n, m)"
    x, w = (tl.tensor(numbers(3, 3), dtype=tl.float32, device=device, requires_grad=True) for _ in range(2))
    low = tl.kernel("my_product", reference=reference, signature=signature, autocast="low")
    wide = tl.kernel("my_wide_product", reference=reference, signature=signature, autocast="wide")
    with tl.autocast(tl.float16):
        out = low(x, w)
        assert out.dtype == tl.float16 and seen[-1] == ("float32", "float32")   # 16 bits, computed in float32
        assert wide(out, w).dtype == tl.float32
    out.sum().backward()
    assert x.grad.dtype == tl.float32
    with pytest.warns(UserWarning, match="again"):
        tl.kernel("my_product", reference=reference, signature=signature)
    assert "my_product" not in POLICY


def test_the_example(device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["own_kernel.py", device])
    monkeypatch.setattr("tensorlite._kernel_check._best", lambda call, wait, seconds: 1.0)   # what counts here is that it runs
    runpy.run_path(str(Path(__file__).resolve().parent.parent / "examples" / "own_kernel.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert re.search(rf"{device} +{device} +float32 +\d\.\d\d +ok", said) and re.search(rf"{device} +gradient +float64 +ok", said)


# ---- what goes wrong -----------------------------------------------------------------------------------------------------

def test_names_that_are_taken(tmp_path: Path) -> None:
    for name in ("mul", "relu", "softmax_cross_entropy"):
        with pytest.raises(tl.errors.KernelError, match=f"'{name}' is taken by an operation of tensorlite"):
            tl.kernel(name, formula="x * y")
    with pytest.raises(tl.errors.KernelError, match="expected an identifier"):
        tl.kernel("my kernel", formula="x")
    for module in ("mine", "theirs"):
        (tmp_path / f"{module}_kernels.py").write_text("import tensorlite as tl\nf = tl.kernel('my_f', formula='x * 2')\n")
    sys.path.insert(0, str(tmp_path))
    try:
        mine = importlib.import_module("mine_kernels")
        assert kernels.load("my_f") is mine.f
        importlib.reload(mine)   # a module may run again
        assert kernels.load("my_f") is mine.f
        with pytest.raises(tl.errors.KernelError, match=r"'my_f' is defined at .*mine_kernels.py:2 by module mine_kernels"):
            importlib.import_module("theirs_kernels")
    finally:
        sys.path.remove(str(tmp_path))
    my_mish()
    with pytest.warns(UserWarning, match=r"'my_mish' is defined at .*kernels.py:\d+ and again at line \d+, which counts"):
        tl.kernel("my_mish", formula="x")


@pytest.mark.parametrize(("given", "text"), [
    ({}, "needs a reference or a formula"),
    ({"formula": "x +"}, r"invalid syntax: 'x \+'"),
    ({"formula": "x = 1"}, "its last line must be an expression"),
    ({"formula": "sinc(x)"}, r"'sinc\(x\)': it can call abs, acos"),
    ({"formula": "x[0]"}, r"'x\[0\]': expected arithmetic of single elements"),
    ({"formula": "exp(x, x)"}, r"expected 1 argument"),
    ({"formula": "x // 2"}, r"its operators are \+ - \* / \*\*"),
    ({"formula": "1 if 0 < x < 1 else 0"}, "compare two values"),
    ({"formula": "x * 'a'"}, "expected a number"),
    ({"formula": "2"}, "has no argument"),
    ({"formula": "y * 2", "reference": lambda xp, x: x}, "'y': there are x, inf and pi"),
    ({"formula": "t = x; t = t + 1; t", "reference": lambda xp, x: x}, "t has a value already"),
    ({"reference": lambda xp: 1}, "of at least one array"),
    ({"reference": lambda xp, *x: x}, "without"),
    ({"reference": lambda xp, g: g}, "an argument is called 'g'"),
    ({"formula": "x", "vjp": {"y": lambda g: g}}, "vjp has a rule for 'y'; its arguments are x"),
    ({"formula": "x", "autocast": "half"}, "autocast is 'half'"),
    ({"formula": "x", "grid": lambda n: (n, 1)}, "grid belongs to a CUDA source"),
    ({"reference": lambda xp, x: x, "cuda": "x * 2;"}, "neither an entry point"),
    ({"reference": lambda xp, x: x, "cuda": "__global__ void my_k_f32() {}"}, "needs a signature"),
    ({"reference": lambda xp, x: x, "signature": "x: (n)"}, "has no '->'"),
    ({"reference": lambda xp, x: x, "signature": "x: n -> (n)"}, "cannot be read at 'x: n'"),
    ({"reference": lambda xp, x: x, "signature": "y: (n) -> (n)"}, "has the arguments y; those of the reference are x"),
    ({"reference": lambda xp, x: x, "signature": "x: (n) -> (m)"}, "the result's size m is of no argument"),
    ({"reference": lambda xp, x: x, "signature": "x: real (n) -> (n)"}, "real is no dtype"),
    ({"reference": lambda xp, x: x, "signature": "x: (n, ...) -> (n)"}, "'...' is no size"),
    ({"reference": lambda xp, x: x, "signature": "x: (n) ->"}, "has no result"),
])
def test_definitions_that_are_wrong(given: dict[str, Any], text: str) -> None:
    with pytest.raises(tl.errors.KernelError, match=text):
        tl.kernel("my_k", **given)
    assert "my_k" not in kernels.names()


def test_calls_that_are_wrong() -> None:
    norm = my_rms_norm()
    x = tl.ones(2, 3)
    for call, text in ((lambda: norm(x), "my_rms_norm: w is missing; expected x, w"),
                       (lambda: norm(x, x, x), "my_rms_norm: 3 arrays were given, expected x, w"),
                       (lambda: norm(x, x[0], mean=1), "my_rms_norm: there is no option 'mean'; expected eps")):
        with pytest.raises(TypeError, match=text):
            call()
    with pytest.raises(tl.errors.DTypeError, match="my_mish: x is a list"):
        my_mish()([1.0])
    wrong = tl.kernel("my_wrong", reference=lambda xp, x: x[:2], signature="x: (n) -> (n)")
    with pytest.raises(tl.errors.ShapeError, match=r"the reference returned result of shape \(2,\), expected \(n,\) = \(4,\)"):
        wrong(tl.ones(4))
    several = tl.kernel("my_several", reference=lambda xp, x: (x, x))
    with pytest.raises(tl.errors.ShapeError, match="returned 2 results; several need a signature"):
        several(tl.ones(4))

    def failing(x: Any) -> Any:
        raise RuntimeError("no")
    with pytest.raises(RuntimeError) as caught:
        tl.kernel("my_failing", reference=lambda xp, x: x, cpu=failing)(tl.ones(4))
    assert "in the CPU version of kernel 'my_failing', defined at" in caught.value.__notes__[0]


@pytest.mark.parametrize(("vjp", "error", "text"), [
    (lambda g, x, w: g, tl.errors.GradError, "vjp returned 1 cotangent, expected one for each of x, w"),
    (lambda g, x, w: (g, None), tl.errors.NotDifferentiableError, "vjp returned None for w, whose gradient is needed"),
])
def test_rules_that_are_wrong(vjp: Any, error: Any, text: str) -> None:
    x, w = tl.ones(2, 3, requires_grad=True), tl.ones(3, requires_grad=True)
    with pytest.raises(error, match=text):
        my_rms_norm(vjp=vjp)(x, w).sum().backward()


def test_check_finds_what_is_wrong() -> None:
    with pytest.raises(KernelCheckError, match=r"kernel my_mish, defined at .*: wrong are cpu on cpu in float64") as caught:
        my_mish(cpu=lambda x: np.where(x > 1, x, mish_reference(np, x))).check(numbers(50), device="cpu")
    assert "differs in rows" in str(caught.value) and re.search(r"reference +float64 +0.00 +ok", str(caught.value))
    with pytest.raises(KernelCheckError, match="differs in columns"):
        my_mish(cpu=lambda x: mish_reference(np, x.ravel("K").reshape(x.shape))).check(numbers(5, 4), device="cpu")
    with pytest.raises(KernelCheckError, match="wrong are gradient on cpu") as caught:
        my_mish(vjp=lambda g, x: g * 0.5).check(numbers(5), device="cpu")
    assert "my_mish: the gradient with respect to input 0" in str(caught.value)
    with pytest.raises(KernelCheckError, match=r"wrong are cpu on cpu for empty arrays"):
        my_mish(cpu=lambda x: mish_reference(np, x) + x.max() * 0).check(numbers(5, 2), device="cpu")
    with stand_in(), pytest.raises(KernelCheckError, match="wrong are cuda on cuda in float64, cuda on cuda in float32"):
        tl.kernel("my_cube", reference=lambda xp, x: x * x * x, cuda="return x * x;").check(numbers(5), device="cuda")


def test_sources_that_do_not_compile() -> None:
    with stand_in():
        x = tl.tensor(numbers(4, 4), device="cuda")
        wrong = RMS.replace("load(w[i])", "load(weight[i])")
        norm = tl.kernel("my_rms_norm", reference=rms_reference, cuda=wrong, signature="x: (n, d), w: (d) -> (n, d)")
        line = next(i for i, text in enumerate(wrong.split("\n"), 1) if "weight" in text)
        with pytest.raises(tl.errors.KernelError) as caught:
            norm(x, x[0])
        assert f"my_rms_norm.cu:{line}:" in str(caught.value) and "> for (i64 i = threadIdx.x" in str(caught.value)
        body = tl.kernel("my_body", reference=lambda xp, x: x, cuda="return x * undefined_name;")
        with pytest.raises(tl.errors.KernelError, match=r"my_body.*\n(.*\n)*.*undefined_name"):
            body(x)


def test_nvrtc_names_the_users_lines() -> None:
    from nvrtc import CompileError, compiled  # skips without NVRTC

    from tensorlite.kernels._user_cuda import _log
    norm = my_rms_norm()
    compiled(norm.source.text, "sm_80", norm.source.options)
    wrong = RMS.replace("load(w[i])", "load(weight[i])")
    line = next(i for i, text in enumerate(wrong.split("\n"), 1) if "weight" in text)
    norm = tl.kernel("my_rms_norm2", reference=rms_reference, cuda=wrong.replace("my_rms_norm", "my_rms_norm2"),
                     signature="x: (n, d), w: (d) -> (n, d)")
    with pytest.raises(CompileError) as caught:
        compiled(norm.source.text, "sm_80", norm.source.options)
    log = _log(str(caught.value), norm.source)
    assert f"my_rms_norm2.cu({line}): error" in log and "    > for (i64 i = threadIdx.x" in log


@pytest.mark.parametrize(("change", "text"), [
    (("const T* w, i64 n, i64 d, double eps) {        ", "const T* w, int n, i64 d, double eps) {"),
     "my_rms_norm_##suffix takes (T* y, const T* x, const T* w, int n, i64 d, double eps); it is launched with (T* result, "),
    (("my_rms_norm_##suffix(T* y, const T* x, ", "my_rms_norm_##suffix(T* y, "),
     "it is launched with (T* result, T* x, T* w, long long n, long long d, double eps)"),
    (("my_rms_norm", "other"), "has no entry point my_rms_norm_f32"),
])
def test_entry_points_that_do_not_fit(change: tuple[str, str], text: str) -> None:
    source = RMS.replace(*change)
    if change[0] == "my_rms_norm":
        source = source.replace("ENTRIES(ENTRY)", "ENTRY(f32, float)")
    with pytest.raises(tl.errors.KernelError) as caught:
        tl.kernel("my_rms_norm", reference=rms_reference, cuda=source, signature="x: (n, d), w: (d) -> (n, d)")
    assert text in str(caught.value)


def test_a_reference_that_tensors_cannot_run() -> None:
    odd = tl.kernel("my_odd", reference=lambda xp, x: np.positive(x) if xp is np else xp.no_such_function(x))
    y = odd(tl.ones(3, requires_grad=True))
    with pytest.raises(tl.errors.NotDifferentiableError, match="my_odd: its reference cannot be run on tensors"):
        y.sum().backward()


# ---- formulas ------------------------------------------------------------------------------------------------------------

EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-300, 5e-324, 1e-40, 80.0, -80.0, 88.5, 1e300])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(VECTORS - {"max", "min"}))
def test_functions_of_compiled_formulas(name: str, dtype: str) -> None:
    pytest.importorskip("numba")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=20_000) * 3, rng.lognormal(0, 8, 20_000), 1 + rng.normal(size=5000) * 1e-3,
                        rng.normal(size=5000) * 1e-4]).astype(dtype)
    with np.errstate(all="ignore"):
        found, edges = (Formula(name, f"{name}(x)", ["x"]).cpu(v) for v in (x, EDGES.astype(dtype)))
        true, wanted = (getattr(torch, name)(torch.tensor(v)).numpy() for v in (x.astype(np.float64), EDGES.astype(dtype)))
        true_in_dtype = true.astype(dtype)
    tiny = np.finfo(dtype).tiny
    ok = np.isfinite(true_in_dtype) & (abs(true) > tiny)
    assert np.max(abs(found[ok] - true[ok]) / abs(true[ok])) < 3.5 * np.finfo(dtype).eps
    np.testing.assert_allclose(edges, wanted, rtol=1e-6 if dtype == "float32" else 1e-14, atol=tiny)


def test_every_function_and_sign_of_formulas(device: str) -> None:
    one = [name for name, cpp in sorted(FUNCTIONS.items()) if cpp.count("{}") == 1]
    x = np.random.default_rng(1).uniform(0.1, 0.9, (3, 4))
    for name in one:
        argument = "1 + x" if name == "acosh" else "x"
        kernel = tl.kernel("my_function_of", formula=f"t = {argument}; {name}(t)")
        kernel.check(x, device=device, gradient=False, tolerance=16)
    for formula in ("max(x, y) - min(x, 0.3)", "atan2(y, x) ** 3", "x if x > 0.4 and y > 0.4 or not x > 0.2 else -y",
                    "+x * pi / 3", "1 if x != y else inf", "(2 / 4) * x + 1 / 2 * y", "y if x <= 0.5 else sqrt(2) * x",
                    "x * 3 if y == x else 7"):
        kernel = tl.kernel("my_function", formula=formula)
        pair = (x, x[::-1].copy())[:len(kernel.arguments)]
        kernel.check(*pair, device=device, gradient=False, tolerance=16)


def test_numbers_of_formulas_take_the_arrays_dtype() -> None:
    f = Formula("f", "x * 0.5 + 1 / 2", ["x"])
    assert f.cuda_body == "return ((v_x * A(0.5)) + (A(1) / A(2)));"
    assert f.reference(np, np.ones(2, np.float32)).dtype == np.float32
    options = tl.kernel("my_options", reference=lambda xp, x, *, a=2.0, b=1.0: a * x + b, formula="a * x + b")
    assert options(tl.ones(2), a=3.0).tolist() == [4.0, 4.0]
    assert options(tl.ones(5000), a=3.0, b=0.5)[0].item() == 3.5


# ---- the list of kernels -------------------------------------------------------------------------------------------------

def test_the_list_of_kernels() -> None:
    mish = my_mish(sample=lambda rng: (rng.normal(size=(8, 8)),))
    assert "my_mish" in tl.kernels.names() and tl.kernels.load("my_mish") is mish and mish in tl.kernels.load_all()
    x = np.ones((8, 8), np.float32)
    assert mish.cost(x) == tl.kernels.Cost(512, 0)
    assert my_rms_norm().cost(x, x[0]) == tl.kernels.Cost(4 * (64 + 8 + 64), 0)
    report = mish.bench(*mish.sample(np.random.default_rng(0)), device="cpu", seconds=0.01)
    assert [row[1] for row in report] == ["reference", "cpu"] and "GB/s" in repr(report)
    assert copy.deepcopy({"activation": mish})["activation"] is mish and pickle.loads(pickle.dumps(mish)) is mish
    with pytest.raises(KeyError, match="no kernel is called 'my_other'"):
        kernels.load("my_other")


def test_the_bench_finds_those_with_a_sample() -> None:
    bench = pytest.importorskip("tensorlite.bench.kernels")
    my_mish(sample=lambda rng: (rng.normal(size=(64, 64)),))
    tl.kernel("my_other", formula="x * 2")   # says nothing of what to measure it with
    cpu = bench._device.device("cpu")
    assert [case.title for case in bench._cases.listed(cpu, ["my_mish", "my_other"])] == ["my_mish float32"]
    (case,) = bench._cases.listed(cpu, ["my_mish"])
    problem = case.problem(cpu)
    out = problem.bind(kernels.load("my_mish").cpu)()
    assert out.shape == (64, 64) and out.dtype == np.float32 and problem.cost(kernels.load("my_mish")).bytes == 8 * 64 * 64


def test_warmup_compiles_them(capsys: pytest.CaptureFixture[str]) -> None:
    from tensorlite.cli import main
    my_rms_norm()
    before = list(Source.known)
    Source.known[:] = [s for s in before if s.name == "my_rms_norm.cu"]
    with stand_in(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "load_all", list)
        assert main(["warmup"]) == 0
    assert "my_rms_norm.cu" in capsys.readouterr().out
    my_rms_norm()   # in place of the first, whose source is forgotten
    assert len([s for s in Source.known if s.name == "my_rms_norm.cu"]) == 1


def test_entry_points(tmp_path: Path) -> None:
    (tmp_path / "their_kernels.py").write_text("import tensorlite as tl\ncube = tl.kernel('cube', formula='x * x * x')\n")
    info = tmp_path / "their_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tensorlite.kernels]\ncubes = their_kernels\nbroken = no_such_module\n")
    code = ("import tensorlite as tl\nassert 'cube' not in tl.kernels.names()\nprint(tl.kernels.load('cube').name)\n"
            "assert 'cube' in [k.name for k in tl.kernels.load_all()]\nprint(tl.kernels.failed['broken'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert not done.returncode, done.stderr
    assert done.stdout.startswith("cube\nits entry point no_such_module failed: No module named")
