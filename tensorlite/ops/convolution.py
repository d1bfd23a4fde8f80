"""Convolutions, their transposes, and windows as columns, under PyTorch's names."""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tensorlite import _dtypes
from tensorlite.errors import DTypeError, ShapeError
from tensorlite.kernels._convolution import out_size
from tensorlite.ops import manipulation
from tensorlite.ops._convolution import channelwise, conv_input_grad_p, conv_p, fold_p, unfold_p
from tensorlite.ops._names import torch_names
from tensorlite.ops.elementwise import add_p
from tensorlite.ops.rearrange import pad_p

Array = Any
Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Sizes = int | Sequence[int]

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "fold", "same_padding",
           "sizes", "unfold"]


# ---- arguments ------------------------------------------------------------------------------------------------------------

def sizes(name: str, what: str, value: Any, axes: int, least: int = 1) -> Shape:
    """An integer for all axes, or one for each, none below ``least``."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    found = given * axes if len(given) == 1 else given
    if len(found) != axes or any(not hasattr(n, "__index__") or n < least for n in found):
        raise ShapeError(f"{name}: {what} is {value!r}; expected an integer >= {least}, or {axes} of them, one for each axis")
    return tuple([n.__index__() for n in found])


def same_padding(window: Shape, dilation: Shape) -> Pairs:
    """What keeps the size at stride 1; an odd number goes behind."""
    return tuple([(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for k, d in zip(window, dilation)])


def _pairs(name: str, padding: Any, window: Shape, stride: Shape, dilation: Shape) -> Pairs:
    """Padding as (before, after) for each axis."""
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ShapeError(f"{name}: padding is {padding!r}; expected numbers, 'same' or 'valid'")
        if padding == "same" and any(s != 1 for s in stride):
            raise ShapeError(f"{name}: padding='same' keeps the size only with stride 1, and stride is {stride}; give numbers")
        return same_padding(window, dilation) if padding == "same" else ((0, 0),) * len(window)
    return tuple([(p, p) for p in sizes(name, "padding", padding, len(window), 0)])


def _batched(name: str, input: Array, weight: Array, bias: Array | None, axes: int, groups: int, turned: bool) -> bool:
    """Whether the input has a batch axis; an error if the arrays do not go together."""
    for what, a in (("input", input), ("weight", weight), ("bias", bias)):
        if a is not None and not hasattr(a, "shape"):
            raise DTypeError(f"{name}: {what} is a {type(a).__name__}; expected a tensor or an array: wrap it with "
                             "tensorlite.asarray")
        if a is not None and _dtypes.kind(a.dtype) not in "fc":
            raise DTypeError(f"{name}: {what} has dtype {a.dtype}; expected a floating-point one: convert it with .to(...)")
    shapes = [None if a is None else tuple(a.shape) for a in (input, weight, bias)]
    return _shapes(name, *shapes, axes, groups, turned)


@lru_cache(maxsize=1024)
def _shapes(name: str, x: Shape, w: Shape, b: Shape | None, axes: int, groups: int, turned: bool) -> bool:
    """The same of their shapes."""
    if len(w) != axes + 2:
        raise ShapeError(f"{name}: weight has shape {w}; expected {axes + 2} axes, "
                         f"{'(C_in, C_out / groups' if turned else '(C_out, C_in / groups'}, *kernel)")
    if len(x) not in (axes + 1, axes + 2):
        raise ShapeError(f"{name}: input has shape {x}; expected {axes + 2} axes, (N, C, *size), or {axes + 1}, (C, *size): "
                         f"{'reshape it' if len(x) > axes + 2 else 'add an axis for the channels with unsqueeze(0)'}")
    if not hasattr(groups, "__index__") or groups < 1:
        raise ShapeError(f"{name}: groups is {groups!r}; expected an integer >= 1")
    c = x[-axes - 1]
    if w[0] % groups:
        raise ShapeError(f"{name}: weight of shape {w} has {w[0]} {'input' if turned else 'output'} channels, which {groups} "
                         "groups do not divide; choose a number of groups that does")
    if not turned and c % groups:
        raise ShapeError(f"{name}: input of shape {x} has {c} channels, which {groups} groups do not divide; choose a number of "
                         "groups that does")
    expected = w[0] if turned else w[1] * groups
    if c != expected:
        with_groups = f" in {groups} groups" if groups > 1 else ""
        raise ShapeError(f"{name}: input of shape {x} has {c} channels, and weight of shape {w}{with_groups} expects {expected}; "
                         f"give weight the shape {(c, *w[1:]) if turned else (w[0], c // groups, *w[2:])}, or the input "
                         f"{expected} channels")
    out = w[1] * groups if turned else w[0]
    if b is not None and b != (out,):
        raise ShapeError(f"{name}: bias has shape {b}, and weight of shape {w} makes {out} channels; expected ({out},)")
    return len(x) == axes + 2


# ---- convolution ----------------------------------------------------------------------------------------------------------

def _conv(name: str, axes: int, input: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any,
          groups: int) -> Array:
    batch = _batched(name, input, weight, bias, axes, groups, False)
    stride, padding, dilation = (tuple(v) if isinstance(v, list) else v for v in (stride, padding, dilation))
    options = _options(name, tuple(input.shape[-axes:]), tuple(weight.shape[2:]), stride, padding, dilation)
    x = input if batch else manipulation.expand_dims(input, 0)
    out = conv_p(x, weight, bias, **options, groups=int(groups))
    return out if batch else manipulation.squeeze(out, 0)


@lru_cache(maxsize=1024)
def _options(name: str, size: Shape, window: Shape, stride: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    """The operation's options, one number for each axis."""
    stride, dilation = sizes(name, "stride", stride, len(size)), sizes(name, "dilation", dilation, len(size))
    pairs = _pairs(name, padding, window, stride, dilation)
    for n, k, s, pair, d in zip(size, window, stride, pairs, dilation):
        if k < 1 or out_size(n, k, s, pair, d) < 1:
            reach = tuple([(k - 1) * d + 1 for k, d in zip(window, dilation)])
            padded = tuple([n + sum(pair) for n, pair in zip(size, pairs)])
            spread = "" if reach == window else f" ({_by(reach)} with its dilation)"
            whole = "" if padded == size else f" ({_by(padded)} with its padding)"
            raise ShapeError(f"{name}: the kernel, {_by(window)}{spread}, is larger than the input, {_by(size)}{whole}; use a "
                             "smaller kernel, more padding or a larger input")
    return {"stride": stride, "padding": pairs, "dilation": dilation}


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) if len(shape) > 1 else str(shape[0])


@torch_names
def conv1d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes | str = 0,
           dilation: Sizes = 1, groups: int = 1) -> Array:
    """As :func:`conv2d`, along one axis: input (N, C_in, L), weight (C_out, C_in / groups, K).

    >>> import tensorlite as tl
    >>> tl.nn.functional.conv1d(tl.tensor([[[1.0, 2.0, 4.0]]]), tl.tensor([[[-1.0, 1.0]]])).tolist()
    [[[1.0, 2.0]]]
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@torch_names
def conv2d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes | str = 0,
           dilation: Sizes = 1, groups: int = 1) -> Array:
    """The cross-correlation that networks call convolution, out[n, o, p] = bias[o] + sum_{c, t} x[n, c, p stride - padding + t
    dilation] weight[o, c, t], over two axes p, with zeros outside of x (LeCun et al. 1998, section II).

    input (N, C_in, H, W) or (C_in, H, W), weight (C_out, C_in / groups, K_h, K_w), bias (C_out,). A result is
    floor((H + 2 padding - dilation (K_h - 1) - 1) / stride) + 1 high, and likewise wide. ``stride``, ``padding``, ``dilation``:
    one number, or one for each axis; padding also "same" (stride 1: the size stays) or "valid" (none). ``groups``: the channels
    fall into so many parts, each with weights of its own. Where the input is channels-last in memory, so is the result.
    Errors: ``ShapeError`` for channels that do not go together, a kernel larger than the padded input, or groups that do not
    divide the channels.

    >>> import tensorlite as tl
    >>> tl.nn.functional.conv2d(tl.ones(1, 3, 8, 8), tl.ones(16, 3, 3, 3), stride=2, padding=1).shape
    (1, 16, 4, 4)
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@torch_names
def conv3d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes | str = 0,
           dilation: Sizes = 1, groups: int = 1) -> Array:
    """As :func:`conv2d`, over three axes: input (N, C_in, D, H, W), weight (C_out, C_in / groups, K_d, K_h, K_w)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


# ---- transposed convolution ----------------------------------------------------------------------------------------------

def _conv_transpose(name: str, axes: int, input: Array, weight: Array, bias: Array | None, stride: Any, padding: Any,
                    output_padding: Any, groups: int, dilation: Any) -> Array:
    batch = _batched(name, input, weight, bias, axes, groups, True)
    window = tuple(weight.shape[2:])
    stride, dilation = sizes(name, "stride", stride, axes), sizes(name, "dilation", dilation, axes)
    padding, more = sizes(name, "padding", padding, axes, 0), sizes(name, "output_padding", output_padding, axes, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation)):
        raise ShapeError(f"{name}: output_padding is {_by(more)}; expected less than the stride {_by(stride)} or the dilation "
                         f"{_by(dilation)}: it picks one of the sizes that a convolution of that stride takes to the input's")
    size = tuple([(n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, s, p, d, k, m in zip(
        input.shape[-axes:], stride, padding, dilation, window, more)])
    if any(n < 1 for n in size):
        raise ShapeError(f"{name}: input of shape {tuple(input.shape)} with a kernel of {_by(window)} and padding {_by(padding)} "
                         f"would give a result of {_by(size)}; use less padding")
    x = input if batch else manipulation.expand_dims(input, 0)
    # from one stride more on, the convolution of this size would have more outputs: it is to end before, and behind it are zeros
    ends = [m if m >= s else 0 for m, s in zip(more, stride)]
    behind = [max(m - p, 0) for m, p in zip(ends, padding)]
    out = conv_input_grad_p(x, weight, size=tuple([n - z for n, z in zip(size, behind)]), stride=stride, dilation=dilation,
                            padding=tuple([(p, max(p - m, 0)) for p, m in zip(padding, ends)]), groups=int(groups))
    if any(behind):
        out = pad_p(out, widths=((0, 0), (0, 0), *[(0, z) for z in behind]), value=0)
    out = out if bias is None else add_p(out, channelwise(bias, axes + 2))
    return out if batch else manipulation.squeeze(out, 0)


@torch_names
def conv_transpose1d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1) -> Array:
    """As :func:`conv_transpose2d`, along one axis."""
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@torch_names
def conv_transpose2d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1) -> Array:
    """The transpose of the linear map ``conv2d(., weight)``: each input spread over the window it stands for, plus the bias
    (Dumoulin and Visin 2016, section 4).

    input (N, C_in, H, W), weight (C_in, C_out / groups, K_h, K_w), bias (C_out,); a result is (H - 1) stride - 2 padding +
    dilation (K_h - 1) + output_padding + 1 high, and likewise wide.
    Errors: ``ShapeError`` as for ``conv2d``, and for an output_padding not below stride or dilation.

    >>> import tensorlite as tl
    >>> tl.nn.functional.conv_transpose2d(tl.ones(1, 16, 4, 4), tl.ones(16, 3, 2, 2), stride=2).shape
    (1, 3, 8, 8)
    """
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@torch_names
def conv_transpose3d(input: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1) -> Array:
    """As :func:`conv_transpose2d`, over three axes."""
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# ---- windows as columns ---------------------------------------------------------------------------------------------------

def _window(name: str, axes: int, kernel_size: Any, dilation: Any, padding: Any,
            stride: Any) -> tuple[Shape, Shape, Pairs, Shape]:
    window, dilation = sizes(name, "kernel_size", kernel_size, axes), sizes(name, "dilation", dilation, axes)
    padding, stride = sizes(name, "padding", padding, axes, 0), sizes(name, "stride", stride, axes)
    return window, stride, tuple([(p, p) for p in padding]), dilation


def _counts(name: str, size: Shape, window: Shape, stride: Shape, padding: Pairs, dilation: Shape) -> Shape:
    counts = tuple([out_size(*axis) for axis in zip(size, window, stride, padding, dilation)])
    if any(n < 1 for n in counts):
        raise ShapeError(f"{name}: a window of {_by(window)} with dilation {_by(dilation)} is larger than {_by(size)} with "
                         f"padding {_by(tuple([low for low, _ in padding]))}; use a smaller window or more padding")
    return counts


@torch_names
def unfold(input: Array, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Array:
    """Every window as a column: (N, C, H, W) or (C, H, W) to (N, C K_h K_w, L), L the number of windows. Any number of spatial
    axes is taken.

    >>> import tensorlite as tl
    >>> tl.nn.functional.unfold(tl.ones(1, 3, 5, 5), 2).shape
    (1, 12, 16)
    """
    axes = 2 if input.ndim == 3 else input.ndim - 2
    if axes < 1:
        raise ShapeError(f"unfold: input has shape {tuple(input.shape)}; expected (N, C, H, W) or (C, H, W)")
    window, stride, pairs, dilation = _window("unfold", axes, kernel_size, dilation, padding, stride)
    _counts("unfold", tuple(input.shape[-axes:]), window, stride, pairs, dilation)
    x = manipulation.expand_dims(input, 0) if input.ndim == 3 else input
    out = unfold_p(x, window=window, stride=stride, padding=pairs, dilation=dilation)
    return manipulation.squeeze(out, 0) if input.ndim == 3 else out


@torch_names
def fold(input: Array, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0,
         stride: Sizes = 1) -> Array:
    """The transpose of :func:`unfold`: columns (N, C K_h K_w, L) put back into images (N, C, *output_size), and added where
    windows overlap.

    >>> import tensorlite as tl
    >>> tl.nn.functional.fold(tl.ones(1, 4, 4), (3, 3), 2).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    axes = next((len(a) for a in (output_size, kernel_size, stride) if isinstance(a, (tuple, list)) and len(a) > 1), 2)
    size = sizes("fold", "output_size", output_size, axes)
    window, stride, pairs, dilation = _window("fold", axes, kernel_size, dilation, padding, stride)
    counts = _counts("fold", size, window, stride, pairs, dilation)
    rows, columns = 1, 1
    for k, n in zip(window, counts):
        rows, columns = rows * k, columns * n
    if input.ndim not in (2, 3) or input.shape[-2] % rows or input.shape[-1] != columns:
        raise ShapeError(f"fold: input has shape {tuple(input.shape)}; expected (N, C x {rows}, {columns}): windows of "
                         f"{_by(window)} at {_by(counts)} places of {_by(size)}")
    x = manipulation.expand_dims(input, 0) if input.ndim == 2 else input
    out = fold_p(x, size=size, window=window, stride=stride, padding=pairs, dilation=dilation)
    return manipulation.squeeze(out, 0) if input.ndim == 2 else out
