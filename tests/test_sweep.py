"""Training from the command line with images: augmentation, folders, mixed precision; ``tensorlite sweep`` and ``plot``."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_device import stand_in

import tensorlite as tl
from tensorlite import io, models, nn
from tensorlite.cli import _build, _sweep, main
from tensorlite.data import Cutout, DataLoader, RandomCrop, RandomFlip, digits

pytest.importorskip("safetensors", reason='needs safetensors: pip install "tensorlite[train]"')
pytest.importorskip("matplotlib", reason='needs matplotlib: pip install "tensorlite[train]"')
QUICK = ["--data", "digits", "--epochs", "1", "--train-samples", "200", "--test-samples", "60", "--batch-size", "50", "--quiet"]
SMALL = ("small", "wide")


def small(*, num_classes: int, in_channels: int = 3, width: int = 4) -> Any:
    """A convolutional network as those of ``tensorlite.models``."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
                         nn.Linear(4 * width, num_classes))


def wide(*, num_classes: int, in_channels: int = 3) -> Any:
    return small(num_classes=num_classes, in_channels=in_channels, width=8)


@pytest.fixture(autouse=True)
def more_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two convolutional networks among the models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "small", small, raising=False)
    monkeypatch.setattr(models, "wide", wide, raising=False)
    monkeypatch.setattr(models, "__all__", [*models.__all__, *SMALL])


def accuracy(text: str) -> float:
    right, _, of = text.strip().rpartition("(")[2].rstrip(")").partition("/")
    return int(right) / int(of)


# ---- train and eval ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    "", "--augment crop,flip,cutout --label-smoothing 0.1 --lr-schedule cosine", "--channels-last", "--amp bf16 --workers 1",
    "--amp fp16 --optimizer adam --lr 0.003", "--momentum 0 --weight-decay 0"])
def test_a_convolutional_network_is_trained_and_evaluated_alike(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "small", "--out", "run", *QUICK, *options.split()]) == 0
    said = capsys.readouterr().out
    assert said.strip().endswith("/60)") and 0 <= accuracy(said) <= 1
    assert main(["eval", "--checkpoint", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == said.strip()
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert config["optimizer"] == ("adam" if "adam" in options else "sgd") and config["train_samples"] == 200


def test_it_learns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "wide", "--data", "digits", "--epochs", "4", "--quiet", "--val-split", "0"]) == 0
    assert accuracy(capsys.readouterr().out) > 0.9


def test_channels_last_gives_what_channels_first_gives(capsys: pytest.CaptureFixture[str]) -> None:
    for name, more in (("a", []), ("b", ["--channels-last"])):
        assert main(["train", "--model", "small", "--out", name, *QUICK, *more]) == 0
    a, b = (io.load(Path(name) / "model.safetensors")["model"] for name in "ab")
    for key in a:
        np.testing.assert_allclose(a[key].numpy(), b[key].numpy(), atol=1e-4)
    images = tl.randn(2, 3, 4, 5)
    laid_out, = _build.channels_last(None, (images,))
    assert laid_out.numpy().strides == (240, 4, 60, 12) and np.array_equal(laid_out.numpy(), images.numpy())


def test_defaults_by_model_and_data() -> None:
    cnn, plain, mlp = (_build.defaults(m, "cifar10") for m in ("resnet20", "vgg11", "mlp"))
    assert (cnn["optimizer"], cnn["lr"], cnn["nesterov"], cnn["augment"]) == ("sgd", 0.1, True, ["crop", "flip"])
    assert (plain["lr"], mlp["optimizer"], mlp["augment"]) == (0.02, "adam", [])
    assert _build.defaults("vgg11_bn", "cifar10")["lr"] == 0.1
    assert _build.defaults("mlp", "somewhere/else")["workers"] == 2 and set(cnn) == set(mlp)
    config = {**cnn, "augment": ["cutout", "flip", "crop"]}
    made = _build.augmentation(config, (3, 32, 32))
    assert [type(t) for t in made or []] == [RandomCrop, RandomFlip, Cutout] and (made or [None])[0].padding == 4
    assert _build.augmentation(mlp, (3, 32, 32)) is None


def test_samples_are_a_fixed_part() -> None:
    config = {**_build.defaults("small", "digits"), "model": "small", "data": "digits", "train_samples": 100}
    one, two = (_build.data(config, train=True) for _ in range(2))
    assert len(one) == 100 and one.indices.tolist() == two.indices.tolist()
    assert one.sample_shape == (1, 8, 8) and one.classes == 10
    assert len(set(digits().arrays[1][one.indices].tolist())) == 10 and len(_build.data(config, train=False)) == 359


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with images of two classes, red and blue, to train with and to test."""
    pil = pytest.importorskip("PIL.Image", reason='needs Pillow: pip install "tensorlite[images]"')
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 5)):
        for name, channel in (("red", 0), ("blue", 2)):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 100, (20, 24, 3)).astype(np.uint8)
                pixels[..., channel] += 120
                pil.fromarray(pixels).save(folder / f"{k}.png")
    return tmp_path / "photos"


def test_a_folder_of_images(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "--model", "small", "--data", str(photos), "--image-size", "8", "--epochs", "8", "--lr", "0.02",
            "--batch-size", "10", "--augment", "jitter,flip", "--quiet"]
    assert main(args) == 0
    assert capsys.readouterr().out == "test accuracy 100.0% (10/10)\n"
    folder = Path("runs/small-photos-1")
    assert main(["plot", "confusion", "samples", "--checkpoint", str(folder)]) == 0
    assert capsys.readouterr().out.split() == [str(folder.absolute() / f"{n}.png") for n in ("confusion", "samples")]
    (photos / "test" / "red").rename(photos / "test" / "green")
    assert main(["eval", "--checkpoint", str(folder)]) == 2
    assert "the classes in test are blue, green, and those to train with are blue, red" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "message"), [
    (["--model", "resnet1"], "the model 'resnet1' is unknown; there are "),
    (["--augment", "flip"], "--augment moves images, and --model mlp takes rows"),
    (["--data", ".", "--model", "small"], "expected the folder train, with a folder of images for each class"),
    (["--data", "."], "--model mlp takes rows of numbers"),
])
def test_what_users_get_wrong_is_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *args]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not Path("runs").exists()


@pytest.mark.parametrize("args", [["train", "--augment", "spin"], ["train", "--amp", "fp8"], ["sweep", "--models", "a,a"],
                                  ["sweep", "--models", ","], ["train", "--label-smoothing", "1"], ["plot", "nothing"],
                                  ["plot", "curves"]])
def test_what_argparse_finds(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2 and "error:" in capsys.readouterr().err


# ---- sweep ---------------------------------------------------------------------------------------------------------------

def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "--models", "small,wide", "--out", "s", *QUICK]
    assert main(command) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("| model | parameters | multiply-adds |")
    assert [row.split(" | ")[0] for row in lines[2:]] == ["| small", "| wide"]
    report = json.loads(Path("s/sweep.json").read_text())
    for row, width in zip(report["rows"], (4, 8)):
        assert row["parameters"] == 10 * width + 40 * width + 10 and row["macs"] == 64 * 9 * width + 40 * width
        assert row["seconds_per_epoch"] > 0 and 0 <= row["test_accuracy"] <= 1 and row["samples"] == 180
        folder = Path("s") / row["model"]
        assert main(["eval", "--checkpoint", str(folder)]) == 0
        assert accuracy(capsys.readouterr().out.splitlines()[-1]) == pytest.approx(row["test_accuracy"])
    least = 50 * 64 * 4 * 4   # the first layer's output
    assert report["rows"][1]["step_bytes"] > report["rows"][0]["step_bytes"] > least
    assert text in Path("s/sweep.md").read_text() and Path("s/sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "--models", "small,wide", "--out", "s", *QUICK, "--epochs", "2"]
    prepare = _sweep._train.prepare

    def interrupted(config: dict[str, Any], out: Path, quiet: bool) -> Any:
        trainer, train, val = prepare(config, out, quiet)
        if config["model"] == "wide":
            trainer.callbacks.append(type("Stop", (tl.train.Callback,), {"on_step_end": stop})())
        return trainer, train, val

    def stop(self: Any, trainer: Any, loss: float) -> None:
        if trainer.step == 5:
            raise KeyboardInterrupt
    monkeypatch.setattr(_sweep._train, "prepare", interrupted)
    assert main(command) == 130
    assert [row["model"] for row in json.loads(Path("s/sweep.json").read_text())["rows"]] == ["small"]
    began = []

    def noted(config: dict[str, Any], out: Path, quiet: bool) -> Any:
        began.append(config["model"])
        return prepare(config, out, quiet)
    monkeypatch.setattr(_sweep._train, "prepare", noted)
    assert main(command) == 0 and began == ["wide"]
    monkeypatch.setattr(_sweep._train, "prepare", prepare)
    assert main([*command, "--out", "whole"]) == 0
    rows = [json.loads(Path(f"{out}/sweep.json").read_text())["rows"][1] for out in ("s", "whole")]
    assert rows[0]["test_loss"] == rows[1]["test_loss"] and rows[0]["epochs"] == 2
    capsys.readouterr()
    assert main([*command, "--lr", "0.5"]) == 2 and "--lr 0.5: the run in s/small was started with 0.1" in capsys.readouterr().err


def test_a_model_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--models", "mlp,small", "--out", "s", *QUICK, "--augment", "flip"]) == 2
    rows = json.loads(Path("s/sweep.json").read_text())["rows"]
    assert "takes rows of numbers" in rows[0]["error"] and rows[1]["parameters"] > 0
    assert "| mlp | failed: --augment moves images" in capsys.readouterr().out
    assert main(["sweep", "--models", "small,nothing"]) == 2 and "the model 'nothing' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(("n", "text"), [(999, "999"), (1210, "1.21 k"), (11_173_962, "11.2 M"), (5 * 10**9, "5 G")])
def test_numbers_are_short(n: int, text: str) -> None:
    assert _sweep._short(n) == text


# ---- plot ----------------------------------------------------------------------------------------------------------------

def test_every_picture(capsys: pytest.CaptureFixture[str]) -> None:
    for name, model in (("a", "small"), ("b", "mlp")):
        assert main(["train", "--model", model, "--out", name, *QUICK]) == 0
        kept = (Path(name) / "model.safetensors").read_bytes()
        Path(name, "curves.png").unlink()
        assert main(["plot", "confusion", "samples", "mistakes", "filters", "landscape", "curves", "--checkpoint", name,
                     "--steps", "3", "--samples", "20", "--count", "4", "--out", f"{name}-pictures"]) == 0
        pictures = sorted(p.name for p in Path(f"{name}-pictures").iterdir())
        assert pictures == [f"{n}.png" for n in ("confusion", "curves", "filters", "landscape", "mistakes", "samples")]
        assert (Path(name) / "model.safetensors").read_bytes() == kept
    capsys.readouterr()
    Path("a/history.json").unlink()
    assert main(["plot", "curves", "--checkpoint", "a"]) == 2
    assert "a/history.json: the history of the run cannot be read" in capsys.readouterr().err


# ---- what models cost ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("model", "shape", "macs"), [
    (nn.Conv2d(3, 8, 3, padding=1, groups=1), (2, 3, 6, 5), 8 * 27 * 30),
    (nn.Conv2d(4, 8, 3, stride=2, groups=2), (1, 4, 7, 7), 8 * 18 * 9),
    (nn.Conv1d(2, 3, 4), (2, 2, 10), 3 * 8 * 7), (nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 5, 5), 25 * 4 * 6 * 9),
    (nn.Linear(7, 5), (3, 7), 35), (nn.Sequential(nn.Linear(7, 5, bias=False), nn.ReLU(), nn.Linear(5, 2)), (3, 7), 45),
    (nn.BatchNorm1d(7), (3, 7), 0),
])
def test_multiply_adds(model: Any, shape: tuple[int, ...], macs: int) -> None:
    was_training = model.training
    cost = tl.train.model_cost(model, tl.ones(shape))
    assert cost == (sum(int(np.prod(p.shape)) for p in model.parameters()), macs) and model.training == was_training


def test_products_of_every_kind_count() -> None:
    x, w, v = tl.ones((2, 3, 4)), tl.ones((4, 5)), tl.ones(4)
    for run, macs in ((lambda t: t @ w, 60), (lambda t: t @ v, 12), (lambda t: tl.vecdot(t, t), 12), (lambda t: w.mT @ t.mT, 60)):
        model = nn.Module()
        model.forward = run   # type: ignore[method-assign]
        assert tl.train.model_cost(model, x).macs == macs


def test_memory_of_a_step_is_what_it_holds_at_most() -> None:
    def step() -> None:
        for _ in range(3):
            a = np.empty(1 << 20, np.uint8)
            del a
    assert 1 << 20 <= tl.train.step_memory(step) < (1 << 20) + 50_000


# ---- on a GPU ------------------------------------------------------------------------------------------------------------

def test_training_on_a_gpu_takes_its_data_there_and_ends_where_the_cpu_does(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["train", "--model", "small", *QUICK, "--augment", "crop,flip,cutout", "--val-split", "0"]
    assert main([*options, "--out", "cpu", "--device", "cpu"]) == 0
    with stand_in():
        assert main([*options, "--out", "gpu", "--device", "cuda"]) == 0
        config = {**_build.defaults("small", "digits"), "model": "small", "data": "digits", "train_samples": 50}
        assert next(iter(DataLoader(_build.data(config, True, "cuda"), 8)))[0].device == "cuda:0"
    a, b = (io.load(Path(name) / "model.safetensors")["model"] for name in ("cpu", "gpu"))
    for key in a:
        np.testing.assert_allclose(a[key].numpy(), b[key].numpy(), atol=1e-4)
    first, second = capsys.readouterr().out.splitlines()
    assert abs(accuracy(first) - accuracy(second)) < 0.05
