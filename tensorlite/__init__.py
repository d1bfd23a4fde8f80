"""tensorlite: tensors with automatic differentiation on NumPy and CUDA, small and fast."""
from __future__ import annotations

from tensorlite import autograd, backends, func
from tensorlite._dtypes import (
    complex64,
    complex128,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tensorlite._dtypes import bool_ as bool  # noqa: A004
from tensorlite._state import config, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tensorlite._tensor import Tensor

# ---- creation
from tensorlite.ops.creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)

# ---- elementwise, functions, comparison, activation
from tensorlite.ops.elementwise import add, multiply, negative, subtract

# ---- reduction, searching
from tensorlite.ops.reduction import all, amax, amin, any, count_nonzero, max, mean, min, sum  # noqa: A004
from tensorlite.ops.softmax import log_softmax, logsumexp, softmax

# ---- manipulation, indexing

# ---- contraction, losses
from tensorlite.ops.contraction import addmm, bmm, dot, einsum, matmul, mm, mv, outer, tensordot, vdot, vecdot

from tensorlite import func
from tensorlite.func import grad, jacrev, stop_gradient, value_and_grad, vjp

__version__ = "0.1.0"
