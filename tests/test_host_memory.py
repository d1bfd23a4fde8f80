"""Host memory that was freed stays for the next array, unless somebody has decided otherwise."""
from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
import tensorlite as tl
from tensorlite.backends._host_memory import keep_freed
print(keep_freed())
x = tl.ones(1_000_000)
def step():
    y = x
    for _ in range(4):
        y = y * x
    return [y + k for k in range(4)]
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


def run(**variables: str) -> tuple[str, float]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    out = subprocess.run([sys.executable, "-c", PROGRAM], env={**environment, **variables}, capture_output=True, text=True,
                         check=True)
    kept, faults = out.stdout.split()
    return kept, float(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has these thresholds")
def test_a_loop_asks_the_system_for_no_pages() -> None:
    kept, faults = run()
    assert kept == "True" and faults < 100   # a step of 4 MB arrays touches over 5000 pages


@pytest.mark.parametrize("variable", [{"TENSORLITE_MALLOC": "system"}, {"MALLOC_ARENA_MAX": "2"},
                                      {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}])
def test_other_decisions_are_respected(variable: dict[str, str]) -> None:
    assert run(**variable)[0] == "False"
