"""``python -m tests``: the linter, the type checker on the installed package, the tests and the examples in the documentation."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run each check, go on after a failure, and return how many failed."""
    workers = str(min(4, os.cpu_count() or 1))
    checks = {
        "ruff": [sys.executable, "-m", "ruff", "check", "."],
        "mypy": [sys.executable, "-m", "mypy"],
        "pytest": [sys.executable, "-m", "pytest", "-n", workers, *sys.argv[1:]],
    }
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all checks passed")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
