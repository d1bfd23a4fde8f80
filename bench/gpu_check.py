"""Everything that needs a GPU, in one go: ``make gpu-check`` or ``python -m bench.gpu_check [--out FOLDER] [--minutes 9]``.

Installs the checkout without a network, shows what the machine has, compiles every kernel, runs the tests marked ``gpu``, times
kernels and training steps beside PyTorch and JAX, trains, runs a memory and a race checker over some tests where there is one,
and writes it all into one folder:

=================  =======================================================================
``report.md``      what passed, what failed, the tables
``log.txt``        every command's output
``tests.xml``      the GPU tests
``kernels.json``   every variant of every kernel: time, GB/s, percent of the measured limit
``kernels.png``    the same as a roofline plot
``steps.json``     training steps against PyTorch and JAX
``train.json``     training runs: accuracy, seconds
=================  =======================================================================

A stage that fails does not stop those after it; exit status 1 if one failed. Each has a limit, so that the whole ends in time: a
stage that reaches it is ended with all processes that it started, and what it has written by then counts.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TABLES = "kernels", "steps"   # stages that write a table for the report
LEAST = 5.0   # seconds that a stage gets, or it is not begun
KEPT = 60   # lines of a stage's output that the report shows if it failed
LOGGED = 1 << 20   # characters of a stage's output that the log has from its beginning, and as many from its end
# Warnings of whatever versions the machine has are no failures here.
PYTEST = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "-W", "default"]
# Every array in an allocation of its own, so that a checker knows where it ends: the pool would hide that.
EXACT = "import sys, cupy, pytest; cupy.cuda.set_allocator(None); sys.exit(pytest.main(sys.argv[1:]))"


@dataclass
class Stage:
    """One command. ``share``: of the time that is left, how much it may take at the most; ``wanted``: whether to run it.

    ``{seconds}`` in the command stands for nine tenths of that time.
    """

    name: str
    command: list[str]
    share: float
    wanted: Callable[[], bool] = lambda: True
    required: bool = True
    status: str = "not run"
    seconds: float = 0.0
    output: str = ""


def stages(out: Path) -> list[Stage]:
    """What is run, in order: first what tells most."""
    python, bench = sys.executable, [sys.executable, "-m", "bench"]
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    some, adam = "test_there_and_back or test_training_is_that_of_the_cpu", "test_training_is_that_of_the_cpu and adam"
    on_device = str(ROOT / "tests" / "test_cuda_backend.py")
    return [
        Stage("install", [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-e",
                          str(ROOT)], 0.2, required=False),
        Stage("driver", ["nvidia-smi"], 0.05, required=False),
        Stage("packages", [python, "-m", "pip", "list", "--format=freeze"], 0.1, required=False),
        Stage("info", [python, "-m", "tensorlite", "info"], 0.1),
        Stage("warmup", [python, "-m", "tensorlite", "warmup"], 0.3),
        Stage("smoke", [python, "-c", SMOKE], 0.2),
        Stage("tests", [python, "-m", "pytest", *PYTEST, *workers(), "--maxfail=200", "--tb=short", "--durations=15",
                        f"--junit-xml={out / 'tests.xml'}", *gpu_tests()], 0.45),
        Stage("kernels", [*bench, "kernels", "--device", "cuda", "--gate", "--seconds", "{seconds}", "--json",
                          str(out / "kernels.json"), "--markdown", str(out / "kernels.md"), "--plot",
                          str(out / "kernels.png")], 0.36),
        Stage("steps", [*bench, "steps", "--device", "cuda", "--seconds", "{seconds}", "--json", str(out / "steps.json"),
                        "--markdown", str(out / "steps.md")], 0.35),
        Stage("train", [python, "-m", "bench.train_gpu", "--json", str(out / "train.json")], 0.6),
        Stage("memcheck", [sanitizer, "--tool", "memcheck", "--error-exitcode", "1", python, "-c", EXACT, *PYTEST, "-x", "-k",
                           some, on_device], 0.7, wanted=lambda: Path(sanitizer).exists(), required=False),
        Stage("racecheck", [sanitizer, "--tool", "racecheck", "--error-exitcode", "1", python, "-c", EXACT, *PYTEST, "-x", "-k",
                            adam, on_device], 0.9, wanted=lambda: Path(sanitizer).exists(), required=False),
    ]


def gpu_tests() -> list[str]:
    """The files with tests marked ``gpu``; others may import what the machine does not have."""
    return [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]


def workers() -> list[str]:
    """Several processes, where pytest-xdist is there: most of the time goes into CuPy's compiling of a kernel for each operation
    and dtype."""
    return ["-n", str(min(12, os.cpu_count() or 1))] if importlib.util.find_spec("xdist") else []


SMOKE = """
import tensorlite as tl
x = tl.randn(512, 784, device="cuda")
model = tl.nn.Sequential(tl.nn.Linear(784, 128), tl.nn.ReLU(), tl.nn.Linear(128, 10)).to("cuda")
optimizer = tl.optim.Adam(model.parameters())
labels = tl.randint(0, 10, (512,), device="cuda")
for step in range(50):
    loss = tl.nn.functional.cross_entropy(model(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step in (0, 49):
        print(step, loss.item())
print(tl.cuda.get_device_name(), tl.cuda.memory_stats())
"""


def main() -> int:
    """Run the stages and write the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=os.environ.get("OUT", "gpu-check"), help="folder for the results ($OUT, or gpu-check)")
    parser.add_argument("--minutes", type=float, default=9.0, help="what the whole may take")
    parser.add_argument("--only", nargs="*", default=[], help="stages to run; all unless told")
    options = parser.parse_args()
    out = Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes - 5
    found = [s for s in stages(out) if not options.only or s.name in options.only]
    with open(out / "log.txt", "w") as log:
        for stage in found:
            run(stage, deadline, log)
            print(f"{stage.name:<10} {stage.status:<12} {stage.seconds:6.1f} s", flush=True)
            write(out, found)
    for name in TABLES:   # the report has them
        (out / f"{name}.md").unlink(missing_ok=True)
    print((out / "report.md").read_text())
    return int(any(s.required and s.status != "passed" for s in found))


def run(stage: Stage, deadline: float, log: TextIO) -> None:
    """Run one stage within its share of the time that is left."""
    left = deadline - time.monotonic()
    if not stage.wanted():
        stage.status = "absent"
        return
    if left < LEAST:
        stage.status = "no time left"
        return
    limit, start = max(LEAST, left * stage.share), time.monotonic()
    command = [a.replace("{seconds}", f"{0.9 * limit - 3:.0f}") for a in stage.command]
    with tempfile.TemporaryFile("w+", errors="replace") as output:   # a pipe would be waited for while any descendant holds it
        try:
            process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, process_group=0)
        except OSError as error:
            stage.output, stage.status = str(error), "absent"
            return
        try:
            code = process.wait(limit)
            stage.status = "passed" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            stage.status = "timed out"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)   # the stage, and whatever it left behind
            process.wait()
        output.seek(0)
        stage.output = output.read()
    stage.seconds = time.monotonic() - start
    shown = [a if len(a) < 200 else a[:60] + " ..." for a in command]
    text = stage.output
    if len(text) > 2 * LOGGED:
        text = f"{text[:LOGGED]}\n... {len(text) - 2 * LOGGED} characters left out ...\n{text[-LOGGED:]}"
    print(f"\n===== {stage.name}: {stage.status}, {stage.seconds:.1f} s: {' '.join(shown)}\n{text}", file=log, flush=True)


def environment() -> dict[str, str]:
    """The stages': the checkout is found whether it could be installed or not."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def write(out: Path, found: list[Stage]) -> None:
    """The report so far: a lease may end at any moment."""
    lines = [f"# GPU check, {time.strftime('%Y-%m-%d %H:%M')}", "", f"commit {commit()}, {platform.platform()}, {gpu()}", "",
             "| stage | result | seconds |", "|---|---|---|"]
    lines += [f"| {s.name} | {s.status} | {s.seconds:.1f} |" for s in found]
    for s in found:
        if s.name == "tests" and (out / "tests.xml").exists():
            lines += ["", f"Tests: {counted(out / 'tests.xml')}"]
        if s.status not in ("passed", "not run", "absent"):
            lines += ["", f"## {s.name}: {s.status}", "", "```", *s.output.splitlines()[-KEPT:], "```"]
    for name in TABLES:
        table = out / f"{name}.md"
        if table.exists():
            lines += ["", f"## {name}", "", table.read_text()]
    if (out / "kernels.png").exists():
        lines += ["", "![roofline](kernels.png)"]
    trained = out / "train.json"
    if trained.exists():
        lines += ["", "## train", "", "```", json.dumps(json.loads(trained.read_text()), indent=1), "```"]
    (out / "report.md").write_text("\n".join(lines) + "\n")


def counted(path: Path) -> str:
    """``"900 tests, 2 failures, 0 errors, 3 skipped"``; many skipped ones say that the device was not there."""
    try:
        suite = next(ElementTree.parse(path).iter("testsuite"))
    except (ElementTree.ParseError, StopIteration) as error:
        return f"{path.name} cannot be read ({error})"
    return ", ".join(f"{suite.get(name)} {name}" for name in ("tests", "failures", "errors", "skipped"))


def commit() -> str:
    """The commit of the checkout, and whether it was changed."""
    try:
        name = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True)
        return name.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def gpu() -> str:
    """Name, driver and memory of the GPUs."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


if __name__ == "__main__":
    sys.exit(main())
