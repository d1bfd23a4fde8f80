"""Threads, forks and the disk cache: what must not crash, hang or depend on who else is calling."""
from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tensorlite.kernels
from tensorlite.kernels import load

parallel = importlib.import_module("tensorlite.kernels._parallel")


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(parallel, "_THREADS", 3)


@pytest.mark.parametrize("total", [0, 1, 2, 13, 1000, 100_001])
def test_every_element_is_done_once(total):
    done = np.zeros(total, np.int64)

    def work(low, high):
        done[low:high] += 1

    parallel.run(work, total, 2)
    assert (done == 1).all()


def test_an_exception_reaches_the_caller_and_the_pool_lives_on():
    def work(low, high):
        raise KeyError(low)

    with pytest.raises(KeyError):
        parallel.run(work, 1000, 1)
    test_every_element_is_done_once(1000)


def test_many_callers_at_once():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(3000, 150)).astype(np.float32), rng.integers(0, 150, 3000)
    cross_entropy, adam = load("softmax_cross_entropy").cpu, load("adam").cpu
    expected = cross_entropy(x, t)

    def call(seed):
        p, g = [np.zeros(400_000, np.float32)], [np.full(400_000, seed + 1, np.float32)]
        plan = adam([np.zeros_like(p[0])], [np.zeros_like(p[0])], None, np.zeros(1, np.int64))
        for _ in range(3):
            loss, grad = cross_entropy(x, t)
            assert loss == expected[0] and np.array_equal(grad, expected[1])
            plan(p, g, lr=0.1)
        np.testing.assert_allclose(p[0], -0.3, rtol=1e-5)
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(24)))


FORK = """
import os, warnings, numpy as np
warnings.simplefilter("ignore")  # Python 3.12 and later warn of any fork with threads
os.environ["TENSORLITE_NUM_THREADS"] = "3"
from tensorlite.kernels import load
x, t = np.zeros((9000, 100), np.float32), np.zeros(9000, np.int64)
run = load("softmax_cross_entropy").cpu
run(x, t)
pid = os.fork()
if pid == 0:
    loss, _ = run(x, t)
    os._exit(0 if abs(loss - np.log(100)) < 1e-5 else 1)
assert os.waitpid(pid, 0)[1] == 0
run(x, t)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_after_fork():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)


READ_ONLY = """
import numpy as np, sys
import numba.core.caching as caching
for locator in caching.CacheImpl._locator_classes:
    locator.from_function = classmethod(lambda cls, *a: None)
from tensorlite.kernels import load
assert load("sigmoid").cpu(np.zeros(3, np.float32)).tolist() == [0.5, 0.5, 0.5]
p = [np.zeros(3, np.float32)]
load("sgd").cpu(None, np.zeros(1, np.int64))(p, [np.ones(3, np.float32)], lr=1)
assert p[0].tolist() == [-1, -1, -1]
"""


@pytest.mark.slow
def test_without_any_writable_cache_directory():
    subprocess.run([sys.executable, "-W", "error", "-c", READ_ONLY], check=True, timeout=120)


def test_the_user_s_numba_is_left_alone():
    code = """
import numba, numpy as np
from numba import config
before = {k: v for k, v in vars(config).items() if k.isupper()}
from tensorlite.kernels import load
load("sigmoid").cpu(np.zeros(3))
assert before == {k: v for k, v in vars(config).items() if k.isupper()}
try:
    numba.threading_layer()
except ValueError:
    pass
else:
    raise AssertionError("a threading layer was started")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_source_is_all_that_is_needed(tmp_path):
    """A copy of the folder in a place that cannot be written to works (the cache goes to the user's directory)."""
    source = Path(tensorlite.kernels.__file__).parent
    package = tmp_path / "site" / "apart"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "philox"))
    for folder in [*package.rglob("*/"), package]:
        folder.chmod(0o555)
    code = "import numpy as np, apart; assert apart.load('sigmoid').cpu(np.zeros(2, np.float32)).tolist() == [0.5, 0.5]"
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120, env=environment)
    for folder in [package, *package.rglob("*/")]:
        folder.chmod(0o755)
