"""Layers that normalise."""
from __future__ import annotations

from typing import Any

from tensorlite.errors import ShapeError
from tensorlite.nn import functional as F
from tensorlite.nn._module import Module
from tensorlite.nn._parameter import Parameter
from tensorlite.ops import creation, manipulation

Tensor = Any


def _affine(module: Module, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
    module.register_parameter("weight", Parameter(creation.ones(shape, device=device, dtype=dtype)) if weight else None)
    module.register_parameter("bias", Parameter(creation.zeros(shape, device=device, dtype=dtype)) if bias else None)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) weight + bias over the last axes, of lengths ``normalized_shape`` (Ba et al. 2016)."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
                 device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        _affine(self, self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        from tensorlite.nn import init
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if parameter is not None:
                init.constant_(parameter, value)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) weight over the last axes (Zhang and Sennrich 2019)."""

    weight: Parameter | None

    def __init__(self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = Parameter(creation.ones(self.normalized_shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Layer norm over each of ``num_groups`` groups of channels, then weight and bias by channel (Wu and He 2018)."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(f"GroupNorm: num_channels is {num_channels}; expected a multiple of num_groups, {num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        _affine(self, (num_channels,), affine, affine, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _Tracking(Module):
    """What batch norm and instance norm have in common: weight and bias by channel, and running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    _ndims: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        _affine(self, (num_features,), affine, affine, device, dtype)
        track = track_running_stats
        self.register_buffer("running_mean", creation.zeros(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", creation.ones(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", creation.full((), 0, device=device) if track else None)

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        from tensorlite.nn import init
        if self.track_running_stats:
            for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
                init.constant_(buffer, value)

    def reset_parameters(self) -> None:
        """Forget the batches seen; weight 1 and bias 0."""
        from tensorlite.nn import init
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if parameter is not None:
                init.constant_(parameter, value)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self._ndims:
            raise ShapeError(f"{type(self).__name__}: input has shape {tuple(input.shape)}; expected "
                             f"{' or '.join(str(n) for n in self._ndims)} axes, (N, {self.num_features}, ...)")

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"track_running_stats={self.track_running_stats}")


class _BatchNorm(_Tracking):
    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        by_batch = self.training or self.running_mean is None
        mean, var, counter = self.running_mean, self.running_var, self.num_batches_tracked
        return F.batch_norm_counted(input, mean, var, counter, self.weight, self.bias, by_batch, self.momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) weight + bias by channel, axis 1 of (N, C) or (N, C, L) (Ioffe and Szegedy 2015).

    In training by the batch's statistics, which ``running_mean`` and ``running_var`` follow (by the fraction ``momentum``, or,
    if that is None, as the mean of all batches); in evaluation by those, or by the batch's if ``track_running_stats`` is false.
    """

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of images, (N, C, H, W); see :class:`BatchNorm1d`.

    >>> import tensorlite as tl
    >>> layer = tl.nn.BatchNorm2d(3)
    >>> layer(tl.ones(2, 3, 4, 4)).shape, int(layer.num_batches_tracked)
    ((2, 3, 4, 4), 1)
    """

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm of volumes, (N, C, D, H, W); see :class:`BatchNorm1d`."""

    _ndims = (5,)


class _InstanceNorm(_Tracking):

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device: Any = None, dtype: Any = None) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        alone = input.ndim == self._ndims[0] - 1   # a sample without a batch
        x = manipulation.reshape(input, (1, *input.shape)) if alone else input
        self._check(x)
        by_input = self.training or self.running_mean is None
        out = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, by_input, self.momentum, self.eps)
        return manipulation.reshape(out, tuple(input.shape)) if alone else out


class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / sqrt(var + eps) weight + bias by channel of each sample of (N, C, L) or (C, L) (Ulyanov et al. 2016).

    By the sample's statistics; with ``track_running_stats`` in evaluation by running ones, as :class:`BatchNorm1d`.
    """

    _ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of images, (N, C, H, W) or (C, H, W); see :class:`InstanceNorm1d`."""

    _ndims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of volumes, (N, C, D, H, W) or (C, D, H, W); see :class:`InstanceNorm1d`."""

    _ndims = (5,)


class LocalResponseNorm(Module):
    """x / (k + alpha mean(x^2 of ``size`` channels around))^beta (Krizhevsky et al. 2012)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
