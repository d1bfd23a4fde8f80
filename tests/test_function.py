"""autograd.Function: operations with gradients of one's own."""
from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.autograd import Function
from tensorlite.errors import GradError, GraphFreedError, InplaceError, NotDifferentiableError, ShapeError, VmapError
from tensorlite.func import jvp, linearize, vmap
from tensorlite.testing import gradcheck


def leaf(*values: float) -> Any:
    return tl.tensor(values[0] if len(values) == 1 else list(values), dtype=tl.float64, requires_grad=True)


class Cube(Function):
    """Saves its argument; the backward is made of operations, so it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = tl.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


class Polar(Function):
    """Two arguments, two results."""

    @staticmethod
    def forward(ctx: Any, r: Any, angle: Any) -> Any:
        ctx.save_for_backward(r, angle)
        return r * tl.cos(angle), r * tl.sin(angle)

    @staticmethod
    def backward(ctx: Any, gx: Any, gy: Any) -> Any:
        r, angle = ctx.saved_tensors
        c, s = tl.cos(angle), tl.sin(angle)
        return gx * c + gy * s, r * (gy * c - gx * s)


class Scale(Function):
    """Arguments that are no tensors."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, label: str = "") -> Any:
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.factor, None, None


class Sorted(Function):
    """The second result has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        order = tl.argsort(x)
        marks = tl.zeros_like(x)
        ctx.order, ctx.n = order, x.shape[0]
        ctx.mark_non_differentiable(marks)
        return x[order], marks, order

    @staticmethod
    def backward(ctx: Any, g: Any, *_: Any) -> Any:
        return tl.zeros_like(g)[ctx.order] + g[tl.argsort(ctx.order)]


def test_forward_backward_and_name() -> None:
    x = leaf(2.0)
    y = Cube.apply(x)
    assert y.item() == 8 and y.grad_fn.name == "CubeBackward"
    y.backward()
    assert x.grad.item() == 12


@pytest.mark.parametrize("function", [Cube, Exp])
def test_gradcheck_twice(function: Any) -> None:
    assert gradcheck(function.apply, (tl.tensor([0.5, -1.2], dtype=tl.float64),))


def test_third_order() -> None:
    x = leaf(2.0)
    g = Cube.apply(x)
    for expected in (12, 12, 6):
        (g,) = tl.autograd.grad(g, x, create_graph=True)
        assert g.item() == expected


def test_several_results_used_or_not() -> None:
    r, angle = leaf(2.0), leaf(0.5)
    x, y = Polar.apply(r, angle)
    (x + 3 * y).backward()
    assert r.grad.item() == pytest.approx(np.cos(0.5) + 3 * np.sin(0.5))
    assert angle.grad.item() == pytest.approx(2 * (3 * np.cos(0.5) - np.sin(0.5)))
    r.grad = None
    _, y = Polar.apply(r, angle)
    y.backward()
    assert r.grad.item() == pytest.approx(np.sin(0.5))
    assert gradcheck(Polar.apply, (tl.tensor([1.0, 2.0]), tl.tensor([0.3, 0.4])))


def test_arguments_that_are_no_tensors() -> None:
    x = leaf(2.0)
    Scale.apply(x, 5.0, "five").backward()
    assert x.grad.item() == 5


def test_results_without_gradient() -> None:
    x = leaf(3.0, 1.0, 2.0)
    values, marks, order = Sorted.apply(x)
    assert values.requires_grad and not marks.requires_grad and not order.requires_grad
    (values * tl.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [100, 1, 10]


def test_needs_input_grad() -> None:
    seen: list[Any] = []

    class Look(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: int, y: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, None, g
    Look.apply(leaf(1.0), 3, tl.tensor(2.0))
    assert seen == [(True, False, False)]


def test_nothing_is_recorded_inside_or_without_need() -> None:
    class Inner(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * 2
            assert not y.requires_grad
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            assert not (g * 2).requires_grad
            return g * 2
    Inner.apply(leaf(1.0)).backward()
    assert not Inner.apply(tl.ones(2)).requires_grad
    with tl.no_grad():
        assert not Inner.apply(leaf(1.0)).requires_grad


def test_identity_and_broadcasts() -> None:
    class Reverse(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return -g
    x = leaf(1.0, 2.0)
    y = Reverse.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [-1, -1]


def test_none_is_no_gradient() -> None:
    class Stop(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return None
    x = leaf(1.0)
    (Stop.apply(x) + x).backward()
    assert x.grad.item() == 1


@pytest.mark.parametrize("outside", [False, True], ids=["argument", "after NumPy looked into it"])
def test_saved_tensor_that_was_changed(outside: bool) -> None:
    x = leaf(1.0, 2.0)
    h = x * 1
    y = Cube.apply(h)
    with tl.no_grad():
        if outside:
            h.detach().numpy()[0] = 5.0
        else:
            h.mul_(2.0)
    with pytest.raises(InplaceError, match=r"backward of Cube needs its .*saved"):
        y.sum().backward()


def test_saved_result_that_was_changed() -> None:
    y = Exp.apply(leaf(1.0, 2.0))
    y.add_(1.0)
    with pytest.raises(InplaceError, match="backward of Exp"):
        y.sum().backward()


def test_memory_is_shared_with_numpy_meanwhile() -> None:
    keep = np.ones(2)
    other = tl.from_numpy(keep)
    x = leaf(1.0, 2.0)
    Cube.apply(x * other).sum().backward()   # watching shared memory must not trip over a Function's saved tensors
    assert x.grad.tolist() == [3, 12]


def test_inside_transforms() -> None:
    g = tl.grad(lambda x: Cube.apply(x))
    assert g(tl.tensor(2.0)).item() == 12
    assert tl.grad(g)(tl.tensor(2.0)).item() == 12
    assert tl.grad(tl.grad(g))(tl.tensor(2.0)).item() == 6
    first, second = tl.grad(lambda r, a: (lambda xy: xy[0] * xy[1])(Polar.apply(r, a)), (0, 1))(tl.tensor(2.0), tl.tensor(0.5))
    assert first.item() == pytest.approx(4 * np.cos(0.5) * np.sin(0.5), rel=1e-5)
    assert second.item() == pytest.approx(4 * np.cos(1.0), rel=1e-5)


def test_levels_below_use_the_rule_too() -> None:
    """Straight-through rounding in a gradient that is differentiated: (round(x) x)' = x + round(x), whose derivative is 2."""
    class Round(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return tl.round(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g
    f = lambda x: Round.apply(x) * x
    assert tl.grad(f)(tl.tensor(1.7, dtype=tl.float64)).item() == pytest.approx(3.7)
    assert tl.grad(tl.grad(f))(tl.tensor(1.7)).item() == 2
    x = leaf(1.7)
    (g,) = tl.autograd.grad(f(x), x, create_graph=True)
    assert tl.autograd.grad(g, x)[0].item() == 2
    tl.grad(f)(x).backward()   # a level above the tape
    assert x.grad.item() == 2


def test_captured_values_of_a_transform_are_refused() -> None:
    def f(x: Any) -> Any:
        class Captures(Function):
            @staticmethod
            def forward(ctx: Any, y: Any) -> Any:
                return x * y

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g
        return Captures.apply(tl.tensor(2.0))
    with pytest.raises(GradError, match=r"Captures\.forward uses a value of a running transform"):
        tl.grad(f)(tl.tensor(1.0))


def test_second_order_with_the_first_result_unused() -> None:
    r, angle = leaf(2.0), leaf(0.5)
    _, y = Polar.apply(r, angle)
    (g,) = tl.autograd.grad(y, angle, create_graph=True)
    assert tl.autograd.grad(g, r)[0].item() == pytest.approx(np.cos(0.5))


def test_inputs_that_are_not_asked_for() -> None:
    seen: list[Any] = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            seen.append(ctx.needs_input_grad)
            return g * y, g * x
    x, y = leaf(2.0), leaf(3.0)
    assert tl.autograd.grad(Product.apply(x, y), x)[0].item() == 3
    assert seen == [(True, False)]


@pytest.mark.parametrize("function", [Cube, Exp])
def test_nothing_holds_itself_and_buffers_are_freed(function: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = function.apply(x)
        held = weakref.ref(y), weakref.ref(y.value)
        del y
        assert [r() for r in held] == [None, None]
        y = function.apply(x)
        held = weakref.ref(y), weakref.ref(y.value)
        loss = y.sum()
        del y
        loss.backward()
        assert [r() for r in held] == [None, None]
        y = function.apply(x)
        y.sum().backward()
        with pytest.raises(GraphFreedError, match=f"through {function.__name__}"):
            y.sum().backward()
    finally:
        gc.enable()


def test_mistakes_are_named() -> None:
    class Few(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g
    with pytest.raises(GradError, match=r"Few\.backward returned 1 gradients; forward took 2"):
        Few.apply(leaf(1.0), leaf(2.0)).backward()
    with pytest.raises(ShapeError, match=r"Wrong.backward returned a gradient of shape \(\) for argument 0 of shape \(2,\)"):
        Wrong.apply(leaf(1.0, 2.0)).backward()
    with pytest.raises(NotImplementedError, match="static method forward"):
        Function.apply(leaf(1.0))


# ---- PyTorch's interface -------------------------------------------------------------------------------------------------

def sorting(lib: Any, asarray: Any) -> Any:
    """The sort of PyTorch's manual: forward in NumPy, setup_context, jvp, a vmap rule, arguments that are no tensors."""
    array = lambda t: t.cpu().numpy()

    class NumpySort(lib.autograd.Function):
        @staticmethod
        def forward(x: Any, dim: int) -> Any:
            order = np.argsort(array(x), axis=dim)
            back = np.argsort(order, axis=dim)
            return asarray(np.take_along_axis(array(x), order, axis=dim)), asarray(order), asarray(back)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            _, ctx.dim = inputs
            _, order, back = output
            ctx.mark_non_differentiable(order, back)
            ctx.save_for_backward(order, back)
            ctx.save_for_forward(order, back)

        @staticmethod
        def backward(ctx: Any, g: Any, _1: Any, _2: Any) -> Any:
            order, back = ctx.saved_tensors
            return NumpyTake.apply(g, back, order, ctx.dim), None

        @staticmethod
        def jvp(ctx: Any, t: Any, _: Any) -> Any:
            order, back = ctx.saved_tensors
            return NumpyTake.apply(t, order, back, ctx.dim), None, None

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any, dim: int) -> Any:
            at, _ = in_dims
            x = x.movedim(at, 0)
            return NumpySort.apply(x, dim if dim < 0 else dim + 1), (0, 0, 0)

    class NumpyTake(lib.autograd.Function):
        @staticmethod
        def forward(x: Any, order: Any, back: Any, dim: int) -> Any:
            return asarray(np.take_along_axis(array(x), array(order), axis=dim))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            _, order, back, ctx.dim = inputs
            ctx.save_for_backward(order, back)
            ctx.save_for_forward(order, back)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            order, back = ctx.saved_tensors
            return NumpyTake.apply(g, back, order, ctx.dim), None, None, None

        @staticmethod
        def jvp(ctx: Any, t: Any, _1: Any, _2: Any, _3: Any) -> Any:
            order, back = ctx.saved_tensors
            return NumpyTake.apply(t, order, back, ctx.dim)

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any, order: Any, back: Any, dim: int) -> Any:
            front = lambda t, at: t.expand(info.batch_size, *t.shape) if at is None else t.movedim(at, 0)
            x, order, back = (front(t, at) for t, at in zip((x, order, back), in_dims))
            return NumpyTake.apply(x, order, back, dim if dim < 0 else dim + 1), 0
    return lambda x: NumpySort.apply(x, -1)[0]


def sorted_everywhere(lib: Any, asarray: Any, *arrays: np.ndarray) -> list[Any]:
    f, func, (x, t, w) = sorting(lib, asarray), lib.func, map(asarray, arrays)
    loss = lambda v, w: (f(v) ** 3 * w).sum()
    leaf_ = asarray(arrays[0]).requires_grad_()
    loss(leaf_, w).backward()
    return [leaf_.grad, func.grad(loss)(x, w), func.vmap(f)(x), func.vmap(f, in_dims=1, out_dims=1)(x),
            func.vmap(func.grad(loss))(x, w), func.grad(lambda v, w: func.vmap(loss)(v, w).sum())(x, w),
            *func.jvp(lambda v: f(v) ** 3, (x,), (t,)), *func.jvp(func.grad(loss), (x, w), (t, w)),
            func.vmap(func.jacrev(f))(x), func.jvp(func.vmap(f), (x,), (t,))[1]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_manual_s_sort_as_pytorch_runs_it() -> None:
    """The same source over both libraries."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal((3, 4)) for _ in range(3)]
    mine, theirs = sorted_everywhere(tl, tl.tensor, *arrays), sorted_everywhere(torch, torch.tensor, *arrays)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


def test_materialized_gradients() -> None:
    seen: list[Any] = []

    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, materialize: bool) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            seen.append((g is None, h is None))
            return (0 if g is None else g * 2) + (0 if h is None else h * 3), None
    for materialize in (True, False):
        for k in (0, 1):
            x = leaf(1.0, 2.0)
            Pair.apply(x, materialize)[k].sum().backward()
            assert x.grad.tolist() == [k + 2.0, k + 2.0]
    assert seen == [(False, False), (False, False), (False, True), (True, False)]
    assert jvp(lambda x: Pair.apply(x, False)[1], (leaf(1.0, 2.0),), (tl.ones(2, dtype=tl.float64),))[1].tolist() == [3, 3]


def test_tangents_that_are_zero() -> None:
    seen: list[Any] = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any, n: int, materialize: bool) -> Any:
            ctx.set_materialize_grads(materialize)
            ctx.save_for_forward(x, y)
            return x * y * n

        @staticmethod
        def jvp(ctx: Any, t: Any, u: Any, *rest: Any) -> Any:
            seen.append((t is None, u is None, rest, ctx.needs_input_grad))
            x, y = ctx.saved_tensors
            return 2 * ((0 if t is None else t * y) + (0 if u is None else x * u))
    x, y, t = tl.tensor(3.0), tl.tensor(5.0), tl.tensor(1.0)
    for materialize in (True, False):
        assert jvp(lambda x: Product.apply(x, y, 2, materialize), (x,), (t,))[1].item() == 10   # noqa: B023 - called at once
        assert linearize(lambda y: Product.apply(x, y, 2, materialize), y)[1](t).item() == 6   # noqa: B023
    one, other = (True, False, False, False), (False, True, False, False)
    assert seen == [(False, False, (None, None), one), (False, False, (None, None), other),
                    (False, True, (None, None), one), (True, False, (None, None), other)]
    with pytest.raises(NotImplementedError, match="static method backward"):
        tl.grad(lambda x: Product.apply(x, y, 2, True))(x)


def test_attributes_travel_as_saved_tensors_do() -> None:
    """What PyTorch advises against works: no cycle, second derivatives, and vmap."""
    class Keep(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.y, ctx.parts, ctx.n = tl.exp(x), {"x": [x, 2.0]}, 3
            return ctx.y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            assert ctx.n == 3 and ctx.parts["x"][1] == 2.0
            return ctx.y * g + 0 * ctx.parts["x"][0]
    assert gradcheck(Keep.apply, (tl.tensor([0.5, -1.2], dtype=tl.float64),))
    x = tl.tensor([0.5, -1.2], dtype=tl.float64)
    np.testing.assert_allclose(vmap(tl.grad(tl.grad(Keep.apply)))(x).numpy(), np.exp(x.numpy()), rtol=1e-14)
    gc.collect()
    gc.disable()
    try:
        y = Keep.apply(leaf(1.0))
        held = weakref.ref(y), weakref.ref(y.value)
        del y
        assert [r() for r in held] == [None, None]
    finally:
        gc.enable()


def test_gradients_of_broadcast_arguments_are_summed() -> None:
    """As in PyTorch: a gradient of a shape that the argument broadcasts to."""
    class Add(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g
    x, y = leaf(1.0), leaf(1.0, 2.0, 3.0)
    Add.apply(x, y).sum().backward()
    assert x.grad.item() == 3 and y.grad.tolist() == [1, 1, 1]


def test_random_numbers_inside_of_vmap() -> None:
    """Once for each example, forward and backward."""
    class Noise(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            noise = tl.rand(())
            ctx.save_for_backward(noise)
            return x * noise

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]
    x = tl.ones(4)
    for randomness, count in (("different", 4), ("same", 1)):
        noisy = lambda x: vmap(Noise.apply, randomness=randomness)(x)   # noqa: B023 - called at once
        out, pullback = tl.vjp(noisy, x)
        assert len(set(out.tolist())) == count and pullback(x)[0].tolist() == out.tolist()


def test_mistakes_inside_of_transforms_are_named() -> None:
    class InNumPy(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return tl.tensor(np.sin(x.numpy()))

    class Combined(InNumPy):
        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any) -> Any:
            return tl.sin(x), info.bad if hasattr(info, "bad") else 0

    class Wrong(InNumPy):
        answer: Any = None

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any) -> Any:
            return Wrong.answer(x)

    class BadTangents(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t.sum(), t
    x = tl.tensor([0.1, 0.2])
    with pytest.raises(VmapError, match=r"InNumPy runs on a batch.*\.numpy\(\).*write a static method vmap"):
        vmap(InNumPy.apply)(x)
    np.testing.assert_allclose(vmap(InNumPy.apply, branching="group")(x).numpy(), np.sin(x.numpy()), rtol=1e-6)
    assert vmap(Combined.apply)(x).shape == (2,)
    with pytest.raises(VmapError, match=r"Combined has a vmap rule.*setup_context"):
        vmap(tl.grad(Combined.apply))(x)
    for answer, says in (
            (lambda x: x, r"Wrong\.vmap returned a .*; expected a pair"), (lambda x: (x, (0, 0)), "2 batch axes for 1 results"),
                         (lambda x: (x[:1], 0), r"result 0 of shape \(1,\) with the batch axis 0; expected 2 examples")):
        Wrong.answer = staticmethod(answer)
        with pytest.raises(VmapError, match=says):
            vmap(Wrong.apply)(x)
    with pytest.raises(GradError, match=r"BadTangents\.jvp returned 2 tangents; forward returned 1 results"):
        jvp(BadTangents.apply, (x,), (x,))
    with pytest.raises(NotDifferentiableError, match="InNumPy has no derivative; give it a static method jvp"):
        jvp(InNumPy.apply, (tl.tensor(1.0),), (tl.tensor(1.0),))

    class Dirty(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x
    with pytest.raises(GradError, match=r"mark_dirty: .* return new tensors"):
        Dirty.apply(leaf(1.0))
