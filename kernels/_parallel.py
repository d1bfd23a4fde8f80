"""Runs a serial, GIL-free compiled function over ranges of its work, on a few Python threads.

Why not Numba's ``prange``. Microseconds on two cores, medians, for an exponential of 4e5 numbers (43 serial) and then a
512 x 512 x 128 matrix product in OpenBLAS (290 alone), the two by turns::

    prange, OpenMP layer             7600 + 4300    its workers spin after a loop and OpenBLAS wants their core, and back
    prange, OpenMP, passive waiting    56 +  295    an environment variable that must be set before OpenMP is loaded
    prange, workqueue layer           113 +  292    aborts the process when two Python threads enter it at once
    here                               73 +  295

OpenMP besides aborts a forked child that uses it. These workers sleep on a lock, survive ``fork``, and serve any number of
callers. Waking a thread takes 20 to 50 us. So kernels give a thread no less than some 100 us of work (everyday sizes run
serially), ranges grow smaller towards the end (a worker starts late, and all should end together), and the caller waits for the
others' last ranges awake: the sum of 4e6 numbers took 216 us with equal ranges and a sleeping caller, and takes 140 so.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

from ._math import jit, pause_and_load

__all__ = ["run", "threads"]

LEAST = 8         # parts of a thread's share that are not divided further
PATIENCE = 2000   # turns that the caller waits awake for the others' last ranges: some 50 us


class _Job:
    """One call: ranges of ``function(low, high, *args)`` taken one by one by whoever is free: the caller works on alone until a
    worker is awake, and a thread that the machine holds up does not hold up the call."""

    __slots__ = ("args", "done", "ended", "error", "function", "least", "left", "lock", "next", "share", "total")

    def __init__(self, function: Callable[..., Any], total: int, threads: int, args: tuple[Any, ...]) -> None:
        self.function, self.total, self.args = function, total, args
        self.share, self.least = 2 * threads, max(1, total // (LEAST * threads))
        self.next, self.left = 0, total
        self.error: BaseException | None = None
        self.lock, self.done, self.ended = threading.Lock(), threading.Lock(), np.zeros(1, np.int64)
        self.done.acquire()

    def work(self) -> None:
        while True:
            with self.lock:
                low = self.next
                rest = self.total - low
                if not rest:
                    return
                self.next = high = low + min(max(rest // self.share, self.least), rest)
            try:
                self.function(low, high, *self.args)
            except BaseException as error:
                self.error = error
            with self.lock:
                self.left -= high - low
                if not self.left:
                    self.ended[0] = 1
                    self.done.release()


@jit(nogil=True)
def _await(word: Any, turns: Any) -> None:
    """Until the word is not 0 any more, or so many turns long. To be woken takes longer than most last pieces do."""
    for _ in range(turns):
        if pause_and_load(word):
            return


class _Pool:
    """Sleeping daemon threads, started by the first job that wants them and forgotten in a forked child."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.started = 0
        self.lock = threading.Lock()

    def submit(self, job: _Job, helpers: int) -> None:
        if self.started < helpers:
            with self.lock:
                while self.started < helpers:
                    name = f"tensorlite-kernels-{self.started}"
                    threading.Thread(target=_serve, args=(self.jobs,), name=name, daemon=True).start()
                    self.started += 1
        for _ in range(helpers):
            self.jobs.put(job)


def _serve(jobs: SimpleQueue[_Job]) -> None:
    while True:
        jobs.get().work()


_pool = _Pool()


def _forget() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def threads() -> int:
    """How many threads a large call uses: ``TENSORLITE_NUM_THREADS``, else the cores this process may run on."""
    asked = os.environ.get("TENSORLITE_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_THREADS = threads()


def run(function: Callable[..., Any], total: int, grain: int, *args: Any) -> None:
    """Call ``function(low, high, *args)`` over ranges that cover ``[0, total)``; each thread gets at least ``grain`` of it.

    ``function`` must release the GIL and write to disjoint places for disjoint ranges. The caller works too, and returns
    when all of it is done; an exception in any piece is raised again here.
    """
    wanted = min(_THREADS, total // max(grain, 1))
    if wanted <= 1:
        function(0, total, *args)
        return
    job = _Job(function, total, wanted, args)
    _pool.submit(job, wanted - 1)
    job.work()
    _await(job.ended, PATIENCE)
    job.done.acquire()
    job.args = ()  # a worker may yet find this job in the queue, long after; it is not to keep the arrays alive
    if job.error is not None:
        raise job.error
