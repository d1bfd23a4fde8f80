"""Whole training steps of multilayer perceptrons on a device, in float32, TF32 and bfloat16, by each library in its usual ways.

A step is forward, cross-entropy with integer labels, backward and optimizer, on a batch that is already on the device. Everything
is timed in one run, by turns; a block of steps ends with a wait for the device, so that the time is what a training loop gets.

==================  ==========================================================================================================
``tensorlite``      eager
``torch``           eager, the optimizer's default implementation
``torch fused``     eager, ``fused=True``
``torch graphed``   the whole step in one CUDA graph
``torch.compile``   the model and loss compiled, optimizer fused
``torch.compile*``  the same, ``mode="reduce-overhead"``
``jax``             the whole step as one compiled function
==================  ==========================================================================================================

Before they are timed, all do the same steps from the same weights, and their losses are compared.
"""
from __future__ import annotations

import json
import math
import operator
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tensorlite as tl

from . import _device, _measure, _peers
from ._measure import human
from .kernels import at_most
from .mlp import data

__all__ = ["Case", "cases", "measure", "overheads", "run"]

SMALL, MIDDLE = (784, 128, 10), (784, 512, 512, 10)
STEPS = 10              # compared before anything is timed
PATIENCE = 60           # seconds that a peer's first step may take
TOLERANCE = {"float32": 2e-3, "tf32": 2e-2, "bfloat16": 5e-2}   # of losses, after STEPS steps


class Case(NamedTuple):
    """One line of the table."""

    sizes: tuple[int, ...]
    batch: int
    precision: str    # float32, tf32 or bfloat16
    method: str       # sgd or adam

    @property
    def title(self) -> str:
        return f"MLP {'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.method}, {self.precision}"


class Step(NamedTuple):
    """``run()`` does a step and returns the loss, on the device; ``read`` waits for one and gives the number."""

    run: Callable[[], Any]
    read: Callable[[Any], float]


def cases(device: str) -> list[Case]:
    """Most important first."""
    precisions = ("float32",) if device == "cpu" else ("float32", "tf32", "bfloat16")
    shapes = [(SMALL, 64), (MIDDLE, 128), *[(MIDDLE, 8192)] * (device != "cpu")]
    return [Case(*shape, precision, method) for method in ("adam", "sgd") for precision in precisions for shape in shapes]


def run(options: Any) -> int:
    """Measure, print, write; 0, or 1 if a library's losses differ."""
    begin, kind = time.monotonic(), options.device
    device = _device.device(kind)
    seconds = options.seconds or (60 if options.quick else 150)
    libraries = _peers.libraries(device) if options.peers else {}
    report: dict[str, Any] = {"machine": {**_measure.machine(), **device.versions()}, "device": kind, "name": device.name,
                              "cases": [], "skipped": [], "different": [], "overheads": overheads(kind, libraries)}
    for line in report["overheads"]:
        print(f"host time of a call: {line['op']:<10} {_times(line)}", flush=True)
    for case in cases(kind)[:2 if options.quick else None]:
        left = seconds - (time.monotonic() - begin)
        if left <= 0:
            report["skipped"].append(case.title)
            continue
        compiled = (options.compile if options.compile is not None else kind == "cuda") and left > 0.3 * seconds
        found = measure(case, kind, libraries, compiled=compiled, patience=min(PATIENCE, left), rounds=1 if options.limit else 7)
        report["cases"].append(found)
        report["different"] += found["different"]
        print(f"{case.title:<48} {_times(found)}", flush=True)
        write(report, options)
    print("\n" + table(report))
    return int(bool(report["different"]))


def _times(found: dict[str, Any]) -> str:
    return ", ".join(f"{label} {human(t)}" for label, t in found["seconds"].items())


def write(report: dict[str, Any], options: Any) -> None:
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        Path(options.markdown).write_text(table(report) + "\n")


def measure(case: Case, device: str, libraries: dict[str, Any], *, compiled: bool = False, patience: float = PATIENCE,
            rounds: int = 7) -> dict[str, Any]:
    """Times by library, ratios of ours over theirs, and whose losses differ."""
    found: dict[str, Any] = {"title": case.title, **case._asdict(), "notes": {}, "losses": {}, "different": [], "ratios": {}}
    steps: dict[str, Step] = {}
    for label, make in makers(case, device, libraries, compiled).items():
        try:
            with at_most(patience):
                step = make()
                losses = [step.read(step.run()) for _ in range(STEPS)]
        except Exception as error:   # a peer that does not work is no reason to stop, nor is one precision
            if label == "tensorlite":
                found["different"].append(f"{case.title}: {type(error).__name__}: {error}")
            found["notes"][label] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        steps[label], found["losses"][label] = step, losses
        first = found["losses"][next(iter(found["losses"]))]
        if not all(math.isclose(a, b, rel_tol=TOLERANCE[case.precision]) for a, b in zip(first, losses)):
            found["different"].append(f"{case.title}: {label}'s losses are {losses[0]:.6g} to {losses[-1]:.6g}, others' "
                                      f"{first[0]:.6g} to {first[-1]:.6g}")
    times: dict[str, list[float]] = {label: [] for label in steps}
    counts = {label: max(1, min(300, int(0.03 / _seconds(step, 3)))) if rounds > 1 else 1 for label, step in steps.items()}
    for r in range(rounds):
        labels = [*steps][r % max(len(steps), 1):] + [*steps][:r % max(len(steps), 1)]
        for label in labels:
            times[label].append(_seconds(steps[label], counts[label]))
    found["seconds"] = {label: statistics.median(t) for label, t in times.items()}
    found["spread"] = {label: (min(t), max(t)) for label, t in times.items()}
    if compiled and "torch" in libraries:
        libraries["torch"].compiler.reset()   # it compiles a function only so many times
    if "tensorlite" in steps:
        found["ratios"] = {label: statistics.median(a / b for a, b in zip(times["tensorlite"], times[label]))
                           for label in steps if label != "tensorlite"}
    return found


def _seconds(step: Step, count: int) -> float:
    step.read(step.run())
    start = time.perf_counter()
    for _ in range(count):
        loss = step.run()
    step.read(loss)   # waits
    return (time.perf_counter() - start) / count


# ---- the libraries ----------------------------------------------------------------------------------------------------------

def makers(case: Case, device: str, libraries: dict[str, Any], compiled: bool) -> dict[str, Callable[[], Step]]:
    """Label -> what prepares the step."""
    found: dict[str, Callable[[], Step]] = {"tensorlite": lambda: ours(case, device)}
    torch, jax = libraries.get("torch"), libraries.get("jax")
    if torch is not None:
        found["torch"] = lambda: torch_step(torch, case, device)
        found["torch fused"] = lambda: torch_step(torch, case, device, fused=True)
        if device == "cuda":
            found["torch graphed"] = lambda: torch_step(torch, case, device, fused=True, graphed=True)
        if compiled:
            found["torch.compile"] = lambda: torch_step(torch, case, device, fused=True, mode="default")
            if device == "cuda":
                found["torch.compile*"] = lambda: torch_step(torch, case, device, fused=True, mode="reduce-overhead")
    if jax is not None:
        found["jax"] = lambda: jax_step(jax, case, device)
    return found


def ours(case: Case, device: str) -> Step:
    """As a user writes it."""
    model, optimizer, x, y = _model(tl, case, device)
    optimizer.zero_grad()
    function = tl.nn.functional

    def precision() -> AbstractContextManager[Any]:
        return tl.autocast("bfloat16") if case.precision == "bfloat16" else nullcontext()

    def step() -> Any:
        if device == "cuda":
            tl.cuda.allow_tf32(case.precision == "tf32")
        optimizer.zero_grad()
        with precision():
            loss = function.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return Step(step, lambda loss: float(loss.item()))


def _model(library: Any, case: Case, device: str, **options: Any) -> tuple[Any, Any, Any, Any]:
    """(model, optimizer, inputs, labels) with the weights that all libraries begin with."""
    x, y, weights = data(case.sizes, case.batch)
    layers: list[Any] = []
    for n, m in zip(case.sizes, case.sizes[1:]):
        layers += [library.nn.Linear(n, m), library.nn.ReLU()]
    model = library.nn.Sequential(*layers[:-1])
    with library.no_grad():
        for p, w in zip(model.parameters(), weights):
            p.copy_(library.tensor(w))
    model = model.to(device)
    optimizer = (library.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, **options) if case.method == "sgd"
                 else library.optim.Adam(model.parameters(), lr=1e-3, **options))
    return model, optimizer, library.tensor(x).to(device), library.tensor(y).to(device)


def torch_step(torch: Any, case: Case, device: str, *, fused: bool = False, graphed: bool = False,
               mode: str | None = None) -> Step:
    """The step in PyTorch."""
    options: dict[str, Any] = {"fused": True} if fused else {}
    if graphed and case.method == "adam":
        options["capturable"] = True
    model, optimizer, x, y = _model(torch, case, device, **options)
    forward = lambda: torch.nn.functional.cross_entropy(model(x), y)
    if mode is not None:
        compiled = torch.compile(lambda x, y: torch.nn.functional.cross_entropy(model(x), y), mode=mode)
        forward = lambda: compiled(x, y)
    bfloat16 = case.precision == "bfloat16"

    def step() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = case.precision == "tf32"
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=not graphed):
            loss = forward()
        loss.backward()
        optimizer.step()
        return loss
    return Step(_graphed(torch, case, step, model, optimizer) if graphed else step, lambda loss: float(loss.item()))


def _graphed(torch: Any, case: Case, step: Callable[[], Any], model: Any, optimizer: Any) -> Callable[[], Any]:
    """The step captured once and replayed, from the same weights and a fresh optimizer."""
    first = [p.detach().clone() for p in model.parameters()]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = step()
    with torch.no_grad():
        for p, w in zip(model.parameters(), first):
            p.copy_(w)
        for state in optimizer.state.values():
            for value in state.values():
                if torch.is_tensor(value):
                    value.zero_()

    def replay() -> Any:
        graph.replay()
        return loss
    return replay


def jax_step(jax: Any, case: Case, device: str) -> Step:
    """The step as one compiled function; parameters and state are given up to it."""
    jnp = jax.numpy
    x, y, weights = data(case.sizes, case.batch)
    params, low = [jnp.asarray(w) for w in weights], case.precision == "bfloat16"
    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    precision = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}[case.precision]

    def loss_of(params: list[Any], h: Any, labels: Any) -> Any:
        for k in range(0, len(params), 2):
            w, b = (p.astype(jnp.bfloat16) if low else p for p in params[k:k + 2])
            h = (h.astype(jnp.bfloat16) if low else h) @ w.T + b
            if k + 2 < len(params):
                h = jax.nn.relu(h)
        return -jnp.take_along_axis(jax.nn.log_softmax(h.astype(jnp.float32)), labels[:, None], 1).mean()

    def update(params: Any, m: Any, v: Any, t: Any, inputs: Any, labels: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, inputs, labels)
        if case.method == "sgd":
            m = [0.9 * a + g for a, g in zip(m, grads)]
            return loss, [p - 1e-2 * a for p, a in zip(params, m)], m, v, t
        t = t + 1
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads)]
        params = [p - 1e-3 * (a / (1 - 0.9 ** t)) / (jnp.sqrt(b / (1 - 0.999 ** t)) + 1e-8) for p, a, b in zip(params, m, v)]
        return loss, params, m, v, t
    state = [params, [jnp.zeros_like(w) for w in params], [jnp.zeros_like(w) for w in params], jnp.zeros(())]
    compiled = jax.jit(update, donate_argnums=(0, 1, 2, 3))

    def step() -> Any:
        with jax.default_matmul_precision(precision):
            loss, *state[:] = compiled(*state, inputs, labels)
        return loss
    return Step(step, float)


# ---- what a call costs the host ----------------------------------------------------------------------------------------------

def overheads(device: str, libraries: dict[str, Any]) -> list[dict[str, Any]]:
    """Host time of a call on arrays so small that the device waits for the host: the time to ask, not to do."""
    a = np.ones((16, 16), np.float32)
    calls: dict[str, dict[str, Callable[[], Any]]] = {}
    waits: dict[str, Callable[[], Any]] = {}
    for label, library in (("tensorlite", tl), ("torch", libraries.get("torch"))):
        if library is not None:
            x, w, b = (library.tensor(v).to(device) for v in (a, a, a[0]))
            calls[label] = {"add": partial(operator.add, x, x), "sigmoid": partial(library.sigmoid, x),
                            "linear": partial(library.nn.functional.linear, x, w, b)}
            waits[label] = (lambda: None) if device == "cpu" else library.cuda.synchronize
    found = []
    for op in ("add", "sigmoid", "linear"):
        times: dict[str, list[float]] = {label: [] for label in calls}
        for r in range(9):
            for label in list(calls)[::-1 if r % 2 else 1]:
                call = calls[label][op]
                call()
                waits[label]()
                start = time.perf_counter()
                for _ in range(200):
                    call()
                times[label].append((time.perf_counter() - start) / 200)
                waits[label]()
        found.append({"op": op, "seconds": {label: statistics.median(t) for label, t in times.items()}})
    return found


def table(report: dict[str, Any]) -> str:
    """Markdown: time of a step, and ours over theirs (below 1 is faster)."""
    labels = list(dict.fromkeys(label for c in report["cases"] for label in c["seconds"] if label != "tensorlite"))
    rows = ["| step | tensorlite |" + "".join(f" {label} | ours / it |" for label in labels),
            "|---|---|" + "---|---|" * len(labels)]
    for c in report["cases"]:
        times = c["seconds"]
        cells = [c["title"], human(times["tensorlite"]) if "tensorlite" in times else "failed"]
        for label in labels:
            cells += [human(times[label]) if label in times else "", f"{c['ratios'][label]:.2f}" if label in c["ratios"] else ""]
        rows.append("| " + " | ".join(cells) + " |")
    machine, calls = report["machine"], "; ".join(f"{o['op']} {_times(o)}" for o in report["overheads"])
    lines = [f"{report['name']} ({report['device']}), {machine['date']}, commit {machine.get('commit', 'unknown')}.", "", *rows,
             "", f"Host time of a call: {calls}."]
    notes = [f"{c['title']}, {label}: {note}" for c in report["cases"] for label, note in c["notes"].items()]
    left_out = {"Not the same work": report["different"], "Did not run": notes, "Left out for time": report["skipped"]}
    for title, what in left_out.items():
        if what:
            lines += ["", f"{title}: {'; '.join(what)}."]
    return "\n".join(lines)
