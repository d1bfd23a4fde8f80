"""The value that flows: a raw array at level 0, or a value of the level below, with its place on the tape."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorlite import backends

# What the type of an argument says about it, with one look-up on the everyday path. A type that is not here takes the long way.
EVERYDAY, RAW, SCALAR = 1, 2, 3
KIND: dict[type, int] = {bool: SCALAR, int: SCALAR, float: SCALAR, complex: SCALAR, type(None): SCALAR}


class Value:
    """The state every tensor has. ``tensorlite.Tensor`` adds the methods."""

    __slots__ = ("__weakref__", "extra", "grad", "node", "tracked", "value")
    level = 0
    value: Any
    tracked: bool
    node: Any
    grad: Any
    extra: Any

    if TYPE_CHECKING:   # what the engine's users rely on and tensorlite.Tensor has
        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def dtype(self) -> Any: ...
        @property
        def ndim(self) -> int: ...
        @property
        def device(self) -> str: ...
        def detach(self) -> Any: ...
        def clone(self) -> Any: ...
        def to(self, *target: Any, **options: Any) -> Any: ...
        def item(self) -> Any: ...
        def numel(self) -> int: ...


class Extra:
    """What few tensors have: hooks, a retained gradient, and the memory they share as views (see ``engine/inplace.py``)."""

    __slots__ = ("cut", "handle", "hooks", "parent", "replay", "root", "views")

    def __init__(self) -> None:
        self.hooks: dict[int, Any] | None = None
        self.parent: Value | None = None      # the tensor this one is a view of
        self.replay: Any = None               # (operation, further arguments, options, index): what makes this view of its parent
        self.root: Value | None = None        # the tensor that the parent, its parent, ... are views of
        self.cut = False                      # made under no_grad of a tracked parent: a constant that looks into its memory
        self.views: list[Any] | None = None   # weak references to the views of this one, of their views, ...
        self.handle: Any = None


def extra_of(value: Value) -> Extra:
    """The tensor's ``extra``, made if it has none."""
    if value.extra is None:
        value.extra = Extra()
    found: Extra = value.extra
    return found


class Provided:
    """What the layers above hand to the engine: the tensor classes and the few operations the engine itself needs."""

    tensor: Any = Value           # the everyday class, level 0
    inner: Any = Value            # the class of a reverse level's values
    dual: Any = Value             # of a forward level's
    batch: Any = Value            # of vmap's
    namespace: Any = None         # namespace(): the public functions, as an array namespace
    add: Any = None               # add(x, y)
    sum_to: Any = None            # sum_to(x, shape): undo broadcasting
    cast: Any = None              # cast(x, dtype)
    asarray: Any = None           # asarray(value): a level-0 tensor of anything
    ones_like: Any = None
    zeros_like: Any = None
    write_view: Any = None        # write_view(x, v, replay): x with the part that replay picks replaced by v
    is_differentiable: Any = None # is_differentiable(dtype): floating or complex
    expand: Any = None            # expand(x, shape=)
    reshape: Any = None           # reshape(x, shape=)
    permute: Any = None           # permute(x, axes=)


def provide(**things: Any) -> None:
    """Hand something to the engine; see :class:`Provided`."""
    for name, thing in things.items():
        setattr(Provided, name, staticmethod(thing) if callable(thing) and not isinstance(thing, type) else thing)


def everyday(kind: type) -> type:
    """Class decorator: values of exactly this class are level-0 tensors and take the everyday path."""
    KIND[kind] = EVERYDAY
    return kind


def new(array: Any) -> Any:
    """An untracked level-0 tensor that holds ``array``, without a copy."""
    tensor = Provided.tensor.__new__(Provided.tensor)
    tensor.value, tensor.tracked, tensor.node, tensor.grad, tensor.extra = array, False, None, None, None
    return tensor


def wrap(value: Any, level: int) -> Any:
    """``value``, which lives one level below, as an untracked value of ``level``."""
    if level == 0:
        return new(value)
    kind = Provided.inner
    tensor = kind.__new__(kind)
    tensor.value, tensor.tracked, tensor.node, tensor.grad, tensor.extra, tensor.level = value, False, None, None, None, level
    return tensor


def raw(value: Any) -> Any:
    """The raw array at the bottom of a value (or the argument itself, when it is none)."""
    while isinstance(value, Value):
        value = value.value
    return value


def _follow(backend: backends.Backend) -> None:
    KIND[backend.array_type] = RAW
    for kind in backend.scalar_types:
        KIND[kind] = SCALAR


backends._on_register.append(_follow)
for _backend in list(backends._by_name.values()):
    _follow(_backend)
