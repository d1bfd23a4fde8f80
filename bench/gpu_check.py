"""Everything that needs a GPU, in one go: ``make gpu-check`` or ``python -m bench.gpu_check [--out FOLDER] [--minutes 9]``.

Installs the checkout without a network, shows what the machine has, compiles every kernel, runs the tests marked ``gpu``, runs a memory
checker over some of them where there is one, times kernels and training steps beside PyTorch and JAX, trains, and writes it all into one
folder:

=================  =======================================================================
``report.md``      what passed, what failed, the tables
``log.txt``        every command's output
``tests.xml``      the GPU tests
``kernels.json``   every variant of every kernel: time, GB/s, percent of the measured limit
``kernels.png``    the same as a roofline plot
``steps.json``     training steps against PyTorch and JAX
``train.json``     training runs: accuracy, seconds
=================  =======================================================================

A stage that fails does not stop those after it. Exit status 1 if one failed. Each stage has a limit, so that the whole ends in time.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = 60   # lines of a stage's output that the report shows if it failed


@dataclass
class Stage:
    """One command. ``share``: of the time that is left, how much it may take at the most; ``wanted``: whether to run it."""

    name: str
    command: list[str]
    share: float
    wanted: Callable[[], bool] = lambda: True
    env: dict[str, str] = field(default_factory=dict)
    required: bool = True
    status: str = "not run"
    seconds: float = 0.0
    output: str = ""


def stages(out: Path) -> list[Stage]:
    """What is run, in order: first what tells most."""
    python = sys.executable
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    some = "test_there_and_back or test_training_is_that_of_the_cpu"
    return [
        Stage("install", [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], 0.2,
              required=False),
        Stage("driver", ["nvidia-smi"], 0.05, required=False),
        Stage("packages", [python, "-m", "pip", "list", "--format=freeze"], 0.1, required=False),
        Stage("info", [python, "-m", "tensorlite", "info"], 0.1),
        Stage("warmup", [python, "-m", "tensorlite", "warmup"], 0.3),
        Stage("smoke", [python, "-c", SMOKE], 0.2),
        Stage("kernels", [python, "-m", "bench", "kernels", "--device", "cuda", "--json", str(out / "kernels.json"), "--markdown",
                          str(out / "kernels.md"), "--plot", str(out / "kernels.png")], 0.32),
        Stage("steps", [python, "-m", "bench", "steps", "--device", "cuda", "--json", str(out / "steps.json"), "--markdown",
                        str(out / "steps.md")], 0.35),
        Stage("tests", [python, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--maxfail=200", "--tb=short",
                        f"--junit-xml={out / 'tests.xml'}", str(ROOT / "tests")], 0.6),
        Stage("train", [python, "-m", "bench.train_gpu", "--json", str(out / "train.json")], 0.6),
        Stage("memcheck", [sanitizer, "--tool", "memcheck", "--error-exitcode", "1", python, "-m", "pytest", "-m", "gpu", "-q", "-x", "-p",
                           "no:cacheprovider", "-k", some, str(ROOT / "tests" / "test_cuda_backend.py")], 0.9,
              wanted=lambda: Path(sanitizer).exists(), required=False, env={"CUPY_CACHE_DIR": os.environ.get("CUPY_CACHE_DIR", "")}),
    ]


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
    print((out / "report.md").read_text())
    return int(any(s.required and s.status != "passed" for s in found))


def run(stage: Stage, deadline: float, log: object) -> None:
    """Run one stage within its share of the time that is left."""
    left = deadline - time.monotonic()
    if not stage.wanted():
        stage.status = "absent"
        return
    if left < 5:
        stage.status = "no time left"
        return
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    env.update({k: v for k, v in stage.env.items() if v})
    start = time.monotonic()
    try:
        done = subprocess.run(stage.command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=max(5.0, left * stage.share), check=False, stdin=subprocess.DEVNULL)
        stage.output, stage.status = done.stdout, "passed" if done.returncode == 0 else f"failed ({done.returncode})"
    except subprocess.TimeoutExpired as error:
        held = error.stdout or b""
        stage.output = held.decode(errors="replace") if isinstance(held, bytes) else held
        stage.status = "timed out"
    except OSError as error:
        stage.output, stage.status = str(error), "absent"
    stage.seconds = time.monotonic() - start
    shown = [a if len(a) < 200 else a[:60] + " ..." for a in stage.command]
    print(f"\n===== {stage.name}: {stage.status}, {stage.seconds:.1f} s: {' '.join(shown)}\n{stage.output}", file=log, flush=True)  # type: ignore[call-overload]


def write(out: Path, found: list[Stage]) -> None:
    """The report so far: a lease may end at any moment."""
    lines = [f"# GPU check, {time.strftime('%Y-%m-%d %H:%M')}", "", f"commit {commit()}, {platform.platform()}, {gpu()}", "",
             "| stage | result | seconds |", "|---|---|---|"]
    lines += [f"| {s.name} | {s.status} | {s.seconds:.1f} |" for s in found]
    for s in found:
        if s.name == "tests" and s.output:
            lines += ["", "Tests: " + s.output.strip().splitlines()[-1]]
        if s.status not in ("passed", "not run", "absent"):
            lines += ["", f"## {s.name}: {s.status}", "", "```", *s.output.splitlines()[-KEPT:], "```"]
    for name in ("kernels", "steps"):
        table = out / f"{name}.md"
        if table.exists():
            lines += ["", f"## {name}", "", table.read_text()]
    trained = out / "train.json"
    if trained.exists():
        lines += ["", "## train", "", "```", json.dumps(json.loads(trained.read_text()), indent=1), "```"]
    (out / "report.md").write_text("\n".join(lines) + "\n")


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
