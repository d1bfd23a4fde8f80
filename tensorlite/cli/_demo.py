"""``tensorlite demo``."""
from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command and its demos."""
    parser = commands.add_parser("demo", help="run a small demonstration")
    demos = parser.add_subparsers(dest="demo", metavar="DEMO", required=True)
    playground = demos.add_parser("playground", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                  help="TensorFlow Playground's circle, learnt by two small hidden layers")
    playground.set_defaults(run=_playground)
    playground.add_argument("--epochs", type=int, default=200, help="passes over the training points")
    playground.add_argument("--lr", type=float, default=0.03, help="learning rate")
    playground.add_argument("--noise", type=float, default=0.0, help="share of the radius that points are moved by, at random")
    playground.add_argument("--seed", type=int, default=0, help="of points, weights and order")


def _playground(args: argparse.Namespace) -> int:
    from tensorlite.demos import playground

    def report(epoch: int, train: float, test: float) -> None:
        if epoch % max(args.epochs // 10, 1) == 0:
            print(f"epoch {epoch:4}  training loss {train:.3f}  test loss {test:.3f}")
    model, _, test = playground.train(epochs=args.epochs, lr=args.lr, noise=args.noise, seed=args.seed, report=report)
    print(playground.picture(model))
    print(f"test loss {test:.4f}")
    return 0
