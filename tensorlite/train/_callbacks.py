"""What a Trainer calls while it trains, and early stopping."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorlite.errors import TrainingError

if TYPE_CHECKING:
    from tensorlite.train._trainer import Trainer

__all__ = ["Callback", "EarlyStopping"]


class Callback:
    """Subclass it and override what you need. Setting ``trainer.stop = True`` ends the training after the present epoch."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step, after a checkpoint was loaded."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        """After each update of the weights."""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """After each epoch and its validation, before the checkpoint; what is added to ``record`` goes into the history."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint kept."""


class EarlyStopping(Callback):
    """Stop where ``monitor`` has turned: after ``patience`` epochs in a row that were not better than the best by more than
    ``min_delta``.

    ``restore_best`` puts the weights of the best epoch back at the end. ``mode`` is ``"min"`` or ``"max"``; by default ``"max"``
    for accuracies. (Prechelt, 'Early stopping - but when?', 1998, criterion UP.)

    >>> import tensorlite as tl
    >>> stopping = tl.train.EarlyStopping(patience=2)
    >>> [stopping.update(epoch, loss) for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.1], start=1)]
    [False, False, False, True]
    >>> stopping.best_epoch
    2
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, restore_best: bool = True,
                 mode: str | None = None) -> None:
        if patience < 1 or min_delta < 0 or mode not in (None, "min", "max"):
            raise TrainingError(f"EarlyStopping: patience={patience}, min_delta={min_delta}, mode={mode!r}; expected "
                                "patience >= 1, min_delta >= 0 and mode 'min' or 'max'")
        self.monitor, self.patience, self.min_delta, self.restore_best = monitor, patience, float(min_delta), restore_best
        self.sign = -1.0 if mode == "max" or (mode is None and "acc" in monitor) else 1.0
        self.best: float | None = None
        self.best_epoch = 0
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def update(self, epoch: int, value: float) -> bool:
        """Take note of an epoch's value; True if it is time to stop."""
        if self.best is None or self.sign * (self.best - value) > self.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if self.monitor not in record:
            raise TrainingError(f"EarlyStopping: there is no {self.monitor!r} among {', '.join(record)}; give fit() validation "
                                "data, or monitor='loss'")
        if self.update(record["epoch"], record[self.monitor]):
            trainer.stop = True
        if self.restore_best and self.best_epoch == record["epoch"]:
            self.weights = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.weights is not None:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self.weights = state["weights"]
