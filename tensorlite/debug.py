"""Looking into the tape and at the operations: graphs, paths of the chain rule, missing gradients, NaNs, costs."""
from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

from tensorlite import backends
from tensorlite._dtypes import kind
from tensorlite._site import caller, describe
from tensorlite._state import changed, current
from tensorlite.engine import tape
from tensorlite.engine.value import KIND, RAW, Value, raw
from tensorlite.errors import DTypeError, GradError, ShapeError, TensorliteError

__all__ = ["AnomalyError", "Explanation", "Graph", "GraphNode", "Path", "Profile", "detect_anomaly", "explain", "graph",
           "profile", "why_none"]


class AnomalyError(TensorliteError, ArithmeticError):
    """An operation made a NaN or an infinity out of finite values."""


# ---- the graph -------------------------------------------------------------------------------------------------------

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
        return sum(array.nbytes for array in {id(a): a for n in self for a in _saved(n.node)}.values())

    def __str__(self) -> str:
        rows = [("#", "node", "shape", "inputs", "saved", "line")]
        rows += [(str(i), n.name, str(n.shape), " ".join(map(str, n.inputs)), str(n.saved_bytes), n.where)
                 for i, n in enumerate(self)]
        return _table(rows)

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
            held = {id(a): a.nbytes for a in _saved(n)}
            out.append(GraphNode(_name(n), tuple(n.shape), n.dtype, tuple(place[p] for p in n.parents), sum(held.values()),
                                 describe(n.site), n))
    return out


def _name(node: tape.Node) -> str:
    name = node.name.removesuffix("Backward")
    return name if node.output is None else f"{name}[{node.output[0]}]"


def _saved(node: Any) -> Iterator[Any]:
    """The raw arrays a node keeps."""
    for held in () if isinstance(node, Value) else node.saved or ():
        for x in held if isinstance(held, tuple) else (held,):
            array = raw(x)
            if KIND.get(type(array)) == RAW:
                yield array


# ---- the chain rule, path by path ------------------------------------------------------------------------------------

class Path(NamedTuple):
    """One way from an argument to the result: the steps on it, their local derivatives, and the product of these."""

    argument: str
    steps: tuple[str, ...]
    factors: tuple[float, ...]
    product: float


class Explanation(list[Path]):
    """All paths. ``gradient`` maps each argument to the sum of its paths' products."""

    value: float

    @property
    def gradient(self) -> dict[str, float]:
        """The gradient, by argument."""
        sums: dict[str, float] = {}
        for path in self:
            sums[path.argument] = sums.get(path.argument, 0.0) + path.product
        return sums

    def __str__(self) -> str:
        rows = [("path", "local derivatives", "product")]
        rows += [(" -> ".join(p.steps), " * ".join(f"{x:.6g}" for x in p.factors), f"{p.product:.6g}") for p in self]
        return _table(rows) + "".join(f"\nd/d{name} = {total:.6g}" for name, total in self.gradient.items())


def explain(f: Callable[..., Any], *args: Any, limit: int = 1000) -> Explanation:
    """Every path of the chain rule from the arguments of ``f`` to its result, where all values on the way are scalars.

    d f / d x = sum over paths of the product of the local derivatives along it. Steps are called as the line that made them
    assigns them, else by operation. Errors: ``ShapeError`` if something is no scalar, ``GradError`` for more than ``limit``
    paths.

    >>> import tensorlite as tl
    >>> paths = tl.debug.explain(lambda x: x * tl.sin(x), tl.tensor(2.0, dtype=tl.float64))
    >>> len(paths), round(paths.gradient["x"], 6)
    (2, 0.077004)
    """
    import tensorlite as tl
    leaves = [tl.asarray(a).detach().clone().requires_grad_() for a in args]
    code = getattr(f, "__code__", None)
    names = code.co_varnames[:code.co_argcount] if code is not None else ()
    called = dict(zip(leaves, (*names, *(f"args[{i}]" for i in range(len(names), len(args))))))
    with tl.enable_grad():
        out = f(*leaves)
    if not isinstance(out, Value) or not out.tracked:
        raise GradError("explain: the result does not depend on the arguments by operations that have gradients")
    if out.numel() != 1:
        raise ShapeError(f"explain: the function returned shape {tuple(out.shape)}; expected a scalar")
    found = Explanation()
    found.value = float(out.item())
    local: dict[Any, list[tuple[Any, float]]] = {}
    todo: list[tuple[Any, tuple[str, ...], tuple[float, ...]]] = [(out.node or out, (), ())]
    while todo:
        at, steps, factors = todo.pop()
        if isinstance(at, Value):
            product = 1.0
            for x in factors:
                product *= x
            if len(found) == limit:
                raise GradError(f"explain: there are more than {limit} paths; explain a smaller function, or raise limit")
            found.append(Path(called.get(at, "leaf"), (called.get(at, "leaf"), *steps), factors, product))
            continue
        if at not in local:
            local[at] = _local(at, out.device)
        label = _label(at, f)
        if not steps or steps[0] != label:
            steps = (label, *steps)
        todo += [(parent, steps, (d, *factors)) for parent, d in reversed(local[at])]
    return found


def _local(node: tape.Node, device: str) -> list[tuple[Any, float]]:
    """(parent, d node / d parent), one for each argument."""
    import tensorlite as tl
    if node.output is not None or any(p.shape if not isinstance(p, Value) else p.value.shape for p in node.parents) or node.shape:
        raise ShapeError(f"explain: {tape.describe_node(node)} is not a function of scalars to a scalar")
    alone = tape.Node.__new__(tape.Node)   # the node by itself: what it passes on, argument by argument
    for name in tape.Node.__slots__:
        setattr(alone, name, getattr(node, name))
    ends = tuple(tl.ones((), dtype=p.dtype, device=device) for p in node.parents)
    alone.parents, alone.hooks = ends, None
    found = tape.run([(alone, raw(tl.ones((), dtype=node.dtype, device=device)))], 0, retain_graph=True)
    return [(parent, float(found[end])) for parent, end in zip(node.parents, ends) if end in found]


def _label(node: tape.Node, f: Any) -> str:
    """The variable that the node's line assigns, if it says so plainly."""
    path, _, line = describe(node.site).rpartition(":")
    if line.isdigit():
        text = linecache.getline(path, int(line))
        match = re.match(r"\s*([A-Za-z_]\w*)\s*=[^=]", text)
        if match:
            return match[1]
        if re.match(r"\s*return\b", text):
            return str(getattr(f, "__name__", "return"))
    return str(node.op.name)


# ---- where a gradient got lost ---------------------------------------------------------------------------------------

def why_none(p: Any, loss: Any) -> str:
    """Why ``p.grad`` is None, in words. ``loss`` is the tensor, or a function without arguments that computes it again.

    With a function the line where the way from ``p`` to the loss is cut (detach, no_grad, integers) is found by running it; what
    leaves through ``.item()`` or NumPy cannot be followed.

    >>> import tensorlite as tl
    >>> p = tl.tensor(2.0, requires_grad=True)
    >>> print(tl.debug.why_none(p, (p * 2).sum()))
    the loss depends on it: backward() has not been called (or the gradient was reset after)
    """
    if not isinstance(p, Value):
        raise DTypeError(f"why_none: p is a {type(p).__name__}; expected a tensor")
    if p.grad is not None:
        return "its .grad is not None"
    if not p.tracked:
        if kind(p.dtype) not in "fc":
            return f"it has dtype {p.dtype}: only floating and complex tensors have gradients"
        return "it does not require a gradient: call requires_grad_() on it before it is used"
    if p.node is not None and not p.retains_grad:   # type: ignore[attr-defined]
        return (f"it is no leaf but the result of {tape.describe_node(p.node)}: only leaves keep their gradient; call "
                "retain_grad() on it before backward()")
    if not isinstance(loss, Value):
        return _trace(p, loss)
    if _reaches(p, loss):
        return "the loss depends on it: backward() has not been called (or the gradient was reset after)"
    used = [n for n in tape.reachable([loss.node] if loss.node is not None else []) if any(a is raw(p) for a in _saved(n))]
    if used:
        return (f"its values are used as a constant by {tape.describe_node(used[-1])}: they got there without the tape, through "
                "detach(), .data or NumPy")
    why = ("the loss's graph does not contain it: it is not used, or was cut off on the way" if loss.tracked else
           "the loss has no graph: nothing it was made from requires a gradient, or it was cut off on the way")
    return why + "; to see the line, pass a function that computes the loss in place of the loss"


def _reaches(p: Any, loss: Any) -> bool:
    if not loss.tracked:
        return False
    if loss is p:
        return True
    nodes = tape.reachable([loss.node] if loss.node is not None else [])
    return p.node in nodes if p.node is not None else any(parent is p for n in nodes for parent in n.parents)


def _trace(p: Any, compute: Callable[[], Any]) -> str:
    """Run ``compute``, following what derives from ``p``: arrays the tape leads to, and those that lost it, with why."""
    live: dict[int, Any] = {id(raw(p)): raw(p)}
    lost: dict[int, tuple[Any, frozenset[str]]] = {}

    def cut(op: Any, arg: Any) -> str:
        """Why what flows in by ``arg`` does not flow on, or an empty string."""
        line = f"{op.name} at {describe(caller())}"
        if not isinstance(arg, Value):
            return f"{line} takes it as a plain array"
        if not arg.tracked:
            return f"{line} takes it as a constant: it was cut off before, by detach() or .data"
        if current().record_from:
            return f"{line} runs under no_grad()"
        return f"{line} has no gradient: its result is discrete" if op.discrete else ""

    def observer(op: Any, implementation: Any) -> Any:
        args = sys._getframe(1).f_locals["args"]

        def run(*values: Any, **options: Any) -> Any:
            out, arrays = _run(op, implementation, values, options)
            reasons: set[str] = set()
            alive = False
            for arg in args:
                key = id(raw(arg))
                if key in live:
                    why = cut(op, arg)
                    alive |= not why
                    reasons |= {why} - {""}
                elif key in lost:
                    reasons |= lost[key][1]
            for array in arrays:
                if alive and op.casts and kind(array.dtype) not in "fc":
                    alive = False
                    reasons.add(f"{op.name} at {describe(caller())} makes it dtype {array.dtype}, which has no gradient")
                if alive:
                    live[id(array)] = array
                elif reasons:
                    lost[id(array)] = (array, frozenset(reasons))
            return out
        return run

    with changed(observer=observer):
        loss = compute()
    if id(raw(loss)) in live:
        return "the loss depends on it: backward() has not been called (or the gradient was reset after)"
    if id(raw(loss)) in lost:
        return "; ".join(sorted(lost[id(raw(loss))][1]))
    return "the loss does not depend on it by any operation: it is not used, or it went on as a number (.item()) or a NumPy array"


# ---- watching operations ---------------------------------------------------------------------------------------------

def _observing(observer: Callable[[Any, Any], Any]) -> changed:
    """The state with one more observer of every array operation."""
    before = current().observer
    return changed(observer=observer if before is None else lambda op, run: observer(op, before(op, run)))


def _run(op: Any, implementation: Any, values: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """What an implementation returns, a library's scalar made the array that it will be; and the arrays in it."""
    out = implementation(*values, **options)
    if op.outputs != 1:
        return out, [o for o in out if o is not None]
    if KIND.get(type(out)) != RAW:
        lead = next((v for v in values if KIND.get(type(v)) == RAW), None)
        out = out if lead is None else backends.backend_of(lead).asarray(out)
    return out, [out]


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside, an operation (forward or backward) that makes NaN or inf of finite values raises :class:`AnomalyError`.

    Each operation's values are looked through, which makes everything slower.

    >>> import tensorlite as tl
    >>> with tl.debug.detect_anomaly():
    ...     tl.log(tl.tensor([1.0, -1.0]))   # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tensorlite.debug.AnomalyError: log made 1 nan out of finite values at ...
    """
    import numpy as np

    from tensorlite.optim._optimizer import _Update

    def observer(op: Any, implementation: Any) -> Any:
        def run(*values: Any, **options: Any) -> Any:
            if isinstance(op, _Update) and _not_finite(_flat(values)):   # it changes what it is given: look before
                return implementation(*values, **options)
            with np.errstate(all="ignore"):
                out, arrays = _run(op, implementation, values, options)
            bad = _not_finite(arrays)
            if bad and (isinstance(op, _Update) or not _not_finite([*_flat(values), *_flat(options.values())])):
                raise AnomalyError(f"{op.name} made {bad} out of finite values {_place()}")
            return out
        return run

    with _observing(observer):
        yield


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for v in values:
        if isinstance(v, (tuple, list)):
            yield from _flat(v)
        else:
            yield v


def _not_finite(values: Iterable[Any]) -> str:
    """``2 nan, 1 inf``: what is in these values, or an empty string."""
    nans = infs = 0
    for v in values:
        array = raw(v)
        if isinstance(array, float):
            nans, infs = nans + (array != array), infs + (array in (float("inf"), -float("inf")))
        elif KIND.get(type(array)) == RAW and kind(array.dtype) in "fc":
            xp = backends.backend_of(array).xp
            nans, infs = nans + int(xp.sum(xp.isnan(array))), infs + int(xp.sum(xp.isinf(array)))
    return ", ".join(f"{n} {what}" for n, what in ((nans, "nan"), (infs, "inf")) if n)


def _place() -> str:
    """The line of the user's program; in backward, that of the operation whose rule is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is tape.run.__code__:
            return f"in backward of {tape.describe_node(frame.f_locals['node'])}"
        frame = frame.f_back   # type: ignore[assignment]
    return f"at {describe(caller())}"


class Profile:
    """What :func:`profile` counted: ``rows`` maps an operation's name to [calls, seconds, bytes of results]."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}

    def add(self, name: str, seconds: float, size: int) -> None:
        """Count one call."""
        row = self.rows.setdefault(name, [0, 0.0, 0])
        row[0], row[1], row[2] = row[0] + 1, row[1] + seconds, row[2] + size

    @property
    def seconds(self) -> float:
        """Time in all operations together."""
        return sum(row[1] for row in self.rows.values())

    def __str__(self) -> str:
        total = self.seconds or 1.0
        rows = [("operation", "calls", "ms", "%", "MB out")]
        for name, (calls, seconds, size) in sorted(self.rows.items(), key=lambda item: -item[1][1]):
            rows.append((name, str(calls), f"{seconds * 1e3:.3f}", f"{100 * seconds / total:.1f}", f"{size / 1e6:.3f}"))
        return _table(rows)


@contextmanager
def profile() -> Iterator[Profile]:
    """Count calls, time and bytes of every operation inside, forward and backward; ``print`` what it gives.

    >>> import tensorlite as tl
    >>> with tl.debug.profile() as p:
    ...     _ = tl.exp(tl.ones(10)) + 1.0
    >>> p.rows["exp"][0], p.rows["exp"][2]
    (1, 40)
    """
    counted = Profile()

    def observer(op: Any, implementation: Any) -> Any:
        def run(*values: Any, **options: Any) -> Any:
            start = perf_counter()
            out, arrays = _run(op, implementation, values, options)
            if arrays and KIND.get(type(arrays[0])) == RAW:
                backends.backend_of(arrays[0]).synchronize()
            counted.add(op.name, perf_counter() - start, sum(getattr(a, "nbytes", 0) for a in arrays))
            return out
        return run

    with _observing(observer):
        yield counted


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)
