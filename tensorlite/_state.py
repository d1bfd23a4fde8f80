"""What is switched on right now: grad mode, open levels, defaults. One context variable, changed only by context managers."""
from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

NEVER = 1 << 62   # a level that no transform reaches: with record_from at NEVER nothing records


class State:
    """One immutable snapshot; ``with_`` makes the next one.

    ``record_from``: levels at or above it record a tape (0: all do, NEVER: none does).
    ``batches``: the open levels of vmap from the outermost on. ``observer``: sees every array operation, or None.
    ``autocast``: turns the arguments of an operation into others of the dtype it is to run in, or None; only where there is an
    observer, so that nobody else pays for it.
    """

    __slots__ = ("autocast", "batches", "device", "observer", "record_from", "strict_nan")

    def __init__(self) -> None:
        self.record_from = 0
        self.batches: tuple[Any, ...] = ()
        self.observer: Any = None
        self.autocast: Any = None
        self.device: str = "cpu"
        self.strict_nan = False

    def with_(self, **changes: Any) -> State:
        new = State.__new__(State)
        new.record_from, new.batches, new.observer, new.autocast = self.record_from, self.batches, self.observer, self.autocast
        new.device, new.strict_nan = self.device, self.strict_nan
        for name, value in changes.items():
            setattr(new, name, value)
        return new


_current: ContextVar[State] = ContextVar("tensorlite_state")
_current.set(State())
_base = State()


def current() -> State:
    """The state of this thread and task."""
    return _current.get(_base)


class changed:
    """A context manager (and decorator) under which parts of the state are different."""

    __slots__ = ("_changes", "_tokens")

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._tokens: list[Token[State]] = []

    def __enter__(self) -> Any:
        self._tokens.append(_current.set(current().with_(**self._changes)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.reset(self._tokens.pop())

    def __call__(self, function: Any) -> Any:
        from functools import wraps

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with changed(**self._changes):
                return function(*args, **kwargs)
        return inside


class no_grad(changed):
    """Nothing inside is recorded: results do not require gradients. Also a decorator.

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0], requires_grad=True)
    >>> with tl.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(record_from=NEVER)


class enable_grad(changed):
    """Undoes an enclosing ``no_grad`` inside it. Also a decorator."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(record_from=0)


class set_grad_enabled(changed):
    """``enable_grad()`` if ``mode`` is true, else ``no_grad()``."""

    __slots__ = ()

    def __init__(self, mode: bool) -> None:
        super().__init__(record_from=0 if mode else NEVER)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded here."""
    return current().record_from == 0


class config(changed):
    """Settings for the code inside: ``config(strict_nan=True)`` keeps 0 x inf = nan in gradients instead of masking zero
    cotangents.

    >>> import tensorlite as tl
    >>> with tl.config(strict_nan=True):
    ...     a = tl.tensor(0.0, requires_grad=True)
    ...     tl.where(a > 0, tl.sqrt(a), a).backward()
    >>> a.grad
    tensor(nan)
    """

    __slots__ = ()

    def __init__(self, *, strict_nan: bool = False) -> None:
        super().__init__(strict_nan=strict_nan)
