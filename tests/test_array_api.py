"""The array API standard, 2024.12: every function, its signature, its dtypes and its results, compared with array-api-strict.

Deliberate deviations, each tested at the end of this file:

- ``x.size`` is the standard's number of elements, which can also be called, as PyTorch's method: ``x.size(0)``.
- ``x.T`` reverses all axes for any number of them (NumPy's); the standard leaves all but two open.
- Promotion is NumPy's and therefore total: where the standard leaves mixed kinds open (int64 + float32) there is a result.
- Functions of floating arguments take integers too, as NumPy's do, and give float64.
- Creation functions also take their shape as several arguments, and PyTorch's argument names.
- Devices are strings, dtypes NumPy's dtype objects: any backend's tensors have the same ones.
- ``unique_values`` is sorted; ``take`` raises for indices out of range, which the standard leaves open.
- ``eigh`` and ``cholesky`` take (x + x^H) / 2 for what is not Hermitian.
- Tensors that require a gradient refuse ``__dlpack__``: the consumer would lose it (PyTorch's rule).
"""
from __future__ import annotations

import inspect
import itertools
import operator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl

strict = pytest.importorskip("array_api_strict")
strict.set_array_api_strict_flags(api_version="2024.12")

INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
ALL = ["bool", *INTS, *FLOATS, *COMPLEX]
SHAPES = [(), (0,), (3,), (2, 3), (2, 0, 3), (2, 3, 2)]
NOT_FUNCTIONS = {"ArrayAPIStrictFlags", "Device", "fft", "get_array_api_strict_flags", "reset_array_api_strict_flags",
                 "set_array_api_strict_flags", "linalg"}
NAMES = [n for n in strict.__all__ if n not in NOT_FUNCTIONS]
RNG = np.random.default_rng(0)


def sample(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.asarray(RNG.random(shape) < 0.5)
    if dtype in INTS:
        return np.asarray(RNG.integers(1, 7, size=shape)).astype(dtype)
    if dtype in COMPLEX:
        return np.asarray(RNG.uniform(0.1, 0.9, size=shape) + 1j * RNG.uniform(0.1, 0.9, size=shape)).astype(dtype)
    return np.asarray(RNG.uniform(0.1, 0.9, size=shape)).astype(dtype)


def given_to(library: Any, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return (strict if library is strict else tl).asarray(value)
    if isinstance(value, np.dtype):
        return getattr(strict, value.name) if library is strict else value
    if isinstance(value, (list, tuple)):
        return type(value)(given_to(library, v) for v in value)
    return value


def plain(out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        return [plain(o) for o in out]
    if isinstance(out, strict._array_object.Array):
        return np.asarray(out._array)
    return out.numpy() if isinstance(out, tl.Tensor) else out


def agree(got: Any, want: Any, what: str) -> None:
    got, want = plain(got), plain(want)
    if isinstance(want, list):
        assert len(got) == len(want), what
        for g, w in zip(got, want):
            agree(g, w, what)
        return
    assert type(got) is type(want), (what, got, want)
    if isinstance(want, np.ndarray):
        assert (got.dtype, got.shape) == (want.dtype, want.shape), (what, got.dtype, want.dtype, got.shape, want.shape)
        np.testing.assert_allclose(got, want, rtol=1e-5 if want.dtype.itemsize < 8 or want.dtype == "complex64" else 1e-11,
            err_msg=what)
    else:
        assert got == want, what


def check(path: str, *args: Any, **named: Any) -> bool:
    """The same call of both; False where the strict library refuses it."""
    find = operator.attrgetter(path)
    try:
        want = find(strict)(*given_to(strict, list(args)), **{k: given_to(strict, v) for k, v in named.items()})
    except (TypeError, ValueError):
        return False
    got = find(tl)(*given_to(tl, list(args)), **{k: given_to(tl, v) for k, v in named.items()})
    agree(got, want, f"{path}{args}{named}")
    return True


# ---- what is there -------------------------------------------------------------------------------------------------------------

def test_every_name_is_there() -> None:
    assert [n for n in NAMES if not hasattr(tl, n)] == []
    assert [n for n in strict.linalg.__all__ if not hasattr(tl.linalg, n)] == []
    methods = {n for n in dir(strict._array_object.Array) if n.startswith("__") or not n.startswith("_")} - {"__buffer__"}
    assert {n for n in methods if not hasattr(tl.Tensor, n)} == set()


def kinds(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def test_signatures() -> None:
    """As many positional parameters, the same names for the others, the same defaults."""
    spread = {"zeros", "ones", "empty", "reshape", "permute_dims", "tile"}   # f(x, 2, 3) and f(x, (2, 3))
    for path in [*NAMES, *(f"linalg.{n}" for n in strict.linalg.__all__)]:
        theirs = operator.attrgetter(path)(strict)
        if not callable(theirs) or isinstance(theirs, type) or not inspect.isfunction(theirs):
            continue
        want, got = kinds(theirs), kinds(operator.attrgetter(path)(tl))
        positional = [k for k, p in want.items() if p.kind is p.POSITIONAL_ONLY or p.kind is p.POSITIONAL_OR_KEYWORD]
        mine = [k for k, p in got.items() if p.kind is p.POSITIONAL_ONLY or p.kind is p.POSITIONAL_OR_KEYWORD]
        assert len(mine) >= len(positional) or path in spread, path
        for name, parameter in want.items():
            either = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and path not in spread
            if parameter.kind is parameter.KEYWORD_ONLY or either:
                assert name in got, (path, name)
                if parameter.default is not parameter.empty and "UNDEF" not in str(parameter.default):
                    assert got[name].default == parameter.default, (path, name)
    for name in ("zeros", "ones", "empty"):
        assert getattr(tl, name)(shape=(2, 3)).shape == (2, 3)
    assert tl.reshape(tl.arange(6), shape=(2, 3)).shape == (2, 3)
    assert tl.permute_dims(tl.ones((2, 3)), axes=(1, 0)).shape == (3, 2)


ONE = ["abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_invert", "ceil", "conj", "cos", "cosh", "exp", "expm1",
    "floor", "imag",
       "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10", "logical_not", "negative", "positive", "real",
       "reciprocal", "round",
       "sign", "signbit", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc"]
TWO = ["add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "copysign",
    "divide", "equal",
       "floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal", "logaddexp", "logical_and", "logical_or",
       "logical_xor",
       "maximum", "minimum", "multiply", "nextafter", "not_equal", "pow", "remainder", "subtract"]


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_array(name: str) -> None:
    done = 0
    for dtype, shape in itertools.product(ALL, SHAPES):
        x = sample(shape, dtype)
        done += check(name, np.asarray(x + np.array(1, dtype)) if name == "acosh" and dtype != "bool" else x)
    assert done >= len(SHAPES)


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_arrays(name: str) -> None:
    """Every pair of dtypes the standard promotes, broadcasting, and Python scalars on either side."""
    done = 0
    for one, two in itertools.product(ALL, ALL):
        done += check(name, sample((2, 1, 3), one), sample((4, 1), two))
    for shape in SHAPES:
        for dtype in ALL:
            x = sample(shape, dtype)
            done += check(name, x, sample(shape, dtype))
            for number in (True, 2, 0.5, 1j):
                done += check(name, x, number) + check(name, number, x)
    assert done >= len(SHAPES)
    assert not {n for n in NAMES if n in TWO} ^ set(TWO)


REDUCTIONS = ["sum", "prod", "mean", "std", "var", "max", "min", "all", "any", "count_nonzero", "argmax", "argmin"]


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    done = 0
    for dtype, shape in itertools.product(ALL, SHAPES):
        if 0 in shape and name in ("mean", "std", "var"):
            continue   # nan, with NumPy's warning from the strict library
        x = sample(shape, dtype)
        for axis in (None, 0, -1, (0, -1), ()):
            for keepdims in (False, True):
                done += check(name, x, axis=axis, keepdims=keepdims)
        if name in ("sum", "prod"):
            done += check(name, x, dtype=np.dtype("complex128"))
        if name in ("std", "var") and x.size > 1:
            done += check(name, x, correction=1.0)
    assert done > 20


CALLS: list[tuple[str, Any]] = [
    ("cumulative_sum", lambda d: ((sample((2, 3), d),), {"axis": 1})),
    ("cumulative_sum", lambda d: ((sample((3,), d),), {"include_initial": True})),
    ("cumulative_prod", lambda d: ((sample((2, 3), d),), {"axis": -2, "include_initial": True})),
    ("diff", lambda d: ((sample((2, 4), d),), {"n": 2})),
    ("diff", lambda d: ((sample((2, 4), d),), {"axis": 0, "prepend": sample((1, 4), d), "append": sample((2, 4), d)})),
    ("clip", lambda d: ((sample((2, 3), d), 2, 4), {})), ("clip", lambda d: ((sample((3,), d), sample((2, 3), d)), {})),
    ("clip", lambda d: ((sample((3,), d),), {"min": 0.25, "max": 0.5})), ("clip", lambda d: ((sample((), d),), {})),
    ("where", lambda d: ((sample((2, 3), "bool"), sample((3,), d), sample((), d)), {})),
    ("where", lambda d: ((sample((3,), "bool"), sample((3,), d), 1), {})), ("sort", lambda d: ((sample((3, 4), d),), {})),
    ("sort", lambda d: ((sample((3, 4), d),), {"axis": 0, "descending": True})),
    ("argsort", lambda d: ((sample((3, 4), d),), {"descending": True, "stable": True})),
    ("argsort", lambda d: ((sample((0,), d),), {})),
    ("searchsorted", lambda d: ((np.sort(sample((5,), d)), sample((2, 3), d)), {"side": "right"})),
    ("nonzero", lambda d: ((sample((2, 3), d) * np.array([[1, 0, 1]], d),), {})),
    ("take", lambda d: ((sample((4,), d), np.array([3, 0, 3])), {"axis": 0})),
    ("take", lambda d: ((sample((2, 4), d), np.array([3, 0])), {"axis": 1})),
    ("take_along_axis", lambda d: ((sample((2, 4), d), np.array([[3], [0]])), {"axis": 1})),
    ("unique_all", lambda d: ((sample((2, 6), d),), {})), ("unique_counts", lambda d: ((sample((2, 6), d),), {})),
    ("unique_inverse", lambda d: ((sample((2, 6), d),), {})), ("unique_values", lambda d: ((sample((0,), d),), {})),
    ("reshape", lambda d: ((sample((2, 3), d), (3, -1)), {})),
    ("reshape", lambda d: ((sample((2, 3), d), (6,)), {"copy": True})),
    ("permute_dims", lambda d: ((sample((2, 3, 4), d), (2, 0, 1)), {})),
    ("matrix_transpose", lambda d: ((sample((2, 3, 4), d),), {})),
    ("moveaxis", lambda d: ((sample((2, 3, 4), d), 0, -1), {})),
    ("moveaxis", lambda d: ((sample((2, 3, 4), d), (0, 1), (2, 0)), {})),
    ("squeeze", lambda d: ((sample((1, 3, 1), d), 0), {})), ("squeeze", lambda d: ((sample((1, 3, 1), d), (0, 2)), {})),
    ("expand_dims", lambda d: ((sample((3,), d),), {"axis": 0})),
    ("expand_dims", lambda d: ((sample((3,), d),), {"axis": -1})), ("flip", lambda d: ((sample((2, 3), d),), {})),
    ("flip", lambda d: ((sample((2, 3), d),), {"axis": -1})), ("roll", lambda d: ((sample((2, 3), d), 1), {})),
    ("roll", lambda d: ((sample((2, 3), d), (1, -1)), {"axis": (0, 1)})),
    ("tile", lambda d: ((sample((2, 3), d), (2, 1, 2)), {})), ("repeat", lambda d: ((sample((2, 3), d), 2), {"axis": 1})),
    ("repeat", lambda d: ((sample((3,), d), np.array([1, 0, 2])), {})),
    ("unstack", lambda d: ((sample((2, 3), d),), {"axis": 1})), ("broadcast_to", lambda d: ((sample((3,), d), (2, 3)), {})),
    ("broadcast_arrays", lambda d: ((sample((3,), d), sample((2, 1), d)), {})),
    ("concat", lambda d: (([sample((2, 3), d), sample((1, 3), d)],), {})),
    ("concat", lambda d: (([sample((2, 3), d), sample((), d)],), {"axis": None})),
    ("stack", lambda d: (([sample((2, 3), d)] * 2,), {"axis": -1})), ("tril", lambda d: ((sample((2, 3, 3), d),), {"k": -1})),
    ("triu", lambda d: ((sample((3, 4), d),), {"k": 1})), ("meshgrid", lambda d: ((sample((2,), d), sample((3,), d)), {})),
    ("meshgrid", lambda d: ((sample((2,), d), sample((3,), d)), {"indexing": "ij"})),
    ("matmul", lambda d: ((sample((2, 2, 3), d), sample((3, 4), d)), {})),
    ("matmul", lambda d: ((sample((3,), d), sample((3,), d)), {})),
    ("vecdot", lambda d: ((sample((2, 3), d), sample((3,), d)), {})),
    ("vecdot", lambda d: ((sample((3, 2), d), sample((3, 2), d)), {"axis": -2})),
    ("tensordot", lambda d: ((sample((2, 3, 4), d), sample((3, 4, 2), d)), {})),
    ("tensordot", lambda d: ((sample((2, 3), d), sample((4, 3), d)), {"axes": ((1,), (1,))})),
    ("tensordot", lambda d: ((sample((2,), d), sample((3,), d)), {"axes": 0})),
    ("linalg.outer", lambda d: ((sample((2,), d), sample((3,), d)), {})),
    ("linalg.diagonal", lambda d: ((sample((2, 3, 4), d),), {"offset": 1})),
    ("linalg.trace", lambda d: ((sample((2, 3, 3), d),), {})),
    ("linalg.trace", lambda d: ((sample((3, 4), d),), {"offset": -1, "dtype": np.dtype("complex128")})),
    ("linalg.matrix_norm", lambda d: ((sample((2, 3, 3), d),), {})),
    ("linalg.matrix_norm", lambda d: ((sample((3, 3), d),), {"ord": 1})),
    ("linalg.matrix_norm", lambda d: ((sample((2, 3, 3), d),), {"ord": float("inf"), "keepdims": True})),
    ("linalg.matrix_norm", lambda d: ((sample((3, 3), d),), {"ord": 2})),
    ("linalg.matrix_norm", lambda d: ((sample((2, 3, 2), d),), {"ord": "nuc", "keepdims": True})),
    ("linalg.vector_norm", lambda d: ((sample((2, 3), d),), {"axis": 1, "ord": 3})),
    ("linalg.vector_norm", lambda d: ((sample((2, 3), d),), {"keepdims": True, "ord": float("inf")})),
    ("linalg.vector_norm", lambda d: ((sample((2, 3, 2), d),), {"axis": (0, 2), "ord": 0})),
    ("zeros_like", lambda d: ((sample((2, 3), d),), {})),
    ("ones_like", lambda d: ((sample((2, 3), d),), {"dtype": np.dtype("int8")})),
    ("full_like", lambda d: ((sample((2, 3), d), 1), {})), ("asarray", lambda d: ((sample((2, 3), d),), {"copy": True})),
    ("astype", lambda d: ((sample((2, 3), d), np.dtype("float32")), {})),
    ("astype", lambda d: ((sample((2, 3), d), np.dtype("bool")), {"copy": False})),
    ("zeros", lambda d: (((2, 3),), {"dtype": np.dtype(d)})), ("ones", lambda d: ((3,), {"dtype": np.dtype(d)})),
    ("full", lambda d: (((2, 3), 1), {"dtype": np.dtype(d)})), ("arange", lambda d: ((3,), {"dtype": np.dtype(d)})),
    ("arange", lambda d: ((5, -1, -2), {"dtype": np.dtype(d)})), ("eye", lambda d: ((3, 4), {"k": -1, "dtype": np.dtype(d)})),
    ("linspace", lambda d: ((0.0, 1.0, 5), {"endpoint": False, "dtype": np.dtype(d)})),
    ("can_cast", lambda d: ((np.dtype(d), np.dtype("float64")), {})),
    ("result_type", lambda d: ((sample((2,), d), np.dtype(d)), {})),
    ("isdtype", lambda d: ((np.dtype(d), ("real floating", "signed integer")), {})),
    ("isdtype", lambda d: ((np.dtype(d), "numeric"), {})), ("isdtype", lambda d: ((np.dtype(d), np.dtype("int64")), {})),
]


@pytest.mark.parametrize(("path", "call"), [pytest.param(p, c, id=f"{p}-{i}") for i, (p, c) in enumerate(CALLS)])
def test_calls(path: str, call: Any) -> None:
    done = 0
    for dtype in ALL:
        args, named = call(dtype)
        if path == "can_cast" and dtype not in (*FLOATS, *COMPLEX):
            continue   # from one kind to another: NumPy's rules
        if path in ("can_cast", "result_type", "isdtype"):
            got = getattr(tl, path)(*given_to(tl, list(args)), **named)
            want = getattr(strict, path)(*given_to(strict, list(args)), **named)
            assert got == (np.dtype(str(want).rpartition(".")[2]) if path == "result_type" else want), (path, dtype)
            done += 1
        else:
            done += check(path, *args, **named)
    assert done


def test_default_dtypes_of_creation() -> None:
    assert tl.zeros(2).dtype == tl.ones(2).dtype == tl.eye(2).dtype == tl.linspace(0, 1, 3).dtype == tl.float32
    assert tl.arange(3).dtype == tl.full((2,), 3).dtype == tl.asarray(3).dtype == tl.int64
    assert tl.arange(3.0).dtype == tl.full((2,), 3.0).dtype == tl.asarray([3.0]).dtype == tl.float32
    assert tl.full((2,), True).dtype == tl.asarray(True).dtype == tl.bool
    assert tl.full((2,), 1j).dtype == tl.asarray(1j).dtype == tl.complex64


def test_promotion_of_dtypes() -> None:
    for one, two in itertools.product(ALL, ALL):
        try:
            want = strict.result_type(getattr(strict, one), getattr(strict, two))
        except TypeError:
            continue   # mixed kinds: NumPy's promotion
        assert tl.result_type(getattr(tl, one), getattr(tl, two)) == np.dtype(str(want).rpartition(".")[2])
    assert tl.result_type(tl.ones(2), 1.0) == tl.result_type(tl.ones(2), 1, tl.float32) == tl.float32


# ---- the array object ----------------------------------------------------------------------------------------------------------

OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift", "lt", "le",
    "gt", "ge", "eq", "ne",
             "matmul"]


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")   # by False, in both
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    apply, done = getattr(operator, name), 0
    for dtype in ALL:
        x, y = sample((3, 3), dtype), sample((3, 3), dtype)
        others: list[Any] = [y, y[0], y[:, 0]] if name == "matmul" else [y, y[0], np.asarray(y[0, 0]), True, 2, 0.5, 1j]
        for pair in [*((x, other) for other in others), *((other, x) for other in others)]:
            try:
                want = apply(*(given_to(strict, p) for p in pair))
            except TypeError:
                continue
            agree(apply(*(given_to(tl, p) for p in pair)), want, f"{name} {dtype} {pair}")
            done += 1
    assert done


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor",
        "ilshift", "irshift", "imatmul"])
def test_in_place_operators(name: str) -> None:
    """The tensor stays the same object in the same memory, with the same dtype."""
    apply, done = getattr(operator, name), 0
    for dtype in ALL:
        x, y = sample((3, 3), dtype), sample((3, 3), dtype)
        for other in (y,) if name == "imatmul" else (y, y[0], True, 2, 0.5):
            try:
                want = apply(strict.asarray(x, copy=True), given_to(strict, other))
            except TypeError:
                continue
            mine = tl.tensor(x)
            alias = mine
            view = mine[:1]
            mine = apply(mine, given_to(tl, other))
            assert mine is alias
            agree(mine, want, f"{name} {dtype}")
            agree(view, want[:1, ...], f"view after {name} {dtype}")
            done += 1
    assert done


@pytest.mark.parametrize("name", ["abs", "neg", "pos", "invert"])
def test_unary_operators(name: str) -> None:
    apply = getattr(operator, name)
    for dtype in ALL:
        x = sample((2, 3), dtype)
        try:
            want = apply(strict.asarray(x))
        except TypeError:
            continue
        agree(apply(tl.asarray(x)), want, name)


def test_numbers() -> None:
    assert bool(tl.asarray(True)) is True and bool(tl.asarray(0)) is False and bool(tl.asarray(0.5)) is True
    assert int(tl.asarray(3.7)) == 3 and float(tl.asarray(2)) == 2.0 and complex(tl.asarray(1j)) == 1j
    assert operator.index(tl.asarray(5)) == 5 and [10, 20][tl.asarray(1)] == 20 and list(range(tl.asarray(2))) == [0, 1]
    for wrong in (tl.asarray(1.0), tl.asarray(True), tl.asarray([1, 2])):
        with pytest.raises(TypeError, match="index"):
            operator.index(wrong)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tl.asarray([True, False]))
    with pytest.raises(ValueError, match=r"item: .*2 elements"):
        float(tl.asarray([1.0, 2.0]))


INDICES: list[Any] = [
    ..., 0, -1, slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1), slice(2, 0, -1), (0, 1, 2),
    (slice(None), 0, slice(None)), (0, ...), (..., 0), (slice(None), ..., 1), (None, ...), (..., None), (0, None, 1, 2),
    (slice(0, 0), ...), (slice(5, 9), ...),
    (0, ...), (..., 0), (slice(None), ..., 1), (None, ...), (..., None), (0, None, 1, 2), (slice(0, 0), ...), (slice(5, 9), ...)]


def test_indexing() -> None:
    x = sample((3, 4, 5), "float64")
    for key in INDICES:
        if not isinstance(key, tuple):
            key = (key, ...) if key is not ... else ...
        agree(tl.asarray(x)[key], np.asarray(x[key]), str(key))   # the strict library takes fewer
        mine, its = tl.tensor(x), x.copy()
        mine[key] = its[key] = 7.0
        agree(mine, its, f"write {key}")
    mask = x > 0.5
    agree(tl.asarray(x)[tl.asarray(mask)], strict.asarray(x)[strict.asarray(mask)], "mask")
    agree(tl.asarray(x)[tl.asarray(mask[:, 0, 0])], x[mask[:, 0, 0]], "mask of one axis")
    rows, columns = np.array([0, 2]), np.array([1, 3])
    agree(tl.asarray(x)[tl.asarray(rows), tl.asarray(columns), 0],
        strict.asarray(x)[strict.asarray(rows), strict.asarray(columns), 0], "arrays")
    for key in (3, (0, 0, -6), (0, 0, 0, 0), "a", 1.0, (slice(None), "b")):
        with pytest.raises((IndexError, TypeError)):
            tl.asarray(x)[key]


def test_namespace_and_inspection() -> None:
    x = tl.ones(2)
    assert x.__array_namespace__() is tl and x.__array_namespace__(api_version="2024.12") is tl
    with pytest.raises(ValueError, match=r"2024\.12"):
        x.__array_namespace__(api_version="1999.01")
    assert tl.__array_api_version__ == "2024.12"
    info = tl.__array_namespace_info__()
    assert {"boolean indexing", "data-dependent shapes", "max dimensions"} <= set(info.capabilities())
    assert info.default_device() == "cpu" and "cpu" in info.devices()
    assert set(info.default_dtypes()) == {"real floating", "complex floating", "integral", "indexing"}
    assert set(info.dtypes()) == set(ALL) and set(info.dtypes(kind="unsigned integer")) == {n for n in INTS if n[0] == "u"}
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", *FLOATS}
    assert (tl.e, tl.pi, tl.inf, tl.newaxis) == (np.e, np.pi, np.inf, None) and np.isnan(tl.nan)
    assert tl.finfo(tl.float32).eps == np.finfo(np.float32).eps and tl.iinfo(tl.int8).max == 127
    for found in (tl.finfo(tl.float64), tl.finfo(tl.ones(1)), tl.finfo(tl.complex64)):
        assert all(hasattr(found, n) for n in ("bits", "eps", "max", "min", "smallest_normal", "dtype"))


def test_attributes_and_devices() -> None:
    x = tl.ones((2, 3, 4))
    assert (x.shape, x.ndim, x.dtype, x.device) == ((2, 3, 4), 3, tl.float32, "cpu")
    assert x.mT.shape == (2, 4, 3) and tl.ones((2, 3)).T.shape == (3, 2)
    assert x.to_device("cpu") is x
    for made in (tl.zeros(2, device="cpu"), tl.asarray([1], device=x.device), tl.arange(3, device="cpu"),
            tl.zeros_like(x, device=x.device)):
        assert made.device == "cpu"
    with pytest.raises(tl.errors.DeviceError, match="unknown"):
        tl.zeros(2, device="nowhere")


def test_asarray_and_copies() -> None:
    a = np.zeros(3)
    shared, copied, free = tl.asarray(a, copy=False), tl.asarray(a, copy=True), tl.asarray(a)
    a[0] = 1
    assert shared[0] == 1 and copied[0] == 0 and free[0] == 1
    t = tl.ones(2)
    assert tl.asarray(t) is t and tl.asarray(t, copy=True) is not t and tl.asarray(t, copy=False) is t
    for wrong in (lambda: tl.asarray([1.0, 2.0], copy=False), lambda: tl.asarray(a, dtype=tl.float32, copy=False),
                  lambda: tl.asarray(t, dtype=tl.float64, copy=False)):
        with pytest.raises(ValueError, match="copy"):
            wrong()
    assert tl.astype(t, tl.float32, copy=False) is t and tl.astype(t, tl.float32) is not t
    nested = tl.asarray([[1, 2], (3, 4)], dtype=tl.float64)
    assert nested.dtype == tl.float64 and nested.shape == (2, 2)


def test_dlpack() -> None:
    a = np.arange(6.0).reshape(2, 3)
    t = tl.from_dlpack(a)
    assert t.shape == (2, 3) and t.dtype == tl.float64
    back = np.from_dlpack(t)
    np.testing.assert_array_equal(back, a)
    assert tl.from_dlpack(t).shape == (2, 3)
    agree(tl.from_dlpack(strict.asarray(a)), strict.asarray(a), "from_dlpack")
    assert t.__dlpack_device__()[0] == 1
    copied = tl.from_dlpack(a, copy=True)
    a[0, 0] = 9
    assert copied[0, 0] == 0
    with pytest.raises(TypeError, match="detach"):
        np.from_dlpack(tl.ones(2, requires_grad=True))


def test_deviations() -> None:
    x = tl.ones((2, 3))
    assert x.size == 6 and x.size() == (2, 3) and x.size(1) == 3 and x.numel() == 6
    assert tl.ones((2, 3, 4)).T.shape == (4, 3, 2)
    assert (tl.ones(2) + tl.arange(2)).dtype == tl.float64                       # float32 and int64
    assert tl.sqrt(tl.arange(3)).dtype == tl.mean(tl.arange(3)).dtype == tl.float64
    assert tl.zeros(2, 3).shape == tl.zeros((2, 3)).shape
    assert isinstance(x.device, str) and isinstance(x.dtype, np.dtype)
    assert tl.unique_values(tl.asarray([3, 1, 3])).tolist() == [1, 3]
    with pytest.raises(IndexError):
        tl.take(x, tl.asarray([5]), axis=0)
    assert tl.can_cast(tl.int8, tl.float64)                                      # NumPy's rules from one kind to another
    assert (tl.asarray([True]) + tl.asarray([True])).dtype == tl.bool            # NumPy's; the standard leaves it open
