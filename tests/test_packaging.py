"""What goes into a wheel is what is in the tree."""
from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_every_package_is_listed() -> None:
    if not (ROOT / "backends").is_dir():
        pytest.skip("runs on the source tree only")
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = ("tensorlite", "backends", "kernels", "bench")
    folders = [p.parent.relative_to(ROOT) for top in tops for p in (ROOT / top).rglob("__init__.py")]
    names = [".".join(f.parts if f.parts[0] == "tensorlite" else ("tensorlite", *f.parts)) for f in folders]
    assert sorted(setuptools["packages"]) == sorted(names)


def test_every_file_that_is_no_program_is_listed() -> None:
    if not (ROOT / "backends").is_dir():
        pytest.skip("runs on the source tree only")
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    listed = {f"{package.replace('.', '/')}/{name}" for package, names in data.items() for name in names}
    sources = {"*/*.cu", "*/*.cuh"}   # of kernels, in any of its folders
    assert sources <= listed
    found = {str(p.relative_to(ROOT)) for p in (ROOT / "tensorlite").rglob("*")
             if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts}
    for part in ("backends", "kernels", "bench"):
        found |= {f"tensorlite/{p.relative_to(ROOT)}" for p in (ROOT / part).rglob("*") if p.is_file()
                  and p.suffix not in (".py", ".cu", ".cuh", ".md") and not {"__pycache__", "results"} & set(p.parts)}
    assert found == listed - sources


def test_the_source_tree_is_importable_where_it_lies() -> None:
    """A newcomer installs from a clone (a copy, not editable), and starts Python in the same folder."""
    if not (ROOT / "backends").is_dir():
        pytest.skip("runs on the source tree only")
    code = ("import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f).lower()]; "
            "import tensorlite as tl, tensorlite.backends, tensorlite.kernels; "
            "print(tl.kernels.__file__); print(tl.ones(2).sum())")
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[0] == str(ROOT / "kernels" / "__init__.py")


def test_readmes_commands_install_the_same_way() -> None:
    """Both editable: a copy in site-packages that has run leaves Numba's cache there when pip removes it, and the folder that
    stays hides an editable install made after it."""
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2 and all("pip install -q -e '.[" in command for command in commands)
