"""Every row of the op table on the CUDA backend, compared with the CPU: on stand-ins for CuPy, and with ``-m gpu`` on a GPU."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_device import real, stand_in
from test_optable import LAYOUTS, TOLERANCE, backward, by_row, call, cases, cast, close, flat, mapped, results, tensors

import tensorlite as tl
from tensorlite.engine.value import new


@pytest.fixture(scope="module", params=["cupy14", "cupy13", pytest.param("gpu", marks=pytest.mark.gpu)], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """``"cuda:0"``, on the stand-in or on a GPU."""
    if request.param == "gpu":
        if not real():
            pytest.skip(tl.backends()["cupy"])
        yield "cuda:0"
    else:
        with stand_in(int(request.param[4:])):
            yield "cuda:0"


@by_row
def test_forward_and_gradients(row: Any, device: str) -> None:
    if "cuda" in row.skip:
        pytest.skip(row.skip["cuda"])
    for number, case in cases(row):
        what = f"{row.name}, case {number}, {device}"
        out = call(row, case, tensors(case.args, device=device), device=device)
        for leaf in flat(out):
            assert not hasattr(leaf, "device") or str(leaf.device) == device, what
        rtol = max(row.rtol, 1e-11)
        close(results(out), results(call(row, case, tensors(case.args))), rtol, what)
        if row.grad:
            order = 2 if row.second is True else 1
            close(backward(row, case, np.copy, device=device, order=order), backward(row, case, np.copy, order=order),
                  max(row.rtol, 1e-10), what)


@by_row
def test_dtypes(row: Any, device: str) -> None:
    if "cuda" in row.skip:
        pytest.skip(row.skip["cuda"])
    backend = tl.backends.backend_for_device(device)
    for number, case in cases(row):
        for dtype in row.dtypes:
            if dtype == "bfloat16":
                if "bfloat16" not in backend.capabilities:
                    continue
                dtype = pytest.importorskip("ml_dtypes").bfloat16
            given = cast(case.args, dtype)
            out, expected = call(row, case, tensors(given, device=device), device=device), call(row, case, tensors(given))
            close(results(out), results(expected), TOLERANCE[np.dtype(dtype).name] or row.rtol,
                  f"{row.name}, case {number}, {dtype}, {device}")
            for a, b in zip(results(out), results(expected)):
                assert a.dtype == b.dtype, f"{row.name}, case {number}, {dtype}: {a.dtype} on {device}, {b.dtype} on the CPU"


@by_row
def test_layouts(row: Any, device: str) -> None:
    if "cuda" in row.skip:
        pytest.skip(row.skip["cuda"])
    backend = tl.backends.backend_for_device(device)
    for number, case in cases(row):
        plain = results(call(row, case, tensors(case.args)))
        for name in ("transposed", "reversed"):
            held = mapped(case.args, lambda a, change=LAYOUTS[name]: new(_laid_out(backend, a, change)))
            out = results(call(row, case, held, device=device))
            close(out, plain, max(row.rtol, 1e-11), f"{row.name}, case {number}, {name}")


def _laid_out(backend: Any, array: np.ndarray, change: Any) -> Any:
    """The array on the device, in memory as ``change`` lays it out."""
    there = backend.asarray(array)
    if array.ndim == 0:
        return there
    if change is LAYOUTS["transposed"]:
        return backend.cupy.ascontiguousarray(there.T).T
    return backend.cupy.ascontiguousarray(there[::-1])[::-1]
