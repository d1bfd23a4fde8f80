"""Parameters: tensors that a module owns and an optimizer changes."""
from __future__ import annotations

from typing import Any

from tensorlite._tensor import Tensor
from tensorlite.engine.value import Value, everyday
from tensorlite.ops import creation


@everyday
class Parameter(Tensor):
    """A leaf tensor that a module which it is assigned to counts among its parameters.

    ``data``: a tensor, whose memory is shared, or what ``tensorlite.tensor`` takes. Errors: ``DTypeError`` for integers with
    ``requires_grad``.

    >>> import tensorlite as tl
    >>> tl.nn.Parameter(tl.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        source = data if isinstance(data, Value) else creation.tensor(data)
        self.value, self.tracked, self.node, self.grad, self.extra = source.value, False, None, None, None
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
