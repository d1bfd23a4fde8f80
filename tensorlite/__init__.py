"""tensorlite: tensors with automatic differentiation on NumPy and CUDA, small and fast."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorlite._site import search_path as _search_path

__path__ = _search_path(__path__)

from tensorlite import autograd, backends, errors, func, random
from tensorlite._dtypes import bool_ as bool
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
from tensorlite._state import config, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tensorlite._tensor import Tensor
from tensorlite.backends import register_backend, use_backend
from tensorlite.func import (
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
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
from tensorlite.ops.complex import adjoint, angle, complex, is_complex, iscomplex, isreal, polar, view_as_complex, view_as_real
from tensorlite.ops.contraction import addmm, bmm, dot, einsum, matmul, mm, mv, outer, tensordot, vdot, vecdot
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
from tensorlite.ops.cumulative import cumprod, cumsum, cumulative_prod, cumulative_sum, diff
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
    log1p,
    log2,
    log10,
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
from tensorlite.ops.numpy_names import (
    array,
    array_equal,
    average,
    column_stack,
    identity,
    inner,
    ndim,
    polyval,
    shape,
    trace,
    trapezoid,
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

__all__ = [
    "Generator", "Tensor", "__array_api_version__", "__array_namespace_info__", "__version__", "abs", "absolute", "acos",
    "acosh", "add", "addmm", "adjoint", "all", "allclose", "amax", "amin", "amp", "angle", "any", "arange", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "argwhere", "array", "array_equal",
    "as_tensor", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "autocast",
    "autograd", "average", "backends", "bernoulli", "bincount", "bitwise_and", "bitwise_invert", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm", "bool", "broadcast_arrays", "broadcast_shapes",
    "broadcast_tensors", "broadcast_to", "can_cast", "cat", "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone",
    "column_stack", "complex", "complex128", "complex64", "concat", "concatenate", "config", "conj", "conjugate", "contiguous",
    "copysign", "cos", "cosh", "count_nonzero", "cross", "cuda", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "custom_jvp", "custom_root", "custom_vjp", "data", "debug", "deg2rad", "degrees", "diag", "diag_embed", "diagonal", "diff",
    "div", "divide", "dot", "double", "dstack", "e", "einsum", "empty", "empty_like", "enable_grad", "eq", "equal", "erf",
    "erfc", "erfinv", "errors", "exp", "exp2", "expand_dims", "expit", "expm1", "eye", "fft", "finfo", "fix", "fixed_point",
    "flatten", "flip", "fliplr", "flipud", "float", "float16", "float32", "float64", "floor", "floor_divide", "fmod", "frac",
    "from_dlpack", "from_numpy", "full", "full_like", "func", "gather", "ge", "get_default_dtype", "get_rng_state", "grad",
    "greater", "greater_equal", "gt", "half", "hessian", "hstack", "hvp", "hypot", "identity", "iinfo", "imag", "index_add",
    "index_copy", "index_fill", "index_put", "index_select", "inf", "initial_seed", "inner", "int", "int16", "int32", "int64",
    "int8", "io", "is_complex", "is_floating_point", "is_grad_enabled", "is_tensor", "isclose", "iscomplex", "isdtype",
    "isfinite", "isin", "isinf", "isnan", "isreal", "jacfwd", "jacobian", "jacrev", "jvp", "kernel", "kron", "kthvalue", "le",
    "lerp", "less", "less_equal", "linalg", "linearize", "linspace", "load", "log", "log10", "log1p", "log2", "log_sigmoid",
    "log_softmax", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logsumexp",
    "long", "lt", "manual_seed", "masked_fill", "masked_scatter", "masked_select", "matmul", "matrix_transpose", "max",
    "maximum", "mean", "meshgrid", "min", "minimum", "mm", "mod", "models", "moveaxis", "movedim", "mul", "multiply", "mv",
    "nan", "nan_to_num", "nanmean", "nansum", "narrow", "ndim", "ne", "neg", "negative", "newaxis", "nextafter", "nn",
    "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "ones", "ones_like", "optim", "outer", "pad", "permute",
    "permute_dims", "pi", "polar", "polyval", "positive", "pow", "power", "prelu", "prod", "promote_types", "put", "rad2deg",
    "radians", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random", "randperm", "ravel", "real",
    "reciprocal", "register_backend", "relu", "remainder", "repeat", "repeat_interleave", "reshape", "result_type", "rint",
    "roll", "rot90", "round", "row_stack", "rsqrt", "save", "scan", "scatter", "scatter_add", "searchsorted", "select",
    "set_default_dtype", "set_grad_enabled", "set_rng_state", "sgn", "shape", "short", "sigmoid", "sign", "signbit", "sin",
    "sinh", "softmax", "softplus", "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "stop_gradient",
    "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take", "take_along_axis", "take_along_dim", "tan", "tanh", "tensor",
    "tensor_split", "tensordot", "testing", "tile", "topk", "trace", "train", "transpose", "trapezoid", "tril", "triu",
    "true_divide", "trunc", "uint16", "uint32", "uint64", "uint8", "unbind", "unflatten", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unsqueeze", "unstack", "use_backend", "value_and_grad", "var",
    "var_mean", "vdot", "vecdot", "vector_norm", "view_as_complex", "view_as_real", "vjp", "vmap", "vstack", "where",
    "while_loop", "xlogy", "zeros", "zeros_like",
]

# ---- on demand: the layers above, which importing tensorlite does not pay for
_LAZY = {"fft": "", "linalg": "", "nn": "", "optim": "", "debug": "", "testing": "", "data": "", "io": "", "models": "",
         "train": "", "load": "io", "save": "io", "amp": "", "cuda": "", "autocast": "_autocast", "kernel": "_kernel",
         "kron": "linalg", "cross": "linalg", "custom_vjp": "func._custom", "custom_jvp": "func._custom",
         "custom_root": "func._implicit", "fixed_point": "func._implicit", "scan": "func._loops", "while_loop": "func._loops"}

if TYPE_CHECKING:
    from tensorlite import amp, cuda, data, debug, fft, io, linalg, models, nn, optim, testing, train
    from tensorlite._autocast import autocast
    from tensorlite._kernel import kernel
    from tensorlite.func._custom import custom_jvp, custom_vjp
    from tensorlite.func._implicit import custom_root, fixed_point
    from tensorlite.func._loops import scan, while_loop
    from tensorlite.io import load, save

# NumPy's further names of functions
conjugate, degrees, mod, radians, rint = conj, rad2deg, remainder, deg2rad, round

# PyTorch's further names of dtypes, here so that they do not hide the builtins from this module
_DTYPES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64}


def __getattr__(name: str) -> Any:
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
