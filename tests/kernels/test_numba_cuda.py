"""Kernels written with Numba-CUDA: what they compile to, run in Numba's simulator, and how they are loaded and launched."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tensorlite.errors import BackendUnavailable
from tensorlite.kernels import load
from tensorlite.kernels._cuda import Runtime

CAPABILITIES = ((8, 0), (9, 0))


def modules():
    pytest.importorskip("numba_cuda")
    from tensorlite.kernels.sigmoid_backward import numba_cuda as sigmoid
    from tensorlite.kernels.softmax_cross_entropy import numba_cuda as cross_entropy

    return sigmoid, cross_entropy


def kernels(suffix):
    sigmoid, cross_entropy = modules()
    return [sigmoid.KERNELS[suffix], *cross_entropy.KERNELS[suffix]]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
def test_ptx(suffix, capability, tmp_path):
    assembler = shutil.which("ptxas")
    for kernel in kernels(suffix):
        text = kernel.ptx(capability)
        assert f".entry {kernel.name}(" in text and text.count(".entry") == 1
        assert f".target sm_{capability[0]}{capability[1]}" in text and ".version 8.0" in text
        pointers_and_numbers = re.findall(r"\.param \.(\w+) \w+_param_\d+", text)
        assert len(pointers_and_numbers) == len(kernel.signature.args), "one parameter an argument, as in C"
        if suffix == "f32":
            assert not re.search(r"\.f64", text), f"{kernel.name} computes in float64"
        if assembler:
            path = tmp_path / "kernel.ptx"
            path.write_text(text)
            arch, cubin = f"-arch=sm_{capability[0]}{capability[1]}", str(tmp_path / "kernel.cubin")
            done = subprocess.run([assembler, "-v", arch, str(path), "-o", cubin], capture_output=True, text=True, check=True)
            used = re.search(r"Used (\d+) registers", done.stdout + done.stderr)
            assert used and int(used[1]) <= (64 if suffix == "f32" else 128)   # blocks of 1024 threads where the row is long
            assert re.search(r"0 bytes stack frame, 0 bytes spill stores", done.stdout + done.stderr)


def test_a_newer_device_gets_ptx_that_it_can_run():
    assert ".target sm_90" in kernels("f32")[0].ptx((12, 0))


def test_in_the_simulator():
    modules()
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("cuda_simulator.py"))], capture_output=True, text=True)
    assert done.returncode == 0 and "simulated" in done.stdout, done.stdout + done.stderr


class Module:
    """A RawModule that notes what it is asked for."""

    launches: list = []

    def __init__(self, *, path):
        self.text = Path(path).read_text()

    def get_function(self, name):
        assert f".entry {name}(" in self.text

        def launch(grid, block, args, shared_mem=0):
            self.launches.append((name, grid, block, args, shared_mem))
        launch.max_dynamic_shared_size_bytes = 48 << 10
        return launch


def runtime():
    limits = {"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 227 << 10}
    device = SimpleNamespace(compute_capability="90", attributes=limits)
    cuda = SimpleNamespace(Device=lambda: device, alloc_pinned_memory=lambda size: np.zeros(size, np.uint8))
    return Runtime(SimpleNamespace(cuda=cuda, RawModule=Module, empty=np.empty, ascontiguousarray=np.ascontiguousarray), np)


def test_loaded_once_and_launched_with_pointers_and_numbers(monkeypatch):
    modules()
    made, g = runtime(), np.ones((300, 10), np.float32)
    monkeypatch.setattr(Module, "launches", [])
    for _ in range(2):
        out = load("sigmoid_backward").numba_cuda(made, g, g)
        load("softmax_cross_entropy").numba_cuda(made, g, np.zeros(300, np.int64))
    assert out.shape == g.shape and len(made.numba_functions) == 3
    names = [name for name, *_ in Module.launches]
    cross_entropy = "softmax_cross_entropy_numba"
    assert names == ["sigmoid_backward_numba_f32", f"{cross_entropy}_rows_f32", f"{cross_entropy}_total_f32"] * 2
    for name, _, block, args, shared in Module.launches:
        assert block[0] % 32 == 0 and all(type(a) in (np.ndarray, int) for a in args)
        assert shared == (40 if "rows" in name else 0)


def test_long_rows_are_read_twice(monkeypatch):
    modules()
    monkeypatch.setattr(Module, "launches", [])
    made, run = runtime(), load("softmax_cross_entropy").numba_cuda
    for classes, variant in ((50257, None), (60_000, None), (50257, "two_pass")):
        run(made, np.zeros((2, classes), np.float32), np.zeros(2, np.int64), reduction="none", variant=variant)
    assert [shared for *_, shared in Module.launches] == [4 * 50257, 0, 0]
    assert [block for _, _, block, _, _ in Module.launches] == [(1024,), (512,), (512,)]
    Module.launches.clear()
    run(made, np.zeros((2, 25_000)), np.zeros(2, np.int64), reduction="none")   # float64 takes more registers
    assert [(block, shared) for _, _, block, _, shared in Module.launches] == [((512,), 200_000)]
    with pytest.raises(ValueError, match="too long"):
        run(made, np.zeros((2, 60_000), np.float32), np.zeros(2, np.int64), variant="shared")


def test_without_numba_cuda_an_error_says_what_to_install():
    code = ("import sys; sys.modules['numba'] = None\n"
            "from tensorlite.kernels import load\nfrom tensorlite.errors import BackendUnavailable\n"
            "try: load('sigmoid_backward').numba_cuda\n"
            "except BackendUnavailable as error: print(error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "numba-cuda[cu' in done.stdout
    assert issubclass(BackendUnavailable, RuntimeError)
