"""Whether integers are within a range, in plain array code: the oracle of the compiled versions."""
from __future__ import annotations

from typing import Any, NoReturn

from ...errors import OutOfRangeError

__all__ = ["check_indices", "out_of_range"]


def check_indices(xp: Any, indices: Any, *, low: int, high: int, what: str = "check_indices", axis: int | None = None,
                  shape: tuple[int, ...] | None = None) -> Any:
    """``indices`` themselves, if all are in [low, high).

    ``what``: the operation that the error is to name; ``axis`` and ``shape``: what it indexes, where there is one array.
    ``OutOfRangeError`` (an IndexError) naming an index that is not.
    """
    if 0 not in indices.shape:
        smallest, largest = int(xp.min(indices)), int(xp.max(indices))
        if smallest < low or largest >= high:
            out_of_range(smallest if smallest < low else largest, low, high, what, axis, shape)
    return indices


def out_of_range(index: int, low: int, high: int, what: str, axis: int | None = None,
                 shape: tuple[int, ...] | None = None) -> NoReturn:
    """Raise the error for one index."""
    where = "" if axis is None else f" for axis {axis}"
    of = f" of length {high}" + ("" if shape is None else f" (shape {shape})")
    valid = f"valid are {low} to {high - 1}" if high > low else "no index is valid in an axis of length 0"
    raise OutOfRangeError(f"{what}: index {index} is out of range{where or ' for an axis'}{of}; {valid}")
