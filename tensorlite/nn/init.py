"""Initial values of parameters, filled in place; the formulas and defaults are PyTorch's, the random numbers are not."""
from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from tensorlite import _philox, backends
from tensorlite.engine import inplace
from tensorlite.errors import ShapeError

Tensor = Any


def _fill(name: str, tensor: Tensor, values: Any) -> Tensor:
    """Write into the tensor's memory, under no tape."""
    backends.backend_of(tensor.value).assign(tensor.value, Ellipsis, values)
    inplace.wrote([tensor.value], name)
    return tensor


def _draw(tensor: Tensor, kind: str, generator: Any, **options: Any) -> Any:
    shape, dtype = tuple(tensor.shape), tensor.dtype
    place = _philox.reserve(generator, kind=kind, shape=shape, dtype=dtype)
    return _philox.draw(place, kind=kind, shape=shape, dtype=dtype, device=tensor.device, **options)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform on [a, b)."""
    return _fill("uniform_", tensor, _draw(tensor, "uniform", generator, low=float(a), high=float(b)))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal."""
    return _fill("normal_", tensor, _draw(tensor, "normal", generator, mean=float(mean), std=float(std)))


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Any = None) -> Tensor:
    """Normal, restricted to [a, b]: what falls outside is drawn again."""
    if not a < b:
        raise ShapeError(f"trunc_normal_: a is {a} and b is {b}; expected a < b")
    low, high = (a - mean) / std, (b - mean) / std
    if high < -3 or low > 3:
        raise ShapeError(f"trunc_normal_: [{a}, {b}] is more than three standard deviations ({std}) from the mean {mean}; "
                         "choose a wider one")
    backend = backends.backend_of(tensor.value)
    out = backend.to_numpy(_draw(tensor, "normal", generator)).copy()
    bad = np.flatnonzero((out < low) | (out > high))
    while bad.size:
        place = _philox.reserve(generator, kind="normal", shape=(bad.size,), dtype=tensor.dtype)
        again = _philox.draw(place, kind="normal", shape=(bad.size,), dtype=tensor.dtype)
        out.reshape(-1)[bad] = again
        bad = bad[(again < low) | (again > high)]
    return _fill("trunc_normal_", tensor, backend.asarray(np.clip(out * std + mean, a, b), dtype=tensor.dtype))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element ``val``."""
    return _fill("constant_", tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: the tensor has shape {tuple(tensor.shape)}; expected a matrix")
    backend = backends.backend_of(tensor.value)
    return _fill("eye_", tensor, backend.xp.eye(*tensor.shape, dtype=tensor.dtype))


# ---- by the number of connections --------------------------------------------------------------------------------------

def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out): the inputs of an output and the outputs of an input, of a weight (out, in, ...)."""
    if tensor.ndim < 2:
        raise ShapeError(f"init: fan in and fan out are those of a weight with at least two axes, and this has shape "
                         f"{tuple(tensor.shape)}")
    window = prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variances through a nonlinearity.

    >>> import tensorlite as tl
    >>> tl.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        return sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": sqrt(2.0), "selu": 0.75, "conv1d": 1.0, "conv2d": 1.0,
             "conv3d": 1.0}
    if nonlinearity not in gains:
        raise ShapeError(f"calculate_gain: nonlinearity is {nonlinearity!r}; expected one of "
                         f"{', '.join(sorted([*gains, 'leaky_relu']))}")
    return gains[nonlinearity]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform with standard deviation gain sqrt(2 / (fan in + fan out)) (Glorot and Bengio 2010)."""
    bound = sqrt(3.0) * gain * sqrt(2.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan in + fan out))."""
    return normal_(tensor, 0.0, gain * sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ShapeError(f"kaiming: mode is {mode!r}; expected 'fan_in' or 'fan_out'")
    return calculate_gain(nonlinearity, a) / sqrt(fans(tensor)[mode == "fan_out"])


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Any = None) -> Tensor:
    """Uniform with standard deviation gain / sqrt(fan) (He et al. 2015); ``a``: the leaky ReLU's slope."""
    bound = sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Any = None) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan)."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Orthonormal rows or columns times gain, by the QR of normals with R's signs made positive (Saxe et al. 2014)."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: the tensor has shape {tuple(tensor.shape)}; expected at least two axes")
    backend = backends.backend_of(tensor.value)
    rows = tensor.shape[0]
    flat = np.asarray(backend.to_numpy(_draw(tensor, "normal", generator)), np.float64).reshape(rows, -1)
    wide = flat.shape[0] < flat.shape[1]
    q, r = np.linalg.qr(flat.T if wide else flat)
    q *= np.sign(np.diagonal(r))
    values = gain * (q.T if wide else q).reshape(tensor.shape)
    return _fill("orthogonal_", tensor, backend.asarray(values, dtype=tensor.dtype))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with the fraction ``sparsity`` of each column set to zero at random (Martens 2010)."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: the tensor has shape {tuple(tensor.shape)}; expected a matrix")
    backend = backends.backend_of(tensor.value)
    values = backend.to_numpy(_draw(tensor, "normal", generator, std=float(std))).copy()
    zeros = int(np.ceil(sparsity * tensor.shape[0]))
    order = np.argsort(backend.to_numpy(_draw(tensor, "uniform", generator)), axis=0, kind="stable")
    np.put_along_axis(values, order[:zeros], 0, axis=0)
    return _fill("sparse_", tensor, backend.asarray(values, dtype=tensor.dtype))
