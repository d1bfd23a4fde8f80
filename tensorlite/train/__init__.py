"""Training: ``Trainer(model, optimizer, loss).fit(train, val, epochs)``, early stopping, checkpoints, history."""
from tensorlite.train._callbacks import Callback, EarlyStopping
from tensorlite.train._checkpoint import Checkpoints
from tensorlite.train._cost import ModelCost, model_cost, step_memory
from tensorlite.train._history import History
from tensorlite.train._landscape import Landscape, loss_landscape, normalized_direction
from tensorlite.train._pictures import confusion_matrix, filter_images, plot_confusion, plot_filters, plot_samples, predict
from tensorlite.train._trainer import Trainer, accuracy

__all__ = ["Callback", "Checkpoints", "EarlyStopping", "History", "Landscape", "ModelCost", "Trainer", "accuracy",
           "confusion_matrix", "filter_images", "loss_landscape", "model_cost", "normalized_direction", "plot_confusion",
           "plot_filters", "plot_samples", "predict", "step_memory"]
