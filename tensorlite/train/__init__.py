"""Training: ``Trainer(model, optimizer, loss).fit(train, val, epochs)``, early stopping, checkpoints, history."""
from tensorlite.train._callbacks import Callback, EarlyStopping
from tensorlite.train._checkpoint import Checkpoints
from tensorlite.train._history import History
from tensorlite.train._trainer import Trainer, accuracy

__all__ = ["Callback", "Checkpoints", "EarlyStopping", "History", "Trainer", "accuracy"]
