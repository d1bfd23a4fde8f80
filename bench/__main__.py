"""``python -m bench [case ...]``, and ``tensorlite bench``: measurements beside other libraries."""
from __future__ import annotations

import argparse
import importlib

from . import _measure

CASES = ("overhead", "mlp", "cnn", "loss", "epoch", "imports", "transforms")
ALONE = ("kernels", "steps")   # with reports of their own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line's options."""
    parser.add_argument("cases", nargs="*", metavar="CASE",
                        help=f"some of {', '.join(CASES)} (all of these); or kernels (every variant of every kernel); or steps "
                             "(training steps on a device)")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables here")
    alone = parser.add_argument_group("kernels and steps")
    alone.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what to measure (default: cpu)")
    alone.add_argument("--seconds", type=float, help="begin nothing new after so long; what is left out is listed")
    alone.add_argument("--quick", action="store_true", help="large sizes only, fewer rounds")
    alone.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None,
                       help="beside torch.compile too, where it compiles within 20 seconds (default: on CUDA)")
    alone.add_argument("--no-peers", dest="peers", action="store_false", help="without PyTorch, Liger and JAX")
    kernels = parser.add_argument_group("kernels")
    kernels.add_argument("--kernel", nargs="+", metavar="NAME", help="these only")
    kernels.add_argument("--plot", metavar="FILE.png", help="draw a roofline plot (of transforms: the Jacobians' times)")
    kernels.add_argument("--gate", nargs="?", const="", metavar="FILE",
                         help="fail if a kernel is wrong or below its stored fraction (bench/gates.json)")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)   # no dimension above this: for tests


def run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run what was asked for; the exit status."""
    for case in options.cases:
        if case not in CASES + ALONE:
            parser.error(f"there is no case {case!r}; choose from {', '.join(CASES + ALONE)}")
    if any(case in ALONE for case in options.cases):
        if len(options.cases) > 1:
            parser.error(f"{' and '.join(c for c in ALONE if c in options.cases)}: run on its own")
        if options.kernel:
            from tensorlite.kernels import discover, names
            discover()
            for name in options.kernel:
                if name not in (*names(), "linear"):
                    parser.error(f"there is no kernel {name!r}; choose from {', '.join(names())}, linear")
        return int(importlib.import_module(f".{options.cases[0]}", __package__).run(options))
    peers = []
    for peer in ("torch", "jax"):
        try:
            importlib.import_module(peer)
            peers.append(peer)
        except ImportError:
            print(f"{peer} is not installed: pip install {peer}")
    results = []
    for case in options.cases or CASES:
        module = importlib.import_module(f".{case}", __package__)
        found = module.run(peers)
        if options.plot and hasattr(module, "plot"):
            module.plot(found, options.plot)
        results += found
    print()
    print(_measure.table(results))
    if options.json:
        _measure.save(options.json, results)
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write(_measure.table(results) + "\n")
    return 0


def main() -> int:
    """Run the cases and print the table."""
    from tensorlite.errors import BackendUnavailable
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(), parser)
    except BackendUnavailable as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
