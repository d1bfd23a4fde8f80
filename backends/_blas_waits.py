"""OpenBLAS's threads give their cores back soon after a product.

After each product its workers wait awake for the next one, by default for 2^26 cycles, some 20 ms, on cores that the kernels'
threads (``kernels/_parallel.py``) then lack: the step of a small convolutional network on two cores took 53 ms, of which one
``linear`` cost 20, and takes 32 with 2^16 cycles. Products one after the other, also with pauses of 3 ms, take as long as before.

It concerns the whole process, so whoever has set ``OPENBLAS_THREAD_TIMEOUT`` has decided otherwise. Other BLAS libraries are left
alone, and so are builds that do not export the two functions that read the setting again and restart the workers, and processes
that have started threads before.
"""
from __future__ import annotations

import ctypes
import glob
import os
import threading
from pathlib import Path

import numpy as np

NAME, CYCLES = "OPENBLAS_THREAD_TIMEOUT", "16"   # a power of two

__all__ = ["wait_shortly"]


def wait_shortly() -> bool:
    """Set the waiting time of the OpenBLAS in NumPy's wheel; whether there was one, and nobody else had set it."""
    found = glob.glob(str(Path(np.__file__).parent.parent / "numpy.libs" / "lib*openblas*.so*"))
    if NAME in os.environ or len(found) != 1 or threading.active_count() > 1:   # another thread may be in a product
        return False
    try:
        library = ctypes.CDLL(found[0])
        read, restart = library.openblas_read_env, library.blas_thread_shutdown_   # the next product starts the workers
    except (AttributeError, OSError):
        return False
    os.environ[NAME] = CYCLES
    try:
        read()
        restart()
    finally:
        del os.environ[NAME]
    return True
