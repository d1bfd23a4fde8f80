"""Layers that pad the last one, two or three axes."""
from __future__ import annotations

from typing import Any

from tensorlite.errors import ShapeError
from tensorlite.nn import functional as F
from tensorlite.nn._module import Module

Tensor = Any


class _Pad(Module):
    _mode: str = "constant"
    _axes: int

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self._axes) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self._axes:
            raise ShapeError(f"{type(self).__name__}: padding is {padding!r}; expected an integer, or {2 * self._axes} of "
                             "them: before and behind the last axis, then the one before it")

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < self._axes + 1:
            raise ShapeError(f"{type(self).__name__}: input has shape {tuple(input.shape)}; expected {self._axes + 1} or "
                             f"{self._axes + 2} axes, (N, C, ...)")
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_Pad):
    """Zeros at the ends of the last axis; ``padding``: one width, or (left, right)."""

    _axes = 1


class ZeroPad2d(_Pad):
    """Zeros around images; ``padding``: one width, or (left, right, top, bottom).

    >>> import tensorlite as tl
    >>> tl.nn.ZeroPad2d((1, 0, 0, 0))(tl.ones(1, 1, 1, 2)).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    _axes = 2


class ZeroPad3d(_Pad):
    """Zeros around volumes; ``padding``: one width, or (left, right, top, bottom, front, back)."""

    _axes = 3


class ConstantPad1d(_Pad):
    """``value`` at the ends of the last axis."""

    _axes = 1

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """``value`` around images."""

    _axes = 2


class ConstantPad3d(ConstantPad1d):
    """``value`` around volumes."""

    _axes = 3


class ReflectionPad1d(_Pad):
    """The last axis mirrored at its ends, which are not repeated."""

    _axes, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Images mirrored at their borders, which are not repeated."""

    _axes, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Volumes mirrored at their borders, which are not repeated."""

    _axes, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The ends of the last axis repeated."""

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The borders of images repeated."""

    _axes, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The borders of volumes repeated."""

    _axes, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last axis continued from its other end."""

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Images continued from their other side."""

    _axes, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Volumes continued from their other side."""

    _axes, _mode = 3, "circular"
