"""Compiling CUDA C++ for the CPU, once: results stay on disk, by what went into them."""
from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorlite.kernels._cuda

__all__ = ["CompileError", "cache", "compiler", "library", "runtime", "sanitizer", "why_not"]

HERE = Path(__file__).parent
HEADERS = Path(tensorlite.kernels._cuda.__file__).parent
FLAGS = ("-fPIC", "-fvisibility=hidden", "-g1", "-w", "-pthread")
KERNEL_FLAGS = ("-ffp-contract=off", "-fno-strict-aliasing", "-fwrapv", "-DTENSORLITE_ON_CPU")
CHECKS = "-fsanitize=alignment,null,bounds,integer-divide-by-zero"   # their handlers are in emulator.cpp: no library is needed
SANITIZERS = {"": (), "thread": ("-fsanitize=thread",), "address": ("-fsanitize=address", "-fsanitize-recover=address")}


class CompileError(Exception):
    """The source does not compile; the message is the compiler's."""


def sanitizer() -> str:
    """What kernels of this process are compiled with: ``"thread"``, ``"address"`` or nothing. It must have been preloaded."""
    return os.environ.get("TENSORLITE_TEST_SANITIZER", "")


@functools.cache
def compiler() -> str | None:
    """The path of a C++ compiler, or None: ``$CXX``, g++ or clang++."""
    return next((found for name in (os.environ.get("CXX", ""), "g++", "clang++") if name and (found := shutil.which(name))), None)


def why_not() -> str | None:
    """Why kernels cannot be run here, or None if they can."""
    if not sys.platform.startswith("linux"):
        return "CUDA kernels run on the CPU on Linux only"
    return None if compiler() else "CUDA kernels run on the CPU if g++ or clang++ is installed"


@functools.cache
def _version() -> str:
    return subprocess.run([str(compiler()), "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def cache() -> Path:
    """The folder of compiled kernels: ``$TENSORLITE_TEST_CACHE``, or in the user's cache."""
    given = os.environ.get("TENSORLITE_TEST_CACHE")
    folder = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tensorlite-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(*command: str, given: str | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}   # the compiler runs without our sanitizers
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise CompileError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def _kept(suffix: str, key: Sequence[str], make: object) -> Path:
    """The file that ``make(path)`` writes, made once for each key. Several processes may come here at the same time."""
    digest = hashlib.sha256("\0".join([_version(), str(compiler()), *key]).encode()).hexdigest()[:32]
    path = cache() / f"{digest}{suffix}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            new = Path(folder, "new" + suffix)
            make(new)   # type: ignore[operator]
            os.replace(new, path)
    return path


def runtime(kind: str) -> Path:
    """The shared library of emulator.cpp, which those of kernels link with."""
    define = [f"-DEMULATOR_{kind.upper()}"] if kind else []
    texts = [(HERE / name).read_text() for name in ("emulator.h", "emulator.cpp")]
    command = [str(compiler()), "-std=c++17", "-O2", *FLAGS, *define, "-shared", str(HERE / "emulator.cpp")]
    return _kept(".so", [*texts, *command], lambda path: _run(*command, "-o", str(path)))


def entry_points(text: str, options: Sequence[str]) -> dict[str, str]:
    """The kernels a source defines that are no templates, and the number of threads each is bound to (C++ text, "0" for none)."""
    flags = ["-D__global__=__cuda_global__", "-D__launch_bounds__(...)=__cuda_bounds__((__VA_ARGS__))", "-DTENSORLITE_ON_CPU"]
    plain = _run(str(compiler()), "-E", "-P", "-w", "-x", "c++", *flags, *options, "-", given=text)
    found = {}
    for before, declaration in re.findall(r"([^;{}]*)\b__cuda_global__\b([^;{]*)", plain):
        bounds = re.search(r"__cuda_bounds__\(\((.*?)\)\)", declaration)
        rest = re.sub(r"__cuda_bounds__\(\(.*?\)\)|__attribute__\s*\(\(.*?\)\)", " ", declaration)
        name = re.search(r"(\w+)\s*\(", rest)
        if name and not re.search(r"\btemplate\b", before):
            found[name[1]] = found.get(name[1], bounds[1].split(",")[0] if bounds else "0")
    return found


_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:(?:alignas|__align__)\s*\([^)]*\)\s*)?([\w:<>\s]+?)\s*\b(\w+)\s*\[\s*\]")


def _numbered(text: str, name: str) -> str:
    """The text with ``#line`` around the headers in it, so that compilers and errors speak of the files' lines."""
    headers = [(file.name, file.read_text()) for file in sorted(HEADERS.glob("*.cuh"))]
    for i, (_, content) in enumerate(headers):
        text = text.replace(content, f"\0{i}\0")
    first, *rest = re.split("\0(\\d+)\0", text)
    out, line = f'#line 1 "{name}"\n{first}', 1 + first.count("\n")
    for number, after in zip(rest[::2], rest[1::2]):
        header, content = headers[int(number)]
        out += f'\n#line 1 "{header}"\n{content}\n#line {line} "{name}"\n{after}'
        line += after.count("\n")
    return out


def _source(text: str, kernels: dict[str, str], name: str) -> str:
    """The text in C++: dynamic shared memory becomes a pointer, and a table lists the entry points."""
    text = _DYNAMIC.sub(r"\1* const \2 = reinterpret_cast<\1*>(emulator::dynamic_shared)", _numbered(text, name))
    text = re.sub(r"__shared__\s+((?:alignas|__align__)\s*\([^)]*\))", r"\1 __shared__", text)
    rows = "".join(f'    emulator::entry<&{k}>::kernel("{k}", {bound}),\n' for k, bound in kernels.items())
    return (f'#include "emulator.h"\nnamespace {{\n{text}\n'
            f"const emulator::Kernel table[] = {{\n{rows}    {{}}\n}};\n"
            "const emulator::Module module = EMULATOR_MODULE(table);\n}\n"
            'extern "C" EMULATOR_API const emulator::Module* emulator_module() { return &module; }\n')


def library(text: str, options: Sequence[str] = (), name: str = "kernel.cu", names: Sequence[str] = ()) -> Path:
    """The shared library of a CUDA C++ text. ``names``: template instances to be found beside the entry points."""
    kind = sanitizer()
    # what the C++ compiler takes of NVRTC's options
    kept = [o for o in options if re.match(r"--?(std=|D|U|define-macro)", o)]
    kept = [re.sub(r"^--define-macro=?", "-D", re.sub(r"^--std=", "-std=", o)) for o in kept]
    if not any(o.startswith("-std=") for o in kept):
        kept.insert(0, "-std=c++17")
    define = [f"-DEMULATOR_{kind.upper()}"] if kind else []
    # with sanitizers -O1 takes twice as long to compile, which is most of the time of their tests
    flags = ["-O0" if kind else "-O1", *KERNEL_FLAGS, CHECKS, *FLAGS, *SANITIZERS[kind], *_pattern(), *define, *kept]
    linked = runtime(kind)

    def make(path: Path) -> None:
        file = path.with_name("kernel.cpp")
        file.write_text(_source(text, entry_points(text, kept) | dict.fromkeys(names, "0"), name))
        _run(str(compiler()), *flags, f"-I{HERE}", "-c", str(file), "-o", str(path.with_suffix(".o")))
        _run(str(compiler()), "-shared", *SANITIZERS[kind], str(path.with_suffix(".o")), str(linked), "-o", str(path), "-pthread")

    return _kept(".so", [text, name, *names, *flags, linked.name, Path(__file__).read_text()], make)


@functools.cache
def _pattern() -> tuple[str, ...]:
    """Uninitialised variables hold garbage, where the compiler can do that (GCC 12, Clang 8)."""
    try:
        _run(str(compiler()), "-ftrivial-auto-var-init=pattern", "-E", "-x", "c++", "-", given="")
    except CompileError:
        return ()
    return ("-ftrivial-auto-var-init=pattern",)
