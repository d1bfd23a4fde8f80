"""Rows 24-29 of the acceptance table (a presentation on automatic differentiation): one test a row, named by its number."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import GradError


def polynomial(x: Any) -> Any:
    return x ** 3 + 2 * x ** 2 - 5 * x + 1


def test_row_24_symbolic_numeric_automatic() -> None:
    at, h = tl.tensor(2.0, dtype=tl.float64), 0.01
    assert tl.grad(polynomial)(at).item() == 15
    assert ((polynomial(at + h) - polynomial(at)) / h).item() == pytest.approx(15.0801, abs=1e-9)
    assert ((polynomial(at + h) - polynomial(at - h)) / (2 * h)).item() == pytest.approx(15.0001, abs=1e-9)


def test_row_25_three_paths(example: Any) -> None:
    f = example("three_paths")["f"]
    y = tl.tensor(0.7, dtype=tl.float64)
    paths = tl.debug.explain(f, y)
    assert sorted(p.steps for p in paths) == [("y", "u", "a", "f"), ("y", "u", "f"), ("y", "v", "b", "f")]
    for path in paths:
        assert path.product == pytest.approx(np.prod(path.factors), rel=1e-14)
    s, c = np.sin(0.7), np.cos(0.7)
    by_hand = {("y", "u", "a", "f"): s * np.exp(s) * c, ("y", "u", "f"): np.exp(s) * c, ("y", "v", "b", "f"): 2 * c * -s}
    assert {p.steps: p.product for p in paths} == pytest.approx(by_hand, rel=1e-14)
    assert paths.gradient["y"] == pytest.approx(tl.grad(f)(y).item(), rel=1e-14)


def test_row_26_detach() -> None:
    x = tl.tensor(2.0, requires_grad=True)
    y = x * x
    u = y.detach()
    z = u * x
    assert z.item() == 8
    assert tl.autograd.grad(z, x)[0].item() == 4
    assert tl.autograd.grad(y * x, x)[0].item() == 12
    assert u.grad_fn is None and not u.requires_grad
    assert y.grad_fn.name.startswith("Mul")


def test_row_27_four_variables() -> None:
    def f(w: Any, x: Any, y: Any, z: Any) -> Any:
        a, b = (w + x + y + z) ** 2, (w + x - y - z) ** 2
        u, v = (a + b) ** 2, (a - b) ** 2
        return (u + v) ** 2
    at = [tl.tensor(v, dtype=tl.float64, requires_grad=True) for v in (0.1, 0.2, 0.3, 0.4)]
    out = f(*at)
    out.backward()
    assert out.item() == pytest.approx(4.20742, abs=5e-6)
    assert [t.grad.item() for t in at] == pytest.approx([30.71877, 30.71877, 34.91963, 34.91963], abs=5e-6)


def test_row_28_backward_of_a_vector() -> None:
    x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x ** 2
    with pytest.raises(GradError, match=r"only for a scalar, and this tensor has shape \(3,\)"):
        y.backward()
    y.backward(tl.ones(3))
    assert x.grad.tolist() == [2, 4, 6]
    assert tl.func.jacrev(lambda x: x ** 2)(x.detach()).tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]


def test_row_29_control_flow(example: Any) -> None:
    """The slide says a.grad == d / a always; in float32 that holds where a > 0, and up to the division's rounding where a < 0."""
    f = example("control_flow")["f"]
    a = tl.tensor(-0.71852928, requires_grad=True)
    f(a).backward()
    assert a.grad.item() == 204800
    tl.manual_seed(0)
    exact = {True: 0, False: 0}
    drawn = {True: 0, False: 0}
    for _ in range(1000):
        a = tl.randn(size=(), requires_grad=True)
        d = f(a)
        d.backward()
        quotient = (d / a).detach()
        assert a.grad.item() == pytest.approx(quotient.item(), rel=1e-7)
        drawn[a.item() > 0] += 1
        exact[a.item() > 0] += a.grad.item() == quotient.item()
    assert exact[True] == drawn[True] > 400
    assert 0.8 < exact[False] / drawn[False] < 0.95   # 1779 of 2023 in a longer run: .879
