"""Where a gradient got lost."""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tensorlite._dtypes import kind
from tensorlite._site import caller, describe
from tensorlite._state import changed, current
from tensorlite.debug._graph import saved_arrays
from tensorlite.debug._watch import run_watched
from tensorlite.engine import tape
from tensorlite.engine.value import Value, raw
from tensorlite.errors import DTypeError

__all__ = ["why_none"]


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
    used = [n for n in tape.reachable([loss.node] if loss.node is not None else []) if any(a is raw(p) for a in saved_arrays(n))]
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
            out, arrays = run_watched(op, implementation, values, options)
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
