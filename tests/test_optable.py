"""Every row of the op table: forward, gradients of two orders, layouts, raw arrays, a second backend; every op has a row."""
from __future__ import annotations

import importlib
import os
import pkgutil
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"

import tensorlite as tl
import tensorlite.ops
from optable import Case, Row, rows
from tensorlite._state import changed
from tensorlite.engine.primitive import REGISTRY, primitive
from tensorlite.engine.value import new, raw
from tensorlite.testing import GradcheckError, gradcheck

for _module in pkgutil.iter_modules(tensorlite.ops.__path__):   # some are imported only when needed
    importlib.import_module(f"tensorlite.ops.{_module.name}")
KNOWN = dict(REGISTRY)   # before any test defines operations of its own
ROWS = rows()
SEED = int(os.environ.get("TENSORLITE_TEST_SEED", "0"))
TOLERANCE = {"float64": None, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1.5e-1}

# primitives that no row exercises, and why
EXCLUDED: dict[str, str] = {"move": "it needs two devices: tests/test_devices.py"}

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
with_gradient = pytest.mark.parametrize("row", [r for r in ROWS if r.grad], ids=lambda r: r.name)


def cases(row: Row) -> Iterator[tuple[int, Case]]:
    """The row's cases, the same in every test of one run."""
    print(f"row {row.name}, TENSORLITE_TEST_SEED={SEED}")   # pytest shows it with a failure
    for number, case in enumerate(row.cases(np.random.default_rng([SEED, zlib.crc32(row.name.encode())]))):
        args = tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in case.args)   # NumPy's sum of 0-d arrays is none
        yield number, Case(args, case.kwargs)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with every NumPy array in it changed."""
    if isinstance(value, np.ndarray):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(v, change) for v in value)
    return value


def flat(value: Any) -> list[Any]:
    """The arrays and tensors in ``value``, in order."""
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in flat(v)]
    return [value] if hasattr(value, "shape") else []


def floating(array: Any) -> bool:
    return array.dtype.kind == "f"


def cast(value: Any, dtype: Any) -> Any:
    return mapped(value, lambda a: a.astype(dtype) if floating(a) else a)


def tensors(value: Any, *, device: str = "cpu") -> Any:
    return mapped(value, lambda a: tl.tensor(a, device=device))


def host(value: Any) -> Any:
    """What a result holds, as a NumPy array."""
    value = raw(value)
    if tl.backends.of_type(type(value)) is not None:
        return tl.backends.backend_of(value).to_numpy(value)
    if type(value).__module__.startswith("torch"):
        return value.detach().numpy()
    return np.asarray(value)


def results(value: Any) -> list[Any]:
    """A result as a list of NumPy arrays."""
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in results(v)]
    return [] if value is None else [host(value)]


def call(row: Row, case: Case, args: Any, *, device: str = "cpu") -> Any:
    kwargs = {k: tensors(v, device=device) for k, v in case.kwargs.items()}
    with np.errstate(all="ignore"):
        return row.function(*args, **kwargs)


def close(got: list[Any], expected: list[Any], rtol: float, what: str) -> None:
    assert len(got) == len(expected), f"{what}: {len(got)} results, expected {len(expected)}"
    for k, (a, b) in enumerate(zip(got, expected)):
        assert a.shape == b.shape, f"{what}: result {k} has shape {a.shape}, expected {b.shape}"
        if a.dtype.kind in "biu" and b.dtype.kind in "biu":
            np.testing.assert_array_equal(a, b, err_msg=what)
            continue
        least = float(np.finfo(a.dtype).tiny) if a.dtype.kind == "f" else 1e-30   # below, digits are lost
        if a.dtype.kind != "c":
            a, b = a.astype(np.float64), b.astype(np.float64)
        size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(size) + least, err_msg=what)


# ---- forward -----------------------------------------------------------------------------------------------------------

@by_row
def test_forward(row: Row) -> None:
    for number, case in cases(row):
        for dtype in row.dtypes:
            if dtype == "bfloat16":
                dtype = pytest.importorskip("ml_dtypes").bfloat16
            given = cast(case.args, dtype)
            before = mapped(given, np.copy)
            args = tensors(given)
            out = call(row, case, args)
            with np.errstate(all="ignore"):
                expected = results(row.reference(*cast(given, np.float64), **case.kwargs))
            what = f"{row.name}, case {number}, {np.dtype(dtype)}"
            close(results(out), expected, TOLERANCE[np.dtype(dtype).name] or row.rtol, what)
            asks = "dtype" in case.kwargs or any(isinstance(a, (np.dtype, type)) for a in case.args)
            types = {a.dtype for a in flat(given) if floating(a) or a.dtype.kind == "V"}
            for o in results(out):
                if dtype not in row.dtypes and any(isinstance(a, float) for a in case.args):
                    continue   # ml_dtypes: bfloat16 with a Python number is float32
                if len(types) == 1 and len(flat(given)) == 1 and o.dtype.kind == "f" and not asks:
                    assert o.dtype in types, f"{what}: the result has dtype {o.dtype}"
            for held, old in zip(flat(args), flat(before)):
                np.testing.assert_array_equal(host(held), old, err_msg=f"{what}: an input was changed")


@by_row
def test_raw_arrays_give_raw_arrays(row: Row) -> None:
    if "raw" in row.skip:
        pytest.skip(row.skip["raw"])
    for number, case in cases(row):
        if not flat(case.args):
            continue
        with np.errstate(all="ignore"):
            out = row.function(*mapped(case.args, np.copy), **case.kwargs)
        for leaf in flat(out):
            assert type(leaf) is np.ndarray, f"{row.name}, case {number}: raw arrays gave a {type(leaf).__name__}"
        for a, b in zip(results(out), results(call(row, case, tensors(case.args))), strict=True):
            np.testing.assert_array_equal(a, b)


# ---- gradients ---------------------------------------------------------------------------------------------------------

def differentiated(row: Row, case: Case) -> tuple[list[Any], Callable[..., Any]]:
    """The arrays to differentiate with respect to, and the call as a function of them as tensors."""
    arrays = [a for i in row.grad if i < len(case.args) for a in flat(case.args[i]) if isinstance(a, np.ndarray) and floating(a)]

    def function(*given: Any) -> Any:
        device = given[0].device
        left = iter(given)

        def put(a: Any) -> Any:
            return next(left) if floating(a) else tl.tensor(a, device=device)
        args = [mapped(a, put) if i in row.grad else tensors(a, device=device) for i, a in enumerate(case.args)]
        return call(row, case, args, device=device)
    function.__name__ = row.name
    return arrays, function


@with_gradient
def test_gradients(row: Row) -> None:
    modes = ("rev", "double") if row.second is True else ("rev",)
    for number, case in cases(row):
        arrays, function = differentiated(row, case)
        if not arrays:
            continue
        function.__name__ = f"{row.name}, case {number}"
        assert gradcheck(function, arrays, modes=modes, seed=SEED)


def backward(row: Row, case: Case, change: Callable[[Any], Any], *, device: str = "cpu", order: int = 1) -> list[Any]:
    """The results and the gradients of the case with its arrays changed; of the second order too where asked for."""
    arrays, function = differentiated(row, case)
    leaves = []
    for a in arrays:
        held = change(a)
        leaf = tl.tensor(held, device=device) if device != "cpu" else new(held)   # as it lies in memory
        leaves.append(leaf.requires_grad_())
    outs = [o for o in flat(function(*leaves)) if hasattr(o, "requires_grad") and o.requires_grad]
    rng = np.random.default_rng(SEED)
    gs = [tl.tensor(rng.standard_normal(o.shape), device=device) for o in outs]
    if not outs:
        return []
    found = tl.autograd.grad(outs, leaves, gs, allow_unused=True, create_graph=order == 2)
    if order == 2:
        roots = [h for h in found if h is not None and h.requires_grad]
        if roots:
            hs = [tl.tensor(rng.standard_normal(h.shape), device=device) for h in roots]
            found = [*found, *tl.autograd.grad(roots, leaves, hs, allow_unused=True)]
    return [host(o) for o in outs] + [np.zeros(()) if g is None else host(g) for g in found]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "transposed": lambda a: np.copy(a.T).T,
    "reversed": lambda a: np.copy(a[::-1])[::-1] if a.ndim else a,
}


@by_row
def test_layouts(row: Row) -> None:
    for number, case in cases(row):
        plain = call(row, case, tensors(case.args))
        for name, change in LAYOUTS.items():
            held = mapped(case.args, lambda a, change=change: new(change(a)))
            what = f"{row.name}, case {number}, {name}"
            close(results(call(row, case, held)), results(plain), max(row.rtol, 1e-12), what)
            if row.grad and name != "reversed":
                close(backward(row, case, change), backward(row, case, np.copy), max(row.rtol, 1e-11), what)


# ---- a second backend --------------------------------------------------------------------------------------------------

# its dtypes have the hashes of NumPy's and meet them in dictionaries
@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
@by_row
def test_strict_backend(row: Row) -> None:
    if "strict" in row.skip:
        pytest.skip(row.skip["strict"])
    for number, case in cases(row):
        what = f"{row.name}, case {number}, strict"
        out = call(row, case, tensors(case.args, device="strict"), device="strict")
        for leaf in flat(out):
            assert not hasattr(leaf, "device") or leaf.device == "strict", what
        rtol = max(row.rtol, 1e-11)
        close(results(out), results(call(row, case, tensors(case.args))), rtol, what)
        if row.grad:
            close(backward(row, case, np.copy, device="strict"), backward(row, case, np.copy), rtol, what)


# ---- the table and the checker -----------------------------------------------------------------------------------------

def test_every_primitive_is_exercised() -> None:
    ran: set[str] = set()

    def observe(op: Any, implementation: Any) -> Any:
        ran.add(op.name)
        return implementation

    everything: set[str] = set()
    with changed(observer=observe):
        for row in ROWS:
            ran.clear()
            for _, case in cases(row):
                call(row, case, tensors(case.args))
                if row.grad:
                    backward(row, case, np.copy)
                    if row.second is True:
                        backward(row, case, np.copy, order=2)
            absent = set(row.covers) - ran
            assert not absent, f"row {row.name} says that it covers {sorted(absent)}, which it never ran"
            everything |= ran
    missing = set(KNOWN) - everything - set(EXCLUDED)
    assert not missing, f"no row exercises {sorted(missing)}: add a row to tests/optable/, or a reason to EXCLUDED"
    stale = set(EXCLUDED) & everything
    assert not stale, f"{sorted(stale)} are exercised: take them out of EXCLUDED"


def test_names_are_unique() -> None:
    names = [r.name for r in ROWS]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)


def test_elementwise_rows_broadcast() -> None:
    for row in ROWS:
        pairs = [KNOWN[n] for n in row.covers if n in KNOWN and KNOWN[n].elementwise]
        if pairs and all(len(c.args) > 1 for _, c in cases(row)):
            shapes = [{np.shape(a) for a in c.args if np.ndim(a) or isinstance(a, np.ndarray)} for _, c in cases(row)]
            assert any(len(s) > 1 for s in shapes), f"{row.name}: no case broadcasts"


@pytest.mark.parametrize("factor", [1.001 * 1.01, -1.0, 0.0])
def test_a_wrong_rule_is_found(factor: float) -> None:
    wrong = primitive("planted", "sin")
    try:
        wrong.deriv(x=lambda g: tl.multiply(g, factor))   # of cos at 0.5 nothing is left
        with pytest.raises(GradcheckError, match=r"planted: the gradient .* input 0 .* analytic .* numeric .* seed=7"):
            gradcheck(wrong, [np.array([0.5, 2.5])], modes=("rev",), seed=7)
    finally:
        del REGISTRY["planted"]


def test_a_wrong_second_order_rule_is_found() -> None:
    wrong = primitive("planted", "sin")
    try:
        wrong.deriv(x=lambda g, x: tl.multiply(g, np.cos(raw(x))))   # cuts the tape
        assert gradcheck(wrong, [np.array([0.5, 2.5])], modes=("rev",))
        with pytest.raises(GradcheckError, match="second-order"):
            gradcheck(wrong, [np.array([0.5, 2.5])])
    finally:
        del REGISTRY["planted"]
