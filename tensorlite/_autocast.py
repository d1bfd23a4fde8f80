"""Mixed precision: operations that gain from float16 or bfloat16 run in it, those that need float32 keep it."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite._state import changed, current
from tensorlite.engine import inplace
from tensorlite.engine.value import Value
from tensorlite.errors import DTypeError
from tensorlite.ops.elementwise import cast_p

# Products of matrices: tensor cores run them in 16 bits several times faster, and sum in float32.
LOW = frozenset({"matmul", "matvec", "outer", "linear", "linear_relu", "einsum", "vecdot"})
# Where 16 bits lose what matters: exponentials and logarithms, powers, sums over many, norms, losses.
WIDE = frozenset({
    "acos", "acosh", "asin", "atanh", "cosh", "cumprod", "cumsum", "erfinv", "exp", "exp2", "exp_base", "expm1",
    "log", "log10", "log1p", "log2", "log_softmax", "logaddexp", "logsumexp", "mean", "pow", "pow_scalar", "prod",
    "reciprocal", "rsqrt", "sinh", "softmax", "softplus", "square", "sum", "tan", "var",
})
# Their kernels compute in float32 anyway. Of bfloat16 logits the gradient may be bfloat16; of float16 it would underflow.
LOSSES = frozenset({"cross_entropy_loss", "softmax_cross_entropy"})
POLICY = {**dict.fromkeys(LOW, True), **dict.fromkeys(WIDE, False)}   # whether it runs in 16 bits; users' kernels are added


def _watch_nothing(op: Any, implementation: Any) -> Any:
    return implementation


class _Caster:
    """Arguments in the dtype that an operation is to run in. A parameter is cast once for all its uses, until something is
    written in place (an optimizer's step)."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self._cast: dict[int, tuple[Any, Any]] = {}
        self._latest, self._record_from = inplace.latest, current().record_from

    def __call__(self, op: str, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The other arguments, or None where they can stay."""
        low = POLICY.get(op)
        if low is None:
            if op not in LOSSES or self.dtype != _dtypes.float16:
                return None
            low = False
        out = tuple([self._to(a, low) if isinstance(a, Value) else a for a in args])
        return None if all(a is b for a, b in zip(args, out)) else out

    def _to(self, tensor: Any, low: bool) -> Any:
        dtype = tensor.dtype
        if not low:
            return cast_p(tensor, dtype=_dtypes.float32) if dtype == _dtypes.float16 or dtype.name == "bfloat16" else tensor
        if (dtype not in (_dtypes.float32, _dtypes.float16) and dtype.name != "bfloat16") or dtype == self.dtype:
            return tensor
        if not tensor.tracked or tensor.node is not None or tensor.level:
            return cast_p(tensor, dtype=self.dtype)
        now = inplace.latest, current().record_from
        if now != (self._latest, self._record_from):
            self._cast.clear()
            self._latest, self._record_from = now
        found = self._cast.get(id(tensor))
        if found is None or found[0] is not tensor.value:
            found = self._cast[id(tensor)] = tensor.value, cast_p(tensor, dtype=self.dtype)
        return found[1]


class autocast(changed):
    """Matrix products inside run in ``dtype``; exponentials, sums, norms and losses run in float32; the rest takes what comes.

    Parameters stay float32, and so do their gradients: only what operations compute with is cast, and the casts are part of the
    tape. Run the forward pass and the loss inside, ``backward()`` outside. float64 is left alone. With float16, gradients can
    underflow: scale the loss with :class:`tensorlite.amp.GradScaler`. A decorator too.

    Parameters
    ----------
    dtype: ``tl.float16`` or ``tl.bfloat16`` (needs ml_dtypes). PyTorch's way, a device first (``autocast("cuda",
        dtype=tl.float16)``), is understood: without a dtype that means float16 on CUDA and bfloat16 elsewhere.
    enabled: False switches an enclosing autocast off.

    Errors: ``DTypeError`` for another dtype. Source: Micikevicius et al., Mixed precision training, 2018.

    >>> import tensorlite as tl
    >>> x, w = tl.ones(2, 3), tl.ones(4, 3, requires_grad=True)
    >>> with tl.autocast(tl.float16):
    ...     y = tl.nn.functional.linear(x, w)
    ...     loss = y.sum()
    >>> loss.backward()
    >>> y.dtype.name, loss.dtype.name, w.grad.dtype.name
    ('float16', 'float32', 'float32')
    """

    __slots__ = ("_dtype", "_enabled")

    def __init__(self, device_or_dtype: Any = None, dtype: Any = None, enabled: bool = True) -> None:
        if device_or_dtype is not None and not (isinstance(device_or_dtype, str) and not _dtypes.is_name(device_or_dtype)):
            if dtype is not None:
                raise DTypeError(f"autocast: two dtypes were given, {device_or_dtype} and {dtype}; expected one")
            dtype = device_or_dtype
        if dtype is None:
            dtype = _dtypes.float16 if str(device_or_dtype).startswith("cuda") else _dtypes.bfloat16()
        self._dtype, self._enabled = _dtypes.as_dtype(dtype), enabled
        if self._dtype.name not in ("float16", "bfloat16"):
            raise DTypeError(f"autocast: dtype is {self._dtype}; expected float16 or bfloat16")
        super().__init__()

    def __enter__(self) -> Any:
        state = current()
        self._changes = ({"autocast": _Caster(self._dtype), "observer": state.observer or _watch_nothing} if self._enabled
                         else {"autocast": None})
        return super().__enter__()

    def __call__(self, function: Any) -> Any:
        from functools import wraps

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with autocast(self._dtype, enabled=self._enabled):
                return function(*args, **kwargs)
        return inside


def is_autocast_enabled() -> bool:
    """Whether operations are being cast here."""
    return current().autocast is not None


__all__ = ["LOW", "POLICY", "WIDE", "autocast", "is_autocast_enabled"]
