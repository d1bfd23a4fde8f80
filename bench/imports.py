"""Importing: time and memory of a fresh process, byte code cached as after an installation."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from ._measure import Result, compare

# VmHWM is this program's own peak; getrusage's would be inherited from the process that started it
REPORT = "; print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"


def run(peers: list[str]) -> list[Result]:
    """``import tensorlite`` beside ``import numpy`` and the peers."""
    results = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def importing(statement: str) -> Any:
            def once() -> int:
                done = subprocess.run([sys.executable, "-c", statement + REPORT], env=environment, capture_output=True, text=True,
                                      check=True)
                return int(done.stdout)
            return once
        candidates = {"tensorlite": importing("import tensorlite"), "numpy": importing("import numpy")}
        candidates.update({peer: importing(f"import {peer}") for peer in peers})
        memory = {label: once() for label, once in candidates.items()}
        note = ", ".join(f"{label} {kib / 1024:.0f} MiB" for label, kib in memory.items())
        results.append(compare("import, a fresh process", candidates, rounds=9, seconds=0.0,
                               note=f"peak memory: {note} (goal: 1.5 of NumPy's time)"))
        print(f"  peak memory: {note}")
    return results
