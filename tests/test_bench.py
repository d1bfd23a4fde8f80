"""The benchmarks: every kernel has cases, peers do the same work, what is wrong is refused, and CUDA's part runs on the stand-in.

Nothing here looks at a time: on the stand-in events count ticks.
"""
from __future__ import annotations

import argparse
import json
import os
import pkgutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cuda_on_cpu
import numpy as np
import pytest
from cuda_device import stand_in

import tensorlite.kernels
from tensorlite.bench import __main__ as command
from tensorlite.bench import _cases, _device, _peers, gpu_check, kernels, steps, train_gpu
from tensorlite.kernels import load

ROOT = Path(__file__).resolve().parent.parent
needs_compiler = pytest.mark.skipif(bool(cuda_on_cpu.why_not()), reason=str(cuda_on_cpu.why_not()))


TINY = ("kernels", "--quick", "--no-peers", "--limit")


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(given)


# ---- cases and peers ---------------------------------------------------------------------------------------------------------

def test_every_kernel_has_cases() -> None:
    folders = {m.name for m in pkgutil.iter_modules(tensorlite.kernels.__path__) if m.ispkg and m.name[0] != "_"}
    assert folders | {"linear"} == set(_cases.CASES), "add the kernel to bench/_cases.py"
    for name, entry in _cases.CASES.items():
        assert entry.sizes["cpu"] and entry.sizes["cuda"], name
    titles = [case.title for case in _cases.listed(_Both("cuda"), list(_cases.CASES))]
    assert len(set(titles)) == len(titles) and titles[:len(_cases.FIRST)] == list(_cases.FIRST)


class _Both:
    """What the list of cases asks of a device."""

    has_bfloat16 = True

    def __init__(self, kind: str) -> None:
        self.kind = kind


def test_gates_are_of_cases_and_of_what_is_measured() -> None:
    stored = json.loads(kernels.GATES.read_text())
    for kind in ("cpu", "cuda"):
        titles = {case.title for case in _cases.listed(_Both(kind), list(_cases.CASES))}
        assert set(stored[kind]) <= titles
        known = {"copy", "product", "numpy", "cupy", "cublaslt best", "torch", "torch fused", "liger", "jax", "numpy.random"}
        assert {what for wanted in stored[kind].values() for what in wanted} <= known


@pytest.mark.parametrize("name", list(_cases.CASES))
def test_peers_do_the_same_work(name: str) -> None:
    torch = pytest.importorskip("torch")
    device = _device.device("cpu")
    if name == "linear":
        pytest.skip("test_kernels_on_the_cpu has it")
    kernel = load(name)
    seen = set()
    for case in _cases.listed(device, [name]):
        if case.tag in seen:
            continue
        seen.add(case.tag)
        problem = case.problem(device, limit=40)
        wide = problem.wide(device)
        expected = wide.results(wide.bind(partial(kernel.reference, np))())
        for label, make in _peers.found(device, {"torch": torch}, case, [problem], False):
            got = make().runs[0]()
            if label == "numpy.random" or got is False:   # other random numbers, or left open by the library
                continue
            found = [np.asarray(a) for a in (got if isinstance(got, tuple | list) else [got]) if a is not None]
            assert found, f"{case.title}, {label}"
            for a, e in zip(found, expected):
                least = 1e-5 * max(1.0, np.abs(e).max(initial=0))   # of sums of many numbers there are large ones
                np.testing.assert_allclose(a.reshape(e.shape), e, 1e-4, least, err_msg=f"{case.title}, {label}")


# ---- kernels -------------------------------------------------------------------------------------------------------------------

SOME = ("sigmoid_backward", "softmax_cross_entropy", "adam", "unscale", "put_rows", "philox", "gather_batch", "linear")


def test_kernels_on_the_cpu(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = {name: tmp_path / f"k.{name}" for name in ("json", "markdown", "png")}
    status = kernels.run(options(*TINY, "32", "--kernel", *SOME, "--json", str(files["json"]), "--markdown",
                                 str(files["markdown"]), "--plot", str(files["png"])))
    report = json.loads(files["json"].read_text())
    assert status == 0 and not report["failed"] and not report["skipped"]
    assert {case["kernel"] for case in report["cases"]} == set(SOME)
    for case in report["cases"]:
        assert case["by"]["numpy"]["seconds"] > 0, case["title"]
        for by in case["by"].values():
            assert by["low"] <= by["seconds"] <= by["high"]
            assert by["bytes_per_second"] == pytest.approx(case["bytes"] / by["seconds"])
            assert by["copy"] == pytest.approx(by["bytes_per_second"] / report["limits"]["copy"])
        if "cpu" in case["by"]:
            assert case["ratios"]["numpy"] > 0
    text = files["markdown"].read_text()
    assert all(case["title"] in text for case in report["cases"]) and files["png"].stat().st_size > 10_000


@needs_compiler
def test_kernels_on_the_stand_in(tmp_path: Path) -> None:
    out = tmp_path / "k.json"
    with stand_in():
        kernels.run(options(*TINY, "24", "--device", "cuda", "--kernel", *SOME, "--json", str(out)))
    report = json.loads(out.read_text())
    assert report["name"] == "NVIDIA H200" and {case["kernel"] for case in report["cases"]} == set(SOME)
    assert all("numba_cuda" in failure for failure in report["failed"])   # PTX is nothing for a CPU
    assert {"float32", "tf32", "float16"} <= set(report["limits"]["product"])
    for case in report["cases"]:
        mine = case["by"]["tensorlite" if case["kernel"] == "linear" else "cuda"]
        assert mine["seconds"] > 0 and mine["host_seconds"] > 0, case["title"]
    ways = next(case["by"] for case in report["cases"] if case["kernel"] == "softmax_cross_entropy")
    assert {"cuda:tiles", "cuda:registers", "cuda:shared", "cuda:two_pass"} <= set(ways)


@needs_compiler
def test_small_inputs_are_also_timed_out_of_the_cache() -> None:
    with stand_in():
        device = _device.device("cuda")
        case = next(c for c in _cases.listed(device, ["sigmoid"]) if c.size == "medium")
        sets = kernels._sets(device, 8 << 20)
        assert (sets, kernels._sets(device, 1 << 10), kernels._sets(device, 1 << 30)) == (15, 1, 1)
        problems = [case.problem(device, limit=64, seed=i) for i in range(3)]
        calls: list[int] = []
        runs = [lambda i=i: calls.append(i) for i in range(len(problems))]
        device.seconds(_device.Candidate(runs), 6)
        assert calls[-6:] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("wrong", [lambda g, y: g * y, lambda g, y: np.zeros_like(g), lambda g, y: np.full_like(g, np.nan),
                                   lambda g, y: (g * y * (1 - y))[:-1], lambda g, y: (g, y)])
def test_a_wrong_kernel_is_refused(wrong: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setitem(vars(load("sigmoid_backward")), "cpu", wrong)
    out = tmp_path / "k.json"
    assert kernels.run(options(*TINY, "32", "--kernel", "sigmoid_backward", "--json", str(out))) == 1
    case, = json.loads(out.read_text())["cases"]
    assert "cpu" not in case["by"] and "wrong" in case["notes"]["cpu"]
    assert "sigmoid_backward" in capsys.readouterr().out.split("BELOW ITS GATE OR WRONG")[1]


def test_a_kernel_that_leaves_memory_unwritten_is_refused() -> None:
    """What was right in the block of memory before must not count."""
    device = _device.device("cpu")
    case = _cases.listed(device, ["sigmoid"])[0]
    kept: list[Any] = []

    def lazy(x: Any) -> Any:
        if not kept:
            kept.append(load("sigmoid").reference(np, x))
        return kept[0]
    assert not kernels._error(device, load("sigmoid"), case, lazy, [], 32) <= 1e-4


def test_gates(tmp_path: Path, capsys: Any) -> None:
    title = "sigmoid_backward 4194304 float32"
    found: dict[str, Any] = {"title": title, "notes": {}, "ours": "cpu", "by": {"cpu": {"copy": 0.5, "seconds": 2.0, "low": 1.0}},
                             "ratios": {"numpy": 0.8, "torch": 1.2}, "best_ratios": {"numpy": 0.6, "torch": 1.1}}
    assert kernels.misses(found, {"copy": 0.9, "numpy": 0.7}) == []
    below = kernels.misses(found, {"copy": 1.1, "torch": 1.0, "liger": 1.0})
    assert len(below) == 2 and all(title in b for b in below) and "1.10 of torch" in below[1]
    file = tmp_path / "gates.json"
    file.write_text(json.dumps({"cpu": {title: {"numpy": 1e-9}}}))
    given = options(*TINY, "32", "--kernel", "sigmoid_backward", "--gate", str(file))
    assert kernels.run(given) == 1
    printed = capsys.readouterr().out
    assert f"BELOW ITS GATE OR WRONG: {title}" in printed and "gates: 1 of 1 measured, 1 below" in printed
    file.write_text(json.dumps({"cpu": {title: {"numpy": 1e9}}}))
    assert kernels.run(given) == 0


def test_a_peer_that_fails_or_hangs_is_left_out() -> None:
    with pytest.raises(TimeoutError, match="took more than"), kernels.at_most(0.2):
        time.sleep(5)
    device = _device.device("cpu")
    case = _cases.listed(device, ["sigmoid"])[0]
    broken = argparse.Namespace(device=None, compiler=argparse.Namespace(reset=lambda: None))
    found = kernels.measure(device, case, {"torch": broken}, {"copy": 1e9, "product": {}}, rounds=1, limit=32)
    assert "TypeError" in found["notes"]["torch"] and found["by"]["numpy"]["seconds"] > 0


def test_no_time_left_is_said(capsys: Any) -> None:
    given = options(*TINY, "32", "--kernel", "sigmoid", "--seconds", "1e-9")
    assert kernels.run(given) == 0
    assert "Left out for time or memory (1): sigmoid 4194304 float32" in capsys.readouterr().out


def test_command_line(capsys: Any) -> None:
    from tensorlite import cli
    for given, said in ((["bench", "nothing"], "there is no case 'nothing'"), (["bench", "kernels", "mlp"], "on its own"),
                        (["bench", "kernels", "--kernel", "nothing"], "there is no kernel 'nothing'")):
        with pytest.raises(SystemExit) as ended:
            cli.main(given)
        assert ended.value.code == 2 and said in capsys.readouterr().err
    assert cli.main(["bench", *TINY, "16", "--kernel", "update_scale"]) == 0
    assert "update_scale float32" in capsys.readouterr().out


# ---- steps and training --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["sgd", "adam"])
def test_all_libraries_do_the_same_steps(method: str, precision: str) -> None:
    torch = pytest.importorskip("torch")
    case = steps.Case((20, 16, 10), 8, precision, method)
    found = steps.measure(case, "cpu", {"torch": torch}, rounds=1)
    assert not found["different"] and not found["notes"] and {"tensorlite", "torch", "torch fused"} <= set(found["seconds"])
    assert found["losses"]["tensorlite"][-1] < found["losses"]["tensorlite"][0]


def test_other_work_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def makers(case: Any, device: str, libraries: Any, compiled: bool) -> dict[str, Any]:
        return {"tensorlite": lambda: steps.ours(case, device), "lazy": lambda: steps.Step(lambda: 1.0, float)}
    monkeypatch.setattr(steps, "makers", makers)
    found = steps.measure(steps.Case((20, 16, 10), 8, "float32", "sgd"), "cpu", {}, rounds=1)
    assert "lazy's losses are 1 to 1" in found["different"][0]


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_steps_on_the_stand_in(precision: str) -> None:
    torch = pytest.importorskip("torch")
    case = steps.Case((20, 16, 10), 8, precision, "adam")
    with stand_in():
        found = steps.measure(case, "cuda", {}, rounds=1)
        line, = [o for o in steps.overheads("cuda", {}) if o["op"] == "linear"]
    assert not found["different"] and line["seconds"]["tensorlite"] > 0
    theirs = steps.measure(case._replace(precision="float32"), "cpu", {"torch": torch}, rounds=1)["losses"]["torch"]
    np.testing.assert_allclose(found["losses"]["tensorlite"], theirs, steps.TOLERANCE[precision])


def test_steps_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "cases", lambda device: [steps.Case((20, 16, 10), 8, "float32", "sgd")])
    out = tmp_path / "s.json"
    given = options("steps", "--limit", "1", "--no-peers", "--json", str(out), "--markdown", str(tmp_path / "s.md"))
    assert steps.run(given) == 0
    assert json.loads(out.read_text())["cases"][0]["seconds"]["tensorlite"] > 0
    assert "MLP 20-16-10, batch 8, sgd, float32" in (tmp_path / "s.md").read_text()


@needs_compiler
def test_training_on_the_stand_in(capsys: Any) -> None:
    with stand_in():
        report = train_gpu.run("cuda", 1)
    assert not report["failed"] and all(report["same"].values()) and len(report["same"]) == 4
    assert report["digits"]["accuracy"]["cuda"] > 0.8 and report["digits"]["first losses apart"] < 1e-3
    assert {"data on the device", "data on the host, pinned"} <= set(report["epoch"]["seconds"])


# ---- the whole check -----------------------------------------------------------------------------------------------------------

needs_checkout = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="runs on the source tree only")


@needs_checkout
def test_gpu_check_writes_its_report_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.gpu_check", "--out", str(tmp_path), "--minutes", "1", "--only", "driver", "info"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    text = (tmp_path / "report.md").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| info | passed |" in text and text in done.stdout and "backends" in (tmp_path / "log.txt").read_text()


def test_a_stage_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "LEAST", 1.0)
    program = ("import subprocess, sys, time; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); "
               "time.sleep(60)")
    stage = gpu_check.Stage("hangs", [sys.executable, "-c", program], 1.0)
    begin = time.monotonic()
    with open(tmp_path / "log.txt", "w") as log:
        gpu_check.run(stage, time.monotonic() + gpu_check.LEAST + 0.5, log)
        late = gpu_check.Stage("late", ["true"], 1.0)
        gpu_check.run(late, time.monotonic() + 0.5, log)
    assert stage.status == "timed out" and time.monotonic() - begin < 30 and late.status == "no time left"
    time.sleep(0.2)
    state = Path(f"/proc/{int(stage.output)}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"
    gpu_check.write(tmp_path, [stage, late])
    assert "| hangs | timed out |" in (tmp_path / "report.md").read_text()


@needs_checkout
def test_stages_name_what_there_is(tmp_path: Path) -> None:
    for stage in gpu_check.stages(tmp_path):
        if stage.command[1:2] == ["-m"] and stage.command[2] in ("bench", "bench.train_gpu"):
            done = subprocess.run([sys.executable, "-m", stage.command[2], "--help"], cwd=ROOT, capture_output=True, text=True,
                                  env={**os.environ, "COLUMNS": "200"}, check=True)
            assert all(word.partition("=")[0] in done.stdout for word in stage.command[3:] if word.startswith("--")), stage.name
