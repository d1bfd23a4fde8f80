"""autograd.Function: operations with gradients of one's own."""
from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.autograd import Function
from tensorlite.errors import GradError, GraphFreedError, InplaceError, ShapeError
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
