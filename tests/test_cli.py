"""The command line: training to a stated accuracy, going on after Ctrl-C, evaluation, the report, and errors in one line."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tensorlite as tl
from tensorlite import io, optim
from tensorlite.cli import _build, _info, main

pytest.importorskip("safetensors", reason='needs safetensors: pip install "tensorlite[train]"')
QUICK = ["train", "--epochs", "2", "--hidden", "16"]


def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tensorlite", *args], capture_output=True, text=True, timeout=120, cwd=cwd,
                          env={**os.environ, **env})


def accuracy(text: str) -> float:
    found = re.search(r"^test accuracy (\d+\.\d)% \((\d+)/(\d+)\)$", text, re.MULTILINE)
    assert found, text
    return int(found[2]) / int(found[3])


# ---- train and eval ------------------------------------------------------------------------------------------------------

def test_the_readmes_command(tmp_path: Path) -> None:
    begun = time.perf_counter()
    done = run("train", "--data", "digits", "--model", "mlp", cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert accuracy(done.stdout) >= 0.97 and time.perf_counter() - begun < 60
    assert done.stdout.splitlines()[-1].startswith("test accuracy") and "epoch 40/40" in done.stdout
    folder = tmp_path / "runs" / "mlp-digits-1"
    names = {p.name for p in folder.iterdir()}
    assert {"checkpoints", "config.json", "history.csv", "history.json", "model.safetensors"} <= names


@pytest.mark.skipif("TENSORLITE_DATA" not in os.environ, reason="needs MNIST in the folder that TENSORLITE_DATA names")
def test_mnist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "mnist", "--out", str(tmp_path), "--quiet"]) == 0
    assert accuracy(capsys.readouterr().out) >= 0.975


def test_eval_says_what_train_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main([*QUICK, "--out", str(out), "--quiet", "--batchnorm", "--activation", "gelu", "--dropout", "0.1"]) == 0
    trained = capsys.readouterr().out
    for path in (out, out / "model.safetensors", out / "checkpoints" / "last.safetensors"):
        assert main(["eval", "--checkpoint", str(path)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == trained.strip()


@pytest.mark.parametrize("options", [
    "--optimizer sgd --momentum 0.8 --lr 0.05 --schedule cosine --warmup 0.5",
    "--optimizer adamw --weight-decay 0.01 --schedule step", "--optimizer rmsprop --schedule plateau --lr 0.001",
    "--schedule none --warmup 1 --grad-clip 1", "--val-split 0 --batch-size 100",
    "--early-stop 1 --hidden 8,8 --device cpu", "--hidden ,"])
def test_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str) -> None:
    args = [*QUICK, *options.split(), "--out", str(tmp_path / "run"), "--epochs", "3", "--quiet"]
    assert main(args) == 0, capsys.readouterr().err
    assert accuracy(capsys.readouterr().out) > 0.15


def test_the_same_seed_gives_the_same_model_and_another_another(tmp_path: Path) -> None:
    models = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert main([*QUICK, "--out", str(tmp_path / name), "--seed", str(seed), "--quiet"]) == 0
        models.append(io.load(tmp_path / name / "model.safetensors")["model"]["0.weight"].numpy())
    assert (models[0] == models[1]).all() and (models[0] != models[2]).any()


def test_resume_takes_over_the_options_and_may_lengthen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main([*QUICK, "--out", out, "--schedule", "none"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", out, "--epochs", "3"]) == 0
    text = capsys.readouterr().out
    assert "epoch 3/3" in text and "epoch 2/3" not in text
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["hidden"] == [16]
    assert main(["train", "--resume", "--out", out, "--epochs", "3"]) == 0


@pytest.mark.parametrize(("options", "message"), [
    (["--lr", "0.1"], "--lr 0.1: the run in run was started with 0.004, and going on keeps its options"),
    (["--seed", "5"], "--seed 5"), (["--optimizer", "sgd"], "--optimizer sgd"), (["--hidden", "8,8"], "--hidden 8,8"),
    (["--epochs", "3"], "the learning rate of the run in run was laid out for 2 epochs (schedule onecycle)"),
])
def test_resume_refuses_what_it_would_ignore_and_leaves_the_run_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                         capsys: pytest.CaptureFixture[str], options: list[str],
                                                                         message: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "--out", "run", "--quiet"]) == 0
    before = (tmp_path / "run" / "config.json").read_bytes()
    assert main(["train", "--resume", "run", *options]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert main(["train", "--resume", "run", "--hidden", "16", "--checkpoint-every", "9", "--quiet"]) == 0


def test_resume_from_the_checkpoint_that_the_error_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "--out", "run", "--quiet"]) == 0
    (tmp_path / "run" / "checkpoints" / "last.safetensors").unlink()
    (tmp_path / "run" / "checkpoints" / "last.safetensors").write_bytes(b"rubbish")
    capsys.readouterr()
    assert main(["train", "--resume", "run"]) == 2
    named = re.search(r"resume from (\S+) instead", capsys.readouterr().err)
    assert named and main(["train", "--resume", named[1]]) == 0
    assert "epoch 2/2" in capsys.readouterr().out and not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to another process")
def test_ctrl_c_says_how_to_go_on_and_going_on_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = ["--data", "digits", "--epochs", "60", "--quiet"]
    assert run("train", *options, "--out", "whole", cwd=tmp_path).returncode == 0
    process = subprocess.Popen([sys.executable, "-m", "tensorlite", "train", *options[:-1], "--out", "pieces"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "epoch  3/60" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and not errors and "interrupted after step" in text
    command = text.strip().splitlines()[-1].partition("go on with: tensorlite ")[2].split()
    assert command == ["train", "--resume", "pieces"]
    assert run(*command, "--quiet", cwd=tmp_path).returncode == 0
    whole, pieces = (io.load(tmp_path / n / "model.safetensors")["model"] for n in ("whole", "pieces"))
    assert all((whole[k].numpy() == pieces[k].numpy()).all() for k in whole)


# ---- schedules -----------------------------------------------------------------------------------------------------------

def test_schedules_have_the_shape_they_are_named_for() -> None:
    def rates(schedule: str, warmup: float = 0.0) -> list[float]:
        optimizer = optim.SGD([tl.zeros(1, requires_grad=True)], lr=1.0)
        config = {**_build.DEFAULTS, "lr": 1.0, "epochs": 3, "schedule": schedule, "warmup": warmup}
        scheduler, every = _build.scheduler(config, optimizer, 10)
        assert every == "step"
        seen = []
        for _ in range(30):
            seen.append(optimizer.param_groups[0]["lr"])
            if scheduler is not None:
                scheduler.step()
        return seen
    assert rates("none") == [1.0] * 30
    assert rates("step") == pytest.approx([1.0] * 10 + [0.1] * 10 + [0.01] * 10)
    cosine = rates("cosine")
    assert cosine[0] == 1 and cosine == sorted(cosine, reverse=True) and cosine[-1] < 0.01
    warm = rates("cosine", 1.0)
    assert warm[:11] == sorted(warm[:11]) and warm[0] < 0.1 and max(warm) == pytest.approx(1) and warm[-1] < 0.02
    cycle = rates("onecycle")
    assert cycle[0] == pytest.approx(1 / 25) and max(cycle) > 0.98 and cycle[-1] < 0.001
    flat = rates("none", 0.5)
    assert flat[5:] == pytest.approx([1.0] * 25) and flat[0] < 0.2


# ---- errors --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("args", "message"), [
    (["train", "--resume"], "--resume needs the folder of the run"),
    (["train", "--resume", "nowhere"], "there is no run in this folder"),
    (["train", "--resume", "a", "--out", "b"], "name two folders"),
    (["train", "--activation", "sine"], "activation 'sine' is unknown; there are relu"),
    (["train", "--device", "tpu"], "device 'tpu' is unknown"),
    (["train", "--early-stop", "2", "--val-split", "0"], "--early-stop needs validation data"),
    (["train", "--warmup", "1"], "--warmup goes with the schedules none, step and cosine, not with onecycle"),
    (["train", "--warmup", "99", "--schedule", "cosine"], "not shorter than the training"),
    (["train", "--lr", "1e30", "--optimizer", "sgd", "--schedule", "none"], "Try a lower learning rate"),
    (["train", "--val-split", "0.0001"], "leaves 1438 to train with and 0 to validate"),
    (["train", "--resume", "broken"], "the options of the run cannot be read"),
    (["eval", "--checkpoint", "nowhere"], "there is no such file"),
    (["eval", "--checkpoint", "."], "there is neither model.safetensors nor a checkpoint"),
])
def test_what_users_get_wrong_is_one_line(args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"config": 3}')
    assert main(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("tensorlite: error: ") and message in err and err.count("\n") == 1


def test_a_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert main([*QUICK, "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "this folder holds a run; go on with it with --resume" in capsys.readouterr().err


def test_runs_that_start_together_have_a_folder_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tensorlite", *QUICK, "--quiet", "--seed"]
    runs = [subprocess.Popen([*command, str(seed)], cwd=tmp_path, stdout=subprocess.DEVNULL) for seed in range(3)]
    assert [r.wait(timeout=120) for r in runs] == [0, 0, 0]
    folders = [tmp_path / "runs" / f"mlp-digits-{k}" for k in (1, 2, 3)]
    assert {json.loads((f / "config.json").read_text())["config"]["seed"] for f in folders} == {0, 1, 2}


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--activation", "sine"]) == 2 and not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(_build.UsageError):
        main(["train", "--resume", str(tmp_path / "nowhere"), "--debug"])


@pytest.mark.parametrize("args", [[], ["fly"], ["train", "--epochs", "0"], ["train", "--lr", "-1"], ["train", "--hidden", "a"],
                                  ["train", "--val-split", "1"], ["train", "--data", "letters"], ["train", "--hidden", "0"],
                                  ["train", "--grad-clip", "-1"], ["train", "--lr", "inf"],
                                  ["train", "--checkpoint-every", "-3"]])
def test_what_argparse_finds_is_status_2_too(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2 and "error:" in capsys.readouterr().err


def test_offline_mnist_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorlite.data import images
    monkeypatch.setattr(images.mnist, "__kwdefaults__", {**(images.mnist.__kwdefaults__ or {}), "mirrors": ("http://127.0.0.1:9",)})
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    monkeypatch.setenv("TENSORLITE_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", "mnist"]) == 2
    assert "put the four files" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_eval_of_what_train_did_not_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tl.save({"w": tl.ones(2)}, tmp_path / "x")
    assert main(["eval", "--checkpoint", str(tmp_path / "x")]) == 2
    assert "not written by 'tensorlite train'" in capsys.readouterr().err


# ---- info ----------------------------------------------------------------------------------------------------------------

def test_info_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["tensorlite"] == tl.__version__ and report["backends"]["numpy"] == "available"
    assert "cpu" in report["devices"] and report["threads"]["OMP_NUM_THREADS"] == "1" and report["system"]["cpus"] >= 1


def test_info_says_what_is_missing_and_how_to_get_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_info, "_version", lambda name: None if name == "matplotlib" else "1.0")
    monkeypatch.setenv("TENSORLITE_CACHE", "/nowhere")
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert re.search(r'matplotlib +missing \(curves\); get it with: pip install "tensorlite\[train\]"', text)
    assert re.search(r"numpy +available", text) and "mnist              not here" in text and "/nowhere" in text


def test_info_finds_data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).touch()
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path))
    main(["info", "--json"])
    assert json.loads(capsys.readouterr().out)["data"]["mnist"] == str(tmp_path)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"tensorlite {tl.__version__}"


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tensorlite train --data digits --epochs 3 --out {tmp_path / 'run'}"
    done = subprocess.run(["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.returncode == 141 and done.stdout.count("\n") == 1 and not done.stderr


# ---- CUDA in the report --------------------------------------------------------------------------------------------------

def test_info_without_cuda(capsys: pytest.CaptureFixture[str]) -> None:
    if tl.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["info"]) == 0
    assert re.search(r"CUDA\n  CuPy +.*; why CUDA is not used stands above\n", capsys.readouterr().out)


def test_info_with_cuda(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda_device import stand_in
    monkeypatch.setenv("CUPY_CACHE_DIR", "/somewhere")
    with stand_in() as backend:
        assert main(["info"]) == 0
        text = capsys.readouterr().out
        for line in (r"driver +CUDA 13\.0; the runtime is CUDA 13\.0", r"cuBLASLt +\d+\.\d+\.\d+ \(/",
                     r"compiled kernels +/somewhere",
                     r"cuda:0 +NVIDIA H200, compute capability 9\.0, \d+\.\d of \d+\.\d GiB free", r"cupy +available"):
            assert re.search(line, text), text
        monkeypatch.setenv("TENSORLITE_CUBLASLT", "/nowhere/libcublasLt.so")   # what is broken is said, and stops nothing
        monkeypatch.setattr(type(backend), "memory_stats", lambda *a: 1 / 0)
        assert main(["info"]) == 0
        text = capsys.readouterr().out
        assert re.search(r"cuBLASLt +unknown: cuBLASLt cannot be loaded; install it with", text)
        assert re.search(r"cuda:0 +unknown: division by zero", text)
