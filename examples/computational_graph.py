"""A graph by hand: gates that know their local gradients, run forward in topological order and backward reversed.

f(x, y, z) = (x + y) z at (-2, 5, -4) is -12, with the gradient (-4, -4, 3). Then the same by tensorlite, with its graph.
"""
from __future__ import annotations

from typing import Any

import tensorlite as tl


class MultiplyGate:
    """Switches its inputs: each gets the gradient times the other."""

    def forward(self, x: float, y: float) -> float:
        self.x, self.y = x, y
        return x * y

    def backward(self, dz: float) -> list[float]:
        return [self.y * dz, self.x * dz]


class AddGate:
    """Distributes: both inputs get the gradient."""

    def forward(self, x: float, y: float) -> float:
        return x + y

    def backward(self, dz: float) -> list[float]:
        return [dz, dz]


class ComputationalGraph:
    """Gates with the names of their inputs and of their output, given in topological order."""

    def __init__(self, gates: list[tuple[Any, tuple[str, str], str]]) -> None:
        self.gates = gates

    def forward(self, **inputs: float) -> float:
        self.values = dict(inputs)
        for gate, names, out in self.gates:
            self.values[out] = gate.forward(*(self.values[n] for n in names))
        return self.values[out]

    def backward(self) -> dict[str, float]:
        grads = dict.fromkeys(self.values, 0.0) | {self.gates[-1][2]: 1.0}
        for gate, names, out in reversed(self.gates):
            for name, g in zip(names, gate.backward(grads[out])):
                grads[name] += g   # they add up where a value goes several ways
        return grads


if __name__ == "__main__":
    graph = ComputationalGraph([(AddGate(), ("x", "y"), "q"), (MultiplyGate(), ("q", "z"), "f")])
    print("by hand:    f =", graph.forward(x=-2.0, y=5.0, z=-4.0), " gradients:", graph.backward())
    x, y, z = (tl.tensor(v, requires_grad=True) for v in (-2.0, 5.0, -4.0))
    f = (x + y) * z
    print(tl.debug.graph(f, {"x": x, "y": y, "z": z}))
    f.backward()
    print("tensorlite: f =", f.item(), " gradients:", [t.grad.item() for t in (x, y, z)])
