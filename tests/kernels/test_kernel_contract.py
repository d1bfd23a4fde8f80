"""Every kernel there is: it loads, says its cost, and its CPU version agrees with its reference in float64."""
from __future__ import annotations

import importlib
import subprocess
import sys
import zlib

import array_api_strict
import numpy as np
import pytest

from tensorlite import kernels

TOLERANCE = {"float16": 2e-3, "float32": 3e-6, "float64": 1e-14}
SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (5, 13), (17, 3, 9), (1 << 19, 2)]


def seeded(*key: object) -> np.random.Generator:
    seed = zlib.crc32(repr(key).encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same numbers contiguous, transposed, with a step, reversed, and read-only."""
    stepped = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2] if array.ndim else array.copy()
    stepped[...] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    return [array, array.copy("F"), stepped, array[::-1][::-1] if array.ndim else array, frozen]


# Elementwise kernels: name -> arrays of one shape and dtype.
ELEMENTWISE = {
    "sigmoid": lambda rng, shape, dtype: (np.asarray(rng.normal(size=shape) * 6, dtype),),
    "sigmoid_backward": lambda rng, shape, dtype: (
        np.asarray(rng.normal(size=shape), dtype), np.asarray(rng.uniform(size=shape), dtype),
    ),
    "relu_backward": lambda rng, shape, dtype: (
        np.asarray(rng.normal(size=shape), dtype), np.asarray(np.maximum(rng.normal(size=shape), 0), dtype),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in kernels.names() if name not in kernels._registered])
def test_every_kernel_loads_and_has_its_parts(name):
    kernel = kernels.load(name)
    assert kernel.name == name
    assert callable(kernel.reference) and callable(kernel.cost) and callable(kernel.cpu)
    assert kernel.reference.__doc__, "a reference states its formula, shapes and errors"


def test_kernels_and_references_import_no_compiler():
    code = "import sys, tensorlite.kernels as k; [k.load(n) for n in k.names()]; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, shape, dtype):
    kernel = kernels.load(name)
    arrays = ELEMENTWISE[name](seeded(name, shape, dtype), shape, dtype)
    expected = kernel.reference(np, *(a.astype(np.float64) for a in arrays))
    for versions in zip(*map(layouts, arrays)):
        out = kernel.cpu(*versions)
        assert out.shape == shape and out.dtype == dtype
        np.testing.assert_allclose(out, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 0.1)
    strict = kernel.reference(array_api_strict, *map(array_api_strict.asarray, arrays)) if dtype != "float16" else None
    if strict is not None:
        np.testing.assert_allclose(np.asarray(strict), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    cost = kernel.cost(*arrays)
    assert cost.bytes >= 0 and cost.flops >= 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_in_its_tails(dtype):
    x = np.array([-np.inf, -1e30, -800, -80, -17, -0.0, 0.0, 17, 80, 800, np.inf, np.nan], dtype)
    out = kernels.load("sigmoid").cpu(x)
    with np.errstate(all="ignore"):
        expected = kernels.load("sigmoid").reference(np, x.astype(np.float64)).astype(dtype)
    np.testing.assert_allclose(out, expected, rtol=5e-7 if dtype == "float32" else 1e-14, atol=np.finfo(dtype).tiny)


def test_sigmoid_backward_refuses_different_shapes():
    with pytest.raises(ValueError, match=r"g has shape \(2,\), expected that of out, \(3,\)"):
        kernels.load("sigmoid_backward").cpu(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential_and_logarithm(dtype):
    math = importlib.import_module("tensorlite.kernels._math")
    numba = importlib.import_module("numba")

    @numba.njit
    def both(x, e, l):
        for i in range(x.size):
            e[i] = math.exp_nonpositive(x[i])
            l[i] = math.log_above_one(np.abs(x[i]) + x.dtype.type(1))

    low = -87.0 if dtype == "float32" else -707.0
    x = np.concatenate([np.linspace(low, 0, 200_003), -np.geomspace(1e-12, -low, 50_001)]).astype(dtype)
    e, l = np.empty_like(x), np.empty_like(x)
    both(x, e, l)
    for got, true in ((e, np.exp(x.astype(np.longdouble))), (l, np.log((np.abs(x) + x.dtype.type(1)).astype(np.longdouble)))):
        ulp = np.abs(got - true) / np.spacing(np.maximum(true, np.finfo(dtype).tiny).astype(dtype))
        assert float(ulp.max()) < 2.5
    x = np.array([-np.inf, -1e30, np.nan, 0.0, -0.0], dtype)
    both(x, e[:5], l[:5])
    np.testing.assert_array_equal(e[:5], [0, 0, np.nan, 1, 1])
