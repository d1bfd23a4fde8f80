"""A function's operations one by one: tables of values and derivatives in both modes, and the chain rule path by path."""
from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from tensorlite._levels import LevelTensor
from tensorlite._site import Site, caller, describe
from tensorlite.debug._graph import table
from tensorlite.engine import inplace
from tensorlite.engine.levels import Level
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import GradError, ShapeError
from tensorlite.func import jvp, vjp

__all__ = ["Explanation", "Path", "TraceRow", "TraceTable", "explain", "trace_table"]

MODES = ("forward", "reverse")


class Step:
    """One operation of a trace: what it was given (``sources``: the traced ones' (step, result)), and what it gave."""

    def __init__(self, op: Any, values: list[Any], sources: list[Any], options: dict[str, Any]) -> None:
        self.op, self.values, self.sources, self.options = op, values, sources, options
        self.outs: list[Any] = []
        self.site: Site = caller(3)

    def alone(self, moving: Sequence[int]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The operation as a function of the arguments ``moving``, and these."""
        def f(*given: Any) -> Any:
            args = list(self.values)
            for i, x in zip(moving, given):
                args[i] = x
            out = (self.op.full or self.op)(*args, **self.options)
            return tuple([o for o in out if Provided.is_differentiable(o.dtype)]) if isinstance(out, tuple) else out
        return f, tuple([self.values[i] for i in moving])

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """The results' tangents from those of the arguments (None: zero), by the operation's rule of forward mode."""
        moving = [i for i, t in enumerate(tangents) if t is not None]
        if not moving or self.op.discrete:
            return [None] * len(self.outs)
        f, primals = self.alone(moving)
        return self.spread(jvp(f, primals, tuple([tangents[i] for i in moving]))[1])

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """The arguments' cotangents (None: not traced) from those of the results, by the rule of reverse mode."""
        moving = [i for i, s in enumerate(self.sources) if s is not None and Provided.is_differentiable(self.values[i].dtype)]
        found: list[Any] = [None] * len(self.sources)
        if not moving or self.op.discrete or all(g is None for g in cotangents):
            return found
        f, primals = self.alone(moving)
        given = [g for g, o in zip(cotangents, self.outs) if Provided.is_differentiable(o.dtype)]
        for i, g in zip(moving, vjp(f, *primals)[1](tuple(given) if len(self.outs) > 1 else given[0])):
            found[i] = g
        return found

    def spread(self, ts: Any) -> list[Any]:
        """One entry for each result, None for those that have no derivative."""
        each = iter(ts if isinstance(ts, tuple) else (ts,))
        return [next(each, None) if Provided.is_differentiable(o.dtype) else None for o in self.outs]


class Traced(LevelTensor):
    """A value of a trace, and the step (or argument) it is the result of."""

    __slots__ = ("source",)
    source: Any

    def through(self, op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        mine = [isinstance(a, Value) and a.level == level for a in args]
        values = [a.value if m else a for a, m in zip(args, mine)]
        out = (op.full or op)(*values, **options)
        if op.discrete:
            return out if op.visible is None or not isinstance(out, tuple) else out[0]
        step = Step(op, values, [a.source if m and a.source[2] is not None else None for a, m in zip(args, mine)], options)
        step.outs = list(out) if isinstance(out, tuple) else [out]
        self.source[0].steps.append(step)
        tensors = tuple([traced(o, level, (self.source[0], step, k)) for k, o in enumerate(step.outs)])
        if op.view:
            for k, tensor in enumerate(tensors):
                inplace.link(tensor, op, args, options, k if isinstance(out, tuple) else None)
        return tensors if isinstance(out, tuple) and op.visible is None else tensors[0]

    def take_place_of(self, new: Any) -> None:
        mine = isinstance(new, Traced) and new.level == self.level
        self.value, self.source = (new.value, new.source) if mine else (new, (self.source[0], None, None))

    def detach(self) -> Any:
        return self.value.detach()

    def __copy__(self) -> Any:
        return traced(self.value, self.level, self.source)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """A trace follows everything: as it is."""
        return self


def traced(value: Any, level: int, source: Any) -> Traced:
    tensor = Traced.__new__(Traced)
    tensor.value, tensor.node, tensor.grad, tensor.extra, tensor.tracked = value, None, None, None, True
    tensor.level, tensor.source = level, source
    return tensor


class Trace:
    """``f(*args)``, run once: its arguments' names and values, its steps in order, and where its result comes from."""

    def __init__(self, what: str, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        code = getattr(f, "__code__", None)
        names = code.co_varnames[:code.co_argcount] if code is not None else ()
        self.names = [*names[:len(args)], *[f"args[{i}]" for i in range(len(names), len(args))]]
        self.f, self.args, self.steps = f, [_constant(a) for a in args], list[Step]()
        with Level() as level:
            out = f(*[traced(x, level, (self, None, i)) for i, x in enumerate(self.args)])
            if not isinstance(out, Traced) or out.level != level or out.source[2] is None:
                raise GradError(f"{what}: the result does not depend on the arguments by operations that have gradients")
            self.out, self.result = out.source[1:], out.value


def _constant(x: Any) -> Any:
    return x.detach() if isinstance(x, Value) else Provided.asarray(x)


# ---- the table of a mode -------------------------------------------------------------------------------------------------

class TraceRow(NamedTuple):
    """One value: what it is called, what it was computed as, and its derivatives (see :attr:`TraceTable.columns`)."""

    name: str
    expression: str
    value: Any
    derivatives: tuple[Any, ...]


class TraceTable(list[TraceRow]):
    """The arguments and every intermediate value in the order of computation. ``print`` it.

    ``columns`` says what the derivatives are: in forward mode tangents, one pass for each argument; in reverse mode the adjoint
    d f / d v. ``gradient`` is the gradient by argument.
    """

    columns: tuple[str, ...]
    gradient: dict[str, Any]

    def __getitem__(self, key: Any) -> Any:
        """The row at a place, or of a name."""
        return next(r for r in self if r.name == key) if isinstance(key, str) else super().__getitem__(key)

    def __str__(self) -> str:
        rows = [("value", "=", "", *self.columns)]
        return table(rows + [(r.name, r.expression, _shown(r.value), *map(_shown, r.derivatives)) for r in self])


def _shown(x: Any) -> str:
    if x.numel() == 1:
        return f"{x.item():.6g}"
    return f"[{', '.join(f'{v:.6g}' for v in x.tolist())}]" if x.ndim == 1 and x.numel() <= 6 else f"<shape {tuple(x.shape)}>"


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "matmul": "@", "pow_scalar": "**"}


def trace_table(f: Callable[..., Any], *args: Any, mode: str = "reverse") -> TraceTable:
    """What automatic differentiation computes, line by line: each operation's value v1, v2, ... with its derivatives.

    ``mode="forward"``: the tangents that go along with the values, a column for each argument (its tangent is 1, the others' 0).
    ``mode="reverse"``: the adjoints d f / d v, which are computed from the last row to the first. What is shown is what ran: the
    path taken through f's ``if`` and ``while``. Errors: ``GradError`` if f does not depend on the arguments, ``ShapeError`` in
    reverse mode if its result is no scalar.

    >>> import tensorlite as tl
    >>> print(tl.debug.trace_table(lambda x: tl.sin(x) * x, tl.tensor(2.0, dtype=tl.float64)))
    value  =                 adjoint
    x              2         0.0770038
    v1     sin(x)  0.909297  2
    v2     v1 * x  1.81859   1
    """
    _check_mode("trace_table", mode)
    trace = Trace("trace_table", f, args)
    if mode == "reverse" and trace.result.numel() != 1:
        raise ShapeError(f"trace_table: the function returned shape {tuple(trace.result.shape)}; reverse mode is of a scalar: "
                         "reduce it, or take mode='forward'")
    rows = _tangents(trace) if mode == "forward" else [_adjoints(trace)]
    names: dict[Any, str] = {(None, i): name for i, name in enumerate(trace.names)}
    out = TraceTable()
    columns = [[column.get(key) for column in rows] for key in _keys(trace)]
    for (step, k), found in zip(_keys(trace), columns):
        value = trace.args[k] if step is None else step.outs[k]
        if step is not None:
            names[step, k] = f"v{len(names) - len(trace.args) + 1}"
        zeros = Provided.zeros_like(value)
        out.append(TraceRow(names[step, k], "" if step is None else _expression(step, k, names), value,
                            tuple([zeros if d is None else d for d in found])))
    out.columns = tuple([f"d/d{name}" for name in trace.names]) if mode == "forward" else ("adjoint",)
    if mode == "forward":
        out.gradient = dict(zip(trace.names, out[names[trace.out]].derivatives))
    else:
        out.gradient = {name: out[i].derivatives[0] for i, name in enumerate(trace.names)}
    return out


def _check_mode(what: str, mode: str) -> None:
    if mode not in MODES:
        raise GradError(f"{what}: mode is {mode!r}; expected 'forward' or 'reverse'")


def _keys(trace: Trace) -> list[tuple[Step | None, int]]:
    return [*[(None, i) for i in range(len(trace.args))], *[(s, k) for s in trace.steps for k in range(len(s.outs))]]


def _tangents(trace: Trace) -> list[dict[Any, Any]]:
    """One pass forward for each argument: the tangents by (step, result)."""
    passes = []
    for i, x in enumerate(trace.args):
        found: dict[Any, Any] = {(None, i): Provided.ones_like(x)}
        for step in trace.steps:
            for k, t in enumerate(step.push([None if s is None else found.get(s[1:]) for s in step.sources])):
                found[step, k] = t
        passes.append(found)
    return passes


def _adjoints(trace: Trace) -> dict[Any, Any]:
    """One pass backward: the adjoints by (step, result)."""
    found: dict[Any, Any] = {trace.out: Provided.ones_like(trace.result)}
    for step in reversed(trace.steps):
        for source, g in zip(step.sources, step.pull([found.get((step, k)) for k in range(len(step.outs))])):
            if g is not None:
                key = source[1:]
                found[key] = g if key not in found else Provided.add(found[key], g)
    return found


def _expression(step: Step, k: int, names: dict[Any, str]) -> str:
    """``v1 * x`` or ``sin(v1)``."""
    op = step.op
    parts = [names[s[1:]] if s is not None else _literal(x) for s, x in zip(step.sources, step.values)]
    numbers = [v for v in step.options.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if op.name in INFIX and len(parts) + len(numbers) == 2:
        return f" {INFIX[op.name]} ".join([*parts, *map(str, numbers)])
    options = [f"{name}={value}" for name, value in step.options.items() if value is not None and value != op.options.get(name)]
    text = f"{op.name}({', '.join([*parts, *options])})"
    return text if len(step.outs) == 1 else f"{text}[{k}]"


def _literal(x: Any) -> str:
    if isinstance(x, Value):
        return f"{x.item():.6g}" if x.numel() == 1 else f"<shape {tuple(x.shape)}>"
    return str(x) if not hasattr(x, "shape") else f"{x}" if not x.shape else f"<shape {tuple(x.shape)}>"


# ---- the chain rule, path by path ----------------------------------------------------------------------------------------

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
        return table(rows) + "".join(f"\nd/d{name} = {total:.6g}" for name, total in self.gradient.items())


def explain(f: Callable[..., Any], *args: Any, limit: int = 1000, mode: str = "reverse") -> Explanation:
    """Every path of the chain rule from the arguments of ``f`` to its result, where all values on the way are scalars.

    d f / d x = sum over paths of the product of the local derivatives along it, which are computed by the rules of ``mode``,
    "reverse" or "forward". Steps are called as the line that made them assigns them, else by operation. Errors: ``ShapeError`` if
    something is no scalar, ``GradError`` for more than ``limit`` paths.

    >>> import tensorlite as tl
    >>> paths = tl.debug.explain(lambda x: x * tl.sin(x), tl.tensor(2.0, dtype=tl.float64))
    >>> len(paths), round(paths.gradient["x"], 6)
    (2, 0.077004)
    """
    _check_mode("explain", mode)
    trace = Trace("explain", f, args)
    if trace.result.numel() != 1:
        raise ShapeError(f"explain: the function returned shape {tuple(trace.result.shape)}; expected a scalar")
    found = Explanation()
    found.value = float(trace.result.item())
    local: dict[Step, list[tuple[Any, float]]] = {}
    todo: list[tuple[Any, tuple[str, ...], tuple[float, ...]]] = [(trace.out, (), ())]
    while todo:
        (step, k), steps, factors = todo.pop()
        if step is None:
            if len(found) == limit:
                raise GradError(f"explain: there are more than {limit} paths; explain a smaller function, or raise limit")
            found.append(Path(trace.names[k], (trace.names[k], *steps), factors, prod(factors)))
            continue
        if step not in local:
            local[step] = _local(step, mode)
        label = _label(step, f)
        if not steps or steps[0] != label:
            steps = (label, *steps)
        todo += [(source, steps, (d, *factors)) for source, d in reversed(local[step])]
    return found


def _local(step: Step, mode: str) -> list[tuple[Any, float]]:
    """(source, d result / d source), one for each traced argument."""
    moving = [i for i, s in enumerate(step.sources) if s is not None]
    if len(step.outs) > 1 or step.outs[0].shape or any(step.values[i].shape for i in moving):
        raise ShapeError(f"explain: {step.op.name} ({describe(step.site)}) is not a function of scalars to a scalar")
    if mode == "reverse":
        slopes: Any = step.pull([Provided.ones_like(step.outs[0])])
    else:
        units = [[Provided.ones_like(x) if i == j else None for j, x in enumerate(step.values)] for i in moving]
        slopes = dict(zip(moving, [step.push(unit)[0] for unit in units]))
    return [(step.sources[i][1:], float(slopes[i].item())) for i in moving if slopes[i] is not None]


def _label(step: Step, f: Any) -> str:
    """The variable that the step's line assigns, if it says so plainly."""
    path, _, line = describe(step.site).rpartition(":")
    if line.isdigit():
        text = linecache.getline(path, int(line))
        match = re.match(r"\s*([A-Za-z_]\w*)\s*=[^=]", text)
        if match:
            return match[1]
        if re.match(r"\s*return\b", text):
            return str(getattr(f, "__name__", "return"))
    return str(step.op.name)
