"""Watching operations: NaNs and costs."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from tensorlite import backends
from tensorlite._dtypes import kind
from tensorlite._site import caller, describe
from tensorlite._state import changed, current
from tensorlite.debug._graph import table
from tensorlite.engine import tape
from tensorlite.engine.value import KIND, RAW, raw
from tensorlite.errors import TensorliteError

__all__ = ["AnomalyError", "Profile", "detect_anomaly", "profile", "run_watched"]


class AnomalyError(TensorliteError, ArithmeticError):
    """An operation made a NaN or an infinity out of finite values."""

    __module__ = "tensorlite.debug"


def _observing(observer: Callable[[Any, Any], Any]) -> changed:
    """The state with one more observer of every array operation."""
    before = current().observer
    return changed(observer=observer if before is None else lambda op, run: observer(op, before(op, run)))


def run_watched(op: Any, implementation: Any, values: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """What an implementation returns, a library's scalar made the array that it will be; and the arrays in it."""
    out = implementation(*values, **options)
    if op.outputs != 1:
        return out, [o for o in out if o is not None]
    if KIND.get(type(out)) != RAW:
        lead = next((v for v in values if KIND.get(type(v)) == RAW), None)
        out = out if lead is None else backends.backend_of(lead).asarray(out)
    return out, [out]


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside, an operation (forward or backward) that makes NaN or inf of finite values raises :class:`AnomalyError`.

    Each operation's values are looked through, which makes everything slower.

    >>> import tensorlite as tl
    >>> with tl.debug.detect_anomaly():
    ...     tl.log(tl.tensor([1.0, -1.0]))   # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tensorlite.debug.AnomalyError: log made 1 nan out of finite values at ...
    """
    import numpy as np

    from tensorlite.optim._optimizer import _Update

    def observer(op: Any, implementation: Any) -> Any:
        def run(*values: Any, **options: Any) -> Any:
            if isinstance(op, _Update) and _not_finite(_flat(values)):   # it changes what it is given: look before
                return implementation(*values, **options)
            with np.errstate(all="ignore"):
                out, arrays = run_watched(op, implementation, values, options)
            bad = _not_finite(arrays)
            if bad and (isinstance(op, _Update) or not _not_finite([*_flat(values), *_flat(options.values())])):
                raise AnomalyError(f"{op.name} made {bad} out of finite values {_place()}")
            return out
        return run

    with _observing(observer):
        yield


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for v in values:
        if isinstance(v, (tuple, list)):
            yield from _flat(v)
        else:
            yield v


def _not_finite(values: Iterable[Any]) -> str:
    """``2 nan, 1 inf``: what is in these values, or an empty string."""
    nans = infs = 0
    for v in values:
        array = raw(v)
        if isinstance(array, float):
            nans, infs = nans + (array != array), infs + (array in (float("inf"), -float("inf")))
        elif KIND.get(type(array)) == RAW and kind(array.dtype) in "fc":
            xp = backends.backend_of(array).xp
            nans, infs = nans + int(xp.sum(xp.isnan(array))), infs + int(xp.sum(xp.isinf(array)))
    return ", ".join(f"{n} {what}" for n, what in ((nans, "nan"), (infs, "inf")) if n)


def _place() -> str:
    """The line of the user's program; in backward, that of the operation whose rule is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is tape.run.__code__:
            return f"in backward of {tape.describe_node(frame.f_locals['node'])}"
        frame = frame.f_back   # type: ignore[assignment]
    return f"at {describe(caller())}"


class Profile:
    """What :func:`profile` counted: ``rows`` maps an operation's name to [calls, seconds, bytes of results]."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}

    def add(self, name: str, seconds: float, size: int) -> None:
        """Count one call."""
        row = self.rows.setdefault(name, [0, 0.0, 0])
        row[0], row[1], row[2] = row[0] + 1, row[1] + seconds, row[2] + size

    @property
    def seconds(self) -> float:
        """Time in all operations together."""
        return sum(row[1] for row in self.rows.values())

    def __str__(self) -> str:
        total = self.seconds or 1.0
        rows = [("operation", "calls", "ms", "%", "MB out")]
        for name, (calls, seconds, size) in sorted(self.rows.items(), key=lambda item: -item[1][1]):
            rows.append((name, str(calls), f"{seconds * 1e3:.3f}", f"{100 * seconds / total:.1f}", f"{size / 1e6:.3f}"))
        return table(rows)


@contextmanager
def profile() -> Iterator[Profile]:
    """Count calls, time and bytes of every operation inside, forward and backward; ``print`` what it gives.

    >>> import tensorlite as tl
    >>> with tl.debug.profile() as p:
    ...     _ = tl.exp(tl.ones(10)) + 1.0
    >>> p.rows["exp"][0], p.rows["exp"][2]
    (1, 40)
    """
    counted = Profile()

    def observer(op: Any, implementation: Any) -> Any:
        def run(*values: Any, **options: Any) -> Any:
            start = perf_counter()
            out, arrays = run_watched(op, implementation, values, options)
            if arrays and KIND.get(type(arrays[0])) == RAW:
                backends.backend_of(arrays[0]).synchronize()
            counted.add(op.name, perf_counter() - start, sum(getattr(a, "nbytes", 0) for a in arrays))
            return out
        return run

    with _observing(observer):
        yield counted
