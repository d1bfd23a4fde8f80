"""Convolution layers."""
from __future__ import annotations

from math import prod, sqrt
from typing import Any

from tensorlite.errors import ShapeError
from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn._linear import check_sizes, new_parameter
from tensorlite.nn._module import Module
from tensorlite.nn._parameter import Parameter
from tensorlite.ops.convolution import same_padding, sizes
from tensorlite.ops.rearrange import pad

Tensor = Any
Sizes = Any

MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all convolutions have: weights (out, in / groups, *kernel), or turned (in, out / groups, *kernel), and a bias."""

    bias: Parameter | None
    axes: int
    turned = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes, padding: Any, dilation: Sizes,
                 groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any) -> None:
        super().__init__()
        name, axes = type(self).__name__, self.axes
        check_sizes(name, in_channels=in_channels, out_channels=out_channels)
        if not hasattr(groups, "__index__") or groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"{name}: groups is {groups!r}; expected a number >= 1 that divides in_channels, {in_channels}, and "
                             f"out_channels, {out_channels}")
        if padding_mode not in (MODES[:1] if self.turned else MODES):
            raise ShapeError(f"{name}: padding_mode is {padding_mode!r}; expected "
                             f"{' or '.join(repr(m) for m in (MODES[:1] if self.turned else MODES))}")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size = sizes(name, "kernel_size", kernel_size, axes)
        self.stride, self.dilation = sizes(name, "stride", stride, axes), sizes(name, "dilation", dilation, axes)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ShapeError(f"{name}: padding is {padding!r}; expected numbers, 'same' or 'valid'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ShapeError(f"{name}: padding='same' keeps the size only with stride 1, and stride is {self.stride}")
            self.padding: Any = padding
        else:
            self.padding = sizes(name, "padding", padding, axes, 0)
        first, second = (in_channels, out_channels) if self.turned else (out_channels, in_channels)
        self.weight = new_parameter(first, second // groups, *self.kernel_size, device=device, dtype=dtype)
        self.register_parameter("bias", new_parameter(out_channels, device=device, dtype=dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New random values, uniform on +-1/sqrt(fan in): Kaiming's for a leaky ReLU of slope sqrt(5)."""
        fan_in = self.weight.shape[1] * prod(self.kernel_size)
        bound = 1 / sqrt(fan_in) if fan_in else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            pairs = same_padding(self.kernel_size, self.dilation) if padding == "same" else [
                (p, p) for p in ((0,) * self.axes if padding == "valid" else padding)]
            input = pad(input, [n for pair in reversed(pairs) for n in pair], mode=self.padding_mode)
            padding = 0
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", (0,) * self.axes), ("dilation", (1,) * self.axes), ("output_padding", (0,) * self.axes),
                            ("groups", 1), ("padding_mode", "zeros")):
            value = getattr(self, name, usual)
            if value != usual:
                text += f", {name}={value}"
        return text + ("" if self.bias is not None else ", bias=False")


class Conv1d(_Conv):
    """As :class:`Conv2d`, along one axis: (N, in, L) to (N, out, L')."""

    axes = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Any = 0,
                 dilation: Sizes = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device,
                         dtype)


class Conv2d(Conv1d):
    """Convolution over two axes (see ``functional.conv2d``): (N, in_channels, H, W) to (N, out_channels, H', W').

    ``weight`` (out, in / groups, K_h, K_w) and ``bias`` (out,) start uniform on +-1/sqrt(fan in). ``padding``: numbers, "same" or
    "valid"; ``padding_mode``: "zeros", "reflect", "replicate" or "circular". Errors: ``ShapeError`` for channels that groups do
    not divide, and for input of other channels.

    >>> import tensorlite as tl
    >>> tl.nn.Conv2d(3, 16, 3, padding="same")(tl.zeros(2, 3, 8, 8)).shape
    (2, 16, 8, 8)
    """

    axes = 2


class Conv3d(Conv1d):
    """As :class:`Conv2d`, over three axes: (N, in, D, H, W) to (N, out, D', H', W')."""

    axes = 3


class ConvTranspose1d(_Conv):
    """As :class:`ConvTranspose2d`, along one axis: (N, in, L) to (N, out, L')."""

    axes = 1
    turned = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0,
                 output_padding: Sizes = 0, groups: int = 1, bias: bool = True, dilation: Sizes = 1, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None) -> None:
        name = type(self).__name__
        if isinstance(padding, str):
            raise ShapeError(f"{name}: padding is {padding!r}; expected numbers: a transposed convolution has no 'same'")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device,
                         dtype)
        self.output_padding = sizes(name, "output_padding", output_padding, self.axes, 0)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """``output_size``: the spatial sizes wanted, out of those that the same convolution takes to the input's."""
        more = self.output_padding if output_size is None else self._more(input, output_size)
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.axes - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _more(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives this size."""
        name = type(self).__name__
        wanted = sizes(name, "output_size", tuple(output_size)[-self.axes:], self.axes)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in zip(
            input.shape[-self.axes:], self.stride, self.padding, self.dilation, self.kernel_size)]
        if any(not low <= n < low + s for n, low, s in zip(wanted, least, self.stride)):
            raise ShapeError(f"{name}: output_size is {wanted}; expected from {tuple(least)} to "
                             f"{tuple([low + s - 1 for low, s in zip(least, self.stride)])} for input of shape "
                             f"{tuple(input.shape)}")
        return tuple([n - low for n, low in zip(wanted, least)])


class ConvTranspose2d(ConvTranspose1d):
    """Transposed convolution over two axes (see ``functional.conv_transpose2d``): (N, in, H, W) to (N, out, H', W').

    ``weight`` (in, out / groups, K_h, K_w) and ``bias`` (out,) start uniform on +-1/sqrt(out / groups K_h K_w).

    >>> import tensorlite as tl
    >>> up = tl.nn.ConvTranspose2d(16, 3, 3, stride=2, padding=1)
    >>> up(tl.zeros(2, 16, 4, 4)).shape, up(tl.zeros(2, 16, 4, 4), output_size=(8, 8)).shape
    ((2, 3, 7, 7), (2, 3, 8, 8))
    """

    axes = 2


class ConvTranspose3d(ConvTranspose1d):
    """As :class:`ConvTranspose2d`, over three axes."""

    axes = 3


class Unfold(Module):
    """Every window as a column: (N, C, H, W) to (N, C K_h K_w, L)."""

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns put back into images, added where windows overlap: (N, C K_h K_w, L) to (N, C, *output_size)."""

    def __init__(self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0,
                 stride: Sizes = 1) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
                f"padding={self.padding}, stride={self.stride}")
