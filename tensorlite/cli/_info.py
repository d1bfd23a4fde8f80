"""``tensorlite info``."""
from __future__ import annotations

import argparse
import os
import sys
from typing import Any

PIP = {
    "numba": "pip install numba", "safetensors": 'pip install "tensorlite[train]"', "rich": 'pip install "tensorlite[train]"',
    "matplotlib": 'pip install "tensorlite[train]"', "ml_dtypes": "pip install ml_dtypes",
    "threadpoolctl": "pip install threadpoolctl",
    "array_api_strict": 'pip install "tensorlite[test]"',
}
USE = {
    "numba": "fused CPU kernels", "safetensors": "saving, checkpoints", "rich": "live progress", "matplotlib": "curves",
    "ml_dtypes": "bfloat16", "threadpoolctl": "BLAS threads in this report", "array_api_strict": "tests",
}
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
    from tensorlite.data import _idx
    from tensorlite.data.images import _MNIST
    places = _idx.folders("mnist")
    stems = [stem for _, *files in _MNIST.values() for stem, _ in files]
    paths = [_idx.find(places, stem) for stem in stems]
    found = next((str(p.parent) for p in paths if p is not None), None)
    return {"TENSORLITE_DATA": os.environ.get("TENSORLITE_DATA"), "cache": str(_idx.cache_folder()),
            "digits": "part of the package",
            "mnist": found if all(paths) else None, "mnist_missing": [s for s, p in zip(stems, paths) if p is None]}


def _lines(report: dict[str, Any]) -> list[str]:
    versions, system, blas, data = (report[k] for k in ("versions", "system", "blas", "data"))
    lines = ["  ".join(f"{name} {version}" for name, version in versions.items()),
             f"{system['platform']}, {system['cpus']} CPUs, {system['python']}", "", "backends"]
    lines += [f"  {name:<18} {state}" for name, state in report["backends"].items()]
    lines += [f"  devices: {', '.join(report['devices'])}", "", "packages"]
    lines += [f"  {name:<18} {version or 'missing'}" + ("" if version else f" ({USE[name]}); get it with: {PIP[name]}")
              for name, version in report["packages"].items()]
    lines += ["", "BLAS and threads", "  " + ", ".join(f"{k} {v}" for k, v in blas.items())]
    lines += [f"  {name}={value}" for name, value in report["threads"].items()] or ["  no thread settings in the environment"]
    mnist = data["mnist"] or f"not here ({', '.join(data['mnist_missing'])}); downloaded on first use"
    lines += ["", "data", f"  digits             {data['digits']}", f"  mnist              {mnist}",
              f"  TENSORLITE_DATA    {data['TENSORLITE_DATA'] or 'not set'}", f"  cache              {data['cache']}"]
    return lines
