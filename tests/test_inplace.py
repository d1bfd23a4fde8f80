"""Changes in place: views follow, saved values that were changed are refused with both lines named, and nothing else is."""

from __future__ import annotations

import gc
import re
import weakref
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from optable import rows
from tensorlite.engine import inplace
from tensorlite.engine.value import raw
from tensorlite.errors import DTypeError, GradError, InplaceError, ShapeError

HERE = re.escape(__file__)


def leaf(*values: float) -> Any:
    return tl.tensor(list(values), dtype=tl.float64, requires_grad=True)


def refused(out: Any, text: str = "backward of") -> str:
    with pytest.raises(InplaceError, match=text) as caught:
        out.sum().backward()
    return str(caught.value)


# ---- what was saved and then changed -----------------------------------------------------------------------------------


def test_result_saved_then_changed() -> None:
    x = leaf(1, 2)
    y = x.exp()
    y.add_(1)
    message = refused(y, "backward of exp needs its result as it was saved")
    assert re.search(rf"saved at {HERE}:\d+, but that was changed in place by add_ at {HERE}:\d+; ", message)
    saved, changed = (int(n) for n in re.findall(rf"{HERE}:(\d+)", message))
    assert changed == saved + 1


def test_argument_saved_then_set() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * 1
    z = y * w
    y[0] = 5
    assert "argument x" in refused(z, "backward of mul needs its argument x .* changed in place by setitem")


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.add_(1),
        lambda y: y.mul_(2),
        lambda y: y.zero_(),
        lambda y: y.fill_(3),
        lambda y: y.copy_(tl.ones(2)),
        lambda y: y.exp_(),
        lambda y: y.clamp_(0, 1),
        lambda y: y.relu_(),
        lambda y: y.masked_fill_(tl.tensor([True, False]), 9),
        lambda y: y.scatter_add_(0, tl.tensor([0]), tl.ones(1, dtype=tl.float64)),
        lambda y: y.__setitem__(0, 1),
        lambda y: y.__setitem__([1], 1),
        lambda y: y.__setitem__(tl.tensor([True, False]), 1),
        lambda y: y.__iadd__(1),
        lambda y: y[0].add_(1),
        lambda y: y[1:].zero_(),
        lambda y: y.reshape(2, 1).mul_(2),
        lambda y: y.detach().mul_(2),
        lambda y: y.T.sub_(1),
        lambda y: y.unbind()[0].add_(1),
        lambda y: y.split(1)[1].neg_(),
        lambda y: y.view(1, 2)[0, 0].div_(2),
        lambda y: y.squeeze().pow_(2),
        lambda y: y.flip(0).tanh_(),
    ],
    ids=range(24),
)
def test_every_change_is_seen(change: Any) -> None:
    for block in (tl.enable_grad, tl.no_grad):
        x, w = leaf(1, 2), leaf(3, 4)
        y = x * 1
        z = y * w
        with block():
            change(y)
        refused(z, "backward of mul")


def test_change_through_a_view_and_through_the_base() -> None:
    x = leaf(1, 2, 3)
    y = x * 1
    v = y[0:2]
    z = v * v
    y.mul_(2)
    refused(z, "mul_")
    y = x * 1
    v = y[0]
    z = y * y
    v.mul_(2)
    refused(z, "mul_")


# ---- through NumPy -----------------------------------------------------------------------------------------------------


def test_array_given_to_asarray() -> None:
    for make in (tl.asarray, tl.from_numpy, tl.from_dlpack):
        a = np.array([1.0, 2.0])
        t, w = make(a), leaf(3, 4)
        a[0] = 7  # before the operation: seen as the new value
        z = t * w
        assert z.tolist() == [21, 8]
        z.sum().backward()
        assert w.grad.tolist() == [7, 2]
        z = t * w
        a[0] = 0
        assert "backward of mul needs its argument x" in refused(z, rf"changed through a NumPy array .* since {HERE}:\d+")


@pytest.mark.parametrize("size", [3, 5000])
def test_numpy_view_taken_before_and_after(size: int) -> None:
    x = tl.zeros(size, dtype=tl.float64, requires_grad=True)
    y = x * 1
    early = y.detach().numpy()
    z = y.exp() * y
    early[-1] = 1
    refused(z)
    y = x * 1
    z = y * y
    late = y.detach().numpy()
    late[0] = 1
    message = refused(z, "changed through a NumPy array")
    assert len(re.findall(rf"{HERE}:\d+", message)) == 2


def test_numpy_view_taken_again_hides_nothing() -> None:
    x = leaf(1, 2)
    y = x.exp()
    y.detach().numpy()[0] = 0
    y.detach().numpy()
    refused(y, "exp")


def test_numpy_views_that_nobody_writes_to() -> None:
    x = leaf(1, 2)
    y = x.exp()
    held = y.detach().numpy()
    z = y * y
    np.asarray(y.detach())
    z.sum().backward()
    assert held.tolist() == y.tolist()


def test_exchanged_elements_are_seen() -> None:
    for size in (2, 4096):
        x = tl.arange(size, dtype=tl.float64, requires_grad=True)
        y = x * 1
        a = y.detach().numpy()
        z = y * y
        a[[0, 1]] = a[[1, 0]]
        refused(z)
        z = y * y
        a[:] = a[::-1].copy()
        refused(z)


def test_raw_array_passed_to_an_operation() -> None:
    w, a = leaf(1, 2), np.array([3.0, 4.0])
    z = w * a
    a[:] = 0
    refused(z, "the array itself, which was passed to the operation without a copy")
    index = np.array([0, 1])
    z = w[index] * 2
    index[:] = 0
    refused(z, "getitem needs its argument indices")
    mask = np.array([True, False])
    z = w[mask]
    mask[:] = True
    refused(z, "getitem")
    z = w * a
    a[0] = 0  # the same value
    z.sum().backward()


def test_writing_through_dlpack() -> None:
    x = leaf(1, 2)
    y = x * 1
    z = y * y
    np.from_dlpack(y.detach())[...]
    torch = pytest.importorskip("torch")
    torch.from_dlpack(y.detach()).zero_()
    refused(z)


# ---- what is allowed ---------------------------------------------------------------------------------------------------


def test_own_input_is_kept_as_it_was() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * 1
    y.mul_(w)  # mul saves y, and y changes: the tape keeps a copy
    y.exp_()
    y.mul_(y)
    y /= w
    (y.sum()).backward()
    e = np.exp(2 * np.array([3.0, 8.0]))
    np.testing.assert_allclose(w.grad.numpy(), 2 * np.array([1, 2]) * e / [3, 4] - e / np.array([9, 16]))
    np.testing.assert_allclose(x.grad.numpy(), 2 * e)


def test_composite_in_place() -> None:
    x = leaf(0.3, -0.2)
    for name in ("tanh_", "sigmoid_", "sin_", "sqrt_", "log1p_", "square_", "relu_", "erf_", "softmax"):
        y = x * 1 + 1
        z = (x.detach() + 1).requires_grad_()
        if name == "softmax":
            continue
        getattr(y, name)()
        getattr(z, name[:-1])().sum().backward()
        (g,) = tl.autograd.grad(y.sum(), x)
        np.testing.assert_allclose(g.numpy(), z.grad.numpy(), err_msg=name)


def test_what_no_rule_needs_may_change() -> None:
    x = leaf(1, 2)
    y = x * 1
    z = y + 1
    y.add_(5)
    w = z * 3.0
    z.zero_()
    w.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_leaves() -> None:
    x = leaf(1, 2)
    for change in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 1),
        lambda: x.zero_(),
        lambda: x[0].mul_(2),
        lambda: x.reshape(2, 1)[0].fill_(1),
        lambda: x.__imul__(2),
    ):
        with pytest.raises(GradError, match="leaf tensor that requires a gradient"):
            change()
    assert x.tolist() == [1, 2]
    with tl.no_grad():
        x.add_(1)
        x[0] = 5
        x[1:].mul_(2)
        x += 1
    assert x.tolist() == [6, 7] and x.requires_grad and x.is_leaf


def test_view_made_without_grad_still_follows() -> None:
    x, w = leaf(1, 2), leaf(3.0)
    y = x * 1
    with tl.no_grad():
        v = y[:1]
    v.mul_(w)
    y.sum().backward()
    assert x.grad.tolist() == [3, 1] and w.grad.tolist() == [1]


def test_view_made_without_grad_is_a_constant() -> None:
    x = leaf(1, 2)
    y = x * 1
    with tl.no_grad():
        v = y[:1]
    y.mul_(2)
    assert v.tolist() == [2] and not v.requires_grad


def test_training_loop_raises_nothing_and_updates_are_seen() -> None:
    w, data = leaf(1, 2), np.array([0.5, 0.25])
    before = []
    for _ in range(3):
        loss = ((w * data) ** 2).sum()
        loss.backward()
        before.append(w.tolist())
        with tl.no_grad():
            w -= 0.1 * w.grad
            w.grad.zero_()
    assert before[0] != before[1] != before[2]
    first, second = (w * w).sum(), (w * 2).sum()
    first.backward(retain_graph=True)
    with tl.no_grad():
        w.sub_(0.1)
    second.backward()  # saved nothing of w
    refused(first, "sub_")


def test_no_record_is_kept_of_memory_that_is_gone() -> None:
    gc.collect()
    known = len(inplace._memories)
    for _ in range(10):
        x = tl.asarray(np.zeros(3))
        x.add_(1)
        x.numpy()
    del x
    gc.collect()
    assert len(inplace._memories) <= known


def test_backward_pays_nothing_where_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inplace, "_shared", set())   # as if no test before had left shared memory alive
    monkeypatch.setattr(inplace, "check", lambda *_: pytest.fail("checked"))
    monkeypatch.setattr(inplace, "watch", lambda *_: pytest.fail("watched"))
    x = leaf(1, 2)
    ((x * x).exp() * x[0]).sum().backward()


# ---- views follow ------------------------------------------------------------------------------------------------------


def test_view_follows_its_base() -> None:
    x = leaf(1, 2, 3)
    y = x * 1
    v = y[0]
    y.mul_(2)
    assert v.item() == 2
    v.backward()
    assert x.grad.tolist() == [2, 0, 0]


def test_base_follows_its_view() -> None:
    x, z = leaf(1, 2, 3), leaf(10.0)
    y = x * 1
    y[0] += z[0]
    y[1:3][0] = z[0] * 3
    y.reshape(3, 1)[2].mul_(z)
    assert y.tolist() == [11, 30, 30]
    (y * tl.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 0, 30] and z.grad.tolist() == [1 + 6 + 9]


def test_filling_what_needs_no_gradient() -> None:
    x = leaf(1, 2, 3)
    out = tl.zeros(3, dtype=tl.float64)
    for k in range(3):
        out[k] = x[k] ** 2
    assert out.requires_grad
    out.sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_siblings_and_deep_views() -> None:
    x = tl.arange(12, dtype=tl.float64, requires_grad=True)
    y = (x * 1).reshape(3, 4)
    a, b, c = y[1], y[:, 1], y.T[1, 1]
    a.mul_(10)
    assert b.tolist() == [1, 50, 9] and c.item() == 50
    (g,) = tl.autograd.grad(b.sum() + c, x, retain_graph=True)
    assert g.tolist() == [0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0]
    c.zero_()
    assert a.tolist() == [40, 0, 60, 70]
    (g,) = tl.autograd.grad(a.sum(), x)
    assert g.tolist() == [0] * 4 + [10, 0, 10, 10] + [0] * 4


def test_dead_views_are_forgotten() -> None:
    y = tl.zeros(4)
    for _ in range(1000):
        y[0]
    assert len(y.extra.views) < 64
    v = y[1]
    gone = weakref.ref(v)
    del v
    assert gone() is None


def test_long_chain_of_views() -> None:
    x = leaf(1, 2)
    y = x * 1
    for _ in range(20_000):
        y = y.reshape(2)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_second_order_through_changes() -> None:
    x = leaf(0.5, 2)
    y = x * 1
    v = y[0]
    v.mul_(x[1])
    y[1] = y[0].clone() ** 2
    y.mul_(y)
    (g,) = tl.autograd.grad(y.sum(), x, create_graph=True)  # (x0 x1)^2 + (x0 x1)^4
    p = 1.0
    np.testing.assert_allclose(g.tolist(), [(2 * p + 4 * p**3) * 2, (2 * p + 4 * p**3) * 0.5])
    (h,) = tl.autograd.grad(g[0], x)
    np.testing.assert_allclose(h.tolist(), [(2 + 12) * 4, (2 + 12) * 1 + 6])


def test_inside_transforms() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        v = y[0]
        v.mul_(x[1])
        y[1] = y[0] ** 2
        out = tl.zeros_like(x)
        out = out + 0 * x
        out[0] = y.sum()
        return out.sum()

    x = tl.tensor([0.5, 2.0], dtype=tl.float64)
    np.testing.assert_allclose(tl.grad(f)(x).tolist(), [3 * 2, 3 * 0.5])
    np.testing.assert_allclose(tl.grad(lambda z: tl.grad(f)(z)[0])(x).tolist(), [2 * 4, 1 + 4 * 0.5 * 2])
    assert x.tolist() == [0.5, 2.0]

    def lost(x: Any) -> Any:
        out = tl.zeros(2)
        out[0] = x[0]
        return out.sum()

    with pytest.raises(GradError, match="belongs to a running transform"):
        tl.grad(lost)(x)


def test_diagonal_can_be_written() -> None:
    x = tl.zeros(3, 3)
    x.diagonal().fill_(2)
    assert x.tolist() == tl.multiply(tl.eye(3), 2).tolist()


# ---- values, types and shapes ------------------------------------------------------------------------------------------


def test_operators_work_in_place() -> None:
    x = tl.tensor([8.0, 6.0])
    held = x
    memory = x.value
    x += 1
    x -= tl.tensor([1.0, 0.0])
    x *= 2
    x /= np.float32(4)
    x **= 2
    x //= 3
    x %= 4
    assert held is x and x.value is memory and x.tolist() == [1, 0]


def test_scalars() -> None:
    x = tl.tensor(2.0)
    x += 1
    x.mul_(tl.tensor(2.0))
    x[...] = x + 1
    x[()] = x * 2
    assert x.item() == 14 and x.shape == ()
    s = tl.tensor(3.0, requires_grad=True)
    y = s * 1
    y.pow_(2)
    y.backward()
    assert s.grad.item() == 6


def test_result_that_does_not_fit() -> None:
    x, i = tl.zeros(2), tl.zeros(2, dtype=tl.int64)
    with pytest.raises(ShapeError, match=r"add_: the result has shape \(3, 2\), which does not fit in place of \(2,\)"):
        x.add_(tl.zeros(3, 2))
    with pytest.raises(DTypeError, match=r"add_: the result has dtype float.*, which a tensor of dtype int64 cannot hold"):
        i.add_(1.5)
    with pytest.raises(DTypeError, match="/="):
        i /= 2
    x += tl.ones(2, dtype=tl.float64)  # the same kind of number is cast, as by PyTorch and NumPy
    x += i
    assert x.dtype == tl.float32 and x.tolist() == [1, 1]
    with pytest.raises(InplaceError, match=r"mul_: the tensor's memory cannot be written"):
        tl.zeros(1).expand(3).mul_(2)
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    with pytest.raises(InplaceError, match=r"setitem.*read-only"):
        tl.asarray(frozen)[0] = 1


def test_cast_in_place_is_differentiable() -> None:
    x, w = tl.ones(2, requires_grad=True), leaf(2, 3)
    y = x * 1
    y *= w
    y.sum().backward()
    assert x.grad.dtype == tl.float32 and x.grad.tolist() == [2, 3] and w.grad.dtype == tl.float64 and w.grad.tolist() == [1, 1]


def test_torch_idioms() -> None:
    x, m = leaf(1, 2), tl.ones(2, 2)
    y = x.clone()
    y.copy_(x * 2).add_(1, alpha=2).clamp_(max=5.5)
    y.addcmul_(x, x, value=0.5)
    y.sum().backward()
    assert x.grad.tolist() == [3, 2]
    assert m.tril_().tolist() == [[1, 0], [1, 1]]
    y = x * 1
    y.copy_(3.0)
    y.fill_(x[0])
    y.sum().backward()
    assert x.grad.tolist() == [5, 2]


# ---- nothing shares memory unseen --------------------------------------------------------------------------------------


def test_gradients_own_their_memory() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    g = tl.ones(2, dtype=tl.float64)
    (a + b).backward(g)
    a.grad.mul_(5)
    assert b.grad.tolist() == [1, 1] and g.tolist() == [1, 1]
    a.grad = None
    a.sum().backward()
    a.grad.add_(1)
    assert a.grad.tolist() == [2, 2]


def test_results_share_no_memory_unless_declared() -> None:
    """An operation whose result looks into an argument's memory must say view=True, or changes in place would go unseen."""
    shared = set()
    for row in rows():
        for case in row.cases(np.random.default_rng(0)):
            given = _mapped(case.args)
            with np.errstate(all="ignore"):
                out = row.function(*given, **case.kwargs)
            for result in _flat(out):
                for t in _flat(given):
                    if (
                        isinstance(result, tl.Tensor)
                        and isinstance(t, tl.Tensor)
                        and result is not t
                        and np.shares_memory(raw(result), raw(t))
                        and (result.extra is None or result.extra.parent is None)
                    ):
                        shared.add(row.name)
    # a factor of a gradient that is multiplied by one; a change of it is seen by its memory's owner
    shared -= {"scale_rows"}
    assert not shared, "these look into an argument's memory; the operation that does it must say view=True"


def _flat(value: Any) -> list[Any]:
    return [leaf for v in value for leaf in _flat(v)] if isinstance(value, (list, tuple)) else [value]


def _mapped(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(v) for v in value) if type(value) in (list, tuple) else value
    return tl.tensor(value) if isinstance(value, np.ndarray) else value


def test_memory_is_digested_only_where_a_tape_may_hold_it() -> None:
    """The count of references that decides is of one version of Python; a wrong one costs time or, worse, a warning."""
    from tensorlite.engine import inplace
    t = tl.ones(3)
    t.numpy()
    assert inplace._memories[id(t.value)].digest is None
    w, t = tl.ones(3, requires_grad=True), tl.ones(3)
    y = w * t
    t.numpy()
    assert inplace._memories[id(t.value)].digest is not None and y.tracked
    for share in (np.asarray, np.from_dlpack):
        t = tl.ones(3)
        y = w * t
        share(t)
        assert inplace._memories[id(t.value)].digest is not None
