"""``python -m bench [case ...] [--json FILE] [--markdown FILE]``."""
from __future__ import annotations

import argparse
import importlib

from bench import _measure

CASES = ("overhead", "mlp", "loss", "epoch", "imports")


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"which of {', '.join(CASES)} (all)")
    parser.add_argument("--json", help="write the results here")
    parser.add_argument("--markdown", help="write the table here")
    options = parser.parse_args()
    for case in options.cases:
        if case not in CASES:
            parser.error(f"there is no case {case!r}; choose from {', '.join(CASES)}")
    peers = []
    for peer in ("torch", "jax"):
        try:
            importlib.import_module(peer)
            peers.append(peer)
        except ImportError:
            print(f"{peer} is not installed: pip install {peer}")
    results = []
    for case in options.cases or CASES:
        results += importlib.import_module(f"bench.{case}").run(peers)
    print()
    print(_measure.table(results))
    if options.json:
        _measure.save(options.json, results)
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write(_measure.table(results) + "\n")


if __name__ == "__main__":
    main()
