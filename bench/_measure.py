"""Timing on a machine that others use too: candidates take turns in short rounds, and medians are compared."""
from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

ROUNDS = 15
ROUND_SECONDS = 0.15


class Result(dict[str, Any]):
    """One line of the table: a name, seconds by library, ratios of ours over the others'."""


def compare(name: str, candidates: dict[str, Callable[[], Any]], *, rounds: int = ROUNDS, seconds: float = ROUND_SECONDS,
            goal: float | None = None, against: str = "torch", note: str = "") -> Result:
    """Time the candidates round by round, in turns, and compare ``tensorlite`` with each of the others.

    A round calls each candidate for about ``seconds`` and takes the time of one call; the ratio is the median of the rounds'
    ratios, so that a slow spell of the machine, which slows neighbours in time alike, cancels.
    """
    counts = {}
    for label, run in candidates.items():
        run()
        start = time.perf_counter()
        run()
        once = time.perf_counter() - start
        counts[label] = max(1, int(seconds / max(once, 1e-7)))
    times: dict[str, list[float]] = {label: [] for label in candidates}
    labels = list(candidates)
    for r in range(rounds):
        for label in labels[r % len(labels):] + labels[:r % len(labels)]:
            run, n = candidates[label], counts[label]
            gc.collect()
            gc.disable()
            try:
                start = time.perf_counter()
                for _ in range(n):
                    run()
                times[label].append((time.perf_counter() - start) / n)
            finally:
                gc.enable()
    medians = {label: statistics.median(t) for label, t in times.items()}
    result = Result(name=name, seconds=medians, rounds=rounds, goal=goal, against=against, note=note)
    result["spread"] = {label: (min(t), max(t)) for label, t in times.items()}
    result["ratios"] = {label: statistics.median(a / b for a, b in zip(times["tensorlite"], times[label]))
                        for label in labels if label != "tensorlite"}
    show(result)
    return result


def human(seconds: float) -> str:
    """``12.3 us``."""
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def show(result: Result) -> None:
    """Print one line as soon as it is known."""
    times = "  ".join(f"{label} {human(t)}" for label, t in result["seconds"].items())
    ratios = "  ".join(f"/{label} {r:.2f}" for label, r in result["ratios"].items())
    goal = "" if result["goal"] is None else f"  (goal /{result['against']} <= {result['goal']})"
    print(f"{result['name']:<52} {times}   {ratios}{goal}", flush=True)


def table(results: list[Result]) -> str:
    """The results as a Markdown table."""
    peers = sorted({label for r in results for label in r["seconds"]} - {"tensorlite"}, key=lambda p: (p != "torch", p))
    lines = ["| case | tensorlite | " + " | ".join(f"{p} | ours / {p}" for p in peers) + " | goal |",
             "|---|---|" + "---|---|" * len(peers) + "---|"]
    for r in results:
        cells = [r["name"], human(r["seconds"]["tensorlite"])]
        for p in peers:
            cells += [human(r["seconds"][p]), f"{r['ratios'][p]:.2f}"] if p in r["seconds"] else ["", ""]
        lines.append("| " + " | ".join([*cells, "" if r["goal"] is None else f"/ {r['against']} <= {r['goal']:g}"]) + " |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the figures were taken on: hardware, versions, commit."""
    import numpy
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "cpu": platform.machine(),
                             "cores": os.cpu_count(), "load": os.getloadavg()[0], "numpy": numpy.__version__}
    with suppress(OSError, StopIteration), open("/proc/cpuinfo") as lines:
        found["cpu"] = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    for module in ("torch", "jax", "numba", "tensorlite"):
        if module in sys.modules:
            found[module] = sys.modules[module].__version__
    with suppress(OSError, subprocess.CalledProcessError):
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        found["commit"] = commit.stdout.strip()
    return found


def save(path: str, results: list[Result]) -> None:
    """All of a run as JSON."""
    with open(path, "w") as file:
        json.dump({"machine": machine(), "results": results}, file, indent=1)
