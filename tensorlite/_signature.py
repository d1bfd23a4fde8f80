"""What arguments a kernel takes and what results it gives, as text: ``"x: (n, d), w: (d) -> (n, d)"``."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorlite import _dtypes
from tensorlite.errors import DTypeError, KernelError, ShapeError

__all__ = ["Part", "Signature"]

KEPT = 1024   # combinations of shapes that are remembered
KINDS = {"float": "f", "int": "iu", "bool": "b"}
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")
_PART = re.compile(r"\s*(?:(\w+)\s*:)?\s*(\w+)?\s*\(([^()]*)\)\s*(,|$)")


class Part(NamedTuple):
    """An argument or a result. ``sizes``: names, integers, and first perhaps ``"..."``."""

    name: str
    dtype: str
    sizes: tuple[Any, ...]

    def __str__(self) -> str:
        return "(" + ", ".join(map(str, self.sizes)) + ("," if len(self.sizes) == 1 else "") + ")"


class Signature:
    """A signature that was read.

    ``text``: arguments ``name: dtype (sizes)`` with commas between, ``->``, results (their names are optional). A size is a name,
    which stands for one number throughout, or a number; a first ``...`` stands for any number of sizes, the same throughout. A
    dtype is that of an array (``int64``), ``float``, ``int`` or ``bool`` for any of that kind, or left out.

    Errors: ``KernelError`` for one that cannot be read, or that is not that of the reference.

    >>> signature = Signature("rms_norm", "x: (..., d), w: (d) -> (..., d)", ["x", "w"])
    >>> signature.sizes([(2, 3, 4), (4,)])
    {'...': (2, 3), 'd': 4}
    >>> signature.sizes([(2, 3, 4), (5,)])
    Traceback (most recent call last):
    tensorlite.errors.ShapeError: rms_norm: w has shape (5,), expected (d,) with d = 4 as in x
    """

    def __init__(self, op: str, text: str, arguments: Sequence[str]) -> None:
        self.op, self.text = op, text
        self._known: dict[Any, dict[str, Any]] = {}   # sizes by shapes: a training loop's are few
        given, arrow, result = text.partition("->")
        if not arrow:
            raise KernelError(f"{op}: signature {text!r} has no '->'; expected such as 'x: (n, d), w: (d) -> (n, d)'")
        self.arguments, self.results = self._parts(given), self._parts(result)
        self._typed = any(part.dtype for part in self.arguments)
        found = [part.name for part in self.arguments]
        if found != list(arguments):
            raise KernelError(f"{op}: signature {text!r} has the arguments {', '.join(found) or 'none'}; those of the "
                                 f"reference are {', '.join(arguments)}")
        known = {size for part in self.arguments for size in part.sizes}
        for part in self.results:
            unknown = [size for size in part.sizes if isinstance(size, str) and size not in known]
            if unknown:
                raise KernelError(f"{op}: signature {text!r}: the result's size {unknown[0]} is of no argument; there are "
                                     f"{', '.join(sorted(map(str, known)))}")
        if not self.results:
            raise KernelError(f"{op}: signature {text!r} has no result")

    def _parts(self, text: str) -> list[Part]:
        out, at, text = [], 0, text.strip()
        while at < len(text):
            found = _PART.match(text, at)
            if found is None:
                raise KernelError(f"{self.op}: signature {self.text!r} cannot be read at {text[at:].strip()!r}; expected such "
                                     "as 'x: (n, d)' or 'labels: int (n)'")
            name, dtype, sizes, _ = found.groups()
            if dtype and dtype not in KINDS and dtype not in DTYPES:
                raise KernelError(f"{self.op}: signature {self.text!r}: {dtype} is no dtype; expected one of "
                                     f"{', '.join((*KINDS, *DTYPES))}")
            out.append(Part(name or "", dtype or "", self._sizes(sizes)))
            at = found.end()
        return out

    def _sizes(self, text: str) -> tuple[Any, ...]:
        words = [w.strip() for w in text.split(",")]
        words = words[:-1] if words[-1] == "" else words   # (n,)
        for i, word in enumerate(words):
            if not (word.isdigit() or word.isidentifier() or (word == "..." and i == 0)):
                raise KernelError(f"{self.op}: signature {self.text!r}: {word!r} is no size; expected a name, a number, or "
                                     "'...' as the first")
        return tuple(int(w) if w.isdigit() else w for w in words)

    def sizes(self, shapes: Sequence[tuple[int, ...] | None]) -> dict[str, Any]:
        """What each name stands for, given the arguments' shapes (None for an argument that is left out)."""
        key = tuple(shapes)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[key] = self._sizes_of(key)
        return found

    def _sizes_of(self, shapes: tuple[tuple[int, ...] | None, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        where: dict[str, str] = {}
        for part, shape in zip(self.arguments, shapes):
            if shape is None:
                continue
            sizes, rest = part.sizes, shape
            if sizes[:1] == ("...",):
                cut = len(shape) - len(sizes) + 1
                sizes, rest = sizes[1:], shape[cut:] if cut >= 0 else ()
                if cut >= 0 and found.setdefault("...", shape[:cut]) != shape[:cut]:
                    self._differ(part, shape, found, where)
                where.setdefault("...", part.name)
            if len(sizes) != len(rest):
                self._differ(part, shape, found, where)
            for size, n in zip(sizes, rest):
                if (found.setdefault(size, n) if isinstance(size, str) else size) != n:
                    self._differ(part, shape, found, where)
                where.setdefault(size, part.name)
        return found

    def _differ(self, part: Part, shape: tuple[int, ...], found: dict[str, Any], where: dict[str, str]) -> None:
        known = [f"{size} = {found[size]} as in {where[size]}" for size in part.sizes if where.get(size, part.name) != part.name]
        raise ShapeError(f"{self.op}: {part.name} has shape {tuple(shape)}, expected {part}"
                         + (" with " + ", ".join(known) if known else ""))

    def check_dtypes(self, arrays: Sequence[Any]) -> None:
        """Raise ``DTypeError`` for an argument of another dtype than the signature says."""
        for part, array in zip(self.arguments, arrays) if self._typed else ():
            if part.dtype and hasattr(array, "dtype") and not _is(array.dtype, part.dtype):
                raise DTypeError(f"{self.op}: {part.name} has dtype {array.dtype}, expected {part.dtype}")

    def shape(self, part: Part, sizes: dict[str, Any]) -> tuple[int, ...]:
        """The shape of a result."""
        out: list[int] = []
        for size in part.sizes:
            out += sizes[size] if size == "..." else [sizes[size] if isinstance(size, str) else size]
        return tuple(out)

    def check_results(self, results: Sequence[Any], sizes: dict[str, Any], version: str) -> None:
        """Raise if what a version of the kernel returned is not what the signature says."""
        if len(results) != len(self.results):
            raise ShapeError(f"{self.op}: {version} returned {len(results)} result{'s' * (len(results) != 1)}, expected "
                             f"{len(self.results)}: {self.text}")
        for i, (part, result) in enumerate(zip(self.results, results)):
            what = part.name or ("result" if len(results) == 1 else f"result {i}")
            if tuple(result.shape) != (expected := self.shape(part, sizes)):
                raise ShapeError(f"{self.op}: {version} returned {what} of shape {tuple(result.shape)}, expected {part} = "
                                 f"{expected}")
            if part.dtype and not _is(result.dtype, part.dtype):
                raise DTypeError(f"{self.op}: {version} returned {what} of dtype {result.dtype}, expected {part.dtype}")


def _is(dtype: Any, word: str) -> bool:
    return _dtypes.kind(dtype) in KINDS[word] if word in KINDS else str(dtype).rpartition(".")[2] == word
