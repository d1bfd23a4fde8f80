"""Activation functions and dropout as modules."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn._module import Module
from tensorlite.nn._parameter import Parameter
from tensorlite.ops import creation
from tensorlite.ops.dropout import check_p

Tensor = Any


def _plain(name: str, function: Callable[[Tensor], Tensor], formula: str) -> Any:
    """A module without settings; ``inplace`` is taken, as in PyTorch, and changes nothing that can be seen."""
    def __init__(self: Module, inplace: bool = False) -> None:
        Module.__init__(self)

    def forward(self: Module, input: Tensor) -> Tensor:
        return function(input)
    return type(name, (Module,), {"__init__": __init__, "forward": forward, "__doc__": formula, "__module__": "tensorlite.nn"})


ReLU = _plain("ReLU", F.relu, "max(x, 0).")
ReLU6 = _plain("ReLU6", F.relu6, "min(max(x, 0), 6).")
Hardsigmoid = _plain("Hardsigmoid", F.hardsigmoid, "min(max(x + 3, 0), 6) / 6.")
Hardswish = _plain("Hardswish", F.hardswish, "x hardsigmoid(x).")
LogSigmoid = _plain("LogSigmoid", F.logsigmoid, "log sigmoid(x).")
Mish = _plain("Mish", F.mish, "x tanh(softplus(x)).")
SELU = _plain("SELU", F.selu, "The scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017).")
SiLU = _plain("SiLU", F.silu, "x sigmoid(x).")
Sigmoid = _plain("Sigmoid", F.sigmoid, "1 / (1 + exp(-x)).")
Softsign = _plain("Softsign", F.softsign, "x / (1 + abs(x)).")
Tanh = _plain("Tanh", F.tanh, "tanh(x).")
Tanhshrink = _plain("Tanhshrink", F.tanhshrink, "x - tanh(x).")


class _Set(Module):
    """A module whose settings are its constructor's arguments; ``_names`` lists them in the function's order."""

    _names: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)


class LeakyReLU(_Set):
    """x where x > 0, else negative_slope x."""

    _names = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


class ELU(_Set):
    """x where x > 0, else alpha (exp(x) - 1)."""

    _names = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


class CELU(ELU):
    """x where x > 0, else alpha (exp(x / alpha) - 1)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha)


class GELU(_Set):
    """x Phi(x) with the normal distribution's Phi; approximately, by tanh, with ``approximate="tanh"``."""

    _names = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)


class Softplus(_Set):
    """log(1 + exp(beta x)) / beta."""

    _names = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


class Hardtanh(_Set):
    """min(max(x, min_val), max_val)."""

    _names = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)


class Threshold(_Set):
    """x where x > threshold, else value."""

    _names = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value)


class Softshrink(_Set):
    """x moved towards 0 by lambd, and 0 within it."""

    _names = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Hardshrink(Softshrink):
    """x where abs(x) > lambd, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class GLU(_Set):
    """a sigmoid(b) for the two halves a and b of x along ``dim``."""

    _names = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


class Softmax(GLU):
    """exp(x) / sum exp(x) along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class Softmin(GLU):
    """softmax(-x) along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class LogSoftmax(GLU):
    """log softmax(x) along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class PReLU(Module):
    """x where x > 0, else weight x; the weight is learned, one for all or one for each channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(creation.full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Dropout(_Set):
    """In training, each element is 0 with probability p and otherwise x / (1 - p); in evaluation x (Srivastava et al. 2014)."""

    _names = ("p",)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_p(type(self).__name__, p)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, for SELUs."""

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)
