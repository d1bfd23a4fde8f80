"""Host code made from what a user gives as a kernel's CUDA version: C++ statements, or a source with entry points."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tensorlite.errors import KernelError

from ._cuda import SUFFIX, Source, suffix
from ._cuda.pointwise import Pointwise

__all__ = ["from_body", "from_source"]

FLOATS = frozenset(SUFFIX)
DEFAULT_SHARED = 48 << 10   # bytes of dynamic shared memory that need no leave
_ENTRY = re.compile(r"__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+([\w#]+)\s*\(([^)]*)\)")
_INCLUDED = re.compile(r'^(\s*#include "\w+\.cuh".*)$', re.MULTILINE)


class from_body:
    """Host code of an elementwise kernel whose formula is C++; ``NotImplemented`` for other dtypes and for several shapes."""

    def __init__(self, name: str, arrays: Sequence[str], numbers: Iterable[str], body: str) -> None:
        self.name = name
        self.run = Pointwise(name, " ".join(arrays), body.strip(), " ".join(numbers))
        self.source = self.run.source
        self.source._text = (self.source._text or "").replace(
            "template <class A> __device__", f'#line 1 "{name}"\ntemplate <class A> __device__', 1).replace(
            "#define ENTRY", '#line 1 "entry points"\n#define ENTRY', 1)

    def __call__(self, runtime: Any, *arrays: Any, **numbers: Any) -> Any:
        with _Explained(self.name, self.run.source):
            out = self.run(runtime, *arrays, **numbers)
        return NotImplemented if out is None else out


class from_source:
    """Host code of a source: makes the results that the signature says, and launches ``NAME_SUFFIX(results, arguments, sizes,
    options)``.

    Floating arguments have one dtype, which is the entry point's; what the signature calls ``int`` comes as ``long long``.
    ``NotImplemented`` for dtypes without an entry point.
    """

    def __init__(self, name: str, signature: Any, options: Sequence[str], text: str,
                 grid: Callable[..., tuple[int, ...]] | None) -> None:
        self.name, self.signature, self.options, self.grid = name, signature, options, grid
        self.sizes = list(dict.fromkeys(s for part in signature.arguments for s in part.sizes if isinstance(s, str)))
        lines = text.split("\n")
        numbered = [f'{line}\n#line {i + 2} "{name}.cu"' if _INCLUDED.match(line) else line for i, line in enumerate(lines)]
        self.source = Source(None, f"{name}.cu", text=f'#line 1 "{name}.cu"\n' + "\n".join(numbered))
        self.given = text
        every = "ENTRIES(" in text
        self.entries = {s for s in SUFFIX.values() if every or re.search(rf"\b{name}_{s}\b", text)}
        self._check()

    def _check(self) -> None:
        """Compare the entry points' parameters with what they are launched with: CUDA itself would read others' memory."""
        if not self.entries:
            raise KernelError(f"kernel {self.name!r}: the source has no entry point {self.name}_f32, _f64, _f16 or _bf16, nor "
                              "ENTRIES(...)")
        pointers = [part.name or "result" for part in self.signature.results] + [part.name for part in self.signature.arguments]
        expected = [*("*" for _ in pointers), *("long long" for _ in self.sizes), *("double" for _ in self.options)]
        names = [*pointers, *("..." if s == "..." else s for s in self.sizes), *self.options]
        for entry, text in _ENTRY.findall(self.given):
            if not re.sub(r"[\s#]", "", entry).startswith(self.name):
                continue
            parameters = [p.strip() for p in text.split(",")] if text.strip() else []
            if [_kind(p) for p in parameters] != expected:
                wanted = ", ".join(f"{'T*' if kind == '*' else kind} {name}" for kind, name in zip(expected, names))
                raise KernelError(f"kernel {self.name!r}: entry point {entry} takes ({', '.join(parameters)}); it is launched "
                                  f"with ({wanted}): results, arguments, sizes, options")

    def __call__(self, runtime: Any, *arrays: Any, **options: Any) -> Any:
        held = [a for a in arrays if hasattr(a, "dtype")]
        floating = [a for a in held if a.dtype.kind not in "biuc"]
        kind = suffix(*floating) if floating else "f32"
        if kind not in self.entries:
            return NotImplemented
        sizes = self.signature.sizes([None if a is None else tuple(getattr(a, "shape", ())) for a in arrays])
        dtype = floating[0].dtype if floating else "float32"
        results = [runtime.cupy.empty(self.signature.shape(part, sizes), _result_dtype(part.dtype, dtype))
                   for part in self.signature.results]
        given = [self._argument(runtime, part, a) for part, a in zip(self.signature.arguments, arrays)]
        numbers = [_product(sizes.get(s, 0)) for s in self.sizes]
        blocks, threads, *shared = self.grid(*numbers) if self.grid is not None else (runtime.grid(results[0].size)[0], 256)
        if blocks and any(r.size for r in results):
            with _Explained(self.name, self.source, f"{self.name}_{kind}"):
                launch = runtime.function(self.source, f"{self.name}_{kind}")
                if shared and shared[0] > DEFAULT_SHARED:
                    launch.max_dynamic_shared_size_bytes = int(shared[0])
                more = [self._number(name, options[name]) for name in self.options]
                launch((int(blocks),), (int(threads),), (*results, *given, *numbers, *more),
                       shared_mem=int(shared[0]) if shared else 0)
        return tuple(results) if len(results) > 1 else results[0]

    def _argument(self, runtime: Any, part: Any, array: Any) -> Any:
        if array is None:
            return 0
        if not hasattr(array, "dtype"):
            raise KernelError(f"{self.name}: {part.name} is the number {array!r}; a CUDA source takes arrays: "
                              f"tl.tensor({array!r})")
        if part.dtype == "int":
            array = array.astype("int64", copy=False)
        return runtime.contiguous(array)

    def _number(self, name: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise KernelError(f"{self.name}: option {name} is {value!r}; a CUDA source takes numbers: write host code for "
                              "others") from None


def _kind(parameter: str) -> str:
    """``*``, ``long long``, ``double``, or what else a parameter of C++ is."""
    if "*" in parameter:
        return "*"
    return "long long" if re.search(r"\b(i64|long long)\b", parameter) else "double" if "double" in parameter else parameter


def _product(size: Any) -> int:
    if isinstance(size, int):
        return size
    out = 1
    for n in size:
        out *= n
    return out


def _result_dtype(word: str, dtype: Any) -> Any:
    return {"": dtype, "float": dtype, "int": "int64"}.get(word, word)


class _Explained:
    """A context that turns a compiler's error into one with the lines it speaks of."""

    def __init__(self, name: str, source: Source, entry: str = "") -> None:
        self.name, self.source, self.entry = name, source, entry

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None or isinstance(error, KernelError):
            return
        if kind.__name__ in ("CompileException", "CompileError"):
            raise KernelError(f"kernel {self.name!r}: its CUDA source does not compile:\n"
                              f"{_log(str(error), self.source)}") from error
        if self.entry and (isinstance(error, KeyError) or "named symbol not found" in str(error)):
            raise KernelError(f"kernel {self.name!r}: its CUDA source has no entry point {self.entry}; expected extern \"C\" "
                              f"__global__ void {self.entry}(...)") from error


def _log(text: str, source: Source) -> str:
    """The compiler's messages, each with the line of the user's source under it."""
    lines = (source._text or "").split("\n")
    marks = [(i, int(m[1])) for i, line in enumerate(lines) if (m := re.match(r'#line (\d+)', line))]
    out = []
    for line in text.strip().split("\n")[:40]:
        out.append(line)
        spot = re.search(r"\.cu[(:](\d+)\)?.*error", line)
        if spot:
            for start, number in reversed(marks):
                at = start + 1 + int(spot[1]) - number
                if start < at < len(lines) and not any(start < other <= at for other, _ in marks):
                    out.append(f"    > {lines[at].strip()}")
                    break
    return "\n".join(out)
