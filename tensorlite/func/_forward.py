"""Forward mode: ``jvp``, ``linearize``."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import _tree
from tensorlite.engine.forward import Program, Slot, dual
from tensorlite.engine.levels import Level, bare, below, owned
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import DTypeError, GradError
from tensorlite.func._trees import as_tensors, matched, split_aux, tree_below


def _start(name: str, primals: Any) -> tuple[list[Any], Any]:
    if not isinstance(primals, (tuple, list)):
        raise GradError(f"{name}: primals is a {type(primals).__name__}; expected a tuple with one entry for each argument")
    flat, rebuild = _tree.flatten(tuple(primals))
    return [x if isinstance(x, Value) else Provided.asarray(x) for x in flat], rebuild


def _check_primals(name: str, flat: list[Any], tangents: Any) -> None:
    """Refuse tangents of what has none."""
    for k, (x, t) in enumerate(zip(flat, _tree.flatten(tangents, none_is_leaf=True)[0])):
        if t is not None and not Provided.is_differentiable(x.dtype):
            raise DTypeError(f"{name}: primal {k} has dtype {x.dtype}, which cannot be differentiated; give None as its tangent, "
                             "or convert it with .to(tl.float32)")


def _tangents(outs: list[Any], level: int) -> list[Any]:
    """The results' tangents at ``level``, which they give away; zeros where there is none."""
    mine = [o for o in outs if isinstance(o, Value) and o.level == level]
    found = [o.tangent if isinstance(o, Value) and o.level == level else None for o in outs]   # type: ignore[attr-defined]
    for o in mine:
        o.tangent = None   # type: ignore[attr-defined]
    found.reverse()
    return [_or_zeros(found.pop(), below(o, level)) for o in outs]


def _or_zeros(t: Any, like: Any) -> Any:
    return Provided.zeros_like(like) if t is None else t


def jvp(f: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """f(*primals) and its directional derivative J t, in one pass that keeps nothing of it (forward mode).

    ``primals``: a tuple of the arguments, each a tensor or a tree of them; ``tangents``: one for each, built alike, of the same
    shapes and dtypes (None: zero). With ``has_aux`` f returns a pair, of which the second comes back as a third result.
    Errors: ``ShapeError``, ``DTypeError`` for tangents that do not fit the primals.

    >>> import tensorlite as tl
    >>> tl.func.jvp(lambda x: x * x, (tl.tensor([1.0, 2.0]),), (tl.tensor([1.0, 0.0]),))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    flat, rebuild = _start("jvp", primals)
    if not isinstance(tangents, (tuple, list)):
        raise GradError(f"jvp: tangents is a {type(tangents).__name__}; expected a tuple with one tangent for each primal")
    tangents = tuple(tangents)
    _check_primals("jvp", flat, tangents)
    given = matched("jvp", "tangent", tangents, rebuild(flat), "primals")
    with Level() as level:
        out, aux = split_aux("jvp", f(*rebuild([dual(bare(x), bare(t), level) for x, t in zip(flat, given)])), has_aux)
        outs, rebuild_out = as_tensors("jvp", out)
    value, tangent = rebuild_out([below(o, level) for o in outs]), rebuild_out(owned(_tangents(outs, level), given))
    return (value, tangent, tree_below(aux, level)) if has_aux else (value, tangent)


def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """f(*primals) and the linear function t -> J t, which runs the derivatives' operations alone, as often as one likes.

    What it needs of f's values is kept. It takes one tangent for each primal.

    >>> import tensorlite as tl
    >>> out, push = tl.func.linearize(lambda x: tl.sin(x) * x, tl.tensor(2.0))
    >>> push(tl.tensor(1.0))
    tensor(0.077)
    """
    flat, rebuild = _start("linearize", primals)
    program = Program()
    with Level() as level:
        slots = [Slot(program) if Provided.is_differentiable(x.dtype) else None for x in flat]
        out, aux = split_aux("linearize", f(*rebuild([dual(bare(x), s, level) for x, s in zip(flat, slots)])), has_aux)
        outs, rebuild_out = as_tensors("linearize", out)
    values = [below(o, level) for o in outs]
    ends = [o.tangent if isinstance(o, Value) and o.level == level else None for o in outs]   # type: ignore[attr-defined]

    def push(*tangents: Any) -> Any:
        """J t."""
        given = matched("linearize", "tangent", tangents, rebuild(flat), "primals")
        inputs = {s.index: bare(t) for s, t in zip(slots, given) if s is not None and t is not None}
        found = program.run(inputs, [e.index for e in ends if e is not None])[::-1]
        moved = [_or_zeros(None if e is None else found.pop(), v) for e, v in zip(ends, values)]
        return rebuild_out(owned(moved, given))

    result = rebuild_out(values)
    return (result, push, tree_below(aux, level)) if has_aux else (result, push)
