"""In-place methods: each is its functional operation, then :func:`tensorlite.engine.inplace.become`."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import _dtypes
from tensorlite.engine import inplace, tape
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops import activation, binary, comparison, contraction, elementwise, functions, indexing, rearrange
from tensorlite.ops.elementwise import cast_p

_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def apply(x: Any, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """``x`` becomes ``function(x, ...)``: in its own memory, cast to its dtype where that keeps the kind of number."""
    inplace.guard(x, name)
    start = tape.tick()
    out: Any = function(x, *args, **options)
    if out.shape != x.shape:
        raise ShapeError(f"{name}: the result has shape {out.shape}, which does not fit in place of {x.shape}; "
                         "write it without the in-place form")
    if out.dtype != x.dtype:
        if _RANK.get(_dtypes.kind(out.dtype), 9) > _RANK.get(_dtypes.kind(x.dtype), 9):
            raise DTypeError(f"{name}: the result has dtype {out.dtype}, which a tensor of dtype {x.dtype} cannot hold; "
                             "convert the tensor first, or write it without the in-place form")
        out = cast_p(out, dtype=x.dtype)
    return inplace.become(x, out, name, since=start)


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return apply(self, name, function, *args, **options)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{name[:-1]}`` in place; returns the tensor."
    return method


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add, "sub": elementwise.subtract, "mul": elementwise.multiply, "div": elementwise.divide,
    "pow": binary.power,
    "floor_divide": elementwise.floor_divide, "remainder": elementwise.remainder, "neg": elementwise.negative,
    "clamp": elementwise.clip, "clip": elementwise.clip, "clamp_min": elementwise.clamp_min, "clamp_max": elementwise.clamp_max,
    "lerp": binary.lerp, "relu": activation.relu, "tril": rearrange.tril, "triu": rearrange.triu,
    "masked_fill": indexing.masked_fill, "scatter": indexing.scatter, "scatter_add": indexing.scatter_add,
    "index_add": indexing.index_add, "index_copy": indexing.index_copy, "index_fill": indexing.index_fill,
    "index_put": indexing.index_put,
    **{name: getattr(functions, name) for name in (
        "abs", "sqrt", "rsqrt", "square", "reciprocal", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin",
        "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "ceil", "trunc",
        "round", "frac", "sigmoid", "logit",
        "erf", "erfc", "erfinv", "nan_to_num", "sign")},
}
METHODS: dict[str, Callable[..., Any]] = {name + "_": _method(name + "_", function) for name, function in _FUNCTIONS.items()}
METHODS["subtract_"], METHODS["multiply_"], METHODS["divide_"] = METHODS["sub_"], METHODS["mul_"], METHODS["div_"]


def addcmul(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """x + value tensor1 tensor2."""
    return elementwise.add(x, elementwise.multiply(tensor1, tensor2), alpha=value)


def addcdiv(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """x + value tensor1 / tensor2."""
    return elementwise.add(x, elementwise.divide(tensor1, tensor2), alpha=value)


METHODS["addcmul_"], METHODS["addcdiv_"] = _method("addcmul_", addcmul), _method("addcdiv_", addcdiv)


def copy_(self: Any, source: Any, non_blocking: bool = False) -> Any:
    """The values of ``source`` (a tensor, an array or a number), broadcast and cast, into this tensor;
    gradients flow to the source."""
    return indexing.write(self, source, (), (Ellipsis,), "copy_")


def fill_(self: Any, value: Any) -> Any:
    """Every element becomes ``value``."""
    if getattr(value, "ndim", 0):
        raise ShapeError(f"fill_: the value has shape {tuple(value.shape)}; expected a number or a zero-dimensional tensor")
    return indexing.write(self, value, (), (Ellipsis,), "fill_")


def zero_(self: Any) -> Any:
    """Every element becomes 0."""
    return indexing.write(self, 0, (), (Ellipsis,), "zero_")


METHODS.update(copy_=copy_, fill_=fill_, zero_=zero_)


def _operator(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return apply(self, name, function, other)
    method.__name__ = method.__qualname__ = name
    return method


METHODS.update({
    "__iadd__": _operator("+=", elementwise.add_p), "__isub__": _operator("-=", elementwise.sub_p),
    "__imul__": _operator("*=", elementwise.mul_p), "__itruediv__": _operator("/=", elementwise.div_p),
    "__ifloordiv__": _operator("//=", elementwise.floor_divide_p), "__imod__": _operator("%=", elementwise.remainder_p),
    "__ipow__": _operator("**=", binary.power), "__imatmul__": _operator("@=", contraction.matmul),
    "__iand__": _operator("&=", comparison.bit_and_p), "__ior__": _operator("|=", comparison.bit_or_p),
    "__ixor__": _operator("^=", comparison.bit_xor_p), "__ilshift__": _operator("<<=", comparison.left_p),
    "__irshift__": _operator(">>=", comparison.right_p),
})
