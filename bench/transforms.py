"""Transforms: what gradients and Hessian products cost beside the function, Jacobians by shape, per-sample gradients."""
from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import tensorlite as tl

from ._measure import Result, compare

SIZES = (10, 1_000, 100_000, 1_000_000)   # of the Rosenbrock function's argument
LAYERS = (10, 100, 1_000)                 # widths of three dense layers of a scalar function
INPUTS, OUTPUTS = 100, (10, 30, 50, 70, 90, 110, 140, 200, 300, 1_000)
BATCH, WIDTHS = 64, (784, 128, 10)
Candidates = dict[str, Callable[[], Any]]


def rosenbrock(x: Any) -> Any:
    """Σ 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, of tensors of any of the libraries."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def dense(weights: list[Any], tanh: Any) -> Callable[[Any], Any]:
    """x -> |tanh(W3 tanh(W2 tanh(W1 x)))|^2."""
    def f(x: Any) -> Any:
        for w in weights:
            x = tanh(w @ x)
        return (x * x).sum()
    return f


def _scalar(name: str, f: Any, of_torch: Any, of_jax: Any, x: Any, peers: list[str]) -> list[Result]:
    """The gradient and the Hessian times a vector of a scalar function, beside the function itself."""
    v = np.random.default_rng(1).standard_normal(x.shape)
    tx, tv = tl.tensor(x), tl.tensor(v)
    gradients: Candidates = {"tensorlite": lambda: tl.grad(f)(tx), "forward": lambda: f(tx)}
    products: Candidates = {"tensorlite": lambda: tl.hvp(f, (tx,), (tv,)), "forward": lambda: f(tx)}
    if "torch" in peers:
        import torch
        ox, ov = torch.tensor(x), torch.tensor(v)
        gradients["torch"] = lambda: torch.func.grad(of_torch)(ox)
        products["torch"] = lambda: torch.func.jvp(torch.func.grad(of_torch), (ox,), (ov,))
        gradients["torch forward"] = lambda: of_torch(ox)
    if "jax" in peers:
        import jax
        jx, jv = jax.numpy.asarray(x), jax.numpy.asarray(v)
        compiled = jax.jit(jax.grad(of_jax))
        product = jax.jit(lambda x, v: jax.jvp(jax.grad(of_jax), (x,), (v,)))
        gradients["jax jit"] = lambda: jax.block_until_ready(compiled(jx))
        products["jax jit"] = lambda: jax.block_until_ready(product(jx, jv))
    return [compare(f"grad of {name}", gradients, seconds=0.05, goal=5, against="forward"),
            compare(f"hvp of {name}", products, seconds=0.05, goal=4, against="forward")]


def _jacobians(peers: list[str]) -> list[Result]:
    """R^100 -> R^m: by columns, by rows, and by what ``mode="auto"`` chooses."""
    results = []
    for m in OUTPUTS:
        rng = np.random.default_rng(m)
        a, b = rng.standard_normal((INPUTS, INPUTS)) / 10, rng.standard_normal((m, INPUTS)) / 10
        ta, tb, x = tl.tensor(a), tl.tensor(b), tl.tensor(rng.standard_normal(INPUTS))

        def f(x: Any, a: Any = ta, b: Any = tb) -> Any:
            return tl.tanh(b @ tl.tanh(a @ x))
        auto, columns, rows = tl.func.jacobian(f), tl.func.jacfwd(f), tl.func.jacrev(f)
        candidates: Candidates = {"tensorlite": lambda auto=auto, x=x: auto(x), "jacfwd": lambda columns=columns, x=x: columns(x),   # type: ignore[misc]
                                  "jacrev": lambda rows=rows, x=x: rows(x)}   # type: ignore[misc]
        if "torch" in peers:
            import torch
            oa, ob, ox = torch.tensor(a), torch.tensor(b), torch.tensor(x.numpy())
            g = lambda x, oa=oa, ob=ob: torch.tanh(ob @ torch.tanh(oa @ x))
            best = torch.func.jacrev(g) if m <= INPUTS else torch.func.jacfwd(g)
            candidates["torch"] = lambda best=best, ox=ox: best(ox)   # type: ignore[misc]
        result = compare(f"jacobian 100 -> {m}", candidates, seconds=0.05)
        result["outputs"] = m
        result["of the better"] = result["seconds"]["tensorlite"] / min(result["seconds"]["jacfwd"], result["seconds"]["jacrev"])
        results.append(result)
    return results


def _per_sample(peers: list[str]) -> list[Result]:
    """The gradient of each row's loss with respect to all weights of an MLP: vmap(grad(loss))."""
    rng = np.random.default_rng(0)
    params = {}
    for i, (n, m) in enumerate(pairwise(WIDTHS)):
        params[f"{i}.weight"] = (rng.standard_normal((m, n)) / n ** 0.5).astype(np.float32)
        params[f"{i}.bias"] = np.zeros(m, np.float32)
    x, y = rng.standard_normal((BATCH, WIDTHS[0])).astype(np.float32), rng.integers(0, WIDTHS[-1], BATCH)

    def network(library: Any) -> Callable[..., Any]:
        functional = library.nn.functional

        def loss(params: Any, x: Any, y: Any) -> Any:
            for i in range(len(WIDTHS) - 1):
                x = functional.linear(x, params[f"{i}.weight"], params[f"{i}.bias"])
                x = functional.relu(x) if i < len(WIDTHS) - 2 else x
            return functional.cross_entropy(x, y)
        return loss
    ours = {k: tl.tensor(p) for k, p in params.items()}
    each = tl.vmap(tl.grad(network(tl)), in_axes=(None, 0, 0))
    tx, ty = tl.tensor(x), tl.tensor(y)
    candidates: Candidates = {"tensorlite": lambda: each(ours, tx, ty)}
    if "torch" in peers:
        import torch
        theirs = {k: torch.tensor(p) for k, p in params.items()}
        torch_each = torch.func.vmap(torch.func.grad(network(torch)), in_dims=(None, 0, 0))
        ox, oy = torch.tensor(x), torch.tensor(y)
        candidates["torch"] = lambda: torch_each(theirs, ox, oy)
    if "jax" in peers:
        import jax
        import jax.numpy as jnp

        def loss(params: Any, x: Any, y: Any) -> Any:
            for i in range(len(WIDTHS) - 1):
                x = params[f"{i}.weight"] @ x + params[f"{i}.bias"]
                x = jax.nn.relu(x) if i < len(WIDTHS) - 2 else x
            return -jax.nn.log_softmax(x)[y]
        jax_each = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))
        held = {k: jnp.asarray(p) for k, p in params.items()}
        jx, jy = jnp.asarray(x), jnp.asarray(y)
        candidates["jax jit"] = lambda: jax.block_until_ready(jax_each(held, jx, jy))
    name = "-".join(map(str, WIDTHS))
    return [compare(f"per-sample gradients, MLP {name}, batch {BATCH}", candidates, goal=0.5)]


def run(peers: list[str]) -> list[Result]:
    """Every case, in float64 (per-sample gradients in float32)."""
    if "jax" in peers:
        import jax
        jax.config.update("jax_enable_x64", True)
    results = _per_sample(peers) + _jacobians(peers)
    rng = np.random.default_rng(0)
    for d in SIZES:
        results += _scalar(f"Rosenbrock's function of {d}", rosenbrock, rosenbrock, rosenbrock, rng.standard_normal(d), peers)
    for d in LAYERS:
        weights = [rng.standard_normal((d, d)) / d ** 0.5 for _ in range(3)]
        of_torch = of_jax = None
        if "torch" in peers:
            import torch
            of_torch = dense([torch.tensor(w) for w in weights], torch.tanh)
        if "jax" in peers:
            import jax
            of_jax = dense([jax.numpy.asarray(w) for w in weights], jax.numpy.tanh)
        results += _scalar(f"three layers of {d}", dense([tl.tensor(w) for w in weights], tl.tanh), of_torch, of_jax,
                           rng.standard_normal(d), peers)
    return results


def plot(results: list[Result], path: str) -> None:
    """Time of the Jacobian by columns, by rows and by choice, over outputs per input."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    found = [r for r in results if "outputs" in r]
    ratio = [r["outputs"] / INPUTS for r in found]
    figure, axes = pyplot.subplots(figsize=(7, 5))
    for label, style in (("jacfwd", "o-"), ("jacrev", "s-"), ("tensorlite", "k--")):
        shown = 'jacobian(mode="auto")' if label == "tensorlite" else label
        axes.loglog(ratio, [r["seconds"][label] * 1e6 for r in found], style, label=shown)
    axes.set(xlabel=f"outputs / inputs ({INPUTS} inputs)", ylabel="microseconds", title="Jacobian of R^100 -> R^m")
    axes.axvline(1, color="grey", linewidth=0.5)
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
