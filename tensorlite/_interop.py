"""NumPy's functions called with tensors: ``np.sin(t)`` is ``tl.sin(t)`` and keeps the graph."""
from __future__ import annotations

from typing import Any

from tensorlite.errors import DTypeError

# NumPy's name -> ours, where they differ
_UFUNCS = {"absolute": "abs", "fabs": "abs", "conjugate": "conj", "true_divide": "divide", "float_power": "pow", "power": "pow",
           "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arctan2": "atan2",
           "invert": "bitwise_invert", "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift", "mod": "remainder",
           "degrees": "rad2deg", "radians": "deg2rad", "fmax": "maximum", "fmin": "minimum", "rint": "round"}
_FUNCTIONS = {"concatenate": "concat", "transpose": "permute_dims", "amax": "max", "amin": "min", "round_": "round", "around": "round",
              "cumsum": "cumulative_sum", "cumprod": "cumulative_prod", "absolute": "abs", "product": "prod", "unique": "unique_values",
              "copy": "clone", "array_equal": "array_equal", "swapaxes": "swapaxes"}
_REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any"}


def _find(name: str, what: str) -> Any:
    import tensorlite
    found = getattr(tensorlite, name, None)
    if found is None or not callable(found):
        raise DTypeError(f"{what} has no counterpart for tensors; use .detach().numpy() if no gradient has to flow through it")
    return found


def ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``Tensor.__array_ufunc__``."""
    name = ufunc.__name__
    if options.pop("out", None) is not None:
        raise DTypeError(f"np.{name}: out= is not taken with tensors; assign the result instead (x += y on an array that is to stay one needs "
                         "y.detach().numpy())")
    if method == "reduce" and name in _REDUCTIONS:
        axis = options.pop("axis", 0)
        keepdims = options.pop("keepdims", False)
        options = {k: v for k, v in options.items() if v is not None and k != "initial" and k != "where"}
        return _find(_REDUCTIONS[name], f"np.{name}.reduce")(inputs[0], axis=axis, keepdims=keepdims, **options)
    if method != "__call__":
        raise DTypeError(f"np.{name}.{method} has no counterpart for tensors; use .detach().numpy() if no gradient has to flow through it")
    return _find(_UFUNCS.get(name, name), f"np.{name}")(*inputs, **options)


def function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``Tensor.__array_function__``."""
    name = function.__name__
    if function.__module__.startswith("numpy.linalg"):
        import tensorlite
        found = getattr(tensorlite.linalg, name, None)
        if found is None:
            raise DTypeError(f"np.linalg.{name} has no counterpart for tensors; use .detach().numpy() if no gradient has to flow through it")
        return found(*args, **kwargs)
    kwargs = {k: v for k, v in kwargs.items() if k not in ("out", "where", "initial", "order", "subok") or v is not None}
    if name == "transpose" and len(args) == 1 and not kwargs.get("axes"):
        return args[0].permute(*range(args[0].ndim - 1, -1, -1))
    return _find(_FUNCTIONS.get(name, name), f"np.{name}")(*args, **kwargs)
