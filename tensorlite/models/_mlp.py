"""Fully connected networks."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tensorlite import nn
from tensorlite.models._parts import UnknownName

__all__ = ["ACTIVATIONS", "mlp"]

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU,
               "softplus": nn.Softplus, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def mlp(inputs: int, hidden: Sequence[int], outputs: int, *, activation: str = "relu", dropout: float = 0.0,
        batchnorm: bool = False) -> Any:
    """Linear layers of the sizes ``hidden``, each followed by batch normalisation (if asked for), an activation and dropout, and
    a last linear layer. Takes (n, inputs), gives (n, outputs).

    >>> import tensorlite as tl
    >>> tl.models.mlp(64, [32], 10)(tl.ones((2, 64))).shape
    (2, 10)
    """
    if activation not in ACTIVATIONS:
        raise UnknownName(f"mlp: activation {activation!r} is unknown; there are {', '.join(ACTIVATIONS)}")
    layers: list[Any] = []
    sizes = [inputs, *hidden]
    for n, m in pairwise(sizes):
        layers.append(nn.Linear(n, m, bias=not batchnorm))
        if batchnorm:
            layers.append(nn.BatchNorm1d(m))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))
