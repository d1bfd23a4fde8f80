"""``tensorlite certify``."""
from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def add(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "certify", help="check that operations keep their promises: derivatives, vmap, dtypes, backends",
        description="Certify operations: the built-in ones by name (all without one), or your own as module:function.")
    parser.set_defaults(run=run)
    parser.add_argument("op", nargs="*", help="the name of an operation, such as tanh or linalg.inv, or module:function")
    parser.add_argument("--shape", action="append", default=[], metavar="2,3",
                        help="for module:function: one argument of normal numbers of that shape; once for each argument")
    parser.add_argument("--samples", metavar="MODULE:NAME",
                        help="for module:function: its samples, a list or a function that returns one")
    parser.add_argument("--device", action="append", help="a device to check on; every available one by default")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    parser.add_argument("--list", action="store_true", help="list the built-in operations that have samples")
    parser.add_argument("--quiet", action="store_true", help="show only the reports of what fails")


def run(args: argparse.Namespace) -> int:
    """Print the reports; 1 if something failed."""
    from tensorlite.testing import certify
    from tensorlite.testing._samples import SAMPLES
    if args.list:
        print("\n".join(sorted(SAMPLES)))
        return 0
    failed = []
    names = args.op or sorted(SAMPLES)
    for name in names:
        function, samples, options = _found(name, args)
        report = certify(function, samples, args.device or "all", name=name, seed=args.seed, **options)
        if not report.ok:
            failed.append(name)
        if not (args.quiet and report.ok):
            print(report)
    print(f"{len(names) - len(failed)} of {len(names)} certified" + (f"; not certified: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _found(name: str, args: argparse.Namespace) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
    from tensorlite.errors import DTypeError
    from tensorlite.testing._samples import SAMPLES, entry
    if ":" not in name:
        if name not in SAMPLES:
            raise DTypeError(f"certify: {name!r} has no samples; tensorlite certify --list shows what has; a function of your "
                             "own is given as module:function")
        return entry(name, args.seed)
    if args.samples:
        made = _load(args.samples)
        return _load(name), made() if callable(made) else made, {}
    if not args.shape:
        raise DTypeError(f"certify: no samples of {name}; give --shape once for each argument, or --samples module:name")
    rng = np.random.default_rng(args.seed)
    try:
        shapes = [tuple(int(n) for n in text.split(",") if n.strip()) for text in args.shape]
    except ValueError:
        raise DTypeError(f"certify: --shape {' '.join(args.shape)}; expected integers with commas, such as 2,3") from None
    return _load(name), [tuple(rng.standard_normal(s) for s in shapes) for _ in range(2)], {}


def _load(path: str) -> Any:
    """What ``module:name`` names; the current folder is looked into first."""
    from tensorlite.errors import DTypeError
    module, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise DTypeError(f"certify: {path!r} cannot be had: {error}") from None
    return found
