"""The names PyTorch users know: ``dim``, ``keepdim``, ``input``, ``other`` are taken beside the array API standard's."""
from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ParamSpec, TypeVar

from tensorlite.errors import DTypeError

P = ParamSpec("P")
R = TypeVar("R")

_STANDARD = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "axes": "axis"}


def torch_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function take PyTorch's argument names too. Calls without keywords pay one empty test for it."""
    code = function.__code__
    count = code.co_argcount
    positional = code.co_varnames[:count]
    takes = set(code.co_varnames[:count + code.co_kwonlyargcount])

    def call(*args: Any, **named: Any) -> Any:
        if not named:
            return function(*args)   # type: ignore[call-arg]
        if not named.keys() <= takes:
            for given in [n for n in named if n not in takes]:
                standard = _STANDARD.get(given)
                if standard in takes and standard not in named:
                    named[standard] = named.pop(given)
                elif given in ("input", "self") and not args:
                    args = (named.pop(given),)
                elif given in ("other", "y", "x2", "mat2", "vec2", "exponent") and len(args) == 1 and count > 1:
                    args = (*args, named.pop(given))
                elif given == "out":
                    raise DTypeError(f"{function.__name__}: out= is not taken; assign the result, or use an in-place method")
        for k in range(len(args), count):   # positional-only parameters that were named
            if positional[k] in named and len(args) == k:
                args = (*args, named.pop(positional[k]))
        return function(*args, **named)   # type: ignore[call-arg]

    return update_wrapper(call, function)
