"""The tensor as an object: showing, copying, pickling, truth, NumPy and DLPack; and the interface's errors, by their text."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.errors import BackendUnavailable, DeviceError, DTypeError, GradError, OutOfRangeError, ShapeError, TensorliteError


def leaf(*values: float) -> Any:
    return tl.tensor(list(values), requires_grad=True)


SHOWN: list[tuple[Any, str]] = [
    (lambda t: t.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda t: t.tensor(1.5), "tensor(1.5000)"),
    (lambda t: t.tensor([1, 2]), "tensor([1, 2])"),
    (lambda t: t.tensor([True, False]), "tensor([ True, False])"),
    (lambda t: t.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda t: t.tensor([[1.0, 2.0], [3.0, 4.0]]), "tensor([[1., 2.],\n        [3., 4.]])"),
    (lambda t: t.zeros(0), "tensor([])"),
]


@pytest.mark.parametrize(("make", "text"), SHOWN, ids=[text.splitlines()[0] for _, text in SHOWN])
def test_repr_as_pytorch(make: Any, text: str) -> None:
    """Equal up to the zeros that PyTorch fills decimals with."""
    def bare(s: str) -> str:
        return s.replace("000)", ")").replace("torch.", "")
    assert bare(repr(make(tl))) == bare(text)
    torch = pytest.importorskip("torch")
    assert bare(repr(make(torch))) == bare(text)


def test_repr_says_what_is_unusual() -> None:
    assert repr(tl.tensor([1.0], dtype=tl.float64)) == "tensor([1.], dtype=float64)"
    assert repr(tl.zeros((0, 3))) == "tensor([], shape=(0, 3))"
    assert repr(leaf(1.0) * 2) == "tensor([2.], grad_fn=<MulBackward>)"
    assert "..." in repr(tl.zeros(10_000)) and len(repr(tl.zeros((100, 1000)))) < 1000
    assert f"{tl.tensor(1.23456):.2f}" == "1.23" and str(tl.tensor(2)) == "tensor(2)"
    shown: list[str] = []
    tl.grad(lambda x: shown.append(repr(x)) or x)(tl.tensor(1.0))
    assert "<level " in shown[0]


# ---- copies ----------------------------------------------------------------------------------------------------------

def test_deepcopy() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    with tl.no_grad():
        y[0] = 9.0
        y.grad[0] = 9.0
    assert x.tolist() == [1, 2] and x.grad.tolist() == [2, 4]
    assert y.is_leaf and y.requires_grad and type(y) is type(x)
    a, b = copy.deepcopy([x, x])
    assert a is b
    with pytest.raises(GradError, match=r"deepcopy: only leaves.*detach\(\)"):
        copy.deepcopy(x * 2)


def test_copy_shares_memory_and_place_on_the_tape() -> None:
    x = leaf(1.0, 2.0)
    y = copy.copy(x * 2)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]
    z = copy.copy(tl.ones(2))
    assert not z.requires_grad


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    for x in (leaf(1.0, 2.0), tl.arange(3), tl.zeros((0, 2), dtype=tl.float64), tl.tensor(True), nn.Parameter(tl.ones(2))):
        y = pickle.loads(pickle.dumps(x, protocol))
        assert type(y) is type(x) and y.requires_grad == x.requires_grad and y.dtype == x.dtype and y.shape == x.shape
        assert y.tolist() == x.tolist()
    with pytest.raises(GradError, match=r"pickle: only leaves.*detach\(\)"):
        pickle.dumps(leaf(1.0) * 2, protocol)


def test_pickle_owns_its_memory() -> None:
    x = pickle.loads(pickle.dumps(tl.ones(3)[::2]))
    x[0] = 5.0
    assert x.tolist() == [5, 1]


# ---- Python's protocols ----------------------------------------------------------------------------------------------

def test_numbers_truth_and_lengths() -> None:
    assert float(tl.tensor(1.5)) == 1.5 and int(tl.tensor([3])) == 3 and complex(tl.tensor(1.0)) == 1
    assert bool(tl.tensor([1.0])) and not tl.tensor(0)
    assert [10, 20, 30][tl.tensor(1)] == 20 and list(range(tl.tensor(2))) == [0, 1]
    assert len(tl.zeros((4, 2))) == 4 and [row.tolist() for row in tl.tensor([[1], [2]])] == [[1], [2]]
    for bad in (lambda: bool(tl.ones(2)), lambda: bool(tl.ones(0)), lambda: tl.ones(2).item()):
        with pytest.raises(ShapeError):
            bad()
    for wrong in (lambda: len(tl.tensor(1)), lambda: iter(tl.tensor(1)), lambda: [1][tl.tensor(0.0)]):
        with pytest.raises(TypeError):
            wrong()


def test_tensors_are_hashed_by_identity_and_compared_by_value() -> None:
    x = tl.ones(2)
    assert len({x, x, tl.ones(2)}) == 2
    assert (x == 1).all() and not (x != 1).any()
    assert x != None and x != "ones"  # noqa: E711


# ---- NumPy -----------------------------------------------------------------------------------------------------------

KEPT: dict[str, tuple[Any, Any]] = {
    "ufunc": (lambda x: np.sin(x).sum(), lambda a: np.cos(a)),
    "sum": (lambda x: np.sum(x * x), lambda a: 2 * a),
    "mean over an axis": (lambda x: np.mean(x, axis=0).sum(), lambda a: np.full(3, 1 / 3)),
    "concatenate": (lambda x: (np.concatenate([x, 2 * x]) ** 2).sum(), lambda a: 10 * a),
    "stack and where": (lambda x: np.stack([x, np.where(x > 2, x, 0)]).sum(), lambda a: 1.0 + (a > 2)),
    "array first": (lambda x: (np.arange(3.0) * x).sum(), lambda a: np.arange(3.0)),
    "scalar first": (lambda x: (np.float64(2.0) * x).sum(), lambda a: np.full(3, 2.0)),
    "matmul": (lambda x: np.ones(3) @ x, lambda a: np.ones(3)),
    "maximum.reduce": (lambda x: np.maximum.reduce(x), lambda a: [0, 0, 1]),
    "linalg.norm": (lambda x: np.linalg.norm(x), lambda a: a / np.linalg.norm(a)),
}


@pytest.mark.parametrize("name", KEPT)
def test_numpy_functions_keep_the_graph(name: str) -> None:
    f, gradient = KEPT[name]
    a = np.array([1.0, 2.0, 3.0])
    x = tl.tensor(a, requires_grad=True)
    out = f(x)
    assert isinstance(out, tl.Tensor)
    out.backward()
    np.testing.assert_allclose(x.grad.numpy(), gradient(a), rtol=1e-14)


def test_numpy_functions_without_a_counterpart_say_so() -> None:
    with pytest.raises(TypeError, match=r"np\.\w+ has no counterpart for tensors; use \.detach\(\)\.numpy\(\)"):
        np.unwrap(leaf(1.0, 2.0))
    with pytest.raises(TypeError, match="out= is not taken"):
        np.add(tl.ones(2), 1.0, out=np.ones(2))


def test_asarray() -> None:
    x = leaf(1.0, 2.0)
    for f in (np.asarray, np.array, lambda t: t.numpy()):
        with pytest.raises(TypeError, match=r"requires a gradient.*\.detach\(\)"):
            f(x)
    assert np.asarray(x.detach()).dtype == np.float32
    assert np.asarray(x.detach(), dtype=np.float64).dtype == np.float64
    shared, copied = np.asarray(x.detach()), np.array(x.detach(), copy=True)
    shared[0] = 9.0
    assert x.tolist() == [9, 2] and copied.tolist() == [1, 2]
    assert x.numpy(force=True).tolist() == [9, 2]


def test_from_numpy_shares_and_tensor_copies() -> None:
    a = np.zeros(2)
    shared, copied = tl.from_numpy(a), tl.tensor(a)
    a[0] = 7.0
    assert shared.tolist() == [7, 0] and copied.tolist() == [0, 0]
    assert shared.dtype == tl.float64


# ---- DLPack ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_dlpack_with_numpy(dtype: str) -> None:
    a = np.ones((3, 2), dtype=dtype)[::-1]
    t = tl.from_dlpack(a)
    assert t.shape == (3, 2) and str(t.dtype) == dtype
    back = np.from_dlpack(t)
    assert np.shares_memory(a, back)
    np.testing.assert_array_equal(back, a)


def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    ours = tl.from_dlpack(theirs.T)
    assert ours.shape == (3, 2) and ours.tolist() == theirs.T.tolist()
    theirs[0, 0] = 100.0
    assert ours[0, 0].item() == 100
    again = torch.from_dlpack(tl.arange(4, dtype=tl.float64))
    assert again.dtype == torch.float64 and again.tolist() == [0, 1, 2, 3]


def test_dlpack_refuses_a_tracked_tensor() -> None:
    with pytest.raises(TypeError, match=r"requires a gradient.*detach\(\)"):
        np.from_dlpack(leaf(1.0))


def test_array_namespace() -> None:
    xp = tl.ones(2).__array_namespace__()
    assert xp is tl and tl.ones(2).__array_namespace__(api_version="2023.12") is tl
    with pytest.raises(ValueError, match="1999"):
        tl.ones(2).__array_namespace__(api_version="1999.1")


# ---- the errors of the interface ------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[Any, type, type, str]] = {
    "integers have no gradient": (lambda: tl.tensor([1], requires_grad=True), DTypeError, TypeError, "floating.*int64"),
    "backward of no scalar": (lambda: (leaf(1.0, 2.0) * 2).backward(), GradError, RuntimeError, r"scalar.*\(2,\)"),
    "gradient of another shape": (lambda: leaf(1.0, 2.0).backward(tl.ones(3)), ShapeError, ValueError, r"\(3,\).*\(2,\)"),
    "index out of range": (lambda: tl.ones(3)[5], OutOfRangeError, IndexError, "5"),
    "array of indices": (lambda: tl.ones(3)[tl.tensor([0, 3])], OutOfRangeError, IndexError, "3"),
    "negative index": (lambda: tl.take(tl.ones(3), tl.tensor([-4]), axis=0), OutOfRangeError, IndexError, "-4"),
    "label": (lambda: nn.functional.cross_entropy(tl.ones((2, 3)), tl.tensor([0, 3])), OutOfRangeError, IndexError, "3"),
    "embedding": (lambda: nn.functional.embedding(tl.tensor([7]), tl.ones((3, 2))), OutOfRangeError, IndexError, "7"),
    "nothing requires a gradient": (lambda: tl.ones(()).backward(), GradError, RuntimeError, "not require a gradient.*detach"),
    "np.asarray of a tracked tensor": (lambda: np.asarray(leaf(1.0)), DTypeError, TypeError, "detach"),
    "shapes": (lambda: tl.ones((2, 3)) @ tl.ones((2, 3)), ShapeError, ValueError, r"matmul.*\(2, 3\)"),
    "device": (lambda: tl.ones(2, device="nowhere"), TensorliteError, ValueError, "nowhere.*cpu"),
    "axis": (lambda: tl.sum(tl.ones(2), axis=3), TensorliteError, Exception, "sum.*3"),
    "reshape": (lambda: tl.ones(6).reshape(4, 2), ShapeError, ValueError, r"reshape.*\(4, 2\).*6"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, ours, builtin, text = ERRORS[name]
    with pytest.raises(ours, match=text) as caught:
        make()
    assert isinstance(caught.value, builtin) and isinstance(caught.value, TensorliteError)


def test_mixed_backends_are_refused_and_nothing_is_copied() -> None:
    from strict_backend import backend
    here, there = tl.ones(2), tl.ones(2, device=backend.devices[0])
    with pytest.raises(DeviceError, match=rf"add: .*x on cpu .*y on {backend.devices[0]}.*\.to\(device\)"):
        here + there
    assert (here + there.to("cpu")).tolist() == [2, 2]


def test_moving_between_backends_is_differentiable() -> None:
    from strict_backend import backend
    away = backend.devices[0]
    x = leaf(1.0, 2.0)
    y = (x.to(away) * 3) ** 2
    assert y.device == away and y.to("cpu").device == "cpu" and x.to("cpu") is x
    y.sum().backward()
    assert x.grad.device == "cpu" and x.grad.tolist() == [18, 36]
    x.grad = None
    (x * y.to("cpu").detach()).sum().backward()
    assert x.grad.tolist() == [9, 36]
    assert tl.autograd.grad((x.to(away) * 3).sum().to("cpu"), x)[0].device == "cpu"


def test_cuda_without_a_gpu_says_what_to_do() -> None:
    try:
        tl.ones(2, device="cuda")
    except BackendUnavailable as error:
        assert "cuda" in str(error) and "cpu" in str(error)


def test_new_tensors_like_this_one() -> None:
    x = tl.ones(2, dtype=tl.float64)
    assert x.new_zeros(3).dtype == tl.float64 and x.new_ones((2, 2)).shape == (2, 2) and x.new_tensor([1]).dtype == tl.float64
    assert x.new_zeros(1, dtype=tl.int32).dtype == tl.int32


def test_an_expanded_tensor_is_exported_as_a_copy() -> None:
    base = tl.ones(1)
    there = np.from_dlpack(tl.broadcast_to(base, (3,)))
    assert there.tolist() == [1, 1, 1] and not np.shares_memory(there, base.numpy())


def test_the_gradient_of_backward_is_checked_before_the_graph() -> None:
    """The slide's recurrent network: nothing in it requires a gradient, and the gradient has the wrong shape besides."""
    x, h, w = tl.randn(1, 20), tl.randn(1, 20), tl.autograd.Variable(tl.randn(20, 20))
    with pytest.raises(tl.errors.ShapeError, match=r"gradient has shape \(1, 20\), but the tensor has shape \(20, 1\)"):
        (tl.mm(w, x.t()) + tl.mm(w, h.t())).tanh().backward(tl.ones(1, 20))
