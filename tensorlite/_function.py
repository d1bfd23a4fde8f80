"""Operations with a gradient of one's own: ``autograd.Function``."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import backends
from tensorlite._state import changed, current, no_grad
from tensorlite.engine import tape
from tensorlite.engine.value import KIND, RAW, Provided, Value, new, raw, wrap
from tensorlite.errors import GradError, ShapeError

__all__ = ["Function", "FunctionCtx"]


class FunctionCtx:
    """What a ``Function``'s forward leaves for its backward."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._nondifferentiable: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors until backward; if one is changed in place before, backward raises ``InplaceError``.

        Arguments and results of forward are differentiated in turn where backward is; anything else counts as a constant there.
        """
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept."""
        return self._saved

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Say that these results have no gradient."""
        self._nondifferentiable = outputs


class Function:
    """An operation with a gradient of your own: subclass it with static ``forward(ctx, *args)`` and ``backward(ctx, *grads)``.

    ``backward`` returns one gradient for each argument of ``forward``, None for what is no tensor. ``ctx.needs_input_grad`` says
    which are asked for. Call it by ``apply``.

    >>> import tensorlite as tl
    >>> class Square(tl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = tl.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward(); x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and record it with ``backward`` as its rule."""
        call = _Call(cls, len(args))
        outs = call.at(args, tuple(_tracked(a) for a in args))
        return outs if call.several else outs[0]


def _tracked(value: Any) -> bool:
    """Whether any level follows it."""
    while isinstance(value, Value):
        if value.tracked:
            return True
        value = value.value
    return False


def _cut(value: Any) -> Any:
    return value.detach()


class _Call:
    """One call of a Function, on all the levels it takes place on. It holds no tensor: its nodes are held by its results."""

    def __init__(self, function: type[Function], nargs: int) -> None:
        self.function, self.nargs, self.several = function, nargs, False
        self.state: dict[str, Any] = {}               # what forward put on ctx
        self.where: list[tuple[str, int]] = []        # what it saved: ("argument", i), ("result", i) or ("other", i)
        self.differentiable: list[int] = []           # the results that have a gradient
        self.results: list[Any] = []                  # (shape, dtype) of each result that is a tensor, else None
        self.shapes: list[Any] = []                   # of each argument that is a tensor, else None

    def at(self, args: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
        """The results on the highest level among the arguments, recorded there and on every level below."""
        return self._at(args, needs)[0]

    def _at(self, args: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[tuple[Any, ...], list[Any]]:
        level = max([a.level for a in args if isinstance(a, Value)], default=0)
        mine = [isinstance(a, Value) and a.level == level for a in args]
        if level:
            below, others = self._at(tuple(a.value if m else a for a, m in zip(args, mine)), needs)
            outs = tuple(wrap(o, level) if isinstance(o, Value) else o for o in below)
        else:
            outs, others = self._forward(args, needs)
        mask = sum(1 << i for i, (a, m) in enumerate(zip(args, mine)) if m and a.tracked)
        if mask and self.differentiable and level >= current().record_from:
            values = [a.value if m else a for a, m in zip(args, mine)]
            self._record(args, [*values, *others], mask, outs)
        return outs, others

    def _forward(self, args: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[tuple[Any, ...], list[Any]]:
        """Run it on level 0; also the saved tensors that are neither argument nor result."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = needs
        with no_grad():
            out = self.function.forward(ctx, *args)
        self.several = isinstance(out, tuple)
        given = out if self.several else (out,)
        outs = tuple(_cut(o) if isinstance(o, Value) and (o.tracked or any(o is a for a in args)) else o for o in given)
        if any(isinstance(o, Value) and o.level for o in outs):
            raise GradError(f"{self.function.__name__}.forward uses a value of a running transform (grad, vjp, ...) that is not "
                            "among its arguments, whose gradient would be lost; pass it as an argument")
        self.results = [(tuple(o.shape), o.dtype) if isinstance(o, Value) else None for o in outs]
        self.shapes = [tuple(a.shape) if isinstance(a, Value) else None for a in args]
        self.differentiable = [i for i, (made, was) in enumerate(zip(self.results, given)) if made is not None
                               and Provided.is_differentiable(made[1]) and not any(was is n for n in ctx._nondifferentiable)]
        others = []
        for s in ctx._saved:
            i = next((i for i, a in enumerate(args) if a is s), None)
            j = next((j for j, k in enumerate(self.differentiable) if given[k] is s), None)
            if i is None and j is None:
                others.append(raw(s))
            self.where.append(("argument", i) if i is not None else ("result", j) if j is not None
                              else ("other", len(others) - 1))
        self.state = {k: v for k, v in vars(ctx).items() if k not in ("_saved", "_nondifferentiable")}
        return outs, others

    def _record(self, args: tuple[Any, ...], values: list[Any], mask: int, outs: tuple[Any, ...]) -> None:
        tracked = [outs[i] for i in self.differentiable]

        def rule(g: Any, needs: Any, *saved: Any) -> tuple[Any, ...]:
            return self._backward(g, needs, saved)

        op = _FunctionOp(self.function.__name__, rule, self.nargs, len(tracked))
        plan = op.plans[mask] = tape.Plan(op, mask, self.nargs).keeping(
            i if kind == "argument" else tape.OUT if kind == "result" else self.nargs + i for kind, i in self.where)
        plan.rules = ((rule, tuple(range(len(self.where)))),)
        plain = any(KIND.get(type(a)) == RAW for a in args)
        out = tracked[0].value if len(tracked) == 1 else tuple(t.value for t in tracked)
        node = tape.record(op, args, values, mask, out, {}, plain)
        for i, tensor in enumerate(tracked):
            tensor.tracked = True
            tensor.node = node if len(tracked) == 1 else tape.output_node(node, i, len(tracked), tensor.value)

    def _backward(self, g: Any, needs: Any, saved: tuple[Any, ...]) -> tuple[Any, ...]:
        """``backward`` as the tape calls it: with raw arrays, or with tensors whose operations are to be recorded."""
        name = self.function.__name__
        cotangents = g if len(self.differentiable) > 1 else [g]
        first = next(c for c in cotangents if c is not None)
        plain = not isinstance(first, Value)
        given = dict(zip(self.differentiable, cotangents))
        held = []
        for i, made in enumerate(self.results):
            c = given.get(i)
            if c is None and made is not None:
                c = backends.backend_of(raw(first)).xp.zeros(made[0], dtype=made[1])
            held.append(c if c is None or isinstance(c, Value) else new(c))
        ctx = FunctionCtx()
        vars(ctx).update(self.state)
        ctx.needs_input_grad = (*needs, *[False] * (self.nargs - len(needs)))
        found = [s[i] if kind == "result" and isinstance(s, tuple) else s for s, (kind, i) in zip(saved, self.where)]
        ctx._saved = tuple(new(s) if KIND.get(type(s)) == RAW else s for s in found)
        with no_grad() if plain else changed():
            answer = self.function.backward(ctx, *held)
        answer = answer if isinstance(answer, tuple) else (answer,)
        if len(answer) < self.nargs:
            raise GradError(f"{name}.backward returned {len(answer)} gradients; forward took {self.nargs} arguments, and "
                            "backward must return one for each (None for what is no tensor)")
        terms: list[Any] = [a if a is None or isinstance(a, Value) else Provided.asarray(a)
                            for a in answer]
        for i, (term, shape) in enumerate(zip(terms, self.shapes)):
            if term is not None and shape is not None and tuple(term.shape) != shape:
                raise ShapeError(f"{name}.backward returned a gradient of shape {tuple(term.shape)} for argument {i} of "
                                 f"shape {shape}")
        return tuple(a.value if plain and a is not None else a for a in terms)


class _FunctionOp:
    """Stands where a primitive stands in a node. One for each call: its plan is never shared."""

    variadic = False

    def __init__(self, name: str, rule: Callable[..., Any], nargs: int, outputs: int) -> None:
        self.name, self.joint, self.outputs = name, rule, outputs
        self.args: tuple[str, ...] = tuple(f"args{i}" for i in range(nargs))
        self.options: dict[str, Any] = {}
        self.vjps: dict[str, Any] = {}
        self.plans: dict[Any, Any] = {}

    def positions(self, total: int) -> Any:
        return enumerate(self.args)

    def argument(self, position: int) -> str:
        return f"saved tensor {position - len(self.args)}" if position >= len(self.args) else self.args[position]
