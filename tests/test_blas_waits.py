"""OpenBLAS's waiting time: set in a fresh process, left alone where somebody else has set it, and products go on being right."""
from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import ctypes, glob, os, pathlib
import numpy as np
a = np.random.default_rng(0).standard_normal((300, 300))
before = a @ a
import tensorlite
from tensorlite.backends import _blas_waits
assert np.array_equal(a @ a, before)
assert os.environ.get(_blas_waits.NAME) == GIVEN
found = glob.glob(str(pathlib.Path(np.__file__).parent.parent / "numpy.libs" / "lib*openblas*.so*"))
library = ctypes.CDLL(found[0]) if found else None
if hasattr(library, "openblas_thread_timeout"):
    assert library.openblas_thread_timeout() == int(GIVEN or _blas_waits.CYCLES), library.openblas_thread_timeout()
"""


def run(given: str | None) -> None:
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    env |= {"OPENBLAS_THREAD_TIMEOUT": given} if given else {}
    done = subprocess.run([sys.executable, "-c", f"GIVEN = {given!r}\n{CODE}"], env=env, capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_set_where_nobody_has() -> None:
    run(None)


def test_left_alone_where_somebody_has() -> None:
    run("20")
