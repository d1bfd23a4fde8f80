"""The training loop, early stopping, the files of a run, and what goes wrong in one."""
from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import _files, nn, optim
from tensorlite._files import lock_folder
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.errors import CheckpointError, DataError, TrainingError
from tensorlite.optim import lr_scheduler
from tensorlite.train import Callback, Checkpoints, EarlyStopping, History, Trainer, _progress, accuracy

pytest.importorskip("safetensors", reason='needs safetensors: pip install "tensorlite[train]"')
BLOBS = np.random.default_rng(0)


def blobs(n: int = 96) -> TensorDataset:
    """Three classes of points that a linear model tells apart."""
    y = np.arange(n) % 3
    x = BLOBS.normal(size=(n, 2)) * 0.3 + np.asarray([[0, 2], [2, 0], [-2, -2]])[y]
    return TensorDataset(x.astype(np.float32), y)


def trainer(out: Path | None = None, *, lr: float = 0.1, hidden: int = 8, **options: Any) -> Trainer:
    tl.random.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 3))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return Trainer(model, optimizer, nn.CrossEntropyLoss(), out=out, progress=False, **options)


def weights(of: Trainer) -> dict[str, Any]:
    return {name: value.numpy(force=True).copy() for name, value in of.model.state_dict().items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


# ---- training ------------------------------------------------------------------------------------------------------------

def test_fit_learns_and_records(tmp_path: Path) -> None:
    it = trainer(tmp_path)
    history = it.fit(DataLoader(blobs(), 16, shuffle=True), blobs(30), epochs=5)
    assert len(history) == 5 and history[-1]["accuracy"] > 0.95 and history[-1]["val_accuracy"] > 0.95
    assert history["epoch"] == [1, 2, 3, 4, 5] and history["step"] == [6, 12, 18, 24, 30]
    assert list(history[0]) == ["epoch", "step", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "seconds",
                                "samples_per_second"]
    assert history["loss"][-1] < history["loss"][0] and it.evaluate(blobs(30))["samples"] == 30


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="curves need matplotlib")
    trainer(tmp_path, config={"lr": 0.1}).fit(blobs(), 0.25, epochs=2)
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoints", "config.json", "curves.png", "history.csv", "history.json"}
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"last.safetensors", "previous.safetensors", "best.safetensors"}
    assert json.loads((tmp_path / "config.json").read_text())["config"] == {"lr": 0.1}
    records = json.loads((tmp_path / "history.json").read_text())
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_loss"]) for r in rows] == [r["val_loss"] for r in records] and len(rows) == 2
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer().fit(blobs(), epochs=1)
    assert not list(tmp_path.iterdir())


def test_losses_are_means_over_samples_not_over_batches() -> None:
    it = trainer(lr=1e-30)
    it.model.eval()
    data = blobs(10)
    one, three = it.evaluate(DataLoader(data, 10)), it.evaluate(DataLoader(data, 4))
    assert one["loss"] == pytest.approx(three["loss"], rel=1e-6) and one["accuracy"] == three["accuracy"]


def test_dropout_is_on_in_training_and_off_in_validation() -> None:
    modes = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x: Any) -> Any:
            modes.append((self.training, tl.is_grad_enabled()))
            return self.layer(x)
    model = Spy()
    Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), progress=False).fit(
        DataLoader(blobs(8), 8), DataLoader(blobs(8), 8), epochs=2)
    assert modes == [(True, True), (False, False)] * 2


def test_regression_has_no_accuracy_and_metrics_can_be_given() -> None:
    data = TensorDataset(tl.ones((6, 2)), tl.ones((6, 1)))
    model = nn.Linear(2, 1)
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), progress=False)
    assert "accuracy" not in it.fit(data, epochs=1)[0]
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), progress=False,
                 metrics={"mae": lambda output, target: (output - target).abs().mean().item()})
    assert "mae" in it.fit(data, data, epochs=1)[0] and "val_mae" in it.history[0]


def test_accuracy() -> None:
    assert accuracy(tl.tensor([[1.01, 1.2], [12.5, 0.02], [0.23, 1.35]]), tl.tensor([0, 0, 1])) == pytest.approx(2 / 3)


def test_gradients_are_clipped() -> None:
    it = trainer(grad_clip=1e-12)
    before = weights(it)
    it.fit(blobs(), epochs=1)
    assert all(np.allclose(before[n], w, atol=1e-9) for n, w in weights(it).items())


def test_schedules_per_step_per_epoch_and_on_a_plateau() -> None:
    def rates(make: Any, every: str) -> list[float]:
        it = trainer()
        it.scheduler, it.scheduler_step = make(it.optimizer), every
        return list(it.fit(DataLoader(blobs(32), 16), blobs(6), epochs=3)["lr"])
    assert rates(lambda o: lr_scheduler.StepLR(o, 1, 0.5), "epoch") == pytest.approx([0.1, 0.05, 0.025])
    assert rates(lambda o: lr_scheduler.StepLR(o, 1, 0.5), "step") == pytest.approx([0.05, 0.0125, 0.003125])
    never = {"patience": 0, "threshold": 1e9, "threshold_mode": "abs"}
    plateau = rates(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.1, **never), "epoch")
    assert plateau[0] == 0.1 and plateau[-1] < 0.1


def test_what_fit_refuses() -> None:
    with pytest.raises(DataError, match="gave no batch"):
        trainer().fit(DataLoader(blobs(6), 10, drop_last=True), epochs=1)
    with pytest.raises(DataError, match="between 0 and 1"):
        trainer().fit(DataLoader(blobs(6), 3), 0.2)
    with pytest.raises(TrainingError, match="scheduler_step is 'day'"):
        trainer(scheduler_step="day")
    with pytest.raises(CheckpointError, match="needs the folder"):
        trainer().fit(blobs(6), resume=True)


def test_a_label_out_of_range_is_an_index_error() -> None:
    data = TensorDataset(np.zeros((4, 2), np.float32), np.asarray([0, 1, 2, 3]))
    with pytest.raises(IndexError, match="3"):
        trainer().fit(data, epochs=1)


# ---- early stopping ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("minimum", "patience"), [(1, 1), (4, 1), (4, 3), (10, 5)])
def test_early_stopping_fires_at_a_planted_minimum(minimum: int, patience: int) -> None:
    """Row 50 of the acceptance table: the validation loss turns at ``minimum``, and the weights of that epoch come back."""
    seen: dict[int, dict[str, Any]] = {}

    class Planted(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["val_loss"] = 1.0 + (record["epoch"] - minimum) ** 2
            seen[record["epoch"]] = weights(trainer)
    stopping = EarlyStopping(patience=patience)
    it = trainer(callbacks=[Planted(), stopping])
    history = it.fit(blobs(12), epochs=50)
    assert stopping.best_epoch == minimum and len(history) == minimum + patience
    assert same(weights(it), seen[minimum]) and not same(weights(it), seen[len(history)])


def test_early_stopping_on_a_real_validation_loss_that_turns() -> None:
    noisy = TensorDataset(blobs(24).arrays[0], BLOBS.integers(0, 3, 24))   # labels that can only be learnt by heart
    stopping = EarlyStopping(patience=3)
    it = trainer(callbacks=[stopping], hidden=64)
    history = it.fit(noisy, TensorDataset(blobs(24).arrays[0], BLOBS.integers(0, 3, 24)), epochs=300)
    losses = history["val_loss"]
    assert len(history) < 300 and stopping.best_epoch == 1 + int(np.argmin(losses)) == len(losses) - 3


def test_early_stopping_details() -> None:
    small = EarlyStopping(patience=2, min_delta=0.1)
    assert [small.update(i, v) for i, v in enumerate([1.0, 0.95, 0.93])] == [False, False, True] and small.best == 1.0
    rising = EarlyStopping("val_accuracy", patience=1)
    assert [rising.update(i, v) for i, v in enumerate([0.1, 0.2, 0.2])] == [False, False, True]
    with pytest.raises(TrainingError, match="patience=0"):
        EarlyStopping(patience=0)
    with pytest.raises(TrainingError, match="there is no 'val_loss' among epoch, step, lr, loss"):
        trainer(callbacks=[EarlyStopping()]).fit(blobs(6), epochs=1)


def test_not_restoring_keeps_the_last_weights() -> None:
    stopping = EarlyStopping("loss", patience=1, mode="max", restore_best=False)
    it = trainer(callbacks=[stopping])
    it.fit(blobs(), epochs=9)
    assert len(it.history) == 2 and stopping.weights is None


# ---- what goes wrong -----------------------------------------------------------------------------------------------------

def test_a_nan_loss_stops_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    data = blobs(32)

    class Poison(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            if record["epoch"] == 2:
                data.arrays[0][20] = np.nan
    it = trainer(tmp_path, callbacks=[Poison()])
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 3 of 5, at step 6, with the learning rate 0\.1; last good "
                                            r"checkpoint: .*last\.safetensors\. Try a lower learning rate"):
        it.fit(DataLoader(data, 16), epochs=5)
    state = Checkpoints(tmp_path / "checkpoints").load(tmp_path / "checkpoints" / "last.safetensors")
    assert state["trainer"]["epoch"] == 2 and all(np.isfinite(w.numpy()).all() for w in state["model"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Break(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            if record["epoch"] == 2:
                with tl.no_grad():
                    trainer.model[0].weight.mul_(float("inf"))
    with pytest.raises(TrainingError, match=r"an element of the weights 0\.weight"):
        trainer(tmp_path, callbacks=[Break()]).fit(blobs(), epochs=3)
    assert Checkpoints(tmp_path / "checkpoints").load(tmp_path / "checkpoints/last.safetensors")["trainer"]["epoch"] == 1


def test_a_full_disk_while_saving_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    class Fill(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.step == 12:
                monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device\); the last good checkpoint, .*, is untouched"):
        trainer(tmp_path, callbacks=[Fill()]).fit(DataLoader(blobs(), 16), epochs=3)
    monkeypatch.undo()
    folder = tmp_path / "checkpoints"
    assert Checkpoints(folder).load(folder / "last.safetensors")["trainer"]["epoch"] == 1
    assert trainer(tmp_path).fit(DataLoader(blobs(), 16), epochs=3, resume=True)["epoch"] == [1, 2, 3]


def test_the_error_of_a_checkpoint_that_cannot_be_written_names_the_last_good_one(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save({"n": 1})
    kept.folder = tmp_path / "last.safetensors"   # a file where a folder should be
    with pytest.raises(CheckpointError, match=r"cannot be written .*the last good checkpoint, .*last\.safetensors, is untouched"):
        kept.save({"n": 2})
    assert Checkpoints(tmp_path).load(kept.last)["n"] == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_broken_checkpoint_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    trainer(tmp_path).fit(blobs(), epochs=2)
    path = tmp_path / "checkpoints" / "last.safetensors"
    data = path.read_bytes()
    flipped = data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]
    path.write_bytes({"truncated": data[:len(data) // 2], "flipped": flipped, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"last\.safetensors: .*(truncated|corrupt).*resume from .*previous\.safetensors"):
        trainer(tmp_path).fit(blobs(), epochs=3, resume=True)
    history = trainer(tmp_path).fit(blobs(), epochs=3, resume=tmp_path / "checkpoints" / "previous.safetensors")
    assert history["epoch"] == [1, 2, 3]


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).fit(blobs(), epochs=1)
    with pytest.raises(CheckpointError, match="of another model, optimizer or set of callbacks"):
        trainer(tmp_path, hidden=9).fit(blobs(), epochs=2, resume=True)
    with pytest.raises(CheckpointError, match=r"the callbacks \[\] and no scheduler"):
        trainer(tmp_path, callbacks=[EarlyStopping()]).fit(blobs(), epochs=2, resume=True)
    it = trainer(tmp_path)
    it.optimizer = tl.optim.AdamW(it.model.parameters())
    with pytest.raises(CheckpointError, match=r"was written with the optimizer \w+, and this one is AdamW"):
        it.fit(blobs(), epochs=2, resume=True)
    with pytest.raises(CheckpointError, match="not a checkpoint of a training run"):
        tl.save({"a": 1}, tmp_path / "x")
        trainer(tmp_path).fit(blobs(), epochs=2, resume=tmp_path / "x")
    with pytest.raises(CheckpointError, match="no such file"):
        trainer(tmp_path).fit(blobs(), epochs=2, resume=tmp_path / "absent")


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    assert held is not None
    with pytest.raises(CheckpointError, match="another process is training in this folder"):
        trainer(tmp_path).fit(blobs(), epochs=1)
    os.close(held)
    trainer(tmp_path).fit(blobs(), epochs=1)
    trainer(tmp_path).fit(blobs(), epochs=2, resume=True)


# ---- going on ------------------------------------------------------------------------------------------------------------

def test_resume_without_a_checkpoint_begins(tmp_path: Path) -> None:
    data = blobs()
    alone = trainer()
    alone.fit(data, epochs=2)
    it = trainer(tmp_path)
    it.fit(data, epochs=2, resume=True)
    assert same(weights(it), weights(alone))


def test_a_finished_run_stays_as_it_is_and_can_be_lengthened(tmp_path: Path) -> None:
    data = blobs()
    whole = trainer()
    whole.fit(data, epochs=4)
    first = trainer(tmp_path)
    first.fit(data, epochs=2)
    again = trainer(tmp_path)
    assert len(again.fit(data, epochs=2, resume=True)) == 2 and same(weights(again), weights(first))
    longer = trainer(tmp_path)
    assert len(longer.fit(data, epochs=4, resume=True)) == 4 and same(weights(longer), weights(whole))


@pytest.mark.parametrize("stop_at", [1, 5, 6, 7, 11, 12])
def test_an_error_at_any_step_and_a_resume_end_with_the_same_bits(tmp_path: Path, stop_at: int) -> None:
    """Step 6 is the last one of its epoch: its checkpoint holds an epoch whose end was not reached."""
    data = blobs()

    class Stop(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.step == stop_at + 1:
                raise InterruptedError
    whole = trainer(callbacks=[Callback()])
    whole.fit(DataLoader(data, 16, shuffle=True), data, epochs=3)
    with pytest.raises(InterruptedError):
        trainer(tmp_path, callbacks=[Stop()], checkpoint_every=1).fit(DataLoader(data, 16, shuffle=True), data, epochs=3)
    second = trainer(tmp_path, callbacks=[Callback()])
    second.fit(DataLoader(data, 16, shuffle=True), data, epochs=3, resume=True)
    assert same(weights(second), weights(whole))
    timeless = [[{k: v for k, v in r.items() if "second" not in k} for r in t.history] for t in (whole, second)]
    assert timeless[0] == timeless[1]


def test_ctrl_c_finishes_the_step_and_saves(tmp_path: Path) -> None:
    class Press(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.step == 8:
                signal.raise_signal(signal.SIGINT)
    data, before = blobs(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="after step 8"):
        trainer(tmp_path, callbacks=[Press()]).fit(DataLoader(data, 16), epochs=3)
    assert signal.getsignal(signal.SIGINT) is before
    whole, rest = trainer(callbacks=[Callback()]), trainer(tmp_path, callbacks=[Callback()])
    whole.fit(DataLoader(data, 16), epochs=3)
    rest.fit(DataLoader(data, 16), epochs=3, resume=True)
    assert same(weights(rest), weights(whole))


# ---- history and progress ------------------------------------------------------------------------------------------------

def test_history_with_gaps(tmp_path: Path) -> None:
    history = History([{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "val_loss": 0.75}])
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch,loss,val_loss\n1,1.0,\n2,0.5,0.75\n"
    assert history["val_loss"] == [0.75] and [r["epoch"] for r in history] == [1, 2]


def test_curves_without_matplotlib_say_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(tl.errors.TensorliteError, match=r'pip install "tensorlite\[train\]"'):
        History([{"epoch": 1, "loss": 1.0}]).plot(tmp_path / "x.png")


def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    it = trainer()
    it.progress = True
    it.fit(blobs(), blobs(9), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1/2  loss ") and "val accuracy" in lines[1] and "samples/s" in lines[1]


def test_the_bar_on_a_terminal() -> None:
    pytest.importorskip("rich", reason="the bar needs rich")
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True
    out = Terminal()
    bar = _progress.make(True, out)
    assert isinstance(bar, _progress.Bar)
    bar.start(2, 3, 0)
    bar.step(1, 1, 0.5)
    bar.epoch({"epoch": 1, "step": 3, "lr": 0.1, "loss": 0.5, "seconds": 1.0, "samples_per_second": 9.0}, 2)
    bar.stop()
    assert "epoch 1/2  loss 0.5000" in out.getvalue()


def test_training_imports_no_matplotlib_until_it_draws() -> None:
    program = "import sys, tensorlite.train\nprint([m for m in ('matplotlib', 'rich', 'safetensors') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stdout.strip() == "[]"
