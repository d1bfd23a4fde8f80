"""Wrong uses of the transforms: each gets an error that names what is wrong and what to do."""
from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.errors import DTypeError, GradError, LeakError, ShapeError, VmapError
from tensorlite.func import grad, hessian, hvp, jacfwd, jacobian, jacrev, jvp, linearize, value_and_grad, vjp, vmap


def t(value: Any) -> Any:
    return tl.tensor(value, dtype=tl.float64)


X, S = t([1.0, 2.0, 3.0]), t(2.0)
INTEGERS, NARROW = tl.tensor([1, 2, 3]), tl.ones(3, dtype=tl.float32)
total = lambda x: (x * x).sum()
product = lambda x, y: (x * y).sum()


def pullback(*cotangents: Any) -> Any:
    return vjp(tl.sin, X)[1](*cotangents)


def push(*tangents: Any) -> Any:
    return linearize(tl.sin, X)[1](*tangents)


def in_a_thread(f: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f).result()


CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # what the function returns
    "grad, None": (lambda: grad(lambda x: None)(X), GradError, "grad: the function returned a NoneType; expected a scalar"),
    "grad, str": (lambda: grad(lambda x: "a")(X), GradError, "returned a str; expected a scalar tensor"),
    "grad, tuple": (lambda: grad(lambda x: (total(x), x))(X), GradError, "returned a tuple; .* has_aux=True"),
    "grad, array": (lambda: grad(lambda x: np.ones(3))(X), GradError, "returned a ndarray; expected a scalar tensor"),
    "grad, vector": (lambda: grad(tl.sin)(X), GradError,
                     r"returned shape \(3,\); expected a scalar: reduce it, or use vjp or jacrev"),
    "grad, nothing": (lambda: grad(lambda x: x[:0])(X), GradError, r"returned shape \(0,\); expected a scalar"),
    "grad, integer": (lambda: grad(tl.argmax)(X), DTypeError, "grad: the function returned int64, which has no derivative"),
    "grad, bool": (lambda: grad(lambda x: (x > 0).all())(X), DTypeError, "returned bool, which has no derivative"),
    "grad, complex": (lambda: grad(lambda x: (1j * x).sum())(X), DTypeError, r"returned complex128; expected a real scalar"),
    "value_and_grad": (lambda: value_and_grad(tl.sin)(X), GradError, r"returned shape \(3,\)"),
    "no aux": (lambda: grad(total, has_aux=True)(X), GradError, r"has_aux .* must return a pair.* a tensor of shape \(\)"),
    "triple for aux": (lambda: vjp(lambda x: (x, x, x), X, has_aux=True), GradError, "it returned a tuple of 3"),
    "vjp, str": (lambda: vjp(lambda x: "a", X), GradError, "vjp: the function returned a str; expected tensors"),
    "jvp, str": (lambda: jvp(lambda x: ["a"], (X,), (X,)), GradError, "jvp: the function returned a str"),
    "jvp, function": (lambda: jvp(lambda x: len, (X,), (X,)), GradError, "returned a builtin_function_or_method"),
    "linearize, str": (lambda: linearize(lambda x: "a", X), GradError, "linearize: the function returned a str"),
    "vmap, str": (lambda: vmap(lambda x: "a")(X), VmapError, "vmap: the function returned a str"),
    "jacrev, integer": (lambda: jacrev(tl.argmax)(X), DTypeError, "jacrev: a result of dtype int64 cannot be differentiated"),
    "hvp, vector": (lambda: hvp(tl.sin, (X,), (X,)), GradError, r"returned shape \(3,\)"),
    # what is differentiated
    "grad of integers": (lambda: grad(lambda x: x * 1.0)(tl.tensor(3)), DTypeError,
                         r"grad: an input of dtype int64.*\.to\(tl\.float32\)"),
    "grad of a Python integer": (lambda: grad(lambda x: x * 1.0)(3), DTypeError, "an input of dtype int64"),
    "grad of a bool": (lambda: grad(lambda x: x * 1.0)(True), DTypeError, "an input of dtype bool"),
    "vjp of integers": (lambda: vjp(lambda x: x, INTEGERS), DTypeError, "vjp: an input of dtype int64"),
    "jvp of integers": (lambda: jvp(lambda x: x * 1.0, (INTEGERS,), (INTEGERS,)), DTypeError,
                        "jvp: primal 0 has dtype int64.*None"),
    "jvp of integers along floats": (lambda: jvp(product, (X, INTEGERS), (X, X)), DTypeError, "jvp: primal 1 has dtype int64"),
    "jacfwd of integers": (lambda: jacfwd(lambda x: x * 1.0)(INTEGERS), DTypeError, "jacfwd: an argument of dtype int64"),
    "hessian of integers": (lambda: hessian(lambda x: (x * 1.0).sum())(INTEGERS), DTypeError, "of dtype int64 cannot be differ"),
    "grad of a word": (lambda: grad(lambda x: 1.0)("a"), DTypeError, "data of type str gives no numbers"),
    "jvp, primals": (lambda: jvp(tl.sin, X, X), GradError,
                     "jvp: primals is a Tensor; expected a tuple with one entry for each arg"),
    "hvp, primals": (lambda: hvp(total, X, X), GradError, "hvp: primals is a Tensor; expected a tuple"),
    "hvp, a scalar": (lambda: hvp(total, S, S), GradError, "hvp: primals is a Tensor; expected a tuple"),
    "hvp, a number": (lambda: hvp(total, 3.0, 1.0), GradError, "hvp: primals is a float; expected a tuple"),
    "vmap, a thread": (lambda: vmap(lambda x: in_a_thread(lambda: x[x > 0]))(X[None]), VmapError, r"copy_context\(\)\.run"),
    # argnums
    "argnums too large": (lambda: grad(total, 1)(X), GradError, "argnums has 1, but the function was called with 1 positional"),
    "argnums too small": (lambda: grad(total, -2)(X), GradError, "argnums has -2"),
    "argnums twice": (lambda: grad(product, (0, 0))(X, X), GradError, r"argnums is \(0, 0\), which names an argument twice"),
    "argnums twice, from behind": (lambda: grad(product, (0, -2))(X, X), GradError, "names an argument twice"),
    "argnums 1.5": (lambda: grad(total, 1.5)(X), GradError, "argnums is 1.5; expected an integer, or a tuple of integers"),
    "argnums None": (lambda: grad(total, None)(X), GradError, "argnums is None; expected an integer"),
    "argnums True": (lambda: grad(product, True)(X, X), GradError, "argnums is True"),
    "argnums by name": (lambda: grad(total, "x")(X), GradError, "argnums is 'x'"),
    "argnums, jacfwd": (lambda: jacfwd(total, 2)(X), GradError, "jacfwd: argnums has 2"),
    "argnums, hessian": (lambda: hessian(product, (0, 0))(X, X), GradError, "names an argument twice"),
    "argnums by keyword": (lambda: grad(product, 1)(X, y=X), GradError, "called with 1 positional"),
    "mode": (lambda: jacobian(tl.sin, mode="backward")(X), GradError, "mode is 'backward'; expected 'auto', 'fwd' or 'rev'"),
    # tangents
    "tangents, no tuple": (lambda: jvp(tl.sin, (X,), X), GradError,
                           "jvp: tangents is a Tensor; expected a tuple with one tangent"),
    "tangent, shape": (lambda: jvp(tl.sin, (X,), (S,)), ShapeError,
                       r"tangent 0 has shape \(\), but what it belongs to .* \(3,\)"),
    "tangent, dtype": (lambda: jvp(tl.sin, (X,), (NARROW,)), DTypeError,
                       r"tangent 0 has dtype float32, but .* float64.*\.to\(dtype\)"),
    "tangent, integers": (lambda: jvp(tl.sin, (X,), (INTEGERS,)), DTypeError, "tangent 0 has dtype int64"),
    "tangent, word": (lambda: jvp(tl.sin, (X,), ("abc",)), DTypeError,
                      r"jvp: tangent 0 is a str; expected a tensor of shape \(3,\)"),
    "tangents, too few": (lambda: jvp(product, (X, X), (X,)), ShapeError,
                          r"the tangents are \(\*,\), but the primals are \(\*, \*\)"),
    "tangents, keys": (lambda: jvp(lambda p: p["a"], ({"a": X},), ({"b": X},)), ShapeError,
                       r"\(\{'b': \*\},\), but the primals are"),
    "push, shape": (lambda: push(S), ShapeError, r"linearize: tangent 0 has shape \(\)"),
    "push, dtype": (lambda: push(NARROW), DTypeError, "linearize: tangent 0 has dtype float32"),
    "push, count": (lambda: push(X, X), ShapeError, r"linearize: the tangents are \(\*, \*\)"),
    "hvp, count": (lambda: hvp(total, (X,), (X, X)), ShapeError, "they must be built alike"),
    # cotangents
    "pullback, shape": (lambda: pullback(S), ShapeError,
                        r"pullback: cotangent 0 has shape \(\), but what it belongs to has shape \(3,\)"),
    "pullback, dtype": (lambda: pullback(NARROW), DTypeError, "pullback: cotangent 0 has dtype float32"),
    "pullback, integers": (lambda: pullback(INTEGERS), DTypeError, "pullback: cotangent 0 has dtype int64"),
    "pullback, structure": (lambda: pullback({"a": X}), ShapeError, r"the cotangents are \{'a': \*\}, but the results are \*"),
    "pullback, two": (lambda: pullback(X, X), ShapeError, r"the cotangents are \(\*, \*\), but the results are \*"),
    "pullback, none": (lambda: pullback(), ShapeError, r"the cotangents are \(\), but the results are \*"),
    "pullback, word": (lambda: pullback("abc"), DTypeError, "pullback: cotangent 0 is a str"),
    # vmap
    "axes, lengths": (lambda: vmap(tl.add)(X, tl.ones(2)), VmapError,
                      r"different lengths: leaf 0 of shape \(3,\) has 3 along axis 0"),
    "axes, too large": (lambda: vmap(tl.sin, in_axes=1)(X), VmapError,
                        r"leaf 0 of the arguments the axis 1, but it has shape \(3,\)"),
    "axes, none": (lambda: vmap(tl.sin, in_axes=None)(X), VmapError, "in_axes is None for all 1 arguments"),
    "axes, structure": (lambda: vmap(tl.add, in_axes=(0, 0, 0))(X, X), VmapError, r"in_axes is \(0, 0, 0\), which does not fit"),
    "axes, type": (lambda: vmap(tl.sin, in_axes=0.5)(X), VmapError, "in_axes holds 0.5; expected integers or None"),
    "axes, number": (lambda: vmap(tl.add)(X, 2.0), VmapError, "leaf 1 of the arguments the axis 0, but it is a float"),
    "out_axes": (lambda: vmap(tl.sin, out_axes=3)(X), VmapError, "out_axes is 3 for result 0"),
    "out_axes None": (lambda: vmap(tl.sin, out_axes=None)(X), VmapError, "out_axes is None for result 0, but it differs"),
    "branch": (lambda: vmap(lambda x: x if x > 1 else -x)(X), VmapError, "branching='group'"),
    "value": (lambda: vmap(lambda x: x * float(x))(X), VmapError, "was asked for its value"),
    "NumPy": (lambda: vmap(lambda x: x.numpy())(X), VmapError, "was asked for its value"),
    "dlpack": (lambda: vmap(lambda x: np.from_dlpack(x))(X), VmapError, "was asked for its value"),
    "randomness": (lambda: vmap(lambda x: x + tl.rand(()))(X), VmapError, "draws random numbers"),
    # inside
    "backward": (lambda: grad(lambda x: total(x).backward())(X), GradError, "belongs to a transform that is running"),
    "backward, vmap": (lambda: vmap(lambda x: (x * x).backward())(X), GradError, "belongs to a transform that is running"),
    "numpy, grad": (lambda: grad(lambda x: x.numpy().sum())(X), DTypeError,
                    r"numpy: this tensor requires a gradient.*detach\(\)"),
    "asarray, grad": (lambda: grad(lambda x: np.asarray(x).sum())(X), DTypeError, "would lose it; use .detach()"),
    "numpy, jvp": (lambda: jvp(lambda x: x.numpy(), (X,), (X,)), DTypeError, "numpy: this tensor requires a gradient"),
    "asarray, jvp": (lambda: jvp(lambda x: np.asarray(x * 2), (X,), (X,)), DTypeError, "would lose it"),
    "dlpack, jvp": (lambda: jvp(lambda x: np.from_dlpack(x), (X,), (X,)), DTypeError, "cannot be exported"),
    "numpy, linearize": (lambda: linearize(lambda x: np.asarray(x * 2), X), DTypeError, "would lose it"),
    "numpy, hvp": (lambda: hvp(lambda x: np.asarray(x).sum(), (X,), (X,)), DTypeError, "would lose it"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_they_say(name: str) -> None:
    wrong, kind, text = CASES[name]
    with pytest.raises(kind, match=text):
        wrong()
    assert grad(total)(X).tolist() == [2, 4, 6]   # no level was left open


@pytest.mark.parametrize("run", [lambda f: grad(f)(X), lambda f: jvp(f, (X,), (X,)), lambda f: vmap(f)(X), lambda f: vjp(f, X)])
def test_writing_into_what_is_captured(run: Any) -> None:
    for write in (lambda into, x: into.add_(x.sum()), lambda into, x: into.__setitem__(0, x.sum())):
        captured = tl.zeros(3, dtype=tl.float64)

        def function(x: Any, write: Any = write, captured: Any = captured) -> Any:
            write(captured, x)
            return (captured * x).sum()
        with pytest.raises(GradError, match=r"belongs to a running transform .*would be lost"):
            run(function)
        assert captured.tolist() == [0, 0, 0]


def test_numbers_that_are_asked_for_are_constants() -> None:
    """float(), int() and .item() are for decisions and messages, as in PyTorch: the number has no derivative."""
    def f(x: Any) -> Any:
        return x * float(x) * int(x) * x.item()
    assert grad(f)(t(2.0)).item() == 8 and jvp(f, (t(2.0),), (t(1.0),))[1].item() == 8
    assert grad(lambda x: x * x.detach().numpy())(t(3.0)).item() == 3


# ---- leaks -------------------------------------------------------------------------------------------------------------

TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "grad": lambda f: grad(f)(X), "vjp": lambda f: vjp(f, X), "jvp": lambda f: jvp(f, (X,), (X,)),
    "linearize": lambda f: linearize(f, X), "vmap": lambda f: vmap(f)(tl.stack([X, X])), "hvp": lambda f: hvp(f, (X,), (X,)),
    "jacfwd": lambda f: jacfwd(f)(X), "jacrev": lambda f: jacrev(f)(X),
}
USES: dict[str, Callable[[Any], Any]] = {
    "operation": lambda k: k + 1, "from the right": lambda k: X * k, "reduction": lambda k: k.sum(), "index": lambda k: k[0],
    "ufunc": np.sin, "array function": lambda k: np.concatenate([k, k]), "cast": lambda k: k.to(tl.float32),
    "iteration": list, "clone": lambda k: k.clone(), "deepcopy": copy.deepcopy, "after detach": lambda k: k.detach() + 1,
    "print": str, "numpy": lambda k: k.numpy(), "asarray": np.asarray, "tolist": lambda k: k.tolist(),
    "item": lambda k: k.sum().item(), "float": lambda k: float(k[0]), "bool": lambda k: bool((k > 0).all()),
    "dlpack": np.from_dlpack, "backward": lambda k: k.backward(), "in place": lambda k: k.add_(1.0),
    "write": lambda k: k.__setitem__(0, 1.0), "written": lambda k: tl.zeros(3).__setitem__(0, k[0]),
    "in grad": lambda k: grad(lambda y: (y * k).sum())(X), "in jvp": lambda k: jvp(lambda y: y * k, (X,), (X,)),
    "in vmap": lambda k: vmap(lambda y: y * k)(X), "as primal": lambda k: grad(total)(k),
    "as tangent": lambda k: jvp(tl.sin, (X,), (k,)),
    "as cotangent": lambda k: vjp(tl.sin, X)[1](k), "stack": lambda k: tl.stack([X, k]), "where": lambda k: tl.where(X > 0, k, X),
}


def leaked(transform: str) -> Any:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 2)
        return total(x)
    TRANSFORMS[transform](f)
    return kept[0]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_leaks(transform: str, use: str) -> None:
    with pytest.raises(LeakError, match=r"a transform \(grad, jvp, vmap, \.\.\.\) that has ended.*has_aux=True"):
        USES[use](leaked(transform))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_leak_in_a_thread(transform: str) -> None:
    found: list[Exception] = []
    value = leaked(transform)

    def work() -> None:
        try:
            grad(lambda y: (y * value).sum())(X)
        except LeakError as error:
            found.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_leak_can_be_looked_at_in_a_debugger(transform: str) -> None:
    value = leaked(transform)
    assert repr(value) == "tensor(<of a transform that has ended>, dtype=float64)"
    assert value.shape == (3,) and value.dtype == tl.float64


def test_values_of_an_outer_transform_may_stay() -> None:
    """The inner transform has ended, the outer one has not: a value of the outer is no leak."""
    kept: list[Any] = []

    def outer(x: Any) -> Any:
        kept.clear()
        inner = grad(lambda y: (kept.append(x * 3), y * x)[1])(x)
        return inner * kept[0]
    assert grad(outer)(t(2.0)).item() == 12
