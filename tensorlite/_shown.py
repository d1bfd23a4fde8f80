"""How a tensor is shown, how its size answers, and how it comes back from a pickle."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite.ops.manipulation import axis_of


class Size(int):
    """The number of elements, which also answers PyTorch's ``x.size()`` and ``x.size(dim)``."""

    _shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> Size:
        self = int.__new__(cls, prod(shape))
        self._shape = shape
        return self

    def __call__(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[axis_of("size", dim, len(self._shape))]


def show(tensor: Any) -> str:
    """What PyTorch prints: the values, the dtype if it is not the usual one, the device if it is not the CPU, and the place on
    the tape."""
    array = tensor._host()
    body = np.array2string(array, precision=4, separator=", ", prefix="tensor(", threshold=1000, floatmode="maxprec")
    notes = []
    usual = {"f": _dtypes.get_default_dtype(), "i": _dtypes.int64, "b": _dtypes.bool_}.get(_dtypes.kind(tensor.dtype))
    if _dtypes.as_dtype(tensor.dtype) != usual:
        notes.append(f"dtype={tensor.dtype}")
    if not array.size and tensor.shape != (0,):
        notes.append(f"shape={tensor.shape}")
    if tensor.device != "cpu":
        notes.append(f"device={tensor.device!r}")
    if tensor.node is not None:
        notes.append(f"grad_fn={tensor.node!r}")
    elif tensor.tracked:
        notes.append("requires_grad=True")
    return f"tensor({', '.join([body, *notes])})"


def unpickle(kind: Any, array: Any, device: str, tracked: bool) -> Any:
    """The tensor of class ``kind`` that ``Tensor.__reduce__`` took apart."""
    out = kind.__new__(kind)
    out.value = array if device == "cpu" else backends.backend_for_device(device).asarray(array, device=device)
    out.tracked, out.node, out.grad, out.extra = tracked, None, None, None
    return out
