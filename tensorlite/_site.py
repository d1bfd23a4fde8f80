"""Which line of the user's program is running: kept per tape node as (code, instruction) and turned into text only for errors."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import CodeType

Site = tuple[CodeType, int]

_ROOTS: tuple[str, ...] = (os.path.join(os.path.dirname(os.path.abspath(__file__)), ""),)
_ours: dict[str, bool] = {}   # file name -> whether it is this library's: asked for every recorded op, so looked up, not compared


def search_path(path: Iterable[str]) -> list[str]:
    """The package's ``__path__``: in a source tree ``backends`` and ``kernels`` lie beside the package, not in it.

    Without this, Python started in the folder of the source tree finds the package there and not its parts, wherever else it is
    installed.
    """
    folders = list(path)
    if folders and not os.path.isdir(os.path.join(folders[0], "backends")):
        folders.append(os.path.dirname(os.path.abspath(folders[0])))
    return folders


def _is_library(path: str) -> bool:
    """Whether a file belongs to this library or to another installed one: what says something to the user is in neither."""
    return path.startswith(_ROOTS) or f"{os.sep}site-packages{os.sep}" in path


def caller(depth: int = 1) -> Site:
    """The innermost frame outside of libraries; the ``depth`` nearest ones are known to be inside (a look at one costs 50 ns)."""
    frame = sys._getframe(depth)
    while True:
        code = frame.f_code
        ours = _ours.get(code.co_filename)
        if ours is None:
            ours = _ours[code.co_filename] = _is_library(os.path.abspath(code.co_filename))
        if not ours or frame.f_back is None:
            return code, frame.f_lasti
        frame = frame.f_back


def describe(site: Site | None) -> str:
    """``file.py:12``, or ``an unknown line``."""
    if site is None:
        return "an unknown line"
    code, instruction = site
    line = code.co_firstlineno
    for start, stop, number in code.co_lines():
        if start <= instruction < stop and number is not None:
            line = number
            break
    return f"{code.co_filename}:{line}"
