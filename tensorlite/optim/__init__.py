"""Optimizers and learning-rate schedules, with PyTorch's names."""
from __future__ import annotations

from tensorlite.optim import lr_scheduler
from tensorlite.optim._adam import Adam, AdamW
from tensorlite.optim._optimizer import Optimizer, OptimizerError
from tensorlite.optim._rmsprop import RMSprop
from tensorlite.optim._sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "OptimizerError", "RMSprop", "SGD", "lr_scheduler"]
