"""``tensorlite sweep``: several models trained alike, and what each of them costs and reaches."""
from __future__ import annotations

import argparse
import json
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from tensorlite._files import write_atomic
from tensorlite.cli import _build, _train
from tensorlite.cli._build import UsageError
from tensorlite.errors import TensorliteError

MODELS = ("vgg11_bn", "resnet18", "preact_resnet18", "densenet121")   # of the lecture; others by --models
Row = dict[str, Any]


def add(commands: Any) -> None:
    """Add the command and its options; an option the user leaves out is absent from the result."""
    parser = commands.add_parser(
        "sweep", argument_default=argparse.SUPPRESS,
        help="train several models alike and compare size, accuracy, time and memory",
        description="Train several models with the same options, one run each in a folder of its own, and write a table of their "
                    "sizes, accuracies, times and memory: sweep.md, sweep.json and sweep.png. Called again with the same folder "
                    "it goes on where it was.")
    parser.set_defaults(run=run)
    parser.add_argument("--models", type=_names, metavar="NAME,NAME,...", help=f"which (default: {','.join(MODELS)})")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the sweep (default: runs/sweep-DATA)")
    parser.add_argument("--quiet", action="store_true", help="print only the table")
    _train.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, and print the table; 2 if a model could not be."""
    given = {name: value for name, value in vars(args).items() if name in _build.defaults("mlp", "digits")}
    given.setdefault("data", "cifar10")
    out, quiet = getattr(args, "out", Path("runs") / f"sweep-{Path(given['data']).name}"), getattr(args, "quiet", False)
    models = getattr(args, "models", MODELS)
    unknown = [name for name in models if name not in (known := _build.models())]
    if unknown:
        raise UsageError(f"the model {unknown[0]!r} is unknown; there are {', '.join(known)}")
    rows: list[Row] = []
    for name in models:
        if not quiet:
            print(f"{name}:")
        rows.append(_row({**given, "model": name}, out / name, quiet))
        _write(rows, given, out)
    print(table(rows), end="")
    if not quiet:
        print(f"also in {out}: sweep.md, sweep.json, sweep.png")
    return 2 if any("error" in row for row in rows) else 0


def _row(given: dict[str, Any], folder: Path, quiet: bool) -> Row:
    """What one model costs and reaches: as it was found before, or by training it (to its end)."""
    kept = folder / "row.json"
    started = (folder / "config.json").is_file()
    saved = _build.saved_config(folder) if started else {}
    config = _train.configured(given, saved, folder)
    if kept.is_file():
        row: Row = json.loads(kept.read_text())
        return row
    try:
        trainer, train, val = _train.prepare(config, folder, quiet)
        cost = _costs(config, folder, trainer.device)
        history = trainer.fit(train, val, config["epochs"], resume=started)
        result = _train.finish(trainer, config, folder)
    except TensorliteError as error:   # the others may yet be trained; this one is tried again next time
        if not quiet:
            print(f"  {error}")
        return {"model": config["model"], "error": str(error)}
    seconds = sorted(history["seconds"])
    row = {"model": config["model"], **cost, "epochs": len(history), "seconds_per_epoch": seconds[len(seconds) // 2],
           "samples": len(train.dataset), "test_accuracy": result["accuracy"], "test_loss": result["loss"], "config": config}
    write_atomic(kept, (json.dumps(row, indent=1) + "\n").encode())
    return row


def _costs(config: dict[str, Any], folder: Path, device: str) -> Row:
    """Parameters, multiply-adds and the memory of a training step, of a model and an optimizer of their own."""
    from tensorlite import random
    from tensorlite.data import DataLoader, Subset
    from tensorlite.train import Trainer, model_cost, step_memory
    state = random.get_rng_state()
    dataset = _build.data(config, train=True, device=device)
    model = _build.model(config, dataset).to(device)
    trainer = Trainer(model, _build.optimizer(config, model.parameters()), _build.loss(config), device=device, progress=False,
                      **_build.precision(config, device))
    one = DataLoader(Subset(dataset, range(min(config["batch_size"], len(dataset)))), config["batch_size"], device=device)
    cost = model_cost(model, next(iter(one))[0][:1])
    trainer.fit(one, epochs=1)   # what is made once: optimizer state, compiled kernels
    peak = step_memory(lambda: trainer.fit(one, epochs=2), device)
    random.set_rng_state(state)
    return {"parameters": cost.parameters, "macs": cost.macs, "step_bytes": peak}


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| model | parameters | multiply-adds | s / epoch | samples / s | memory of a step | test accuracy |",
             "|---|---|---|---|---|---|---|"]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['model']} | failed: {' '.join(row['error'].split()).replace('|', '/')[:200]} | | | | | |")
            continue
        lines.append(f"| {row['model']} | {_short(row['parameters'])} | {_short(row['macs'])} | {row['seconds_per_epoch']:.3g} | "
                     f"{row['samples'] / max(row['seconds_per_epoch'], 1e-9):,.0f} | {_mebibytes(row['step_bytes'])} | "
                     f"{row['test_accuracy']:.1%} |")
    return "\n".join(lines) + "\n"


def _short(n: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return str(n)


def _mebibytes(n: int) -> str:
    return f"{n / 2**20:,.0f} MiB" if n >= 100 * 2**20 else f"{n / 2**20:.2g} MiB"


def _write(rows: list[Row], given: dict[str, Any], out: Path) -> None:
    good = [row for row in rows if "error" not in row]
    write_atomic(out / "sweep.json", (json.dumps({"options": given, "rows": rows}, indent=1) + "\n").encode())
    about = ", ".join(f"{name} {value}" for name, value in given.items())
    write_atomic(out / "sweep.md", f"# {given['data']}\n\nTrained alike ({about}).\n\n{table(rows)}".encode())
    if good:
        try:
            plot(good, out / "sweep.png")
        except TensorliteError as error:   # the table counts, not its picture
            print(f"no picture: {error}")


def plot(rows: list[Row], path: Path) -> None:
    """Test accuracy against size, work, time and memory, a point a model, as a PNG. Needs matplotlib."""
    from tensorlite.train import _figure
    figure = _figure.figure(14, 3.8)
    axes = None
    for k, (name, label) in enumerate((("parameters", "parameters"), ("macs", "multiply-adds an image"),
                                       ("seconds_per_epoch", "seconds per epoch"), ("step_bytes", "bytes of a training step"))):
        axes = figure.add_subplot(1, 4, k + 1, sharey=axes)
        values = [max(row[name], 1e-9) for row in rows]
        for j, (row, x) in enumerate(zip(rows, values)):
            axes.scatter(x, 100 * row["test_accuracy"], s=45, color=f"C{j % 10}", marker="osD^v<>PX*"[j % 10],
                         label=None if k else row["model"])
        axes.set(xlabel=label, xscale="log", ylabel="" if k else "test accuracy, %",
                 xlim=(10 ** floor(log10(min(values))), 10 ** ceil(log10(max(values)) + 1e-9)))
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    _figure.write(figure, path)


def _names(text: str) -> list[str]:
    names = [part for part in text.split(",") if part]
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different models, such as {','.join(MODELS)}")
    return names
