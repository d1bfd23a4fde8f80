"""TensorFlow Playground's circle: a 2-7-2-1 tanh network separates a disc from a ring. As: tensorlite demo playground."""
from __future__ import annotations

import sys

from tensorlite.demos import playground

if __name__ == "__main__":
    def report(epoch: int, train: float, test: float) -> None:
        if epoch % 20 == 0:
            print(f"epoch {epoch:3}  train {train:.4f}  test {test:.4f}")

    model, train_loss, test_loss = playground.train(epochs=60 if "--quick" in sys.argv else 200, report=report)
    print(playground.picture(model))
    print(f"test loss {test_loss:.4f}")
