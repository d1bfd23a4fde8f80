"""What a classifier does, as numbers and as pictures: confusion, sample predictions, the filters of its first layer."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite._state import no_grad
from tensorlite.backends import backend_of
from tensorlite.data import DataLoader, Subset
from tensorlite.engine.value import raw
from tensorlite.errors import DataError, ShapeError, TrainingError
from tensorlite.train import _figure

__all__ = ["confusion_matrix", "filter_images", "plot_confusion", "plot_filters", "plot_samples", "predict"]


def predict(model: Any, data: Any, *, batch_size: int = 1024, device: Any = None) -> tuple[Any, Any]:
    """The model's scores (n, classes) and the labels (n,) of a loader or data set, as NumPy arrays; in evaluation mode.

    >>> import tensorlite as tl
    >>> data = tl.data.TensorDataset(tl.eye(3), tl.arange(3))
    >>> tl.train.predict(lambda x: 2 * x, data)[0].argmax(axis=1).tolist()
    [0, 1, 2]
    """
    scores, labels = [], []
    loader = data if hasattr(data, "batch_size") else DataLoader(data, batch_size)
    with evaluating(model):
        for batch in loader:
            *inputs, target = (b if device is None else b.to(device=device) for b in batch)
            scores.append(_host(model(*inputs)))
            labels.append(_host(target))
    if not scores:
        raise DataError("predict: the data gave no batch")
    return np.concatenate(scores), np.concatenate(labels)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """No gradients, and every module in evaluation mode; then each as it was."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    were = [m.training for m in modules]
    try:
        for m in modules:
            m.training = False
        with no_grad():
            yield
    finally:
        for m, training in zip(modules, were):
            m.training = training


def _host(tensor: Any) -> Any:
    array = raw(tensor)
    return backend_of(array).to_numpy(array)


def confusion_matrix(model: Any, data: Any, classes: int | None = None, *, batch_size: int = 1024, device: Any = None) -> Any:
    """How many samples of class i the model takes for class j: int64 (classes, classes), rows are the true classes.

    >>> import tensorlite as tl
    >>> data = tl.data.TensorDataset(tl.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), tl.tensor([0, 1, 1]))
    >>> tl.train.confusion_matrix(lambda x: x, data).tolist()
    [[1, 0], [1, 1]]
    """
    scores, labels = predict(model, data, batch_size=batch_size, device=device)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ShapeError(f"confusion_matrix: the model's output and the labels have shapes {scores.shape} and {labels.shape}; "
                         "expected (n, classes) and (n,)")
    n = classes or scores.shape[1]
    if labels.min() < 0 or labels.max() >= n or scores.shape[1] > n:
        raise DataError(f"confusion_matrix: labels go from {labels.min()} to {labels.max()} and the model knows "
                        f"{scores.shape[1]} classes; expected no more than {n}")
    return np.bincount(labels * n + scores.argmax(axis=1), minlength=n * n).reshape(n, n)


def plot_confusion(matrix: Any, path: str | Path, names: Sequence[str] | None = None) -> None:
    """Draw a confusion matrix, shares of each true class as colours and counts as numbers, as a PNG. Needs matplotlib."""
    n = matrix.shape[0]
    names = names or [str(k) for k in range(n)]
    side = max(4.0, 0.5 * n + 1.5) if n <= 30 else 12
    figure = _figure.figure(side, side)
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if n <= 30:
        axes.set_xticks(range(n), names, rotation=90)
        axes.set_yticks(range(n), names)
        for i, j in zip(*np.nonzero(matrix)):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, int(matrix[i, j]), ha="center", va="center", fontsize=7, color=colour)
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set(xlabel="taken for", ylabel="is", title=f"accuracy {accuracy:.1%}")
    _figure.write(figure, path)


def plot_samples(model: Any, data: Any, path: str | Path, *, count: int = 25, only_wrong: bool = False,
                 names: Sequence[str] | None = None, device: Any = None, search: int = 2000) -> Any:
    """Draw the first ``count`` images of a data set, what the model takes them for, and how surely, as a PNG. Needs matplotlib.

    With ``only_wrong`` the first ones that it takes for something else, among the first ``search``. Returns the samples' numbers.
    """
    subset = Subset(data, np.arange(min(len(data), search if only_wrong else count)))
    scores, labels = predict(model, subset, device=device)
    guesses = scores.argmax(axis=1)
    shown = np.flatnonzero(guesses != labels)[:count] if only_wrong else np.arange(len(labels))
    wide = scores.astype(np.float64)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    names = names or getattr(data, "names", None) or [str(k) for k in range(scores.shape[1])]
    columns = max(1, ceil(sqrt(len(shown))))
    rows = max(1, ceil(len(shown) / columns))
    figure = _figure.figure(1.6 * columns, 1.9 * rows)
    for place, i in enumerate(shown):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(_shown(_image(data, int(i))), cmap="gray", interpolation="nearest")
        axes.set_axis_off()
        right = guesses[i] == labels[i]
        title = f"{names[guesses[i]]} {shares[i, guesses[i]]:.0%}" + ("" if right else f"\nis {names[labels[i]]}")
        axes.set_title(title, fontsize=8, color="black" if right else "crimson")
    _figure.write(figure, path)
    return shown


def _image(data: Any, i: int) -> Any:
    """One image as it is before normalisation, (channels, height, width)."""
    image = _host(data.take(np.asarray([i]))[0] if hasattr(data, "take") else data[i][0])
    image = image[0] if image.ndim in (2, 4) else image
    if image.ndim == 1:   # flat: a square of one channel, or of three
        channels = next((c for c in (1, 3) if round(sqrt(image.size / c)) ** 2 * c == image.size), None)
        if channels is None:
            raise ShapeError(f"plot_samples: an image has {image.size} values, which are no square; give images of (channels, "
                             "height, width)")
        image = image.reshape(channels, round(sqrt(image.size / channels)), -1)
    return image


def _shown(image: Any) -> Any:
    """(channels, height, width) as matplotlib takes it: grey, or three channels from 0 to 1."""
    image = image.astype(np.float64)
    low, high = (0.0, 255.0) if image.min() >= 0 and 1 < image.max() <= 255 and image.max() > 16 else (image.min(), image.max())
    image = (image - low) / max(high - low, 1e-12)
    return image.transpose(1, 2, 0) if image.shape[0] == 3 else image.mean(axis=0)


def filter_images(model: Any, sample_shape: Sequence[int] | None = None) -> tuple[str, Any]:
    """The first layer's weights as images: its parameter's name, and (filters, height, width, 1 or 3), each from 0 to 1.

    A convolution's filters of three channels are colours; of any other number, their mean over channels. Of a network whose first
    layer is fully connected, each neuron's weights are an image of ``sample_shape``.
    """
    shape = None if sample_shape is None else tuple(sample_shape)
    found = next(((name, p) for name, p in model.named_parameters() if p.ndim == 4
                  or (p.ndim == 2 and shape is not None and p.shape[1] == np.prod(shape))), None)
    if found is None or (found[1].ndim == 2 and len(shape or ()) != 3):
        raise TrainingError("filter_images: the model has no weight of four axes, nor a first layer that takes images of "
                            f"sample_shape={shape}; give it as (channels, height, width)")
    name, weight = found[0], _host(found[1]).astype(np.float64)
    weight = weight if weight.ndim == 4 else weight.reshape(-1, *(shape or ()))
    images = weight.transpose(0, 2, 3, 1)
    images = images if images.shape[3] == 3 else images.mean(axis=3, keepdims=True)
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    return name, (images - low) / np.maximum(high - low, 1e-30)


def plot_filters(model: Any, path: str | Path, sample_shape: Sequence[int] | None = None, *, most: int = 256) -> None:
    """Draw the filters of the first layer (at most ``most``) as a PNG; see :func:`filter_images`. Needs matplotlib."""
    name, images = filter_images(model, sample_shape)
    images = images[:most]
    n, height, width, channels = images.shape
    columns = ceil(sqrt(n))
    rows = ceil(n / columns)
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for k, image in enumerate(images):
        top, left = 1 + k // columns * (height + 1), 1 + k % columns * (width + 1)
        sheet[top:top + height, left:left + width] = image
    figure = _figure.figure(6, 6 * sheet.shape[0] / sheet.shape[1] + 0.4)
    axes = figure.add_subplot()
    axes.imshow(sheet if channels == 3 else sheet[:, :, 0], cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(name, fontsize=9)
    _figure.write(figure, path)
