"""Runs a serial, GIL-free compiled function over ranges of its work, on a few Python threads.

Why not Numba's ``prange``. Microseconds on two cores, medians, for an exponential of 4e5 numbers (43 serial) and then a
512 x 512 x 128 matrix product in OpenBLAS (290 alone), the two by turns::

    prange, OpenMP layer             7600 + 4300    its workers spin after a loop and OpenBLAS wants their core, and back
    prange, OpenMP, passive waiting    56 +  295    an environment variable that must be set before OpenMP is loaded
    prange, workqueue layer           113 +  292    aborts the process when two Python threads enter it at once
    here                               73 +  295

OpenMP besides aborts a forked child that uses it. These workers sleep on a lock, survive ``fork``, and serve any number of
callers. Waking one takes 20 to 50 us, so that two threads break even at 100 to 150 us of serial work (4e6 numbers: 544
serial, 310 here): kernels give a thread no less than some 100 us of work, and everyday sizes run serially.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["run", "threads"]

# Pieces are handed out as they are asked for: the caller works on alone until a worker is awake, and a thread that the
# machine holds up does not hold up the call.
PIECES_PER_THREAD = 4


class _Job:
    """One call: pieces ``[0, count)`` of ``function(low, high, *args)`` taken one by one by whoever is free."""

    __slots__ = ("args", "count", "done", "error", "function", "lock", "pending", "size", "taken", "total")

    def __init__(self, function: Callable[..., Any], total: int, count: int, args: tuple[Any, ...]) -> None:
        self.function, self.total, self.count, self.args = function, total, count, args
        self.size = -(-total // count)
        self.taken = 0
        self.pending = count
        self.error: BaseException | None = None
        self.lock, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()

    def work(self) -> None:
        while True:
            with self.lock:
                piece = self.taken
                if piece >= self.count:
                    return
                self.taken += 1
            try:
                low = min(piece * self.size, self.total)
                self.function(low, min(low + self.size, self.total), *self.args)
            except BaseException as error:
                self.error = error
            with self.lock:
                self.pending -= 1
                if self.pending == 0:
                    self.done.release()


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
    job = _Job(function, total, min(wanted * PIECES_PER_THREAD, total), args)
    _pool.submit(job, wanted - 1)
    job.work()
    job.done.acquire()
    job.args = ()  # a worker may yet find this job in the queue, long after; it is not to keep the arrays alive
    if job.error is not None:
        raise job.error
