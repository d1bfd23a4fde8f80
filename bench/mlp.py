"""Training steps of small networks: forward, loss, backward, optimizer, eagerly, against PyTorch eager and JAX jit."""
from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

CASES = [((2, 16, 16, 2), 32, "sgd", 0.40), ((784, 128, 10), 64, "sgd", 0.75), ((784, 128, 10), 64, "adam", 0.75),
         ((784, 512, 512, 10), 128, "sgd", None), ((784, 512, 512, 10), 128, "adam", 0.75)]


def data(sizes: tuple[int, ...], batch: int) -> tuple[Any, Any, list[Any]]:
    rng = np.random.default_rng(0)
    weights: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        bound = 1 / np.sqrt(n)
        weights += [rng.uniform(-bound, bound, (m, n)).astype(np.float32), rng.uniform(-bound, bound, m).astype(np.float32)]
    return rng.standard_normal((batch, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch), weights


def _eager(library: Any, sizes: tuple[int, ...], batch: int, method: str) -> Callable[[], Any]:
    """One training step, as a user writes it: PyTorch's program with the import changed."""
    x, y, weights = data(sizes, batch)
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [library.nn.Linear(n, m), library.nn.ReLU()]
    model = library.nn.Sequential(*layers[:-1])
    with library.no_grad():
        for p, w in zip(model.parameters(), weights):
            p.copy_(library.tensor(w))
    optimizer = (library.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9) if method == "sgd"
                 else library.optim.Adam(model.parameters(), lr=1e-4))
    inputs, labels = library.tensor(x), library.tensor(y)
    loss_of = library.nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss
    return step


def ours(sizes: tuple[int, ...], batch: int, method: str) -> Callable[[], Any]:
    """The step here."""
    return _eager(tl, sizes, batch, method)


def torch_eager(sizes: tuple[int, ...], batch: int, method: str) -> Callable[[], Any]:
    """The step in PyTorch."""
    import torch
    return _eager(torch, sizes, batch, method)


def jax_jit(sizes: tuple[int, ...], batch: int, method: str) -> Callable[[], Any]:
    """The whole step as one compiled function."""
    import jax
    import jax.numpy as jnp
    x, y, weights = data(sizes, batch)
    params = [jnp.asarray(w) for w in weights]
    zeros = [jnp.zeros_like(w) for w in params]
    inputs, labels = jnp.asarray(x), jnp.asarray(y)

    def loss_of(params: list[Any]) -> Any:
        h = inputs
        for k in range(0, len(params), 2):
            h = h @ params[k].T + params[k + 1]
            if k + 2 < len(params):
                h = jax.nn.relu(h)
        return -jnp.take_along_axis(jax.nn.log_softmax(h), labels[:, None], 1).mean()

    @jax.jit
    def update(params: Any, m: Any, v: Any, t: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params)
        if method == "sgd":
            m = [0.9 * a + g for a, g in zip(m, grads)]
            return loss, [p - 1e-3 * a for p, a in zip(params, m)], m, v, t
        t = t + 1
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads)]
        params = [p - 1e-4 * (a / (1 - 0.9 ** t)) / (jnp.sqrt(b / (1 - 0.999 ** t)) + 1e-8) for p, a, b in zip(params, m, v)]
        return loss, params, m, v, t
    state = [params, zeros, zeros, jnp.zeros(())]

    def step() -> Any:
        loss, *state[:] = update(*state)
        return loss.block_until_ready()
    return step


def run(peers: list[str]) -> list[Result]:
    """Every case."""
    results = []
    for sizes, batch, method, goal in CASES:
        candidates = {"tensorlite": ours(sizes, batch, method)}
        if "torch" in peers:
            candidates["torch"] = torch_eager(sizes, batch, method)
        if "jax" in peers:
            candidates["jax"] = jax_jit(sizes, batch, method)
        results.append(compare(f"MLP step {'-'.join(map(str, sizes))}, batch {batch}, {method}", candidates, goal=goal))
    return results
