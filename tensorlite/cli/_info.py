"""``tensorlite info``."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIP = {
    "numba": "pip install numba", "safetensors": 'pip install "tensorlite[train]"', "rich": 'pip install "tensorlite[train]"',
    "matplotlib": 'pip install "tensorlite[train]"', "pillow": 'pip install "tensorlite[images]"',
    "ml_dtypes": "pip install ml_dtypes",
    "threadpoolctl": "pip install threadpoolctl",
    "array_api_strict": 'pip install "tensorlite[test]"',
}
USE = {
    "numba": "fused CPU kernels", "safetensors": "saving, checkpoints", "rich": "live progress", "matplotlib": "curves",
    "pillow": "folders of images", "ml_dtypes": "bfloat16",
    "threadpoolctl": "BLAS threads in this report", "array_api_strict": "tests",
}
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")   # the distributions that hold CuPy
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def add(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("info", help="show versions, backends, devices, and what is missing",
                                 description="Show versions, backends, devices, data, and what is missing with its pip line.")
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    report = collect()
    if args.json:
        import json
        print(json.dumps(report, indent=1))
    else:
        print("\n".join(_lines(report)))
    return 0


def collect() -> dict[str, Any]:
    """Everything ``tensorlite info`` says, as a dict that JSON can hold."""
    import platform

    import numpy

    from tensorlite import __version__, backends
    backends_found = backends.backends()
    return {
        "versions": {"tensorlite": __version__, "python": platform.python_version(), "numpy": numpy.__version__},
        "system": {"platform": platform.platform(), "python": sys.executable, "cpus": _cpus()},
        "packages": {name: _version(name) for name in PIP},
        "backends": backends_found,
        "cuda": _cuda(),
        "devices": [d for name, b in backends._by_name.items() if backends_found[name] == "available" for d in b.devices],
        "blas": _blas(),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "data": _data(),
    }


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str | None:
    """The version of an installed package, without importing it."""
    from importlib import metadata
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cuda() -> dict[str, Any]:
    """CuPy and, where CUDA can be used, versions, libraries and devices. Why it cannot stands with the backends."""
    from tensorlite import backends, cuda
    found: dict[str, Any] = {"cupy": next((f"{name} {version}" for name in CUPY if (version := _version(name))), None)}
    backend: Any = backends._by_name.get("cupy")
    if backend is None:
        return found
    runtime = backend.cupy.cuda.runtime
    return {
        **found,
        "driver": _asked(lambda: "{}.{}".format(*divmod(runtime.driverGetVersion() // 10, 100))),
        "runtime": _asked(lambda: "{}.{}".format(*divmod(runtime.runtimeGetVersion() // 10, 100))),
        "cublaslt": _asked(lambda: _cublaslt(runtime.runtimeGetVersion() // 1000)),
        "bfloat16": "bfloat16" in backend.capabilities,
        "kernel_cache": os.environ.get("CUPY_CACHE_DIR") or str(Path.home() / ".cupy" / "kernel_cache"),
        "devices": [_asked(lambda n=n: {   # type: ignore[misc]
            "name": cuda.get_device_name(n), "capability": "{}.{}".format(*cuda.get_device_capability(n)),
            **dict(zip(("free", "total"), cuda.mem_get_info(n)))}) for n in range(backend.count)],
    }


def _cublaslt(cuda: int) -> str:
    from tensorlite.backends import _cublaslt_library
    library = _cublaslt_library.load(_cublaslt_library.candidates(cuda))
    major, rest = divmod(library.version, 10000)
    return f"{major}.{rest // 100}.{rest % 100} ({library.path})"


def _asked(question: Callable[[], Any]) -> Any:
    """The answer, or what the driver or a library said instead: the report is for those whose installation is broken."""
    try:
        return question()
    except Exception as error:
        return f"unknown: {error}"


def _blas() -> dict[str, Any]:
    import numpy
    config: Any = numpy.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    found = {"name": blas.get("name", "unknown"), "version": blas.get("version", "unknown")}
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return found
    return {**found, **{k: v for pool in threadpool_info() if pool["user_api"] == "blas"
                        for k, v in (("threads", pool["num_threads"]), ("kernels", pool.get("architecture")))}}


def _data() -> dict[str, Any]:
    from tensorlite.data import _cifar, _idx
    from tensorlite.data.images import _MNIST
    places = _idx.folders("mnist")
    stems = [stem for _, *files in _MNIST.values() for stem, _ in files]
    paths = [_idx.find(places, stem) for stem in stems]
    found = next((str(p.parent) for p in paths if p is not None), None)
    cifar = {name: {train: _cifar.find(name, train)[0] for train in (True, False)} for name in _cifar.VERSIONS}
    return {"TENSORLITE_DATA": os.environ.get("TENSORLITE_DATA"), "cache": str(_idx.cache_folder()),
            "digits": "part of the package",
            "mnist": found if all(paths) else None, "mnist_missing": [s for s, p in zip(stems, paths) if p is None],
            **{name: str(there[True]) if all(there.values()) else None for name, there in cifar.items()}}


def _cuda_lines(cuda: dict[str, Any]) -> list[str]:
    if "driver" not in cuda:
        return [f"  CuPy               {cuda['cupy'] or 'missing'}; why CUDA is not used stands above"]
    lines = [f"  CuPy               {cuda['cupy'] or 'of a distribution that pip does not know'}",
             f"  driver             CUDA {cuda['driver']}; the runtime is CUDA {cuda['runtime']}",
             f"  cuBLASLt           {cuda['cublaslt']}",
             f"  bfloat16           {'yes' if cuda['bfloat16'] else 'no (needs CuPy 14 and ml_dtypes)'}",
             f"  compiled kernels   {cuda['kernel_cache']} (CUPY_CACHE_DIR)"]
    for number, device in enumerate(cuda["devices"]):
        lines.append(f"  {f'cuda:{number}':<18} " + (device if isinstance(device, str) else (
            f"{device['name']}, compute capability {device['capability']}, "
            f"{device['free'] / 2**30:.1f} of {device['total'] / 2**30:.1f} GiB free")))
    return lines


def _lines(report: dict[str, Any]) -> list[str]:
    versions, system, blas, data = (report[k] for k in ("versions", "system", "blas", "data"))
    lines = ["  ".join(f"{name} {version}" for name, version in versions.items()),
             f"{system['platform']}, {system['cpus']} CPUs, {system['python']}", "", "backends"]
    lines += [f"  {name:<18} {state}" for name, state in report["backends"].items()]
    lines += [f"  devices: {', '.join(report['devices'])}", "", "CUDA", *_cuda_lines(report["cuda"]), "", "packages"]
    lines += [f"  {name:<18} {version or 'missing'}" + ("" if version else f" ({USE[name]}); get it with: {PIP[name]}")
              for name, version in report["packages"].items()]
    lines += ["", "BLAS and threads", "  " + ", ".join(f"{k} {v}" for k, v in blas.items())]
    lines += [f"  {name}={value}" for name, value in report["threads"].items()] or ["  no thread settings in the environment"]
    mnist = data["mnist"] or f"not here ({', '.join(data['mnist_missing'])}); downloaded on first use"
    lines += ["", "data", f"  digits             {data['digits']}", f"  mnist              {mnist}",
              *(f"  {name:<18} {data[name] or 'not here; downloaded on first use (170 MB)'}" for name in ("cifar10", "cifar100")),
              f"  TENSORLITE_DATA    {data['TENSORLITE_DATA'] or 'not set'}", f"  cache              {data['cache']}"]
    return lines
