"""The training loop: steps, validation, schedules, checkpoints, and going on exactly where a killed run stopped."""
from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tensorlite import random
from tensorlite._dtypes import kind
from tensorlite._files import lock_folder, write_atomic
from tensorlite._state import no_grad
from tensorlite.backends import backend_for_device, backend_of
from tensorlite.data import DataLoader, random_split
from tensorlite.engine.value import raw
from tensorlite.errors import CheckpointError, DataError, TensorliteError, TrainingError
from tensorlite.train import _progress
from tensorlite.train._callbacks import Callback
from tensorlite.train._checkpoint import Checkpoints
from tensorlite.train._history import History
from tensorlite.train._readings import Readings

__all__ = ["Trainer", "accuracy"]

Metric = Callable[[Any, Any], float]


def accuracy(output: Any, target: Any) -> float:
    """The share of rows of ``output`` (n, classes) whose largest element is at the index ``target`` (n,) says.

    >>> import tensorlite as tl
    >>> tl.train.accuracy(tl.tensor([[1.01, 1.2], [12.5, 0.02], [0.23, 1.35]]), tl.tensor([0, 0, 1]))
    0.6666666666666666
    """
    return float(_accuracy(output, target))


def _accuracy(output: Any, target: Any) -> Any:
    """The accuracy as a number, or where reading one has the host wait, as a scalar array."""
    scores, labels = raw(output), raw(target)
    backend = backend_of(scores)
    correct = backend.xp.sum(backend.xp.argmax(scores, axis=-1) == labels)
    return (correct if backend.asynchronous else int(correct)) / max(int(np.prod(labels.shape)), 1)


class Trainer:
    """Trains ``model`` with ``optimizer`` to make ``loss(model(x), y)`` small.

    Batches are tuples whose last part is the target. ``scheduler`` is stepped after each epoch, or after each step with
    ``scheduler_step="step"``; a ``ReduceLROnPlateau`` is given the validation loss. ``grad_clip`` bounds the gradients' norm.
    ``metrics`` maps names to functions of output and target that return a mean over the batch; by default the accuracy, where the
    targets are class numbers. ``amp`` is the dtype of mixed precision (see ``tl.autocast``), ``scaler`` a ``tl.amp.GradScaler``
    for it. On a CUDA device nothing waits for a step's loss: callbacks and the progress line see that of up to two steps before.

    With ``out``, everything about the run goes into that folder: ``config.json``, ``history.json``, ``history.csv``,
    ``curves.png`` and ``checkpoints/``, with one checkpoint an epoch and one every ``checkpoint_every`` steps.

    >>> import tensorlite as tl
    >>> _ = tl.random.manual_seed(0)
    >>> data = tl.data.TensorDataset(tl.tensor([[0.0], [1.0], [2.0]]), tl.tensor([[0.0], [2.0], [4.0]]))
    >>> model = tl.nn.Linear(1, 1)
    >>> trainer = tl.train.Trainer(model, tl.optim.SGD(model.parameters(), lr=0.1), tl.nn.MSELoss(), progress=False)
    >>> history = trainer.fit(tl.data.DataLoader(data, batch_size=3), epochs=200)
    >>> history[-1]["loss"] < 1e-3
    True
    """

    def __init__(self, model: Any, optimizer: Any, loss: Callable[[Any, Any], Any], callbacks: Sequence[Callback] = (), *,
                 device: Any = None, scheduler: Any = None, scheduler_step: str = "epoch", grad_clip: float | None = None,
                 metrics: Mapping[str, Metric] | None = None, out: str | os.PathLike[str] | None = None,
                 checkpoint_every: int | None = None, config: Mapping[str, Any] | None = None, progress: bool = True,
                 amp: Any = None, scaler: Any = None) -> None:
        if scheduler_step not in ("epoch", "step"):
            raise TrainingError(f"Trainer: scheduler_step is {scheduler_step!r}, expected 'epoch' or 'step'")
        if grad_clip is not None and not grad_clip > 0:
            raise TrainingError(f"Trainer: grad_clip is {grad_clip}, expected a number above 0, or None not to clip")
        if checkpoint_every is not None and checkpoint_every < 1:
            raise TrainingError(f"Trainer: checkpoint_every is {checkpoint_every}, expected a number of steps from 1 up, or None")
        self.model, self.optimizer, self.loss, self.callbacks = model, optimizer, loss, list(callbacks)
        self.device = None if device is None else str(device)
        self.scheduler, self.scheduler_step, self.grad_clip = scheduler, scheduler_step, grad_clip
        self.metrics = None if metrics is None else dict(metrics)
        self.amp, self.scaler = amp, scaler
        self.out = None if out is None else Path(out)
        self.checkpoint_every, self.config, self.progress = checkpoint_every, dict(config or {}), progress
        self.checkpoints = None if self.out is None else Checkpoints(self.out / "checkpoints")
        self.history = History()
        self.epoch = 0       # epochs completed
        self.step = 0        # updates made
        self.best: float | None = None
        self.stop = False    # set it to end the training after the present epoch
        self._readings = Readings()
        self._sums: dict[str, float] = {}   # of the present epoch: samples, loss and metrics weighted by samples, seconds
        self._interrupted = False
        if self.device is not None:
            model.to(self.device)

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def fit(self, train: Any, val: Any = None, epochs: int = 1, *, batch_size: int = 32,
            resume: bool | str | os.PathLike[str] = False) -> History:
        """Train until ``epochs`` epochs are made in all, and return the history.

        ``train`` and ``val`` are loaders or data sets (which are put into loaders of ``batch_size``, shuffled for training);
        ``val`` may be a fraction of the data set ``train``. ``resume=True`` goes on from the newest checkpoint in ``out``, or
        starts if there is none; a path goes on from that checkpoint. A resumed run ends with the same bits as one that was never
        interrupted.

        Ctrl-C saves a checkpoint after the present step and raises ``KeyboardInterrupt``. Errors: ``TrainingError`` for a loss
        that is not finite, ``CheckpointError`` for a checkpoint that cannot be read, written, or is of another model, and where
        another process trains in the same folder.
        """
        locked = self._lock()
        try:
            return self._fit(train, val, epochs, batch_size, resume)
        finally:
            if locked is not None:
                os.close(locked)

    def _lock(self) -> int | None:
        """Keep other processes out of the run's folder; two would take each other's checkpoints for their own."""
        if self.out is None:
            return None
        try:
            return lock_folder(self.out)
        except BlockingIOError:
            raise CheckpointError(f"{self.out}: another process is training in this folder; wait for it, or choose "
                                  "another") from None

    def _fit(self, train: Any, val: Any, epochs: int, batch_size: int, resume: bool | str | os.PathLike[str]) -> History:
        train, val = _loaders(train, val, batch_size)
        self._sums, self.stop, self._interrupted, self._readings = {}, False, False, Readings()
        if resume:
            self._resume(train, resume)
        self._write_config(epochs)
        shown = _progress.make(self.progress)
        for callback in self.callbacks:
            callback.on_fit_start(self)
        handler = _catch_interrupt(self)
        try:
            shown.start(epochs, len(train), self.step)
            with backend_for_device(self.device or "cpu").quiet():   # what is not finite is found and said below
                while self.epoch < epochs and not self.stop:
                    shown.epoch(self._epoch(train, val, shown, epochs), epochs)
        except BaseException:
            with suppress(OSError):   # a full disk again would hide what went wrong
                self._write_history(final=True)
            raise
        else:
            self._write_history(final=True)
        finally:
            handler()
            shown.stop()
        for callback in self.callbacks:
            callback.on_fit_end(self)
        return self.history

    def _epoch(self, train: Any, val: Any, shown: _progress.Progress, epochs: int) -> dict[str, Any]:
        self.model.train()
        self._sums = self._sums or {"samples": 0, "seconds": 0.0, "lr": self._lr(), "loss": 0.0}
        sums, every = self._sums, self.checkpoint_every
        per_step = self.scheduler if self.scheduler_step == "step" else None
        before, begun, loss = sums["seconds"], perf_counter(), nan
        for batch in train:
            sums["lr"] = self._lr()
            loss = self._step(self._to_device(batch), sums, epochs, loss)
            if per_step is not None:
                per_step.step()
            self.step += 1
            sums["seconds"] = before + perf_counter() - begun
            for callback in self.callbacks:
                callback.on_step_end(self, loss)
            shown.step(self.epoch + 1, self.step, loss)
            if self._interrupted:
                self._interrupt(train)
            if every and self.step % every == 0:
                self._save(train)
        self._settle(sums, epochs, nan)
        if not sums["samples"]:
            raise DataError("fit: the training data gave no batch; give more samples, a smaller batch size, or drop_last=False")
        return self._end_epoch(train, val)

    def _step(self, batch: Any, sums: dict[str, float], epochs: int, last: float) -> float:
        """One update; returns its loss, or the ``last`` that is known where the device is still at work."""
        *inputs, target = batch
        with self._precision():
            output = self.model(*inputs)
            loss = self.loss(output, target)
        at_once = not backend_of(raw(loss)).asynchronous
        if at_once:
            last = float(loss.item())
            self._check(last, epochs, self.step + 1)
        self.optimizer.zero_grad()
        scaler = self.scaler
        (loss if scaler is None else scaler.scale(loss)).backward()
        if self.grad_clip is not None:
            from tensorlite.nn.utils import clip_grad_norm_
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), self.grad_clip)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self._readings.put(*self._measured(output, target, loss))
        return self._settle(sums, epochs, last, everything=at_once)

    def _measured(self, output: Any, target: Any, loss: Any) -> tuple[int, int, list[Any]]:
        """Samples, step, and the values that are averaged over an epoch: the loss and the metrics."""
        if self.metrics is None:
            classes = kind(target.dtype) in "iu" and output.ndim == target.ndim + 1
            self.metrics = {"accuracy": _accuracy} if classes else {}
        values = [loss.detach(), *[metric(output, target) for metric in self.metrics.values()]]
        return target.shape[0] if target.ndim else 1, self.step + 1, values

    def _settle(self, sums: dict[str, float], epochs: int, last: float, *, everything: bool = True) -> float:
        """Add what has come in to the sums; returns the newest loss."""
        for reading in self._readings.take(everything):
            last = reading.values[0]
            self._check(last, epochs, reading.step)
            sums["samples"] += reading.samples
            for name, value in zip(("loss", *(self.metrics or ())), reading.values):
                sums[name] = sums.get(name, 0.0) + reading.samples * value
        return last

    def _check(self, loss: float, epochs: int, step: int) -> None:
        if not isfinite(loss):
            raise self._not_finite("the loss", loss, epochs, step)

    def _precision(self) -> Any:
        """The context in which the model and the loss are computed."""
        if self.amp is None:
            return nullcontext()
        from tensorlite._autocast import autocast
        return autocast(self.amp)

    def _end_epoch(self, train: Any, val: Any) -> dict[str, Any]:
        sums = self._sums
        n, seconds = sums["samples"], sums["seconds"]
        record = {"epoch": self.epoch + 1, "step": self.step, "lr": sums["lr"]}
        record |= {name: value / n for name, value in sums.items() if name not in ("samples", "seconds", "lr")}
        if val is not None:
            record |= {f"val_{name}": value for name, value in self.evaluate(val).items() if name != "samples"}
            if not isfinite(record["val_loss"]):
                raise self._not_finite("the validation loss", record["val_loss"], self.epoch + 1)
        record |= {"seconds": seconds, "samples_per_second": n / max(seconds, 1e-9)}
        self._schedule(record)
        for callback in self.callbacks:
            callback.on_epoch_end(self, record)
        self.history.append(record)
        self.epoch, self._sums = self.epoch + 1, {}
        better = "val_loss" in record and (self.best is None or record["val_loss"] < self.best)
        if better:
            self.best = record["val_loss"]
        self._save(train, best=better)
        self._write_history()
        if self._interrupted:
            self._interrupt(None)
        return record

    def _schedule(self, record: dict[str, Any]) -> None:
        if self.scheduler is None or self.scheduler_step == "step":
            return
        from tensorlite.optim.lr_scheduler import ReduceLROnPlateau
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(record.get("val_loss", record["loss"]))
        else:
            self.scheduler.step()

    def evaluate(self, data: Any, *, batch_size: int = 1024) -> dict[str, float]:
        """The mean loss and metrics over a loader or data set, in evaluation mode, and the number of ``samples``."""
        loader = data if hasattr(data, "batch_size") else DataLoader(data, batch_size)
        was_training = getattr(self.model, "training", False)
        self.model.eval()
        sums: dict[str, float] = {"samples": 0, "loss": 0.0}
        readings = Readings()
        try:
            with no_grad(), self._precision():
                for batch in loader:
                    *inputs, target = self._to_device(batch)
                    output = self.model(*inputs)
                    readings.put(*self._measured(output, target, self.loss(output, target)))
        finally:
            if was_training:
                self.model.train()
        for reading in readings.take(everything=True):
            sums["samples"] += reading.samples
            for name, value in zip(("loss", *(self.metrics or ())), reading.values):
                sums[name] = sums.get(name, 0.0) + reading.samples * value
        n = sums.pop("samples")
        if not n:
            raise DataError("evaluate: the data gave no batch")
        return {**{name: value / n for name, value in sums.items()}, "samples": n}

    def _to_device(self, batch: Any) -> Any:
        if self.device is None or self.device == "cpu":
            return batch
        return [part.to(device=self.device, non_blocking=True) for part in batch]

    def _lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    # ---- what goes wrong ---------------------------------------------------------------------------------------------

    def _not_finite(self, what: str, value: float, epochs: int, step: int | None = None) -> TrainingError:
        good = self.checkpoints.good if self.checkpoints is not None else None
        return TrainingError(
            f"{what} is {value} in epoch {self.epoch + 1} of {epochs}, at step {step or self.step + 1}, with the learning rate "
            f"{self._lr():g}; last good checkpoint: {good or 'none'}. Try a lower learning rate, warm-up, grad_clip=1.0, and "
            "look for nan or inf in the data")

    def _interrupt(self, train: Any) -> None:
        if train is not None:
            self._save(train)
        raise KeyboardInterrupt(f"interrupted after step {self.step}")

    # ---- the run's folder --------------------------------------------------------------------------------------------

    def _save(self, train: Any, *, best: bool = False) -> None:
        if self.checkpoints is None:
            return
        if self._sums:
            self._settle(self._sums, self.epoch + 1, nan)
        model = self.model.state_dict()
        for name, value in model.items():
            array = raw(value)
            xp = backend_of(array).xp
            if kind(array.dtype) == "f" and not bool(xp.all(xp.isfinite(array))):
                raise self._not_finite(f"an element of the weights {name}", float("nan"), self.epoch + 1)
        self.checkpoints.save(self._state(model, train), best=best)

    def _state(self, model: Any, train: Any) -> dict[str, Any]:
        return {
            "model": dict(model), "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "random": random.get_rng_state(), "loader": train.state_dict() if hasattr(train, "state_dict") else None,
            "trainer": {"epoch": self.epoch, "step": self.step, "best": self.best, "stop": self.stop, "sums": self._sums,
                        "optimizer": type(self.optimizer).__name__},
            "callbacks": [[type(callback).__name__, state] for callback, state in self._with_state()],
            "history": self.history.records, "config": self.config,
        }

    def _with_state(self) -> list[tuple[Callback, dict[str, Any]]]:
        """The callbacks that have something to keep, and what they keep."""
        return [(callback, state) for callback in self.callbacks if (state := callback.state_dict())]

    def _resume(self, train: Any, where: Any) -> None:
        if where is True:
            if self.checkpoints is None:
                raise CheckpointError("fit: resume=True needs the folder of the run; make the Trainer with out=...")
            path = self.checkpoints.newest()
            if path is None:
                return
        else:
            path = Path(where)
        state = (self.checkpoints or Checkpoints(path.parent)).load(path)
        try:
            self._restore(state, train)
        except (TensorliteError, KeyError, RuntimeError, TypeError, IndexError) as error:
            reason = f"it lacks {error}" if type(error) is KeyError else error
            raise CheckpointError(f"{path}: the checkpoint is of another model, optimizer or set of callbacks ({reason}); "
                                  "make them as they were when it was written") from error

    def _restore(self, state: dict[str, Any], train: Any) -> None:
        callbacks = [callback for callback, _ in self._with_state()]
        names, kept = [type(callback).__name__ for callback in callbacks], [name for name, _ in state["callbacks"]]
        if names != kept or (state["scheduler"] is None) != (self.scheduler is None):
            with_one = "no" if state["scheduler"] is None else "a"
            raise CheckpointError(f"the checkpoint has the callbacks {kept} and {with_one} scheduler")
        mine, kept_by = type(self.optimizer).__name__, state["trainer"].get("optimizer")
        if kept_by not in (None, mine):
            raise CheckpointError(f"the checkpoint was written with the optimizer {kept_by}, and this one is {mine}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for callback, (_, kept_state) in zip(callbacks, state["callbacks"]):
            callback.load_state_dict(kept_state)
        if state["loader"] is not None and hasattr(train, "load_state_dict"):
            train.load_state_dict(state["loader"])
        random.set_rng_state(state["random"])
        own = state["trainer"]
        self.epoch, self.step, self.best = own["epoch"], own["step"], own["best"]
        self.stop, self._sums = own["stop"], own["sums"]
        self.history = History(state["history"])

    def _write_config(self, epochs: int) -> None:
        if self.out is None:
            return
        import platform

        from tensorlite import __version__
        about = {"config": self.config, "epochs": epochs, "tensorlite": __version__, "numpy": np.__version__,
                 "python": platform.python_version(), "model": repr(self.model), "optimizer": type(self.optimizer).__name__}
        write_atomic(self.out / "config.json", (json.dumps(about, indent=1) + "\n").encode())

    def _write_history(self, *, final: bool = False) -> None:
        if self.out is None or not len(self.history):
            return
        self.history.to_json(self.out / "history.json")
        self.history.to_csv(self.out / "history.csv")
        if final:
            try:
                self.history.plot(self.out / "curves.png")
            except TensorliteError as error:   # the run counts, not its picture
                print(f"no curves: {error}")


def _loaders(train: Any, val: Any, batch_size: int) -> tuple[Any, Any]:
    """Loaders of what ``fit`` was given."""
    if isinstance(val, float):
        if hasattr(train, "batch_size") or not 0 < val < 1:
            raise DataError(f"fit: val={val} asks for a part of the training data: it has to be between 0 and 1, and train a "
                            "data set, not a loader")
        train, val = random_split(train, [1 - val, val])
    if not hasattr(train, "batch_size"):
        train = DataLoader(train, batch_size, shuffle=True)
    if val is not None and not hasattr(val, "batch_size"):
        val = DataLoader(val, 1024)
    return train, val


def _catch_interrupt(trainer: Trainer) -> Callable[[], None]:
    """Let the first Ctrl-C only set a flag, so that no update is cut in two; the second one is as always. Returns what undoes
    it.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        trainer._interrupted = True
        signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGINT, note)

    def undo() -> None:
        signal.signal(signal.SIGINT, before)
    return undo
