"""CUDA C++ compiled by NVRTC, which needs no GPU, and what the machine code says of itself."""
from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import pytest

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="compiling for GPUs needs cuda-bindings and nvidia-cuda-nvrtc")

OF_CUPY = ("-ftz=true", "--device-as-default-execution-space")   # CuPy adds them; floats below 2^-126 become 0


class CompileError(Exception):
    """NVRTC's log."""


@dataclass(frozen=True)
class Usage:
    """What an entry point takes: registers a thread, bytes of stack a thread (spilled values live there), static shared
    memory."""

    registers: int
    stack: int
    shared: int


def _call(function, *args):
    status, *rest = function(*args)
    if int(status):
        raise CompileError(f"{function.__name__}: {status}")
    return rest[0] if len(rest) == 1 else rest


@cache
def compiled(text: str, arch: str, options: tuple[str, ...] = ("--std=c++17",)) -> tuple[bytes, str]:
    """(cubin, PTX) of a source for ``sm_90`` and its like, with the options that CuPy adds to ours."""
    program = _call(nvrtc.nvrtcCreateProgram, text.encode(), b"kernel.cu", 0, [], [])
    given = [o.encode() for o in (*options, *OF_CUPY, f"--gpu-architecture={arch}", "-lineinfo")]
    status, = nvrtc.nvrtcCompileProgram(program, len(given), given)
    log = bytearray(_call(nvrtc.nvrtcGetProgramLogSize, program))
    _call(nvrtc.nvrtcGetProgramLog, program, log)
    if int(status):
        raise CompileError(bytes(log).decode(errors="replace"))
    cubin = bytearray(_call(nvrtc.nvrtcGetCUBINSize, program))
    _call(nvrtc.nvrtcGetCUBIN, program, cubin)
    ptx = bytearray(_call(nvrtc.nvrtcGetPTXSize, program))
    _call(nvrtc.nvrtcGetPTX, program, ptx)
    return bytes(cubin), bytes(ptx).rstrip(b"\0").decode()


def sections(cubin: bytes) -> dict[str, tuple[bytes, int, int]]:
    """Name -> (contents, type, sh_info) of the ELF file's sections."""
    offset, = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    found = [struct.unpack_from("<IIQQQQIIQQ", cubin, offset + k * size) for k in range(count)]
    start = found[names][4]

    def text(at: int) -> str:
        return cubin[start + at:cubin.index(b"\0", start + at)].decode()
    return {text(s[0]): (b"" if s[1] == 8 else cubin[s[4]:s[4] + s[5]], s[1], s[7]) if s[1] != 8 else (bytes(s[5]), 8, s[7])
            for s in found}


REGISTERS, FRAME = 0x2F, 0x11   # attributes in .nv.info


def usage(cubin: bytes) -> dict[str, Usage]:
    """Entry point -> what it takes, from the attributes that the driver reads too."""
    parts = sections(cubin)
    symbols = _symbols(parts)
    told = {(symbols[index], code): value for code, index, value in _attributes(parts[".nv.info"][0])}
    out = {}
    for name in parts:
        if name.startswith(".text."):
            entry = name.removeprefix(".text.")
            shared = parts.get(f".nv.shared.{entry}")
            out[entry] = Usage(told[entry, REGISTERS], told.get((entry, FRAME), 0), len(shared[0]) if shared else 0)
    return out


def _symbols(parts: dict[str, tuple[bytes, int, int]]) -> list[str]:
    table, names = parts[".symtab"][0], parts[".strtab"][0]
    at = [struct.unpack_from("<I", table, k)[0] for k in range(0, len(table), 24)]
    return [names[a:names.index(b"\0", a)].decode() for a in at]


def _attributes(info: bytes) -> list[tuple[int, int, int]]:
    """(code, symbol, value) of the attributes that have a symbol and a value."""
    out, at = [], 0
    while at + 4 <= len(info):
        form, code, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == 4:
            if size == 8:
                out.append((code, *struct.unpack_from("<II", info, at)))
            at += size
    return out
