"""The functions behind the layers, under PyTorch's names."""
from __future__ import annotations

from math import prod, sqrt
from typing import Any

from tensorlite import _dtypes, backends
from tensorlite.engine.value import raw
from tensorlite.errors import ShapeError
from tensorlite.ops import manipulation
from tensorlite.ops._names import torch_names
from tensorlite.ops.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from tensorlite.ops.contraction import einsum, linear_p, matmul
from tensorlite.ops.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)
from tensorlite.ops.dropout import dropout
from tensorlite.ops.elementwise import add_p, clip, div_p, mul_p, sub_p, where
from tensorlite.ops.embedding import embedding, one_hot
from tensorlite.ops.functions import sigmoid, tanh
from tensorlite.ops.interpolate import interpolate
from tensorlite.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from tensorlite.ops.normalization import (
    batch_norm_by_batch,
    batch_norm_fixed,
    follow_batch,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from tensorlite.ops.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    local_response_norm,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from tensorlite.ops.rearrange import pad, tril
from tensorlite.ops.reduction import sum as _sum
from tensorlite.ops.softmax import log_softmax, softmax
from tensorlite.ops.statistics import norm

Array = Any


@torch_names
def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """x W^T + b: input (..., in), weight (out, in), bias (out,) give (..., out).

    >>> import tensorlite as tl
    >>> tl.nn.functional.linear(tl.ones(1, 2), tl.tensor([[1.0, 2.0]]), tl.tensor([0.5]))
    tensor([[3.5]])
    """
    return linear_p(input, weight, bias)


@torch_names
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """x1^T W x2 + b: inputs (..., in1) and (..., in2), weight (out, in1, in2), bias (out,) give (..., out)."""
    if weight.ndim != 3 or input1.shape[-1:] != weight.shape[1:2] or input2.shape[-1:] != weight.shape[2:]:
        raise ShapeError(f"bilinear: inputs of shapes {tuple(input1.shape)} and {tuple(input2.shape)} do not fit weight of shape "
                         f"{tuple(weight.shape)}; expected (..., in1), (..., in2) and (out, in1, in2)")
    product = einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else add_p(product, bias)


@torch_names
def batch_norm(input: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
               bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(var + eps) weight + bias for each channel, axis 1 of (N, C, ...) (Ioffe and Szegedy 2015).

    With ``training`` by the batch's mean and biased variance, and running_mean and running_var, if given, move towards the
    batch's mean and unbiased variance by the fraction ``momentum``; without it by running_mean and running_var.
    Errors: ``ShapeError`` for a batch of one value per channel when training, and for statistics of another length than C.
    """
    return batch_norm_counted(input, running_mean, running_var, None, weight, bias, training, momentum, eps)


def batch_norm_counted(input: Array, running_mean: Array | None, running_var: Array | None, counter: Array | None,
                       weight: Array | None, bias: Array | None, training: bool, momentum: float | None, eps: float) -> Array:
    """``batch_norm`` that counts the batch when training, so that with ``momentum`` None the statistics are the mean of all."""
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: input has shape {tuple(input.shape)}; expected (N, C) or (N, C, ...)")
    for name, a in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if a is not None and tuple(a.shape) != (input.shape[1],):
            raise ShapeError(f"batch_norm: {name} has shape {tuple(a.shape)}, and input of shape {tuple(input.shape)} has "
                             f"{input.shape[1]} channels; expected ({input.shape[1]},)")
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError("batch_norm: without training, running_mean and running_var must be given")
        return batch_norm_fixed(input, running_mean, running_var, weight, bias, eps)
    out, mean, var = batch_norm_by_batch(input, weight, bias, eps)
    if running_mean is not None or running_var is not None:
        follow_batch(mean, var, running_mean, running_var, counter, momentum, prod(input.shape) // input.shape[1])
    return out


@torch_names
def softmin(input: Array, dim: int = -1, *, dtype: Any = None) -> Array:
    """softmax(-x)."""
    return softmax(mul_p(input, -1), dim, dtype=dtype)


@torch_names
def normalize(input: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Array:
    """x / max(norm_p(x), eps) along ``dim``.

    >>> import tensorlite as tl
    >>> tl.nn.functional.normalize(tl.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    return div_p(input, clip(norm(input, p, axis=dim, keepdims=True), eps))


@torch_names
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along ``dim``."""
    x1, x2 = manipulation.broadcast_arrays(x1, x2)
    lengths = [clip(norm(x, 2, axis=dim, keepdims=True), eps) for x in (x1, x2)]
    return _sum(mul_p(div_p(x1, lengths[0]), div_p(x2, lengths[1])), axis=dim)


@torch_names
def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of x1 - x2 + eps over the last axis."""
    return norm(add_p(sub_p(x1, x2), eps), p, axis=-1, keepdims=keepdim)


@torch_names
def scaled_dot_product_attention(query: Array, key: Array, value: Array, attn_mask: Array | None = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None) -> Array:
    """softmax(Q K^T scale + mask) V: (..., L, E), (..., S, E), (..., S, V) give (..., L, V) (Vaswani et al. 2017).

    ``scale`` is 1/sqrt(E) unless given. ``attn_mask``: booleans, where False hides a key, or numbers that are added; a query
    all of whose keys are hidden gets zeros. ``is_causal``: query i sees the keys 0..i.

    >>> import tensorlite as tl
    >>> q = tl.ones(1, 3, 2)
    >>> tl.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    (1, 3, 2)
    """
    if is_causal and attn_mask is not None:
        raise ShapeError("scaled_dot_product_attention: both attn_mask and is_causal were given; put the causal mask into "
                         "attn_mask")
    factor = 1.0 / sqrt(query.shape[-1] or 1) if scale is None else scale
    scores = matmul(mul_p(query, factor), manipulation.matrix_transpose(key))
    if is_causal:
        array = raw(query)
        xp = backends.backend_of(array).xp
        attn_mask = tril(xp.ones((query.shape[-2], key.shape[-2]), dtype=xp.bool))
    if attn_mask is not None:
        boolean = _dtypes.kind(attn_mask.dtype) == "b"
        scores = where(attn_mask, scores, float("-inf")) if boolean else add_p(scores, attn_mask)
    return matmul(dropout(softmax(scores, -1), dropout_p, dropout_p > 0), value)


@torch_names
def hinge_embedding_loss(input: Array, target: Array, margin: float = 1.0, *, reduction: str = "mean") -> Array:
    """x where the target is 1, max(0, margin - x) where it is -1; averaged."""
    from tensorlite.ops.losses import _reduce
    return _reduce("hinge_embedding_loss", where(target == 1, input, relu(sub_p(margin, input))), reduction)


@torch_names
def margin_ranking_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0, *, reduction: str = "mean") -> Array:
    """max(0, -target (x1 - x2) + margin), averaged."""
    from tensorlite.ops.losses import _reduce
    return _reduce("margin_ranking_loss", relu(sub_p(margin, mul_p(target, sub_p(input1, input2)))), reduction)


@torch_names
def alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """Dropout to the SELU's floor instead of 0, so that mean 0 and variance 1 are kept (Klambauer et al. 2017)."""
    from tensorlite.ops.creation import ones_like
    from tensorlite.ops.dropout import check_p
    check_p("alpha_dropout", p)
    if not training or p == 0:
        return input
    if p == 1:
        return mul_p(input, 0)
    floor = -1.7580993408473766
    scale = 1 / sqrt((1 - p) * (1 + p * floor * floor))
    kept = mul_p(dropout(ones_like(input), p), 1 - p)
    mixed = add_p(mul_p(input, kept), mul_p(sub_p(1, kept), floor))
    return add_p(mul_p(mixed, scale), -scale * floor * p)


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "cross_entropy", "dropout", "elu", "embedding", "fold",
    "gelu", "glu", "group_norm", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm",
    "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d", "max_pool2d",
    "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot",
    "pad", "pairwise_distance", "prelu", "relu", "relu6", "rms_norm", "scaled_dot_product_attention", "selu", "sigmoid",
    "silu", "smooth_l1_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    "unfold",
]
