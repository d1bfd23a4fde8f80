"""Host memory that was freed is kept for the next array.

The GNU C library hands memory at the end of its heap back to the system as soon as there is more than about twice the largest
block freed so far, and the next array waits for every page of it to be mapped and cleared again: some 0.4 ms a megabyte, more
than most operations take. A training loop frees and asks for the same blocks at every step. With thresholds that let up to 1 GiB
stay, a step of an MLP 784-512-512-10 with 128 rows takes 2.2 ms instead of 10.6 (PyTorch in the same process 3.3 instead of 7.9).

It concerns the whole process. Whoever has set ``MALLOC_...`` or ``GLIBC_TUNABLES`` variables has decided otherwise, and
``TENSORLITE_MALLOC=system`` leaves everything as it is.
"""
from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3   # malloc.h
KEPT = 1 << 30     # bytes at the end of the heap that are not handed back
HEAP = 32 << 20    # blocks up to so many bytes, the most that there may be, come from the heap


def keep_freed() -> bool:
    """Set the thresholds; whether there was anything to set, and nobody else had."""
    given = any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if not sys.platform.startswith("linux") or given or os.environ.get("TENSORLITE_MALLOC") == "system":
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version   # noqa: B018 - another C library's mallopt need not know these
        mallopt = library.mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, HEAP) and mallopt(M_TRIM_THRESHOLD, KEPT))


__all__ = ["keep_freed"]
