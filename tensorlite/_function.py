"""Operations with a gradient of one's own: ``autograd.Function``."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorlite import _tree
from tensorlite.engine.batching import batch, moved, opened
from tensorlite.engine.custom import Ran, Rules, call, fitting, like, zeros
from tensorlite.engine.levels import bare
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import GradError, NotDifferentiableError, VmapError

__all__ = ["Function", "FunctionCtx", "VmapInfo"]


class VmapInfo(NamedTuple):
    """What a ``Function``'s ``vmap`` is told: how many examples there are, and what random numbers do."""

    batch_size: int
    randomness: str


class FunctionCtx:
    """What a ``Function``'s forward leaves for its backward and its jvp. Any attribute can be set on it."""

    __slots__ = ("__dict__", "_constant", "_for_forward", "_materialize", "_saved", "needs_input_grad")

    def __init__(self, needs: tuple[bool, ...] = ()) -> None:
        self._saved: tuple[Any, ...] = ()
        self._for_forward: tuple[Any, ...] | None = None
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad = needs

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors until backward; if one is changed in place before, backward raises ``InplaceError``.

        Arguments and results of forward are differentiated in turn where backward is; anything else counts as a constant there.
        """
        self._saved = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for ``jvp``, which otherwise gets those of ``save_for_backward``."""
        self._for_forward = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved."""
        return self._saved

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Say that these results have no gradient."""
        self._constant = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a gradient that is zero comes as a tensor of zeros (the default), or as None."""
        self._materialize = value

    def mark_dirty(self, *tensors: Any) -> None:
        """Not supported: a Function returns new tensors. Errors: ``GradError``."""
        raise GradError("mark_dirty: a Function's forward does not change its arguments in place here; return new tensors, "
                        "and write them into the argument where it is called (x[...] = F.apply(x))")


class Function:
    """An operation with a gradient of your own: subclass it with static ``forward(ctx, *args)`` and ``backward(ctx, *grads)``.

    ``backward`` returns one gradient for each argument of ``forward``, None for what is no tensor. ``ctx.needs_input_grad`` says
    which are asked for. Call it by ``apply``. It works in every transform:

    - instead of ``forward(ctx, *args)`` there may be ``forward(*args)`` with ``setup_context(ctx, inputs, output)``;
    - ``jvp(ctx, *tangents)`` returns the results' tangents; without it, forward mode transposes ``backward``;
    - ``vmap(info, in_dims, *args)`` returns the results for a batch and their batch axes (``out_dims``). ``in_dims[i]`` is the
      batch axis of argument i, or None; info has ``batch_size`` and ``randomness``. Without it forward and backward run on the
      batch as any function does inside of vmap, which takes that they are made of tensorlite's operations.

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
    >>> tl.vmap(tl.grad(Square.apply))(tl.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    generate_vmap_rule = False   # PyTorch's; here a rule is generated wherever there is none

    @staticmethod
    def forward(*args: Any) -> Any:
        """The results: ``forward(ctx, *args)``, or ``forward(*args)`` where there is a ``setup_context``."""
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save for backward, where ``forward`` gets no ``ctx``."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The arguments' gradients from the results'."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The results' tangents from the arguments'."""
        raise NotImplementedError

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """The results for a batch, and their batch axes."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and record it with ``backward`` as its rule."""
        rules = _FunctionRules(cls, tuple([isinstance(a, Value) and _tracked(a) for a in args]))
        outs = call(rules, args)
        return tuple(outs) if rules.several else outs[0]


def _tracked(value: Any) -> bool:
    """Whether any level follows it."""
    while isinstance(value, Value):
        if value.tracked:
            return True
        value = value.value
    return False


class _Held(NamedTuple):
    """Stands on ctx for tensors that travel with the saved ones: those at ``places``, put back by ``rebuild``."""

    places: slice
    rebuild: Any


class _Info:
    """What forward put on ctx beside tensors, and what its arguments are like."""

    __slots__ = ("args", "for_forward", "materialize", "saved", "state")

    def __init__(self, ctx: FunctionCtx, args: Sequence[Any]) -> None:
        self.materialize, self.args = ctx._materialize, [like(a) for a in args]
        self.state: dict[str, Any] = {}
        self.saved, self.for_forward = len(ctx._saved), None if ctx._for_forward is None else len(ctx._for_forward)

    def pack(self, ctx: FunctionCtx) -> list[Any]:
        """All tensors on ctx, for the levels to follow."""
        leaves = [*ctx._saved, *(ctx._for_forward or ())]
        for name, x in vars(ctx).items():
            found, rebuild = ([x], None) if isinstance(x, Value) else (_tree.flatten(x) if isinstance(x, (list, tuple, dict))
                                                                       else ([], None))
            if any(isinstance(y, Value) for y in found):
                self.state[name] = _Held(slice(len(leaves), len(leaves) + len(found)), rebuild)
                leaves += found
            else:
                self.state[name] = x
        return leaves

    def unpack(self, leaves: Sequence[Any], needs: Sequence[bool], forward: bool) -> FunctionCtx:
        """ctx as backward or jvp sees it."""
        ctx = FunctionCtx((*needs, *[False] * (len(self.args) - len(needs))))
        first, count = (self.saved, self.for_forward) if forward and self.for_forward is not None else (0, self.saved)
        ctx._saved = tuple(leaves[first:first + count])
        for name, x in self.state.items():
            if isinstance(x, _Held):
                held = list(leaves[x.places])
                x = held[0] if x.rebuild is None else x.rebuild(held)
            setattr(ctx, name, x)
        return ctx


class _FunctionRules(Rules):
    """One call of a Function."""

    opaque = True

    def __init__(self, function: type[Function], needs: tuple[bool, ...]) -> None:
        self.function, self.needs, self.several = function, needs, False
        self.name = function.__name__

    @property
    def source(self) -> str:
        return f"{self.name}.forward"

    def _has(self, name: str) -> bool:
        return getattr(self.function, name) is not getattr(Function, name)

    def run(self, args: Sequence[Any], needs: Sequence[bool]) -> Ran:
        ctx = FunctionCtx(self.needs)
        if self._has("setup_context"):
            out = self.function.forward(*args)
            self.function.setup_context(ctx, tuple(args), out)
        else:
            out = self.function.forward(ctx, *args)
        self.several = isinstance(out, tuple)
        given = out if self.several else (out,)
        outs = [o.detach() if isinstance(o, Value) and (o.tracked or any(o is a for a in args)) else o for o in given]
        return self._ran(ctx, args, given, outs)

    @staticmethod
    def _ran(ctx: FunctionCtx, args: Sequence[Any], given: Sequence[Any], outs: list[Any]) -> Ran:
        """What forward left: ``outs`` are the results that it gave, cut off the arguments."""
        info = _Info(ctx, args)
        cut = {id(g): o for g, o in zip(given, outs) if g is not o and not any(g is a for a in args)}
        leaves = info.pack(ctx)
        if cut:
            leaves = [cut.get(id(x), x) for x in leaves]
        constant = frozenset([k for k, g in enumerate(given) if any(g is c for c in ctx._constant)] if ctx._constant else ())
        return Ran(outs, leaves, info, constant=constant)

    def pull(self, ran: Ran, cotangents: Sequence[Any], needs: Sequence[bool]) -> list[Any]:
        info = ran.info
        if info.materialize:
            cotangents = [zeros(one, cotangents) if c is None else c for c, one in zip(cotangents, ran.likes)]
        answer = self.function.backward(info.unpack(ran.leaves, needs, False), *cotangents)
        answer = answer if isinstance(answer, tuple) else (answer,)
        if len(answer) < len(info.args):
            raise GradError(f"{self.name}.backward returned {len(answer)} gradients; forward took {len(info.args)} arguments, "
                            "and backward must return one for each (None for what is no tensor)")
        return [fitting(f"{self.name}.backward returned a gradient", f"argument {i}", t, x, broadcast=True)
                for i, (t, x) in enumerate(zip(answer, info.args))]

    def push(self, ran: Ran, tangents: Sequence[Any]) -> list[Any]:
        if not self._has("jvp"):
            if not self._has("backward"):
                raise NotDifferentiableError(f"{self.name} has no derivative; give it a static method jvp(ctx, *tangents) or "
                                             "backward(ctx, *grads)")
            return super().push(ran, tangents)
        info = ran.info
        given = list(tangents)
        if info.materialize:
            given = [zeros(x, tangents) if t is None and x is not None and Provided.is_differentiable(x[1]) else t
                     for t, x in zip(tangents, info.args)]
        answer = self.function.jvp(info.unpack(ran.leaves, [t is not None for t in tangents], True), *given)
        answer = answer if isinstance(answer, tuple) else (answer,)
        if len(answer) != len(ran.likes):
            raise GradError(f"{self.name}.jvp returned {len(answer)} tangents; forward returned {len(ran.likes)} results, and "
                            "jvp must return one for each (None where there is none)")
        return [fitting(f"{self.name}.jvp returned a tangent", f"result {k}", t, x)
                for k, (t, x) in enumerate(zip(answer, ran.likes))]

    def batched(self, args: Sequence[Any], values: Sequence[Any], mine: list[bool], level: int, keep: bool) -> Ran:
        if not self._has("vmap"):
            try:
                return super().batched(args, values, mine, level, keep)
            except VmapError as error:
                raise VmapError(f"{self.name} runs on a batch, and has no vmap rule of its own: {error}; if forward leaves "
                                "tensorlite (.numpy()), write a static method vmap(info, in_dims, *args)") from error
        one = opened(level)
        answer = self.function.vmap(VmapInfo(one.size, one.randomness), tuple([0 if m else None for m in mine]), *values)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise VmapError(f"{self.name}.vmap returned a {type(answer).__name__}; expected a pair: the results and their batch "
                            "axes (out_dims)")
        out, dims = answer
        self.several = isinstance(out, tuple)
        found = out if self.several else (out,)
        dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,) * len(found)
        if len(dims) != len(found):
            raise VmapError(f"{self.name}.vmap returned {len(dims)} batch axes for {len(found)} results; expected one for each")
        outs = [self._placed(k, o, d, one.size, level) for k, (o, d) in enumerate(zip(found, dims))]
        if not keep:
            return Ran(outs)
        if not self._has("setup_context"):
            raise VmapError(f"{self.name} has a vmap rule, and a gradient of it is taken inside of vmap: backward needs what is "
                            "saved by setup_context(ctx, inputs, output), beside forward(*args); forward(ctx, *args) did not run")
        ctx = FunctionCtx(self.needs)
        self.function.setup_context(ctx, tuple(args), tuple(outs) if self.several else outs[0])
        return self._ran(ctx, args, outs, outs)

    def _placed(self, k: int, o: Any, dim: int | None, size: int, level: int) -> Any:
        if dim is None or not isinstance(o, Value):
            return o
        if not -o.ndim <= dim < o.ndim or o.shape[dim] != size:
            raise VmapError(f"{self.name}.vmap returned result {k} of shape {tuple(o.shape)} with the batch axis {dim}; expected "
                            f"{size} examples there")
        return batch(bare(moved(o, dim % o.ndim, 0)), level)
