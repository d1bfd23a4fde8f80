"""Loops of which reverse mode keeps a few states: ``while_loop``, ``scan``.

A loop of n steps that keeps s states at a time, the first among them, is a chain of parts (``engine/recompute.py``): when the
last step was walked back, the part before it runs again, and is cut into parts in turn, for as many states as are free by then.
With the binomial lengths of Griewank and Walther, "Algorithm 799: revolve" (2000), no schedule has fewer steps: n steps within
beta(s, r) = (s + r)! / (s! r!) are run again r n - beta(s + 1, r - 1) times in all.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from math import comb, isqrt
from typing import Any

from tensorlite import _tree, backends
from tensorlite._state import NEVER, current
from tensorlite.engine.batching import in_a_batch
from tensorlite.engine.recompute import Frontier, Part, anew, frontier, gather, keeps, recompute, recorded
from tensorlite.engine.tape import Node, describe_node, tick
from tensorlite.engine.value import Provided, Value, raw
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.func._trees import as_tensors

__all__ = ["scan", "while_loop"]

LONG = 256   # steps from which on a loop keeps states, not steps, unless it is told otherwise
Leaves = list[Any]


def parts(n: int, snapshots: int | None) -> list[tuple[int, int]]:
    """(steps, states to keep when it runs again) for each part of a loop; the last one is recorded as it runs.

    0: the loop is recorded whole. None: so are short loops; of long ones sqrt(n) states are kept, and as many steps at a time.
    Then each step is run again once.
    """
    if snapshots is None:
        size = n if n <= LONG else isqrt(n - 1) + 1
        return [(min(size, n - at), 0) for at in range(0, n, size)]
    found = []
    while n > 1 and snapshots:
        m = _ahead(n, snapshots)
        found.append((m, snapshots))
        n, snapshots = n - m, snapshots - 1
    return [*found, (n, 0)]


def _ahead(n: int, s: int) -> int:
    """How far the first of s states is from the next one, of n steps."""
    r = 1
    while comb(s + r, s) < n:
        r += 1
    return min(comb(s + r - 1, s), n - comb(s + r - 2, s - 1))


def _few(n: int, snapshots: int | None) -> int | None:
    """As many states as there are steps: no reason to keep states instead of steps."""
    return 0 if snapshots is not None and snapshots >= n else snapshots


def _check_snapshots(name: str, snapshots: Any) -> None:
    if snapshots is not None and (isinstance(snapshots, bool) or not isinstance(snapshots, int) or snapshots < 1):
        raise GradError(f"{name}: snapshots is {snapshots!r}; expected how many states to keep, at least 1, or None")


def _alike(name: str, what: str, new: Any, old: Leaves, tree: str) -> Leaves:
    """The leaves of a step's result, which must be built like those before it; numbers take their dtype."""
    leaves, _ = _tree.flatten(new)
    if _tree.structure(new) != tree:
        raise ShapeError(f"{name}: {what} returned {_tree.structure(new)} for a state {tree}; they must be built alike")
    out = []
    for k, (x, like) in enumerate(zip(leaves, old)):
        if not isinstance(x, Value):
            x = Provided.asarray(x) if hasattr(x, "shape") else Provided.cast(Provided.asarray(x), dtype=like.dtype)
        if tuple(x.shape) != tuple(like.shape):
            raise ShapeError(f"{name}: {what} returned leaf {k} of the state with shape {tuple(x.shape)}, it was given with "
                             f"shape {tuple(like.shape)}; a state keeps its shapes")
        if x.dtype != like.dtype:
            raise DTypeError(f"{name}: {what} returned leaf {k} of the state with dtype {x.dtype}, it was given with dtype "
                             f"{like.dtype}; a state keeps its dtypes: cast the initial state, or what {what} returns")
        out.append(x)
    return out


# ---- while ---------------------------------------------------------------------------------------------------------------

class _While:
    """The loop's functions, on flat states."""

    def __init__(self, cond: Callable[..., Any], body: Callable[..., Any], init: Any) -> None:
        self.cond, self.body, self.tree = cond, body, _tree.structure(init)
        self.init, self.rebuild = as_tensors("while_loop", init)
        self.masked = False   # whether examples of a batch end at different steps

    def asks(self, state: Leaves) -> tuple[bool, Any]:
        """Whether to go on, and for which examples of a batch (None: for all)."""
        answer = self.cond(self.rebuild(list(state)))
        if not isinstance(answer, Value):
            return bool(answer), None
        if answer.numel() != 1:
            raise ShapeError(f"while_loop: cond returned shape {tuple(answer.shape)}; expected a single truth value: reduce it "
                             "with .all() or .any()")
        if not in_a_batch(answer):
            return bool(answer), None
        self.masked = True
        array = raw(answer)
        return bool(backends.backend_of(array).xp.any(array != 0)), answer

    def step(self, state: Leaves, mask: Any = None) -> Leaves:
        """The next state; where ``mask`` is false, the same."""
        with nullcontext() if mask is None else backends.backend_of(raw(mask)).quiet():   # those that are done may give nan
            new = _alike("while_loop", "body", self.body(self.rebuild(list(state))), state, self.tree)
        if mask is None:
            return new
        from tensorlite.ops.elementwise import where
        return [where(mask.reshape(()), x, old) for x, old in zip(new, state)]

    def steps(self, count: int, state: Leaves) -> Leaves:
        """That many steps, which are known to be taken."""
        for _ in range(count):
            state = self.step(state, self.asks(state)[1] if self.masked else None)
        return state

    def again(self, state: Leaves, count: int, snapshots: int | None) -> Leaves:
        """:meth:`steps` in parts."""
        *kept, (last, _) = parts(count, snapshots)
        for size, states in kept:
            state = recompute(lambda *given, size=size, states=states: self.again(list(given), size, states), *state)
        return self.steps(last, state)

    def some(self, limit: int) -> tuple[Callable[..., Leaves], list[int]]:
        """A function that takes steps as long as cond says, at most ``limit``, and as many ever after; and how many."""
        taken: list[int] = []

        def run(*given: Any) -> Leaves:
            state = list(given)
            if taken:
                return self.steps(taken[0], state)
            done = 0
            while done < limit:
                on, mask = self.asks(state)
                if not on:
                    break
                state, done = self.step(state, mask), done + 1
            taken.append(done)
            return state
        return run, taken


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, *, snapshots: int | None = None) -> Any:
    """``state = body(state)`` as long as ``cond(state)``, from ``init`` on; reverse mode keeps a few of the states.

    A state is a tree of tensors, whose structure, shapes and dtypes body keeps. Gradients flow to init and to what body closes
    over, in any nesting of transforms; forward mode keeps nothing.
    ``snapshots``: how many states reverse mode keeps at a time; with them one step's tape at a time, and steps are computed again
    between them by the schedule that does so least often (see ``tl.scan``; the number of steps being unknown at first, one more
    time). None: up to 256 steps are kept as they are, of n more about 2 sqrt(n) states and sqrt(n) steps, each computed again
    once. Inside of vmap a ``cond`` that differs along the batch is followed until all examples are done; those done earlier stay
    as they are. Errors: ``ShapeError``, ``DTypeError`` where body changes the state's structure, shapes or dtypes.

    >>> import tensorlite as tl
    >>> newton = lambda a: tl.while_loop(lambda x: abs(x * x - a) > 1e-6, lambda x: (x + a / x) / 2, tl.ones(()))
    >>> newton(tl.tensor(2.0)), tl.grad(newton)(tl.tensor(2.0))
    (tensor(1.4142), tensor(0.3536))
    """
    _check_snapshots("while_loop", snapshots)
    loop = _While(cond, body, init)
    if snapshots is not None and current().record_from != NEVER:
        final = _drained(loop, snapshots)
        if final is not None:
            return loop.rebuild(final)
    state, done, limit = loop.init, 0, LONG
    while True:
        run, taken = loop.some(limit)
        state = run(*state) if not done else recompute(run, *state)
        done += taken[0]
        if taken[0] < limit:
            return loop.rebuild(state)
        limit = max(32, isqrt(done))


def _drained(loop: _While, snapshots: int) -> Leaves | None:
    """A first run that keeps nothing but where gradients go; how many steps there are is known for the second.

    None where ``linearize`` keeps all values anyway: gradients of its coefficients go by way of each step's own nodes.
    """
    count, state, leads, leaves = 0, loop.init, Frontier(), set[int]()
    part = Part(lambda *given: loop.again(list(given), count, _few(count, snapshots)), state, "while_loop")
    gather(leads, part.args)
    while True:
        on, mask = loop.asks(state)
        if not on:
            return part.cut(state, leads, leaves)
        start, leaves = tick(), set()
        state = part.apart(lambda *given, mask=mask: loop.step(list(given), mask), [anew(x, leaves) for x in state])
        if any(keeps(x) for x in state):
            return None
        for level, found in recorded(state, start).items():
            for p in frontier([v.node for _, v in found], start):
                if p.__class__ is Node and p.number > part.start:
                    raise GradError(f"while_loop: with snapshots, body uses the result of {describe_node(p)}, which an earlier "
                                    "step left by a side effect; make it part of the state")
                if id(p) not in leaves:
                    leads.setdefault(level, {})[p] = None
        count += 1


# ---- scan ----------------------------------------------------------------------------------------------------------------

class _Scan:
    """The loop's function, on flat carries; and how its results are built."""

    def __init__(self, f: Callable[..., Any], init: Any, xs: Any, reverse: bool) -> None:
        self.f, self.tree, self.order = f, _tree.structure(init), -1 if reverse else 1
        self.init, self.rebuild = as_tensors("scan", init)
        self.xs, self.rebuild_xs = as_tensors("scan", xs)
        self.rebuild_ys: Any = None

    def step(self, carry: Leaves, row: Sequence[Any]) -> tuple[Leaves, Leaves]:
        """The next carry, and what this step leaves."""
        found = self.f(self.rebuild(list(carry)), self.rebuild_xs(list(row)))
        if not isinstance(found, tuple) or len(found) != 2:
            raise GradError(f"scan: the function returned a {type(found).__name__}; expected a pair: the carry, and what to "
                            "stack (or None)")
        y, self.rebuild_ys = as_tensors("scan", found[1])
        return _alike("scan", "the function", found[0], carry, self.tree), y

    def steps(self, count: int, carry: Leaves, xs: Sequence[Any]) -> tuple[Leaves, Leaves]:
        """The carry after all rows of ``xs``, and the stacked results."""
        from tensorlite.ops.manipulation import stack, unstack
        rows = list(zip(*[unstack(x) for x in xs])) if xs else [()] * count
        ys = []
        for row in rows[::self.order]:
            carry, y = self.step(carry, row)
            ys.append(y)
        return carry, [stack(list(column)) for column in zip(*ys[::self.order])]

    def again(self, count: int, snapshots: int | None, carry: Leaves, xs: Sequence[Any]) -> tuple[Leaves, Leaves]:
        """:meth:`steps` in parts."""
        from tensorlite.ops.manipulation import concat, split
        plan = parts(count, snapshots)
        if len(plan) == 1:
            return self.steps(count, carry, xs)
        sizes = [size for size, _ in plan]
        pieces = list(zip(*[split(x, sizes[::self.order])[::self.order] for x in xs])) if xs else [()] * len(plan)
        chunks = []
        for (size, states), piece in zip(plan[:-1], pieces):
            carry, ys = recompute(self.again, size, states, carry, list(piece))
            chunks.append(ys)
        carry, ys = self.steps(sizes[-1], carry, pieces[-1])
        return carry, [concat(list(column)) for column in zip(*[*chunks, ys][::self.order])]


def scan(f: Callable[[Any, Any], Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, *,
         snapshots: int | None = None) -> Any:
    """``carry, y = f(carry, x)`` for each x of ``xs``: the last carry, and the ys stacked. As JAX's ``lax.scan``.

    ``init``, ``xs``, the carry and y are trees of tensors (None holds none); x is what ``xs`` hold at one place of their first
    axis, of ``length`` places. The carry keeps its structure, shapes and dtypes. With ``reverse`` it goes from the last place to
    the first.
    ``snapshots``: how many carries reverse mode keeps at a time, ``init`` among them; with them one step's tape at a time. Steps
    are computed again between them as seldom as is possible: r n - (s + r)! / ((s + 1)! (r - 1)!) times for n <= (s + r)! / (s!
    r!) steps with s carries (Griewank and Walther 2000, "revolve"): with 10, 2 times for 66 steps, 3 times for 286. As many as
    there are steps: all is kept, nothing computed again. None: that up to 256 steps; of more, sqrt(n) carries and the tape of
    sqrt(n) steps, each computed again once. Gradients flow to init, xs and what f closes over, in any nesting of transforms;
    forward mode keeps nothing. Of no steps the ys are empty; f is called once on zeros for their shapes.
    Errors: ``ShapeError``, ``DTypeError`` where f changes the carry's structure, shapes or dtypes, or ``xs`` differ in length.

    >>> import tensorlite as tl
    >>> tl.scan(lambda total, x: (total + x, total * x), tl.zeros(()), tl.tensor([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([0., 2., 9.]))
    """
    _check_snapshots("scan", snapshots)
    loop = _Scan(f, init, xs, reverse)
    n = _length(loop.xs, length)
    if n:
        carry, ys = loop.again(n, _few(n, snapshots), loop.init, loop.xs)
        return loop.rebuild(carry), loop.rebuild_ys(ys)
    from tensorlite.ops.creation import zeros
    _, y = loop.step(loop.init, [zeros(tuple(x.shape)[1:], dtype=x.dtype, device=x.device) for x in loop.xs])
    return loop.rebuild(loop.init), loop.rebuild_ys([zeros((0, *v.shape), dtype=v.dtype, device=v.device) for v in y])


def _length(xs: Leaves, length: int | None) -> int:
    for k, x in enumerate(xs):
        if not x.ndim:
            raise ShapeError(f"scan: leaf {k} of xs has no axis to go along; expected shape (length, ...)")
    lengths = {x.shape[0] for x in xs} | ({length} if length is not None else set())
    if len(lengths) != 1:
        told = ", ".join(str(tuple(x.shape)) for x in xs)
        raise ShapeError(f"scan: xs have shapes {told} and length is {length}; their first axes and length must be the same"
                         if lengths else "scan: xs holds no tensors and there is no length; give one of them")
    return lengths.pop()
