"""Tensors that move between backends, and gradients that follow them back."""
from __future__ import annotations

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
    assert tl.backends()["numpy"] == "available" and "version" in tl.backends()["cupy"]
    assert tl.backends() == tl.backends.backends()
    with tl.use_backend("auto"):
        assert tl.zeros(2).device in ("cpu", "cuda")
    with tl.use_backend("strict"):
        assert tl.zeros(2).device == "strict" and tl.zeros(2, device="cpu").device == "cpu"
    assert tl.zeros(2).device == "cpu"
    with pytest.raises(tl.errors.BackendUnavailable, match="backend 'cupy' cannot be used: the CUDA backend"):
        tl.use_backend("cupy")
    with pytest.raises(tl.errors.BackendUnavailable, match="there are auto, numpy"):
        tl.use_backend("jax")
