"""The numbers a step gives (loss, metrics), on their way from the device.

Reading a number waits for the device, and a device that is waited for at every step stands still while the next one is prepared.
So on a device that works on its own, a step's numbers are copied when they are ready and looked at a few steps later.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tensorlite.backends import backend_of
from tensorlite.engine.value import raw

LAG = 2   # steps that may be under way when a number is read


class Reading(NamedTuple):
    """What a batch gave: how many samples it had, the trainer's step, the values."""

    samples: int
    step: int
    values: list[float]


class Readings:
    """A queue of readings; ``lag`` of them may be waited for by nobody."""

    def __init__(self, lag: int = LAG) -> None:
        self.lag = lag
        self._waiting: deque[tuple[int, int, Any, Any]] = deque()

    def put(self, samples: int, step: int, values: Sequence[Any]) -> None:
        """Add a batch's values: scalar tensors or arrays, or numbers. The first is a tensor."""
        first = raw(values[0])
        backend = backend_of(first)
        if not backend.asynchronous:
            self._waiting.append((samples, step, None, [float(raw(v)) for v in values]))
            return
        with backend.on(backend.device_of(first)):
            numbers = backend.xp.empty(len(values), dtype=backend.xp.float64)
            for k, value in enumerate(values):
                numbers[k] = raw(value)
            host = backend.download(numbers)
            self._waiting.append((samples, step, backend.mark(), host))

    def take(self, everything: bool = False) -> Iterator[Reading]:
        """What has come in; with ``everything``, all there is, waited for."""
        while self._waiting:
            samples, step, mark, values = self._waiting[0]
            if mark is not None:
                if not everything and len(self._waiting) <= self.lag and not mark.done:
                    return
                mark.synchronize()
            self._waiting.popleft()
            yield Reading(samples, step, [float(v) for v in values])
