"""The loss around a network's weights, on a plane through them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tensorlite._dtypes import kind
from tensorlite._state import no_grad
from tensorlite.backends import backend_for_device
from tensorlite.data import DataLoader, Subset
from tensorlite.engine.value import raw
from tensorlite.errors import DataError, ShapeError, TrainingError
from tensorlite.func import functional_call
from tensorlite.ops.creation import zeros_like
from tensorlite.random import Key, fold_in, normal
from tensorlite.random import key as key_of
from tensorlite.train import _figure
from tensorlite.train._pictures import evaluating

__all__ = ["Landscape", "loss_landscape", "normalized_direction"]

Direction = Mapping[str, Any]


class Landscape(NamedTuple):
    """``loss[i, j]`` is the loss at the weights plus ``x[j]`` times the first direction plus ``y[i]`` times the second, in
    float64."""

    x: Any
    y: Any
    loss: Any

    def plot(self, path: str | Path, *, levels: int = 30) -> None:
        """Draw contours of the loss (of its logarithm, where it spans more than a factor of 100) as a PNG. Needs matplotlib."""
        shown = np.ma.masked_invalid(self.loss)
        wide = shown.min() > 0 and shown.max() > 100 * shown.min()
        figure = _figure.figure(6, 5)
        axes = figure.add_subplot()
        if min(self.loss.shape) > 1:
            drawn = axes.contourf(self.x, self.y, np.log10(shown) if wide else shown, levels=levels, cmap="viridis")
            figure.colorbar(drawn, label="log10 of the loss" if wide else "loss")
            axes.plot(0, 0, "r+", markersize=10)
            axes.set(xlabel="first direction", ylabel="second direction")
        else:
            axes.plot(self.x if self.loss.shape[0] == 1 else self.y, shown.reshape(-1))
            axes.set(xlabel="direction", ylabel="loss", yscale="log" if wide else "linear")
        _figure.write(figure, path)


def normalized_direction(model: Any, key: Key) -> dict[str, Any]:
    """A random direction among the model's weights: normal numbers, each filter scaled to the norm of the filter it belongs to.

    d_i <- d_i / ||d_i|| * ||w_i|| for each row i of a weight's first axis (a convolution's filter, a neuron's weights). Weights
    with less than two axes (biases, what normalisation layers learn) stay where they are. So networks that differ only in the
    scale of their weights look alike. (Li et al., 'Visualizing the loss landscape of neural nets', NeurIPS 2018, section 4.)
    """
    found = {}
    for number, (name, p) in enumerate(model.named_parameters()):
        if p.ndim < 2 or kind(p.dtype) != "f":
            continue
        d = normal(fold_in(key, number), tuple(p.shape), dtype=p.dtype, device=p.device)
        axes = tuple(range(1, p.ndim))
        with no_grad():
            norm, wanted = ((w * w).sum(axis=axes, keepdims=True) ** 0.5 for w in (d, p.detach()))
            found[name] = d * (wanted / norm.clip(1e-30, None))
    return found


def loss_landscape(model: Any, loss: Callable[[Any, Any], Any], data: Any, *, steps: int | tuple[int, int] = 21,
                   span: float = 1.0, directions: Sequence[Direction] | None = None, key: Key | None = None,
                   samples: int | None = 1000, batch_size: int = 500, device: Any = None,
                   report: Callable[[int, int], None] | None = None) -> Landscape:
    """The loss at ``steps`` x ``steps`` places (or (across, up)) of a plane through the model's weights, from -span to span.

    The plane is spanned by ``directions``, two dicts of parameters' names and tensors of their shapes, or by two random ones of
    :func:`normalized_direction`, drawn by ``key`` (seed 0 by default). ``loss`` is that of a batch's mean, taken over the first
    ``samples`` of the data set ``data`` (None: all) in evaluation mode. ``report(done, of)`` is called after each place.

    The model's own weights are not touched, and are as they were also after an error. ``TrainingError`` or ``ShapeError`` for
    directions that do not fit the model.

    >>> import tensorlite as tl
    >>> model = tl.nn.Linear(2, 1, bias=False)
    >>> data = tl.data.TensorDataset(tl.ones((4, 2)), tl.ones((4, 1)))
    >>> seen = tl.train.loss_landscape(model, tl.nn.MSELoss(), data, steps=(5, 3))
    >>> seen.loss.shape, seen.x.tolist()
    ((3, 5), [-1.0, -0.5, 0.0, 0.5, 1.0])
    >>> bool(abs(seen.loss[1, 2] - tl.nn.MSELoss()(model(tl.ones((4, 2))), tl.ones((4, 1))).item()) < 1e-6)
    True
    """
    across, up = (steps, steps) if isinstance(steps, int) else steps
    if not span > 0 or min(across, up) < 1:
        raise TrainingError(f"loss_landscape: span is {span} and steps is {steps}; expected a span above 0 and 1 or more steps")
    root = key or key_of(0)
    first, second = directions or (normalized_direction(model, fold_in(root, k)) for k in (0, 1))
    weights = {name: p.detach() for name, p in model.named_parameters()}
    pairs = {name: _pair(name, weights, first, second) for name in (*first, *(n for n in second if n not in first))}
    n = len(data) if samples is None else min(samples, len(data))
    batches = [tuple(b.to(device=device) if device is not None else b for b in batch)
               for batch in DataLoader(Subset(data, np.arange(n)), batch_size)]
    if not batches:
        raise DataError("loss_landscape: the data gave no batch")
    x, y = _places(across, span), _places(up, span)
    grid = np.empty((up, across))
    with evaluating(model), backend_for_device(str(device or "cpu")).quiet():
        for done, (i, j) in enumerate(product(range(up), range(across)), 1):
            at = {name: weights[name] + (float(x[j]) * d1 + float(y[i]) * d2) for name, (d1, d2) in pairs.items()}
            grid[i, j] = _mean_loss(model, loss, at, batches)
            if report is not None:
                report(done, grid.size)
    return Landscape(x, y, grid)


def _places(steps: int, span: float) -> Any:
    return np.linspace(-span, span, steps) if steps > 1 else np.zeros(1)


def _pair(name: str, weights: Mapping[str, Any], first: Direction, second: Direction) -> tuple[Any, Any]:
    if name not in weights:
        raise TrainingError(f"loss_landscape: a direction holds {name!r}, which is no parameter of the model; expected some of "
                            f"{', '.join(weights)}")
    found = [d.get(name) for d in (first, second)]
    for d in found:
        if d is not None and tuple(d.shape) != tuple(weights[name].shape):
            raise ShapeError(f"loss_landscape: a direction's {name} has shape {tuple(d.shape)}, expected the parameter's, "
                             f"{tuple(weights[name].shape)}")
    d1, d2 = (zeros_like(weights[name]) if d is None else d for d in found)
    return d1, d2


def _mean_loss(model: Any, loss: Callable[[Any, Any], Any], weights: Mapping[str, Any], batches: Sequence[Any]) -> float:
    total, count = 0.0, 0
    for *inputs, target in batches:
        n = int(target.shape[0])
        total += n * float(raw(loss(functional_call(model, weights, tuple(inputs)), target)))
        count += n
    return total / count
