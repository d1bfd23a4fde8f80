"""NumPy's functions called with tensors: ``np.sin(t)`` is ``tl.sin(t)`` and keeps the graph."""
from __future__ import annotations

from typing import Any

from tensorlite.errors import DTypeError, ShapeError

# NumPy's name -> ours, where they differ
_UFUNCS = {"absolute": "abs", "fabs": "abs", "conjugate": "conj", "true_divide": "divide", "float_power": "pow", "power": "pow",
           "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
           "arctan2": "atan2", "invert": "bitwise_invert", "left_shift": "bitwise_left_shift",
           "right_shift": "bitwise_right_shift", "mod": "remainder", "degrees": "rad2deg", "radians": "deg2rad", "rint": "round"}
_FUNCTIONS = {"concatenate": "concat", "transpose": "permute_dims", "amax": "max", "amin": "min", "round_": "round",
              "around": "round", "cumsum": "cumulative_sum", "cumprod": "cumulative_prod", "absolute": "abs", "product": "prod",
              "unique": "unique_values", "copy": "clone", "array_split": "tensor_split"}
_ARGUMENTS = {"ddof": "correction", "a_min": "min", "a_max": "max"}
_OPTIONAL = frozenset(("out", "where", "initial", "order", "subok"))
_REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any"}


def _none(what: str) -> DTypeError:
    return DTypeError(f"{what} has no counterpart for tensors; use .detach().numpy() if no gradient has to flow through it")


def _find(name: str, what: str) -> Any:
    import tensorlite
    found = getattr(tensorlite, name, None)
    if found is None or not callable(found):
        raise _none(what)
    return found


def ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``Tensor.__array_ufunc__``."""
    name = ufunc.__name__
    if options.pop("out", None) is not None:
        raise DTypeError(f"np.{name}: out= is not taken with tensors; assign the result instead (x += y on an array that is to "
                         "stay one needs y.detach().numpy())")
    if method == "reduce" and name in _REDUCTIONS:
        axis = options.pop("axis", 0)
        keepdims = options.pop("keepdims", False)
        options = {k: v for k, v in options.items() if v is not None and (k, v) != ("where", True)}
        return _find(_REDUCTIONS[name], f"np.{name}.reduce")(inputs[0], axis=axis, keepdims=keepdims, **options)
    if method != "__call__":
        raise _none(f"np.{name}.{method}")
    return _find(_UFUNCS.get(name, name), f"np.{name}")(*inputs, **options)


def function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``Tensor.__array_function__``."""
    name = function.__name__
    if function.__module__.startswith("numpy.linalg"):
        import tensorlite
        found = getattr(tensorlite.linalg, name, None)
        if found is None:
            raise _none(f"np.linalg.{name}")
        return found(*args, **kwargs)
    kwargs = {_ARGUMENTS.get(k, k): v for k, v in kwargs.items() if k not in _OPTIONAL or v is not None}
    special = _SPECIAL.get(name)
    if special is not None:
        return special(*args, **kwargs)
    if name == "transpose" and len(args) == 1 and not kwargs.get("axes"):
        return args[0].permute(*range(args[0].ndim - 1, -1, -1))
    return _find(_FUNCTIONS.get(name, name), f"np.{name}")(*args, **kwargs)


# ---- functions whose arguments mean something else here ----------------------------------------------------------------

def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As many equal parts, not parts of that length."""
    import tensorlite
    if isinstance(indices_or_sections, int) and indices_or_sections > 0 and ary.shape[axis] % indices_or_sections:
        raise ShapeError(f"np.split: axis {axis} of length {ary.shape[axis]} does not divide into {indices_or_sections} equal "
                         "parts; use np.array_split")
    return tensorlite.tensor_split(ary, indices_or_sections, axis)


def _pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """Widths from the first axis on, one pair standing for all axes."""
    import numpy as np

    import tensorlite
    ours = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}.get(mode)
    if ours is None or np.ndim(constant_values):
        raise DTypeError(f"np.pad: mode {mode!r} with constant_values={constant_values!r} has no counterpart for tensors; "
                         "expected mode 'constant' with one value, 'edge', 'reflect' or 'wrap'")
    widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2))[::-1].ravel().tolist()
    return tensorlite.pad(array, widths, ours, constant_values if ours == "constant" else None)


def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    import tensorlite
    return tensorlite.take(a, indices, axis=axis)


def _size(a: Any, axis: int | None = None) -> int:
    return int(a.numel() if axis is None else a.shape[axis])


_SPECIAL: dict[str, Any] = {"split": _split, "pad": _pad, "take": _take, "size": _size,
                            "shape": lambda a: a.shape, "ndim": lambda a: a.ndim}
