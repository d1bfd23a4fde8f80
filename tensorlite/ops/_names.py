"""The names PyTorch users know: ``dim``, ``keepdim``, ``input``, ``other`` are taken beside the array API standard's.

And the last word on errors: what Python itself says of a wrong call becomes an error that names the function and its arguments.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, NoReturn, ParamSpec, TypeVar

from tensorlite.errors import DTypeError, OutOfRangeError, ShapeError, TensorliteError

P = ParamSpec("P")
R = TypeVar("R")

_STANDARD = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "axes": "axis"}
_ARRAYS = {"x", "x1", "input", "input1", "condition", "query", "tensor"}   # what functions call a first argument that is one
_SECOND = ("other", "y", "x2", "mat2", "vec2", "vec", "exponent")


def torch_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function take PyTorch's argument names too. Calls without keywords pay one empty test for it."""
    return _named(function, {})


def torch_aliases(**also: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """``torch_names`` with further names of this one function: ``torch_aliases(source="src")`` takes ``source=`` for ``src``."""
    return lambda function: _named(function, also)


def _named(function: Callable[P, R], also: dict[str, str]) -> Callable[P, R]:
    code = function.__code__
    count = code.co_argcount
    positional = code.co_varnames[:count]
    takes = set(code.co_varnames[:count + code.co_kwonlyargcount])

    def call(*args: Any, **named: Any) -> Any:
        try:
            if not named:
                return function(*args)   # type: ignore[call-arg]
            if not named.keys() <= takes:
                for given in [n for n in named if n not in takes]:
                    standard = also.get(given) or _STANDARD.get(given)
                    if standard in takes and standard not in named:
                        named[standard] = named.pop(given)
                    elif given in ("input", "self") and not args and count:
                        args = (named.pop(given),)
                    elif given in _SECOND and len(args) == 1 and count > 1:
                        args = (*args, named.pop(given))
                    elif given == "out":
                        raise DTypeError(f"{function.__name__}: out= is not taken; assign the result, or use an in-place method")
            for k in range(len(args), count):   # positional-only parameters that were named
                if positional[k] in named and len(args) == k:
                    args = (*args, named.pop(positional[k]))
            return function(*args, **named)
        except (AttributeError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            if isinstance(error, TensorliteError):
                raise
            _explain(function, args, named, error)

    return update_wrapper(call, function)


def _explain(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any], error: Exception) -> NoReturn:
    """Raise what Python or an array library complained of in this library's terms."""
    name = function.__name__.rstrip("_")
    trace = error.__traceback__
    if isinstance(error, TypeError) and trace is not None and trace.tb_next is None:   # the call itself
        what = str(error).replace(f"{function.__qualname__}() ", "")
        raise DTypeError(f"{name}: {what}; it takes {_parameters(function)}") from None
    first = function.__code__.co_varnames[0] if function.__code__.co_argcount else ""
    if first in _ARRAYS and args and not _is_number_or_array(args[0]):
        raise DTypeError(f"{name}: {first} is a {type(args[0]).__name__}; expected a tensor or an array: "
                         "wrap it with tensorlite.asarray") from error
    given = ", ".join([*map(_short, args), *(f"{k}={_short(v)}" for k, v in named.items())])
    value = isinstance(error, (ValueError, ZeroDivisionError))
    ours = ShapeError if value else OutOfRangeError if isinstance(error, IndexError) else DTypeError
    what = str(error).replace(f"_{name}() ", "")
    raise ours(f"{name}: {what} (given {given}; it takes {_parameters(function)})") from error


def _is_number_or_array(value: Any) -> bool:
    return hasattr(value, "shape") or isinstance(value, (bool, int, float, complex))


def _parameters(function: Callable[..., Any]) -> str:
    """The parameters as in the signature. (``inspect`` would cost milliseconds at import.)"""
    code = function.__code__
    names = list(code.co_varnames[:code.co_argcount])
    only = list(code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount])
    if code.co_flags & 0x04:
        names.append("*" + code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
    return ", ".join(names) + (f", and by name {', '.join(only)}" if only else "")


def _short(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
