"""The Tensor: an array with a place on the tape. Its methods are the operations of ``tensorlite.ops``, bound."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite.engine import inplace, tape
from tensorlite.engine.value import Value, everyday, extra_of, new, provide, raw, wrap
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.ops import elementwise


@everyday
class Tensor(Value):
    """A multi-dimensional array whose operations can be differentiated. Make one with :func:`tensorlite.tensor`.

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __array_priority__ = 1000

    # ---- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> Any:
        """The element type."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self.value.ndim)

    @property
    def device(self) -> str:
        """Where the array lives: ``"cpu"``, ``"cuda:0"``, ..."""
        array = raw(self)
        return backends.backend_of(array).device_of(array)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operation."""
        return self.node is None

    @property
    def grad_fn(self) -> Any:
        """The node of the operation that made it, or None."""
        return self.node

    # ---- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return elementwise.add_p(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise.add_p(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise.sub_p(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise.sub_p(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise.mul_p(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise.mul_p(other, self)

    def __neg__(self) -> Tensor:
        return elementwise.neg_p(self)

    # ---- elementwise (ops/elementwise.py, ops/functions.py, ops/comparison.py, ops/activation.py) ---------------------

    # ---- reductions, softmax, cumulative, searching, sorting, sets (ops/reduction.py, ops/searching.py) --------------

    # ---- manipulation and indexing (ops/manipulation.py, ops/indexing.py) --------------------------------------------

    # ---- linear algebra (ops/contraction.py) -------------------------------------------------------------------------


class LevelTensor(Tensor):
    """A value of a transform's level: it holds a tensor (or an array) of the level below."""

    __slots__ = ("level",)


provide(tensor=Tensor, inner=LevelTensor, is_differentiable=_dtypes.is_differentiable)
