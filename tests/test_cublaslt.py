"""The binding to cuBLASLt: its numbers against the real header and library where there is one, its products on a stand-in."""
from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import build, cublaslt
from cuda_on_cpu.versions import cupy_stand_in

from tensorlite.backends import _cublaslt_library as lt
from tensorlite.backends._cublaslt import PLANS, CublasLt

pytestmark = pytest.mark.skipif(build.why_not() is not None, reason=str(build.why_not()))
SEED = 20240607
DTYPES = ("float32", "float64", "float16", "bfloat16")
TOLERANCE = {"float64": 1e-13, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}


@pytest.fixture(scope="module")
def cupy() -> Any:
    return cupy_stand_in(14)


@pytest.fixture
def library(cupy: Any) -> CublasLt:
    return CublasLt(cupy, cublaslt.path())


@pytest.fixture
def rng() -> np.random.Generator:
    print("seed", SEED)
    return np.random.default_rng(SEED)


def typed(name: str) -> Any:
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def given(cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """An array on the device, and the same in float64 on the host."""
    host = rng.standard_normal(shape).astype(dtype)
    out = cupy.empty(shape, dtype)
    out[...] = cupy.asarray(host)
    return out, host.astype(np.float64)


def close(got: Any, expected: Any, dtype: str, k: int = 1) -> None:
    got = got.get().astype(np.float64)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * np.sqrt(k))


# ---- the numbers, against NVIDIA's ---------------------------------------------------------------------------------------------

def real_library() -> lt.Library:
    try:
        return lt.load(lt.candidates(13))
    except OSError as error:
        pytest.skip(str(error).partition(";")[0])


def header() -> Path:
    folder = Path(real_library().path).resolve().parent.parent / "include"
    if not (folder / "cublasLt.h").exists():
        pytest.skip("cublasLt.h is not beside the library")
    return folder


NUMBERS = {
    **{f"CUBLASLT_EPILOGUE_{name}": getattr(lt, name) for name in (
        "DEFAULT", "RELU", "BIAS", "RELU_BIAS", "RELU_AUX", "RELU_AUX_BIAS", "DRELU", "DRELU_BGRAD", "GELU", "GELU_BIAS",
        "GELU_AUX", "GELU_AUX_BIAS", "DGELU", "DGELU_BGRAD", "BGRADA", "BGRADB")},
    **{f"CUBLASLT_MATMUL_DESC_{name}": getattr(lt, name) for name in ("TRANSA", "TRANSB", "EPILOGUE", "BIAS_POINTER")},
    **{f"CUBLASLT_MATMUL_DESC_EPILOGUE_{name}": getattr(lt, name) for name in ("AUX_POINTER", "AUX_LD", "AUX_BATCH_STRIDE")},
    "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT": lt.BATCH_COUNT, "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET": lt.BATCH_STRIDE,
    "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": lt.MAX_WORKSPACE,
    "CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK": lt.REDUCTION_SCHEMES,
    "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE": lt.REDUCE_IN_COMPUTE_TYPE, "CUBLASLT_REDUCTION_SCHEME_NONE": 0,
    **{f"CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_{m}_BYTES": n for m, n in zip("ABCD", lt.ALIGNMENTS)},
    "CUDA_R_32F": lt.TYPES["float32"], "CUDA_R_64F": lt.TYPES["float64"], "CUDA_R_16F": lt.TYPES["float16"],
    "CUDA_R_16BF": lt.TYPES["bfloat16"], "CUBLAS_COMPUTE_32F": lt.COMPUTE_32F, "CUBLAS_COMPUTE_64F": lt.COMPUTE_64F,
    "CUBLAS_COMPUTE_32F_FAST_TF32": lt.COMPUTE_32F_FAST_TF32, "CUBLAS_STATUS_NOT_SUPPORTED": lt.NOT_SUPPORTED,
    "CUBLAS_OP_N": 0, "CUBLAS_OP_T": 1, "CUBLASLT_ORDER_COL": 0, "CUBLASLT_POINTER_MODE_HOST": 0,
}


def test_numbers_and_sizes_are_the_headers(tmp_path: Path) -> None:
    fields = {"algo": "algo", "workspace": "workspaceSize", "state": "state", "waves": "wavesCount", "reserved": "reserved"}
    lines = ["#include <cstddef>", "#include <cublasLt.h>",
             *(f"static_assert((int){n} == {v}, \"{n}\");" for n, v in NUMBERS.items()),
             f"static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == {ctypes.sizeof(lt.Heuristic)});",
             *(f"static_assert(offsetof(cublasLtMatmulHeuristicResult_t, {theirs}) == {getattr(lt.Heuristic, mine).offset});"
               for mine, theirs in fields.items())]
    include, source = header(), tmp_path / "numbers.cpp"
    (tmp_path / "crt").mkdir()
    # what cublasLt.h includes, and has no numbers in it: the packages of cuBLAS do not bring all of it
    words = ("__device_builtin__", "__host__", "__device__", "__builtin_align__(n)", "__align__(n)", "CUDARTAPI")
    for name, text in (("crt/host_defines.h", "".join(f"#define {word}\n" for word in words)), ("cuda_fp16.h", "struct __half;"),
                       ("cuda_bf16.h", "struct __nv_bfloat16;")):
        (tmp_path / name).write_text(text)
    command = [str(build.compiler()), "-std=c++17", "-fsyntax-only", f"-I{tmp_path}", f"-I{include}", str(source)]
    for extra, good in ((), True), (("static_assert(CUBLASLT_EPILOGUE_BIAS == 5);",), False):   # a wrong one is noticed
        source.write_text("\n".join([*lines, *extra]))
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode == 0) == good, done.stderr


ATTRIBUTES = [   # of what, attribute, type, value
    ("MatmulDesc", lt.TRANSA, ctypes.c_int32, 1), ("MatmulDesc", lt.TRANSB, ctypes.c_int32, 1),
    *(("MatmulDesc", lt.EPILOGUE, ctypes.c_uint32, v) for n, v in NUMBERS.items() if n.startswith("CUBLASLT_EPILOGUE")),
    ("MatmulDesc", lt.BIAS_POINTER, ctypes.c_uint64, 0x7f0012345600),
    ("MatmulDesc", lt.AUX_POINTER, ctypes.c_uint64, 0x7f0012345700),
    ("MatmulDesc", lt.AUX_LD, ctypes.c_int64, 1 << 33), ("MatmulDesc", lt.AUX_BATCH_STRIDE, ctypes.c_int64, 1 << 34),
    ("MatrixLayout", lt.BATCH_COUNT, ctypes.c_int32, 7), ("MatrixLayout", lt.BATCH_STRIDE, ctypes.c_int64, 1 << 35),
    ("MatmulPreference", lt.MAX_WORKSPACE, ctypes.c_uint64, 1 << 25),
    ("MatmulPreference", lt.REDUCTION_SCHEMES, ctypes.c_uint32, lt.REDUCE_IN_COMPUTE_TYPE),
    *(("MatmulPreference", n, ctypes.c_uint32, 16) for n in lt.ALIGNMENTS),
]


@pytest.fixture(params=["real", "stand-in"])
def either(request: pytest.FixtureRequest) -> lt.Library:
    return real_library() if request.param == "real" else lt.load([cublaslt.path()])


def test_attributes_have_the_sizes_that_the_library_knows(either: lt.Library) -> None:
    for of, attribute, kind, value in ATTRIBUTES:
        args = {"MatmulDesc": (lt.COMPUTE_32F, 0), "MatrixLayout": (0, 5, 3, 5), "MatmulPreference": ()}[of]
        made = either.make(of, *args)
        made.set(attribute, kind(value))
        got, size = kind(), ctypes.c_size_t()
        read = getattr(either._library, f"cublasLt{of}GetAttribute")
        read.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        assert read(made.pointer, attribute, None, 0, ctypes.byref(size)) == 0, (of, attribute)
        assert size.value == ctypes.sizeof(kind), (of, attribute)
        assert read(made.pointer, attribute, ctypes.byref(got), size, None) == 0 and got.value == value, (of, attribute)
        with pytest.raises(RuntimeError, match=f"cublasLt{of}SetAttribute: CUBLAS_STATUS_INVALID_VALUE"):
            made.set(attribute, (ctypes.c_char * 3)())
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            made.set(77, kind(value))


def test_the_library_makes_every_descriptor(either: lt.Library) -> None:
    for compute, scale in ((lt.COMPUTE_32F, 0), (lt.COMPUTE_32F_FAST_TF32, 0), (lt.COMPUTE_64F, 1)):
        assert either.make("MatmulDesc", compute, scale).pointer
    for kind in lt.TYPES.values():
        assert either.make("MatrixLayout", kind, 5, 3, 1 << 33).pointer
    assert either.text(lt.NOT_SUPPORTED).startswith("CUBLAS_STATUS_NOT_SUPPORTED (")
    assert either.version >= 120000


# ---- finding it ----------------------------------------------------------------------------------------------------------------

def test_the_file_that_is_named_is_the_only_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORLITE_CUBLASLT", "/nowhere/libcublasLt.so")
    assert list(lt.candidates()) == ["/nowhere/libcublasLt.so"]
    with pytest.raises(OSError, match=r"cuBLASLt cannot be loaded; install it with .*TENSORLITE_CUBLASLT.*Tried: /nowhere"):
        lt.load(lt.candidates())


def test_candidates_prefer_cupys_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "nvidia" / "cu13" / "lib" / "libcublasLt.so.13"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.delenv("TENSORLITE_CUBLASLT", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    for cuda in (12, 13):
        found = list(lt.candidates(cuda))
        assert found[0] == f"libcublasLt.so.{cuda}"
        assert found.index("libcublasLt.so.13") < found.index(str(wheel)) if sys.platform == "linux" else found
    with pytest.raises(OSError, match=r"undefined symbol|symbol not found"):   # a library, but not this one
        lt.load([ctypes.util.find_library("m") or "libm.so.6"])


# ---- products ------------------------------------------------------------------------------------------------------------------

def views(cupy: Any, x: Any) -> Iterator[tuple[str, Any]]:
    """The same matrices as they may lie in memory."""
    def inside(shape: tuple[int, ...], *at: Any) -> Any:
        room = cupy.empty(shape, x.dtype)
        out = room[at]
        out[...] = x
        return out

    *batch, n, k = x.shape
    whole = [slice(None)] * len(batch)
    yield "contiguous", x
    yield "transposed", cupy.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    yield "rows apart", inside((*batch, n, k + 3), *whole, slice(None), slice(2, k + 2))
    apart = cupy.empty((*batch, k, n + 3), x.dtype)[..., 1:n + 1].swapaxes(-1, -2)
    apart[...] = x
    yield "columns apart", apart
    yield "every second column", inside((*batch, n, 2 * k), *whole, slice(None), slice(None, None, 2))
    yield "reversed", cupy.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :]
    for axis in range(len(batch)):
        yield "reversed", cupy.ascontiguousarray(cupy.flip(x, axis))[(*whole[:axis], slice(None, None, -1))]
    yield "every second row", inside((*batch, 2 * n, k), *whole, slice(None, None, 2), slice(None))


SHAPES = [(3, 4, 5), (1, 1, 1), (1, 7, 5), (5, 7, 1), (1, 7, 1), (6, 1, 9), (33, 17, 65), (2, 300, 3)]   # n, k, m


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices(cupy: Any, library: CublasLt, rng: np.random.Generator, dtype: str) -> None:
    for n, k, m in SHAPES:
        x, hx = given(cupy, rng, (n, k), typed(dtype))
        y, hy = given(cupy, rng, (k, m), typed(dtype))
        expected = hx @ hy
        for _, vx in views(cupy, x):
            for _, vy in views(cupy, y):
                for tx, ty in ((False, False), (True, False), (False, True), (True, True)):
                    out = library.matmul(vx.T if tx else vx, vy.T if ty else vy, tx, ty)
                    assert out.dtype == x.dtype and out.flags.c_contiguous
                    close(out, expected, dtype, k)


def test_what_the_library_can_read_is_not_copied(cupy: Any, library: CublasLt, rng: np.random.Generator,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = given(cupy, rng, (2, 6, 4), "float32")
    y, _ = given(cupy, rng, (2, 4, 5), "float32")
    copied: list[Any] = []
    contiguous = cupy.ascontiguousarray
    monkeypatch.setattr(cupy, "ascontiguousarray", lambda a: copied.append(a.shape) or contiguous(a))
    for (name, vx), (_, vy) in zip(list(views(cupy, x)), list(views(cupy, y))):
        copied.clear()
        library.matmul(vx, vy)
        assert bool(copied) == (name in ("every second column", "reversed")), name


BATCHES = [   # batch axes of x and of y, and how many matrices the library is to see (None: any)
    ((4,), (4,), 4), ((4,), (), 1), ((), (4,), 4), ((4,), (1,), 1), ((1,), (4,), 4), ((2, 3), (2, 3), 6), ((2, 3), (), 1),
    ((), (2, 3), 6), ((2, 1), (3,), None), ((2, 3), (3,), None), ((2, 3), (2, 1), 2), ((2, 1), (2, 3), None), ((1, 1), (1,), 1),
    ((2, 2, 2), (2, 1, 1), 2),
]


@pytest.mark.parametrize(("bx", "by", "matrices"), BATCHES)
def test_batches(cupy: Any, library: CublasLt, rng: np.random.Generator, bx: Any, by: Any, matrices: int | None) -> None:
    for n, k, m in ((3, 4, 5), (1, 4, 2), (3, 1, 1)):
        x, hx = given(cupy, rng, (*bx, n, k), "float32")
        y, hy = given(cupy, rng, (*by, k, m), "float32")
        expected = hx @ hy
        for name, vx in views(cupy, x):
            for _, vy in views(cupy, y):
                close(library.matmul(vx, vy), expected, "float32", k)
                close(library.matmul(vx.swapaxes(-1, -2), vy.swapaxes(-1, -2), True, True), expected, "float32", k)
            if name == "contiguous":
                library.matmul(vx, y)
                assert matrices in (None, cublaslt.stand_in().last().matrices)


def test_a_batch_times_one_matrix_is_one_product_also_of_single_rows_apart(cupy: Any, library: CublasLt,
                                                                           rng: np.random.Generator) -> None:
    x, hx = given(cupy, rng, (5, 3, 4), "float32")
    y, hy = given(cupy, rng, (4, 2), "float32")
    close(library.matmul(x[:, :1], y), hx[:, :1] @ hy, "float32")
    assert cublaslt.stand_in().last()[3:] == (1, 2, 5)
    close(library.matmul(x[:, :2], y), hx[:, :2] @ hy, "float32")
    assert cublaslt.stand_in().last()[3:] == (5, 2, 2)


def test_pointers_of_any_alignment(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    room, host = given(cupy, rng, (200,), "float32")
    bias, hb = given(cupy, rng, (40,), "float32")
    for i in (0, 1, 2, 4, 3, 0, 64):
        for j in (0, 1, 8):
            x, y, b = room[i:i + 12].reshape(3, 4), room[100 + j:100 + j + 20].reshape(4, 5), bias[i % 7:i % 7 + 5]
            expected = host[i:i + 12].reshape(3, 4) @ host[100 + j:100 + j + 20].reshape(4, 5)
            close(library.matmul(x, y), expected, "float32", 4)
            close(library.matmul(x, y, epilogue=lt.BIAS, bias=b), expected + hb[i % 7:i % 7 + 5], "float32", 4)


def test_tf32_rounds_float32_and_nothing_else(cupy: Any, library: CublasLt) -> None:
    for dtype, rounded in (("float32", True), ("float64", False)):
        x = cupy.asarray(np.array([[1 + 2.0**-12]], dtype))
        one = cupy.asarray(np.ones((1, 1), dtype))
        assert (library.matmul(x, one, tf32=True).get()[0, 0] == 1) == rounded
        assert library.matmul(x, one).get()[0, 0] == 1 + 2.0**-12


def test_added_to_an_array_in_place(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    for dtype in DTYPES:
        x, hx = given(cupy, rng, (3, 4), typed(dtype))
        y, hy = given(cupy, rng, (4, 5), typed(dtype))
        total, ht = given(cupy, rng, (3, 5), typed(dtype))
        assert library.matmul(x, y, add_to=total) is total
        close(total, ht + hx @ hy, dtype, 4)
    assert library.matmul(x, y, add_to=total.T) is None
    assert library.matmul(x, y, add_to=total[:2]) is None


# ---- epilogues -----------------------------------------------------------------------------------------------------------------

def gelu(z: Any) -> Any:
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def gelu_slope(z: Any) -> Any:
    h = 1e-6
    return (gelu(z + h) - gelu(z - h)) / (2 * h)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_and_activation(cupy: Any, library: CublasLt, rng: np.random.Generator, dtype: str) -> None:
    for n, k, m in SHAPES:
        x, hx = given(cupy, rng, (n, k), typed(dtype))
        w, hw = given(cupy, rng, (m, k), typed(dtype))
        b, hb = given(cupy, rng, (m,), typed(dtype))
        plain = hx @ hw.T
        for epilogue, expected in ((lt.BIAS, plain + hb), (lt.RELU, np.maximum(plain, 0)), (lt.GELU, gelu(plain)),
                                   (lt.RELU_BIAS, np.maximum(plain + hb, 0)), (lt.GELU_BIAS, gelu(plain + hb))):
            out = library.matmul(x, w, ty=True, epilogue=epilogue, bias=b if epilogue & lt.BIAS else None)
            if dtype == "float64" and epilogue not in (lt.BIAS, lt.RELU, lt.RELU_BIAS):
                assert out is None   # as in the library's documentation
            else:
                close(out, expected, dtype, k)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_layer_and_its_gradient_through_the_mask(cupy: Any, library: CublasLt, rng: np.random.Generator, dtype: str,
                                                   batch: tuple[int, ...]) -> None:
    """RELU_AUX(_BIAS) and GELU_AUX(_BIAS) keep what DRELU, DGELU and their sums (for a single matrix) need."""
    for n, k, m in ((3, 4, 5), (9, 2, 130), (1, 1, 8)):
        x, hx = given(cupy, rng, (*batch, n, k), typed(dtype))
        w, hw = given(cupy, rng, (m, k), typed(dtype))
        b, hb = given(cupy, rng, (m,), typed(dtype))
        g, hg = given(cupy, rng, (*batch, n, 6), typed(dtype))
        v, hv = given(cupy, rng, (6, m), typed(dtype))
        for forward, backward, f, slope in ((lt.RELU_AUX, lt.DRELU, lambda z: np.maximum(z, 0), lambda z: z > 0),
                                            (lt.GELU_AUX, lt.DGELU, gelu, gelu_slope)):
            for bias in (None, b):
                z = hx @ hw.T + (0 if bias is None else hb)
                aux = library.auxiliary(forward, z.shape, x.dtype)
                out = library.matmul(x, w, ty=True, epilogue=forward | (0 if bias is None else lt.BIAS), bias=bias, aux=aux)
                close(out, f(z), dtype, k)
                dz = (hg @ hv) * slope(z)
                close(library.matmul(g, v, epilogue=backward, aux=aux), dz, dtype, 20 if dtype == "float32" else 6)
                db = cupy.empty((m,), x.dtype)
                got = library.matmul(g, v, epilogue=backward | lt.BGRAD, bias=db, aux=aux)
                if batch:
                    assert got is None
                else:
                    close(got, dz, dtype, 20 if dtype == "float32" else 6)
                    close(db, dz.sum(0), dtype, 40 * n)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_sums_of_the_operands(cupy: Any, library: CublasLt, rng: np.random.Generator, dtype: str) -> None:
    for n, k, m in SHAPES:
        x, hx = given(cupy, rng, (n, k), typed(dtype))
        y, hy = given(cupy, rng, (k, m), typed(dtype))
        for name, vx in views(cupy, x):
            of_x, of_y = cupy.empty((n,), x.dtype), cupy.empty((m,), x.dtype)
            close(library.matmul(vx.T, y, True, False, lt.BGRADB, of_x), hx @ hy, dtype, k)
            close(of_x, hx.sum(1), dtype, k)
            close(library.matmul(vx, y, False, False, lt.BGRADA, of_y), hx @ hy, dtype, k)
            close(of_y, hy.sum(0), dtype, k)
            assert name


# ---- what it does not do -------------------------------------------------------------------------------------------------------

def test_none_where_the_library_does_not_do_it(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    x, _ = given(cupy, rng, (3, 4), "float32")
    y, _ = given(cupy, rng, (4, 5), "float32")
    b, _ = given(cupy, rng, (10,), "float32")
    before = cublaslt.stand_in().launched()
    for u, v in ((x.astype("int32"), y.astype("int32")), (x, y.astype("float64")), (x.astype("complex64"), y.astype("complex64")),
                 (x[:0], y), (x, y[:, :0]), (x[:, :0], y[:0])):
        assert library.matmul(u, v) is None and library.matmul(u, v) is None
    assert library.matmul(x, y, epilogue=lt.BIAS, bias=b[::2]) is None
    assert library.matmul(x, y, epilogue=lt.BIAS, bias=b[:5].astype("float16")) is None
    with cublaslt.stand_in().refusing(lt.BIAS):
        assert library.matmul(x, y, epilogue=lt.BIAS, bias=b[:5]) is None
    assert library.matmul(x, y, epilogue=lt.BIAS, bias=b[:5]) is None   # remembered
    assert cublaslt.stand_in().launched() == before


def test_failures_at_the_launch(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    x, _ = given(cupy, rng, (3, 4), "float32")
    y, _ = given(cupy, rng, (5, 4), "float32")
    cublaslt.stand_in().fail_next(14)
    said = r"cublasLtMatmul: CUBLAS_STATUS_INTERNAL_ERROR .*x \(3, 4\) .*y \(5, 4\) .*transposed.* float32, epilogue 1, by Cu"
    with pytest.raises(RuntimeError, match=said):
        library.matmul(x, y, ty=True)
    assert library.matmul(x, y, ty=True) is not None   # the next is well
    cublaslt.stand_in().fail_next(lt.NOT_SUPPORTED)
    assert library.matmul(x, y, ty=True) is None and library.matmul(x, y, ty=True) is None


# ---- plans, memory, threads ----------------------------------------------------------------------------------------------------

def test_a_problem_is_described_once_and_few_are_kept(cupy: Any, rng: np.random.Generator,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorlite.backends._cublaslt.PLANS", 8)
    assert PLANS >= 1024
    alive = cublaslt.stand_in().alive()
    library = CublasLt(cupy, cublaslt.path())
    x, _ = given(cupy, rng, (40, 4), "float32")
    y, _ = given(cupy, rng, (4, 5), "float32")
    library.matmul(x, y)
    once = cublaslt.stand_in().alive()
    for _ in range(5):
        library.matmul(x, y)
    assert cublaslt.stand_in().alive() == once
    for n in range(1, 40):
        library.matmul(x[:n], y)
    assert len(library._plans) <= 8 and cublaslt.stand_in().alive() <= alive + 8 * 4 + 1
    library._plans.clear()
    assert cublaslt.stand_in().alive() == alive + 1   # the handle


def test_each_stream_has_its_memory(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    x, _ = given(cupy, rng, (3, 4), "float32")
    y, _ = given(cupy, rng, (4, 5), "float32")
    stream = cupy.cuda.Stream(non_blocking=True)
    mine = library.prepare(0, stream.ptr)
    with stream:
        library.matmul(x, y)
    assert cublaslt.stand_in().last().stream == stream.ptr
    assert library.prepare(0, stream.ptr) is mine and mine.nbytes == 32 << 20
    assert library.release(0, stream.ptr) is mine and library.prepare(0, stream.ptr) is not mine


def test_each_device_has_its_handle(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    with cupy.cuda.Device(1):
        x, hx = given(cupy, rng, (3, 4), "float32")
        y, hy = given(cupy, rng, (4, 5), "float32")
        out = library.matmul(x, y)
        assert out.data.device_id == 1
        close(out, hx @ hy, "float32", 4)
    assert len(set(library._handles.values())) == 2


def test_threads_do_not_mix_up_their_biases(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    x, hx = given(cupy, rng, (8, 4), "float32")
    w, hw = given(cupy, rng, (16, 4), "float32")
    wrong: list[int] = []

    def work(i: int) -> None:
        b = cupy.empty((16,), "float32")
        b[...] = i
        for _ in range(200):
            out = library.matmul(x, w, ty=True, epilogue=lt.BIAS, bias=b).get()
            if abs(out - (hx @ hw.T + i)).max() > 1e-4:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_fastest_of_several_algorithms(cupy: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9.0] * 5 + [5.0] * 4 + [2.0] + [3.0] * 5)   # of three algorithms, the first run of each untimed
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, end: next(times))
    library = CublasLt(cupy, cublaslt.path(), tries=3)
    x, hx = given(cupy, rng, (3, 4), "float32")
    y, hy = given(cupy, rng, (4, 5), "float32")
    close(library.matmul(x, y), hx @ hy, "float32", 4)
    assert cublaslt.stand_in().last().algorithm == 1
    launched = cublaslt.stand_in().launched()
    library.matmul(x, y)
    assert cublaslt.stand_in().launched() == launched + 1 and next(times, None) is None


def test_nothing_waits_for_the_device(cupy: Any, library: CublasLt, rng: np.random.Generator) -> None:
    x, _ = given(cupy, rng, (3, 4), "float32")
    y, _ = given(cupy, rng, (4, 5), "float32")
    cupy._machine.machine.syncs.clear()
    library.matmul(x, y)
    library.matmul(x[:, ::2], y[::2])
    assert not cupy._machine.machine.syncs
