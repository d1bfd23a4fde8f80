"""Every kernel, by every variant and peer: time, rate, and how far that is from what the machine can do."""
from __future__ import annotations

import gc
import json
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tensorlite.errors import BackendUnavailable
from tensorlite.kernels import Kernel, discover, load, names

from . import _cases, _device, _linear, _measure, _peers
from ._cases import Case, Problem
from ._device import Candidate, Cpu, Cuda
from ._report import details, line, plot, summary

__all__ = ["Failure", "at_most", "failures", "gates", "measure", "misses", "run"]

TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "tf32": 4e-3, "float16": 4e-3, "bfloat16": 2e-2}
CHECKED_AT_MOST = {"put_rows": 2048, "embedding_grad": 4096}   # their references take long, or much memory
COMPILE_SECONDS = 20   # what a peer's first call may take
RETRIES = 2            # of a case that is below its gate: another program may have been running
SETS = 256             # of inputs, to find none of them in the cache
GATES = Path(__file__).with_name("gates.json")


class Failure(Exception):
    """A variant that must not be timed."""


def run(options: Any) -> int:
    """Measure, print, write; 0, or 1 if a variant is wrong or below its gate."""
    begin = drawn = time.monotonic()
    discover()
    device = _device.device(options.device)
    seconds = options.seconds or (40 if options.quick else 150 if device.kind == "cuda" else 400)
    chosen = options.kernel or [*names(), "linear"]
    libraries = _peers.libraries(device) if options.peers else {}
    gc.freeze()   # collections between the cases look at the cases' objects only, not at what the libraries made
    size = 1 << 20 if options.limit else device.copied
    limits: dict[str, Any] = {"copy": device.copy_rate(size), "product": device.product_rates(options.limit or device.product)}
    report: dict[str, Any] = {"machine": {**_measure.machine(), **device.versions()}, "device": device.kind, "name": device.name,
                              "limits": limits, "cases": [], "skipped": [], "failed": []}
    wanted = gates(options.gate, device) if options.gate is not None else {}
    for case in _cases.listed(device, chosen):
        if options.quick and case.size != "large":
            continue
        left = seconds - (time.monotonic() - begin)
        if left <= 0:
            report["skipped"].append(case.title)
            continue
        compiled = options.compile if options.compile is not None else device.kind == "cuda" and left > 0.6 * seconds
        tries: list[tuple[list[str], dict[str, Any]]] = []
        try:
            while not tries or (tries[-1][0] and len(tries) <= RETRIES):
                found = measure(device, case, libraries, limits, rounds=1 if options.limit else 3 if options.quick else 7,
                                limit=options.limit, compiled=compiled and case.size == "large",
                                patience=min(COMPILE_SECONDS, left))
                tries.append((misses(found, wanted.get(case.title, {})), found))
        except MemoryError:
            report["skipped"].append(f"{case.title} (memory)")
            device.empty_cache()
            continue
        except Exception as error:   # the cases after it are still of interest
            report["failed"].append(f"{case.title}: {type(error).__name__}: {error}"[:300])
            print(report["failed"][-1], flush=True)
            continue
        below, found = min(tries, key=lambda t: len(t[0]))
        report["cases"].append(found)
        report["failed"] += failures(found) + below
        print(line(found), flush=True)
        write(report, options)
        if options.plot and time.monotonic() > drawn + 60:
            plot(report, options.plot)
            drawn = time.monotonic()
    gc.unfreeze()
    if isinstance(device, Cpu):
        report["product_after_kernel"] = device.product_after_kernel(options.limit or 1 << 22)
    limits["copy"] = max(limits["copy"], device.copy_rate(size))   # the higher of before and after
    for found in report["cases"]:
        for by in found["by"].values():
            by["copy"] = by["bytes_per_second"] / limits["copy"]
    write(report, options)
    if options.plot:
        plot(report, options.plot)
    print("\n" + summary(report))
    if options.gate is not None:
        measured = {c["title"] for c in report["cases"]}
        print(f"\ngates: {len(measured & set(wanted))} of {len(wanted)} measured, {len(report['failed'])} below")
    for failure in report["failed"]:
        print(f"BELOW ITS GATE OR WRONG: {failure}")
    return int(bool(report["failed"]))


def write(report: dict[str, Any], options: Any) -> None:
    """What is known so far: a run may be ended at any moment."""
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        Path(options.markdown).write_text(f"{summary(report)}\n\n{details(report)}\n")


# ---- one case ---------------------------------------------------------------------------------------------------------------

def measure(device: Cpu | Cuda, case: Case, libraries: dict[str, Any], limits: dict[str, Any], *, rounds: int = 7,
            limit: int | None = None, compiled: bool = False, patience: float = COMPILE_SECONDS) -> dict[str, Any]:
    """Time, spread and rates of every candidate, and the first of ours in comparison with the others."""
    problem = case.problem(device, limit=limit)
    if case.kernel == "linear":
        kernel, cost, ours = None, _linear.cost(problem), _linear.variants(device, case)
    else:
        kernel = load(case.kernel)
        cost, ours = problem.cost(kernel), device.variants(kernel)
    problems = [problem, *[problem.copy() for _ in range(_sets(device, cost.bytes) - 1)]]
    found: dict[str, Any] = {"title": case.title, "kernel": case.kernel, "tag": case.tag, "dims": case.dims, "dtype": case.dtype,
                             "size": case.size, "bytes": cost.bytes, "flops": cost.flops, "by": {}, "notes": {}}
    candidates: dict[str, Candidate] = {}
    truth: list[Any] = []
    for label, get in ours.items():
        if label == "numba_cuda" and case.dtype not in ("float32", "float64"):
            found["notes"][label] = "leaves this dtype to the reference"
            continue
        try:
            function = get()
            error = _error(device, kernel, case, function, truth, limit)
            if not error <= TOLERANCE.get(case.dtype, 1e-6):
                raise Failure(f"wrong: error {error:.2g}")
            candidates[label] = Candidate([p.bind(function) for p in problems])
        except Failure as failure:
            found["notes"][label] = str(failure)
        except (ImportError, BackendUnavailable, NotImplementedError) as missing:
            found["notes"][label] = f"not here: {missing}"
        except Exception as error:   # of a variant, or of a way that does not take such rows; the others are still of interest
            refused = isinstance(error, ValueError) and ":" in label
            said = f"{'does not apply' if refused else 'failed'}: {type(error).__name__}: {error}"
            found["notes"][label] = said.splitlines()[0][:300]
    truth.clear()
    device.empty_cache()
    if kernel is not None:
        composed: Callable[..., Any] = COMPOSITIONS.get(case.kernel, kernel.reference)
        candidates[device.composition] = Candidate([p.bind(partial(composed, device.xp)) for p in problems[:1]])
    peers = [] if kernel is not None else [_linear.limit(device, case, problems)]
    for label, make in [*peers, *_peers.found(device, libraries, case, problems, compiled)]:
        try:
            with at_most(patience):
                candidate = make()
                device.seconds(Candidate(candidate.runs[:1], candidate.wait), 1)
            candidates[label] = candidate
        except Exception as error:   # a peer that does not work is no reason to stop
            found["notes"][label] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    _time(device, candidates, found, limits, rounds, 0.0 if limit else 0.02 if device.kind == "cuda" else 0.05)
    candidates.clear()
    gc.collect()
    device.empty_cache()
    if "torch" in libraries:
        libraries["torch"].compiler.reset()
        if device.kind == "cuda" and libraries["torch"].cuda.is_available():
            libraries["torch"].cuda.empty_cache()
    return found


def _sets(device: Cpu | Cuda, size: int) -> int:
    """How many sets of inputs there must be to find none in the cache; 1 where one is too large for it, or that is not asked."""
    if device.kind == "cpu" or size >= 2 * device.cache or size * SETS < 2 * device.cache:
        return 1
    return max(2, -(-2 * device.cache // max(size, 1)))


def _error(device: Cpu | Cuda, kernel: Kernel | None, case: Case, function: Callable[..., Any], truth: list[Any],
           limit: int | None) -> float:
    """Against the reference in float64: of all results the largest of ``max|e| / max|ref|`` and ``sum|e| / sum|ref|``.

    Memory that the results will lie in is filled with NaN first. Where float64 does not fit, a smaller problem is looked at.
    """
    atmost = [CHECKED_AT_MOST.get(case.kernel), 4096, 512] if limit is None else [limit]
    for most in atmost:
        try:
            problem = case.problem(device, seed=7, limit=most)
            if not truth:
                wide = problem.wide(device)
                reference = _linear.reference if kernel is None else kernel.reference
                truth += wide.results(wide.bind(partial(reference, device.xp))())
            return _compared(device, problem, function, truth)
        except MemoryError:
            truth.clear()
            device.empty_cache()
    raise Failure("could not be checked: not enough memory")


def _compared(device: Cpu | Cuda, problem: Problem, function: Callable[..., Any], truth: list[Any]) -> float:
    xp, first = device.xp, problem.copy()
    poisoned = first.results(first.bind(function)())
    for array in poisoned:
        if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
            array[...] = float("nan")
    del poisoned, first
    mine = problem.copy()
    got = mine.results(mine.bind(function)())
    device.synchronize()
    if len(got) != len(truth):
        raise Failure(f"wrong: {len(got)} results, expected {len(truth)}")
    worst = 0.0
    for a, e in zip(got, truth):
        if tuple(a.shape) != tuple(e.shape):
            raise Failure(f"wrong: a result of shape {tuple(a.shape)}, expected {tuple(e.shape)}")
        if not e.size:
            continue
        wide = e.astype("float64")
        difference, size = xp.abs(a.astype("float64") - wide), xp.abs(wide)
        for measured in (xp.max, xp.sum):
            off = float(measured(difference)) / max(float(measured(size)), 1e-30)
            worst = off if not off <= worst else worst   # a NaN too
    return worst


def _composed_embedding_grad(xp: Any, g: Any, indices: Any, *, rows: int) -> Any:
    out = xp.zeros((rows, g.shape[1]), dtype=g.dtype)
    if type(g).__module__ != "numpy":
        xp.add.at(out, indices, g)
        return out
    order = xp.argsort(indices, kind="stable")
    names, starts = xp.unique(indices[order], return_index=True)
    out[names] = xp.add.reduceat(g[order], starts, axis=0)
    return out


def _composed_put_rows(xp: Any, x: Any, v: Any, indices: Any) -> Any:
    out = x.copy()
    out[indices] = v
    return out


# What one would write with the array library, where the reference is not that
COMPOSITIONS: dict[str, Callable[..., Any]] = {"embedding_grad": _composed_embedding_grad, "put_rows": _composed_put_rows}


def _time(device: Cpu | Cuda, candidates: dict[str, Candidate], found: dict[str, Any], limits: dict[str, Any], rounds: int,
          seconds: float) -> None:
    """All by turns, round by round; fills ``found["by"]``."""
    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {label: [] for label in candidates}
    cold: dict[str, list[float]] = {label: [] for label in candidates}
    warm = {label: Candidate(c.runs[:1], c.wait) for label, c in candidates.items()}
    for label, candidate in warm.items():
        begin = time.perf_counter()
        once = device.seconds(candidate, 1)
        most = min(200, int(10 * seconds / (time.perf_counter() - begin)))
        counts[label] = 1 if once > seconds or most < 2 else max(1, min(most, int(seconds / device.seconds(candidate, 2))))
    labels = list(candidates)
    for r in range(rounds):
        for label in labels[r % len(labels):] + labels[:r % len(labels)]:
            times[label].append(device.seconds(warm[label], counts[label]))
            if len(candidates[label].runs) > 1:
                cold[label].append(device.seconds(candidates[label], max(counts[label], 2)))
    for label in labels:
        median = statistics.median(times[label])
        found["by"][label] = {
            "seconds": median, "low": min(times[label]), "high": max(times[label]),
            "cold_seconds": statistics.median(cold[label]) if cold[label] else None,
            "host_seconds": device.host_seconds(warm[label], counts[label]),
            "bytes_per_second": found["bytes"] / median, "flops_per_second": found["flops"] / median,
            "copy": found["bytes"] / median / limits["copy"],
            "product": found["flops"] / median / limits["product"].get(found["dtype"], float("inf")),
        }
    found["ours"] = ours = next((label for label in labels if label in ("cpu", "cuda", "tensorlite")), None)
    if ours is not None:
        found["ratios"] = {label: statistics.median(a / b for a, b in zip(times[ours], times[label])) for label in labels
                           if label != ours}
        found["best_ratios"] = {label: min(times[ours]) / min(times[label]) for label in labels if label != ours}


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """``TimeoutError`` after so long, where signals can be had."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def give_up(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds:.0f} s")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- gates ------------------------------------------------------------------------------------------------------------------

def gates(path: str, device: Cpu | Cuda) -> dict[str, dict[str, float]]:
    """Title -> what it must reach on this device: those of its kind, and over them those of its name.

    ``{"cuda": {"adam 784x512x512x10 float32": {"copy": 0.85, "torch": 1.0}}}``: at least 0.85 of the copy rate, at most 1.0 of
    PyTorch's time. ``bench/gates.json`` unless ``path`` says where.
    """
    stored = json.loads(Path(path or GATES).read_text())
    return {**stored.get(device.kind, {}), **stored.get(device.name, {})}


def failures(found: dict[str, Any]) -> list[str]:
    """The variants of the case that were not timed, for a reason that is an error."""
    return [f"{found['title']}, {label}: {note}" for label, note in found["notes"].items()
            if note.startswith(("wrong", "could not be checked", "failed"))]


def misses(found: dict[str, Any], wanted: dict[str, float]) -> list[str]:
    """The gates of the case that neither the medians nor the best times reach."""
    out = []
    ours = found["by"].get(found["ours"]) if found.get("ours") else None
    for what, bound in wanted.items():
        if ours is None:
            out.append(f"{found['title']}: not measured, so not {bound} of {what}")
        elif what in ("copy", "product"):
            reached = ours[what] * ours["seconds"] / ours["low"]
            if reached < bound:
                out.append(f"{found['title']}: {reached:.2f} of the {what} rate, expected {bound} at least")
        elif what in found["ratios"]:
            ratio = min(found["ratios"][what], found["best_ratios"][what])
            if ratio > bound:
                out.append(f"{found['title']}: {ratio:.2f} of {what}'s time, expected {bound} at most")
    return out
