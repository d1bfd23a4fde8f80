"""Asks the installed CuPy, on a machine without a GPU, and writes its answers into ``answers_14.txt``, or what CuPy 13 does
otherwise into ``answers_13.txt``.

CuPy's modules call the CUDA runtime through tables of function pointers (``__pyx_capi__``) that they read when they are imported.
Ours are put there first (``no_device.c``): allocations succeed, kernels are not launched. So everything is CuPy's own but the
elements' values: which calls it takes and which it refuses, and the dtypes, shapes, orders and bases of what it gives.

Run with an interpreter that has CuPy, and a C compiler: ``python observe.py``; ``--print`` prints the answers instead.
"""
from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BY_NAME = {
    "malloc": "allocate", "mallocAsync": "allocate", "hostAlloc": "allocate", "free": "release", "freeHost": "release",
    "memcpy": "copy", "memcpyAsync": "copy", "memset": "fill", "memsetAsync": "fill", "deviceGetAttribute": "device_attribute",
    "getDeviceCount": "one", "runtimeGetVersion": "version", "driverGetVersion": "version", "memGetInfo": "memory_info",
    "getDeviceProperties": "properties", "funcGetAttribute": "function_attribute",
    "occupancyMaxPotentialBlockSize": "occupancy", "pointerGetAttributes": "pointer_attributes",
}
BY_RESULT = {"PyObject *": "none", "int": "zero", "intptr_t": "handle", "uintmax_t": "handle", "unsigned int": "unsigned_zero",
             "size_t": "size_zero"}
STAY = ("check_status", "get_build_version", "_getCUDAMajorVersion")
_names: list[bytes] = []   # the capsules do not keep them


def library() -> Any:
    """``no_device.c``, compiled."""
    out = Path(tempfile.mkdtemp()) / "no_device.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}",
                    str(HERE / "no_device.c"), "-o", str(out)], check=True)
    return ctypes.PyDLL(str(out))


def put_behind(module: Any, functions: Any, only: tuple[str, ...] = ()) -> None:
    """Replace the module's C functions by those that do nothing."""
    api = ctypes.pythonapi
    api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    for name, capsule in list(module.__pyx_capi__.items()):
        declared = api.PyCapsule_GetName(capsule)
        result, parenthesis, _ = declared.decode().partition("(")
        ours = "compiler_version" if name == "getVersion" else BY_NAME.get(name) or BY_RESULT.get(result.strip())
        if parenthesis and ours and name not in STAY and (not only or name in only):
            _names.append(declared)
            module.__pyx_capi__[name] = api.PyCapsule_New(ctypes.cast(getattr(functions, ours), ctypes.c_void_p), declared, None)


def cupy_without_a_device() -> Any:
    """CuPy, which launches nothing. To be called before anything imports it."""
    os.environ.update(CUPY_ACCELERATORS="", CUPY_CACHE_IN_MEMORY="1")
    functions = library()
    import cupy_backends.cuda.api.driver as driver
    import cupy_backends.cuda.api.runtime as runtime
    import cupy_backends.cuda.libs.nvrtc as nvrtc
    functions.set_attributes.argtypes = [ctypes.py_object]
    functions.set_attributes(runtime.PointerAttributes(0, 0, 0, 0))
    put_behind(runtime, functions)
    put_behind(driver, functions)
    put_behind(nvrtc, functions, only=("getVersion",))
    for name, value in {"getDeviceCount": 1, "getDevice": 0, "setDevice": None, "deviceSynchronize": None,
                        "streamSynchronize": None, "runtimeGetVersion": 13000, "driverGetVersion": 13000,
                        "deviceGetAttribute": 1}.items():
        setattr(runtime, name, lambda *args, value=value: value)   # the same functions, for Python code
    runtime.getDeviceProperties = lambda device: {"warpSize": 32, "maxThreadsPerBlock": 1024, "multiProcessorCount": 132,
                                                  "major": 9, "minor": 0, "sharedMemPerBlock": 49152}
    import cupy
    from cupy.cuda import compiler, function, thrust

    def compiled(*args: Any, **kwargs: Any) -> Any:
        module = function.Module()
        module.load(b"no code")
        return module
    compiler._compile_module_with_cache = compiled
    for name in ("sort", "argsort", "lexsort"):
        setattr(thrust, name, lambda *args, **kwargs: None)
    return cupy


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import expressions
    warnings.simplefilter("ignore")
    cupy = cupy_without_a_device()
    found = expressions.answers(cupy)
    if "--print" in sys.argv:
        print(expressions.text(found), end="")
    elif cupy.__version__.startswith("13."):   # what it does otherwise than 14
        newer = expressions.read((HERE / "answers_14.txt").read_text())
        (HERE / "answers_13.txt").write_text(expressions.text({e: a for e, a in found.items() if newer.get(e) != a}))
    else:
        (HERE / "answers_14.txt").write_text(expressions.text(found))
