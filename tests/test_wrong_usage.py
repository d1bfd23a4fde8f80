"""Wrong calls of every public function raise tensorlite's errors, which say what is wrong, never a bare one from the depths."""
from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"

import tensorlite as tl
from tensorlite.errors import DeviceError, DTypeError, OutOfRangeError, ShapeError, TensorliteError


def wrong_values() -> list[Any]:
    """Made anew for every function: some of them hand out the memory of what they are given."""
    return ["abc", None, [1, 2, "a"], [1.0, 2.0], {}, object(), tl.ones(3, 4).to("strict"), tl.ones(0), tl.tensor(1.0),
            tl.tensor([1, 2]), tl.tensor([True, False]), tl.ones(7, 5, 3), np.array(["a"]), len]


OPTIONS = {"axis", "dim", "k", "n", "shift", "repeats", "sizes", "size", "shape", "dtype", "device", "indices", "min", "max",
           "p", "ord", "reduction", "weight", "num_classes", "start_dim", "correction", "keepdims", "side", "mode", "diagonal",
           "offset", "delta", "eps"}
# what takes anything (tests of type), what is no function of arrays, and what has tests of its own
LEFT_OUT = {"is_tensor", "save", "load", "grad", "vjp", "jacrev", "value_and_grad", "stop_gradient", "jvp", "linearize", "jacfwd",
            "jacobian", "hessian", "hvp", "vmap", "config", "no_grad",
            "enable_grad", "set_grad_enabled", "is_grad_enabled", "set_default_dtype", "get_default_dtype", "manual_seed",
            "initial_seed", "get_rng_state", "set_rng_state", "Tensor", "Generator", "register_backend"}


def functions() -> Iterator[Any]:
    modules = {"tl": (tl, dir(tl)), "linalg": (tl.linalg, tl.linalg.__all__),
               "nn.functional": (tl.nn.functional, tl.nn.functional.__all__)}
    for where, (namespace, names) in modules.items():
        for name in names:
            found = getattr(namespace, name)
            module = getattr(found, "__module__", "")
            own = module.startswith("tensorlite") and module != "tensorlite._site" and not inspect.isclass(found)
            if inspect.isfunction(found) and own and name[0] != "_" and name not in LEFT_OUT:
                yield pytest.param(found, id=f"{where}.{name}")


def calls(function: Callable[..., Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    parameters = inspect.signature(function).parameters.values()
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    x = tl.ones(3, 4)
    base: list[Any] = [x] * max(len(needed), 1)
    for i in range(len(base)):
        for value in wrong_values():
            yield [*base[:i], value, *base[i + 1:]], {}
    for p in parameters:
        if p.name in OPTIONS and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p not in needed[:-1]:
            for value in ("abc", 99, -99, 1.5, [0, 0], object(), x):
                yield base[:-1] if p in needed else base, {p.name: value}
    yield [], {}
    yield base, {"foo": 1}
    yield [x] * 12, {}


@pytest.mark.parametrize("function", list(functions()))
def test_no_bare_errors(function: Callable[..., Any]) -> None:
    for args, named in calls(function):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(*args, **named)
        except TensorliteError as error:
            assert len(str(error)) > 15 and "<tensorlite" not in str(error)
            assert isinstance(error, (TypeError, ValueError, IndexError, RuntimeError))


F = tl.nn.functional
X, ELSEWHERE = tl.ones(3, 4), tl.ones(3, 4).to("strict")
TEXTS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tl.add(X), DTypeError, r"^add: missing 1 required positional argument: 'y'; it takes x, y, and by name alpha$"),
    (lambda: tl.sum(X, foo=1), DTypeError,
    r"^sum: got an unexpected keyword argument 'foo'; it takes x, axis, keepdims, and by name dtype$"),
    (lambda: tl.exp(X, X), DTypeError, r"^exp: takes 1 positional argument but 2 were given; it takes x$"),
    (lambda: tl.exp(None), DTypeError, r"^exp: x is None; expected a tensor, an array or a number$"),
    (lambda: tl.add(X, None), DTypeError, r"^add: y is None; expected a tensor, an array or a number$"),
    (lambda: tl.add(X, "a"), DTypeError,
    r"^add: y is a str; expected a tensor, an array or a number: wrap it with tensorlite.asarray$"),
    (lambda: X * [1, 2, 3, 4], DTypeError, r"^mul: y is a list; expected a tensor, an array or a number: wrap it"),
    (lambda: tl.add(X, object()), DTypeError, r"^add: y: object is no array of a known backend"),
    (lambda: tl.add(X, tl.ones(3)), ShapeError,
    r"^add: y has shape \(3,\), which does not broadcast with x of shape \(3, 4\); reshape or expand"),
    (lambda: tl.add(X, ELSEWHERE), DeviceError,
    r"^add: the arguments live in different places: x on cpu \(numpy\), y on strict .*\.to\(device\)$"),
    (lambda: tl.matmul(X, ELSEWHERE), DeviceError, r"^matmul: the arguments live in different places"),
    (lambda: tl.exp(X, out=X), DTypeError, r"^exp: out= is not taken; assign the result"),
    (lambda: tl.flip([1, 2]), DTypeError, r"^flip: x is a list; expected a tensor or an array: wrap it with tensorlite.asarray$"),
    (lambda: F.mse_loss("a", X), DTypeError, r"^mse_loss: input is a str; expected a tensor or an array"),
    (lambda: F.linear(None, X), DTypeError, r"^linear: .*None"),
    (lambda: tl.sum(X, axis=2), OutOfRangeError, r"^sum: axis = 2 is out of range for x of shape \(3, 4\); expected -2 to 1$"),
    (lambda: tl.sum(X, axis="a"), DTypeError, r"^sum: axis = 'a'; expected an integer, a tuple of integers or None$"),
    (lambda: tl.sum(X, axis=(0, 0)), ShapeError, r"^sum: axis = \(0, 0\) names the axis 0 of x twice"),
    (lambda: tl.max(tl.ones(0)), ShapeError, r"^max: x has shape \(0,\), so there is nothing to reduce"),
    (lambda: tl.max(X, X), DTypeError, r"^max: axis is an array; expected .* maximum and minimum$"),
    (lambda: tl.reshape(X, (5, 2)), ShapeError, r"^reshape: shape \(5, 2\) does not hold the 12 elements"),
    (lambda: tl.concat([X, tl.ones(2, 3)]), ShapeError, r"^concat: .*\(2, 3\)"),
    (lambda: X[5], OutOfRangeError, r"index 5 is out of (range|bounds) .*3"), (lambda: X["a"], DTypeError, r"index"),
    (lambda: X[1.5], DTypeError, r"index"),
    (lambda: X.size("a"), DTypeError, r"^size: an axis is an integer, and this is 'a'$"),
    (lambda: X.size(2), OutOfRangeError, r"^size: axis 2 is out of range for 2 axes"),
    (lambda: F.celu(X, 0.0), ShapeError, r"^celu: .*zero"), (lambda: F.group_norm(X, 0), ShapeError, r"^group_norm: "),
    (lambda: tl.tensor([[1.0], [1.0, 2.0]]), ShapeError, r"^tensor: the nested sequence is ragged"),
    (lambda: tl.tensor("abc"), DTypeError, r"^tensor: data of type str gives no numbers"),
    (lambda: tl.zeros("abc"), ShapeError, r"shape is made of integers"),
    (lambda: tl.zeros(2, dtype="abc"), DTypeError, r"'abc' is no dtype"),
    (lambda: tl.zeros(2, device="abc"), DeviceError, r"device 'abc' is unknown; there are"),
    (lambda: F.mse_loss(X, tl.ones(4)), ShapeError, r"^mse_loss: input has shape \(3, 4\) and target has shape \(4,\)"),
    (lambda: F.mse_loss(X, X, reduction="all"), ShapeError, r"^mse_loss: reduction is 'all'; expected 'mean', 'sum' or 'none'$"),
    (lambda: F.cross_entropy(X, tl.tensor([0, 1, 4])), OutOfRangeError, r"target\[2\] is 4, but there are 4 classes"),
    (lambda: F.cross_entropy(X, tl.tensor([0, 1])), ShapeError, r"target has shape \(2,\)"),
    (lambda: F.cross_entropy(X, [0, 1, 2]), DTypeError, r"^cross_entropy: target is a list; expected a tensor or an array"),
    (lambda: tl.finfo(tl.int64), ShapeError, r"^finfo: .*int64"),
    (lambda: tl.topk(X, 5), OutOfRangeError, r"^topk: k = 5, but axis -1 of x \(shape \(3, 4\)\) has 4 elements"),
    (lambda: tl.randint("a", 3, (2,)), TensorliteError, r"^randint"),
    (lambda: tl.einsum("ij,jk", X, X), ShapeError, r"^einsum"), (lambda: tl.arange("a"), TensorliteError, r"^arange"),
]


@pytest.mark.parametrize(("wrong", "kind", "text"), [pytest.param(*t, id=str(i)) for i, t in enumerate(TEXTS)])
def test_what_they_say(wrong: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        wrong()
