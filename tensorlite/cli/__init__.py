"""The command ``tensorlite``: train, eval, sweep, plot, info, warmup, bench, certify, demo."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

USER_ERROR, INTERRUPTED = 2, 130
BROKEN_PIPE = 141   # 128 and the signal's number, as a shell reports a program that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 2 for what the user can put right, 130 after Ctrl-C."""
    from tensorlite.cli import _bench, _certify, _demo, _eval, _info, _plot, _sweep, _train, _warmup
    from tensorlite.errors import TensorliteError
    parser = _parser()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (_train, _eval, _sweep, _plot, _info, _warmup, _bench, _certify, _demo):
        module.add(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:   # who reads the output has seen enough: end quietly, and let nothing more be flushed into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (TensorliteError, OSError) as error:
        if getattr(args, "debug", False):
            raise
        print(f"{parser.prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR


def _parser() -> argparse.ArgumentParser:
    from tensorlite import __version__
    parser = argparse.ArgumentParser(prog="tensorlite", description="Train and evaluate networks, and see what is installed.")
    parser.add_argument("--version", action="version", version=f"tensorlite {__version__}")
    return parser
