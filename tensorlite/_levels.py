"""The tensors of transforms: each holds a value of the level below and knows what its level does with an operation."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite._tensor import Tensor
from tensorlite.engine import batching, forward
from tensorlite.engine.forward import dual
from tensorlite.engine.levels import OPEN, check_open, held
from tensorlite.engine.value import Value, provide
from tensorlite.errors import ShapeError, VmapError
from tensorlite.ops.functions import trunc

__all__ = ["BatchTensor", "DualTensor", "LevelTensor"]


def _cut(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


class LevelTensor(Tensor):
    """A value of ``grad``'s or ``vjp``'s level: operations on it are recorded there."""

    __slots__ = ("level",)

    def through(self, op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        """Run ``op``, of whose arguments this is one of the highest level."""
        return op.reverse(args, options, level)

    def _host(self) -> Any:
        check_open(self.level, "asking for a value")
        return self.value._host() if isinstance(self.value, Tensor) else super()._host()

    def numpy(self, *, force: bool = False) -> Any:
        check_open(self.level, "numpy")
        return super().numpy(force=force)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        check_open(self.level, "np.asarray")
        return super().__array__(dtype, copy)

    def __dlpack__(self, **options: Any) -> Any:
        check_open(self.level, "__dlpack__")
        return super().__dlpack__(**options)

    def backward(self, *args: Any, **options: Any) -> None:
        check_open(self.level, "backward")
        super().backward(*args, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.clone()

    def __str__(self) -> str:
        check_open(self.level, "print")
        return repr(self)

    def __repr__(self) -> str:   # debuggers show it, so it never raises
        return super().__repr__() if self.level in OPEN else f"tensor(<of a transform that has ended>, dtype={self.dtype})"

    def __bool__(self) -> bool:   # of the value below: vmap asks no more than the question
        return bool(self.value) if isinstance(self.value, Tensor) else super().__bool__()

    def __int__(self) -> int:
        return int(self.value) if isinstance(self.value, Tensor) else super().__int__()

    def take_place_of(self, new: Any) -> None:
        """Hold what ``new`` holds, a value of this level or (a constant to it) of one below."""
        self.value = new.value if isinstance(new, Value) and new.level == self.level else new


class DualTensor(LevelTensor):
    """A value of forward mode with its tangent."""

    __slots__ = ("tangent",)
    tangent: Any

    def through(self, op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        return forward.through(op, args, options, level)

    def take_place_of(self, new: Any) -> None:
        mine = isinstance(new, Value) and new.level == self.level
        self.value, self.tangent = (new.value, new.tangent) if mine else (new, None)
        self.tracked = self.tangent is not None

    def detach(self) -> Any:
        return dual(_cut(self.value), None, self.level)

    def __copy__(self) -> Any:
        return dual(self.value, self.tangent, self.level)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Forward mode asks nobody: as it is."""
        return self


class BatchTensor(LevelTensor):
    """A value inside of vmap: what the function sees of a batch, whose axis is the first of the value below."""

    __slots__ = ()

    def through(self, op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        return batching.through(op, args, options, level)

    def take_place_of(self, new: Any) -> None:
        if isinstance(new, Value) and new.level == self.level:
            self.value = new.value
        else:
            self.value = batching.everywhere(new, False, self.value.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)[1:]

    @property
    def ndim(self) -> int:
        return int(self.value.ndim) - 1

    @property
    def requires_grad(self) -> bool:
        return isinstance(self.value, Tensor) and self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def _host(self) -> Any:
        """The values, which an answer in Python depends on: all examples must agree, or the batch splits."""
        branches = batching.opened(self.level).branches
        if branches is None:
            raise VmapError(f"vmap: a batched tensor of shape {self.shape} was asked for its value (by if, while, bool(), int(), "
                            ".item(), .numpy(), ...), which differs along the batch; use where(), or vmap(f, branching='group'), "
                            "which runs the function once for each path")
        return branches.decide(held(self.value)._host())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool((self != 0)._host())

    def __int__(self) -> int:
        whole = self if _dtypes.kind(self.dtype) in "biuc" else trunc(self) + 0   # -0 is 0
        return int(whole.item())

    def numpy(self, *, force: bool = False) -> Any:
        return self._host()

    def __dlpack__(self, **options: Any) -> Any:
        return self._host().__dlpack__(**options)

    def detach(self) -> Any:
        return batching.batch(_cut(self.value), self.level)

    def __copy__(self) -> Any:
        return batching.batch(self.value, self.level)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        if isinstance(self.value, Tensor):
            self.value.requires_grad_(requires_grad)
        return self

    def __repr__(self) -> str:
        if self.level not in OPEN:
            return super().__repr__()
        return f"tensor(<a batch of {self.value.shape[0]} of shape {self.shape}, dtype {self.dtype}>)"


provide(inner=LevelTensor, dual=DualTensor, batch=BatchTensor)
