"""The cuBLASLt library through ctypes: where it is, its functions, and the numbers of ``cublasLt.h``.

They are the same in CUDA 12 and 13.
"""
from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Heuristic", "Library", "Made", "candidates", "load"]

# cublasLtEpilogue_t. GELU is the tanh approximation. BGRADA and BGRADB sum an operand over the contracted axis.
DEFAULT, RELU, BIAS, GELU = 1, 2, 4, 32
RELU_BIAS, GELU_BIAS = RELU | BIAS, GELU | BIAS
AUX, BGRAD = 128, 16   # parts of those below
RELU_AUX, RELU_AUX_BIAS, GELU_AUX, GELU_AUX_BIAS = RELU | AUX, RELU_BIAS | AUX, GELU | AUX, GELU_BIAS | AUX
DRELU, DGELU = 8 | AUX, 64 | AUX
DRELU_BGRAD, DGELU_BGRAD = DRELU | BGRAD, DGELU | BGRAD
BGRADA, BGRADB = 256, 512

# cublasLtMatmulDescAttributes_t, cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t
TRANSA, TRANSB, EPILOGUE, BIAS_POINTER, AUX_POINTER, AUX_LD, AUX_BATCH_STRIDE = 3, 4, 7, 8, 11, 12, 13
BATCH_COUNT, BATCH_STRIDE = 5, 6
MAX_WORKSPACE, REDUCTION_SCHEMES, ALIGNMENTS = 1, 3, (5, 6, 7, 8)   # alignments of A, B, C, D

# cudaDataType_t and cublasComputeType_t
TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70

REDUCE_IN_COMPUTE_TYPE = 2   # cublasLtReductionScheme_t: partial sums over k are kept in it; none at all is always allowed
INVALID_VALUE, NOT_SUPPORTED = 7, 15   # cublasStatus_t


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = [("algo", ctypes.c_uint64 * 8), ("workspace", ctypes.c_size_t), ("state", ctypes.c_int),
                ("waves", ctypes.c_float), ("reserved", ctypes.c_int * 4)]


_POINTER, _INT, _SIZE, _UINT64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint64
_ATTRIBUTE = [_POINTER, _INT, _POINTER, _SIZE]
_FUNCTIONS: dict[str, list[Any]] = {
    "Create": [_POINTER], "Destroy": [_POINTER],
    "MatmulDescCreate": [_POINTER, _INT, _INT], "MatmulDescDestroy": [_POINTER], "MatmulDescSetAttribute": _ATTRIBUTE,
    "MatrixLayoutCreate": [_POINTER, _INT, _UINT64, _UINT64, ctypes.c_int64], "MatrixLayoutDestroy": [_POINTER],
    "MatrixLayoutSetAttribute": _ATTRIBUTE,
    "MatmulPreferenceCreate": [_POINTER], "MatmulPreferenceDestroy": [_POINTER], "MatmulPreferenceSetAttribute": _ATTRIBUTE,
    "MatmulAlgoGetHeuristic": [*[_POINTER] * 7, _INT, _POINTER, _POINTER],
    "Matmul": [*[_POINTER] * 14, _SIZE, _POINTER],
}


def candidates(cuda: int | None = None) -> Iterator[str]:
    """Where the library may be, most likely first; ``cuda`` is the CUDA version to prefer, such as 13.

    The file that ``TENSORLITE_CUBLASLT`` names; else the one that is loaded, or that the system finds; NVIDIA's Python packages;
    Conda's; the CUDA toolkit.
    """
    if "TENSORLITE_CUBLASLT" in os.environ:
        yield os.environ["TENSORLITE_CUBLASLT"]
        return
    with suppress(ImportError):
        importlib.import_module("cupy_backends.cuda.libs.cublas")   # has CuPy load its cuBLAS, and with it cuBLASLt
    windows = sys.platform == "win32"
    packages = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in (packages.submodule_search_locations or ())] if packages else []
    roots = [Path(os.environ[name]) for name in ("CONDA_PREFIX", "CUDA_PATH", "CUDA_HOME") if name in os.environ]
    for version in sorted((12, 13), key=lambda v: v != cuda):
        file = f"cublasLt64_{version}.dll" if windows else f"libcublasLt.so.{version}"
        yield file
        found = [p for folder in folders for p in folder.glob(f"*/{'bin' if windows else 'lib'}/**/{file}")]
        found += [root / folder / file for root in roots for folder in ("lib64", "lib", "bin")]
        yield from (str(p) for p in found if p.exists())


class Library:
    """The functions of the library in the file ``path``; ``matmul`` and ``heuristic`` return their status, the others raise."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        library.cublasLtGetVersion.restype = ctypes.c_size_t
        for name in ("Name", "String"):
            text = getattr(library, f"cublasLtGetStatus{name}")
            text.argtypes, text.restype = [_INT], ctypes.c_char_p
        for name, arguments in _FUNCTIONS.items():
            getattr(library, f"cublasLt{name}").argtypes = arguments
        self.path, self.version, self._library = path, int(library.cublasLtGetVersion()), library
        self.matmul = library.cublasLtMatmul
        self.heuristic = library.cublasLtMatmulAlgoGetHeuristic

    def text(self, status: int) -> str:
        """A status in words."""
        name, what = (getattr(self._library, f"cublasLtGetStatus{n}")(status) for n in ("Name", "String"))
        return f"{name.decode()} ({what.decode()})"

    def call(self, name: str, *args: Any) -> None:
        status = getattr(self._library, f"cublasLt{name}")(*args)
        if status:
            raise RuntimeError(f"cublasLt{name}: {self.text(status)}")

    def make(self, name: str, *args: Any) -> Made:
        return Made(self, name, *args)


class Made:
    """A descriptor, layout or preference: ``pointer`` is the library's, and destroyed with this."""

    def __init__(self, library: Library, name: str, *args: Any) -> None:
        self._library, self._name = library, name
        place = _POINTER()
        library.call(f"{name}Create", ctypes.byref(place), *args)
        self.pointer: Any = place.value

    def set(self, attribute: int, value: Any) -> None:
        """``value``: a ctypes number of the attribute's type."""
        self._library.call(f"{self._name}SetAttribute", self.pointer, attribute, ctypes.byref(value), ctypes.sizeof(value))

    def __del__(self) -> None:
        if getattr(self, "pointer", None) is not None:
            self._library.call(f"{self._name}Destroy", self.pointer)


def load(paths: Iterable[str]) -> Library:
    """The first of the files that is there."""
    tried = []
    for path in paths:
        try:
            return Library(path)
        except (OSError, AttributeError) as error:   # not there, or not it
            tried.append(f"{path}: {error}")
    raise OSError("cuBLASLt cannot be loaded; install it with pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12, or name "
                  "the file in TENSORLITE_CUBLASLT. Tried: " + "; ".join(tried))
