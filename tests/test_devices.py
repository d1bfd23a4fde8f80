"""Tensors that move between backends, and gradients that follow them back."""
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from strict_backend import backend as strict

import tensorlite as tl

# its dtypes meet NumPy's
pytestmark = pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")


def test_to_another_backend_and_back() -> None:
    x = tl.tensor([1.0, 2.0])
    there = x.to("strict")
    assert there.device == "strict" and type(there.value) is strict.array_type
    assert there.to("cpu").tolist() == [1.0, 2.0] and type(there.to("cpu").value) is np.ndarray


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_of_a_leaf_is_where_the_leaf_is(create_graph: bool) -> None:
    here, there = tl.tensor([1.0, 2.0], requires_grad=True), tl.tensor([3.0, 4.0], device="strict", requires_grad=True)
    loss = (here.to("strict") * there).sum()
    for device, g in zip(("cpu", "strict"), tl.autograd.grad(loss, [here, there], retain_graph=True, create_graph=create_graph)):
        assert g.device == device
    loss.backward(create_graph=create_graph)
    assert (here.grad.device, there.grad.device) == ("cpu", "strict")
    assert here.grad.tolist() == [3.0, 4.0] and there.grad.tolist() == [1.0, 2.0]


def test_backends_are_listed_and_chosen() -> None:
    assert tl.backends()["numpy"] == "available" and ("available" in tl.backends()["cupy"] or "CuPy" in tl.backends()["cupy"])
    assert tl.backends() == tl.backends.backends()
    with tl.use_backend("auto"):
        assert tl.zeros(2).device in ("cpu", "cuda")
    with tl.use_backend("strict"):
        assert tl.zeros(2).device == "strict" and tl.zeros(2, device="cpu").device == "cpu"
    assert tl.zeros(2).device == "cpu"
    with pytest.raises(tl.errors.BackendUnavailable, match="there are auto, numpy"):
        tl.use_backend("jax")


# ---- machines without a GPU --------------------------------------------------------------------------------------------

def in_a_new_process(code: str, *, hidden: str = "") -> str:
    """What a program prints in which the modules ``hidden`` cannot be imported."""
    block = f"import sys\nfor name in {hidden.split()!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", block + code], check=True, capture_output=True, text=True).stdout


def test_without_cupy_the_error_says_how_to_get_it() -> None:
    code = """
import tensorlite as tl
for use in (lambda: tl.zeros(2, device="cuda"), lambda: tl.zeros(2).cuda(), lambda: tl.nn.Linear(2, 2).to("cuda:0"),
            lambda: tl.use_backend("cupy"), tl.cuda.synchronize):
    try:
        use()
    except tl.errors.BackendUnavailable as error:
        assert "CUDA needs CuPy, which is not installed" in str(error), error
        assert 'pip install "tensorlite[cuda12]"' in str(error) and '"tensorlite[cuda13]" for CUDA 13' in str(error), error
    else:
        raise SystemExit("no error")
assert not tl.cuda.is_available() and tl.cuda.device_count() == 0
with tl.use_backend("auto"):
    print(tl.zeros(2).device)
"""
    assert in_a_new_process(code, hidden="cupy").split() == ["cpu"]


def test_nothing_touches_cuda_unless_it_is_asked_for() -> None:
    code = """
import tensorlite as tl
model = tl.nn.Sequential(tl.nn.Linear(4, 3), tl.nn.ReLU(), tl.nn.Linear(3, 2))
optimizer = tl.optim.Adam(model.parameters())
tl.nn.functional.cross_entropy(model(tl.randn(5, 4)), tl.tensor([0, 1, 0, 1, 1])).backward()
optimizer.step()
from tensorlite import cli, data, kernels, models, train
kernels.load_all()
print([name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupy_backends", "cuda", "numba_cuda")])
"""
    assert in_a_new_process(code).split() == ["[]"]


def test_a_device_that_is_not_there() -> None:
    assert tl.zeros(2, device="cpu:0").device == "cpu"
    for make in (lambda: tl.zeros(2, device="cpu:1"), lambda: tl.zeros(2).to("cpu:1"), lambda: tl.tensor([1.0], device="cpu:1")):
        with pytest.raises(tl.errors.DeviceError, match="device 'cpu:1' does not exist; there is one cpu device: 'cpu'"):
            make()
