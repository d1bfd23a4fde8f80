"""tensorlite: tensors with automatic differentiation on NumPy and CUDA, small and fast."""
from __future__ import annotations

from tensorlite._site import search_path

__path__ = search_path(__path__)

from tensorlite import autograd, backends, errors, func
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
from tensorlite.ops.activation import log_sigmoid, prelu, relu, softplus
from tensorlite.ops.binary import (
    arctan2,
    atan2,
    copysign,
    hypot,
    lerp,
    logaddexp,
    logaddexp2,
    nextafter,
    pow,
    power,
    xlogy,
)
from tensorlite.ops.comparison import (
    allclose,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    equal,
    ge,
    greater,
    greater_equal,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    not_equal,
    signbit,
)
from tensorlite.ops.elementwise import (
    add,
    clamp,
    clamp_max,
    clamp_min,
    clip,
    div,
    divide,
    floor_divide,
    fmod,
    maximum,
    minimum,
    mul,
    multiply,
    neg,
    negative,
    remainder,
    sub,
    subtract,
    true_divide,
    where,
)
from tensorlite.ops.functions import (
    abs,
    absolute,
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    conj,
    cos,
    cosh,
    deg2rad,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expit,
    expm1,
    fix,
    floor,
    frac,
    imag,
    log,
    log10,
    log1p,
    log2,
    logit,
    nan_to_num,
    positive,
    rad2deg,
    real,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)

# ---- reduction, searching
from tensorlite.ops.cumulative import cumprod, cumsum, cumulative_prod, cumulative_sum, diff
from tensorlite.ops.reduction import all, amax, amin, any, count_nonzero, max, mean, min, sum
from tensorlite.ops.searching import (
    argmax,
    argmin,
    argsort,
    argwhere,
    bincount,
    kthvalue,
    nonzero,
    searchsorted,
    sort,
    take_along_axis,
    take_along_dim,
    topk,
)
from tensorlite.ops.sets import isin, unique, unique_all, unique_counts, unique_inverse, unique_values
from tensorlite.ops.softmax import log_softmax, logsumexp, softmax
from tensorlite.ops.statistics import nanmean, nansum, norm, prod, std, std_mean, var, var_mean, vector_norm

# ---- manipulation, indexing
from tensorlite.ops.indexing import (
    gather,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_select,
    masked_fill,
    masked_scatter,
    masked_select,
    put,
    scatter,
    scatter_add,
    take,
)
from tensorlite.ops.manipulation import (
    adjoint,
    astype,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    can_cast,
    cat,
    chunk,
    clone,
    concat,
    concatenate,
    contiguous,
    dstack,
    expand_dims,
    flatten,
    hstack,
    matrix_transpose,
    moveaxis,
    movedim,
    permute,
    permute_dims,
    ravel,
    reshape,
    result_type,
    row_stack,
    split,
    squeeze,
    stack,
    swapaxes,
    swapdims,
    t,
    tensor_split,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
    unstack,
    vstack,
)
from tensorlite.ops.rearrange import (
    atleast_1d,
    atleast_2d,
    diag,
    diag_embed,
    diagonal,
    flip,
    fliplr,
    flipud,
    meshgrid,
    narrow,
    pad,
    repeat,
    repeat_interleave,
    roll,
    rot90,
    select,
    tile,
    tril,
    triu,
)

# ---- contraction, losses
from tensorlite.ops.contraction import addmm, bmm, dot, einsum, matmul, mm, mv, outer, tensordot, vdot, vecdot

# ---- namespace queries, transforms, random numbers
from tensorlite._namespace import (
    __array_api_version__,
    __array_namespace_info__,
    e,
    finfo,
    iinfo,
    inf,
    is_floating_point,
    is_tensor,
    isdtype,
    nan,
    newaxis,
    numel,
    pi,
    promote_types,
)
from tensorlite.func import grad, jacrev, stop_gradient, value_and_grad, vjp
from tensorlite.random import (
    Generator,
    bernoulli,
    get_rng_state,
    initial_seed,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)

__version__ = "0.1.0"

# ---- on demand: the layers above, which importing tensorlite does not pay for
_LAZY = {"linalg": "", "nn": "", "optim": "", "debug": "", "testing": "", "data": "", "io": "", "models": "", "train": "", "load": "io", "save": "io"}


# PyTorch's further names of dtypes, here so that they do not hide the builtins from this module
_DTYPES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64}


def __getattr__(name: str) -> object:
    if name in _DTYPES:
        return _DTYPES[name]
    if name == "bfloat16":
        from tensorlite import _dtypes
        try:
            return _dtypes.bfloat16()
        except errors.DTypeError as error:
            raise AttributeError(str(error)) from None
    if name not in _LAZY:
        raise AttributeError(f"module 'tensorlite' has no attribute {name!r}")
    from importlib import import_module
    module = import_module(f"tensorlite.{_LAZY[name] or name}")
    return getattr(module, name) if _LAZY[name] else module
