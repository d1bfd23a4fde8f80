"""What functions of matrices refuse: wrong shapes and element types, and matrices that a solver cannot take."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite.engine.value import raw
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.ops.elementwise import cast_p

Array = Any


def matrices(op: str, x: Array, *, square: bool = False, name: str = "x") -> Array:
    """``x``, which is made of matrices of a type that linear algebra takes; of integers as float64."""
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if shape is None:
        raise DTypeError(f"{op}: {name} is a {type(x).__name__}; expected a tensor or an array of matrices: wrap it with "
                         "tensorlite.asarray")
    if len(shape) < 2 or (square and shape[-1] != shape[-2]):
        raise ShapeError(f"{op}: {name} has shape {tuple(shape)}; expected {'square ' if square else ''}matrices in the last two "
                         f"axes, (..., {'n, n' if square else 'm, n'})")
    if _dtypes.kind(dtype) in "iu":
        return cast_p(x, dtype=_dtypes.float64)
    if _dtypes.kind(dtype) not in "fc" or getattr(dtype, "itemsize", 4) < 4:
        raise DTypeError(f"{op}: {name} has dtype {dtype}; expected float32, float64, complex64 or complex128: convert it, for "
                         "example with .to(tensorlite.float32)")
    return x


def refused(x: Array, run: Callable[[Any], Any], name: str = "x") -> str:
    """Which matrix of ``x`` it is that ``run`` (a function of ``numpy.linalg``) refuses, for a message."""
    host = backends.backend_of(raw(x)).to_numpy(raw(x))
    for index in np.ndindex(host.shape[:-2]):
        try:
            run(host[index])
        except np.linalg.LinAlgError:
            return f"{name}{list(index)}" if index else name
    return name
