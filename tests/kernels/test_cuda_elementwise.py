"""Elementwise kernels on CUDA, their sources run on the CPU: against float64 references, for any size, layout and alignment."""
from __future__ import annotations

import zlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorlite import kernels

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 4e-7, "float64": 1e-15}
SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (5, 13), (17, 3, 9), (4099,)]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.normal(size=shape) * 3)


# kernel -> its arrays in float64
CASES: dict[str, Any] = {
    "sigmoid": lambda rng, shape: (normal(rng, shape),),
    "sigmoid_backward": lambda rng, shape: (normal(rng, shape), np.asarray(rng.uniform(size=shape))),
    "relu_backward": lambda rng, shape: (normal(rng, shape), np.asarray(np.maximum(normal(rng, shape), 0))),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_against_float64(cuda: Any, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    seed = zlib.crc32(repr((name, shape)).encode())
    print(f"seed {seed}")
    arrays = tuple(a.astype(dtype) for a in CASES[name](np.random.default_rng(seed), shape))
    out = kernels.load(name).cuda(cuda, *arrays)
    assert out.shape == shape and out.dtype == dtype
    expected = kernels.load(name).reference(np, *(a.astype(np.float64) for a in arrays))
    rtol = TOLERANCE[np.dtype(dtype).name]
    np.testing.assert_allclose(out.astype(np.float64), expected, rtol=2 * rtol, atol=rtol / 100)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", CASES)
def test_any_layout_and_alignment_gives_the_same_bits(cuda: Any, name: str, dtype: Any) -> None:
    arrays = [a.astype(dtype) for a in CASES[name](np.random.default_rng(0), (6, 35))]
    run = kernels.load(name).cuda
    expected = run(cuda, *arrays).tobytes()
    misaligned = np.frombuffer(b"\0" * arrays[0].itemsize + arrays[0].tobytes(), dtype)[1:].reshape(6, 35)
    for first in (np.asfortranarray(arrays[0]), misaligned):
        assert run(cuda, first, *arrays[1:]).tobytes() == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_sigmoid_in_its_tails(cuda: Any, dtype: Any) -> None:
    x = np.array([-np.inf, -700, -87, -60, -16, -0.0, 0.0, 16, 80, 700, np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        expected = kernels.load("sigmoid").reference(np, x.astype(np.float64))
    rtol, tiny = TOLERANCE[np.dtype(dtype).name], float(ml_dtypes.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(kernels.load("sigmoid").cuda(cuda, x).astype(np.float64), expected, rtol=2 * rtol, atol=tiny)


def test_sigmoid_float32_in_units_in_the_last_place(cuda: Any) -> None:
    """With the C library's expf, which is good to half a unit; CUDA's is documented good to one."""
    x = np.linspace(-87, 20, 200_003).astype(np.float32)
    true = kernels.load("sigmoid").reference(np, x.astype(np.float64))
    ulp = np.abs(kernels.load("sigmoid").cuda(cuda, x) - true) / np.spacing(true.astype(np.float32))
    assert float(ulp.max()) < 2.5


def test_relu_backward_lets_nothing_through_where_the_result_is_zero(cuda: Any) -> None:
    g, out = np.array([np.inf, np.nan, 1, np.inf], np.float32), np.array([0, 0, np.nan, 2], np.float32)
    np.testing.assert_array_equal(kernels.load("relu_backward").cuda(cuda, g, out), [0, 0, 0, np.inf])


def test_other_dtypes_and_wrong_shapes_are_the_references_matter(cuda: Any) -> None:
    np.testing.assert_array_equal(kernels.load("relu_backward").cuda(cuda, np.array([1, 2]), np.array([0, 5])), [0, 2])
    with pytest.raises(ValueError, match=r"g has shape \(2,\), expected that of out, \(3,\)"):
        kernels.load("relu_backward").cuda(cuda, np.zeros(2), np.zeros(3))
