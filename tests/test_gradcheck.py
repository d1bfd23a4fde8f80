"""``gradcheck``: every mode, complex numbers, trees, and planted faults that each mode must find and name."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"

import tensorlite as tl
from tensorlite.engine.primitive import REGISTRY, primitive
from tensorlite.errors import DTypeError
from tensorlite.testing import GradcheckError, gradcheck, gradgradcheck

ALL = ("rev", "fwd", "double", "fwd_over_rev", "batched")
rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3))
Z = X + 1j * rng.normal(size=(2, 3))

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "elementwise": (tl.tanh, X), "two inputs": (lambda x, y: tl.sin(x) @ y, (X, X.T)),
    "number": (lambda x: x ** 3, np.array(0.7)),
    "several results": (lambda x: (tl.exp(x), [x.sum(), tl.argmax(x)]), X), "empty": (tl.exp, np.zeros((0, 2))),
    "tree": (lambda p, s: {"out": p["w"][0] @ p["w"][1] * s, "n": 3}, ({"w": [X, X.T]}, np.array(2.0))),
    "other arguments": (lambda x, axis, flag: tl.sum(x, axis=axis) if flag else x, (X, 1, True)),
    "integers": (lambda x, i: x[i], (X, np.array([1, 0, 1]))), "float32": (tl.sin, X.astype(np.float32)),
    "holomorphic": (tl.exp, Z), "not holomorphic": (lambda z: tl.conj(z) * z * tl.imag(z), Z),
    "complex to real": (lambda z: tl.abs(z) ** 2 + tl.angle(z), Z), "real to complex": (lambda x: tl.exp(1j * x) * x, X),
    "both": (lambda z, x: (z * x, tl.real(z) @ x.mT), (Z, X)), "transform": (tl.fft.fft, Z),
    "inverse": (tl.linalg.inv, Z @ Z.conj().T),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_mode(name: str) -> None:
    f, inputs = FUNCTIONS[name]
    assert gradcheck(f, inputs, modes=ALL)
    assert gradcheck(f, inputs, modes=ALL, fast_mode=True, seed=3)


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_other_devices_and_choices() -> None:
    there = tl.tensor(X, device="strict")
    assert gradcheck(lambda x: tl.sin(x) + 0 * x.sum(), there, modes=ALL)
    x, y = tl.tensor(X, requires_grad=True), tl.tensor(X)
    assert gradcheck(lambda a, b: a * tl.round(b), (x, y))   # y is not differentiated
    assert gradcheck(tl.tanh, rng.normal(size=(30, 30)))
    assert gradgradcheck(tl.tanh, X)
    assert gradcheck(tl.tanh, X, modes="fwd")


@contextmanager
def planted() -> Iterator[Any]:
    op = primitive("planted", "sin")
    op.vjp(x=lambda g, x: g * tl.cos(x))
    op.jvp(x=lambda t, x: t * tl.cos(x))
    op.pointwise = True
    try:
        yield op
    finally:
        del REGISTRY["planted"]


def message(op: Any, modes: Any, inputs: Any = X) -> str:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(op, inputs, modes=modes, seed=7, name="mine")
    return str(caught.value)


def test_a_wrong_vjp() -> None:
    with planted() as op:
        op.vjp(x=lambda g, x: tl.where(x == X[1, 2], 1.01, 1.0) * g * tl.cos(x))
        assert gradcheck(op, X, modes=("fwd",))
        text = message(op, ALL)
        for part in ("mine: the gradient with respect to input 0 (shape (2, 3))", "index (1, 2)", "analytic", "numeric",
                     "mode='rev'", "seed=7", "1 of 6 differ"):
            assert part in text


def test_a_wrong_jvp() -> None:
    with planted() as op:
        op.jvp(x=lambda t, x: t * tl.cos(x) * 1.01)
        assert gradcheck(op, X, modes=("rev",))
        assert "directional derivative of result 0 along input 0 (shape (2, 3)) differs most at index" in message(op, ALL)
        assert "mode='fwd'" in message(op, "fwd")
        text = message(lambda p: op(p["a"][1]), "fwd", [{"a": [X, X]}])
        assert "input 0['a'][1]" in text


def test_a_wrong_second_derivative() -> None:
    with planted() as op:
        op.vjp(x=lambda g, x: g * tl.stop_gradient(tl.cos(x)))
        assert gradcheck(op, X, modes=("rev", "fwd"))
        assert "second-order gradient with respect to input 0" in message(op, "double")
        text = message(op, "fwd_over_rev")
        assert "directional derivative of the gradient with respect to input 0" in text and "mode='fwd_over_rev'" in text


def test_a_wrong_batching_rule() -> None:
    with planted() as op:
        op.vjp(x=lambda g, x: scaled(g, tl.cos(x)))
        scaled = primitive("planted_product", "multiply", args="x y", elementwise=True)
        scaled.batch(lambda op, args, batched, options, size: op(tl.flip(args[0], 0), args[1]))
        try:
            text = message(op, "batched")
            assert "mine: vmap of the pullback differs for input 0 at index" in text and "seed=7" in text
        finally:
            del REGISTRY["planted_product"]


def test_a_missing_rule_names_the_operation() -> None:
    bare = primitive("planted", "sin")
    try:
        for mode in ("rev", "fwd"):
            assert "planted" in message(bare, mode) and f"mode {mode!r}" in message(bare, mode)
    finally:
        del REGISTRY["planted"]


def test_a_wrong_complex_gradient() -> None:
    class Conjugated(tl.autograd.Function):
        """PyTorch's convention, whose gradients are the conjugates of JAX's."""

        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * tl.conj(2 * ctx.saved_tensors[0])
    text = message(Conjugated.apply, "rev", Z)
    assert "(shape (2, 3)) differs most at index" in text and "part:" in text


def test_wrong_calls() -> None:
    with pytest.raises(DTypeError, match=r"modes \['sideways'\] are unknown; expected some of 'rev', 'fwd', 'double'"):
        gradcheck(tl.sin, X, modes=("rev", "sideways"))
    with pytest.raises(DTypeError, match="was given no floating input"):
        gradcheck(tl.abs, np.array([1, 2]))
    with pytest.raises(GradcheckError, match=r"no result of detached requires a gradient.*mode='rev'"):
        gradcheck(lambda x: x.detach(), X, name="detached")
    with pytest.raises(GradcheckError, match="no result of words requires a gradient"):
        gradcheck(lambda x: "abc", X, name="words", modes=("fwd",))
