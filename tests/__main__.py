"""``python -m tests``: the linter, the type checker on the package as installed, the tests and the documentation's examples."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> int:
    """Run a Python module in the repository's folder; the exit status."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode


def mypy() -> int:
    """Check the types on a copy laid out as it is installed: in the source tree ``backends`` and ``kernels`` lie beside the
    package, where mypy does not find them."""
    parts = {name: f"tensorlite/{name}" for name in ("backends", "kernels", "bench")}
    leave = shutil.ignore_patterns("__pycache__")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "tensorlite", Path(folder, "tensorlite"), ignore=leave)
        for name, place in parts.items():
            shutil.copytree(ROOT / name, Path(folder, place), ignore=leave)
        command = [sys.executable, "-m", "mypy", "-p", "tensorlite", "--config-file", str(ROOT / "pyproject.toml"),
                   "--cache-dir", str(ROOT / ".mypy_cache")]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    for name, place in parts.items():
        done.stdout = re.sub(rf"^{place}/", f"{name}/", done.stdout.replace(os.sep, "/"), flags=re.MULTILINE)
    print(done.stdout, end="", flush=True)
    return done.returncode


def main() -> int:
    """Run each check, go on after a failure, and return how many failed."""
    workers = str(min(4, os.cpu_count() or 1))
    checks: dict[str, Callable[[], int]] = {
        "ruff": lambda: run("ruff", "check", "."),
        "mypy": mypy,
        "pytest": lambda: run("pytest", "-n", workers, *sys.argv[1:]),
    }
    failed = []
    for name, check in checks.items():
        print(f"== {name}", flush=True)
        if check():
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all checks passed")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
