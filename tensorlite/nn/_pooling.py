"""Layers that pool, unpool and interpolate."""
from __future__ import annotations

from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn._module import Module

Tensor = Any
Size = Any   # an integer, or one for each spatial axis


class _MaxPool(Module):
    _run: Any

    def __init__(self, kernel_size: Size, stride: Size = None, padding: Size = 0, dilation: Size = 1,
                 return_indices: bool = False, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                               self.return_indices)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
                f"ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """The maximum of each window of (N, C, L) or (C, L); see :func:`tensorlite.nn.functional.max_pool2d`."""

    _run = F.max_pool1d


class MaxPool2d(_MaxPool):
    """The maximum of each window of (N, C, H, W) or (C, H, W); see :func:`tensorlite.nn.functional.max_pool2d`.

    >>> import tensorlite as tl
    >>> tl.nn.MaxPool2d(3, stride=2, padding=1)(tl.ones(1, 4, 9, 9)).shape
    (1, 4, 5, 5)
    """

    _run = F.max_pool2d


class MaxPool3d(_MaxPool):
    """The maximum of each window of (N, C, D, H, W) or (C, D, H, W); see :func:`tensorlite.nn.functional.max_pool2d`."""

    _run = F.max_pool3d


class _MaxUnpool(Module):
    _run: Any

    def __init__(self, kernel_size: Size, stride: Size = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return type(self)._run(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Each element at the place that ``MaxPool1d(..., return_indices=True)`` found it at, zeros elsewhere."""

    _run = F.max_unpool1d


class MaxUnpool2d(_MaxUnpool):
    """Each element at the place that ``MaxPool2d(..., return_indices=True)`` found it at, zeros elsewhere."""

    _run = F.max_unpool2d


class MaxUnpool3d(_MaxUnpool):
    """Each element at the place that ``MaxPool3d(..., return_indices=True)`` found it at, zeros elsewhere."""

    _run = F.max_unpool3d


class AvgPool1d(Module):
    """The mean of each window of (N, C, L) or (C, L); see :func:`tensorlite.nn.functional.avg_pool2d`."""

    _run: Any = F.avg_pool1d

    def __init__(self, kernel_size: Size, stride: Size = None, padding: Size = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(AvgPool1d):
    """The mean of each window of (N, C, H, W) or (C, H, W); see :func:`tensorlite.nn.functional.avg_pool2d`.

    >>> import tensorlite as tl
    >>> tl.nn.AvgPool2d(2)(tl.ones(1, 4, 8, 8)).shape
    (1, 4, 4, 4)
    """

    _run = F.avg_pool2d

    def __init__(self, kernel_size: Size, stride: Size = None, padding: Size = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: float | None = None) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                               self.divisor_override)


class AvgPool3d(AvgPool2d):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); see :func:`tensorlite.nn.functional.avg_pool2d`."""

    _run = F.avg_pool3d


class _AdaptiveAvgPool(Module):
    _run: Any

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of as many shares of (N, C, L) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of as many shares of (N, C, H, W) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_avg_pool2d


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of as many shares of (N, C, D, H, W) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_avg_pool3d


class _AdaptiveMaxPool(Module):
    _run: Any

    def __init__(self, output_size: Size, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of as many shares of (N, C, L) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of as many shares of (N, C, H, W) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_max_pool2d


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of as many shares of (N, C, D, H, W) as asked for; see :func:`tensorlite.nn.functional.adaptive_avg_pool2d`."""

    _run = F.adaptive_max_pool3d


class _LPPool(Module):
    _run: Any

    def __init__(self, norm_type: float, kernel_size: Size, stride: Size = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._run(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"ceil_mode={self.ceil_mode}")


class LPPool1d(_LPPool):
    """(sum of x^p)^(1/p) of each window of (N, C, L); see :func:`tensorlite.nn.functional.lp_pool2d`."""

    _run = F.lp_pool1d


class LPPool2d(_LPPool):
    """(sum of x^p)^(1/p) of each window of (N, C, H, W); see :func:`tensorlite.nn.functional.lp_pool2d`."""

    _run = F.lp_pool2d


class LPPool3d(_LPPool):
    """(sum of x^p)^(1/p) of each window of (N, C, D, H, W); see :func:`tensorlite.nn.functional.lp_pool2d`."""

    _run = F.lp_pool3d


class Upsample(Module):
    """(N, C, ...) on a finer grid; the arguments are those of :func:`tensorlite.nn.functional.interpolate`.

    >>> import tensorlite as tl
    >>> tl.nn.Upsample(scale_factor=2, mode="bilinear")(tl.ones(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                 recompute_scale_factor: bool | None = None) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        grid = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{grid}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` with mode "nearest"."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` with mode "bilinear" and the corners aligned."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
