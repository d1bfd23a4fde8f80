"""Backends that third parties register by an entry point, and what stands in the way of the compiled kernels."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def run(code: str, *folders: Path) -> str:
    """What a fresh Python prints, with these folders on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def installed(folder: Path, *points: str) -> Path:
    """A folder that looks like the site-packages of a distribution with these entry points."""
    info = folder / "somebodys_backend-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tensorlite.backends]\n" + "\n".join(points) + "\n")
    return folder


def test_a_backend_is_found_by_its_entry_point(tmp_path: Path) -> None:
    module = tmp_path / "somebodys.py"
    module.write_text("from tensorlite.backends import NumpyBackend\n"
                      "import numpy as np\n"
                      "class Array(np.ndarray): pass\n"
                      "class Mine(NumpyBackend):\n"
                      "    array_type, devices = Array, ('mine',)\n"
                      "    def asarray(self, value, *, dtype=None, device=None, copy=None):\n"
                      "        return np.array(value, dtype=dtype).view(Array)\n")
    site = installed(tmp_path / "site", "mine = somebodys:Mine")
    code = ("import tensorlite as tl\n"
            "assert 'mine' not in tl.backends._by_name\n"       # nothing is looked for before it is asked for
            "x = tl.tensor([1.0, 2.0], device='mine')\n"
            "print(x.device, type(x.value).__name__, tl.backends()['mine'])")
    assert run(code, site, tmp_path).split() == ["mine", "Array", "available"]


def test_an_entry_point_that_fails_says_why(tmp_path: Path) -> None:
    site = installed(tmp_path, "broken = no_such_module:Backend")
    printed = run("import tensorlite as tl; print(tl.backends()['broken'])", site)
    assert "no_such_module" in printed and "failed" in printed


def test_numba_that_cannot_be_imported_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('Numba needs NumPy 2.4 or less')")
    code = ("import warnings, tensorlite as tl\n"
            "with warnings.catch_warnings(record=True) as seen:\n"
            "    warnings.simplefilter('always')\n"
            "    x = tl.randn(64, 10, requires_grad=True)\n"
            "    tl.nn.functional.cross_entropy(x, tl.zeros(64, dtype=tl.int64)).backward()\n"
            "    tl.optim.Adam([x]).step()\n"
            "    tl.randn(1 << 22)\n"
            "print(len(seen), seen[0].message, x.grad.shape)")
    printed = run(code, tmp_path)
    assert printed.startswith("1 tensorlite's compiled CPU kernels are off") and "Numba needs NumPy 2.4 or less" in printed
