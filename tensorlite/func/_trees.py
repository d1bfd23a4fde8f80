"""What the transforms share: arguments by number, trees of tensors, and checks."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite import _tree
from tensorlite.engine.levels import below
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import DTypeError, GradError, ShapeError

Argnums = int | Sequence[int]


def positions_of(name: str, argnums: Argnums, args: tuple[Any, ...]) -> list[int]:
    """``argnums`` counted from the front."""
    given = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for n in given:
        if isinstance(n, bool) or not isinstance(n, int):
            raise GradError(f"{name}: argnums is {argnums!r}; expected an integer, or a tuple of integers")
        if not -len(args) <= n < len(args):
            raise GradError(f"{name}: argnums has {n!r}, but the function was called with {len(args)} positional arguments")
    found = [n % len(args) for n in given]
    if len(set(found)) < len(found):
        raise GradError(f"{name}: argnums is {argnums!r}, which names an argument twice")
    return found


def replaced(args: tuple[Any, ...], positions: Sequence[int], trees: Sequence[Any]) -> list[Any]:
    """The arguments with those at ``positions`` replaced."""
    call = list(args)
    for n, tree in zip(positions, trees):
        call[n] = tree
    return call


def split_aux(name: str, out: Any, has_aux: bool) -> tuple[Any, Any]:
    """A function's result and what it gave beside it."""
    if not has_aux:
        return out, None
    if not isinstance(out, tuple) or len(out) != 2:
        raise GradError(f"{name}: with has_aux the function must return a pair: the result to differentiate, and the rest; it "
                        f"returned {_described(out)}")
    return out


def _described(out: Any) -> str:
    if isinstance(out, Value):
        return f"a tensor of shape {tuple(out.shape)}"
    return f"a tuple of {len(out)}" if isinstance(out, tuple) else f"a {type(out).__name__}"


def tree_below(tree: Any, level: int) -> Any:
    """The tree with its values as the level below knows them."""
    leaves, rebuild = _tree.flatten(tree)
    return rebuild([below(x, level) for x in leaves])


def matched(name: str, what: str, tree: Any, like: Any, labels: str) -> list[Any]:
    """The leaves of ``tree`` as tensors, which must have the structure, shapes and dtypes of ``like``; None stands for zero."""
    given, wanted = _tree.flatten(tree, none_is_leaf=True)[0], _tree.flatten(like)[0]
    if _tree.structure(tree, none_is_leaf=True) != _tree.structure(like):
        raise ShapeError(f"{name}: the {what}s are {_tree.structure(tree, none_is_leaf=True)}, but the {labels} are "
                         f"{_tree.structure(like)}; they must be built alike")
    out: list[Any] = []
    for k, (t, x) in enumerate(zip(given, wanted)):
        if t is None:
            out.append(None)
            continue
        number = not hasattr(t, "shape")
        if number and not isinstance(t, (bool, int, float, complex)):
            raise DTypeError(f"{name}: {what} {k} is a {type(t).__name__}; expected a tensor of shape "
                             f"{tuple(getattr(x, 'shape', ()))}")
        t = t if isinstance(t, Value) else Provided.asarray(t)
        x = x if isinstance(x, Value) else Provided.asarray(x)
        if tuple(t.shape) != tuple(x.shape):
            raise ShapeError(f"{name}: {what} {k} has shape {tuple(t.shape)}, but what it belongs to has shape {tuple(x.shape)}; "
                             "they must be the same")
        if t.dtype != x.dtype:
            if not number and Provided.is_differentiable(x.dtype):
                raise DTypeError(f"{name}: {what} {k} has dtype {t.dtype}, but what it belongs to has dtype {x.dtype}; they must "
                                 "be the same: cast it with .to(dtype)")
            t = Provided.cast(t, dtype=x.dtype) if Provided.is_differentiable(x.dtype) else None
        out.append(t)
    return out


def as_tensors(name: str, tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a function's result as tensors, and what puts them back."""
    leaves, rebuild = _tree.flatten(tree)
    out = []
    for x in leaves:
        if isinstance(x, Value):
            out.append(x)
        elif isinstance(x, (bool, str, bytes)) or not (isinstance(x, (int, float, complex)) or hasattr(x, "__array__")):
            raise GradError(f"{name}: the function returned a {type(x).__name__}; expected tensors, in nested lists, tuples and "
                            "dicts (anything else can be returned beside them with has_aux=True)")
        else:
            out.append(Provided.asarray(x))
    return out, rebuild
