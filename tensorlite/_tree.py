"""Nested lists, tuples and dicts as flat lists of leaves, and back."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rebuild = Callable[[list[Any]], Any]


def children(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]] | None:
    """What a container holds (dicts by sorted key), and what makes such a one of other contents; None for a leaf."""
    if isinstance(tree, dict):
        keys = sorted(tree, key=str)
        return [tree[k] for k in keys], lambda values: _like(tree, dict(zip(keys, values)))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(tree), lambda values: type(tree)(*values)
    if isinstance(tree, (list, tuple)):
        return list(tree), type(tree)
    return None


def _like(tree: dict[Any, Any], values: dict[Any, Any]) -> Any:
    """A dict of the same class, in the same order."""
    ordered = {k: values[k] for k in tree}
    kind: Any = type(tree)
    factory = getattr(tree, "default_factory", None)
    return kind(factory, ordered) if factory is not None else kind(ordered)


_CONTAINERS = (tuple, list, dict)


def flatten(tree: Any, none_is_leaf: bool = False) -> tuple[list[Any], Rebuild]:
    """The leaves from left to right, and a function that puts such a list back into the tree's shape. None holds no leaf."""
    if tree is None and not none_is_leaf:
        return [], lambda leaves: None
    if tree.__class__ is tuple and len(tree) == 1 and tree[0] is not None and not isinstance(tree[0], _CONTAINERS):   # mostly
        return [tree[0]], tuple
    found = children(tree)
    if found is None:
        return [tree], lambda leaves: leaves[0]
    parts, make = found
    flat = [flatten(part, none_is_leaf) for part in parts]
    sizes, rebuilds = [len(leaves) for leaves, _ in flat], [rebuild for _, rebuild in flat]   # which hold no leaf

    def build(leaves: list[Any]) -> Any:
        values, start = [], 0
        for size, rebuild in zip(sizes, rebuilds):
            values.append(rebuild(leaves[start:start + size]))
            start += size
        return make(values)
    return [leaf for leaves, _ in flat for leaf in leaves], build


def structure(tree: Any, none_is_leaf: bool = False) -> str:
    """How a tree is built, in words to compare and to show: ``(*, {'a': [*, *]})``."""
    if tree is None and not none_is_leaf:
        return "None"
    found = children(tree)
    if found is None:
        return "*"
    parts = [structure(part, none_is_leaf) for part in found[0]]
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(sorted(tree, key=str), parts)) + "}"
    if isinstance(tree, list):
        return f"[{', '.join(parts)}]"
    name = type(tree).__name__ if hasattr(tree, "_fields") else ""
    return f"{name}({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def prefixed(prefix: Any, tree: Any, *, what: str) -> list[Any]:
    """For each leaf of ``tree`` the entry of ``prefix``, a tree that may stop early: an entry then stands for all below it."""
    if prefix is None or not isinstance(prefix, (list, tuple, dict)):
        return [prefix] * len(flatten(tree)[0])
    mine, other = children(prefix), children(tree)
    assert mine is not None
    alike = isinstance(prefix, dict) == isinstance(tree, dict) and other is not None and len(mine[0]) == len(other[0])
    if not alike or (isinstance(prefix, dict) and set(prefix) != set(tree)):
        raise ValueError(f"{what} is {prefix!r}, which does not fit {structure(tree)}")
    return [entry for p, t in zip(mine[0], other[0]) for entry in prefixed(p, t, what=what)]   # type: ignore[index]
