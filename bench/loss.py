"""Softmax cross-entropy, forward and backward."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

SIZES = [(8192, 10), (512, 50257)]


def run(peers: list[str]) -> list[Result]:
    """Every size."""
    results = []
    for n, c in SIZES:
        rng = np.random.default_rng(0)
        z, y = rng.standard_normal((n, c)).astype(np.float32), rng.integers(0, c, n)
        x, labels = tl.tensor(z, requires_grad=True), tl.tensor(y)

        def ours(x: Any = x, labels: Any = labels) -> None:
            x.grad = None
            tl.nn.functional.cross_entropy(x, labels).backward()
        candidates: dict[str, Callable[[], Any]] = {"tensorlite": ours}
        if "torch" in peers:
            import torch
            tx, ty = torch.tensor(z, requires_grad=True), torch.tensor(y)

            def theirs(tx: Any = tx, ty: Any = ty) -> None:
                tx.grad = None
                torch.nn.functional.cross_entropy(tx, ty).backward()
            candidates["torch"] = theirs
        if "jax" in peers:
            import jax
            import jax.numpy as jnp
            jx, jy = jnp.asarray(z), jnp.asarray(y)
            both = jax.jit(jax.value_and_grad(lambda z, y: -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()))

            def compiled(both: Any = both, jx: Any = jx, jy: Any = jy) -> None:
                jax.block_until_ready(both(jx, jy))
            candidates["jax"] = compiled
        results.append(compare(f"softmax cross-entropy forward + backward {n} x {c}", candidates, goal=0.6, seconds=0.3))
    return results
