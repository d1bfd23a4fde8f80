"""The graph behind a tensor."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tensorlite._site import describe
from tensorlite.engine import tape
from tensorlite.engine.value import KIND, RAW, Value, raw
from tensorlite.errors import GradError

__all__ = ["Graph", "GraphNode", "graph", "saved_arrays", "table"]


class GraphNode(NamedTuple):
    """One node of a :class:`Graph`. ``inputs`` are places in the graph's list; ``saved_bytes`` is what it keeps for backward."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    inputs: tuple[int, ...]
    saved_bytes: int
    where: str
    node: Any               # the tape's node, or the leaf tensor


class Graph(list[GraphNode]):
    """The nodes behind a tensor, each after its inputs. ``print`` it, or give ``dot()`` to Graphviz."""

    @property
    def saved_bytes(self) -> int:
        """Bytes that the tape keeps for backward, what several nodes keep counted once."""
        return sum(array.nbytes for array in {id(a): a for n in self for a in saved_arrays(n.node)}.values())

    def __str__(self) -> str:
        rows = [("#", "node", "shape", "inputs", "saved", "line")]
        rows += [(str(i), n.name, str(n.shape), " ".join(map(str, n.inputs)), str(n.saved_bytes), n.where)
                 for i, n in enumerate(self)]
        return table(rows)

    def dot(self) -> str:
        """The graph in Graphviz's language."""
        lines = ["digraph {", "  rankdir=BT; node [shape=box, fontname=monospace]"]
        for i, n in enumerate(self):
            shape = "ellipse" if isinstance(n.node, Value) else "box"
            label = n.name.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'  n{i} [label="{label}\\n{n.shape}", shape={shape}]')
            lines += [f"  n{k} -> n{i}" for k in n.inputs]
        return "\n".join([*lines, "}"])


def graph(t: Any, names: Mapping[str, Any] | None = None) -> Graph:
    """The operations and leaves that ``t`` was made from, in a topological order: each after its inputs, ``t``'s own last.

    Backward walks the list in reverse. ``names`` gives leaves names to be shown by.

    >>> import tensorlite as tl
    >>> w, x = tl.tensor(2.0, requires_grad=True), tl.tensor(3.0)
    >>> [node.name for node in tl.debug.graph(tl.sigmoid(w * x), {"w": w})]
    ['w', 'Mul', 'Sigmoid']
    """
    if not isinstance(t, Value) or not t.tracked:
        raise GradError("graph: this tensor does not require a gradient, so there is no graph behind it")
    nodes = [t] if t.node is None else list(reversed(tape.reachable([t.node])))
    leaves = list(dict.fromkeys(p for n in nodes if not isinstance(n, Value) for p in n.parents if isinstance(p, Value)))
    ordered = [*leaves, *nodes] if t.node is not None else nodes
    place = {n: i for i, n in enumerate(ordered)}
    called = {id(value): name for name, value in (names or {}).items()}
    out = Graph()
    for n in ordered:
        if isinstance(n, Value):
            name = called.get(id(n), "leaf")
            out.append(GraphNode(name, tuple(n.shape), n.dtype, (), 0, "", n))
        else:
            held = {id(a): a.nbytes for a in saved_arrays(n)}
            out.append(GraphNode(_name(n), tuple(n.shape), n.dtype, tuple(place[p] for p in n.parents), sum(held.values()),
                                 describe(n.site), n))
    return out


def _name(node: tape.Node) -> str:
    name = node.name.removesuffix("Backward")
    return name if node.output is None else f"{name}[{node.output[0]}]"


def saved_arrays(node: Any) -> Iterator[Any]:
    """The raw arrays a node keeps."""
    for held in () if isinstance(node, Value) else node.saved or ():
        for x in held if isinstance(held, tuple) else (held,):
            array = raw(x)
            if KIND.get(type(array)) == RAW:
                yield array


def table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)
