"""Sample inputs of the public operations, for ``tensorlite certify``: name -> (function, samples, options of ``certify``)."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["SAMPLES", "Entry", "entry"]

Entry = tuple[Callable[..., Any], list[Any], dict[str, Any]]
Rng = np.random.Generator

REAL = ("sin cos tanh sinh cosh atan asinh exp expm1 exp2 sigmoid erf erfc square negative softplus log_sigmoid abs sign floor "
        "ceil trunc round isnan isfinite isinf positive deg2rad rad2deg nn.functional.relu nn.functional.gelu nn.functional.silu "
        "nn.functional.elu nn.functional.selu nn.functional.leaky_relu nn.functional.hardtanh nn.functional.mish")
UNIT = "asin acos atanh erfinv"
POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal logit:unit acosh:above"
BINARY = "add subtract multiply divide atan2 hypot logaddexp maximum minimum less greater equal not_equal copysign"
ALONG = ("sum mean max min prod var std logsumexp softmax:axis log_softmax:axis cumsum:axis cumprod:axis argmax argmin all any "
         "count_nonzero sort:axis argsort:axis norm")
SHAPES = {
    "reshape": ((6,),), "permute_dims": ((1, 0),), "expand_dims": (0,), "broadcast_to": ((4, 2, 3),), "flip": (0,), "roll": (1,),
    "tile": ((2, 1),), "repeat": (2,), "moveaxis": (0, 1), "tril": (), "triu": (), "diagonal": (), "flatten": (), "diff": (),
    "squeeze": (), "rot90": (), "clip": (-0.5, 0.5), "topk": (2,),
}


def _real(rng: Rng, *shape: int) -> Any:
    """Away from the kinks at 0 and the integers."""
    return rng.choice([-1.0, 1.0], shape) * (rng.integers(0, 2, shape) + rng.uniform(0.1, 0.4, shape))


def _positive(rng: Rng, *shape: int) -> Any:
    return rng.uniform(0.3, 2.0, shape)


def _unit(rng: Rng, *shape: int) -> Any:
    return rng.uniform(0.1, 0.8, shape)


def _square(rng: Rng, n: int = 3) -> Any:
    """Symmetric and positive definite."""
    a = rng.normal(size=(n, n))
    return a @ a.T + n * np.eye(n)


def _elementwise(make: Callable[..., Any]) -> Callable[[Rng], list[Any]]:
    return lambda rng: [(make(rng, 2, 3),), (make(rng),), (make(rng, 0, 2),)]


def _table() -> dict[str, tuple[Callable[[Rng], list[Any]], dict[str, Any]]]:
    """name -> (what makes its samples, options)."""
    found: dict[str, tuple[Callable[[Rng], list[Any]], dict[str, Any]]] = {}
    for name in REAL.split():
        found[name] = (_elementwise(_real), {})
    for name in UNIT.split():
        found[name] = (_elementwise(_unit), {})
    above: Callable[..., Any] = lambda rng, *shape: _positive(rng, *shape) + 1.5
    for word in POSITIVE.split():
        name, _, kind = word.partition(":")
        found[name] = (_elementwise({"unit": _unit, "above": above, "": _positive}[kind]), {})
    for name in BINARY.split():
        found[name] = (lambda rng: [(_real(rng, 2, 3), _real(rng, 3)), (_real(rng, 2, 1), _real(rng, 1, 3)),
                                    (_real(rng), 0.7)], {})
    for word in ALONG.split():
        name, _, needs = word.partition(":")
        found[name] = (lambda rng, needs=needs: [((_positive(rng, 3, 4),), {"axis": -1}), ((_positive(rng, 3, 4),), {"axis": 0}),   # type: ignore[misc]
                                                 *([] if needs else [(_positive(rng, 5),)])], {})
    for name, args in SHAPES.items():
        found[name] = (lambda rng, args=args: [(rng.normal(size=(2, 3)), *args)], {})   # type: ignore[misc]
    pair: Callable[[Rng], list[Any]] = lambda rng: [([rng.normal(size=(2, 3)), rng.normal(size=(2, 3))],)]
    found.update({
        "where": (lambda rng: [(np.array([True, False, True]), rng.normal(size=3), rng.normal(size=(2, 3)))], {}),
        "pow": (lambda rng: [(_positive(rng, 2, 3), _real(rng, 3)), (_real(rng, 3), 2)], {}),
        "concat": (pair, {}), "stack": (pair, {}),
        "take": (lambda rng: [((rng.normal(size=(4, 3)), np.array([2, 0, 2])), {"axis": 0})], {}),
        "index_select": (lambda rng: [(rng.normal(size=(4, 3)), 0, np.array([2, 0, 2]))], {}),
        "take_along_axis": (lambda rng: [((rng.normal(size=(4, 3)), np.array([[2, 0, 1]])), {"axis": 0})], {}),
        "matmul": (lambda rng: [(rng.normal(size=a), rng.normal(size=b)) for a, b in
                                (((2, 3), (3, 4)), ((3,), (3,)), ((5, 2, 3), (3, 2)))], {}),
        "dot": (lambda rng: [(rng.normal(size=3), rng.normal(size=3))], {}),
        "outer": (lambda rng: [(rng.normal(size=3), rng.normal(size=2))], {}),
        "einsum": (lambda rng: [("ij,jk->ik", rng.normal(size=(2, 3)), rng.normal(size=(3, 2)))], {}),
        "linalg.inv": (lambda rng: [(_square(rng),)], {"rtol": 1e-10}),
        "linalg.det": (lambda rng: [(_square(rng),)], {"rtol": 1e-10}),
        "linalg.cholesky": (lambda rng: [(_square(rng),)], {"rtol": 1e-10}),
        "linalg.solve": (lambda rng: [(_square(rng), rng.normal(size=(3, 2)))], {"rtol": 1e-10}),
        "linalg.eigvalsh": (lambda rng: [(_square(rng),)], {"rtol": 1e-10}),
        "linalg.svdvals": (lambda rng: [(rng.normal(size=(3, 4)),)], {"rtol": 1e-10}),
        "fft.fft": (lambda rng: [(rng.normal(size=6),), (rng.normal(size=4) + 1j * rng.normal(size=4),)],
                    {"dtypes": ("float32",)}),
        "nn.functional.linear": (lambda rng: [(rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=4))], {}),
        "nn.functional.layer_norm": (lambda rng: [(rng.normal(size=(2, 4)), (4,), _positive(rng, 4), rng.normal(size=4))],
                                     {"rtol": 1e-10}),
        "nn.functional.mse_loss": (lambda rng: [(rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))], {}),
        "nn.functional.cross_entropy": (lambda rng: [(rng.normal(size=(4, 3)), np.array([0, 2, 1, 1]))], {}),
        "nn.functional.embedding": (lambda rng: [(np.array([[0, 2], [1, 2]]), rng.normal(size=(3, 2)))], {}),
    })
    return found


SAMPLES = _table()


def entry(name: str, seed: int = 0) -> Entry:
    """The function of that name with its samples and options; ``KeyError`` if there are none."""
    import tensorlite
    make, options = SAMPLES[name]
    function: Any = tensorlite
    for part in name.split("."):
        function = getattr(function, part)
    return function, make(np.random.default_rng(seed)), options
